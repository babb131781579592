//! Version 1: a line of text (§2.1).

use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use super::{Ends, Header, HeaderError, TEXT_BYTES_MAX};

/// What every line begins with.
pub(super) const START: &[u8] = b"PROXY ";

pub(super) fn parse(bytes: &[u8]) -> Result<Option<(Header, usize)>, HeaderError> {
    let within = bytes.get(..TEXT_BYTES_MAX).unwrap_or(bytes);
    let Some(end) = memchr::memchr(b'\n', within) else {
        let whole = within.len() == TEXT_BYTES_MAX;
        return if whole {
            Err(HeaderError::TooLong)
        } else {
            Ok(None)
        };
    };
    let line = within
        .get(START.len()..end)
        .and_then(|line| line.strip_suffix(b"\r"));
    let line = line.ok_or(HeaderError::Address)?;
    let header = Header {
        ends: ends(line)?,
        extensions: None,
    };
    Ok(Some((header, end + 1)))
}

/// What stands between `PROXY ` and CRLF. Fields are apart by exactly one blank.
fn ends(line: &[u8]) -> Result<Ends, HeaderError> {
    let mut fields = line.split(|&byte| byte == b' ');
    let ends = match fields.next() {
        // Whatever follows is to be ignored.
        Some(b"UNKNOWN") => return Ok(Ends::Own),
        Some(b"TCP4") => addresses::<Ipv4Addr>(&mut fields)?,
        Some(b"TCP6") => addresses::<Ipv6Addr>(&mut fields)?,
        _ => return Err(HeaderError::Family),
    };
    if fields.next().is_some() {
        return Err(HeaderError::Address);
    }
    Ok(ends)
}

fn addresses<'l, A: FromStr + Into<IpAddr>>(
    fields: &mut impl Iterator<Item = &'l [u8]>,
) -> Result<Ends, HeaderError> {
    let mut next = || {
        let field = fields
            .next()
            .and_then(|field| std::str::from_utf8(field).ok());
        field.ok_or(HeaderError::Address)
    };
    let [from, to] = [next()?, next()?].map(|text| {
        text.parse::<A>()
            .map(Into::into)
            .map_err(|_| HeaderError::Address)
    });
    let [from_port, to_port] = [next()?, next()?].map(port);
    Ok(Ends::Tcp {
        from: SocketAddr::new(from?, from_port?),
        to: SocketAddr::new(to?, to_port?),
    })
}

/// A decimal number without leading zeros.
fn port(text: &str) -> Result<u16, HeaderError> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let padded = text.len() > 1 && text.starts_with('0');
    let port = text.parse().ok().filter(|_| digits && !padded);
    port.ok_or(HeaderError::Address)
}

pub(super) fn write(out: &mut Vec<u8>, ends: Option<(SocketAddr, SocketAddr)>) {
    let Some((from, to)) = ends else {
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
