//! Fields of a message in a line: which, and how they are written.

use super::redact::Redact;
use crate::exchange::Escape;
use crate::http::{HeaderName, Headers};

/// Which fields of a message are logged.
#[derive(Debug, Clone, Default)]
pub(super) enum Listed {
    #[default]
    None,
    /// These.
    Named(Box<[HeaderName]>),
    /// All there are.
    All,
}

impl Listed {
    /// Appends members of an object; several fields of one name as one list.
    pub(super) fn write(&self, headers: &Headers, redact: Redact<'_>, line: &mut Vec<u8>) {
        let mut first = true;
        match self {
            Self::None => {}
            Self::Named(names) => {
                for name in names {
                    let values = headers.get_all(name);
                    member(name.as_str().as_bytes(), values, redact, &mut first, line);
                }
            }
            Self::All => {
                for (at, (name, _)) in headers.iter().enumerate() {
                    let same = |other: &[u8]| other.eq_ignore_ascii_case(name);
                    if headers.iter().take(at).any(|(other, _)| same(other)) {
                        continue;
                    }
                    let values = headers.iter().filter(|(other, _)| same(other));
                    let values = values.map(|(_, value)| value);
                    member(name, values, redact, &mut first, line);
                }
            }
        }
    }
}

/// `"name":"a, b"`, the name in small letters; nothing if there is no value.
fn member<'v>(
    name: &[u8],
    values: impl Iterator<Item = &'v [u8]>,
    redact: Redact<'_>,
    first: &mut bool,
    line: &mut Vec<u8>,
) {
    let mut open = false;
    for value in values {
        if std::mem::replace(&mut open, true) {
            line.extend_from_slice(b", ");
        } else {
            if !std::mem::take(first) {
                line.push(b',');
            }
            line.push(b'"');
            line.extend(name.iter().map(u8::to_ascii_lowercase));
            line.extend_from_slice(b"\":\"");
        }
        redact.field(name, value, Escape::Json, line);
    }
    if open {
        line.push(b'"');
    }
}
