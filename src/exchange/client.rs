//! Who asks: the peer itself, or whom a trusted proxy forwards for.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::http::{Headers, name};

/// The address of the client.
///
/// Read from the right: each address that a trusted proxy added is believed, and the first one
/// that is no trusted proxy is the client. What stands left of it anyone could have written.
/// `Forwarded` (RFC 7239) is preferred where both are there.
pub fn client_ip(peer: IpAddr, headers: &Headers, trusted: &[IpNet]) -> IpAddr {
    if !is_within(peer, trusted) {
        return peer;
    }
    let forwarded: Vec<&[u8]> = headers.list(&name::FORWARDED).collect();
    let hops: Vec<Option<IpAddr>> = if forwarded.is_empty() {
        headers
            .list(&name::X_FORWARDED_FOR)
            .map(parse_hop)
            .collect()
    } else {
        forwarded.into_iter().map(forwarded_for).collect()
    };
    let mut client = peer;
    for hop in hops.into_iter().rev() {
        // An obfuscated or broken hop hides all that is left of it.
        let Some(ip) = hop else { break };
        client = ip;
        if !is_within(ip, trusted) {
            break;
        }
    }
    client
}

/// Whether one of these networks holds this address.
pub fn is_within(ip: IpAddr, networks: &[IpNet]) -> bool {
    let ip = ip.to_canonical();
    networks.iter().any(|net| net.contains(&ip))
}

/// Whether the nearest proxy was asked by `https`. To be believed of trusted peers only.
pub fn forwarded_https(headers: &Headers) -> bool {
    let last = headers.list(&name::FORWARDED).last();
    let scheme = match last.and_then(|element| parameter(element, b"proto=")) {
        Some(scheme) => Some(scheme),
        None => headers.list(&name::X_FORWARDED_PROTO).last(),
    };
    scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"https"))
}

fn forwarded_for(element: &[u8]) -> Option<IpAddr> {
    parse_hop(parameter(element, b"for=")?)
}

/// A parameter of an element of `Forwarded` (RFC 7239 §4).
fn parameter<'e>(element: &'e [u8], name: &[u8]) -> Option<&'e [u8]> {
    element.split(|&byte| byte == b';').find_map(|pair| {
        let (start, value) = pair.trim_ascii().split_at_checked(name.len())?;
        let value = start
            .eq_ignore_ascii_case(name)
            .then(|| value.trim_ascii())?;
        let unquoted = value
            .strip_prefix(b"\"")
            .and_then(|value| value.strip_suffix(b"\""));
        Some(unquoted.unwrap_or(value))
    })
}

/// `192.0.2.1`, `192.0.2.1:80`, `"[2001:db8::1]:80"`, `2001:db8::1`.
fn parse_hop(hop: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(hop).ok()?.trim_matches('"');
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Some(ip.to_canonical());
    }
    let host = match text.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?.0,
        None => text.rsplit_once(':')?.0,
    };
    host.parse::<IpAddr>().ok().map(|ip| ip.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::HeaderName;

    #[track_caller]
    fn check(peer: &str, name: &HeaderName, value: &str, expected: &str) {
        let mut headers = Headers::new();
        headers.append(name, value);
        let trusted = ["10.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()];
        let found = client_ip(peer.parse().unwrap(), &headers, &trusted);
        assert_eq!(found, expected.parse::<IpAddr>().unwrap());
    }

    #[test]
    fn hops_are_believed_from_the_right_and_only_from_trusted_peers() {
        let xff = &name::X_FORWARDED_FOR;
        check("192.0.2.9", xff, "203.0.113.7", "192.0.2.9");
        check("10.0.0.1", xff, "203.0.113.7", "203.0.113.7");
        check(
            "10.0.0.1",
            xff,
            "1.1.1.1, 203.0.113.7, 10.0.0.2",
            "203.0.113.7",
        );
        check("10.0.0.1", xff, "10.0.0.3, 10.0.0.2", "10.0.0.3");
        check("10.0.0.1", xff, "1.1.1.1, unknown", "10.0.0.1");
        check("::ffff:10.0.0.1", xff, "[2001:db8::1]:443", "2001:db8::1");
        check(
            "10.0.0.1",
            &name::FORWARDED,
            "for=1.1.1.1, for=\"[2001:db8::2]:9\";proto=https",
            "2001:db8::2",
        );
        check(
            "10.0.0.1",
            &name::FORWARDED,
            "proto=http;For=203.0.113.7",
            "203.0.113.7",
        );
        check("10.0.0.1", &name::FORWARDED, "x", "10.0.0.1");
    }

    #[test]
    fn the_nearest_proxy_tells_the_scheme() {
        let check = |fields: &[(&HeaderName, &str)], expected: bool| {
            let mut headers = Headers::new();
            for (name, value) in fields {
                headers.append(name, value);
            }
            assert_eq!(forwarded_https(&headers), expected, "{fields:?}");
        };
        let (proto, forwarded) = (&name::X_FORWARDED_PROTO, &name::FORWARDED);
        check(&[], false);
        check(&[(proto, "https")], true);
        check(&[(proto, "https, http")], false);
        check(&[(proto, "HTTPS")], true);
        check(&[(forwarded, "for=1.1.1.1;proto=https")], true);
        check(&[(forwarded, "for=1.1.1.1;Proto=\"https\"")], true);
        check(&[(forwarded, "proto=https, for=1.1.1.1")], false);
        check(&[(forwarded, "proto=http"), (proto, "https")], false);
        check(&[(forwarded, "for=1.1.1.1"), (proto, "https")], true);
    }
}
