//! What cannot be measured says why.

use super::{convert, heldout};
use crate::support::{aeolus, arg, fails, fixture};
use aeolus_gguf::GgufFile;
use std::path::{Path, PathBuf};

#[test]
fn a_text_that_cannot_be_cut_is_refused_before_any_file_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let (model, text) = (fixture("notus-mini"), heldout());
    let short = file(dir.path(), "short.txt", b"It was the best of times");
    let out = dir.path().join("out");
    for (more, words) in [
        (vec!["-f", arg(&short)], "one window needs 512"),
        (vec!["-f", arg(&text), "-c", "3"], "a window of 3"),
        (vec!["-f", arg(&text), "--stride", "512"], "stride of 512"),
    ] {
        let args = ["table", arg(&model), "-o", arg(&out), "--type", "Q4_0"];
        let message = fails([&args[..], &more].concat());
        assert!(message.contains(words), "{message}");
        assert!(!out.exists());
    }
}

/// Writes a file of a test.
fn file(dir: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn texts_that_cannot_be_measured_are_refused_with_the_reason() {
    let (dir, f16) = convert("f16");
    let text = heldout();
    let (model, text) = (arg(&f16), arg(&text));
    let empty = file(dir.path(), "empty.txt", b"");
    let message = fails(["perplexity", model, "-f", arg(&empty)]);
    assert!(message.contains("the text is empty"), "{message}");
    let line = file(dir.path(), "line.txt", b"\n");
    let message = fails(["perplexity", model, "-f", arg(&line)]);
    assert!(message.contains("the text is empty"), "{message}");
    let short = file(dir.path(), "short.txt", b"It was the best of times");
    for args in [vec!["perplexity", model], vec!["compare", model, model]] {
        let message = fails([args, vec!["-f", arg(&short)]].concat());
        assert!(message.contains("one window needs 512"), "{message}");
    }
    let latin = file(dir.path(), "latin.txt", b"caf\xe9 au lait");
    let message = fails(["perplexity", model, "-f", arg(&latin)]);
    assert!(
        message.contains("latin.txt") && message.contains("byte at 3"),
        "{message}"
    );
    let message = fails(["perplexity", model, "-f", "no/such.txt"]);
    assert!(message.contains("no/such.txt"), "{message}");
    let message = fails(["perplexity", model, "-f", text, "--stride", "512"]);
    assert!(message.contains("stride of 512"), "{message}");
    let message = fails(["compare", model, model]);
    assert!(message.contains("-f"), "{message}");
    let message = fails(["verify", model, "--against", model, "--chunks", "2"]);
    assert!(message.contains("-f"), "{message}");
    let message = fails(["perplexity", model, "-f", text, "--state", arg(&short)]);
    assert!(message.contains("is not a saved state"), "{message}");
    let kept = std::fs::read(&short).unwrap();
    assert_eq!(kept, b"It was the best of times", "not overwritten");
}

#[test]
fn other_vocabularies_are_refused() {
    let (dir, f16) = convert("f16");
    let text = heldout();
    // One letter of one token.
    let mut bytes = std::fs::read(&f16).unwrap();
    let token = "\u{2581}the".as_bytes();
    let at = bytes.windows(token.len()).position(|w| w == token).unwrap();
    bytes[at + 3] = b'q';
    let renamed = file(dir.path(), "renamed.gguf", &bytes);
    let message = fails(["compare", arg(&f16), arg(&renamed), "-f", arg(&text)]);
    assert!(
        message.contains("vocabulary is not that of the base"),
        "{message}"
    );
    // Another number of tokens, in a file of the peer's: n_ctx 4, vocabulary 2, one chunk.
    let mut bytes = b"_logits_".to_vec();
    for number in [4i32, 2, 1, 0, 1, 0, 1] {
        bytes.extend(number.to_le_bytes());
    }
    bytes.extend([0; 12]);
    let peer = file(dir.path(), "peer.kld", &bytes);
    let message = fails(["compare", arg(&peer), arg(&f16)]);
    assert!(
        message.contains("has 4096 tokens") && message.contains("peer.kld has 2:"),
        "{message}"
    );
    let cut = file(dir.path(), "cut.kld", &bytes[..30]);
    let message = fails(["compare", arg(&cut), arg(&f16)]);
    assert!(
        message.contains("cut.kld: is not a file of log-probabilities"),
        "{message}"
    );
}

#[test]
fn weights_that_give_no_number_are_named() {
    let (dir, f16) = convert("f16");
    let text = heldout();
    let open = GgufFile::open(&f16).unwrap();
    let norm = open.tensor("output_norm.weight").unwrap();
    let at = (open.header().data_offset + norm.offset) as usize;
    drop(open);
    let mut bytes = std::fs::read(&f16).unwrap();
    bytes[at..at + 4].copy_from_slice(&f32::NAN.to_le_bytes());
    let nan = file(dir.path(), "nan.gguf", &bytes);
    let (model, nan) = (arg(&f16), arg(&nan));
    let small = ["-f", arg(&text), "-c", "32", "--chunks", "1"];
    let message = fails([&["perplexity", nan], &small[..]].concat());
    assert!(
        message.contains("nan.gguf: window 0, position 16") && message.contains("is NaN"),
        "{message}"
    );
    let message = fails([&["compare", nan, model], &small[..]].concat());
    assert!(
        message.contains("nan.gguf") && message.contains("is NaN"),
        "{message}"
    );
    // The other files of the run have their figures.
    let run = aeolus([&["compare", model, nan, model], &small[..]].concat());
    assert_eq!(run.status.code(), Some(2));
    let stdout = String::from_utf8(run.stdout).unwrap();
    let stderr = String::from_utf8(run.stderr).unwrap();
    assert!(stdout.contains("notus-mini.F16.gguf"), "{stdout}");
    assert!(
        stderr.contains("error: nan.gguf") && stderr.contains("is NaN"),
        "{stderr}"
    );
    let message = fails(["errors", nan, "--against", model]);
    assert!(
        message.contains("output_norm.weight") && message.contains("NaN"),
        "{message}"
    );
}
