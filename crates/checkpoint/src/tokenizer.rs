//! Tokenizer files as GGUF metadata.
//!
//! Two kinds are supported. SentencePiece: tokenizer.model has the pieces with scores and types.
//! The JSON files around it say which tokens are special, which were added, how a chat is written,
//! and (tokenizer.json) the same vocabulary's BPE merges. Where tokenizer.model is missing or older
//! than tokenizer.json, the pieces are read out of the latter (`joined.rs`). Byte pairs:
//! tokenizer.json has the tokens and the merges, and says how a text is cut (`byte_pairs.rs`).

mod beyond;
mod byte_pairs;
mod chat_template;
mod hf;
mod joined;
mod protobuf;
mod sentencepiece;
mod special;
mod vocab;

use crate::error::Brief;
use crate::files::Folder;
use crate::json::{Keyed, Object};
use crate::metadata::MERGES_KEY;
use crate::notes::Notes;
use crate::{Error, Limits, files};
use aeolus_gguf::{Array, Metadata};
use beyond::Beyond;
use chat_template::ChatTemplate;
use hf::TokenizerJson;
use joined::Difference;
use sentencepiece::Model;
use serde_json::Value;
use special::SpecialTokens;
use std::path::Path;
use vocab::Vocab;

const MODEL: &str = "tokenizer.model";
const JSON: &str = "tokenizer.json";
const CONFIG: &str = "tokenizer_config.json";
const ADDED: &str = "added_tokens.json";
/// The map of SentencePiece's normalizer, under the name that other models have it.
const CHARSMAP_KEY: &str = "tokenizer.ggml.precompiled_charsmap";
/// The rule of the space before a text where it is not SentencePiece's: `always` or `first`, with
/// the meaning that they have in tokenizer.json.
const PREPEND_SCHEME_KEY: &str = "tokenizer.ggml.prepend_scheme";

/// What a tokenizer has to fit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted<'a> {
    /// Rows of the embedding.
    pub(crate) vocab_size: u32,
    /// The ids that config.json names.
    pub(crate) config_ids: &'a [(&'static str, u32)],
    /// Special tokens that the family has whatever the files say: kind and text.
    pub(crate) special_tokens: &'a [(&'static str, &'static str)],
    /// The family's files say whether a space is put before a text.
    pub(crate) writes_space_prefix: bool,
    /// GGUF's name of the kind of tokenizer, where the family has one whatever the files look like.
    pub(crate) kind: Option<&'static str>,
    /// The pre-tokenizer's name, if the user gives one.
    pub(crate) pre: Option<&'a str>,
}

/// The tokenizer of a checkpoint folder.
#[derive(Debug)]
pub(crate) struct Tokenizer {
    /// The `tokenizer.*` keys, without merges.
    pub(crate) metadata: Metadata<'static>,
    /// The merges of tokenizer.json, each two pieces joined by a space.
    pub(crate) merges: Option<Array<'static>>,
}

/// What readers of a checkpoint may want to know of its tokenizer, without decoding metadata.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TokenizerFacts {
    /// GGUF's name of the kind: `llama` for SentencePiece, `none` without tokenizer.
    pub model: String,
    /// Tokens, padding included.
    pub tokens: usize,
    /// The token before every text.
    pub bos: Option<u32>,
    /// The token after every text.
    pub eos: Option<u32>,
    /// The token for what no piece covers.
    pub unknown: Option<u32>,
    /// The token that fills batches.
    pub padding: Option<u32>,
    /// Whether a chat template is there.
    pub has_chat_template: bool,
}

impl Tokenizer {
    /// The keys of a file that deliberately has no tokenizer.
    pub(crate) fn none() -> Self {
        let mut metadata = Metadata::new();
        metadata.insert("tokenizer.ggml.model", "none");
        Self {
            metadata,
            merges: None,
        }
    }
}

impl TokenizerFacts {
    /// The facts in a file's metadata. Keys of another type than the format's are passed over.
    pub(crate) fn of(metadata: &Metadata<'_>) -> Self {
        let id = |key| metadata.u32(key).ok().flatten();
        let tokens = metadata.array("tokenizer.ggml.tokens").ok().flatten();
        Self {
            model: metadata
                .str("tokenizer.ggml.model")
                .ok()
                .flatten()
                .unwrap_or("none")
                .into(),
            tokens: tokens.map_or(0, aeolus_gguf::Array::len),
            bos: id("tokenizer.ggml.bos_token_id"),
            eos: id("tokenizer.ggml.eos_token_id"),
            unknown: id("tokenizer.ggml.unknown_token_id"),
            padding: id("tokenizer.ggml.padding_token_id"),
            has_chat_template: metadata.get("tokenizer.chat_template").is_some(),
        }
    }
}

/// Reads the tokenizer files of a folder.
///
/// # Errors
/// [`Error::NoTokenizer`] if there is none, [`Error::Unsupported`] if there is only one of
/// another kind; [`Error::Tokenizer`], [`Error::Json`] and [`Error::Key`] for malformed files.
pub(crate) fn read(
    folder: &Path,
    wanted: Wanted<'_>,
    limits: &Limits,
    notes: &Notes,
) -> Result<Tokenizer, Error> {
    let path = folder.join(MODEL);
    let bytes = files::read(&path, limits.tokenizer_bytes)?;
    let model = || {
        let model = bytes
            .as_ref()
            .map(|bytes| Model::parse(&path, bytes, limits.vocab));
        model.transpose()
    };
    beside(&Folder::new(folder, limits), model, wanted, notes)
}

/// Reads the files beside a model, and the model out of tokenizer.json where that has to be.
fn beside<'a>(
    folder: &Folder<'_>,
    model: impl FnOnce() -> Result<Option<Model<'a>>, Error>,
    wanted: Wanted<'_>,
    notes: &Notes,
) -> Result<Tokenizer, Error> {
    let limits = folder.limits;
    let vocab_size = wanted.vocab_size;
    let (json_path, json) = folder.json::<Keyed<TokenizerJson>>(JSON, limits.tokenizer_bytes)?;
    let json = json.map(|json| json.0);
    let value = |name| folder.value(name, limits.tokenizer_config_bytes);
    let (config_path, config) = value(CONFIG)?;
    let config = object(&config_path, config.as_ref())?;
    let space_prefix = match &config {
        Some(config) => config.bool("add_prefix_space")?,
        None => None,
    };
    // Readers put a space before every text unless told otherwise.
    let space_prefix = space_prefix.filter(|_| wanted.writes_space_prefix);
    let of_characters = wanted.kind == Some(byte_pairs::OF_CHARACTERS);
    let model = match json
        .as_ref()
        .filter(|json| of_characters || json.is_byte_level())
    {
        Some(json) if of_characters => byte_pairs::of_characters(folder, json, vocab_size)?,
        Some(json) => byte_pairs::model(folder, json, vocab_size, wanted.pre)?,
        None if wanted.pre.is_some() => {
            let problem = "--pre names how byte-level BPE cuts a text, and this tokenizer is not \
                           byte-level BPE";
            return Err(Error::unsupported(&json_path, problem));
        }
        None => settle(
            folder,
            model()?,
            &json_path,
            json.as_ref(),
            vocab_size,
            space_prefix,
            notes,
        )?,
    };

    let (map_path, map) = value("special_tokens_map.json")?;
    let (added_path, added) = value(ADDED)?;
    let map = object(&map_path, map.as_ref())?;
    let added = object(&added_path, added.as_ref())?;

    let mut beyond = Beyond::default();
    let mut vocab = Vocab::new(&model, vocab_size, &mut beyond);
    if let Some(added) = &added {
        vocab.add_tokens(added, &mut beyond)?;
    }
    if let Some(config) = config.as_ref().filter(|_| !of_characters)
        && let Some(decoder) = config.object("added_tokens_decoder")?
    {
        vocab.decode_added(&decoder, &mut beyond)?;
    }
    if let Some(json) = &json {
        vocab.fill_from(&json_path, json, model.pre.is_some(), &mut beyond)?;
    }
    if of_characters && let Some(config) = &config {
        vocab.type_as_named(config)?;
    }
    vocab.finish(folder.path, notes);

    let mut special = SpecialTokens::from_configs(config.as_ref(), map.as_ref())?;
    if let Some(json) = &json {
        json.read_template(&mut special);
    }
    if let Some(config) = &config {
        special.read_added(config)?;
    }
    let pre = model.pre.and_then(aeolus_arch::pre_tokenizer::named);
    if pre.is_some_and(|pre| pre.always_adds_bos) {
        // The reference writes so, whatever the files say; inference knows these tokenizers.
        special.set_added("bos", false);
    }
    let token_id = |text: &str| vocab.special_id(text);
    let added_id = |text: &str| match &json {
        Some(json) => json.added_id(text),
        None => token_id(text),
    };
    let mut unknown = special.find_ids(vocab.len(), added_id, token_id);
    unknown.retain(|(_, text)| !beyond.has(text));
    if !unknown.is_empty() {
        let unknown = unknown.iter();
        let named = unknown.map(|(kind, text)| format!("{kind}_token \"{}\"", Brief(text)));
        let named = named.collect::<Vec<_>>().join(", ");
        notes.add(
            folder.path,
            format_args!("left out, since no special token has this text: {named}"),
        );
    }
    for &(kind, id) in wanted.config_ids {
        match id < vocab.len() {
            true => special.add_ids(&[(kind, id)]),
            false => beyond.key(kind, id, "config.json"),
        }
    }
    listed_ids(folder, vocab.len(), &mut beyond)?;
    let model_ids = model.token_ids.iter().copied();
    special.add_ids(
        &model_ids
            .filter(|(_, id)| *id < vocab.len())
            .collect::<Vec<_>>(),
    );
    for &(kind, text) in wanted.special_tokens {
        let added = json.as_ref().and_then(|json| json.added_id(text));
        let id = added.or_else(|| vocab.special_id(text));
        if let Some(id) = id.filter(|id| *id < vocab.len()) {
            special.add_ids(&[(kind, id)]);
        }
    }
    beyond.note(folder.path, vocab.len(), notes);

    let mut metadata = Metadata::new();
    let without_prefix = model.pre.is_none() && !model.add_dummy_prefix;
    if let Some(prefix) = space_prefix.or(without_prefix.then_some(false)) {
        metadata.insert("tokenizer.ggml.add_space_prefix", prefix);
    }
    let kind = match model.pre {
        _ if of_characters => byte_pairs::OF_CHARACTERS,
        Some(_) => "gpt2",
        None => "llama",
    };
    metadata.insert("tokenizer.ggml.model", kind);
    if !of_characters {
        metadata.insert("tokenizer.ggml.pre", model.pre.unwrap_or("default"));
    }
    vocab.write(model.pre.is_none(), &mut metadata);
    let mut merges = json.as_ref().and_then(TokenizerJson::merges);
    if model.pre.is_some() || of_characters {
        // What the tokenizer works by.
        let merges = merges
            .take()
            .unwrap_or_else(|| Array::from_strings([""; 0]));
        metadata.insert(MERGES_KEY, merges);
    }
    if model.remove_extra_whitespaces {
        metadata.insert("tokenizer.ggml.remove_extra_whitespaces", true);
    }
    if let Some(charsmap) = model.charsmap {
        metadata.insert(CHARSMAP_KEY, Array::from_slice(charsmap));
    }
    if let Some(scheme) = model.prepend_scheme {
        metadata.insert(PREPEND_SCHEME_KEY, scheme);
    }
    note_normalizer(folder.path, &model, notes);
    special.write(&mut metadata);
    if let Some(template) = ChatTemplate::read(folder, config.as_ref(), notes)? {
        template.write(&mut metadata);
    }
    Ok(Tokenizer { metadata, merges })
}

/// The one model of a folder: tokenizer.model's, or that of tokenizer.json where the two differ or
/// there is no other.
fn settle<'a>(
    folder: &Folder<'_>,
    model: Option<Model<'a>>,
    json_path: &Path,
    json: Option<&'a TokenizerJson>,
    vocab_size: u32,
    space_prefix: Option<bool>,
    notes: &Notes,
) -> Result<Model<'a>, Error> {
    let (model, json) = match (model, json) {
        (Some(model), None) => return Ok(model),
        (None, Some(json)) => return joined::model(json_path, json, vocab_size),
        (None, None) => return Err(none_to_read(folder.path)),
        (Some(model), Some(json)) => (model, json),
    };
    let difference = Difference::of(&model, json, vocab_size);
    if difference.is_none() {
        let prefix = space_prefix.unwrap_or(model.add_dummy_prefix);
        if let Some(what) = joined::contradiction(&model, json, vocab_size, prefix) {
            let message = format!("it would tokenize otherwise ({what}); tokenizer.model is used");
            notes.add(json_path, message);
        }
        return Ok(model);
    }
    if difference.is_less() {
        notes.add(
            json_path,
            format_args!("it has {difference}; those of tokenizer.model are taken"),
        );
        return Ok(model);
    }
    let other = joined::model(json_path, json, vocab_size).map_err(|error| {
        let path = folder.path.join(MODEL);
        let problem = format!(
            "it is not the tokenizer of tokenizer.json, which has {difference} and cannot be \
             converted by itself: {error}"
        );
        Error::tokenizer(&path, problem)
    })?;
    notes.add(
        json_path,
        format_args!(
            "it has {difference}; its tokens are taken, as transformers' fast tokenizers do"
        ),
    );
    Ok(other)
}

/// The error of a folder without a tokenizer that can be read; it names those of other kinds.
fn none_to_read(folder: &Path) -> Error {
    const OTHERS: [&str; 8] = [
        "vocab.json",
        "merges.txt",
        "vocab.txt",
        "tekken.json",
        "tiktoken.model",
        "spiece.model",
        "sentencepiece.bpe.model",
        "tokenizer.model.v3",
    ];
    let there = OTHERS.into_iter().filter(|name| folder.join(name).exists());
    let there: Vec<&str> = there.collect();
    if there.is_empty() {
        return Error::NoTokenizer {
            path: folder.into(),
            looked_for: "tokenizer.model, tokenizer.json",
        };
    }
    let problem = format!(
        "no tokenizer.model and no tokenizer.json, and the tokenizer in {} cannot be read; fetch \
         tokenizer.json, or save it with transformers' AutoTokenizer; --no-tokenizer converts \
         without it",
        there.join(", ")
    );
    Error::unsupported(folder, problem)
}

/// Says what of a normalizer other programs pass over.
fn note_normalizer(folder: &Path, model: &Model<'_>, notes: &Notes) {
    let mut parts = Vec::new();
    if model.charsmap.is_some() {
        parts.push("characters are replaced (precompiled_charsmap)");
    }
    if model.remove_extra_whitespaces {
        parts.push("runs of spaces become one (remove_extra_whitespaces)");
    }
    if !parts.is_empty() {
        let message = format!(
            "before a text is tokenized, {}: this program's own tokenizer does so with the file, \
             llama.cpp does not",
            parts.join(" and ")
        );
        notes.add(&folder.join(MODEL), message);
    }
    if model.prepend_scheme.is_some() {
        let message = "no space is put before a text that begins with one, nor in all places \
                       where llama.cpp puts one (Metaspace): this program's own tokenizer \
                       follows that with the file, llama.cpp does not";
        notes.add(&folder.join(JSON), message);
    }
    if model.denormalizes {
        let message = "generated text would be changed by its denormalizer, which is left out";
        notes.add(&folder.join(MODEL), message);
    }
}

/// Notes the special ids of a GGUF file that no token has; -1 says "none" in some.
pub(crate) fn note_ids(path: &Path, metadata: &Metadata<'_>, notes: &Notes) {
    let tokens = metadata.array("tokenizer.ggml.tokens").ok().flatten();
    let Some(tokens) = tokens.map(Array::len) else {
        return;
    };
    for kind in crate::config::TOKEN_KINDS.into_iter().chain(["eot"]) {
        let key = special::id_key(kind);
        let id = metadata.get(key).and_then(|value| value.as_integer());
        let none = [-1, u32::MAX.into()];
        if let Some(id) = id.filter(|id| !none.contains(id) && !(0..tokens as i128).contains(id)) {
            let message = format!("{key} {id} is none of the {tokens} tokens; it is kept as it is");
            notes.add(path, message);
        }
    }
}

/// Looks for ids beyond the vocabulary in the lists of config.json, whose single ids are known, and
/// in generation_config.json.
fn listed_ids(folder: &Folder<'_>, size: u32, beyond: &mut Beyond) -> Result<(), Error> {
    for (file, with_single) in [("config.json", false), ("generation_config.json", true)] {
        let (_, value) = folder.value(file, folder.limits.config_bytes)?;
        for kind in crate::config::TOKEN_KINDS {
            let key = format!("{kind}_token_id");
            let ids = match value.as_ref().and_then(|value| value.get(&key)) {
                Some(Value::Array(ids)) => ids.as_slice(),
                Some(id) if with_single => std::slice::from_ref(id),
                _ => &[],
            };
            for id in ids.iter().filter_map(Value::as_u64) {
                if id >= size.into() {
                    beyond.key(kind, id, file);
                }
            }
        }
    }
    Ok(())
}

/// The vocabulary that the bytes of tokenizer.model hold, as GGUF keys.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn vocabulary(
    path: &Path,
    bytes: &[u8],
    limits: &Limits,
) -> Result<Metadata<'static>, Error> {
    let model = Model::parse(path, bytes, limits.vocab)?;
    let size = model.pieces.len() as u32;
    let mut metadata = Metadata::new();
    Vocab::new(&model, size, &mut Beyond::default()).write(true, &mut metadata);
    Ok(metadata)
}

/// Reads the files beside a model of four pieces, for a vocabulary of some more.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn beside_four(folder: &Folder<'_>) -> Result<Tokenizer, Error> {
    use sentencepiece::{Piece, PieceType};
    let piece = |text, kind| Piece {
        text,
        score: 0.0,
        kind,
    };
    let model = Model {
        pieces: vec![
            piece("<unk>", PieceType::Unknown),
            piece("<s>", PieceType::Control),
            piece("</s>", PieceType::Control),
            piece("\u{2581}a", PieceType::Normal),
        ],
        token_ids: vec![("bos", 1), ("eos", 2)],
        add_dummy_prefix: true,
        ..Model::default()
    };
    let wanted = Wanted {
        vocab_size: 8,
        config_ids: &[("pad", 2)],
        special_tokens: &[],
        writes_space_prefix: true,
        kind: None,
        pre: None,
    };
    beside(folder, || Ok(Some(model)), wanted, &Notes::default())
}

/// Reads a folder that has nothing but the bytes of tokenizer.json.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn read_json(path: &Path, bytes: &[u8]) -> Result<Tokenizer, Error> {
    let limits = Limits::default();
    let folder = Folder {
        path,
        limits: &limits,
        read: &|file, _| Ok(file.ends_with(JSON).then(|| bytes.to_vec())),
    };
    let wanted = Wanted {
        vocab_size: 1024,
        config_ids: &[],
        special_tokens: &[],
        writes_space_prefix: true,
        kind: None,
        pre: None,
    };
    beside(&folder, || Ok(None), wanted, &Notes::default())
}

fn object<'a>(path: &'a Path, value: Option<&'a Value>) -> Result<Option<Object<'a>>, Error> {
    value.map(|value| Object::new(path, value)).transpose()
}

#[cfg(test)]
mod tests;
