//! What the fuzz targets of this crate do with their bytes.

use crate::config::Config;
use crate::files::Folder;
use crate::json::Object;
use crate::metadata::{self, MERGES_KEY};
use crate::notes::Notes;
use crate::{
    Error, Limits, OpenOptions, TokenizerFacts, TokenizerMode, check_name, files, gguf_source,
    layout, safetensors, shards, tokenizer,
};
use aeolus_gguf::{Endian, Header, HeaderSpec, Layout, Metadata, Parse};
use serde_json::Value;
use std::io::Write;
use std::path::Path;

fn path() -> &'static Path {
    Path::new("fuzz")
}

/// A refusal is a message that fits a screen.
fn told<T>(result: Result<T, Error>) -> Option<T> {
    result
        .inspect_err(|error| assert!(error.to_string().len() < 8192, "{error}"))
        .ok()
}

/// The bytes as a safetensors file, and as the JSON and the data of one: a header's length changes
/// with every byte that is put into it, so that hardly any change of a file would get past that.
pub fn safetensors(data: &[u8]) {
    safetensors_file(data);
    if let Some(end) = data.iter().rposition(|byte| *byte == b'}') {
        let mut file = (end as u64 + 1).to_le_bytes().to_vec();
        file.extend(data);
        safetensors_file(&file);
    }
}

fn safetensors_file(data: &[u8]) {
    let Some(entries) = told(safetensors::entries(path(), data, &Limits::default())) else {
        return;
    };
    for entry in entries {
        let bytes = &data[entry.range.clone()];
        let elems: u64 = entry.shape.iter().product();
        assert_eq!(bytes.len() as u64 * 8, elems * entry.dtype.bitsize() as u64);
    }
}

/// config.json, and the tensors that it promises.
pub fn config(data: &[u8]) {
    let limits = Limits {
        // What the tensors' names take is no matter of the parser.
        layers: 64,
        ..Limits::default()
    };
    let Ok(value) = files::parse::<Value>(path(), data) else {
        return;
    };
    let object = told(Object::new(path(), &value));
    let notes = Notes::default();
    let parsed = object.and_then(|object| told(Config::parse(&object, &limits, &notes)));
    let Some(config) = parsed else {
        return;
    };
    config.source_type(path(), &notes);
    for note in notes.into_vec() {
        assert!(note.len() < 8192, "{note}");
    }
    for expected in layout::of_config(&config) {
        assert!(expected.shape.iter().all(|dim| *dim > 0), "{expected:?}");
    }
    let (theta, dim) = (config.hyper.rotary_base(), config.hyper.head_dim());
    if dim <= 1024 {
        let divisors = config.rope_scaling.frequency_divisors(theta, dim);
        assert!(divisors.is_none_or(|all| all.len() == dim as usize / 2));
    }
}

/// model.safetensors.index.json.
pub fn index(data: &[u8]) {
    for shard in told(shards::names_of_index(path(), data)).unwrap_or_default() {
        let joined = Path::new("folder").join(&shard);
        assert_eq!(joined.parent(), Some(Path::new("folder")), "{shard:?}");
    }
}

/// tokenizer.model.
pub fn tokenizer_model(data: &[u8]) {
    told(tokenizer::vocabulary(path(), data, &Limits::default()));
}

/// tokenizer.json alone.
pub fn tokenizer_json(data: &[u8]) {
    told(tokenizer::read_json(path(), data));
}

/// Files that may lie beside tokenizer.model, apart by bytes that no text has; the first byte of each
/// says which one it is.
pub fn side_files(data: &[u8]) {
    const NAMES: [&str; 7] = [
        "tokenizer_config.json",
        "special_tokens_map.json",
        "added_tokens.json",
        "generation_config.json",
        "chat_template.jinja",
        "chat_template.json",
        "tokenizer.json",
    ];
    let files = data.split(|byte| *byte == 0xff);
    let files: Vec<(&str, &[u8])> = files
        .filter_map(|file| file.split_first())
        .map(|(which, bytes)| (NAMES[usize::from(*which) % NAMES.len()], bytes))
        .collect();
    let read = |path: &Path, _limit: u64| {
        let found = files.iter().find(|(name, _)| path.ends_with(name));
        Ok(found.map(|(_, bytes)| bytes.to_vec()))
    };
    let folder = Folder {
        path: path(),
        limits: &Limits::default(),
        read: &read,
    };
    let mut all = Metadata::new();
    metadata::sampling(&folder, &mut all, &Notes::default());
    if let Some(tokenizer) = told(tokenizer::beside_four(&folder)) {
        let facts = TokenizerFacts::of(&tokenizer.metadata);
        assert_eq!((&*facts.model, facts.tokens), ("llama", 8));
        for id in [facts.bos, facts.eos, facts.unknown, facts.padding] {
            assert!(id.is_none_or(|id| id < 8), "{facts:?}");
        }
        for (key, value) in tokenizer.metadata.iter() {
            all.insert(key.to_owned(), value.clone());
        }
        if let Some(merges) = tokenizer.merges {
            all.insert(MERGES_KEY, merges);
        }
    }
    assert!(same(&written(&all), &all));
}

/// A GGUF file as what a model is made from, with its tokenizer and without.
pub fn gguf_source(data: &[u8]) {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all(data).expect("room for it");
    for mode in [TokenizerMode::Required, TokenizerMode::Skip] {
        let options = OpenOptions {
            tokenizer: mode,
            limits: Limits {
                // What the tensors' names take is no matter of the parser.
                layers: 64,
                ..Limits::default()
            },
            ..OpenOptions::default()
        };
        let Some(checkpoint) = told(gguf_source::open(file.path(), &options)) else {
            continue;
        };
        assert!(check_name(&checkpoint.name).is_ok(), "{}", checkpoint.name);
        for tensor in &checkpoint.tensors {
            let blocks = tensor.shape.elems() / tensor.ty.block_elems() as u64;
            let bytes = tensor.size_bytes();
            assert_eq!(bytes, blocks * tensor.ty.block_bytes() as u64);
        }
        checkpoint.verify_unchanged().expect("nobody wrote to it");
        let tokens = match mode {
            TokenizerMode::Required => checkpoint.hyper.vocab() as usize,
            TokenizerMode::Skip => 0,
        };
        assert_eq!(checkpoint.tokenizer.tokens, tokens);
        let with_merges = checkpoint.output_metadata(7, true);
        let has_merges = |metadata: &Metadata<'_>| metadata.get(MERGES_KEY).is_some();
        assert_eq!(
            has_merges(&with_merges),
            checkpoint.merges.is_some() || has_merges(&checkpoint.metadata)
        );
        assert!(same(&written(&with_merges), &with_merges));
    }
}

/// Metadata as it is read from a file in which it was written.
fn written(metadata: &Metadata<'_>) -> Metadata<'static> {
    let layout = Layout::new(HeaderSpec {
        version: 3,
        endian: Endian::Little,
        metadata: metadata.borrowed(),
        tensors: Vec::new(),
    });
    let layout = layout.expect("what small files hold can be written");
    let bytes = layout.encode_header();
    let header = Header::parse(
        &bytes,
        Some(layout.file_bytes()),
        &aeolus_gguf::Limits::default(),
    );
    match header {
        Ok(Parse::Done(header)) => header.metadata.into_owned(),
        other => panic!("what was written is read: {other:?}"),
    }
}

/// Whether two are the same. Numbers that are none differ from themselves, and so does
/// what holds them.
fn same(a: &Metadata<'_>, b: &Metadata<'_>) -> bool {
    a == b || format!("{a:?}") == format!("{b:?}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use aeolus_testkit::fuzz_inputs::replay;

    #[test]
    fn safetensors_replays() {
        replay(env!("CARGO_MANIFEST_DIR"), "safetensors", safetensors);
    }

    #[test]
    fn config_replays() {
        replay(env!("CARGO_MANIFEST_DIR"), "config", config);
    }

    #[test]
    fn index_replays() {
        replay(env!("CARGO_MANIFEST_DIR"), "index", index);
    }

    #[test]
    fn tokenizer_model_replays() {
        replay(
            env!("CARGO_MANIFEST_DIR"),
            "tokenizer_model",
            tokenizer_model,
        );
    }

    #[test]
    fn tokenizer_json_replays() {
        replay(env!("CARGO_MANIFEST_DIR"), "tokenizer_json", tokenizer_json);
    }
    #[test]
    fn side_files_replays() {
        replay(env!("CARGO_MANIFEST_DIR"), "side_files", side_files);
    }

    #[test]
    fn gguf_source_replays() {
        replay(env!("CARGO_MANIFEST_DIR"), "gguf_source", gguf_source);
    }
}
