//! The PROXY protocol: who a connection is from, told by a load balancer before the first byte of
//! what it carries. Both versions, both ways; by haproxy.org's `proxy-protocol.txt` of 2020.
//!
//! Nothing here decides whom to believe.

mod binary;
mod checksum;
mod extensions;
mod text;

use std::net::{IpAddr, SocketAddr};

pub use extensions::{Extensions, Tls};

/// What every header of version 2 begins with (§2.2).
pub const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// The longest header of version 2 that is read, in bytes: what nginx takes. Addresses and the
/// extensions there are need some hundred.
pub const BINARY_BYTES_MAX: usize = 4096;

/// The longest line of version 1, in bytes, its CRLF included (§2.1).
pub const TEXT_BYTES_MAX: usize = 107;

/// One of the two ways to write a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// A line of text.
    V1,
    /// Binary.
    V2,
}

/// A header that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Who is connected to what.
    pub ends: Ends,
    /// What stands behind the addresses; none if nothing does.
    pub extensions: Option<Box<Extensions>>,
}

/// The two ends of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ends {
    /// Those of the connection that the header came on: the balancer speaks for itself, as in its
    /// health checks, or does not know.
    Own,
    /// TCP from one address to another.
    Tcp {
        /// The client.
        from: SocketAddr,
        /// What it connected to.
        to: SocketAddr,
    },
    /// A unix socket, whose client has no address.
    Unix,
}

/// Why bytes are no header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeaderError {
    /// They begin like neither version.
    Missing,
    /// No end within the length there may be.
    TooLong,
    /// A version or a command that there is not.
    Version,
    /// A family or a transport that carries no HTTP, or that there is not.
    Family,
    /// Addresses or ports that are none.
    Address,
    /// Extensions that do not fill the header, or break their form.
    Extensions,
    /// The checksum is of other bytes.
    Checksum,
}

impl HeaderError {
    /// What is wrong, for the log.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Missing => "no PROXY header came first",
            Self::TooLong => "the PROXY header is too long",
            Self::Version => "a version or command of PROXY headers that there is not",
            Self::Family => "a family of addresses that carries no HTTP",
            Self::Address => "the addresses of the PROXY header are malformed",
            Self::Extensions => "the extensions of the PROXY header are malformed",
            Self::Checksum => "the checksum of the PROXY header is wrong",
        }
    }
}

/// Reads the header that these bytes begin with, and how many of them it takes. `None` if they
/// are the beginning of one: all of them belong to it.
///
/// # Errors
/// What more bytes could not mend.
pub fn parse(bytes: &[u8]) -> Result<Option<(Header, usize)>, HeaderError> {
    if begins(bytes, text::START) {
        return text::parse(bytes);
    }
    if begins(bytes, SIGNATURE) {
        return binary::parse(bytes);
    }
    Err(HeaderError::Missing)
}

/// Whether both are alike as far as both go.
fn begins(bytes: &[u8], start: &[u8]) -> bool {
    bytes.iter().zip(start).all(|(a, b)| a == b)
}

/// Writes a header about the client at `from`, which connected to `to`. A unix socket's end is
/// unspecified, and then nothing is told of either.
pub fn write(out: &mut Vec<u8>, version: Version, from: SocketAddr, to: SocketAddr) {
    let canonical = |end: SocketAddr| SocketAddr::new(end.ip().to_canonical(), end.port());
    let (from, to) = (canonical(from), canonical(to));
    let ends = if from.ip().is_unspecified() || to.ip().is_unspecified() {
        None
    } else if from.is_ipv4() == to.is_ipv4() {
        Some((from, to))
    } else {
        // Both ends are of one family.
        let mapped = |end: SocketAddr| match end.ip() {
            IpAddr::V4(ip) => SocketAddr::new(ip.to_ipv6_mapped().into(), end.port()),
            IpAddr::V6(_) => end,
        };
        Some((mapped(from), mapped(to)))
    };
    match version {
        Version::V1 => text::write(out, ends),
        Version::V2 => binary::write(out, ends),
    }
}

/// Writes a header for a connection that the sender makes on its own behalf.
pub fn write_own(out: &mut Vec<u8>, version: Version) {
    match version {
        Version::V1 => text::write(out, None),
        Version::V2 => binary::write_local(out),
    }
}

#[cfg(test)]
mod tests;
