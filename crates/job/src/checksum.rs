//! A fast checksum against torn writes.

/// Folds bytes into 64 bits, eight at a time. It does not protect against intent.
pub fn checksum(bytes: &[u8]) -> u64 {
    // An odd constant near 2^64 over the golden ratio spreads each word over all bits.
    const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
    let mix = |sum: u64, word: u64| (sum ^ word).wrapping_mul(SPREAD).rotate_left(29);
    let (words, rest) = bytes.as_chunks::<8>();
    let sum = words.iter().fold(bytes.len() as u64 ^ SPREAD, |sum, word| {
        mix(sum, u64::from_le_bytes(*word))
    });
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    let sum = mix(mix(sum, u64::from_le_bytes(last)), SPREAD);
    sum ^ (sum >> 32)
}

#[cfg(test)]
mod tests {
    use super::checksum;

    #[test]
    fn every_change_is_seen() {
        let bytes: Vec<u8> = (0..100).collect();
        let whole = checksum(&bytes);
        for place in 0..bytes.len() {
            for bit in 0..8 {
                let mut changed = bytes.clone();
                changed[place] ^= 1 << bit;
                assert_ne!(checksum(&changed), whole, "byte {place} bit {bit}");
            }
            assert_ne!(checksum(&bytes[..place]), whole, "cut at {place}");
        }
        assert_ne!(checksum(&[0; 8]), checksum(&[0; 16]));
        assert_ne!(checksum(&[]), 0);
    }
}
