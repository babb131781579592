//! CRC-32C (Castagnoli), which a header of version 2 may carry (§2.2.3).

/// The polynomial, its bits in reverse.
const POLYNOMIAL: u32 = 0x82f6_3b78;

const TABLE: [u32; 256] = table();

const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let (mut index, mut first) = (0, 0_u32);
    while index < table.len() {
        let mut value = first;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 {
                (value >> 1) ^ POLYNOMIAL
            } else {
                value >> 1
            };
            bit += 1;
        }
        table[index] = value;
        index += 1;
        first += 1;
    }
    table
}

/// The checksum of these bytes.
pub(super) fn crc32c(bytes: impl Iterator<Item = u8>) -> u32 {
    let step = |sum: u32, byte: u8| {
        let [low, ..] = sum.to_le_bytes();
        let entry = TABLE.get(usize::from(low ^ byte)).copied();
        (sum >> 8) ^ entry.unwrap_or_default()
    };
    !bytes.fold(u32::MAX, step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_known_one() {
        // RFC 3720 §B.4, and the check value of every catalogue.
        assert_eq!(crc32c(b"123456789".iter().copied()), 0xe306_9283);
        assert_eq!(crc32c([0; 32].into_iter()), 0x8a91_36aa);
        assert_eq!(crc32c([0xff; 32].into_iter()), 0x62a8_ab43);
        assert_eq!(crc32c(0..32), 0x46dd_794e);
    }
}
