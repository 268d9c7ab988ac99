//! The text that is scored, or that importance is collected over.

use crate::Error;
use aeolus_infer::{EncodeOptions, Message, Tokenizer};
use serde::Deserialize;
use std::io::Read;
use std::path::Path;

/// Tokens of a whole text, with the one that the model wants before it. Control tokens that are
/// spelled out in the text are text. What is scored never gets the end token that some files ask for:
/// llama-perplexity refuses such files, and the evaluation harness encodes without it.
pub fn tokens(tokenizer: &Tokenizer, text: &str) -> Vec<u32> {
    encode(tokenizer, text, false)
}

/// The same where control tokens that are spelled out in the text are control tokens.
pub fn tokens_with_control(tokenizer: &Tokenizer, text: &str) -> Vec<u32> {
    encode(tokenizer, text, true)
}

fn encode(tokenizer: &Tokenizer, text: &str, parse_special: bool) -> Vec<u32> {
    let options = EncodeOptions {
        add_special: true,
        parse_special,
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

/// The conversations of a text of JSON lines: each line is a list of messages, or an object that has one
/// under `messages`; each message has a `role` and a `content`, which is text. Empty lines are skipped.
///
/// # Errors
/// [`Error::Format`] with the line, which `path` is the file of; [`Error::EmptyText`] without a message.
pub fn conversations(text: &str, path: &Path) -> Result<Vec<Vec<Message>>, Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Line {
        Bare(Vec<Message>),
        Named { messages: Vec<Message> },
    }
    let lines = text.lines().enumerate();
    let lines = lines.filter(|(_, line)| !line.trim().is_empty());
    let mut all = Vec::new();
    for (number, line) in lines {
        let wrong = |problem: String| Error::Format {
            what: "file of conversations as JSON lines",
            path: path.into(),
            problem: format!("line {}: {problem}", number + 1),
        };
        let line = serde_json::from_str(line).map_err(|error| match error.is_data() {
            true => wrong(
                "expected {\"messages\": [{\"role\": ..., \"content\": ...}, ...]} with texts"
                    .into(),
            ),
            // It counts lines, too: of this one.
            false => wrong(error.to_string().replace(" at line 1 column", ", column")),
        })?;
        let (Line::Bare(messages) | Line::Named { messages }) = line;
        if messages.is_empty() {
            return Err(wrong("a conversation without messages".into()));
        }
        all.push(messages);
    }
    match all.is_empty() {
        true => Err(Error::EmptyText),
        false => Ok(all),
    }
}
