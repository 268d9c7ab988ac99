//! Finding tokens that are written out in the text: `</s>`, `<|user|>`.

use super::vocab::{TokenKind, Vocabulary};

/// Tokens that are matched as a whole before merging.
#[derive(Debug)]
pub(super) struct SpecialTokens {
    all: Pieces,
    user_defined: Pieces,
}

/// Pieces of which the longest that a text begins with is found without trying each: there may be a
/// million, made to begin alike. It takes as many steps as the logarithm of their number, and one for
/// each that the nearest of them begins with, at most as many as a piece has bytes.
#[derive(Debug)]
pub(super) struct Pieces {
    /// In the order of their bytes, without repetitions.
    ids: Vec<u32>,
    /// For each of them the place of the longest other one that it begins with.
    beginnings: Vec<Option<u32>>,
    /// What any of them begins with.
    first_bytes: [bool; 256],
}

/// A stretch of the input.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fragment<'t> {
    Text(&'t str),
    Token(u32),
}

impl Pieces {
    pub(super) fn new(vocabulary: &Vocabulary, wanted: impl Fn(TokenKind) -> bool) -> Self {
        let piece = |id: u32| vocabulary.pieces[id as usize].as_bytes();
        let kinds = vocabulary.kinds.iter().zip(0..);
        let mut ids: Vec<u32> = kinds
            .filter(|(kind, id)| wanted(**kind) && !piece(*id).is_empty())
            .map(|(_, id)| id)
            .collect();
        // The first of those that are spelled alike stays.
        ids.sort_by_key(|id| piece(*id));
        ids.dedup_by_key(|id| piece(*id));
        let mut first_bytes = [false; 256];
        let mut beginnings = Vec::with_capacity(ids.len());
        // What the last piece begins with, itself included, shortest first.
        let mut open: Vec<u32> = Vec::new();
        for (place, &id) in (0..).zip(&ids) {
            let piece_of = |place: &u32| piece(ids[*place as usize]);
            while open
                .last()
                .is_some_and(|o| !piece(id).starts_with(piece_of(o)))
            {
                open.pop();
            }
            beginnings.push(open.last().copied());
            open.push(place);
            first_bytes[piece(id)[0] as usize] = true;
        }
        Self {
            ids,
            beginnings,
            first_bytes,
        }
    }

    /// The longest of them that `text`, which is not empty, begins with.
    pub(super) fn longest_at(&self, vocabulary: &Vocabulary, text: &[u8]) -> Option<u32> {
        if !self.first_bytes[text[0] as usize] {
            return None;
        }
        let piece = |id: u32| vocabulary.pieces[id as usize].as_bytes();
        // All that the text begins with are at most the text, and the longest of them is the last
        // of these, or what that one begins with: what lies between them in this order begins
        // with it, too.
        let after = self.ids.partition_point(|id| piece(*id) <= text);
        let mut place = after.checked_sub(1)?;
        let last = piece(self.ids[place]);
        let common = last.iter().zip(text).take_while(|(a, b)| a == b).count();
        while piece(self.ids[place]).len() > common {
            place = self.beginnings[place]? as usize;
        }
        Some(self.ids[place])
    }
}

impl SpecialTokens {
    pub(super) fn new(vocabulary: &Vocabulary) -> Self {
        use TokenKind::{Control, Unknown, UserDefined};
        Self {
            all: Pieces::new(vocabulary, |kind| {
                matches!(kind, Control | Unknown | UserDefined)
            }),
            user_defined: Pieces::new(vocabulary, |kind| kind == UserDefined),
        }
    }

    /// The special token that `text` begins with.
    pub(super) fn first(&self, vocabulary: &Vocabulary, text: &str) -> Option<u32> {
        let text = Some(text.as_bytes()).filter(|text| !text.is_empty())?;
        self.all.longest_at(vocabulary, text)
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
        let pieces = match parse_control {
            true => &self.all,
            false => &self.user_defined,
        };
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
            match pieces.longest_at(vocabulary, &bytes[at..]) {
                Some(id) => {
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
