//! The `general.*` and the architecture's keys of a converted checkpoint, in the reference's order.
//!
//! docs/metadata.md lists every key with its source.

use crate::config::{Config, RopeScaling};
use crate::files::Folder;
use crate::json::Object;
use crate::model_name::{self, NameParts, Params};
use crate::notes::Notes;
use crate::{Error, Limits};
use aeolus_arch::{Entry, Line};
use aeolus_gguf::{Array, Metadata};
use std::path::Path;

/// Keys that say how a file was quantized, and so belong to each output and not to the source.
pub(crate) const FILE_TYPE_KEY: &str = "general.file_type";
pub(crate) const QUANTIZATION_VERSION_KEY: &str = "general.quantization_version";
pub(crate) const NAME_KEY: &str = "general.name";
pub(crate) const MERGES_KEY: &str = "tokenizer.ggml.merges";

/// A key of our own, under the architecture's prefix: false where the ends of YaRN's ramp are not
/// rounded to whole pairs, as all readers do that do not know it.
pub(crate) const YARN_TRUNCATE_KEY: &str = "aeolus.yarn_truncate";

/// The keys before the tokenizer's. `folder_name` is the folder's, `name` what the user calls
/// the model instead; `params` is the number of weights.
pub(crate) fn model(
    folder: &Path,
    folder_name: &str,
    name: Option<&str>,
    config: &Config,
    params: &Params,
    limits: &Limits,
    notes: &Notes,
) -> Metadata<'static> {
    let mut metadata = Metadata::new();
    metadata.insert("general.architecture", config.hyper.family().architecture);
    metadata.insert("general.type", "model");
    sampling(&Folder::new(folder, limits), &mut metadata, notes);
    let name = name.map_or_else(|| model_name::title(folder_name), str::to_owned);
    metadata.insert(NAME_KEY, name);
    let parts = NameParts::of(folder_name, params.all);
    let size_label = parts.size_label.unwrap_or_else(|| params.size_label());
    for (key, value) in [
        ("general.version", parts.version),
        ("general.finetune", parts.finetune),
        ("general.basename", parts.basename),
        ("general.size_label", Some(size_label)),
    ] {
        if let Some(value) = value {
            metadata.insert(key, value);
        }
    }
    architecture(config, &mut metadata);
    metadata
}

/// The keys of the architecture, in the order of the family's record.
fn architecture(config: &Config, metadata: &mut Metadata<'static>) {
    let arch = config.hyper.family().architecture;
    let mut put = |key: &str, value: aeolus_gguf::Value<'static>| {
        metadata.insert(format!("{arch}.{key}"), value);
    };
    for line in config.hyper.written() {
        match line {
            Entry::Key(key, value) => put(key, value),
            Entry::RopeScaling => rope_scaling(config, &mut put),
            Entry::RotarySections => {
                let sections = Array::from_i32s(&config.rotary_sections);
                put("rope.dimension_sections", sections.into());
            }
        }
    }
}

/// The keys of the rotary scaling.
fn rope_scaling(config: &Config, put: &mut impl FnMut(&str, aeolus_gguf::Value<'static>)) {
    let says_none = |line: &Line| matches!(line, Line::RopeScalingOrNone);
    match &config.rope_scaling {
        RopeScaling::None if config.hyper.family().keys.iter().any(says_none) => {
            put("rope.scaling.type", "none".into());
        }
        // These are tensors and need no key.
        RopeScaling::None | RopeScaling::Llama3 { .. } | RopeScaling::Proportional { .. } => {}
        // The reference names no type for these tensors.
        RopeScaling::Long {
            attention_factor, ..
        } => put("rope.scaling.attn_factor", (*attention_factor).into()),
        RopeScaling::Linear { factor } => {
            put("rope.scaling.type", "linear".into());
            put("rope.scaling.factor", (*factor).into());
        }
        RopeScaling::Yarn {
            factor,
            original_context,
            ext_factor,
            attention_factor,
            attn_factor,
            beta_fast,
            beta_slow,
            truncate,
        } => {
            put("rope.scaling.type", "yarn".into());
            put("rope.scaling.factor", (*factor).into());
            put(
                "rope.scaling.original_context_length",
                (*original_context).into(),
            );
            for (key, value) in [
                ("rope.scaling.yarn_ext_factor", ext_factor),
                ("rope.scaling.yarn_attn_factor", attention_factor),
                ("rope.scaling.yarn_beta_fast", beta_fast),
                ("rope.scaling.yarn_beta_slow", beta_slow),
                // What runtimes read; the reference has not got this one.
                ("rope.scaling.attn_factor", attn_factor),
            ] {
                if let Some(value) = value {
                    put(key, (*value).into());
                }
            }
            if !truncate {
                put(YARN_TRUNCATE_KEY, false.into());
            }
        }
    }
}

/// The recommended sampling of generation_config.json, where it recommends any. The file is no
/// part of the model, so what is wrong with it is a note and never an error.
pub(crate) fn sampling(folder: &Folder<'_>, metadata: &mut Metadata<'static>, notes: &Notes) {
    const NAME: &str = "generation_config.json";
    let left_out = |error: Error| {
        let path = folder.path.join(NAME);
        let error = error.to_string();
        let problem = error.strip_prefix(&format!("{}: ", path.display()));
        notes.add(
            &path,
            format_args!("{}; left out", problem.unwrap_or(&error)),
        );
    };
    let (path, value) = match folder.value(NAME, folder.limits.config_bytes) {
        Ok((path, Some(value))) => (path, value),
        Ok((_, None)) => return,
        Err(error) => return left_out(error),
    };
    let o = match Object::new(&path, &value) {
        Ok(o) => o,
        Err(error) => return left_out(error),
    };
    let mut put = |key: &str, value: Result<Option<aeolus_gguf::Value<'static>>, Error>| match value
    {
        Ok(None) => {}
        Ok(Some(value)) => {
            metadata.insert(format!("general.sampling.{key}"), value);
        }
        Err(error) => left_out(error),
    };
    let float = |key| Ok(o.f32(key)?.map(Into::into));
    let int = |key| Ok(o.i32(key)?.map(Into::into));
    let text = o.str("sequence").map(|s| s.map(|s| s.to_owned().into()));
    put("sequence", text);
    put("top_k", int("top_k"));
    put("top_p", float("top_p"));
    put("min_p", float("min_p"));
    put("xtc_probability", float("xtc_probability"));
    put("xtc_threshold", float("xtc_threshold"));
    put("temp", float("temperature"));
    put("penalty_last_n", int("penalty_last_n"));
    // transformers has a name of its own for this one.
    let repeat = match float("penalty_repeat") {
        Ok(None) => float("repetition_penalty"),
        given => given,
    };
    put("penalty_repeat", repeat);
    put("mirostat", int("mirostat"));
    put("mirostat_tau", float("mirostat_tau"));
    put("mirostat_eta", float("mirostat_eta"));
}
