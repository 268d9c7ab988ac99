//! Tokenizers of checkpoint folders, and the files that the tests make for them.

mod added;
mod chat_templates;
mod joined;
mod sentencepiece;
mod side_files;

use super::*;
use serde_json::json;
use std::path::PathBuf;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fixtures")
        .join(name)
}

/// A protobuf field of bytes.
fn field(number: u8, value: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    let mut len = value.len();
    while len >= 0x80 {
        out.push(len as u8 | 0x80);
        len >>= 7;
    }
    out.push(len as u8);
    out.extend(value);
    out
}

fn piece(text: &str, score: f32, kind: u8) -> Vec<u8> {
    let mut inner = field(1, text.as_bytes());
    inner.push(2 << 3 | 5);
    inner.extend(score.to_le_bytes());
    inner.extend([3 << 3, kind]);
    field(1, &inner)
}

/// `trainer_spec` of a BPE model.
fn bpe() -> Vec<u8> {
    field(2, &[3 << 3, 2])
}

/// `<unk>`, `<s>`, `</s>`, `<0x0A>`, `▁a`, `b`: six pieces.
fn model() -> Vec<u8> {
    let pieces = [
        piece("<unk>", 0.0, 2),
        piece("<s>", 0.0, 3),
        piece("</s>", 0.0, 3),
        piece("<0x0A>", 0.0, 6),
        piece("\u{2581}a", -1.0, 1),
        piece("b", -2.5, 4),
    ];
    // No runs of spaces removed, as in every Llama tokenizer.
    [pieces.concat(), bpe(), field(3, &[4 << 3, 0])].concat()
}

/// A folder with these files.
fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        std::fs::write(dir.path().join(name), bytes).unwrap();
    }
    dir
}

fn read_with(
    vocab: u32,
    ids: &[(&'static str, u32)],
    files: &[(&str, &[u8])],
) -> Result<Tokenizer, Error> {
    read_noting(vocab, ids, files).map(|(tokenizer, _)| tokenizer)
}

/// What a llama model asks for.
fn wanted<'a>(vocab_size: u32, config_ids: &'a [(&'static str, u32)]) -> Wanted<'a> {
    Wanted {
        vocab_size,
        config_ids,
        special_tokens: &[],
        writes_space_prefix: true,
        kind: None,
        pre: None,
    }
}

/// The tokenizer of a folder with these files, and what is noted about it, without paths.
fn read_noting(
    vocab: u32,
    ids: &[(&'static str, u32)],
    files: &[(&str, &[u8])],
) -> Result<(Tokenizer, Vec<String>), Error> {
    let (notes, dir) = (Notes::default(), folder(files));
    let tokenizer = read(dir.path(), wanted(vocab, ids), &Limits::default(), &notes)?;
    let prefix = dir.path().display().to_string();
    let notes = notes.into_vec().into_iter();
    let notes = notes.map(|note| {
        note.replace(&format!("{prefix}/"), "")
            .replace(&prefix, ".")
    });
    Ok((tokenizer, notes.collect()))
}

fn tokens(t: &Tokenizer) -> Vec<(String, f32, i32)> {
    let array = |key| t.metadata.array(key).unwrap().unwrap();
    let texts = array("tokenizer.ggml.tokens").strings().unwrap();
    let scores = array("tokenizer.ggml.scores").to_f32s().unwrap();
    let types = array("tokenizer.ggml.token_type").to_i32s().unwrap();
    let rest = scores.into_iter().zip(types);
    texts
        .zip(rest)
        .map(|(t, (s, k))| (t.to_owned(), s, k))
        .collect()
}

fn keys(t: &Tokenizer) -> Vec<&str> {
    t.metadata
        .iter()
        .map(|(key, _)| key.strip_prefix("tokenizer.").unwrap())
        .collect()
}
