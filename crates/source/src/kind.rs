//! What a file is that is not what its name promises.
//!
//! Downloads fail in known ways: a pointer is left in place of a large file, a proxy answers with a
//! page, an archive was not unpacked, an older format has the same ending. Every reader asks
//! [`what_is`] before it complains about bytes that it does not understand.

use crate::Error;
use std::borrow::Cow;
use std::fmt;
use std::path::Path;

/// What bytes were recognized as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kind {
    class: Class,
    what: Cow<'static, str>,
    way_out: Cow<'static, str>,
}

/// What a reader may want to go on with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Class {
    /// No bytes at all.
    Empty,
    /// A GGUF file.
    Gguf,
    /// A safetensors file.
    Safetensors,
    /// A SentencePiece model: a tokenizer.
    SentencePiece,
    /// An importance matrix in the format that has no magic.
    Imatrix,
    /// Text that begins as JSON does.
    Json,
    /// Other UTF-8 text.
    Text,
    /// Nothing that this program reads.
    Other,
}

impl Kind {
    fn new(
        class: Class,
        what: impl Into<Cow<'static, str>>,
        way_out: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            class,
            what: what.into(),
            way_out: way_out.into(),
        }
    }

    /// Its class.
    pub fn class(&self) -> Class {
        self.class
    }

    /// `a web page (HTML), not a GGUF file; ...`: what it is, what was expected, what to do.
    pub fn instead_of(&self, expected: &str) -> String {
        format!("{self}, not {expected}; {}", self.way_out)
    }
}

/// What it is, with its article.
impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

const UNPACK: &str = "unpack it and give the file inside";
const CONVERT: &str =
    "convert the original model with `aeolus convert`, or fetch a GGUF file of it";
const NEED_SAFETENSORS: &str =
    "fetch the model's safetensors files, or save it again with save_pretrained";
const AGAIN: &str = "download it again, and check the address and the access token";
const CHECK: &str = "check the path";
const OLD_GGML: &str = "a GGML file from before GGUF";

/// First bytes, what they are, and what to do.
const STARTS: &[(&[u8], &str, &str)] = &[
    (b"lmgg", OLD_GGML, CONVERT),
    (b"fmgg", "a GGML file (GGMF) from before GGUF", CONVERT),
    (b"tjgg", "a GGML file (GGJT) from before GGUF", CONVERT),
    (
        b"algg",
        "a LoRA adapter (GGLA) from before GGUF",
        "merge the adapter into its model first",
    ),
    (b"nsgg", "a saved session of llama.cpp", CHECK),
    (b"qsgg", "a saved sequence of llama.cpp", CHECK),
    (b"\x1f\x8b", "an archive (gzip)", UNPACK),
    (b"\xfd7zXZ\0", "an archive (xz)", UNPACK),
    (b"BZh", "an archive (bzip2)", UNPACK),
    (b"\x28\xb5\x2f\xfd", "an archive (zstd)", UNPACK),
    (b"7z\xbc\xaf\x27\x1c", "an archive (7z)", UNPACK),
    (b"Rar!\x1a\x07", "an archive (rar)", UNPACK),
    (b"\x04\x22\x4d\x18", "an archive (lz4)", UNPACK),
    (b"PK\x05\x06", "an empty archive (zip)", AGAIN),
    (b"PK\x07\x08", "a part of an archive (zip)", UNPACK),
    (
        b"\x89HDF\r\n\x1a\n",
        "an HDF5 file (Keras)",
        NEED_SAFETENSORS,
    ),
    (b"\x93NUMPY", "a NumPy array", NEED_SAFETENSORS),
    (
        b"# xet version",
        "a Xet pointer",
        "download the file itself, by `aeolus fetch` or `hf download`",
    ),
    (
        b"/annex/objects/",
        "a git-annex pointer",
        "`git annex get` fetches the file itself",
    ),
    (b"HTTP/1.", "a server's answer with its headers", AGAIN),
    (b"HTTP/2", "a server's answer with its headers", AGAIN),
    (
        b"MZqFpD",
        "a llamafile (a program with a model inside)",
        "unzip it and give the GGUF file inside",
    ),
    (b"MZ", "a Windows program", CHECK),
    (b"\x7fELF", "a program (ELF)", CHECK),
    (b"%PDF-", "a PDF document", CHECK),
    (b"\x89PNG\r\n", "a picture (PNG)", CHECK),
    (b"\xff\xd8\xff", "a picture (JPEG)", CHECK),
    (b"SQLite format 3\0", "an SQLite database", CHECK),
];

/// How the first piece of a SentencePiece model is written, with and without its type.
const SENTENCE_PIECE: [&[u8]; 2] = [b"\n\x0e\n\x05<unk>", b"\n\x0d\n\x05<unk>"];

const LFS_POINTER: &[u8] = b"version https://git-lfs.github.com/spec/";

/// Recognizes what begins with `start`, the more bytes the better, up to all there are. `len` is the
/// length of the whole in bytes, if known. `None` if the bytes say nothing.
pub fn what_is(start: &[u8], len: Option<u64>) -> Option<Kind> {
    let other =
        |what: &'static str, way_out: &'static str| Some(Kind::new(Class::Other, what, way_out));
    if start.is_empty() {
        let empty = "the download or copy never began: do it again";
        return (len.unwrap_or(0) == 0).then(|| Kind::new(Class::Empty, "an empty file", empty));
    }
    if start.starts_with(b"GGUF") {
        return Some(Kind::new(
            Class::Gguf,
            "a GGUF file",
            "give it as the model itself",
        ));
    }
    if SENTENCE_PIECE.iter().any(|piece| start.starts_with(piece)) {
        let (what, way_out) = ("a SentencePiece tokenizer", "give the model itself");
        return Some(Kind::new(Class::SentencePiece, what, way_out));
    }
    if start.starts_with(LFS_POINTER) {
        let size = field(start, "size ").map_or_else(String::new, |n| format!(" of {n} bytes"));
        let way_out = format!("`git lfs pull` fetches the file itself{size}");
        return Some(Kind::new(Class::Other, "a Git LFS pointer", way_out));
    }
    if start.len() >= 8 && start.iter().take(4096).all(|&byte| byte == 0) {
        let zeros = "the download or copy did not finish: do it again";
        return other("a file of zeros", zeros);
    }
    if let Some(kind) = web_page(start) {
        return Some(kind);
    }
    if start.starts_with(b"PK\x03\x04") {
        return Some(zip(start));
    }
    if let Some(&(_, what, way_out)) = STARTS.iter().find(|row| start.starts_with(row.0)) {
        return other(what, way_out);
    }
    if start.get(257..262) == Some(b"ustar") {
        return other("an archive (tar)", UNPACK);
    }
    if matches!(
        start,
        [
            0x80,
            2..=5,
            b'\x8a' | b'}' | b']' | b'c' | b'\x95' | b'(',
            ..
        ]
    ) {
        return other("a Python pickle (a PyTorch checkpoint)", NEED_SAFETENSORS);
    }
    if matches!(start, [0x08, 3..=20, 0x12, len, name, ..] if *len > 0 && name.is_ascii_alphanumeric())
    {
        return other("an ONNX model", NEED_SAFETENSORS);
    }
    if start.get(4..8) == Some(b"TFL3") {
        return other("a TensorFlow Lite model", NEED_SAFETENSORS);
    }
    if let Some((&header, [b'{', ..])) = start.split_first_chunk::<8>()
        && (2..=1 << 30).contains(&u64::from_le_bytes(header))
    {
        let way_out = "give the folder that it lies in, with its config.json and tokenizer";
        return Some(Kind::new(Class::Safetensors, "a safetensors file", way_out));
    }
    if is_old_imatrix(start) {
        let what = "an importance matrix (the older format of llama.cpp)";
        return Some(Kind::new(Class::Imatrix, what, "give the model itself"));
    }
    text(start)
}

/// Refuses bytes that are recognized as something else than what is `expected`, which is named
/// with its article. Classes in `fine` are left to the reader.
///
/// # Errors
/// [`Error::OtherKind`].
pub fn refuse_other_kinds(
    path: &Path,
    bytes: &[u8],
    expected: &'static str,
    fine: &[Class],
) -> Result<(), Error> {
    match what_is(bytes, Some(bytes.len() as u64)) {
        Some(found) if !fine.contains(&found.class) => Err(Error::OtherKind {
            path: path.into(),
            found,
            expected,
        }),
        _ => Ok(()),
    }
}

/// The digits after a word at the start of a line.
fn field<'a>(start: &'a [u8], word: &str) -> Option<&'a str> {
    let text = std::str::from_utf8(start.get(..start.len().min(512))?).ok()?;
    let value = text.lines().find_map(|line| line.strip_prefix(word))?;
    (value.len() <= 20 && value.bytes().all(|byte| byte.is_ascii_digit())).then_some(value)
}

/// Pages of portals and proxies, and the XML errors of storage servers.
fn web_page(start: &[u8]) -> Option<Kind> {
    const SEEN: usize = 4096;
    let text = start
        .strip_prefix(b"\xef\xbb\xbf")
        .unwrap_or(start)
        .trim_ascii_start();
    let lower = text.get(..text.len().min(SEEN))?.to_ascii_lowercase();
    if lower.starts_with(b"<?xml") && !lower.windows(5).any(|tag| tag == b"<html") {
        return Some(Kind::new(Class::Other, "an XML document", AGAIN));
    }
    let tags: [&[u8]; 7] = [
        b"<!doctype html",
        b"<html",
        b"<head",
        b"<body",
        b"<script",
        b"<meta",
        b"<?xml",
    ];
    if !tags.iter().any(|tag| lower.starts_with(tag)) {
        return None;
    }
    let lower = String::from_utf8_lossy(&lower);
    let title = lower
        .split_once("<title>")
        .and_then(|(_, rest)| rest.split_once("</title>"))
        .map(|(title, _)| title.trim())
        .filter(|title| !title.is_empty() && title.is_ascii());
    // The lower case only found it.
    let what = match title.and_then(|title| find_ignoring_case(text, title)) {
        Some(title) => format!("a web page (HTML) titled {}", quoted(title)),
        None => "a web page (HTML)".into(),
    };
    Some(Kind::new(
        Class::Other,
        what,
        "a server or proxy answered with it: ".to_owned() + AGAIN,
    ))
}

fn find_ignoring_case<'a>(text: &'a [u8], word: &str) -> Option<&'a str> {
    let mut windows = text.windows(word.len());
    let found = windows.find(|window| window.eq_ignore_ascii_case(word.as_bytes()))?;
    std::str::from_utf8(found).ok()
}

/// A zip archive by the name of its first member, which lies 30 bytes behind the start.
fn zip(start: &[u8]) -> Kind {
    let name_len = match start.get(26..28) {
        Some(&[low, high]) => usize::from(u16::from_le_bytes([low, high])),
        _ => 0,
    };
    let name = start.get(30..).unwrap_or_default();
    let name = name.get(..name_len.min(name.len())).unwrap_or_default();
    let (what, way_out) = if name.ends_with(b"data.pkl") || name.ends_with(b".format_version") {
        ("a PyTorch checkpoint", NEED_SAFETENSORS)
    } else if name.ends_with(b".npy") {
        ("an archive of NumPy arrays", NEED_SAFETENSORS)
    } else {
        ("an archive (zip)", UNPACK)
    };
    Kind::new(Class::Other, what, way_out)
}

/// The number of entries, then the first one's name with its length: `blk.0.attn_q.weight`.
fn is_old_imatrix(start: &[u8]) -> bool {
    let Some((count, rest)) = start.split_first_chunk::<4>() else {
        return false;
    };
    let Some((len, rest)) = rest.split_first_chunk::<4>() else {
        return false;
    };
    let (count, len) = (u32::from_le_bytes(*count), u32::from_le_bytes(*len));
    (1..1 << 16).contains(&count)
        && (4..256).contains(&len)
        && rest
            .get(..len as usize)
            .is_some_and(|name| name.iter().all(u8::is_ascii_graphic) && name.ends_with(b".weight"))
}

/// Text of any kind: answers of servers, lists, scripts.
fn text(start: &[u8]) -> Option<Kind> {
    if start.starts_with(b"\xff\xfe") || start.starts_with(b"\xfe\xff") {
        return Some(Kind::new(Class::Other, "UTF-16 text", "save it as UTF-8"));
    }
    let shown = start.get(..start.len().min(512))?;
    let shown = match std::str::from_utf8(shown) {
        Ok(text) => text,
        // A character may be cut at the end.
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(shown.get(..error.valid_up_to())?).ok()?
        }
        Err(_) => return None,
    };
    if shown.is_empty()
        || shown
            .chars()
            .any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t'))
    {
        return None;
    }
    let text = shown.trim_start_matches('\u{feff}').trim_start();
    let (class, what) = match text.as_bytes().first() {
        Some(b'{' | b'[') => (Class::Json, "JSON text"),
        _ => (Class::Text, "text"),
    };
    let what = format!("{what} that begins {}", quoted(text.trim_end()));
    Some(Kind::new(
        class,
        what,
        "if a server answered with it, ".to_owned() + AGAIN,
    ))
}

/// Text from a file, escaped and cut to what fits a message.
fn quoted(text: &str) -> String {
    const SHOWN: usize = 60;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{:?}...", text.get(..end).unwrap_or_default()),
        None => format!("{text:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(bytes: &[u8]) -> String {
        match what_is(bytes, Some(bytes.len() as u64)) {
            Some(kind) => kind.instead_of("a GGUF file"),
            None => "nothing".into(),
        }
    }

    fn padded(start: &[u8], at: usize, word: &[u8]) -> Vec<u8> {
        let mut bytes = start.to_vec();
        bytes.resize(at, b'x');
        bytes.extend(word);
        bytes
    }

    #[test]
    fn every_kind_is_named() {
        let torch = padded(b"PK\x03\x04", 26, b"\x10\0\0\0archive/data.pkl");
        let numpy = padded(b"PK\x03\x04", 26, b"\x05\0\0\0a.npy");
        let zip = padded(b"PK\x03\x04", 26, b"\x06\0\0\0m.gguf");
        let tar = padded(b"model.gguf", 257, b"ustar\x0000");
        let page = b"\xef\xbb\xbf\n <!doctype HTML><head><TITLE>Sign\x1b In</TITLE>";
        for (bytes, words) in [
            (&b""[..], "an empty file, not a GGUF file"),
            (&[0; 4096], "a file of zeros"),
            (
                b"version https://git-lfs.github.com/spec/v1\noid sha256:2\nsize 4368438944\n",
                "a Git LFS pointer, not a GGUF file; `git lfs pull` fetches the file itself of 4368438944 bytes",
            ),
            (b"# xet version 0\nfilesize = 10\n", "a Xet pointer"),
            (
                b"<!DOCTYPE html><html><head><title>Blocked</title></head></html>\n",
                "a web page (HTML) titled \"Blocked\"",
            ),
            (page, "a web page (HTML) titled \"Sign\\u{1b} In\""),
            (b"<HTML>", "a web page (HTML), not"),
            (
                b"<?xml version=\"1.0\"?><Error><Code>AccessDenied",
                "an XML document",
            ),
            (b"HTTP/1.1 302 Found\r\n", "a server's answer"),
            (
                b"{\"error\":\"Repository not found\"}",
                "JSON text that begins \"{\\\"error\\\":",
            ),
            (b"Entry not found", "text that begins \"Entry not found\""),
            (b"\xff\xfe{\0\"\0", "UTF-16 text"),
            (b"tjgg\x03\0\0\0", "a GGML file (GGJT) from before GGUF"),
            (b"fmgg\x01\0\0\0", "a GGML file (GGMF) from before GGUF"),
            (b"lmgg\x01\0\0\0", "a GGML file from before GGUF"),
            (b"algg\x01\0\0\0", "a LoRA adapter (GGLA)"),
            (b"\x02\0\0\0\0\0\0\0{}", "a safetensors file"),
            (&torch, "a PyTorch checkpoint"),
            (
                b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.",
                "a Python pickle (a PyTorch checkpoint)",
            ),
            (&numpy, "an archive of NumPy arrays"),
            (&zip, "an archive (zip)"),
            (&tar, "an archive (tar)"),
            (b"\x1f\x8b\x08\0", "an archive (gzip)"),
            (b"\xfd7zXZ\0\0", "an archive (xz)"),
            (b"7z\xbc\xaf\x27\x1c\0", "an archive (7z)"),
            (b"\x28\xb5\x2f\xfd\x04", "an archive (zstd)"),
            (b"\x08\x07\x12\x07pytorch", "an ONNX model"),
            (
                b"\x01\0\0\0\x13\0\0\0blk.0.attn_q.weight\0",
                "an importance matrix",
            ),
            (b"MZqFpD='\n", "a llamafile"),
            (b"\x7fELF\x02", "a program"),
            (b"GGUF\x03\0\0\0", "a GGUF file"),
        ] {
            let said = said(bytes);
            assert!(said.contains(words), "{words}: {said}");
            assert!(!said.chars().any(char::is_control), "{said:?}");
            assert!(said.len() < 400, "{said}");
            // Fewer bytes say less, and nothing breaks.
            for cut in 0..bytes.len().min(64) {
                let _ = what_is(&bytes[..cut], None);
            }
        }
        for bytes in [
            &b"\x01\x02\x03"[..],
            b"\xc3",
            b"\x0a\x0e\x0a\x05<s>",
            &[7; 600],
        ] {
            assert_eq!(said(bytes), "nothing");
        }
        assert_eq!(what_is(b"", Some(5)), None, "not read yet");
    }

    #[test]
    fn a_reader_refuses_what_it_cannot_read_itself() {
        let path = Path::new("config.json");
        let refuse = |bytes: &[u8]| refuse_other_kinds(path, bytes, "a JSON file", &[Class::Json]);
        refuse(b"{}").unwrap();
        let error = refuse(b"<html>").unwrap_err().to_string();
        assert!(
            error.starts_with("config.json: a web page (HTML), not a JSON file; "),
            "{error}"
        );
    }
}
