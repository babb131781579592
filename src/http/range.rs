//! Range requests and the two shapes of their responses (RFC 9110 §14, §15.3.7).

use super::conditional::{Validators, if_range_holds};
use super::{Headers, Method, name};

/// How many ranges one request may ask for; over it the whole is sent. A player asks for one
/// or two, a PDF viewer for a handful; hundreds are an attack on who copies for each of them.
pub const RANGES_MAX: usize = 16;

/// A part of a representation: at least one byte, and within it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteRange {
    /// The first byte.
    pub start: u64,
    /// One behind the last byte.
    pub end: u64,
}

impl ByteRange {
    /// How many bytes.
    pub const fn length(self) -> u64 {
        self.end.saturating_sub(self.start)
    }

    /// `bytes 0-499/1234`: the value of `Content-Range`.
    pub fn content_range(self, complete: u64) -> String {
        let last = self.end.saturating_sub(1);
        format!("bytes {}-{last}/{complete}", self.start)
    }

    /// Whether the two overlap or stand side by side.
    const fn touches(self, other: Self) -> bool {
        self.start <= other.end && other.start <= self.end
    }

    fn union(self, other: Self) -> Self {
        Self {
            start: self.start.min(other.start),
            end: self.end.max(other.end),
        }
    }
}

/// What a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// All of it: 200.
    Whole,
    /// One part: 206.
    Single(ByteRange),
    /// Several parts, none of which touch, in the order asked for: 206 `multipart/byteranges`.
    Multi(Vec<ByteRange>),
    /// Nothing there is: 416.
    Unsatisfiable,
}

/// `bytes */1234`: the value of `Content-Range` of a 416.
pub fn unsatisfied(complete: u64) -> String {
    format!("bytes */{complete}")
}

/// What the `Range` of a request selects of a representation of `complete` bytes, after the
/// other preconditions held.
///
/// Ranges are for GET alone (RFC 9110 §14.2), and count only if `If-Range` holds.
pub fn select(
    method: &Method,
    headers: &Headers,
    current: &Validators<'_>,
    complete: u64,
    now: u64,
) -> Selection {
    if *method != Method::Get {
        return Selection::Whole;
    }
    let mut lines = headers.get_all(&name::RANGE);
    match (lines.next(), lines.next()) {
        (Some(value), None) if if_range_holds(headers, current, now) => parse(value, complete),
        _ => Selection::Whole,
    }
}

/// Reads the value of `Range`. Another unit than bytes, a broken value and too many ranges
/// select the whole: the field may always be ignored.
pub fn parse(value: &[u8], complete: u64) -> Selection {
    read(value, complete).unwrap_or(Selection::Whole)
}

fn read(value: &[u8], complete: u64) -> Option<Selection> {
    let unit = value.get(..6)?;
    if !unit.eq_ignore_ascii_case(b"bytes=") {
        return None;
    }
    let specs = value
        .get(6..)?
        .split(|&byte| byte == b',')
        .map(<[u8]>::trim_ascii)
        .filter(|spec| !spec.is_empty());
    let mut ranges = Vec::new();
    let mut count = 0_usize;
    for spec in specs {
        count += 1;
        if count > RANGES_MAX {
            return None;
        }
        match Spec::read(spec)?.within(complete) {
            Within::Part(range) => add(&mut ranges, range),
            Within::AllOfNothing => return None,
            Within::Nothing => {}
        }
    }
    Some(match (ranges.as_slice(), count) {
        (_, 0) => Selection::Whole,
        ([], _) => Selection::Unsatisfiable,
        ([range], _) => Selection::Single(*range),
        _ => Selection::Multi(ranges),
    })
}

/// Adds a range, made one with those it touches, in the place of the first of them.
fn add(ranges: &mut Vec<ByteRange>, range: ByteRange) {
    let joined = ranges
        .iter()
        .filter(|other| other.touches(range))
        .fold(range, |joined, other| joined.union(*other));
    let mut placed = false;
    ranges.retain_mut(|other| {
        if !other.touches(range) {
            return true;
        }
        *other = joined;
        !std::mem::replace(&mut placed, true)
    });
    if !placed {
        ranges.push(joined);
    }
}

/// One range as written.
enum Spec {
    /// `500-`, `500-999`: from a first to a last byte.
    From(u64, Option<u64>),
    /// `-500`: so many at the end.
    Suffix(u64),
}

/// What of a range there is.
enum Within {
    Part(ByteRange),
    /// The end of a representation that has no bytes: satisfiable, but not to be written as a
    /// `Content-Range`.
    AllOfNothing,
    Nothing,
}

impl Spec {
    fn read(spec: &[u8]) -> Option<Self> {
        let dash = spec.iter().position(|&byte| byte == b'-')?;
        let (first, last) = (spec.get(..dash)?, spec.get(dash + 1..)?);
        match (first, last) {
            ([], last) => Some(Self::Suffix(number(last)?)),
            (first, []) => Some(Self::From(number(first)?, None)),
            (first, last) => {
                let (first, last) = (number(first)?, number(last)?);
                (first <= last).then_some(Self::From(first, Some(last)))
            }
        }
    }

    fn within(self, complete: u64) -> Within {
        let (start, end) = match self {
            Self::Suffix(0) => return Within::Nothing,
            Self::Suffix(_) if complete == 0 => return Within::AllOfNothing,
            Self::Suffix(length) => (complete.saturating_sub(length), complete),
            Self::From(first, None) => (first, complete),
            Self::From(first, Some(last)) => (first, last.saturating_add(1).min(complete)),
        };
        if start < end {
            Within::Part(ByteRange { start, end })
        } else {
            Within::Nothing
        }
    }
}

/// Digits only. More than fit are as good as the largest number that does.
fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    let mut number = 0_u64;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        number = number
            .saturating_mul(10)
            .saturating_add(u64::from(digit - b'0'));
    }
    Some(number)
}

/// What separates the parts of a `multipart/byteranges`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Boundary([u8; 32]);

impl Boundary {
    /// The boundary with this number, which nobody must be able to foresee: who can writes it
    /// into a file.
    pub fn new(number: u128) -> Self {
        let mut digits = [b'0'; 32];
        for (index, digit) in digits.iter_mut().enumerate() {
            let nibble = u8::try_from(number >> (4 * index) & 0xf).unwrap_or_default();
            *digit = match nibble {
                0..10 => b'0' + nibble,
                _ => b'a' + (nibble - 10),
            };
        }
        Self(digits)
    }

    /// The value of `Content-Type` of the response.
    pub fn content_type(&self) -> Vec<u8> {
        [b"multipart/byteranges; boundary=", &self.0[..]].concat()
    }

    /// What stands before the bytes of a part.
    pub fn part_head(&self, content_type: &[u8], range: ByteRange, complete: u64) -> Vec<u8> {
        let range = range.content_range(complete);
        [
            b"\r\n--",
            &self.0[..],
            b"\r\nContent-Type: ",
            content_type,
            b"\r\nContent-Range: ",
            range.as_bytes(),
            b"\r\n\r\n",
        ]
        .concat()
    }

    /// What stands behind the last part.
    pub fn end(&self) -> Vec<u8> {
        [b"\r\n--", &self.0[..], b"--\r\n"].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::Selection::{Multi, Single, Unsatisfiable, Whole};
    use super::*;
    use crate::http::etag::ETag;

    fn range(start: u64, end: u64) -> ByteRange {
        ByteRange { start, end }
    }

    #[track_caller]
    fn check(value: &str, complete: u64, expected: &Selection) {
        assert_eq!(parse(value.as_bytes(), complete), *expected, "{value}");
    }

    #[test]
    fn one_range() {
        check("bytes=0-0", 1000, &Single(range(0, 1)));
        check("bytes=0-499", 1000, &Single(range(0, 500)));
        check("Bytes=500-", 1000, &Single(range(500, 1000)));
        check("bytes=-300", 1000, &Single(range(700, 1000)));
        check("bytes=-3000", 1000, &Single(range(0, 1000)));
        check("bytes=900-5000", 1000, &Single(range(900, 1000)));
        check("bytes=999-", 1000, &Single(range(999, 1000)));
        check("bytes= 1-2 ,, ", 1000, &Single(range(1, 3)));
        check("bytes=00-01", 1000, &Single(range(0, 2)));
        let huge = "9".repeat(40);
        check(&format!("bytes=1-{huge}"), 1000, &Single(range(1, 1000)));
        check(&format!("bytes=-{huge}"), 1000, &Single(range(0, 1000)));
        check(
            &format!("bytes=0-{}", u64::MAX),
            u64::MAX,
            &Single(range(0, u64::MAX)),
        );
    }

    #[test]
    fn what_is_not_there() {
        let huge = format!("bytes={}-", "9".repeat(40));
        for value in [
            "bytes=1000-",
            "bytes=1000-1001",
            "bytes=-0",
            "bytes=1000-,-0",
            &huge,
        ] {
            check(value, 1000, &Unsatisfiable);
        }
        check("bytes=0-", 0, &Unsatisfiable);
        check("bytes=0-0", 0, &Unsatisfiable);
        check("bytes=-5", 0, &Whole);
        check("bytes=-5,0-", 0, &Whole);
    }

    #[test]
    fn what_is_ignored() {
        for value in [
            "",
            "bytes",
            "bytes=",
            "bytes=,",
            "lines=0-1",
            "bytes 0-1",
            "bytes=a-b",
            "bytes=5-4",
            "bytes=-",
            "bytes=--5",
            "bytes=5",
            "bytes=1-2-3",
            "bytes=+1-2",
            "bytes=1 - 2",
            "bytes=0x1-2",
            "bytes=0-1,5-4",
            "bytes=0-1;5-6",
        ] {
            check(value, 1000, &Whole);
        }
    }

    #[test]
    fn several_ranges() {
        check("bytes=0-1,5-6", 10, &Multi(vec![range(0, 2), range(5, 7)]));
        check("bytes=5-6, 0-1", 10, &Multi(vec![range(5, 7), range(0, 2)]));
        check(
            "bytes=0-1,50-,-1",
            10,
            &Multi(vec![range(0, 2), range(9, 10)]),
        );
        check("bytes=0-1,2-3", 10, &Single(range(0, 4)));
        check("bytes=0-5,3-8", 10, &Single(range(0, 9)));
        check("bytes=0-,-1", 10, &Single(range(0, 10)));
        check("bytes=8-9,0-1,4-5,1-7", 10, &Single(range(0, 10)));
        check(
            "bytes=8-8,0-1,4-5,1-4",
            10,
            &Multi(vec![range(8, 9), range(0, 6)]),
        );
        let spread = |count: usize| {
            let specs: Vec<_> = (0..count).map(|n| format!("{}-{}", 3 * n, 3 * n)).collect();
            format!("bytes={}", specs.join(","))
        };
        let all = (0..16).map(|n| range(3 * n, 3 * n + 1)).collect();
        check(&spread(RANGES_MAX), 1000, &Multi(all));
        check(&spread(RANGES_MAX + 1), 1000, &Whole);
    }

    #[test]
    fn ranges_are_for_get_and_for_the_representation_meant() {
        let current = Validators {
            etag: ETag::parse(b"\"a\""),
            last_modified: None,
        };
        let mut headers = Headers::new();
        let of = |method, headers: &Headers| select(&method, headers, &current, 10, 0);
        assert_eq!(of(Method::Get, &headers), Whole);
        headers.append(&name::RANGE, "bytes=0-0");
        assert_eq!(of(Method::Get, &headers), Single(range(0, 1)));
        assert_eq!(of(Method::Head, &headers), Whole);
        headers.set(&name::IF_RANGE, "\"b\"");
        assert_eq!(of(Method::Get, &headers), Whole);
        headers.set(&name::IF_RANGE, "\"a\"");
        assert_eq!(of(Method::Get, &headers), Single(range(0, 1)));
        headers.append(&name::RANGE, "bytes=0-0");
        assert_eq!(of(Method::Get, &headers), Whole);
    }

    #[test]
    fn how_parts_are_written() {
        assert_eq!(range(0, 500).content_range(1234), "bytes 0-499/1234");
        assert_eq!(unsatisfied(1234), "bytes */1234");
        let boundary = Boundary::new(0xa5);
        assert_eq!(
            boundary.content_type(),
            b"multipart/byteranges; boundary=5a000000000000000000000000000000"
        );
        assert_eq!(
            boundary.part_head(b"text/plain", range(0, 1), 2),
            b"\r\n--5a000000000000000000000000000000\r\nContent-Type: text/plain\r\n\
              Content-Range: bytes 0-0/2\r\n\r\n"
        );
        assert_eq!(
            boundary.end(),
            b"\r\n--5a000000000000000000000000000000--\r\n"
        );
    }
}
