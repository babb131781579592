//! How soon a client wants an answer (RFC 9218).

use crate::http::{Headers, name};

/// The urgency of who says nothing (RFC 9218 §4.1).
const URGENCY: u8 = 3;

/// The least urgent.
const URGENCY_MAX: u8 = 7;

/// What the `Priority` field of a request says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Priority {
    /// 0, the most urgent, to 7.
    pub(super) urgency: u8,
    /// Whether the client can use a part of it: those share, others come one after the other.
    pub(super) incremental: bool,
}

impl Priority {
    /// Who says nothing shares: that is what clients expect that know of no priorities.
    const UNSAID: Self = Self {
        urgency: URGENCY,
        incremental: true,
    };

    /// The priority of a request. What is malformed counts as unsaid: it is a hint.
    pub(super) fn of(headers: &Headers) -> Self {
        if !headers.contains(&name::PRIORITY) {
            return Self::UNSAID;
        }
        // Said, but not this: the defaults of RFC 9218 §4.
        let mut priority = Self {
            urgency: URGENCY,
            incremental: false,
        };
        for member in headers.list(&name::PRIORITY) {
            // Parameters of a member mean nothing here.
            let end = memchr::memchr(b';', member).unwrap_or(member.len());
            match member.get(..end).unwrap_or_default().trim_ascii() {
                [b'u', b'=', digit @ b'0'..=b'7'] => {
                    priority.urgency = (digit - b'0').min(URGENCY_MAX);
                }
                b"i" | b"i=?1" => priority.incremental = true,
                b"i=?0" => priority.incremental = false,
                _ => {}
            }
        }
        priority
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(field: &str, urgency: u8, incremental: bool) {
        let mut headers = Headers::new();
        headers.append(&name::PRIORITY, field);
        let expected = Priority {
            urgency,
            incremental,
        };
        assert_eq!(Priority::of(&headers), expected, "{field}");
    }

    #[test]
    fn the_field_is_read_and_what_is_malformed_is_passed_over() {
        check("u=0", 0, false);
        check("u=5, i", 5, true);
        check("i=?1,u=7", 7, true);
        check("u=1;x=y, i;z", 1, true);
        check("u=8, i=?0", 3, false);
        check("u=-1", 3, false);
        check("", 3, false);
        check("i=1, urgent", 3, false);
        assert_eq!(Priority::of(&Headers::new()), Priority::UNSAID);
    }
}
