//! Finding the first byte that may not stand where it stands.

use crate::http::token::is_token_byte;

/// Where the run of bytes that a field value may hold ends (RFC 9110 §5.5: HTAB, SP, visible
/// characters and obs-text), from `at` on; the length of `buf` if it does not end.
pub(super) fn value_end(buf: &[u8], mut at: usize) -> usize {
    loop {
        let rest = buf.get(at..).unwrap_or_default();
        at += without_control(rest);
        if buf.get(at) != Some(&b'\t') {
            return at;
        }
        at += 1;
    }
}

/// Where the token that starts at `at` ends (RFC 9110 §5.6.2).
pub(super) fn token_end(buf: &[u8], at: usize) -> usize {
    run_end(buf, at, is_token_byte)
}

/// Where the run of visible ASCII that starts at `at` ends.
pub(super) fn visible_end(buf: &[u8], at: usize) -> usize {
    let rest = buf.get(at..).unwrap_or_default();
    at + before(rest, invisible_bytes, |byte| !byte.is_ascii_graphic())
}

/// Where the first colon from `at` on stands; the length of `buf` if there is none.
#[inline]
pub(super) fn colon(buf: &[u8], at: usize) -> usize {
    let rest = buf.get(at..).unwrap_or_default();
    at + before(rest, colons, |byte| byte == b':')
}

/// How many bytes there are before the first control byte. On its own, so that what it compares
/// with stays in registers.
#[inline(never)]
fn without_control(bytes: &[u8]) -> usize {
    before(bytes, control_bytes, |byte| byte.is_ascii_control())
}

/// How many bytes there are before the first one that stops: eight at a time by `stops`, which
/// marks the lowest of them, and the last ones by `is_stop`.
#[inline]
fn before(bytes: &[u8], stops: impl Fn(u64) -> u64, is_stop: impl Fn(u8) -> bool) -> usize {
    let (words, tail) = bytes.as_chunks::<8>();
    let mut length: usize = 0;
    for word in words {
        let stop = stops(u64::from_le_bytes(*word));
        if stop != 0 {
            return length + (stop.trailing_zeros() / 8) as usize;
        }
        length += 8;
    }
    let stop = tail.iter().position(|&byte| is_stop(byte));
    length + stop.unwrap_or(tail.len())
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

// Each of these sets the high bit of the lowest byte it is named after. Bits above that one may
// be set by a borrow and say nothing.

/// Control characters: below SP, or DEL.
const fn control_bytes(word: u64) -> u64 {
    (below(word, b' ') | is(word, 0x7f)) & !word & HIGH
}

/// All but visible ASCII.
const fn invisible_bytes(word: u64) -> u64 {
    (below(word, b'!') | is(word, 0x7f) | word) & HIGH
}

/// Colons.
const fn colons(word: u64) -> u64 {
    is(word, b':') & !(word ^ (ONES * b':' as u64)) & HIGH
}

/// The high bit of bytes below this one, and of others above 0x7f.
const fn below(word: u64, bound: u8) -> u64 {
    word.wrapping_sub(ONES * bound as u64)
}

/// The high bit of this byte, and of others above 0x7f.
const fn is(word: u64, byte: u8) -> u64 {
    (word ^ (ONES * byte as u64)).wrapping_sub(ONES)
}

#[inline]
fn run_end(buf: &[u8], at: usize, holds: impl Fn(u8) -> bool) -> usize {
    let (words, tail) = buf.get(at..).unwrap_or_default().as_chunks::<8>();
    let mut end = at;
    for word in words {
        if let Some(length) = word.iter().position(|&byte| !holds(byte)) {
            return end + length;
        }
        end += 8;
    }
    let length = tail.iter().position(|&byte| !holds(byte));
    end + length.unwrap_or(tail.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_ends_at_the_first_control_byte_wherever_it_stands() {
        for length in 0..40 {
            for (stop, byte) in (0..length).flat_map(|at| (0..=255_u8).map(move |b| (at, b))) {
                let mut text = vec![b'a'; length];
                text[stop] = byte;
                let stops = byte != b'\t' && (byte < 0x20 || byte == 0x7f);
                let expected = if stops { stop } else { length };
                assert_eq!(value_end(&text, 0), expected, "{byte:#x} at {stop}");
            }
        }
    }

    #[test]
    fn the_lowest_control_byte_is_found_whatever_stands_above_it() {
        for above in 0..=255_u8 {
            for at in 0..8 {
                let mut text = [above; 8];
                text[..at].fill(b'\xe4');
                text[at] = b'\r';
                assert_eq!(value_end(&text, 0), at, "{above:#x}");
            }
        }
    }

    #[test]
    fn eight_at_a_time_are_told_apart_as_one_by_one() {
        for byte in 0..=u8::MAX {
            for (at, above) in (0..8).zip([0, b'!', b':', 0x7f, 0x80, 0xa1, 0xba, 0xff]) {
                let mut text = [above; 16];
                text[..at].fill(b'a');
                text[at] = byte;
                let visible = text.iter().position(|byte| !byte.is_ascii_graphic());
                assert_eq!(visible_end(&text, 0), visible.unwrap_or(16), "{text:?}");
                let first = text.iter().position(|&byte| byte == b':');
                assert_eq!(colon(&text, 0), first.unwrap_or(16), "{text:?}");
            }
        }
    }

    #[test]
    fn runs_start_where_asked_and_end_in_the_buffer() {
        assert_eq!(value_end(b"\0\0abc\r", 2), 5);
        assert_eq!(value_end(b"a\tb\t", 0), 4);
        assert_eq!(token_end(b"a:b", 2), 3);
        assert_eq!(token_end(b"a b", 0), 1);
        assert_eq!(token_end(b"abcdefghijk lm", 0), 11);
        assert_eq!(visible_end(b"/\xe4", 0), 1);
        assert_eq!(colon(b"ab", 1), 2);
    }
}
