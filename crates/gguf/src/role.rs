//! What a GGUF file holds, if that is not a model.

use crate::metadata::Metadata;
use crate::value::Value;

const GIVE_MODEL: &str = "give the model that it belongs to";

/// What a file with this metadata, and with or without tensors, holds (`a LoRA adapter`), and what
/// to do about it; `None` for a model.
pub fn not_a_model(
    metadata: &Metadata<'_>,
    has_tensors: bool,
) -> Option<(&'static str, &'static str)> {
    let text = |key| {
        metadata
            .get(key)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let (kind, architecture) = (text("general.type"), text("general.architecture"));
    let has = |key| metadata.get(key).is_some();
    let found = match (kind, architecture) {
        ("imatrix", _) | (_, "imatrix") => ("an importance matrix (imatrix)", GIVE_MODEL),
        _ if has("imatrix.datasets") => ("an importance matrix (imatrix)", GIVE_MODEL),
        ("adapter", _) => ("a LoRA adapter", "merge it into its base model first"),
        _ if has("adapter.type") => ("a LoRA adapter", "merge it into its base model first"),
        ("mmproj", _) | (_, "clip") => (
            "a multimodal projector (mmproj)",
            "give the language model that it belongs to",
        ),
        (_, "controlvector") => ("a control vector", GIVE_MODEL),
        _ if !has_tensors && has("tokenizer.ggml.tokens") => (
            "a vocabulary without weights",
            "`aeolus tokenize` reads it; the other commands need the whole model",
        ),
        _ if !has_tensors && has("split.count") => (
            "the first shard without the others",
            "put all shards in one folder, and name any of them",
        ),
        _ => return None,
    };
    Some(found)
}
