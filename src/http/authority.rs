//! `host[:port]`, in targets and in the `Host` field (RFC 9110 §7.2).

/// Whether this is `host[:port]` (RFC 9110 §7.2): a registered name or IPv4 address without
/// percent-encoding, or an IPv6 address in brackets. May be empty; user information is refused.
pub fn is_host(authority: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(authority) else {
        return false;
    };
    let (host, port) = split_port(text);
    let port = port.unwrap_or_default();
    let digits = port.bytes().all(|byte| byte.is_ascii_digit());
    if !port.is_empty() && (!digits || port.parse::<u16>().is_err()) {
        return false;
    }
    if let Some(literal) = host.strip_prefix('[') {
        let address = literal.strip_suffix(']').unwrap_or_default();
        return address.parse::<std::net::Ipv6Addr>().is_ok();
    }
    let name = host
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=".contains(&byte));
    name && (!host.is_empty() || authority.is_empty())
}

/// Splits `host:port`, brackets of an IPv6 address kept: `("[::1]", Some("80"))`.
pub fn split_port(authority: &str) -> (&str, Option<&str>) {
    let from = authority.rfind(']').unwrap_or(0);
    match authority[from..].rfind(':') {
        Some(colon) => (
            &authority[..from + colon],
            Some(&authority[from + colon + 1..]),
        ),
        None => (authority, None),
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
            ":80", "a b", "a:b", "a:65536", "a:+1", "::1", "[::1", "[::1]x", "[]", "u@h", "a/b",
            "a%41", "\u{e4}", "a:1:2",
        ];
        for host in bad {
            assert!(!is_host(host.as_bytes()), "{host}");
        }
        assert!(!is_host(b"\xff"));
    }
}
