//! Interim responses: what a client can be told before the answer.

use std::fmt;

use crate::http::{Headers, StatusCode};

/// Tells the client of an exchange something before the answer (RFC 9110 §15.2).
pub trait Inform: fmt::Debug {
    /// Sends an interim response, 103 (Early Hints) as a rule. It goes out in order, as soon as
    /// the client takes it, and is dropped if too many wait already: it is only a hint. Not for
    /// 100, which goes out by itself when content is first read, nor for 101.
    fn inform(&self, status: StatusCode, headers: &Headers);
}
