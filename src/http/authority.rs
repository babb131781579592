//! `host[:port]`, in targets and in the `Host` field (RFC 9110 §7.2).

/// Whether this is `host[:port]` (RFC 9110 §7.2): a registered name or IPv4 address without
/// percent-encoding, or an IPv6 address in brackets. May be empty; user information is refused.
pub fn is_host(authority: &[u8]) -> bool {
    let length = name_length(authority);
    match authority.get(length..).unwrap_or_default() {
        [] => true,
        [b':', port @ ..] => length > 0 && is_port(port),
        [b'[', literal @ ..] => length == 0 && is_literal(literal),
        _ => false,
    }
}

/// How many bytes there are before the first that no registered name holds: four at a time, then
/// one by one.
fn name_length(authority: &[u8]) -> usize {
    let is_name = |byte: u8| NAME[usize::from(byte)];
    let all = |four: &&[u8; 4]| four.iter().fold(true, |all, &byte| all & is_name(byte));
    let (fours, _) = authority.as_chunks::<4>();
    let whole = fours.iter().take_while(all).count() * 4;
    let rest = authority.get(whole..).unwrap_or_default();
    let end = rest.iter().position(|&byte| !is_name(byte));
    whole + end.unwrap_or(rest.len())
}

/// Whether this is an IPv6 address behind its `[`, with what may follow.
fn is_literal(literal: &[u8]) -> bool {
    let Some(end) = memchr::memchr(b']', literal) else {
        return false;
    };
    let (address, rest) = literal.split_at(end);
    let address = std::str::from_utf8(address).unwrap_or_default();
    let port = match rest {
        [b']'] => true,
        [b']', b':', port @ ..] => is_port(port),
        _ => false,
    };
    port && address.parse::<std::net::Ipv6Addr>().is_ok()
}

/// May be empty (RFC 3986 §3.2.3).
fn is_port(port: &[u8]) -> bool {
    let mut number: u32 = 0;
    for &byte in port {
        if !byte.is_ascii_digit() {
            return false;
        }
        number = (number * 10 + u32::from(byte & 0xf)).min(1 << 16);
    }
    number < 1 << 16
}

/// The bytes of a registered name, percent-encoding left out.
static NAME: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte: u8 = 0;
    while byte < 0x80 {
        table[byte as usize] = byte.is_ascii_alphanumeric()
            || matches!(
                byte,
                b'-' | b'.'
                    | b'_'
                    | b'~'
                    | b'!'
                    | b'$'
                    | b'&'
                    | b'\''
                    | b'('
                    | b')'
                    | b'*'
                    | b'+'
                    | b','
                    | b';'
                    | b'='
            );
        byte += 1;
    }
    table
};

/// Splits `host:port`, brackets of an IPv6 address kept: `("[::1]", Some("80"))`.
pub fn split_port(authority: &str) -> (&str, Option<&str>) {
    // Colons before the bracket are the address's own.
    let last = authority
        .bytes()
        .rposition(|byte| matches!(byte, b':' | b']'));
    match last.and_then(|at| authority.split_at_checked(at)) {
        Some((host, port)) if port.starts_with(':') => (host, port.get(1..)),
        _ => (authority, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_names_or_addresses_with_a_port_at_most() {
        let good = [
            "",
            "a",
            "a.b:80",
            "a:",
            "1.2.3.4:65535",
            "[::1]",
            "[::1]:80",
            "a_b-c~",
        ];
        for host in good {
            assert!(is_host(host.as_bytes()), "{host}");
        }
        let bad = [
            ":80",
            "a b",
            "a:b",
            "a:65536",
            "a:+1",
            "::1",
            "[::1",
            "[::1]x",
            "[]",
            "u@h",
            "a/b",
            "a%41",
            "\u{e4}",
            "a:1:2",
            "a[::1]",
            "[::1]]",
            "[::1]:x",
            "[::1]:65536",
        ];
        for host in bad {
            assert!(!is_host(host.as_bytes()), "{host}");
        }
        assert!(!is_host(b"\xff"));
    }

    #[test]
    fn a_port_stands_behind_the_last_colon_outside_brackets() {
        for (authority, host, port) in [
            ("", "", None),
            ("a", "a", None),
            ("a:80", "a", Some("80")),
            ("a:", "a", Some("")),
            ("a:1:2", "a:1", Some("2")),
            ("[::1]", "[::1]", None),
            ("[::1]:80", "[::1]", Some("80")),
            ("\u{e4}:1", "\u{e4}", Some("1")),
        ] {
            assert_eq!(split_port(authority), (host, port), "{authority}");
        }
    }
}
