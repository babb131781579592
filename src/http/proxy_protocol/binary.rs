//! Version 2: binary (§2.2).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::extensions::{self, Extensions};
use super::{BINARY_BYTES_MAX, Ends, Header, HeaderError, SIGNATURE};

/// Signature, version and command, family and transport, length of the rest.
const FIXED_BYTES: usize = 16;

const VERSION_LOCAL: u8 = 0x20;
const VERSION_PROXY: u8 = 0x21;
const UNSPECIFIED: u8 = 0x00;
const TCP_IPV4: u8 = 0x11;
const TCP_IPV6: u8 = 0x21;
const UNIX_STREAM: u8 = 0x31;

/// Two addresses of `sockaddr_un`.
const UNIX_BYTES: usize = 216;

pub(super) fn parse(bytes: &[u8]) -> Result<Option<(Header, usize)>, HeaderError> {
    let rest = bytes.get(SIGNATURE.len()..).unwrap_or_default();
    let local = match rest.first() {
        None => return Ok(None),
        Some(&VERSION_LOCAL) => true,
        Some(&VERSION_PROXY) => false,
        Some(_) => return Err(HeaderError::Version),
    };
    let [_, family, high, low, ..] = *rest else {
        return Ok(None);
    };
    let length = usize::from(u16::from_be_bytes([high, low]));
    let end = FIXED_BYTES + length;
    if end > BINARY_BYTES_MAX {
        return Err(HeaderError::TooLong);
    }
    let Some(whole) = bytes.get(..end) else {
        return Ok(None);
    };
    let block = whole.get(FIXED_BYTES..).unwrap_or_default();
    let (ends, after) = match family {
        // What else it says is to be passed over.
        _ if local => (Ends::Own, None),
        UNSPECIFIED => (Ends::Own, None),
        TCP_IPV4 => ipv4(block)?,
        TCP_IPV6 => ipv6(block)?,
        UNIX_STREAM => {
            let after = block.get(UNIX_BYTES..).ok_or(HeaderError::Address)?;
            (Ends::Unix, Some(after))
        }
        _ => return Err(HeaderError::Family),
    };
    let extensions = match after {
        Some(after) => extensions(after, whole)?,
        None => None,
    };
    Ok(Some((Header { ends, extensions }, end)))
}

fn extensions(after: &[u8], whole: &[u8]) -> Result<Option<Box<Extensions>>, HeaderError> {
    if after.is_empty() {
        return Ok(None);
    }
    extensions::parse(after, whole).map(|found| Some(Box::new(found)))
}

fn ipv4(block: &[u8]) -> Result<(Ends, Option<&[u8]>), HeaderError> {
    let (from, rest) = block.split_first_chunk::<4>().ok_or(HeaderError::Address)?;
    let (to, rest) = rest.split_first_chunk::<4>().ok_or(HeaderError::Address)?;
    let [from, to] = [from, to].map(|octets| Ipv4Addr::from(*octets).into());
    with_ports(from, to, rest)
}

fn ipv6(block: &[u8]) -> Result<(Ends, Option<&[u8]>), HeaderError> {
    let (from, rest) = block
        .split_first_chunk::<16>()
        .ok_or(HeaderError::Address)?;
    let (to, rest) = rest.split_first_chunk::<16>().ok_or(HeaderError::Address)?;
    let [from, to] = [from, to].map(|octets| Ipv6Addr::from(*octets).into());
    with_ports(from, to, rest)
}

fn with_ports(from: IpAddr, to: IpAddr, rest: &[u8]) -> Result<(Ends, Option<&[u8]>), HeaderError> {
    let (&[a, b, c, d], rest) = rest.split_first_chunk::<4>().ok_or(HeaderError::Address)?;
    let ends = Ends::Tcp {
        from: SocketAddr::new(from, u16::from_be_bytes([a, b])),
        to: SocketAddr::new(to, u16::from_be_bytes([c, d])),
    };
    Ok((ends, Some(rest)))
}

pub(super) fn write(out: &mut Vec<u8>, ends: Option<(SocketAddr, SocketAddr)>) {
    out.extend_from_slice(SIGNATURE);
    let Some((from, to)) = ends else {
        // The receiver takes the ends of the connection.
        out.extend_from_slice(&[VERSION_PROXY, UNSPECIFIED, 0, 0]);
        return;
    };
    match (from.ip(), to.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            out.extend_from_slice(&[VERSION_PROXY, TCP_IPV4, 0, 12]);
            out.extend_from_slice(&from.octets());
            out.extend_from_slice(&to.octets());
        }
        (from, to) => {
            out.extend_from_slice(&[VERSION_PROXY, TCP_IPV6, 0, 36]);
            out.extend_from_slice(&v6(from).octets());
            out.extend_from_slice(&v6(to).octets());
        }
    }
    out.extend_from_slice(&from.port().to_be_bytes());
    out.extend_from_slice(&to.port().to_be_bytes());
}

const fn v6(ip: IpAddr) -> Ipv6Addr {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    }
}

pub(super) fn write_local(out: &mut Vec<u8>) {
    out.extend_from_slice(SIGNATURE);
    out.extend_from_slice(&[VERSION_LOCAL, UNSPECIFIED, 0, 0]);
}
