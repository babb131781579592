//! Queries as HTML forms write them (URL standard, `application/x-www-form-urlencoded`).

use std::borrow::Cow;

use super::target::hex_byte;

/// The pairs of a query in order, decoded; empty pairs are left out.
pub fn pairs(query: &str) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name), decode(value))
        })
}

/// `+` is a space; a `%` without two hexadecimal digits stands for itself, and bytes that are
/// not UTF-8 become U+FFFD, as in browsers.
pub fn decode(text: &str) -> Cow<'_, str> {
    if !text.bytes().any(|byte| matches!(byte, b'%' | b'+')) {
        return Cow::Borrowed(text);
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        let encoded = after
            .split_first_chunk::<2>()
            .filter(|_| byte == b'%')
            .and_then(|(digits, after)| Some((hex_byte(*digits)?, after)));
        match (byte, encoded) {
            (_, Some((value, after))) => {
                decoded.push(value);
                rest = after;
            }
            (b'+', None) => decoded.push(b' '),
            (byte, None) => decoded.push(byte),
        }
    }
    Cow::Owned(match String::from_utf8(decoded) {
        Ok(text) => text,
        Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::pairs;

    #[test]
    fn pairs_are_decoded_in_order() {
        let check = |query, expected: &[(&str, &str)]| {
            let pairs: Vec<_> = pairs(query).collect();
            let pairs: Vec<_> = pairs.iter().map(|(n, v)| (&**n, &**v)).collect();
            assert_eq!(pairs, expected, "{query}");
        };
        check("", &[]);
        check("a=1&&b&=c", &[("a", "1"), ("b", ""), ("", "c")]);
        check("a+b=%C3%A4%26&c=d=e", &[("a b", "\u{e4}&"), ("c", "d=e")]);
        check(
            "p=100%&q=%zz&r=%ff",
            &[("p", "100%"), ("q", "%zz"), ("r", "\u{fffd}")],
        );
    }
}
