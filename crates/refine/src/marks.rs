//! Which texts codes were chosen by, so that nobody measures them on the same.
//!
//! A window leaves a *mark* in the files: a hash of 32 tokens in its middle. Measured tokens are searched for
//! the marks at every position, so it does not matter how either text was cut.

use sha2::{Digest, Sha256};
use std::collections::HashSet;

/// Tokens of a mark.
const TOKENS: usize = 32;

/// A mark for each window that is long enough to have one.
pub fn marks(windows: &[Vec<u32>]) -> Vec<u64> {
    let middle = |window: &Vec<u32>| {
        let start = window.len().checked_sub(TOKENS)? / 2;
        Some(hash(&window[start..start + TOKENS]))
    };
    windows.iter().filter_map(middle).collect()
}

/// How many of these marks are in some tokens.
pub fn overlap(marks: &[u64], tokens: &[u32]) -> usize {
    let marks: HashSet<u64> = marks.iter().copied().collect();
    if marks.is_empty() {
        return 0;
    }
    let there: HashSet<u64> = tokens
        .windows(TOKENS)
        .map(hash)
        .filter(|hash| marks.contains(hash))
        .collect();
    there.len()
}

/// Digest of windows, in hex.
pub fn digest(windows: &[Vec<u32>]) -> String {
    let mut hash = Sha256::new();
    for window in windows {
        hash.update((window.len() as u64).to_le_bytes());
        for token in window {
            hash.update(token.to_le_bytes());
        }
    }
    aeolus_source::hex(&hash.finalize())
}

/// FNV-1a over the tokens: what files keep must not change with a library.
fn hash(tokens: &[u32]) -> u64 {
    tokens.iter().fold(0xcbf2_9ce4_8422_2325, |hash, token| {
        (hash ^ u64::from(*token)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_found_however_the_measured_text_is_cut() {
        let text: Vec<u32> = (0..2000).map(|i| i * 7 % 1009).collect();
        let windows: Vec<Vec<u32>> = text[600..1112].chunks(256).map(<[u32]>::to_vec).collect();
        let marks = marks(&windows);
        assert_eq!(marks.len(), 2);
        assert_eq!(overlap(&marks, &text[..600]), 0);
        assert_eq!(overlap(&marks, &text[611..800]), 1);
        assert_eq!(overlap(&marks, &text), 2);
        assert!(super::marks(&[vec![1; 31]]).is_empty());
        assert_ne!(digest(&windows), digest(&windows[..1]));
    }
}
