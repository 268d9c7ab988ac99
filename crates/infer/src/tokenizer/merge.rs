//! Byte-pair merging by score: a priority queue over a linked list of symbols.
//!
//! Text starts as one symbol per character. The adjacent pair whose union is the piece with the
//! highest score (the leftmost of equals) is merged, until no pair forms a piece. Every merge
//! adds at most two pairs to the queue, so a text of n characters costs O(n log n).
//!
//! Two tables are made once from the vocabulary: which piece a pair of symbols forms, so that no
//! text is compared while merging, and which pairs of characters lie inside some piece. Where two
//! neighbouring characters lie inside no piece, no merge can ever span them: the text is cut
//! there, and the queue stays as small as a word.

use std::cmp::Ordering;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};

use super::vocab::{MAX_MERGES, MAX_NEIGHBOURS, TokenKind, Vocabulary};
use crate::error::{Error, Result};

/// Number of a distinct symbol text: token ids first, then characters that are no token
/// themselves but part of one.
type Symbol = u32;
/// A character that occurs in no piece: nothing merges with it.
const OUTSIDE: Symbol = u32::MAX;

/// Multiplicative hash of a packed pair; the keys are dense small numbers, not chosen text.
#[derive(Default)]
pub(super) struct PairHasher(u64);

impl Hasher for PairHasher {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(u64::from(byte));
        }
    }
    fn write_u64(&mut self, key: u64) {
        let mixed = (self.0 ^ key).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ (mixed >> 29);
    }
}

type PairMap<V> = HashMap<u64, V, BuildHasherDefault<PairHasher>>;
type PairSet = HashSet<u64, BuildHasherDefault<PairHasher>>;

fn pair(left: u32, right: u32) -> u64 {
    (u64::from(left) << 32) | u64::from(right)
}

/// The merge rules of a vocabulary.
#[derive(Debug)]
pub(super) struct Merges {
    /// Pair of symbols -> the token they form.
    rules: PairMap<u32>,
    /// Single characters that are tokens or parts of tokens.
    chars: HashMap<char, Symbol>,
    /// Pairs of characters that are neighbours inside some token.
    neighbours: PairSet,
    /// Symbols below this number are tokens.
    tokens: u32,
}

/// A pair waiting to be merged.
#[derive(Debug)]
struct Candidate {
    score: f32,
    left: u32,
    right: u32,
    /// Symbols the pair had when it was queued: a pair that changed since is stale.
    symbols: u64,
    merged: u32,
}

impl Ord for Candidate {
    fn cmp(&self, other: &Self) -> Ordering {
        self.score
            .total_cmp(&other.score)
            .then_with(|| other.left.cmp(&self.left))
    }
}
impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl PartialEq for Candidate {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}
impl Eq for Candidate {}

/// End of the linked list.
const NONE: u32 = u32::MAX;

/// One node of the list: a run of the text that is one symbol.
#[derive(Debug)]
struct Node {
    symbol: Symbol,
    /// Byte range in the text.
    start: u32,
    end: u32,
    previous: u32,
    next: u32,
}

/// Buffers of [`Merges::encode`], kept between calls.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    nodes: Vec<Node>,
    queue: BinaryHeap<Candidate>,
    /// Which two symbols an unused piece was made of.
    splits: HashMap<Symbol, (Symbol, Symbol)>,
}

/// A stretch of text after merging.
pub(super) enum Unit<'t> {
    /// A token.
    Token(u32),
    /// A text that no token covers.
    Text(&'t str),
}

impl Merges {
    /// # Errors
    /// [`Error::Vocabulary`] for pieces of which [`MAX_MERGES`] merges or [`MAX_NEIGHBOURS`] pairs
    /// of neighbours follow.
    pub(super) fn new(vocabulary: &Vocabulary) -> Result<Self> {
        let tokens = vocabulary.pieces.len() as u32;
        let mut ids: HashMap<&str, Symbol> = HashMap::with_capacity(vocabulary.pieces.len());
        let mergeable = |id: usize| {
            matches!(
                vocabulary.kinds[id],
                TokenKind::Normal | TokenKind::UserDefined | TokenKind::Symbol | TokenKind::Unused
            )
        };
        for (id, piece) in vocabulary.pieces.iter().enumerate() {
            if mergeable(id) && !piece.is_empty() && piece.len() <= super::vocab::MAX_PIECE_BYTES {
                ids.entry(piece).or_insert(id as u32);
            }
        }
        let whole_pieces: Vec<(&str, Symbol)> = ids.iter().map(|(&p, &id)| (p, id)).collect();
        let mut chars = HashMap::new();
        let mut neighbours = PairSet::default();
        let mut next_symbol = tokens;
        for &(piece, _) in &whole_pieces {
            let mut before = None;
            for (at, c) in piece.char_indices() {
                let text = &piece[at..at + c.len_utf8()];
                let symbol = *ids.entry(text).or_insert_with(|| {
                    next_symbol += 1;
                    next_symbol - 1
                });
                chars.insert(c, symbol);
                if let Some(before) = before {
                    // Looked at before the table would grow.
                    if neighbours.len() == MAX_NEIGHBOURS {
                        return Err(Error::Vocabulary(format!(
                            "its tokens hold {MAX_NEIGHBOURS} or more different pairs of \
                             neighbouring characters"
                        )));
                    }
                    neighbours.insert(pair(before, c as u32));
                }
                before = Some(c as u32);
            }
        }
        let mut rules = PairMap::default();
        for &(piece, id) in &whole_pieces {
            for (cut, _) in piece.char_indices().skip(1) {
                let halves = (ids.get(&piece[..cut]), ids.get(&piece[cut..]));
                if let (Some(&left), Some(&right)) = halves {
                    if rules.len() == MAX_MERGES {
                        return Err(Error::Vocabulary(format!(
                            "its tokens can be merged in {MAX_MERGES} or more ways"
                        )));
                    }
                    rules.insert(pair(left, right), id);
                }
            }
        }
        Ok(Self {
            rules,
            chars,
            neighbours,
            tokens,
        })
    }

    /// Merges `text` and hands its tokens, and the stretches without one, to `emit` in order.
    pub(super) fn encode<'t>(
        &self,
        vocabulary: &Vocabulary,
        text: &'t str,
        scratch: &mut Scratch,
        mut emit: impl FnMut(Unit<'t>),
    ) {
        let mut start = 0;
        let mut before: Option<char> = None;
        for (at, c) in text.char_indices() {
            let cut = before.is_some_and(|b| !self.neighbours.contains(&pair(b as u32, c as u32)));
            // Positions within a part are 32-bit.
            if cut || at - start > u32::MAX as usize / 2 {
                self.encode_part(vocabulary, &text[start..at], scratch, &mut emit);
                start = at;
            }
            before = Some(c);
        }
        self.encode_part(vocabulary, &text[start..], scratch, &mut emit);
    }

    fn encode_part<'t>(
        &self,
        vocabulary: &Vocabulary,
        text: &'t str,
        scratch: &mut Scratch,
        emit: &mut impl FnMut(Unit<'t>),
    ) {
        let Scratch {
            nodes,
            queue,
            splits,
        } = scratch;
        nodes.clear();
        queue.clear();
        splits.clear();
        for (at, c) in text.char_indices() {
            let index = nodes.len() as u32;
            nodes.push(Node {
                symbol: self.chars.get(&c).copied().unwrap_or(OUTSIDE),
                start: at as u32,
                end: (at + c.len_utf8()) as u32,
                previous: index.wrapping_sub(1),
                next: index + 1,
            });
        }
        let Some(last) = nodes.last_mut() else {
            return;
        };
        last.next = NONE;
        for right in 1..nodes.len() as u32 {
            self.consider(vocabulary, nodes, queue, right - 1, right);
        }
        while let Some(candidate) = queue.pop() {
            let Candidate { left, right, .. } = candidate;
            let (l, r) = (&nodes[left as usize], &nodes[right as usize]);
            if l.next != right || pair(l.symbol, r.symbol) != candidate.symbols {
                continue;
            }
            if vocabulary.kinds[candidate.merged as usize] == TokenKind::Unused {
                splits.insert(candidate.merged, (l.symbol, r.symbol));
            }
            let (end, next, previous) = (r.end, r.next, l.previous);
            // No candidate can match a node that is gone.
            nodes[right as usize].symbol = OUTSIDE;
            let l = &mut nodes[left as usize];
            (l.symbol, l.end, l.next) = (candidate.merged, end, next);
            if next != NONE {
                nodes[next as usize].previous = left;
                self.consider(vocabulary, nodes, queue, left, next);
            }
            if previous != NONE {
                self.consider(vocabulary, nodes, queue, previous, left);
            }
        }
        let mut at = 0;
        while at != NONE {
            let node = &nodes[at as usize];
            let run = &text[node.start as usize..node.end as usize];
            self.emit_symbol(vocabulary, node.symbol, run, splits, emit);
            at = node.next;
        }
    }

    fn consider(
        &self,
        vocabulary: &Vocabulary,
        nodes: &[Node],
        queue: &mut BinaryHeap<Candidate>,
        left: u32,
        right: u32,
    ) {
        let symbols = pair(nodes[left as usize].symbol, nodes[right as usize].symbol);
        if let Some(&merged) = self.rules.get(&symbols) {
            queue.push(Candidate {
                // Adding zero turns -0.0 into 0.0, which `total_cmp` would tell apart.
                score: vocabulary.scores[merged as usize] + 0.0,
                left,
                right,
                symbols,
                merged,
            });
        }
    }

    /// An unused piece goes back to what it was made of, as deep as that goes.
    fn emit_symbol<'t>(
        &self,
        vocabulary: &Vocabulary,
        symbol: Symbol,
        run: &'t str,
        splits: &HashMap<Symbol, (Symbol, Symbol)>,
        emit: &mut impl FnMut(Unit<'t>),
    ) {
        let mut stack = vec![(symbol, run)];
        while let Some((symbol, run)) = stack.pop() {
            let unused =
                symbol < self.tokens && vocabulary.kinds[symbol as usize] == TokenKind::Unused;
            match splits.get(&symbol) {
                Some(&(left, right)) if unused => {
                    let cut = self.symbol_bytes(vocabulary, left, run);
                    stack.push((right, &run[cut..]));
                    stack.push((left, &run[..cut]));
                }
                _ if symbol < self.tokens => emit(Unit::Token(symbol)),
                _ => emit(Unit::Text(run)),
            }
        }
    }

    /// Bytes of the symbol that `run` starts with.
    fn symbol_bytes(&self, vocabulary: &Vocabulary, symbol: Symbol, run: &str) -> usize {
        if symbol < self.tokens {
            vocabulary.pieces[symbol as usize].len()
        } else {
            run.chars().next().map_or(0, char::len_utf8)
        }
    }
}
