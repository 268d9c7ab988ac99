//! Byte-pair merging by rank, as the original framework does it.
//!
//! A text is normalized, cut into pieces, and each piece starts as one symbol for each byte (or each
//! character). The adjacent pair whose merge comes first in the file's list is merged, the leftmost of
//! equals, until no pair is in the list. Every merge adds at most two pairs to the queue, so a piece
//! of n symbols costs O(n log n).

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};

use aeolus_arch::pre_tokenizer::{Alphabet, PreTokenizer};

use super::pre_tokenize::{self, Split};
use super::vocab::{MAX_MERGES, TokenKind, Vocabulary};
use super::{bytes, normalize};
use crate::error::{Error, Result};

/// The merge rules and pre-tokenizer of a vocabulary.
#[derive(Debug)]
pub(super) struct Bpe {
    pre: &'static PreTokenizer,
    splits: Vec<Split>,
    byte_splits: Vec<Split>,
    /// Two symbols -> place of their merge in the list.
    ranks: HashMap<(u32, u32), u32>,
    /// What each merge makes.
    merged: Vec<u32>,
    /// Tokens of one byte, in the order of the bytes.
    bytes: Vec<Option<u32>>,
    /// Tokens of one character, where pieces are written in characters.
    chars: HashMap<char, u32>,
    /// Bytes of whole tokens, where such a piece is not merged.
    whole: HashMap<Box<[u8]>, u32>,
    /// Characters that some merge brings together, where a text is one piece: it can be cut between
    /// any others.
    neighbours: HashSet<(char, char)>,
    unk: Option<u32>,
}

/// Before the first node, and the symbol of one that is no longer in the list.
const NONE: u32 = u32::MAX;

/// A symbol of a piece.
#[derive(Clone, Copy, Debug)]
struct Node {
    symbol: u32,
    previous: u32,
    next: u32,
}

/// Buffers of [`Bpe::encode`], kept between calls.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    nodes: Vec<Node>,
    /// Rank in the upper half, place in the lower.
    queue: BinaryHeap<Reverse<u64>>,
    written: String,
}

impl Bpe {
    /// # Errors
    /// [`Error::Vocabulary`] for a merge that is not two tokens which make a third, that comes twice,
    /// or that is one of [`MAX_MERGES`] and more.
    pub(super) fn new(
        vocabulary: &Vocabulary,
        merges: &[&str],
        pre: &'static PreTokenizer,
    ) -> Result<Self> {
        if merges.len() >= MAX_MERGES {
            return Err(Error::Vocabulary(format!(
                "there are {} merges, fewer than {MAX_MERGES} are supported",
                merges.len()
            )));
        }
        let (ids, words) = (ids(vocabulary), |patterns: &[&str]| {
            let splits = patterns.iter().map(|pattern| Split::new(pattern));
            splits
                .collect::<std::result::Result<Vec<_>, _>>()
                .map_err(|error| Error::Vocabulary(format!("pre-tokenizer {}: {error}", pre.name)))
        });
        let mut bpe = Self {
            pre,
            splits: words(pre.splits)?,
            byte_splits: words(pre.byte_splits)?,
            ranks: HashMap::with_capacity(merges.len()),
            merged: Vec::with_capacity(merges.len()),
            bytes: vec![None; 256],
            chars: HashMap::new(),
            whole: HashMap::new(),
            neighbours: HashSet::new(),
            unk: vocabulary.unk,
        };
        let mut joined = String::new();
        for (rank, merge) in (0_u32..).zip(merges) {
            // A piece may itself begin with a space.
            let cut = merge.char_indices().skip(1).find(|(_, c)| *c == ' ');
            let Some((cut, _)) = cut else {
                return Err(Error::Vocabulary(format!(
                    "merge {rank} is {merge:?}, expected two tokens with a space between them"
                )));
            };
            let (left, right) = (&merge[..cut], &merge[cut + 1..]);
            joined.clear();
            joined.push_str(left);
            joined.push_str(right);
            let id = |text: &str| {
                ids.get(text).copied().ok_or_else(|| {
                    Error::Vocabulary(format!(
                        "merge {rank} is {merge:?}, and there is no token {text:?}"
                    ))
                })
            };
            let pair = (id(left)?, id(right)?);
            bpe.merged.push(id(&joined)?);
            if let Some(before) = bpe.ranks.insert(pair, rank) {
                return Err(Error::Vocabulary(format!(
                    "merge {rank} is {merge:?}, and so is merge {before}"
                )));
            }
            if bpe.is_one_piece()
                && let (Some(a), Some(b)) = (left.chars().next_back(), right.chars().next())
            {
                bpe.neighbours.insert((a, b));
            }
        }
        bpe.find_symbols(vocabulary);
        Ok(bpe)
    }

    /// Whether nothing cuts the text.
    fn is_one_piece(&self) -> bool {
        self.splits.is_empty()
    }

    /// Tokens that a piece starts with, or is.
    fn find_symbols(&mut self, vocabulary: &Vocabulary) {
        use TokenKind::{Normal, UserDefined};
        for wanted in [Normal, UserDefined] {
            for (id, piece) in (0..).zip(&vocabulary.pieces) {
                if vocabulary.kinds[id as usize] != wanted {
                    continue;
                }
                let mut chars = piece.chars();
                if let (Some(c), None) = (chars.next(), chars.next()) {
                    match (self.pre.alphabet, bytes::byte_of(c)) {
                        (Alphabet::Bytes, Some(byte)) => {
                            self.bytes[byte as usize].get_or_insert(id);
                        }
                        (Alphabet::Bytes, None) => {}
                        _ => {
                            self.chars.entry(c).or_insert(id);
                        }
                    }
                }
                if self.pre.ignore_merges && !piece.is_empty() {
                    let mut whole = Vec::with_capacity(piece.len());
                    self.piece_bytes(piece, &mut whole);
                    self.whole.entry(whole.into()).or_insert(id);
                }
            }
        }
        if self.pre.alphabet != Alphabet::Bytes {
            for (id, kind) in (0..).zip(&vocabulary.kinds) {
                if let TokenKind::Byte(byte) = kind {
                    self.bytes[*byte as usize] = Some(id);
                }
            }
        }
    }

    /// The text that a piece stands for.
    pub(super) fn piece_bytes(&self, piece: &str, out: &mut Vec<u8>) {
        match self.pre.alphabet {
            Alphabet::Bytes => bytes::decode_into(piece, out),
            Alphabet::Characters => {
                let mut buffer = [0; 4];
                for c in piece.chars() {
                    let c = if c == super::SPACE { ' ' } else { c };
                    out.extend(c.encode_utf8(&mut buffer).as_bytes());
                }
            }
            Alphabet::PlainCharacters => out.extend(piece.as_bytes()),
        }
    }

    /// Files of the kind that is written in characters say of some tokens that are always kept whole
    /// that they are normal: the reference's converter does. The original framework matches them in any
    /// text. They are those that no merge makes, and the runs of `▁` that stand for indentation.
    pub(super) fn find_kept_whole(&self, vocabulary: &mut Vocabulary) {
        if self.pre.alphabet != Alphabet::Characters {
            return;
        }
        let mut made = vec![false; vocabulary.pieces.len()];
        for &id in &self.merged {
            made[id as usize] = true;
        }
        let kinds = vocabulary.kinds.iter_mut().zip(&vocabulary.pieces);
        for ((kind, piece), made) in kinds.zip(made) {
            let several = piece.chars().nth(1).is_some();
            let spaces = piece.chars().all(|c| c == super::SPACE);
            if *kind == TokenKind::Normal && several && (spaces || !made) {
                *kind = TokenKind::UserDefined;
            }
        }
    }

    /// Appends the tokens of `text`, in which no special token is looked for.
    pub(super) fn encode(&self, text: &str, scratch: &mut Scratch, ids: &mut Vec<u32>) {
        let composed = match self.pre.nfc {
            true => normalize::nfc(text),
            false => text.into(),
        };
        if self.pre.alphabet == Alphabet::Characters {
            let mut written = std::mem::take(&mut scratch.written);
            written.clear();
            written.extend(
                composed
                    .chars()
                    .map(|c| if c == ' ' { super::SPACE } else { c }),
            );
            self.encode_normal(&written, scratch, ids);
            scratch.written = written;
        } else {
            self.encode_normal(&composed, scratch, ids);
        }
    }

    fn encode_normal(&self, text: &str, scratch: &mut Scratch, ids: &mut Vec<u32>) {
        if self.is_one_piece() {
            return self.encode_runs(text, scratch, ids);
        }
        pre_tokenize::cut(&self.splits, text, &mut |piece| {
            if self.byte_splits.is_empty() {
                self.encode_piece(piece, scratch, ids);
            } else {
                self.encode_byte_pieces(piece, scratch, ids);
            }
        });
    }

    /// Cuts a text where no merge can join it: the queue stays as small as a word.
    fn encode_runs(&self, text: &str, scratch: &mut Scratch, ids: &mut Vec<u32>) {
        let mut start = 0;
        let mut before = None;
        for (at, c) in text.char_indices() {
            if before.is_some_and(|before| !self.neighbours.contains(&(before, c))) {
                self.encode_piece(&text[start..at], scratch, ids);
                start = at;
            }
            before = Some(c);
        }
        self.encode_piece(&text[start..], scratch, ids);
    }

    /// Cuts a piece further, as it is written in the alphabet of bytes.
    fn encode_byte_pieces(&self, piece: &str, scratch: &mut Scratch, ids: &mut Vec<u32>) {
        let written: String = piece.bytes().map(bytes::char_of).collect();
        let mut rest = piece.as_bytes();
        pre_tokenize::cut(&self.byte_splits, &written, &mut |part| {
            let (bytes, after) = rest.split_at(part.chars().count());
            rest = after;
            self.encode_bytes(bytes, scratch, ids);
        });
    }

    fn encode_piece(&self, piece: &str, scratch: &mut Scratch, ids: &mut Vec<u32>) {
        if self.pre.alphabet == Alphabet::Bytes {
            return self.encode_bytes(piece.as_bytes(), scratch, ids);
        }
        if let Some(&id) = self.whole.get(piece.as_bytes()) {
            return ids.push(id);
        }
        scratch.nodes.clear();
        for c in piece.chars() {
            match self.chars.get(&c) {
                Some(&id) => scratch.push(id),
                None => self.fall_back(c, scratch),
            }
        }
        self.merge(scratch, ids);
    }

    fn encode_bytes(&self, piece: &[u8], scratch: &mut Scratch, ids: &mut Vec<u32>) {
        if let Some(&id) = self.whole.get(piece) {
            return ids.push(id);
        }
        scratch.nodes.clear();
        // Bytes without a token are left out, and their neighbours become each other's.
        for id in piece.iter().filter_map(|byte| self.bytes[*byte as usize]) {
            scratch.push(id);
        }
        self.merge(scratch, ids);
    }

    /// The bytes of a character without a token; where a byte has none either, the unknown token, once
    /// for all characters in a row.
    fn fall_back(&self, c: char, scratch: &mut Scratch) {
        let mut buffer = [0; 4];
        let bytes = c.encode_utf8(&mut buffer).bytes();
        let tokens = bytes
            .map(|b| self.bytes[b as usize])
            .collect::<Option<Vec<u32>>>();
        match (tokens, self.unk) {
            (Some(tokens), _) => tokens.into_iter().for_each(|id| scratch.push(id)),
            (None, Some(unk)) if scratch.nodes.last().is_none_or(|n| n.symbol != unk) => {
                scratch.push(unk);
            }
            (None, _) => {}
        }
    }

    /// Merges the symbols of a piece and appends what is left.
    fn merge(&self, scratch: &mut Scratch, ids: &mut Vec<u32>) {
        let Scratch { nodes, queue, .. } = scratch;
        // Rank of the pair at a place.
        let rank = |nodes: &[Node], at: u32| {
            let left = nodes[at as usize];
            let right = nodes.get(left.next as usize)?;
            self.ranks.get(&(left.symbol, right.symbol)).copied()
        };
        let entry = |rank: u32, at: u32| Reverse((u64::from(rank) << 32) | u64::from(at));
        let mut pairs = std::mem::take(queue).into_vec();
        pairs.clear();
        pairs.extend((0..nodes.len() as u32).filter_map(|at| Some(entry(rank(nodes, at)?, at))));
        *queue = BinaryHeap::from(pairs);
        while let Some(Reverse(pair)) = queue.pop() {
            let (queued, at) = ((pair >> 32) as usize, pair as u32);
            // The pair may have changed since, but if it makes the same token it is merged, as in
            // the original.
            let made = self.merged[queued];
            let Some(now) = rank(nodes, at) else {
                continue;
            };
            if self.merged[now as usize] != made {
                continue;
            }
            let Node { previous, next, .. } = nodes[at as usize];
            let after = nodes[next as usize].next;
            nodes[next as usize].symbol = NONE;
            nodes[at as usize].symbol = made;
            nodes[at as usize].next = after;
            if let Some(after) = nodes.get_mut(after as usize) {
                after.previous = at;
            }
            if previous != NONE
                && let Some(rank) = rank(nodes, previous)
            {
                queue.push(entry(rank, previous));
            }
            if let Some(rank) = rank(nodes, at) {
                queue.push(entry(rank, at));
            }
        }
        let mut at = 0;
        while let Some(node) = nodes.get(at as usize) {
            ids.push(node.symbol);
            at = node.next;
        }
    }
}

impl Scratch {
    /// Appends a symbol to the list. What would not fit in 32 bits is more than memory holds.
    fn push(&mut self, symbol: u32) {
        let at = self.nodes.len() as u32;
        self.nodes.push(Node {
            symbol,
            previous: at.wrapping_sub(1),
            next: at + 1,
        });
    }
}

/// Text -> id, the first of those that are spelled alike.
fn ids(vocabulary: &Vocabulary) -> HashMap<&str, u32> {
    let mut ids = HashMap::with_capacity(vocabulary.pieces.len());
    for (id, piece) in (0..).zip(&vocabulary.pieces) {
        ids.entry(piece.as_str()).or_insert(id);
    }
    ids
}

/// What a pre-tokenizer makes of a text: its pieces, as they are written before merging.
///
/// # Panics
/// If a pattern of the table is wrong.
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub fn cutter(pre: &'static PreTokenizer) -> impl Fn(&str) -> Vec<String> {
    let splits = |patterns: &[&str]| -> Vec<Split> {
        let splits = patterns.iter().map(|pattern| Split::new(pattern));
        splits
            .map(|split| split.expect("a pattern of the table"))
            .collect()
    };
    let (splits, byte_splits) = (splits(pre.splits), splits(pre.byte_splits));
    move |text| {
        let normal = if pre.nfc {
            normalize::nfc(text)
        } else {
            text.into()
        };
        let mut pieces = Vec::new();
        pre_tokenize::cut(&splits, &normal, &mut |piece| {
            if pre.alphabet != Alphabet::Bytes {
                return pieces.push(piece.to_owned());
            }
            let written: String = piece.bytes().map(bytes::char_of).collect();
            pre_tokenize::cut(&byte_splits, &written, &mut |part| {
                pieces.push(part.to_owned())
            });
        });
        pieces
    }
}

#[cfg(test)]
mod tests;
