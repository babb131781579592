//! An HTTP/2 client made of frames: it sends whatever a test says, and reads what comes.

pub(crate) mod frame;
pub(crate) mod hpack;
mod tables;

use std::collections::{BTreeMap, VecDeque};

pub(crate) use frame::{Frame, flag, kind};
pub(crate) use hpack::{Decoder, Fields, encode};

use super::daemon::Daemon;
use super::wire::Wire;

/// What a client begins with (RFC 9113 §3.4).
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A connection.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) wire: Wire,
    decoder: Decoder,
    /// Answers as far as they have come, by stream.
    answers: BTreeMap<u32, Answer>,
    /// The last stream and the error of each goodbye that was not asked for yet.
    goodbyes: VecDeque<(u32, &'static str)>,
    /// How much windows have opened, by stream, and was not asked for.
    opened: BTreeMap<u32, usize>,
    /// Whether what is read is acknowledged with window updates.
    pub(crate) updates: bool,
}

/// What has come on a stream.
#[derive(Debug, Default, Clone)]
pub(crate) struct Answer {
    /// Interim responses, each its fields.
    pub(crate) interim: Vec<Fields>,
    pub(crate) fields: Fields,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Option<Fields>,
    pub(crate) ended: bool,
    /// The error code it was reset with.
    pub(crate) reset: Option<&'static str>,
}

impl Answer {
    /// The status; 0 before it has come.
    pub(crate) fn status(&self) -> u16 {
        self.field(":status")
            .map_or(0, |text| text.parse().unwrap())
    }

    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let found = self.fields.iter().find(|(own, _)| own == name);
        found.map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Client {
    /// Connects, and has sent preface and settings.
    #[track_caller]
    pub(crate) fn connect(daemon: &Daemon, listener: &str) -> Self {
        let mut client = Self::silent(daemon.connect(listener));
        client.wire.send(PREFACE);
        client.send(&Frame::new(kind::SETTINGS, 0, 0, []));
        client
    }

    /// A connection on which nothing has been sent.
    pub(crate) fn silent(wire: Wire) -> Self {
        Self {
            wire,
            decoder: Decoder::default(),
            answers: BTreeMap::new(),
            goodbyes: VecDeque::new(),
            opened: BTreeMap::new(),
            updates: true,
        }
    }

    #[track_caller]
    pub(crate) fn send(&mut self, frame: &Frame) {
        self.wire.send(frame.bytes());
    }

    /// Sends a request head.
    #[track_caller]
    pub(crate) fn request(&mut self, stream: u32, method: &str, path: &str, more: &[(&str, &str)]) {
        self.send(&head(stream, flag::END_STREAM, method, path, more));
    }

    /// Sends the heads of GET requests in one piece: all have come when the first is answered.
    #[track_caller]
    pub(crate) fn requests(&mut self, path: &str, all: &[(u32, &[(&str, &str)])]) {
        let mut heads = Vec::new();
        for (stream, more) in all {
            let head = head(*stream, flag::END_STREAM, "GET", path, more);
            heads.extend(head.bytes());
        }
        self.wire.send(&heads);
    }

    /// Sends a request head that content follows.
    #[track_caller]
    pub(crate) fn begin(&mut self, stream: u32, method: &str, path: &str, more: &[(&str, &str)]) {
        self.send(&head(stream, 0, method, path, more));
    }

    #[track_caller]
    pub(crate) fn data(&mut self, stream: u32, content: &[u8], ends: bool) {
        let flags = if ends { flag::END_STREAM } else { 0 };
        self.send(&Frame::new(kind::DATA, flags, stream, content));
    }

    #[track_caller]
    pub(crate) fn reset(&mut self, stream: u32) {
        const CANCEL: u32 = 8;
        self.send(&Frame::new(
            kind::RST_STREAM,
            0,
            stream,
            CANCEL.to_be_bytes(),
        ));
    }

    #[track_caller]
    pub(crate) fn window(&mut self, stream: u32, bytes: u32) {
        self.send(&Frame::new(
            kind::WINDOW_UPDATE,
            0,
            stream,
            bytes.to_be_bytes(),
        ));
    }

    /// The next frame; `None` at the end.
    #[track_caller]
    pub(crate) fn frame(&mut self) -> Option<Frame> {
        if !self.wire.has_more() {
            return None;
        }
        let head = self.wire.read_bytes(9);
        let payload = self.wire.read_bytes(Frame::length(&head));
        let frame = Frame {
            kind: head[3],
            flags: head[4],
            stream: u32::from_be_bytes(head[5..9].try_into().unwrap()),
            payload,
        };
        self.note(&frame);
        Some(frame)
    }

    /// Reads frames up to one like this.
    #[track_caller]
    pub(crate) fn expect_that(&mut self, wanted: impl Fn(&Frame) -> bool) -> Frame {
        loop {
            let frame = self.frame().expect("a frame before the end");
            if wanted(&frame) {
                return frame;
            }
        }
    }

    /// The answer to a request on this stream, whole.
    #[track_caller]
    pub(crate) fn get(&mut self, stream: u32, path: &str) -> Answer {
        self.request(stream, "GET", path, &[]);
        self.answer(stream)
    }

    /// What has come on a stream once it has ended.
    #[track_caller]
    pub(crate) fn answer(&mut self, stream: u32) -> Answer {
        self.answer_until(stream, |answer| answer.ended || answer.reset.is_some());
        self.answers.remove(&stream).unwrap()
    }

    /// What has come on a stream as soon as that is enough.
    #[track_caller]
    pub(crate) fn answer_until(&mut self, stream: u32, enough: impl Fn(&Answer) -> bool) -> Answer {
        loop {
            if let Some(answer) = self.answers.get(&stream).filter(|answer| enough(answer)) {
                return answer.clone();
            }
            let frame = self.frame();
            let so_far = self.answers.get(&stream);
            assert!(frame.is_some(), "stream {stream} has not ended: {so_far:?}");
        }
    }

    /// Waits until the daemon has read all that was sent.
    #[track_caller]
    pub(crate) fn ping(&mut self, number: u64) {
        self.send(&Frame::new(kind::PING, 0, 0, number.to_be_bytes()));
        self.expect_that(|frame| {
            frame.kind == kind::PING
                && frame.has(flag::ACK)
                && frame.payload == number.to_be_bytes()
        });
    }

    /// Reads the goodbye: the last stream, and the name of the error.
    #[track_caller]
    pub(crate) fn goodbye(&mut self) -> (u32, &'static str) {
        loop {
            if let Some(goodbye) = self.goodbyes.pop_front() {
                return goodbye;
            }
            assert!(self.frame().is_some(), "the end, and no goodbye");
        }
    }

    /// The goodbyes that have come and were not asked for.
    pub(crate) fn goodbyes(&self) -> &VecDeque<(u32, &'static str)> {
        &self.goodbyes
    }

    /// By how much the window of a stream, or the connection's if that has opened less, has opened
    /// by the time the daemon has read all that was sent.
    #[track_caller]
    pub(crate) fn windows_until_ping(&mut self, stream: u32) -> usize {
        self.send(&Frame::new(kind::PING, 0, 0, [7; 8]));
        loop {
            let frame = self.frame().expect("a frame before the end");
            match frame.kind {
                kind::WINDOW_UPDATE => {
                    let opened = self.opened.entry(frame.stream).or_default();
                    *opened += frame.number(0) as usize;
                }
                kind::PING if frame.has(flag::ACK) => break,
                _ => {}
            }
        }
        let of = |stream| self.opened.get(&stream).copied().unwrap_or_default();
        let both = of(0).min(of(stream));
        for stream in [0, stream] {
            *self.opened.entry(stream).or_default() -= both;
        }
        both
    }

    /// Takes a frame in, and answers what must be answered.
    fn note(&mut self, frame: &Frame) {
        match frame.kind {
            kind::HEADERS => self.note_fields(frame),
            kind::DATA => {
                let answer = self.answers.entry(frame.stream).or_default();
                answer.body.extend_from_slice(&frame.payload);
                answer.ended |= frame.has(flag::END_STREAM);
                let length = u32::try_from(frame.payload.len()).unwrap();
                if self.updates && length > 0 {
                    let update = |stream| {
                        Frame::new(kind::WINDOW_UPDATE, 0, stream, length.to_be_bytes()).bytes()
                    };
                    // The daemon may have closed behind its last frame.
                    drop(
                        self.wire
                            .try_send(&[update(0), update(frame.stream)].concat()),
                    );
                }
            }
            kind::RST_STREAM => {
                let answer = self.answers.entry(frame.stream).or_default();
                answer.reset = Some(Frame::error(frame.number(0)));
            }
            kind::GOAWAY => {
                let error = Frame::error(frame.number(4));
                self.goodbyes.push_back((frame.number(0), error));
            }
            kind::SETTINGS if !frame.has(flag::ACK) => {
                let ack = Frame::new(kind::SETTINGS, flag::ACK, 0, []).bytes();
                drop(self.wire.try_send(&ack));
            }
            kind::PING if !frame.has(flag::ACK) => {
                let ack = Frame::new(kind::PING, flag::ACK, 0, frame.payload.clone()).bytes();
                drop(self.wire.try_send(&ack));
            }
            _ => {}
        }
    }

    fn note_fields(&mut self, frame: &Frame) {
        assert!(frame.has(flag::END_HEADERS), "a head in one frame");
        let fields = self.decoder.decode(&frame.payload);
        let answer = self.answers.entry(frame.stream).or_default();
        answer.ended |= frame.has(flag::END_STREAM);
        let status = fields.iter().find(|(name, _)| name == ":status");
        match status {
            None => answer.trailers = Some(fields),
            Some((_, status)) if status.starts_with('1') => answer.interim.push(fields),
            Some(_) => answer.fields = fields,
        }
    }
}

/// A request head in one frame.
pub(crate) fn head(
    stream: u32,
    flags: u8,
    method: &str,
    path: &str,
    more: &[(&str, &str)],
) -> Frame {
    let pseudo = [
        (":method", method),
        (":scheme", "http"),
        (":path", path),
        (":authority", "a"),
    ];
    let fields = pseudo.iter().chain(more);
    let block = encode(fields.map(|(name, value)| (name.as_bytes(), value.as_bytes())));
    Frame::new(kind::HEADERS, flags | flag::END_HEADERS, stream, block)
}
