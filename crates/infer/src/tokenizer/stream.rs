//! Text from bytes that arrive a few at a time.

/// Joins the bytes of tokens into text without ever breaking a character.
///
/// A token may end in the middle of a UTF-8 sequence (byte fallback). Bytes are held back until
/// the sequence is complete; bytes that can no longer become a character turn into U+FFFD.
#[derive(Clone, Debug, Default)]
pub struct StreamDecoder {
    /// The incomplete end, at most 3 bytes between calls.
    held: Vec<u8>,
}

impl StreamDecoder {
    /// A decoder that holds nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the bytes of one token and gives the text that is complete now.
    pub fn push(&mut self, bytes: &[u8]) -> String {
        self.held.extend_from_slice(bytes);
        let mut text = String::new();
        let mut rest: &[u8] = &self.held;
        loop {
            match std::str::from_utf8(rest) {
                Ok(valid) => {
                    text.push_str(valid);
                    rest = &[];
                    break;
                }
                Err(error) => {
                    let (valid, after) = rest.split_at(error.valid_up_to());
                    text.push_str(&String::from_utf8_lossy(valid));
                    rest = after;
                    match error.error_len() {
                        Some(bad) => {
                            text.push(char::REPLACEMENT_CHARACTER);
                            rest = &rest[bad..];
                        }
                        None => break,
                    }
                }
            }
        }
        self.held = rest.to_vec();
        text
    }

    /// What is left at the end: nothing, or one U+FFFD for a sequence that was never completed.
    pub fn finish(&mut self) -> String {
        let text = String::from_utf8_lossy(&self.held).into_owned();
        self.held.clear();
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_are_never_broken() {
        let text = "a🦙é\u{ffff}z";
        for step in 1..5 {
            let mut decoder = StreamDecoder::new();
            let mut out = String::new();
            for bytes in text.as_bytes().chunks(step) {
                let piece = decoder.push(bytes);
                assert!(!piece.contains(char::REPLACEMENT_CHARACTER));
                out += &piece;
            }
            assert_eq!(out + &decoder.finish(), text);
        }
    }

    #[test]
    fn invalid_bytes_become_the_same_marks_as_in_one_piece() {
        let bytes = b"a\xf0\x9f\x41\xff\xc3\xc3\xa9\xe2\x82";
        let whole = String::from_utf8_lossy(bytes).into_owned();
        let mut decoder = StreamDecoder::new();
        let mut out: String = bytes.iter().map(|&b| decoder.push(&[b])).collect();
        out += &decoder.finish();
        assert_eq!(out, whole);
        assert_eq!(decoder.finish(), "", "nothing is held after the end");
    }
}
