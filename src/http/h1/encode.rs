//! Heads to bytes. No formatting machinery: copies and own digits.

use crate::http::name::NameSet;
use crate::http::{HeaderName, Headers, Method, StatusCode, Version, name};

/// How the length of the content is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyLength {
    /// No framing field: there is no content, or the connection tells its end.
    Untold,
    /// `Content-Length`.
    Length(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
}

/// What the `Connection` field says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectionOption {
    /// No field: what the version says by itself.
    Unsaid,
    /// To an HTTP/1.0 client that asked for it.
    KeepAlive,
    /// The connection ends behind this response.
    Close,
    /// With a 101: the `Upgrade` field of the response is kept.
    Upgrade,
}

/// What the connection adds to a response.
#[derive(Debug)]
pub struct HeadOptions<'a> {
    /// The `Date` of now, unless the response has one.
    pub date: &'a [u8; 29],
    /// The `Server` field, unless the response has one.
    pub server: Option<&'a str>,
    /// The `Connection` field.
    pub connection: ConnectionOption,
    /// The framing.
    pub body: BodyLength,
}

/// The fields that need a decision; without them all are written in one piece.
const DECIDED: NameSet = NameSet::of(&[
    &name::UPGRADE,
    &name::CONNECTION,
    &name::KEEP_ALIVE,
    &name::CONTENT_LENGTH,
    &name::TRANSFER_ENCODING,
]);

/// Writes a response head. The framing and connection fields among `headers` are left out: they
/// are decided here.
pub fn write_response_head(
    out: &mut Vec<u8>,
    status: StatusCode,
    headers: &Headers,
    options: &HeadOptions<'_>,
) {
    write_status_line(out, status);
    if let Some(lines) = headers.lines_without(DECIDED) {
        out.extend_from_slice(lines);
    } else {
        for (name, value) in headers.iter() {
            if !is_ours(name, options.connection) {
                write_field(out, name, value);
            }
        }
    }
    if !headers.contains(&name::DATE) {
        write_field(out, b"Date", options.date);
    }
    if let Some(server) = options.server
        && !headers.contains(&name::SERVER)
    {
        write_field(out, b"Server", server.as_bytes());
    }
    write_framing(out, options.body);
    match options.connection {
        ConnectionOption::Unsaid => {}
        ConnectionOption::KeepAlive => write_field(out, b"Connection", b"keep-alive"),
        ConnectionOption::Close => write_field(out, b"Connection", b"close"),
        ConnectionOption::Upgrade => write_field(out, b"Connection", b"upgrade"),
    }
    out.extend_from_slice(b"\r\n");
}

/// Writes the head of an interim response (1xx), which has no content.
pub fn write_interim_head(out: &mut Vec<u8>, status: StatusCode, headers: &Headers) {
    write_status_line(out, status);
    for (name, value) in headers.iter() {
        if !is_ours(name, ConnectionOption::Unsaid) {
            write_field(out, name, value);
        }
    }
    out.extend_from_slice(b"\r\n");
}

fn write_status_line(out: &mut Vec<u8>, status: StatusCode) {
    if status == StatusCode::OK {
        out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
        return;
    }
    out.extend_from_slice(b"HTTP/1.1 ");
    write_decimal(out, u64::from(status.code()));
    out.push(b' ');
    out.extend_from_slice(status.reason().as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// Writes a request head for an upstream: the fields as given but for the framing, which is
/// `body`.
pub fn write_request_head(
    out: &mut Vec<u8>,
    method: &Method,
    target: &str,
    headers: &Headers,
    body: BodyLength,
) {
    out.extend_from_slice(method.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(target.as_bytes());
    out.push(b' ');
    out.extend_from_slice(Version::Http11.as_str().as_bytes());
    out.extend_from_slice(b"\r\n");
    for (name, value) in headers.iter() {
        if !is(name, &name::CONTENT_LENGTH) && !is(name, &name::TRANSFER_ENCODING) {
            write_field(out, name, value);
        }
    }
    write_framing(out, body);
    out.extend_from_slice(b"\r\n");
}

/// Writes a number in decimal digits.
pub fn write_decimal(out: &mut Vec<u8>, number: u64) {
    let mut digits = itoa::Buffer::new();
    out.extend_from_slice(digits.format(number).as_bytes());
}

fn is_ours(name: &[u8], connection: ConnectionOption) -> bool {
    match name.len() {
        7 => connection != ConnectionOption::Upgrade && is(name, &name::UPGRADE),
        10 => is(name, &name::CONNECTION) || is(name, &name::KEEP_ALIVE),
        14 => is(name, &name::CONTENT_LENGTH),
        17 => is(name, &name::TRANSFER_ENCODING),
        _ => false,
    }
}

fn is(name: &[u8], known: &HeaderName) -> bool {
    name.eq_ignore_ascii_case(known.as_str().as_bytes())
}

/// Writes a field line. Name and value must be free of line ends.
pub fn write_field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.reserve(name.len() + value.len() + 4);
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Writes the field that tells the length of the content.
pub fn write_framing(out: &mut Vec<u8>, body: BodyLength) {
    match body {
        BodyLength::Untold => {}
        BodyLength::Length(length) => {
            out.extend_from_slice(b"Content-Length: ");
            write_decimal(out, length);
            out.extend_from_slice(b"\r\n");
        }
        BodyLength::Chunked => write_field(out, b"Transfer-Encoding", b"chunked"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(headers: &Headers, connection: ConnectionOption, body: BodyLength) -> String {
        let mut out = Vec::new();
        let date = b"Sun, 06 Nov 1994 08:49:37 GMT";
        let options = HeadOptions {
            date,
            server: Some("s"),
            connection,
            body,
        };
        write_response_head(&mut out, StatusCode::OK, headers, &options);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_connection_decides_framing_and_persistence() {
        let mut headers = Headers::new();
        headers.append(&name::CONTENT_LENGTH, "99");
        headers.append(&name::CONNECTION, "keep-alive");
        headers.append(&name::UPGRADE, "h2c");
        headers.append(&name::ETAG, "\"a\"");
        assert_eq!(
            response(&headers, ConnectionOption::Close, BodyLength::Length(3)),
            "HTTP/1.1 200 OK\r\nETag: \"a\"\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
             Server: s\r\nContent-Length: 3\r\nConnection: close\r\n\r\n"
        );
        let upgraded = response(&headers, ConnectionOption::Upgrade, BodyLength::Untold);
        assert!(upgraded.contains("Upgrade: h2c\r\n") && upgraded.contains("Connection: upgrade"));
    }

    #[test]
    fn date_and_server_of_the_response_are_kept() {
        let mut headers = Headers::new();
        headers.append(&name::DATE, "d");
        headers.append(&name::SERVER, "own");
        assert_eq!(
            response(&headers, ConnectionOption::Unsaid, BodyLength::Chunked),
            "HTTP/1.1 200 OK\r\nDate: d\r\nServer: own\r\nTransfer-Encoding: chunked\r\n\r\n"
        );
    }

    #[test]
    fn a_request_keeps_its_fields_but_not_its_framing() {
        let mut headers = Headers::new();
        headers.append(&name::HOST, "a");
        headers.append(&name::TRANSFER_ENCODING, "chunked");
        let mut out = Vec::new();
        write_request_head(
            &mut out,
            &Method::Post,
            "/x",
            &headers,
            BodyLength::Length(18_446_744_073_709_551_615),
        );
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551615\r\n\r\n"
        );
    }
}
