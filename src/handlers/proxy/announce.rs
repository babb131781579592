//! The PROXY protocol towards an upstream: who the client is, told before the first byte of HTTP.

use std::net::SocketAddr;

use serde::Deserialize;

use crate::exchange::Exchange;
use crate::http::proxy_protocol::{Version, write};

/// Which version the upstream understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Announce {
    /// A line of text.
    V1,
    /// Binary.
    V2,
}

impl Announce {
    pub(super) const fn version(self) -> Version {
        match self {
            Self::V1 => Version::V1,
            Self::V2 => Version::V2,
        }
    }

    /// The header for the client of this exchange. It is about a connection, so that one is used
    /// for this client's request alone.
    pub(super) fn preface(self, x: &Exchange<'_>) -> Vec<u8> {
        // A trusted peer told who asks, not from which port.
        let peer = x.connection.peer;
        let is_peer = x.client_ip.to_canonical() == peer.ip().to_canonical();
        let port = if is_peer { peer.port() } else { 0 };
        let from = SocketAddr::new(x.client_ip, port);
        let mut out = Vec::new();
        write(&mut out, self.version(), from, x.connection.local);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::testing::TestRequest;

    #[track_caller]
    fn check(peer: &str, client: &str, expected: &str) {
        let mut request = TestRequest::get("/");
        request.connection.peer = peer.parse().unwrap();
        request.connection.local = "192.0.2.80:80".parse().unwrap();
        let mut x = request.exchange();
        x.client_ip = client.parse().unwrap();
        let out = Announce::V1.preface(&x);
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn who_asks_is_announced() {
        let own = "PROXY TCP4 192.0.2.1 192.0.2.80 5000 80\r\n";
        check("192.0.2.1:5000", "192.0.2.1", own);
        check("[::ffff:192.0.2.1]:5000", "192.0.2.1", own);
        let trusted = "PROXY TCP4 203.0.113.7 192.0.2.80 0 80\r\n";
        check("192.0.2.1:5000", "203.0.113.7", trusted);
        let other = "PROXY TCP6 2001:db8::1 ::ffff:192.0.2.80 0 80\r\n";
        check("192.0.2.1:5000", "2001:db8::1", other);
        check("0.0.0.0:0", "0.0.0.0", "PROXY UNKNOWN\r\n");
    }
}
