//! The parameters of a query (`name=value&…`), as forms write them.

/// Names and values in order, undecoded, of a query without its `?`. A parameter without `=`
/// has an empty value.
pub fn pairs(query: &str) -> impl Iterator<Item = (&str, &str)> {
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

/// The values of every parameter of this name, undecoded.
pub fn values<'q>(query: &'q str, name: &str) -> impl Iterator<Item = &'q str> {
    pairs(query)
        .filter(move |(own, _)| decoded(own).eq(name.bytes()))
        .map(|(_, value)| value)
}

/// The bytes that a name or a value stands for: `+` is a space, `%41` is `A`. A `%` without two
/// digits stands for itself.
pub fn decoded(text: &str) -> impl Iterator<Item = u8> {
    let mut left = text.as_bytes();
    std::iter::from_fn(move || {
        let (&byte, tail) = left.split_first()?;
        left = tail;
        Some(match byte {
            b'+' => b' ',
            b'%' => match encoded_byte(tail) {
                Some(byte) => {
                    left = tail.get(2..).unwrap_or_default();
                    byte
                }
                None => byte,
            },
            byte => byte,
        })
    })
}

fn encoded_byte(tail: &[u8]) -> Option<u8> {
    let digit = |at: usize| char::from(*tail.get(at)?).to_digit(16);
    u8::try_from(digit(0)? * 16 + digit(1)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(query: &str, name: &str, expected: &[&str]) {
        let found: Vec<String> = values(query, name)
            .map(|value| String::from_utf8_lossy(&decoded(value).collect::<Vec<_>>()).into_owned())
            .collect();
        assert_eq!(found, expected, "{query}");
    }

    #[test]
    fn values_by_name() {
        check("a=1&b=2&a=3", "a", &["1", "3"]);
        check("a=1&bb=2", "b", &[]);
        check("a&&b=", "a", &[""]);
        check("", "", &[]);
        check("=x", "", &["x"]);
        check("%61=x+y%2Bz", "a", &["x y+z"]);
        check("a=%&b=%4", "a", &["%"]);
        check("a=%&b=%4", "b", &["%4"]);
        check("a=%zz%+1", "a", &["%zz% 1"]);
        check("a=b=c", "a", &["b=c"]);
        check("a=%C3%A9", "a", &["é"]);
    }
}
