//! What a client's frames cost and what they bring: who sends frames without end that ask for
//! nothing is told to calm down.
//!
//! The engine bounds what it keeps: streams, heads, continuations, resets before a request was
//! seen. What it does not bound is work: a million pings, or streams begun and reset. Frames are
//! counted here as they pass, by their first nine bytes.

use crate::clock;

/// The bytes before a client's first frame: `PRI * HTTP/2.0`, an empty line, `SM`, an empty line.
const PREFACE_LENGTH: u32 = 24;

/// The bytes of a frame's head (RFC 9113 §4.1).
const HEAD_LENGTH: usize = 9;

/// Points a connection may be short of: a page of two hundred parts that is left again costs no
/// more.
const BALANCE_MAX: u32 = 1000;

/// Points a second that every connection earns by being there: pings, a change of settings, a
/// stream reset now and then.
const EARNED_A_SECOND: u64 = 100;

/// Points a response earns that went out whole: as much as a stream that is reset costs.
const EARNED_A_RESPONSE: u32 = 5;

/// Bytes of content sent that earn a point: a client answers what it reads with an update of two
/// windows, and may do so for every packet.
const SENT_A_POINT: usize = 512;

/// What has come on one connection.
#[derive(Debug)]
pub(super) struct Watch {
    head: [u8; HEAD_LENGTH],
    /// How many bytes of the head of the frame have come.
    head_length: usize,
    /// Bytes before the next head.
    left: u32,
    /// Of which kind the frame is that is coming.
    kind: Option<Kind>,
    /// A field block has begun and not ended.
    within_block: bool,
    /// How many frames and field blocks have begun.
    begun: u64,
    balance: u32,
    /// When points were earned last, in milliseconds.
    earned: u64,
    flooded: bool,
    /// How many streams the client has reset since that was asked.
    resets: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Data,
    Headers,
    Priority,
    ResetStream,
    Settings,
    Ping,
    WindowUpdate,
    Continuation,
    Other,
}

impl Default for Watch {
    fn default() -> Self {
        Self {
            head: [0; HEAD_LENGTH],
            head_length: 0,
            left: PREFACE_LENGTH,
            kind: None,
            within_block: false,
            begun: 0,
            balance: BALANCE_MAX,
            earned: clock::millis(),
            flooded: false,
            resets: 0,
        }
    }
}

impl Watch {
    /// Bytes that go to the engine, in order.
    pub(super) fn read(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.left > 0 {
                let count = usize::try_from(self.left).unwrap_or(usize::MAX);
                let count = count.min(bytes.len());
                bytes = bytes.get(count..).unwrap_or_default();
                self.left -= u32::try_from(count).unwrap_or(self.left);
                continue;
            }
            let count = bytes.len().min(HEAD_LENGTH - self.head_length);
            let (piece, rest) = bytes.split_at(count);
            let end = self.head_length + count;
            if let Some(room) = self.head.get_mut(self.head_length..end) {
                room.copy_from_slice(piece);
            }
            bytes = rest;
            if self.head_length == 0 && !self.within_block {
                self.begun += 1;
            }
            self.head_length = end;
            if end == HEAD_LENGTH {
                self.head_length = 0;
                self.frame();
            }
        }
    }

    /// A response has gone out whole.
    pub(super) fn answered(&mut self) {
        self.earn(EARNED_A_RESPONSE);
    }

    /// So many bytes of content have gone out.
    pub(super) fn sent(&mut self, bytes: usize) {
        self.earn(u32::try_from(bytes / SENT_A_POINT).unwrap_or(u32::MAX));
    }

    /// Whether the client has sent more frames that ask for nothing than it may.
    pub(super) fn is_flooded(&self) -> bool {
        self.flooded
    }

    /// How many streams the client has reset since the last time.
    pub(super) fn take_resets(&mut self) -> u64 {
        std::mem::take(&mut self.resets)
    }

    /// The number of the frame or field block that has begun and must come to its end soon.
    /// Content may take its time: its own deadlines are for that.
    pub(super) fn midway(&self) -> Option<u64> {
        let within_head = self.head_length > 0;
        let within_frame = self.left > 0 && self.kind != Some(Kind::Data);
        (self.within_block || within_head || within_frame).then_some(self.begun)
    }

    fn frame(&mut self) {
        let [a, b, c, kind, flags, ..] = self.head;
        self.left = u32::from_be_bytes([0, a, b, c]);
        let kind = match kind {
            0x0 => Kind::Data,
            0x1 => Kind::Headers,
            0x2 => Kind::Priority,
            0x3 => Kind::ResetStream,
            0x4 => Kind::Settings,
            0x6 => Kind::Ping,
            0x8 => Kind::WindowUpdate,
            0x9 => Kind::Continuation,
            _ => Kind::Other,
        };
        self.kind = Some(kind);
        if matches!(kind, Kind::Headers | Kind::Continuation) {
            const END_HEADERS: u8 = 0x4;
            self.within_block = flags & END_HEADERS == 0;
        }
        if kind == Kind::ResetStream {
            self.resets += 1;
        }
        let cost = match kind {
            Kind::Data if self.left == 0 && flags & 0x1 == 0 => 5,
            Kind::Data | Kind::Headers => 0,
            Kind::Priority | Kind::WindowUpdate | Kind::Other => 1,
            Kind::Ping => 2,
            Kind::ResetStream | Kind::Continuation => 5,
            Kind::Settings => 10,
        };
        self.pay(cost);
    }

    fn pay(&mut self, cost: u32) {
        if cost == 0 {
            return;
        }
        let now = clock::millis();
        let earned = now.saturating_sub(self.earned) * EARNED_A_SECOND / 1000;
        if earned > 0 {
            self.earned = now;
            self.earn(u32::try_from(earned).unwrap_or(BALANCE_MAX));
        }
        match self.balance.checked_sub(cost) {
            Some(balance) => self.balance = balance,
            None => self.flooded = true,
        }
    }

    fn earn(&mut self, points: u32) {
        self.balance = self.balance.saturating_add(points).min(BALANCE_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(length: usize, kind: u8, flags: u8) -> Vec<u8> {
        let [.., a, b, c] = u32::try_from(length).unwrap().to_be_bytes();
        let mut frame = vec![a, b, c, kind, flags, 0, 0, 0, 1];
        frame.resize(HEAD_LENGTH + length, 0);
        frame
    }

    fn begun() -> Watch {
        let mut watch = Watch::default();
        watch.read(&[b'P'; 24]);
        watch
    }

    #[test]
    fn frames_are_told_apart_however_they_arrive() {
        let mut bytes = vec![b'P'; 24];
        bytes.extend(frame(6, 0x4, 0));
        bytes.extend(frame(8, 0x6, 0));
        bytes.extend(frame(5, 0x1, 0x5));
        for size in [1, 2, 7, 9, 100] {
            let mut watch = Watch::default();
            for piece in bytes.chunks(size) {
                watch.read(piece);
            }
            assert_eq!(watch.balance, BALANCE_MAX - 12, "pieces of {size}");
            assert_eq!(watch.kind, Some(Kind::Headers));
            assert_eq!(watch.midway(), None);
        }
    }

    #[test]
    fn a_head_that_has_begun_is_waited_for_and_content_is_not() {
        let mut watch = begun();
        let head = frame(5, 0x1, 0x1);
        watch.read(&head[..3]);
        assert_eq!(watch.midway(), Some(1), "a part of a frame's head");
        watch.read(&head[3..]);
        assert_eq!(watch.midway(), Some(1), "without END_HEADERS");
        watch.read(&frame(0, 0x9, 0)[..5]);
        assert_eq!(watch.midway(), Some(1), "the same block");
        watch.read(&frame(0, 0x9, 0)[5..]);
        watch.read(&frame(0, 0x9, 0x4));
        assert_eq!(watch.midway(), None);
        watch.read(&frame(100, 0x0, 0x0)[..50]);
        assert_eq!(watch.midway(), None, "a part of content");
    }

    #[test]
    fn frames_that_ask_for_nothing_run_out_and_those_that_bring_something_do_not() {
        let mut watch = begun();
        for _ in 0..200 {
            watch.read(&frame(4, 0x3, 0));
        }
        assert!(!watch.is_flooded(), "two hundred resets");
        assert_eq!((watch.take_resets(), watch.take_resets()), (200, 0));
        // Time may have earned some more.
        for _ in 0..100 {
            watch.read(&frame(4, 0x3, 0));
        }
        assert!(watch.is_flooded());

        let mut watch = begun();
        for _ in 0..10_000 {
            watch.read(&frame(4, 0x3, 0));
            watch.answered();
            watch.read(&frame(4, 0x8, 0));
            watch.sent(SENT_A_POINT);
            watch.read(&frame(1000, 0x0, 0));
            watch.read(&frame(10, 0x1, 0x4));
        }
        assert!(!watch.is_flooded());
    }
}
