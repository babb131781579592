//! The PROXY protocol towards an upstream: who the client is, told before the first byte of HTTP.

use std::io::Write as _;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use serde::Deserialize;

use crate::exchange::Exchange;

/// Which version the upstream understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Announce {
    /// A line of text.
    V1,
    /// Binary.
    V2,
}

const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

impl Announce {
    /// Writes the header for the client of this exchange. It is about a connection, so this is
    /// used for that client's request alone.
    pub(super) fn write(self, out: &mut Vec<u8>, x: &Exchange<'_>) {
        // A trusted peer told who asks, not from which port.
        let port = if x.client_ip.to_canonical() == x.connection.peer.ip().to_canonical() {
            x.connection.peer.port()
        } else {
            0
        };
        let from = SocketAddr::new(x.client_ip.to_canonical(), port);
        let to = x.connection.local;
        let to = SocketAddr::new(to.ip().to_canonical(), to.port());
        let known = !from.ip().is_unspecified() && !to.ip().is_unspecified();
        let addresses = known.then(|| same_family(from, to));
        match self {
            Self::V1 => text(out, addresses),
            Self::V2 => binary(out, addresses),
        }
    }
}

/// Both as IPv6 if one is.
fn same_family(from: SocketAddr, to: SocketAddr) -> (SocketAddr, SocketAddr) {
    if from.is_ipv4() == to.is_ipv4() {
        return (from, to);
    }
    let mapped =
        |address: SocketAddr| SocketAddr::new(IpAddr::V6(v6(address.ip())), address.port());
    (mapped(from), mapped(to))
}

const fn v6(ip: IpAddr) -> Ipv6Addr {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    }
}

fn text(out: &mut Vec<u8>, addresses: Option<(SocketAddr, SocketAddr)>) {
    let Some((from, to)) = addresses else {
        out.extend_from_slice(b"PROXY UNKNOWN\r\n");
        return;
    };
    let family = if from.is_ipv4() { "TCP4" } else { "TCP6" };
    // Writing to memory cannot fail.
    drop(write!(
        out,
        "PROXY {family} {} {} {} {}\r\n",
        from.ip(),
        to.ip(),
        from.port(),
        to.port()
    ));
}

fn binary(out: &mut Vec<u8>, addresses: Option<(SocketAddr, SocketAddr)>) {
    out.extend_from_slice(SIGNATURE);
    let Some((from, to)) = addresses else {
        // Version 2, PROXY, of no family: the receiver takes the address of the connection.
        out.extend_from_slice(&[0x21, 0x00, 0, 0]);
        return;
    };
    match (from.ip(), to.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            out.extend_from_slice(&[0x21, 0x11, 0, 12]);
            out.extend_from_slice(&from.octets());
            out.extend_from_slice(&to.octets());
        }
        (from, to) => {
            out.extend_from_slice(&[0x21, 0x21, 0, 36]);
            out.extend_from_slice(&v6(from).octets());
            out.extend_from_slice(&v6(to).octets());
        }
    }
    out.extend_from_slice(&from.port().to_be_bytes());
    out.extend_from_slice(&to.port().to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::testing::TestRequest;

    #[track_caller]
    fn check(version: Announce, peer: &str, local: &str, client: &str, expected: &[u8]) {
        let mut request = TestRequest::get("/");
        request.connection.peer = peer.parse().unwrap();
        request.connection.local = local.parse().unwrap();
        let mut x = request.exchange();
        x.client_ip = client.parse().unwrap();
        let mut out = Vec::new();
        version.write(&mut out, &x);
        assert_eq!(out, expected);
    }

    #[test]
    fn a_line_tells_who_asks_whom() {
        let v1 = Announce::V1;
        let line = b"PROXY TCP4 192.0.2.1 192.0.2.80 5000 80\r\n";
        check(v1, "192.0.2.1:5000", "192.0.2.80:80", "192.0.2.1", line);
        let line = b"PROXY TCP4 203.0.113.7 192.0.2.80 0 80\r\n";
        check(v1, "192.0.2.1:5000", "192.0.2.80:80", "203.0.113.7", line);
        let line = b"PROXY TCP4 192.0.2.1 192.0.2.80 5 80\r\n";
        check(
            v1,
            "[::ffff:192.0.2.1]:5",
            "[::ffff:192.0.2.80]:80",
            "::ffff:192.0.2.1",
            line,
        );
        let line = b"PROXY TCP6 2001:db8::1 ::ffff:192.0.2.80 0 80\r\n";
        check(v1, "192.0.2.1:5", "192.0.2.80:80", "2001:db8::1", line);
        check(
            v1,
            "0.0.0.0:0",
            "0.0.0.0:0",
            "0.0.0.0",
            b"PROXY UNKNOWN\r\n",
        );
    }

    #[test]
    fn binary_tells_the_same() {
        let expected = [
            &SIGNATURE[..],
            &[
                0x21, 0x11, 0, 12, 192, 0, 2, 1, 192, 0, 2, 80, 0x13, 0x88, 0, 80,
            ],
        ]
        .concat();
        check(
            Announce::V2,
            "192.0.2.1:5000",
            "192.0.2.80:80",
            "192.0.2.1",
            &expected,
        );
        let mut expected = [&SIGNATURE[..], &[0x21, 0x21, 0, 36]].concat();
        expected.extend("2001:db8::1".parse::<Ipv6Addr>().unwrap().octets());
        expected.extend("2001:db8::2".parse::<Ipv6Addr>().unwrap().octets());
        expected.extend([0, 5, 0, 80]);
        check(
            Announce::V2,
            "[2001:db8::1]:5",
            "[2001:db8::2]:80",
            "2001:db8::1",
            &expected,
        );
        let unknown = [&SIGNATURE[..], &[0x21, 0, 0, 0]].concat();
        check(Announce::V2, "0.0.0.0:0", "0.0.0.0:0", "0.0.0.0", &unknown);
    }
}
