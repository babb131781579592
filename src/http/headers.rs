//! Fields in the order they came, in one buffer.

use std::ops::Range;

use super::list;
use super::name::{HeaderName, Known, NameSet};

/// An ordered multimap of fields. Keeps order and spelling; looks names up without case.
///
/// All names and values stand in one buffer, so that filling it allocates at most twice, and
/// never once its capacity has been reached.
#[derive(Debug, Clone, Default)]
pub struct Headers {
    bytes: Vec<u8>,
    fields: Vec<Field>,
    /// The bits of the interned names that may be here; of the others none is. Most look-ups
    /// ask for what is not here. And [`EDITED`].
    known: u128,
}

/// The bit that no name has: the buffer may be anything but the field lines, in order, as they
/// are sent. A field of its own would make whatever holds headers larger, and slower to move.
const EDITED: u128 = 1 << 127;

const LINE_END: &[u8] = b"\r\n";

/// One field: where its name and value stand in the buffer.
#[derive(Debug, Clone, Copy)]
struct Field {
    name: Span,
    value: Span,
    known: Known,
}

#[derive(Debug, Clone, Copy)]
struct Span {
    start: u32,
    end: u32,
}

impl Field {
    /// Moves the line to `end`, which is then behind it.
    fn move_up(&mut self, bytes: &mut [u8], end: &mut usize) {
        let start = self.name.start as usize;
        let line = start..bytes.len().min(self.value.end as usize + LINE_END.len());
        let (to, length) = (*end, line.len());
        *end += length;
        if to < start {
            bytes.copy_within(line, to);
            let by = offset(start - to);
            for span in [&mut self.name, &mut self.value] {
                span.start -= by;
                span.end -= by;
            }
        }
    }
}

impl Span {
    fn of(self, bytes: &[u8]) -> &[u8] {
        bytes
            .get(self.start as usize..self.end as usize)
            .unwrap_or_default()
    }
}

impl Headers {
    /// An empty list; allocates nothing.
    pub const fn new() -> Self {
        Self {
            bytes: Vec::new(),
            fields: Vec::new(),
            known: 0,
        }
    }

    /// An empty list with room for `fields` fields in `bytes` bytes.
    pub fn with_capacity(fields: usize, bytes: usize) -> Self {
        Self {
            bytes: Vec::with_capacity(bytes),
            fields: Vec::with_capacity(fields),
            known: 0,
        }
    }

    /// A copy that takes so many more fields, in so many more bytes, without growing.
    #[must_use]
    pub fn clone_with_room(&self, fields: usize, bytes: usize) -> Self {
        let (fields, bytes) = (self.fields.len() + fields, self.bytes.len() + bytes);
        let mut copy = Self::with_capacity(fields, bytes);
        copy.bytes.extend_from_slice(&self.bytes);
        copy.fields.extend_from_slice(&self.fields);
        copy.known = self.known;
        copy
    }

    /// How many field lines there are.
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// Whether there is no field.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// Forgets the fields, keeps the capacity.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.fields.clear();
        self.known = 0;
    }

    /// Adds a field line. CR, LF and NUL in the value become SP (RFC 9110 §5.5), so that no
    /// value can end its line.
    pub fn append(&mut self, name: &HeaderName, value: impl AsRef<[u8]>) {
        let field = self.store(name.as_str().as_bytes(), value.as_ref(), name.known());
        self.fields.push(field);
    }

    /// Adds a field line whose name and value a parser has already checked.
    pub fn append_parsed(&mut self, name: &[u8], value: &[u8]) {
        let field = self.store(name, value, Known::intern(name));
        self.fields.push(field);
    }

    /// Notes a field line of a section that a parser is reading and has checked: its name, where
    /// in the section that and the value stand, and whether the line is written as we would write
    /// it. [`Self::fill`] must follow once the section is complete; until then its names and
    /// values read as empty.
    #[inline]
    pub(super) fn note(
        &mut self,
        known: Known,
        name: Range<usize>,
        value: Range<usize>,
        plain: bool,
    ) {
        let base = self.bytes.len();
        let span = |range: Range<usize>| Span {
            start: offset(base + range.start),
            end: offset(base + range.end),
        };
        self.known |= known.bit();
        if !plain {
            self.known |= EDITED;
        }
        self.fields.push(Field {
            name: span(name),
            value: span(value),
            known,
        });
    }

    /// Copies, in one piece, the section whose lines were noted.
    pub(super) fn fill(&mut self, section: &[u8]) {
        self.bytes.extend_from_slice(section);
    }

    /// Makes this the only field of its name, in the place of the first one there was.
    pub fn set(&mut self, name: &HeaderName, value: impl AsRef<[u8]>) {
        let field = self.store(name.as_str().as_bytes(), value.as_ref(), name.known());
        match self.position(name) {
            None => self.fields.push(field),
            Some(first) => {
                self.known |= EDITED;
                self.fields[first] = field;
                let mut index = 0;
                let bytes = &self.bytes;
                self.fields.retain(|other| {
                    let keep = index <= first || !is(other, name, bytes);
                    index += 1;
                    keep
                });
            }
        }
    }

    /// Takes every field of this name away; whether there was one.
    pub fn remove(&mut self, name: &HeaderName) -> bool {
        if !self.may_hold(name.known()) {
            return false;
        }
        let before = self.fields.len();
        self.keep(|field, bytes| !is(field, name, bytes));
        self.fields.len() != before
    }

    /// Takes every field away that has one of these names.
    pub fn remove_all(&mut self, names: NameSet) {
        if names.may_meet(self.known) {
            self.keep(|field, _| !names.has(field.known));
        }
    }

    /// Keeps the fields for which `keep(name, value)` holds.
    pub fn retain(&mut self, mut keep: impl FnMut(&[u8], &[u8]) -> bool) {
        self.keep(|field, bytes| keep(field.name.of(bytes), field.value.of(bytes)));
    }

    /// The value of the first field of this name.
    #[inline]
    pub fn get(&self, name: &HeaderName) -> Option<&[u8]> {
        let field = self.fields.get(self.position(name)?)?;
        Some(field.value.of(&self.bytes))
    }

    /// The value of the first field of this name, if it is UTF-8.
    pub fn get_str(&self, name: &HeaderName) -> Option<&str> {
        std::str::from_utf8(self.get(name)?).ok()
    }

    /// The values of every field of this name, in order.
    pub fn get_all<'a>(&'a self, name: &'a HeaderName) -> impl Iterator<Item = &'a [u8]> {
        let fields = if self.may_hold(name.known()) {
            self.fields.as_slice()
        } else {
            &[]
        };
        fields
            .iter()
            .filter(move |field| is(field, name, &self.bytes))
            .map(|field| field.value.of(&self.bytes))
    }

    /// Whether there is a field of this name.
    #[inline]
    pub fn contains(&self, name: &HeaderName) -> bool {
        self.position(name).is_some()
    }

    /// The members of a comma-separated list field (RFC 9110 §5.6.1), over all its lines,
    /// without the white space around them and without empty ones. Commas in quoted strings
    /// do not separate.
    pub fn list<'a>(&'a self, name: &'a HeaderName) -> impl Iterator<Item = &'a [u8]> {
        self.get_all(name).flat_map(list::members)
    }

    /// Whether a list field has this token, in any case: `Connection: keep-alive, Upgrade`.
    pub fn has_token(&self, name: &HeaderName, token: &str) -> bool {
        self.list(name)
            .any(|member| member.eq_ignore_ascii_case(token.as_bytes()))
    }

    /// Adds a member to a list field unless it, or `*`, is there already: `Vary`, `Via`.
    pub fn add_member(&mut self, name: &HeaderName, member: &str) {
        if self.has_token(name, member) || self.has_token(name, "*") {
            return;
        }
        let mut list = Vec::new();
        for own in self.list(name) {
            list.extend_from_slice(own);
            list.extend_from_slice(b", ");
        }
        list.extend_from_slice(member.as_bytes());
        self.set(name, list);
    }

    /// Names and values in order, as spelt.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.fields
            .iter()
            .map(|field| (field.name.of(&self.bytes), field.value.of(&self.bytes)))
    }

    /// All field lines as they are sent, if they stand so in the buffer and none of them has one
    /// of these names.
    pub(super) fn lines_without(&self, names: NameSet) -> Option<&[u8]> {
        (self.known & EDITED == 0 && !names.may_meet(self.known)).then_some(&self.bytes)
    }

    /// Keeps the fields for which `keep` holds. Where the buffer is the lines it stays so: those
    /// behind a line that goes move up.
    fn keep(&mut self, mut keep: impl FnMut(&Field, &[u8]) -> bool) {
        let edited = self.known & EDITED;
        let (mut known, mut end) = (edited, 0);
        let bytes = &mut self.bytes;
        self.fields.retain_mut(|field| {
            if !keep(field, bytes) {
                return false;
            }
            known |= field.known.bit();
            if edited == 0 {
                field.move_up(bytes, &mut end);
            }
            true
        });
        if edited == 0 {
            bytes.truncate(end);
        }
        self.known = known;
    }

    #[inline]
    fn may_hold(&self, known: Known) -> bool {
        known == Known::NONE || self.known & known.bit() != 0
    }

    #[inline]
    fn position(&self, name: &HeaderName) -> Option<usize> {
        let known = name.known();
        if self.may_hold(known) {
            self.search(name, known)
        } else {
            None
        }
    }

    fn search(&self, name: &HeaderName, known: Known) -> Option<usize> {
        let is_known = known != Known::NONE;
        self.fields
            .iter()
            .position(|field| field.known == known && (is_known || is(field, name, &self.bytes)))
    }

    fn store(&mut self, name: &[u8], value: &[u8], known: Known) -> Field {
        self.known |= known.bit();
        let name = self.push(name);
        self.bytes.extend_from_slice(b": ");
        let value = self.push(value);
        self.bytes.extend_from_slice(LINE_END);
        for byte in &mut self.bytes[value.start as usize..value.end as usize] {
            if matches!(*byte, b'\r' | b'\n' | 0) {
                *byte = b' ';
            }
        }
        Field { name, value, known }
    }

    fn push(&mut self, bytes: &[u8]) -> Span {
        let start = offset(self.bytes.len());
        self.bytes.extend_from_slice(bytes);
        Span {
            start,
            end: offset(self.bytes.len()),
        }
    }
}

#[inline]
fn is(field: &Field, name: &HeaderName, bytes: &[u8]) -> bool {
    let known = name.known();
    field.known == known
        && (known != Known::NONE
            || field
                .name
                .of(bytes)
                .eq_ignore_ascii_case(name.as_str().as_bytes()))
}

/// Heads are limited to far less than 4 GiB; a longer one would be cut, never wrapped round.
fn offset(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
