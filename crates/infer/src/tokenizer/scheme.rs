//! The kinds of tokenizers, and what each takes for granted.

use aeolus_arch::pre_tokenizer::{self, PreTokenizer};
use aeolus_gguf::Metadata;

use crate::error::{Error, Result};

/// How the pieces of a vocabulary are put together (`tokenizer.ggml.model`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    /// `llama`: by the scores of SentencePiece.
    SentencePiece,
    /// `gpt2`: by a list of merges, within what a pre-tokenizer left.
    Bytes(&'static PreTokenizer),
    /// `gemma4`: the same over the characters of the whole text.
    Characters(&'static PreTokenizer),
}

impl Scheme {
    pub(super) fn from_metadata(metadata: &Metadata<'_>) -> Result<Self> {
        let model = metadata
            .str("tokenizer.ggml.model")?
            .ok_or_else(|| Error::missing_key("tokenizer.ggml.model", "the kind of tokenizer"))?;
        match model {
            "llama" => Ok(Self::SentencePiece),
            // The name of the pre-tokenizer is not looked at.
            "gemma4" => Ok(Self::Characters(known("gemma4")?)),
            "gpt2" => match metadata.str("tokenizer.ggml.pre")? {
                Some(name) => Ok(Self::Bytes(known(name)?)),
                None => Err(Error::Vocabulary(
                    "the file has merges and no tokenizer.ggml.pre, which says how text is cut \
                     before it is merged. Files made before May 2024 lack it: convert the \
                     checkpoint again"
                        .to_owned(),
                )),
            },
            other => Err(Error::Unsupported {
                what: "tokenizer model",
                found: other.to_owned(),
                supported: "llama (SentencePiece), gpt2 and gemma4 (byte pairs)".into(),
            }),
        }
    }

    /// The pre-tokenizer of a byte-pair vocabulary.
    pub(super) fn pre_tokenizer(self) -> Option<&'static PreTokenizer> {
        match self {
            Self::SentencePiece => None,
            Self::Bytes(pre) | Self::Characters(pre) => Some(pre),
        }
    }

    // Ids that hold where a file has none. -1 stands for none.

    pub(super) fn default_bos(self) -> i128 {
        match self {
            Self::SentencePiece => 1,
            Self::Bytes(_) => 11,
            Self::Characters(_) => -1,
        }
    }

    pub(super) fn default_eos(self) -> i128 {
        match self {
            Self::SentencePiece => 2,
            Self::Bytes(_) => 11,
            Self::Characters(_) => -1,
        }
    }

    pub(super) fn default_unk(self) -> i128 {
        match self {
            Self::SentencePiece => 0,
            Self::Bytes(_) | Self::Characters(_) => -1,
        }
    }

    pub(super) fn default_add_bos(self) -> bool {
        self.pre_tokenizer().is_none_or(|pre| pre.add_bos)
    }

    /// Whether a file that says otherwise is wrong: the first ones of a family were, and those of another
    /// one are.
    pub(super) fn always_adds_bos(self) -> bool {
        match self {
            Self::SentencePiece => false,
            Self::Bytes(pre) => pre.always_adds_bos,
            Self::Characters(_) => true,
        }
    }
}

fn known(name: &str) -> Result<&'static PreTokenizer> {
    pre_tokenizer::named(name).ok_or_else(|| {
        Error::Vocabulary(format!(
            "tokenizer.ggml.pre is {name:?}, which is not a known pre-tokenizer; the nearest name \
             is {:?}",
            pre_tokenizer::nearest_name(name)
        ))
    })
}
