//! What a header of version 2 may say beside addresses: type, length, value (§2.2.1 to §2.2.7).

use super::HeaderError;
use super::checksum::crc32c;

const ALPN: u8 = 0x01;
const AUTHORITY: u8 = 0x02;
const CRC32C: u8 = 0x03;
const UNIQUE_ID: u8 = 0x05;
const TLS: u8 = 0x20;
const TLS_VERSION: u8 = 0x21;
const TLS_COMMON_NAME: u8 = 0x22;
const TLS_CIPHER: u8 = 0x23;

/// Of the bits about TLS: the client came over it, and showed a certificate now or before.
const CLIENT_TLS: u8 = 0x01;
const CLIENT_CERTIFICATE: u8 = 0x02 | 0x04;

/// The longest unique id, in bytes (§2.2.5).
const UNIQUE_ID_MAX: usize = 128;

/// What is known of them; others are passed over. Each is of the last of its type.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Extensions {
    /// The protocol that was agreed on with the client.
    pub alpn: Option<Box<[u8]>>,
    /// The host the client named, by SNI as a rule.
    pub authority: Option<Box<str>>,
    /// What identifies the connection among all of the balancer's.
    pub unique_id: Option<Box<[u8]>>,
    /// How the client came over TLS, if it did.
    pub tls: Option<Tls>,
}

/// TLS between the client and the balancer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tls {
    /// The client showed a certificate, and it was verified.
    pub verified: bool,
    /// `TLSv1.3`.
    pub version: Option<Box<str>>,
    /// The common name of the client's certificate.
    pub common_name: Option<Box<str>>,
    /// `ECDHE-RSA-AES128-GCM-SHA256`.
    pub cipher: Option<Box<str>>,
}

/// Reads all that stands behind the addresses of `header`.
pub(super) fn parse(bytes: &[u8], header: &[u8]) -> Result<Extensions, HeaderError> {
    let mut found = Extensions::default();
    let mut each = Each(bytes);
    while let Some(extension) = each.next() {
        let (kind, value) = extension?;
        match kind {
            ALPN => found.alpn = Some(value.into()),
            AUTHORITY => found.authority = Some(text(value)?),
            CRC32C => check(value, header, header.len() - each.0.len())?,
            UNIQUE_ID if value.len() <= UNIQUE_ID_MAX => found.unique_id = Some(value.into()),
            UNIQUE_ID => return Err(HeaderError::Extensions),
            TLS => found.tls = tls(value)?,
            _ => {}
        }
    }
    Ok(found)
}

fn tls(value: &[u8]) -> Result<Option<Tls>, HeaderError> {
    let Some((&[client, verify @ ..], inner)) = value.split_first_chunk::<5>() else {
        return Err(HeaderError::Extensions);
    };
    let mut found = Tls {
        // Zero is success, also where nothing was to be verified.
        verified: client & CLIENT_CERTIFICATE != 0 && verify == [0; 4],
        ..Tls::default()
    };
    for extension in Each(inner) {
        let (kind, value) = extension?;
        match kind {
            TLS_VERSION => found.version = Some(text(value)?),
            TLS_COMMON_NAME => found.common_name = Some(text(value)?),
            TLS_CIPHER => found.cipher = Some(text(value)?),
            _ => {}
        }
    }
    Ok((client & CLIENT_TLS != 0).then_some(found))
}

fn text(value: &[u8]) -> Result<Box<str>, HeaderError> {
    let text = std::str::from_utf8(value).map_err(|_| HeaderError::Extensions)?;
    Ok(text.into())
}

/// The checksum is of the whole header, with zeros in its own place, which ends at `end`.
fn check(value: &[u8], header: &[u8], end: usize) -> Result<(), HeaderError> {
    let told = value.try_into().map_err(|_| HeaderError::Extensions)?;
    let own = end.saturating_sub(value.len())..end;
    let bytes = header.iter().enumerate();
    let bytes = bytes.map(|(at, &byte)| if own.contains(&at) { 0 } else { byte });
    let right = crc32c(bytes) == u32::from_be_bytes(told);
    right.then_some(()).ok_or(HeaderError::Checksum)
}

/// Each type with its value, to the last byte.
struct Each<'b>(&'b [u8]);

impl<'b> Iterator for Each<'b> {
    type Item = Result<(u8, &'b [u8]), HeaderError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let split = self
            .0
            .split_first_chunk()
            .and_then(|(&[kind, high, low], rest)| {
                let length = u16::from_be_bytes([high, low]);
                let (value, rest) = rest.split_at_checked(usize::from(length))?;
                Some((kind, value, rest))
            });
        let Some((kind, value, rest)) = split else {
            self.0 = &[];
            return Some(Err(HeaderError::Extensions));
        };
        self.0 = rest;
        Some(Ok((kind, value)))
    }
}
