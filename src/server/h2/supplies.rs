//! What the HTTP/2 connections of a worker borrow from it.

use std::cell::RefCell;
use std::rc::Rc;

use http::HeaderValue;

use super::seat::Seat;
use super::wire::Buffers;

/// How many seats a worker keeps. More exchanges than that rarely wait at the same moment.
const SEATS_KEPT: usize = 64;

/// Memory and values that are made once.
#[derive(Debug)]
pub(in crate::server) struct Supplies {
    pub(super) buffers: Rc<Buffers>,
    seats: RefCell<Vec<Seat>>,
    date: RefCell<([u8; 29], HeaderValue)>,
    server: RefCell<(Box<str>, HeaderValue)>,
}

impl Default for Supplies {
    fn default() -> Self {
        let none = || HeaderValue::from_static("");
        Self {
            buffers: Rc::default(),
            seats: RefCell::default(),
            date: RefCell::new(([0; 29], none())),
            server: RefCell::new((Box::default(), none())),
        }
    }
}

impl Supplies {
    /// A seat for an exchange.
    pub(super) fn take_seat(&self) -> Seat {
        self.seats.borrow_mut().pop().unwrap_or_default()
    }

    /// Takes a seat back for the next exchange.
    pub(super) fn give_seat(&self, seat: Seat) {
        let mut seats = self.seats.borrow_mut();
        if seats.len() < SEATS_KEPT && seat.is_reusable() {
            seats.push(seat);
        }
    }

    /// The `Date` field.
    pub(super) fn date(&self, date: &[u8; 29]) -> HeaderValue {
        let mut known = self.date.borrow_mut();
        if known.0 != *date
            && let Ok(value) = HeaderValue::from_bytes(date)
        {
            *known = (*date, value);
        }
        known.1.clone()
    }

    /// The `Server` field.
    pub(super) fn server(&self, server: &str) -> HeaderValue {
        let mut known = self.server.borrow_mut();
        if *known.0 != *server
            && let Ok(value) = HeaderValue::from_str(server)
        {
            *known = (server.into(), value);
        }
        known.1.clone()
    }
}
