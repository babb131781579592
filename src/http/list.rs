//! Lists in field values, their members divided by commas (RFC 9110 §5.6.1).

/// The members of a list in order, without the white space around them and without empty ones.
/// Commas in quoted strings do not divide.
pub(super) const fn members(list: &[u8]) -> Members<'_> {
    Members(list)
}

/// What of a list has not been given yet.
pub(super) struct Members<'a>(&'a [u8]);

impl<'a> Iterator for Members<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        while !self.0.is_empty() {
            let end = member_end(self.0);
            let (member, rest) = self.0.split_at(end);
            self.0 = rest.get(1..).unwrap_or_default();
            let member = member.trim_ascii();
            if !member.is_empty() {
                return Some(member);
            }
        }
        None
    }
}

/// Where the first member ends: at a comma outside quotes, or at the end.
fn member_end(list: &[u8]) -> usize {
    let (mut quoted, mut escaped) = (false, false);
    for (index, &byte) in list.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b',' if !quoted => return index,
            _ => {}
        }
    }
    list.len()
}

#[cfg(test)]
mod tests {
    #[test]
    fn members_are_divided_by_commas_outside_quotes() {
        let check = |list: &str, expected: &[&str]| {
            let expected: Vec<_> = expected.iter().map(|member| member.as_bytes()).collect();
            let members: Vec<_> = super::members(list.as_bytes()).collect();
            assert_eq!(members, expected, "{list}");
        };
        check("", &[]);
        check(" , ,\t", &[]);
        check(" a ,, b c", &["a", "b c"]);
        check("\"a,\\\"b\" , c", &["\"a,\\\"b\"", "c"]);
        check("\"a, b", &["\"a, b"]);
        check("a\\,b", &["a\\", "b"]);
    }
}
