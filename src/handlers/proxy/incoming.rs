//! What comes back on a connection from an upstream: a head, and the bytes behind it.

use std::task::{Context, Poll, ready};

use crate::http::StatusCode;
use crate::http::h1::ParseError;
use crate::http::h1::head::HeadLimits;
use crate::http::h1::response::{ResponseHead, ResponseParser};
use crate::sys::transport::Transport;

/// More than our own clients may send, since applications set long cookies and policies, and
/// still far from what would hurt.
const LIMITS: HeadLimits = HeadLimits {
    request_line: 8 * 1024,
    headers: 64 * 1024,
    header_count: 256,
};

/// Interim responses (1xx) before the final one. A 100 and some early hints are usual; an
/// endless row of them is an endless head.
pub(super) const INTERIMS_MAX: u8 = 16;

/// The answer of an upstream as it comes in.
#[derive(Debug)]
pub(super) struct Incoming {
    /// What has been read; before `start` are heads that are done with.
    buffer: Vec<u8>,
    start: usize,
    parser: ResponseParser,
    interims: u8,
    pub(super) head: ResponseHead,
}

/// What head has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Head {
    /// A 1xx other than 101: there is more to come.
    Interim,
    /// That of the answer, or of a 101.
    Final,
}

/// Why there is no head.
#[derive(Debug)]
pub(super) enum HeadError {
    /// The connection ended or broke before a byte of an answer came.
    Nothing,
    /// It ended or broke within the head.
    Cut,
    /// The head broke the grammar or its limits.
    Bad(ParseError),
}

impl Incoming {
    /// Reads into this buffer, which has room.
    pub(super) fn new(buffer: Vec<u8>) -> Self {
        Self {
            buffer,
            start: 0,
            parser: ResponseParser::default(),
            interims: 0,
            head: ResponseHead::default(),
        }
    }

    /// Reads until a head is complete. Interim ones are to be asked past; there are only so many.
    pub(super) fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        transport: &Transport,
    ) -> Poll<Result<Head, HeadError>> {
        loop {
            if self.start < self.buffer.len()
                && let Some(head) = self.parse().map_err(HeadError::Bad)?
            {
                return Poll::Ready(Ok(head));
            }
            if self.buffer.len() == self.buffer.capacity() {
                // Bounded by the limits of the parser.
                self.buffer.reserve(self.buffer.len().max(1024));
            }
            match ready!(transport.poll_read(cx, &mut self.buffer)) {
                Ok(1..) => {}
                Ok(0) | Err(_) => return Poll::Ready(Err(self.broken())),
            }
        }
    }

    /// What has been read behind the head.
    pub(super) fn rest(&self) -> &[u8] {
        self.buffer.get(self.start..).unwrap_or_default()
    }

    /// The buffer, to be used again.
    pub(super) fn into_buffer(self) -> Vec<u8> {
        self.buffer
    }

    fn parse(&mut self) -> Result<Option<Head>, ParseError> {
        let rest = self.buffer.get(self.start..).unwrap_or_default();
        let Some(length) = self.parser.parse(rest, &LIMITS, &mut self.head)? else {
            return Ok(None);
        };
        self.start += length;
        let status = self.head.status;
        if !status.is_informational() || status == StatusCode::SWITCHING_PROTOCOLS {
            return Ok(Some(Head::Final));
        }
        if self.interims == INTERIMS_MAX {
            return Err(ParseError::FieldsTooLarge);
        }
        self.interims += 1;
        self.buffer.drain(..self.start);
        self.start = 0;
        Ok(Some(Head::Interim))
    }

    fn broken(&self) -> HeadError {
        if self.buffer.is_empty() && self.interims == 0 {
            HeadError::Nothing
        } else {
            HeadError::Cut
        }
    }
}
