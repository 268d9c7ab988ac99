//! Finding tokens that are written out in the text: `</s>`, `<|user|>`.

use super::vocab::{TokenKind, Vocabulary};

/// Tokens that are matched as a whole before merging, by their first byte.
#[derive(Debug)]
pub(super) struct SpecialTokens {
    /// First byte -> ids, longest piece first.
    by_first_byte: Vec<Vec<u32>>,
}

/// A stretch of the input.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fragment<'t> {
    Text(&'t str),
    Token(u32),
}

impl SpecialTokens {
    pub(super) fn new(vocabulary: &Vocabulary) -> Self {
        let mut by_first_byte = vec![Vec::new(); 256];
        for (id, (piece, kind)) in vocabulary.pieces.iter().zip(&vocabulary.kinds).enumerate() {
            let special = matches!(
                kind,
                TokenKind::Control | TokenKind::Unknown | TokenKind::UserDefined
            );
            if let (true, Some(&first)) = (special, piece.as_bytes().first()) {
                by_first_byte[first as usize].push(id as u32);
            }
        }
        for ids in &mut by_first_byte {
            ids.sort_by_key(|&id| std::cmp::Reverse(vocabulary.pieces[id as usize].len()));
        }
        Self { by_first_byte }
    }

    /// Cuts `text` at the special tokens in it, leftmost and longest first. User-defined tokens
    /// always count, control tokens only if `parse_control`. No token begins behind a `shield`.
    pub(super) fn split<'t>(
        &self,
        vocabulary: &Vocabulary,
        text: &'t str,
        parse_control: bool,
        shield: Option<char>,
        mut emit: impl FnMut(Fragment<'t>),
    ) {
        let bytes = text.as_bytes();
        let mut buffer = [0; 4];
        let shield = shield.map(|c| c.encode_utf8(&mut buffer).as_bytes());
        let (mut start, mut at) = (0, 0);
        while at < bytes.len() {
            if let Some(shield) = shield.filter(|shield| bytes[at..].starts_with(shield)) {
                at += shield.len();
                // The first byte of the next character: tokens begin with no other.
                at += usize::from(at < bytes.len());
                continue;
            }
            let found = self.by_first_byte[bytes[at] as usize].iter().find(|&&id| {
                let wanted =
                    parse_control || vocabulary.kinds[id as usize] == TokenKind::UserDefined;
                wanted && bytes[at..].starts_with(vocabulary.pieces[id as usize].as_bytes())
            });
            match found {
                Some(&id) => {
                    if start < at {
                        emit(Fragment::Text(&text[start..at]));
                    }
                    emit(Fragment::Token(id));
                    at += vocabulary.pieces[id as usize].len();
                    start = at;
                }
                None => at += 1,
            }
        }
        if start < bytes.len() {
            emit(Fragment::Text(&text[start..]));
        }
    }
}
