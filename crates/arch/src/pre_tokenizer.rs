//! Pre-tokenizers: what happens to a text before byte pairs are merged.
//!
//! A byte-pair vocabulary is trained on pieces of text, and gives the right tokens only for texts
//! that are cut in the same way. GGUF files hold the name of the way (`tokenizer.ggml.pre`) and
//! nothing more; the table of this module says what a name means ([`named`]). A checkpoint's
//! tokenizer.json describes the way itself; [`recognise`] finds its name.
//!
//! The patterns are those of the original tokenizer.json files, not the forms that llama.cpp gave
//! some of them for its own regex engine.

mod patterns;
mod recognise;
mod table;

pub use patterns::{
    DIGITS_FROM_THE_RIGHT, DIGITS_TO_WORD_END, HALVING_SPACES, NUMBERS_FROM_THE_RIGHT,
    SPACES_BEFORE_THE_LAST,
};
pub use recognise::{
    Added, Merging, Normalizer, Pattern, Step, Structure, UnknownPreTokenizer, recognise,
};
pub use table::ALL;

/// How text is prepared for one kind of byte-pair vocabulary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PreTokenizer {
    /// The value of `tokenizer.ggml.pre`.
    pub name: &'static str,
    /// Regular expressions. Each cuts every piece that the one before it left, around its matches;
    /// what lies between matches is a piece, too.
    pub splits: &'static [&'static str],
    /// The same, after the bytes of each piece were written in GPT-2's alphabet.
    pub byte_splits: &'static [&'static str],
    /// What the vocabulary's pieces are written in.
    pub alphabet: Alphabet,
    /// Whether text is brought to Unicode's composed form (NFC) first.
    pub nfc: bool,
    /// Whether a piece that is a token as a whole is not merged.
    pub ignore_merges: bool,
    /// Whether the beginning-of-text token is put before a text when the file does not say.
    pub add_bos: bool,
    /// The framework's tokenizer puts the beginning token before texts, while converters write that it does
    /// not.
    pub always_adds_bos: bool,
    /// Special tokens by which a family's tokenizer.json is told from others of the same structure.
    /// All must be there.
    marks: &'static [&'static str],
    /// Whether tokenizer.json files with the other value of `ignore_merges` go by this name, too.
    /// The reference's converter does not look at it for these.
    any_ignore_merges: bool,
}

/// What the pieces of a byte-pair vocabulary are written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alphabet {
    /// Each byte of UTF-8 as one of GPT-2's 256 printable characters: a space is `Ġ`.
    Bytes,
    /// Characters as they are, with a space as `▁`. Those without a token are written in
    /// byte tokens (`<0x0A>`).
    Characters,
    /// Characters as they are, spaces included.
    PlainCharacters,
}

/// The pre-tokenizer that GGUF files call `name`.
pub fn named(name: &str) -> Option<&'static PreTokenizer> {
    ALL.iter().find(|known| known.name == name)
}

/// The known name that is spelled most like `name`.
pub fn nearest_name(name: &str) -> &'static str {
    let nearest = ALL
        .iter()
        .min_by_key(|known| recognise::edits(name, known.name));
    nearest.map_or("", |known| known.name)
}

impl PreTokenizer {
    const fn new(name: &'static str, splits: &'static [&'static str]) -> Self {
        Self {
            name,
            splits,
            byte_splits: &[],
            alphabet: Alphabet::Bytes,
            nfc: false,
            ignore_merges: false,
            add_bos: false,
            always_adds_bos: false,
            marks: &[],
            any_ignore_merges: false,
        }
    }

    const fn nfc(mut self) -> Self {
        self.nfc = true;
        self
    }

    const fn ignore_merges(mut self) -> Self {
        self.ignore_merges = true;
        self
    }

    const fn any_ignore_merges(mut self) -> Self {
        self.any_ignore_merges = true;
        self
    }

    const fn always_adds_bos(mut self) -> Self {
        self.always_adds_bos = true;
        self
    }

    const fn add_bos(mut self) -> Self {
        self.add_bos = true;
        self
    }

    const fn alphabet(mut self, alphabet: Alphabet) -> Self {
        self.alphabet = alphabet;
        self
    }

    const fn byte_splits(mut self, splits: &'static [&'static str]) -> Self {
        self.byte_splits = splits;
        self
    }

    const fn marks(mut self, marks: &'static [&'static str]) -> Self {
        self.marks = marks;
        self
    }
}
