//! HPACK (RFC 7541), written from the RFC: plain on the way out, everything on the way in.

use super::tables::{HUFFMAN, STATIC};

/// A list of fields.
pub(crate) type Fields = Vec<(String, String)>;

/// Writes fields as literals that are not indexed (§6.2.2), without Huffman coding.
pub(crate) fn encode<'f>(fields: impl IntoIterator<Item = (&'f [u8], &'f [u8])>) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            write_integer(&mut block, 0, 7, text.len());
            block.extend_from_slice(text);
        }
    }
    block
}

fn write_integer(out: &mut Vec<u8>, first: u8, bits: u32, number: usize) {
    let most = (1_usize << bits) - 1;
    if number < most {
        return out.push(first | u8::try_from(number).unwrap());
    }
    out.push(first | u8::try_from(most).unwrap());
    let mut rest = number - most;
    while rest >= 128 {
        out.push(u8::try_from(rest % 128 + 128).unwrap());
        rest /= 128;
    }
    out.push(u8::try_from(rest).unwrap());
}

/// Reads field blocks, one after the other.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    /// The newest first.
    dynamic: Vec<(String, String)>,
}

/// What our decoder keeps: all that a peer may keep by default.
const TABLE_BYTES: usize = 4096;

impl Decoder {
    /// The fields of a block.
    #[track_caller]
    pub(crate) fn decode(&mut self, block: &[u8]) -> Fields {
        let mut fields = Vec::new();
        let mut rest = block;
        while let Some(&first) = rest.first() {
            match first {
                0x80.. => {
                    let index = integer(&mut rest, 7);
                    fields.push(self.indexed(index));
                }
                0x40.. => {
                    let field = self.literal(&mut rest, 6);
                    self.dynamic.insert(0, field.clone());
                    self.evict();
                    fields.push(field);
                }
                0x20.. => {
                    integer(&mut rest, 5);
                }
                _ => {
                    let field = self.literal(&mut rest, 4);
                    fields.push(field);
                }
            }
        }
        fields
    }

    fn literal(&self, rest: &mut &[u8], bits: u32) -> (String, String) {
        let name = match integer(rest, bits) {
            0 => string(rest),
            index => self.indexed(index).0,
        };
        (name, string(rest))
    }

    #[track_caller]
    fn indexed(&self, index: usize) -> (String, String) {
        let from_static = STATIC.get(index - 1);
        let found = from_static.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let dynamic = || self.dynamic.get(index - 1 - STATIC.len()).cloned();
        found.or_else(dynamic).expect("an index of the tables")
    }

    fn evict(&mut self) {
        let size = |fields: &[(String, String)]| -> usize {
            let of = |(name, value): &(String, String)| name.len() + value.len() + 32;
            fields.iter().map(of).sum()
        };
        while size(&self.dynamic) > TABLE_BYTES {
            self.dynamic.pop();
        }
    }
}

fn integer(rest: &mut &[u8], bits: u32) -> usize {
    let most = (1_usize << bits) - 1;
    let mut number = usize::from(take(rest)) & most;
    if number < most {
        return number;
    }
    let mut shift = 0;
    loop {
        let byte = usize::from(take(rest));
        number += (byte & 127) << shift;
        shift += 7;
        if byte < 128 {
            return number;
        }
    }
}

fn string(rest: &mut &[u8]) -> String {
    let coded = rest[0] & 0x80 != 0;
    let length = integer(rest, 7);
    let (bytes, after) = rest.split_at(length);
    *rest = after;
    let bytes = if coded {
        huffman(bytes)
    } else {
        bytes.to_vec()
    };
    String::from_utf8(bytes).unwrap()
}

fn huffman(bytes: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    let (mut code, mut length) = (0_u32, 0_u8);
    for bit in bytes
        .iter()
        .flat_map(|byte| (0..8).rev().map(move |at| byte >> at & 1))
    {
        code = code << 1 | u32::from(bit);
        length += 1;
        if let Some(byte) = HUFFMAN.iter().position(|known| *known == (code, length)) {
            text.push(u8::try_from(byte).expect("no end within a string"));
            (code, length) = (0, 0);
        }
    }
    assert!(length < 8 && code == (1 << length) - 1, "padded by ones");
    text
}

fn take(rest: &mut &[u8]) -> u8 {
    let (first, after) = rest.split_first().expect("a whole field block");
    *rest = after;
    *first
}
