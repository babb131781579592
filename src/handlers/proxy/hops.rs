//! `Max-Forwards` (RFC 9110 §7.6.2): how often OPTIONS and TRACE may still be passed on.

use crate::exchange::{Response, Why};
use crate::http::{HeaderName, Method, RequestHead, StatusCode};

/// Counts this hop. If there may be none, the answer of who is asked last: what OPTIONS asks for
/// is nothing that a proxy has, and TRACE, which would show what was added on the way, is not
/// spoken here.
pub(super) fn count(request: &mut RequestHead) -> Option<Response> {
    let answer = match request.method {
        Method::Options => || Response::new(StatusCode::NO_CONTENT),
        Method::Trace => || Response::error(StatusCode::NOT_IMPLEMENTED, Why::BadMethod),
        _ => return None,
    };
    let field = HeaderName::from_bytes(b"Max-Forwards")?;
    let left = request.headers.get_str(&field)?;
    if left.is_empty() || !left.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // More than can be counted is as good as the most that can.
    match left.parse::<u32>().unwrap_or(u32::MAX).checked_sub(1) {
        None => Some(answer()),
        Some(left) => {
            request.headers.set(&field, left.to_string());
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the status is, or else what goes on.
    #[track_caller]
    fn check(method: Method, value: &str, expected: Result<u16, &str>) {
        let mut request = RequestHead {
            method,
            ..RequestHead::default()
        };
        let field = HeaderName::from_bytes(b"max-forwards").unwrap();
        request.headers.append(&field, value);
        let answered = count(&mut request).map(|answer| answer.status.code());
        let left = request.headers.get_str(&field).unwrap();
        assert_eq!(answered.ok_or(left), expected, "{value}");
    }

    #[test]
    fn options_and_trace_end_where_no_hop_is_left() {
        check(Method::Options, "0", Ok(204));
        check(Method::Trace, "00", Ok(501));
        check(Method::Options, "1", Err("0"));
        check(Method::Trace, "10", Err("9"));
        check(Method::Options, "99999999999", Err("4294967294"));
        check(Method::Options, "-1", Err("-1"));
        check(Method::Options, "", Err(""));
        check(Method::Get, "0", Err("0"));
    }
}
