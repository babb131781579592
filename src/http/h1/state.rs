//! A connection from one exchange to the next: what it does, and what makes it do something else.

use crate::http::{Headers, Version, name};

/// What is read and thrown away of content nobody asked for, in bytes, to keep its connection:
/// less than this costs less than a new connection would.
pub const DRAINED_MAX: u64 = 64 * 1024;

/// What a connection does (RFC 9112 §9).
///
/// ```text
///                       ┌──────┐
///                 ┌────▶│ Idle │◀──────────────────────────┐
///                 │     └─┬──▲─┘                           │
///                 │ Begun │  │ Nothing                     │
///                 │     ┌─▼──┴─┐                           │
///                 │     │ Head │                           │
///                 │     └──┬───┘                           │
///                 │        │ Parsed, Refused               │
///                 │  ┌─────▼─────┐                         │
///            Sent │  │ Answering │                         │ Drained
///      Then::Next │  └─────┬─────┘                         │
///                 │        │ Answered                      │
///                 │  ┌─────▼──────┐         Sent      ┌────┴─────┐
///                 └──┤ Responding ├──────────────────▶│ Draining │
///                    └─────┬──────┘    Then::Drain    └────┬─────┘
///         Sent Then::Close │                               │ Enough
///         SentLast         │                               │
///                    ┌─────▼─────┐                         │
///                    │ Lingering │◀────────────────────────┘
///                    └─────┬─────┘
///                          │ Enough
///                     ┌────▼───┐
///                     │ Closed │◀── Gone, in every state
///                     └────────┘
/// ```
///
/// What takes the connection over after a 101 is a response like any other here: the connection
/// does not outlive it ([`Event::SentLast`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Between two exchanges. Holds no buffer while it waits.
    Idle,
    /// A head is coming.
    Head,
    /// A request is being answered; its content may still be coming.
    Answering {
        /// Whether the client and the limits want the connection to go on.
        keep: bool,
    },
    /// The response is on its way. Its head has told the client what happens behind it.
    Responding {
        /// What happens behind it.
        then: Then,
    },
    /// Content that nobody asked for is read and thrown away.
    Draining,
    /// Our direction has ended. What the client still sends is thrown away for a while, so that
    /// it reads the response and not a reset (RFC 9112 §9.6).
    Lingering,
    /// Over.
    Closed,
}

/// What happens behind a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// The next head is read.
    Next,
    /// The rest of the request is drained, then the next head is read.
    Drain,
    /// The connection ends.
    Close,
}

/// What happens to a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// There is something to read.
    Begun,
    /// There was nothing to read after all.
    Nothing,
    /// A request has come that may be answered.
    Parsed {
        /// Whether the client and the limits want the connection to go on.
        keep: bool,
    },
    /// What has come is refused, or has not come in time: nobody knows where the next head
    /// would start.
    Refused,
    /// The response is ready to be sent.
    Answered {
        /// Whether the response, the worker and the listener want the connection to go on.
        keep: bool,
        /// What is left of the request's content.
        unread: Unread,
    },
    /// The response is sent, to its end.
    Sent,
    /// The connection ends with the response: nothing else tells the end of that one, or it
    /// broke off, which the client must see.
    SentLast,
    /// The content has been thrown away to its end.
    Drained,
    /// No more is thrown away: it was too much, or it ended, or it took too long.
    Enough,
    /// There is nobody left to talk to: the client is gone, takes nothing any more, or has been
    /// silent for too long.
    Gone,
}

/// What is left of the content of a request when its response is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unread {
    /// Nothing: there was none, or it has been read.
    Nothing,
    /// So many bytes.
    Length(u64),
    /// More of a chunked body.
    Chunked,
    /// It cannot be drained: it is broken, someone has taken it away, or the client waits for a
    /// 100 (Continue) and may send it or leave it (RFC 9110 §10.1.1).
    Lost,
}

impl State {
    /// What the connection does next. An event that a state does not wait for ends it: nothing
    /// is exchanged on a connection whose state nobody knows.
    #[must_use]
    #[inline]
    pub const fn on(self, event: Event) -> Self {
        match (self, event) {
            (Self::Idle, Event::Begun) => Self::Head,
            (Self::Head, Event::Nothing) | (Self::Draining, Event::Drained) => Self::Idle,
            (Self::Head, Event::Parsed { keep }) => Self::Answering { keep },
            (Self::Head, Event::Refused) => Self::Answering { keep: false },
            (Self::Answering { keep: asked }, Event::Answered { keep, unread }) => {
                let then = Then::of(asked && keep, unread);
                Self::Responding { then }
            }
            (Self::Responding { then }, Event::Sent) => match then {
                Then::Next => Self::Idle,
                Then::Drain => Self::Draining,
                Then::Close => Self::Lingering,
            },
            (Self::Responding { .. }, Event::SentLast) | (Self::Draining, Event::Enough) => {
                Self::Lingering
            }
            // Named, so that a new state must say here what it does.
            (
                Self::Idle
                | Self::Head
                | Self::Answering { .. }
                | Self::Responding { .. }
                | Self::Draining
                | Self::Lingering
                | Self::Closed,
                _,
            ) => Self::Closed,
        }
    }

    /// Whether the connection outlives the response that is on its way: what its head says.
    pub const fn is_kept(self) -> bool {
        match self {
            Self::Responding { then } => !matches!(then, Then::Close),
            Self::Idle | Self::Head | Self::Answering { .. } | Self::Draining => true,
            Self::Lingering | Self::Closed => false,
        }
    }
}

impl Then {
    /// Content that is left unread would be taken for the next head: it is drained if it is
    /// little, and ends the connection if not.
    const fn of(keep: bool, unread: Unread) -> Self {
        match (keep, unread) {
            (true, Unread::Nothing) => Self::Next,
            (true, Unread::Length(..=DRAINED_MAX) | Unread::Chunked) => Self::Drain,
            (true, Unread::Length(_) | Unread::Lost) | (false, _) => Self::Close,
        }
    }
}

/// Whether the client wants the connection to go on (RFC 9112 §9.3).
pub fn is_persistent(version: Version, headers: &Headers) -> bool {
    if !headers.contains(&name::CONNECTION) {
        return version != Version::Http10;
    }
    if headers.has_token(&name::CONNECTION, "close") {
        return false;
    }
    version != Version::Http10 || headers.has_token(&name::CONNECTION, "keep-alive")
}

#[cfg(test)]
mod tests;
