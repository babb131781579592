//! The bodies of the fuzz targets for the protocol: what must hold for any bytes.

use super::h1::ParseError;
use super::h1::chunked::Decoder;
use super::h1::encode::{BodyLength, write_request_head};
use super::h1::head::{HeadLimits, RequestParser};
use super::h1::response::{ResponseHead, ResponseParser};
use super::{RequestHead, Target, proxy_protocol};

/// A request head: read alike in whatever pieces it comes, and again as it is written.
///
/// # Panics
/// Something that must hold does not.
pub fn h1_head(data: &[u8]) {
    let limits = HeadLimits::default();
    let mut head = RequestHead::default();
    let whole = RequestParser::default().parse(data, &limits, &mut head);
    let (mut parser, mut piecewise) = (RequestParser::default(), RequestHead::default());
    let mut stepped = Ok(None);
    for end in 0..=data.len() {
        stepped = parser.parse(data.get(..end).unwrap_or_default(), &limits, &mut piecewise);
        if !matches!(stepped, Ok(None)) {
            break;
        }
    }
    assert_eq!(whole.is_err(), stepped.is_err(), "{whole:?} {stepped:?}");
    let Ok(Some(consumed)) = whole else { return };
    assert!(consumed <= data.len());
    assert_eq!(stepped, Ok(Some(consumed)));
    assert_eq!(head.target.raw(), piecewise.target.raw());
    assert!(head.headers.iter().eq(piecewise.headers.iter()));

    let mut written = Vec::new();
    let raw = head.target.raw();
    write_request_head(
        &mut written,
        &head.method,
        raw,
        &head.headers,
        BodyLength::Untold,
    );
    // What is written says 1.1, where Host is needed, and frames by itself.
    let mut again = RequestHead::default();
    if let Ok(Some(end)) = RequestParser::default().parse(&written, &limits, &mut again) {
        assert_eq!(end, written.len(), "nothing stands behind the head");
        assert_eq!(again.target.raw(), head.target.raw());
        assert_eq!(again.method, head.method);
    }
}

/// A response head: read alike in one piece and in two.
///
/// # Panics
/// Something that must hold does not.
pub fn h1_response(data: &[u8]) {
    let limits = HeadLimits::default();
    let mut head = ResponseHead::default();
    let whole = ResponseParser::default().parse(data, &limits, &mut head);
    let (mut parser, mut piecewise) = (ResponseParser::default(), ResponseHead::default());
    let half = data.get(..data.len() / 2).unwrap_or_default();
    let stepped = match parser.parse(half, &limits, &mut piecewise) {
        Ok(None) => parser.parse(data, &limits, &mut piecewise),
        done => done,
    };
    assert_eq!(whole.is_err(), stepped.is_err(), "{whole:?} {stepped:?}");
    if let Ok(Some(consumed)) = whole {
        assert!(consumed <= data.len());
        assert_eq!(stepped, whole);
        assert!(head.headers.iter().eq(piecewise.headers.iter()));
    }
}

/// A chunked body: decodes to the same content in whatever pieces it comes.
///
/// # Panics
/// Something that must hold does not.
pub fn chunked(data: &[u8]) {
    let whole = decode(data, data.len().max(1));
    let bytewise = decode(data, 1);
    match (&whole, &bytewise) {
        (Ok(whole), Ok(bytewise)) => assert_eq!(whole, bytewise),
        (whole, bytewise) => assert_eq!(whole.is_err(), bytewise.is_err()),
    }
}

/// The content, and how many bytes belonged to the body.
fn decode(data: &[u8], piece: usize) -> Result<(Vec<u8>, usize), ParseError> {
    let mut decoder = Decoder::default();
    let (mut content, mut taken, mut available) = (Vec::new(), 0, 0);
    while available < data.len() && !decoder.is_done() {
        available = available.saturating_add(piece).min(data.len());
        while taken < available && !decoder.is_done() {
            let window = data.get(taken..available).unwrap_or_default();
            let step = decoder.decode(window)?;
            assert!(step.data.end <= step.consumed && step.consumed <= window.len());
            content.extend_from_slice(window.get(step.data).unwrap_or_default());
            assert!(step.consumed > 0, "a byte that is there is used");
            taken = taken.saturating_add(step.consumed);
        }
    }
    Ok((content, taken))
}

/// A request target: its path never leaves the root, and what would be forwarded means the same.
///
/// # Panics
/// Something that must hold does not.
pub fn target(data: &[u8]) {
    let mut target = Target::default();
    if target.parse(data).is_err() || target.path().is_empty() {
        return;
    }
    let path = target.path();
    assert_eq!(path.first(), Some(&b'/'));
    let inside = path
        .split(|&byte| byte == b'/')
        .all(|segment| segment != b"..");
    assert!(inside, "{}", path.escape_ascii());
    assert!(!path.contains(&0), "NUL stays encoded");
    let mut forwarded = Target::default();
    let parsed = forwarded.parse(target.upstream_path().as_bytes());
    assert_eq!(parsed, Ok(()));
    assert_eq!(
        forwarded.path().escape_ascii().to_string(),
        path.escape_ascii().to_string()
    );
}

/// A PROXY header: read alike in whatever pieces it comes, and again as it is written.
///
/// # Panics
/// Something that must hold does not.
pub fn proxy_header(data: &[u8]) {
    use proxy_protocol::{Ends, Header, Version, parse, write};
    let whole = parse(data);
    let piecewise = (0..=data.len())
        .map(|end| parse(data.get(..end).unwrap_or_default()))
        .find(|step| !matches!(step, Ok(None)));
    assert_eq!(whole, piecewise.unwrap_or(Ok(None)));
    let Ok(Some((header, used))) = whole else {
        return;
    };
    assert!(used <= data.len());
    let Ends::Tcp { from, to } = header.ends else {
        return;
    };
    for version in [Version::V1, Version::V2] {
        let mut written = Vec::new();
        write(&mut written, version, from, to);
        let again = parse(&written);
        assert!(matches!(again, Ok(Some(_))), "{again:?}");
        let Ok(Some((Header { ends, .. }, used))) = again else {
            return;
        };
        assert_eq!(used, written.len());
        if let Ends::Tcp { from: client, .. } = ends {
            assert_eq!(client.ip().to_canonical(), from.ip().to_canonical());
            assert_eq!(client.port(), from.port());
        }
    }
}
