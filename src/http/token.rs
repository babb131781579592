//! Tokens: names of fields and methods (RFC 9110 §5.6.2).

/// Whether this is a token: one `tchar` or more.
pub fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|&byte| is_token_byte(byte))
}

/// Whether programs that are given fields as variables take these two names for the same: `-` and
/// `_` are one there, and so are letters of either case (RFC 3875 §4.1.18).
pub fn are_alike(name: &[u8], other: &[u8]) -> bool {
    let fold = |byte: &u8| match byte {
        b'_' => b'-',
        byte => byte.to_ascii_lowercase(),
    };
    name.len() == other.len() && name.iter().map(fold).eq(other.iter().map(fold))
}

/// Whether this is a `tchar`.
pub const fn is_token_byte(byte: u8) -> bool {
    TOKEN[byte as usize]
}

static TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        #[expect(clippy::cast_possible_truncation, reason = "below 128")]
        let c = byte as u8;
        table[byte] = c.is_ascii_alphanumeric()
            || matches!(
                c,
                b'!' | b'#'
                    | b'$'
                    | b'%'
                    | b'&'
                    | b'\''
                    | b'*'
                    | b'+'
                    | b'-'
                    | b'.'
                    | b'^'
                    | b'_'
                    | b'`'
                    | b'|'
                    | b'~'
            );
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_visible_ascii_without_delimiters() {
        for byte in 0..=u8::MAX {
            let delimiter = b"\"(),/:;<=>?@[\\]{}".contains(&byte);
            let expected = byte.is_ascii_graphic() && !delimiter;
            assert_eq!(is_token(&[b'a', byte]), expected, "{byte:#x}");
        }
        assert!(!is_token(b""));
    }

    #[test]
    fn names_are_alike_whatever_their_case_and_their_dashes() {
        assert!(are_alike(b"X_Real-ip", b"x-real_IP"));
        assert!(are_alike(b"", b""));
        assert!(!are_alike(b"x-a", b"x-ab"));
        assert!(!are_alike(b"x-a", b"x.a"));
    }
}
