//! The text that is scored.

use crate::Error;
use aeolus_infer::{EncodeOptions, Tokenizer};
use std::io::Read;
use std::path::Path;

/// Tokens of a whole text, with the one that the model wants before it. Control tokens that are
/// spelled out in the text are text. What is scored never gets the end token that some files ask for:
/// llama-perplexity refuses such files, and the evaluation harness encodes without it.
pub fn tokens(tokenizer: &Tokenizer, text: &str) -> Vec<u32> {
    let options = EncodeOptions {
        add_special: true,
        parse_special: false,
    };
    tokenizer.encode(text, options)
}

/// What the windows of a text begin with, if the model wants anything.
pub fn bos(tokenizer: &Tokenizer) -> Option<u32> {
    let vocabulary = tokenizer.vocabulary();
    vocabulary.bos.filter(|_| vocabulary.add_bos)
}

/// Reads a text, from stdin if `path` is `-`. One line end at the very end is dropped, as
/// llama-perplexity does.
///
/// # Errors
/// [`Error::Io`], [`Error::Format`] with the place of a byte that is no UTF-8,
/// [`Error::EmptyText`].
pub fn read(path: &Path) -> Result<String, Error> {
    let io = Error::io("read", path);
    let bytes = if path == Path::new("-") {
        let mut bytes = Vec::new();
        std::io::stdin().read_to_end(&mut bytes).map_err(io)?;
        bytes
    } else {
        std::fs::read(path).map_err(io)?
    };
    let mut text = String::from_utf8(bytes).map_err(|error| Error::Format {
        what: "UTF-8 text file",
        path: path.into(),
        problem: format!(
            "the byte at {} fits no character",
            error.utf8_error().valid_up_to()
        ),
    })?;
    if text.ends_with('\n') {
        text.pop();
    }
    if text.is_empty() {
        return Err(Error::EmptyText);
    }
    Ok(text)
}
