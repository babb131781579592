//! Cases of HTTP/2: text files that say which frames are sent and what must come back.
//!
//! ```text
//! # A reason, an RFC section.
//! --- the name of a case
//! > GET 1 /ok                       a whole request: method, stream, path
//! > POST+ 1 /sink                   a head that content follows
//! >   name: value                   a field more, of the head above; `:method: GET` too
//! > HEADERS 1 END_STREAM            a head of the fields below alone, and these flags; `more`
//!                                   leaves the end of it to a CONTINUATION
//! > DATA 1 END_STREAM | content     any frame: kind, stream, flags, `|` payload
//! > FRAME 0xb 0x4 1 | payload       by numbers: kind, flags, stream
//! > SETTINGS 0 4=65535              identifiers and values
//! > RST_STREAM 1 CANCEL             an error by its name; GOAWAY has the last stream before it
//! > WINDOW_UPDATE 1 100             an increment
//! > BYTES | bytes                   bytes as they are
//! < 200 1                           a whole answer on a stream
//! < 200 1 = ok                      and its content
//! < RST 1 PROTOCOL_ERROR            the stream is reset
//! < GOAWAY PROTOCOL_ERROR or CODE   the connection says goodbye
//! < closed                          or `open`: a ping is answered
//! ```
//!
//! Preface and empty settings are sent before, unless the case begins with `> BARE`. Payloads are
//! escaped as in the cases of the wire: `\xNN`, `{N c}`.

use crate::support::h2::frame::{ERRORS, KINDS};
use crate::support::h2::{Frame, PREFACE, encode, flag, kind};
use crate::support::script::unescape;

/// Frames sent, and what must come back.
#[derive(Debug)]
pub(super) struct Case {
    pub(super) name: String,
    pub(super) sent: Vec<u8>,
    pub(super) expected: Vec<Expected>,
    pub(super) open: bool,
}

/// What must come back.
#[derive(Debug)]
pub(super) enum Expected {
    Answer {
        status: u16,
        stream: u32,
        body: Option<Vec<u8>>,
    },
    Reset {
        stream: u32,
        errors: Vec<String>,
    },
    Goodbye {
        errors: Vec<String>,
    },
}

/// Names and values.
type Lines = Vec<(Vec<u8>, Vec<u8>)>;

/// A frame whose fields may yet follow.
struct Pending {
    frame: Frame,
    fields: Lines,
}

impl Pending {
    fn bytes(mut self) -> Vec<u8> {
        let fields = self.fields.iter();
        let block = encode(fields.map(|(name, value)| (name.as_slice(), value.as_slice())));
        self.frame.payload.extend(block);
        self.frame.bytes()
    }
}

/// Reads the cases of a file.
pub(super) fn parse(text: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    let mut pending: Option<Pending> = None;
    let mut ended = true;
    for line in text.lines() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(name) = line.strip_prefix("--- ") {
            assert!(ended, "the case before `{name}` does not end");
            ended = false;
            cases.push(Case {
                name: name.to_owned(),
                sent: [PREFACE, &Frame::new(kind::SETTINGS, 0, 0, []).bytes()].concat(),
                expected: Vec::new(),
                open: false,
            });
            continue;
        }
        assert!(!ended, "`{line}` belongs to no case");
        let case = cases.last_mut().expect("a case has begun");
        if let Some(field) = line.strip_prefix(">   ") {
            let fields = &mut pending.as_mut().expect("a head above").fields;
            fields.push(read_field(field));
            continue;
        }
        let before = pending.take().map(Pending::bytes);
        case.sent.extend(before.unwrap_or_default());
        match line.split_at_checked(2) {
            Some(("> ", "BARE")) => case.sent.clear(),
            Some(("> ", frame)) => match frame.strip_prefix("BYTES | ") {
                Some(bytes) => case.sent.extend(unescape(bytes)),
                None => pending = Some(read_frame(frame)),
            },
            Some(("< ", "closed")) => ended = true,
            Some(("< ", "open")) => (case.open, ended) = (true, true),
            Some(("< ", expected)) => case.expected.push(read_expected(expected)),
            _ => panic!("`{line}` is no line of a case"),
        }
    }
    assert!(ended, "the last case does not end");
    cases
}

fn read_field(field: &str) -> (Vec<u8>, Vec<u8>) {
    // The colon of a pseudo-field is part of its name.
    let from = usize::from(field.starts_with(':'));
    let colon = from + field[from..].find(": ").expect("name: value");
    (unescape(&field[..colon]), unescape(&field[colon + 2..]))
}

fn read_frame(line: &str) -> Pending {
    let (words, payload) = line.split_once(" | ").unwrap_or((line, ""));
    let words: Vec<&str> = words.split_whitespace().collect();
    let payload = unescape(payload);
    let fields = Vec::new();
    let (frame, fields) = match words.as_slice() {
        ["FRAME", kind, flags, stream] => {
            let byte = |text: &str| u8::try_from(number(text)).unwrap();
            (
                Frame::new(byte(kind), byte(flags), number(stream), payload),
                fields,
            )
        }
        [name, stream, rest @ ..] => match KINDS.iter().position(|kind| kind == name) {
            None => request(name, number(stream), rest),
            Some(kind) => {
                let kind = u8::try_from(kind).unwrap();
                let (flags, payload) = parameters(kind, rest, payload);
                (Frame::new(kind, flags, number(stream), payload), fields)
            }
        },
        _ => panic!("`{line}` is no frame"),
    };
    Pending { frame, fields }
}

fn request(method: &str, stream: u32, rest: &[&str]) -> (Frame, Lines) {
    let path = rest.join(" ");
    let flags = if method.ends_with('+') {
        0
    } else {
        flag::END_STREAM
    };
    let fields = [
        (":method", method.trim_end_matches('+')),
        (":scheme", "http"),
        (":path", &path),
        (":authority", "a"),
    ];
    let fields = fields.map(|(name, value)| (name.into(), unescape(value)));
    let frame = Frame::new(kind::HEADERS, flags | flag::END_HEADERS, stream, []);
    (frame, fields.into())
}

/// Flags and payload of a frame, from what is written behind its stream.
fn parameters(of: u8, words: &[&str], mut payload: Vec<u8>) -> (u8, Vec<u8>) {
    let mut flags = 0;
    for word in words {
        match *word {
            "ACK" => flags |= flag::ACK,
            "END_STREAM" => flags |= flag::END_STREAM,
            "END_HEADERS" => flags |= flag::END_HEADERS,
            "PADDED" => flags |= flag::PADDED,
            "PRIORITY" => flags |= flag::PRIORITY,
            "more" => {}
            other => match other.split_once('=') {
                Some((identifier, value)) => {
                    let identifier = u16::try_from(number(identifier)).unwrap();
                    payload.extend(identifier.to_be_bytes());
                    payload.extend(number(value).to_be_bytes());
                }
                None => payload.extend(error(other).unwrap_or_else(|| number(other)).to_be_bytes()),
            },
        }
    }
    // Not said otherwise, a head is whole.
    if of == kind::HEADERS && !words.contains(&"more") {
        flags |= flag::END_HEADERS;
    }
    (flags, payload)
}

fn error(name: &str) -> Option<u32> {
    let at = ERRORS.iter().position(|known| *known == name)?;
    u32::try_from(at).ok()
}

fn number(text: &str) -> u32 {
    let parsed = match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16),
        None => text.parse(),
    };
    parsed.unwrap_or_else(|_| panic!("`{text}` is no number"))
}

fn read_expected(line: &str) -> Expected {
    let (words, body) = match line.split_once(" =") {
        Some((words, body)) => (words, Some(unescape(body.trim_start()))),
        None => (line, None),
    };
    let words: Vec<&str> = words
        .split_whitespace()
        .filter(|word| *word != "or")
        .collect();
    let names = |names: &[&str]| {
        assert!(names.iter().all(|name| error(name).is_some()), "{names:?}");
        names.iter().map(|name| (*name).to_owned()).collect()
    };
    match words.as_slice() {
        ["GOAWAY", errors @ ..] => Expected::Goodbye {
            errors: names(errors),
        },
        ["RST", stream, errors @ ..] => Expected::Reset {
            stream: number(stream),
            errors: names(errors),
        },
        [status, stream] => Expected::Answer {
            status: status.parse().expect("a status"),
            stream: number(stream),
            body,
        },
        _ => panic!("`{line}` expects nothing"),
    }
}
