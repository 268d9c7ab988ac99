//! Tokenizer files as GGUF metadata.
//!
//! Supported is SentencePiece: tokenizer.model has the pieces with scores and types. The JSON
//! files around it say which tokens are special, which were added, how a chat is written, and
//! (tokenizer.json) the same vocabulary's BPE merges.

mod chat_template;
mod hf;
mod protobuf;
mod sentencepiece;
mod special;
mod vocab;

use crate::files::Folder;
use crate::json::{Keyed, Object};
use crate::{Error, Limits, files};
use aeolus_gguf::{Array, Metadata};
use chat_template::ChatTemplate;
use hf::TokenizerJson;
use sentencepiece::Model;
use serde_json::Value;
use special::SpecialTokens;
use std::path::Path;
use vocab::Vocab;

const MODEL: &str = "tokenizer.model";
const JSON: &str = "tokenizer.json";

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

/// Reads the tokenizer files of a folder for a model of `vocab_size` tokens. `config_ids` are
/// the ids that config.json names.
///
/// # Errors
/// [`Error::NoTokenizer`] if there is none, [`Error::Unsupported`] if there is only one of
/// another kind; [`Error::Tokenizer`], [`Error::Json`] and [`Error::Key`] for malformed files
/// and tokens that `vocab_size` has no room for.
pub(crate) fn read(
    folder: &Path,
    vocab_size: u32,
    config_ids: &[(&'static str, u32)],
    limits: &Limits,
) -> Result<Tokenizer, Error> {
    let path = folder.join(MODEL);
    let Some(bytes) = files::read(&path, limits.tokenizer_bytes)? else {
        return Err(missing(folder, &folder.join(JSON)));
    };
    let model = Model::parse(&path, &bytes, limits.vocab)?;
    beside(&Folder::new(folder, limits), &model, vocab_size, config_ids)
}

/// Reads the files beside a model.
fn beside(
    folder: &Folder<'_>,
    model: &Model<'_>,
    vocab_size: u32,
    config_ids: &[(&'static str, u32)],
) -> Result<Tokenizer, Error> {
    let limits = folder.limits;
    let (json_path, json) = folder.json::<Keyed<TokenizerJson>>(JSON, limits.tokenizer_bytes)?;
    let mut json = json.map(|json| json.0);

    let value = |name| folder.value(name, limits.tokenizer_config_bytes);
    let (config_path, config) = value("tokenizer_config.json")?;
    let (map_path, map) = value("special_tokens_map.json")?;
    let (added_path, added) = value("added_tokens.json")?;
    let config = object(&config_path, config.as_ref())?;
    let map = object(&map_path, map.as_ref())?;
    let added = object(&added_path, added.as_ref())?;

    let mut vocab = Vocab::new(&folder.path.join(MODEL), model, vocab_size)?;
    if let Some(added) = &added {
        vocab.add_tokens(added)?;
    }
    if let Some(config) = &config
        && let Some(decoder) = config.object("added_tokens_decoder")?
    {
        vocab.decode_added(&decoder)?;
    }
    if let Some(json) = &json {
        vocab.fill_from(&json_path, json)?;
    }

    let mut special = SpecialTokens::from_configs(config.as_ref(), map.as_ref())?;
    if let Some(json) = &json {
        json.read_template(&mut special);
    }
    if let Some(config) = &config {
        special.read_added(config)?;
    }
    special.find_ids(json.as_ref(), |text| vocab.special_id(text));
    check_config_ids(folder.path, vocab.len(), config_ids)?;
    special.add_ids(config_ids);
    special.add_ids(&model.token_ids);

    let mut metadata = Metadata::new();
    let space_prefix = match &config {
        Some(config) => config.bool("add_prefix_space")?,
        None => None,
    };
    // Readers put a space before every text unless told otherwise.
    if let Some(prefix) = space_prefix.or((!model.add_dummy_prefix).then_some(false)) {
        metadata.insert("tokenizer.ggml.add_space_prefix", prefix);
    }
    metadata.insert("tokenizer.ggml.model", "llama");
    metadata.insert("tokenizer.ggml.pre", "default");
    vocab.write(&mut metadata);
    if model.remove_extra_whitespaces {
        metadata.insert("tokenizer.ggml.remove_extra_whitespaces", true);
    }
    special.write(&mut metadata);
    if let Some(template) = ChatTemplate::read(folder, config.as_ref())? {
        template.write(&mut metadata);
    }
    Ok(Tokenizer {
        metadata,
        merges: json.as_mut().and_then(TokenizerJson::take_merges),
    })
}

/// The vocabulary that the bytes of tokenizer.model hold, as GGUF keys.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn vocabulary(
    path: &Path,
    bytes: &[u8],
    limits: &Limits,
) -> Result<Metadata<'static>, Error> {
    let model = Model::parse(path, bytes, limits.vocab)?;
    let vocab = Vocab::new(path, &model, model.pieces.len() as u32)?;
    let mut metadata = Metadata::new();
    vocab.write(&mut metadata);
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
        remove_extra_whitespaces: false,
    };
    beside(folder, &model, 8, &[("pad", 2)])
}

/// Reads the bytes of tokenizer.json and does all that is done with them, beside a vocabulary of
/// one piece and some padding.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn read_json(path: &Path, bytes: &[u8]) {
    let Ok(Keyed(mut json)) = serde_json::from_slice::<Keyed<TokenizerJson>>(bytes) else {
        return;
    };
    let model = Model {
        pieces: vec![sentencepiece::Piece {
            text: "<unk>",
            score: 0.0,
            kind: sentencepiece::PieceType::Unknown,
        }],
        token_ids: Vec::new(),
        add_dummy_prefix: true,
        remove_extra_whitespaces: false,
    };
    let Ok(mut vocab) = Vocab::new(path, &model, 8) else {
        return;
    };
    let _ = vocab.fill_from(path, &json);
    let Ok(mut special) = SpecialTokens::from_configs(None, None) else {
        return;
    };
    json.read_template(&mut special);
    special.find_ids(Some(&json), |text| vocab.special_id(text));
    let mut metadata = Metadata::new();
    vocab.write(&mut metadata);
    special.write(&mut metadata);
    json.take_merges();
}

fn object<'a>(path: &'a Path, value: Option<&'a Value>) -> Result<Option<Object<'a>>, Error> {
    value.map(|value| Object::new(path, value)).transpose()
}

/// Every id that config.json names is one of a token, also where another file decides the kind.
fn check_config_ids(folder: &Path, vocab: u32, ids: &[(&'static str, u32)]) -> Result<(), Error> {
    match ids.iter().find(|(_, id)| *id >= vocab) {
        None => Ok(()),
        Some((kind, id)) => Err(Error::key(
            &folder.join("config.json"),
            format!("{kind}_token_id"),
            format!("no token has id {id}, vocab_size is {vocab}"),
        )),
    }
}

/// Why there is no tokenizer.model to read.
fn missing(folder: &Path, json_path: &Path) -> Error {
    if json_path.exists() {
        return Error::unsupported(
            json_path,
            "a tokenizer of tokenizer.json alone (BPE) is not supported, only SentencePiece is \
             (tokenizer.model); --no-tokenizer goes on without",
        );
    }
    Error::NoTokenizer {
        path: folder.into(),
        looked_for: "tokenizer.model, tokenizer.json",
    }
}

#[cfg(test)]
mod tests;
