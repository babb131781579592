//! Fields that tell those further in what no client may say.

use crate::http::{HeaderName, Headers, name};

/// Takes away what a client sent under a name that is not its to use, in any spelling: programs
/// that get fields as variables cannot tell `X_User` from `X-User` (RFC 3875 §4.1.18). Nor may it
/// have the field dropped on its way, by naming it in `Connection` (RFC 9110 §7.6.1).
pub(super) fn take_away(headers: &mut Headers, name: &HeaderName) {
    let own = name.as_str().as_bytes();
    headers.retain(|field, _| !is_same(field, own));
    if !headers
        .list(&name::CONNECTION)
        .any(|option| is_same(option, own))
    {
        return;
    }
    let options = headers.list(&name::CONNECTION);
    let others: Vec<&[u8]> = options.filter(|option| !is_same(option, own)).collect();
    let others = others.join(&b", "[..]);
    if others.is_empty() {
        headers.remove(&name::CONNECTION);
    } else {
        headers.set(&name::CONNECTION, others);
    }
}

/// Whether two names differ in case, or in `-` and `_`, at most.
fn is_same(one: &[u8], other: &[u8]) -> bool {
    let folded = |byte: &u8| match byte {
        b'_' => b'-',
        byte => byte.to_ascii_lowercase(),
    };
    one.len() == other.len() && one.iter().map(folded).eq(other.iter().map(folded))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::testing::TestRequest;

    /// What is left of these fields when `X-User` has been taken away.
    #[track_caller]
    fn check(fields: &[(&str, &str)], expected: &str) {
        let request = TestRequest::get("/");
        let add = |request: TestRequest, (name, value): &(&str, &str)| request.header(name, value);
        let mut headers = fields.iter().fold(request, add).head.headers;
        take_away(&mut headers, &HeaderName::from_bytes(b"X-User").unwrap());
        let left = headers.iter().map(|(name, value)| {
            let text = String::from_utf8_lossy;
            format!("{}: {}\n", text(name), text(value))
        });
        assert_eq!(left.collect::<String>(), expected, "{fields:?}");
    }

    #[test]
    fn in_any_spelling_and_nothing_else() {
        check(
            &[("X-User", "a"), ("x_USER", "b"), ("X-Users", "c")],
            "X-Users: c\n",
        );
        check(
            &[("X", "X-User"), ("User", "X_User")],
            "X: X-User\nUser: X_User\n",
        );
    }

    #[test]
    fn a_client_cannot_have_it_dropped() {
        check(&[("Connection", "close")], "Connection: close\n");
        check(
            &[("Connection", "x-user, close"), ("Connection", "X_User,te")],
            "Connection: close, te\n",
        );
        check(&[("connection", "X-User"), ("A", "b")], "A: b\n");
    }
}
