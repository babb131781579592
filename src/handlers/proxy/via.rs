//! `Via` (RFC 9110 §7.6.3): who has passed a message on, and whether that was us.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::LazyLock;

use crate::http::{Headers, Version, name};

/// What requests say this process is called. Unlike the name of any other, so that two of us in
/// a row are no loop.
static OWN_PSEUDONYM: LazyLock<Box<[u8]>> = LazyLock::new(|| {
    // Seeded anew for each process.
    let number = RandomState::new().build_hasher().finish();
    format!("httpserverd-{number:016x}").into_bytes().into()
});

/// The value for a response that came by this version.
pub(super) const fn response_via(received: Version) -> &'static str {
    match received {
        Version::Http10 => "1.0 httpserverd",
        Version::Http11 => "1.1 httpserverd",
        Version::Http2 => "2.0 httpserverd",
    }
}

/// The field line for a request that came by this version.
pub(super) fn write_request_via(out: &mut Vec<u8>, received: Version) {
    out.extend_from_slice(b"Via: ");
    out.extend_from_slice(version(received));
    out.extend_from_slice(&OWN_PSEUDONYM);
    out.extend_from_slice(b"\r\n");
}

/// Whether this process has passed the request on before: then it goes round in circles.
pub(super) fn is_loop(headers: &Headers) -> bool {
    headers.contains(&name::VIA)
        && headers.list(&name::VIA).any(|member| {
            let mut words = member.split(u8::is_ascii_whitespace);
            let by = words.by_ref().skip(1).find(|word| !word.is_empty());
            by.is_some_and(|by| by.eq_ignore_ascii_case(&OWN_PSEUDONYM))
        })
}

const fn version(received: Version) -> &'static [u8] {
    match received {
        Version::Http10 => b"1.0 ",
        Version::Http11 => b"1.1 ",
        Version::Http2 => b"2.0 ",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(lines: &[&str], expected: bool) {
        let mut headers = Headers::new();
        for line in lines {
            headers.append(&name::VIA, line);
        }
        assert_eq!(is_loop(&headers), expected, "{lines:?}");
    }

    #[test]
    fn only_our_own_name_is_a_loop() {
        let mut line = Vec::new();
        write_request_via(&mut line, Version::Http11);
        let line = String::from_utf8(line).unwrap();
        let own = line["Via: ".len()..].trim_end();
        check(&[], false);
        check(
            &["1.1 httpserverd", "1.1 httpserverd-0123456789abcdef"],
            false,
        );
        check(&[own], true);
        check(
            &[
                "1.0 edge, 1.1 httpserverd",
                &format!("1.1 a (x), {own} (y)"),
            ],
            true,
        );
        check(&[&own.to_ascii_uppercase()], true);
        check(&[&format!("1.1 edge ({own})")], false);
    }
}
