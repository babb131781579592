//! The field section of a head, line by line (RFC 9112 §5).

use super::error::ParseError;
use super::head::HeadLimits;
use super::scan::{colon, token_end, value_end};
use crate::http::Headers;
use crate::http::name::Known;
use crate::http::token::is_token;

/// Reads a field section up to and with its empty line.
///
/// Remembers where it is: however the bytes arrive, each is looked at twice at most, and what
/// may not stand where it stands is refused as soon as it is there.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct FieldParser {
    /// Where the section starts in the buffer.
    section: usize,
    /// Where the line being read starts.
    line: usize,
    /// The first byte not looked at.
    at: usize,
    /// Where the name of the line ends.
    name_end: usize,
    part: Part,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Part {
    #[default]
    Start,
    Name,
    Value,
    LineEnd,
    SectionEnd,
}

impl FieldParser {
    /// A parser for the section that starts at this offset of the buffer.
    pub(super) const fn new(section: usize) -> Self {
        Self {
            section,
            line: section,
            at: section,
            name_end: section,
            part: Part::Start,
        }
    }

    /// Goes on where it was. `None`: more bytes are needed; otherwise the offset behind the
    /// section. The fields are in `headers` when it is complete, and none is after an error.
    pub(super) fn parse(
        &mut self,
        buf: &[u8],
        limits: &HeadLimits,
        headers: &mut Headers,
    ) -> Result<Option<usize>, ParseError> {
        // On a copy, which can live in registers.
        let mut place = *self;
        let outcome = place.lines(buf, limits, headers);
        *self = place;
        if outcome.is_err() {
            headers.clear();
        }
        outcome
    }

    #[inline]
    fn lines(
        &mut self,
        buf: &[u8],
        limits: &HeadLimits,
        headers: &mut Headers,
    ) -> Result<Option<usize>, ParseError> {
        loop {
            while self.part == Part::Start && self.whole_line(buf, limits, headers) {}
            if self.part == Part::Start {
                match buf.get(self.at) {
                    None => return Ok(None),
                    Some(b'\r') => self.step(Part::SectionEnd),
                    Some(b'\n') => return Err(ParseError::LineEnd),
                    Some(b' ' | b'\t') => return Err(ParseError::Fold),
                    Some(_) => self.part = Part::Name,
                }
            }
            if self.part == Part::Name && !self.name(buf, limits)? {
                return Ok(None);
            }
            if self.part == Part::Value && !self.value(buf, limits)? {
                return Ok(None);
            }
            match buf.get(self.at) {
                None => return Ok(None),
                Some(b'\n') => {}
                Some(_) => return Err(ParseError::LineEnd),
            }
            self.step(Part::Start);
            if self.at - self.line == 2 {
                headers.fill(buf.get(self.section..self.line).unwrap_or_default());
                return Ok(Some(self.at));
            }
            self.check_size(limits)?;
            if headers.len() >= limits.header_count {
                return Err(ParseError::TooManyFields);
            }
            let name = buf.get(self.line..self.name_end).unwrap_or_default();
            self.note(buf, Known::intern(name), headers);
            self.line = self.at;
        }
    }

    /// Reads a line if all of it is there and nothing is wrong with it: nearly always. Any other
    /// is left to the steps, which look at it once more and then remember where they are.
    #[inline]
    fn whole_line(&mut self, buf: &[u8], limits: &HeadLimits, headers: &mut Headers) -> bool {
        let name_end = colon(buf, self.at);
        let name = buf.get(self.at..name_end).unwrap_or_default();
        let known = Known::intern(name);
        if known == Known::NONE && !is_token(name) {
            return false;
        }
        let value_end = value_end(buf, name_end + 1);
        let Some([b'\r', b'\n', ..]) = buf.get(value_end..) else {
            return false;
        };
        let end = value_end + 2;
        if end - self.section > limits.headers || headers.len() >= limits.header_count {
            return false;
        }
        self.name_end = name_end;
        self.at = end;
        self.note(buf, known, headers);
        self.line = end;
        true
    }

    /// Whether the name is complete.
    #[inline]
    fn name(&mut self, buf: &[u8], limits: &HeadLimits) -> Result<bool, ParseError> {
        self.at = token_end(buf, self.at);
        self.check_size(limits)?;
        match buf.get(self.at) {
            Some(b':') if self.at > self.line => {
                self.name_end = self.at;
                self.step(Part::Value);
                Ok(true)
            }
            None => Ok(false),
            Some(b'\r' | b'\n') => Err(ParseError::NoColon),
            Some(_) => Err(ParseError::FieldName),
        }
    }

    /// Whether the value is complete.
    #[inline]
    fn value(&mut self, buf: &[u8], limits: &HeadLimits) -> Result<bool, ParseError> {
        self.at = value_end(buf, self.at);
        self.check_size(limits)?;
        match buf.get(self.at) {
            Some(b'\r') => {
                self.step(Part::LineEnd);
                Ok(true)
            }
            None => Ok(false),
            Some(b'\n') => Err(ParseError::LineEnd),
            Some(_) => Err(ParseError::FieldValue),
        }
    }

    fn step(&mut self, part: Part) {
        self.at += 1;
        self.part = part;
    }

    fn check_size(&self, limits: &HeadLimits) -> Result<(), ParseError> {
        if self.at - self.section > limits.headers {
            return Err(ParseError::FieldsTooLarge);
        }
        Ok(())
    }

    /// Notes the line that ends before `at`, white space around its value left out.
    #[inline]
    fn note(&self, buf: &[u8], known: Known, headers: &mut Headers) {
        let mut start = self.name_end + 1;
        let mut value = buf.get(start..self.at - 2).unwrap_or_default();
        // As nearly all are written: a space, and the value.
        let plain = match value {
            [b' ', rest @ ..] => {
                (start, value) = (start + 1, rest);
                !matches!(rest, [b' ' | b'\t', ..] | [.., b' ' | b'\t'])
            }
            _ => false,
        };
        if !plain {
            let behind = value.trim_ascii_start();
            start += value.len() - behind.len();
            value = behind.trim_ascii_end();
        }
        let name = self.line - self.section..self.name_end - self.section;
        let start = start - self.section;
        headers.note(known, name, start..start + value.len(), plain);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: HeadLimits = HeadLimits {
        request_line: 0,
        headers: 64,
        header_count: 3,
    };

    fn read(section: &[u8]) -> Result<Option<(usize, Headers)>, ParseError> {
        let mut headers = Headers::new();
        let end = FieldParser::new(2).parse(&[b"xx", section].concat(), &LIMITS, &mut headers)?;
        Ok(end.map(|end| (end, headers)))
    }

    #[track_caller]
    fn check(section: &str, expected: &[(&str, &str)]) {
        let (end, headers) = read(section.as_bytes()).unwrap().unwrap();
        assert_eq!(end, section.len() + 2);
        let fields: Vec<_> = headers.iter().collect();
        let expected: Vec<_> = expected
            .iter()
            .map(|(name, value)| (name.as_bytes(), value.as_bytes()))
            .collect();
        assert_eq!(fields, expected);
    }

    #[track_caller]
    fn refused(section: &[u8], expected: ParseError) {
        assert_eq!(read(section).err(), Some(expected));
        // Arrived in pieces it is refused at the same byte or earlier, never accepted.
        let mut headers = Headers::new();
        let mut parser = FieldParser::new(0);
        let error = (0..=section.len())
            .find_map(|end| parser.parse(&section[..end], &LIMITS, &mut headers).err());
        assert_eq!(error, Some(expected), "byte by byte");
    }

    #[test]
    fn fields_are_read_without_the_white_space_around_values() {
        check("\r\n", &[]);
        check("a:b\r\n\r\n", &[("a", "b")]);
        check("A: b c \t\r\nd:\r\n\r\n", &[("A", "b c"), ("d", "")]);
        check(
            "a: \t \r\n!#$%: \"\u{e4}\"\r\n\r\n",
            &[("a", ""), ("!#$%", "\"\u{e4}\"")],
        );
    }

    #[test]
    fn what_breaks_the_grammar_is_refused() {
        refused(b"a b: c", ParseError::FieldName);
        refused(b"a : c", ParseError::FieldName);
        refused(b":", ParseError::FieldName);
        refused(b"a\0", ParseError::FieldName);
        refused(b"\xe4", ParseError::FieldName);
        refused(b"a\r", ParseError::NoColon);
        refused(b"a\n", ParseError::NoColon);
        refused(b" a: b", ParseError::Fold);
        refused(b"a: b\r\n\tc", ParseError::Fold);
        refused(b"a: b\n", ParseError::LineEnd);
        refused(b"a: b\rc", ParseError::LineEnd);
        refused(b"\n", ParseError::LineEnd);
        refused(b"\0", ParseError::FieldName);
        refused(b"\r\r", ParseError::LineEnd);
        refused(b"a: b\0", ParseError::FieldValue);
        refused(b"a: \x7f", ParseError::FieldValue);
        refused(b"a: \x1b[31m", ParseError::FieldValue);
    }

    #[test]
    fn limits_hold_to_the_byte_and_line() {
        let fits = format!("a:{}\r\n\r\n", "b".repeat(60));
        assert!(read(fits.as_bytes()).unwrap().is_some());
        refused(
            format!("a:{}\r\n", "b".repeat(61)).as_bytes(),
            ParseError::FieldsTooLarge,
        );
        refused("b".repeat(65).as_bytes(), ParseError::FieldsTooLarge);
        assert!(read(b"a:\r\na:\r\na:\r\n\r\n").unwrap().is_some());
        refused(b"a:\r\na:\r\na:\r\na:\r\n", ParseError::TooManyFields);
    }

    #[test]
    fn what_is_incomplete_is_neither_read_nor_refused() {
        for part in ["", "a", "a:", "a: b", "a: b\r", "a: b\r\n", "a: b\r\n\r"] {
            assert!(read(part.as_bytes()).unwrap().is_none(), "{part:?}");
        }
    }
}
