//! The `general.*` and `llama.*` keys of a converted checkpoint, in the reference's order.
//!
//! docs/metadata.md lists every key with its source.

use crate::config::{Config, RopeScaling};
use crate::files::Folder;
use crate::json::Object;
use crate::model_name::{self, NameParts};
use crate::{Error, Limits};
use aeolus_gguf::Metadata;
use std::path::Path;

/// Keys that say how a file was quantized, and so belong to each output and not to the source.
pub(crate) const FILE_TYPE_KEY: &str = "general.file_type";
pub(crate) const QUANTIZATION_VERSION_KEY: &str = "general.quantization_version";
pub(crate) const NAME_KEY: &str = "general.name";
pub(crate) const MERGES_KEY: &str = "tokenizer.ggml.merges";

/// The keys before the tokenizer's. `folder_name` is the folder's, `name` what the user calls
/// the model instead; `params` is the number of weights.
pub(crate) fn model(
    folder: &Path,
    folder_name: &str,
    name: Option<&str>,
    config: &Config,
    params: u64,
    limits: &Limits,
) -> Result<Metadata<'static>, Error> {
    let mut metadata = Metadata::new();
    metadata.insert("general.architecture", config.hyper.architecture.clone());
    metadata.insert("general.type", "model");
    sampling(&Folder::new(folder, limits), &mut metadata)?;
    let name = name.map_or_else(|| model_name::title(folder_name), str::to_owned);
    metadata.insert(NAME_KEY, name);
    let parts = NameParts::of(folder_name, params);
    let size_label = parts
        .size_label
        .unwrap_or_else(|| model_name::size_label(params));
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
    Ok(metadata)
}

/// The `llama.*` keys.
fn architecture(config: &Config, metadata: &mut Metadata<'static>) {
    let hyper = &config.hyper;
    let arch = &hyper.architecture;
    let mut put = |key: &str, value: aeolus_gguf::Value<'static>| {
        metadata.insert(format!("{arch}.{key}"), value);
    };
    put("block_count", hyper.layers.into());
    put("context_length", hyper.context.into());
    put("embedding_length", hyper.hidden.into());
    put("feed_forward_length", hyper.ff.into());
    put("attention.head_count", hyper.heads.into());
    put("attention.head_count_kv", hyper.kv_heads.into());
    match &config.rope_scaling {
        // Llama 3's is a tensor and has no key.
        RopeScaling::None | RopeScaling::Llama3 { .. } => {}
        RopeScaling::Linear { factor } => {
            put("rope.scaling.type", "linear".into());
            put("rope.scaling.factor", (*factor).into());
        }
        RopeScaling::Yarn {
            factor,
            original_context,
            ext_factor,
            attn_factor,
            beta_fast,
            beta_slow,
        } => {
            put("rope.scaling.type", "yarn".into());
            put("rope.scaling.factor", (*factor).into());
            put(
                "rope.scaling.original_context_length",
                (*original_context).into(),
            );
            for (key, value) in [
                ("rope.scaling.yarn_ext_factor", ext_factor),
                ("rope.scaling.yarn_attn_factor", attn_factor),
                ("rope.scaling.yarn_beta_fast", beta_fast),
                ("rope.scaling.yarn_beta_slow", beta_slow),
            ] {
                if let Some(value) = value {
                    put(key, (*value).into());
                }
            }
        }
    }
    put("rope.freq_base", hyper.rope_theta.into());
    put("attention.layer_norm_rms_epsilon", hyper.norm_eps.into());
    put("attention.key_length", hyper.head_dim.into());
    put("attention.value_length", hyper.head_dim.into());
    put("vocab_size", hyper.vocab.into());
    put("rope.dimension_count", hyper.head_dim.into());
}

/// The recommended sampling of generation_config.json, where it recommends any.
pub(crate) fn sampling(folder: &Folder<'_>, metadata: &mut Metadata<'static>) -> Result<(), Error> {
    let (path, value) = folder.value("generation_config.json", folder.limits.config_bytes)?;
    let Some(value) = value else {
        return Ok(());
    };
    let o = Object::new(&path, &value)?;
    let mut put = |key: &str, value: Option<aeolus_gguf::Value<'static>>| {
        if let Some(value) = value {
            metadata.insert(format!("general.sampling.{key}"), value);
        }
    };
    let float = |key| Ok::<_, Error>(o.f32(key)?.map(Into::into));
    let int = |key| Ok::<_, Error>(o.i32(key)?.map(Into::into));
    put("sequence", o.str("sequence")?.map(|s| s.to_owned().into()));
    put("top_k", int("top_k")?);
    put("top_p", float("top_p")?);
    put("min_p", float("min_p")?);
    put("xtc_probability", float("xtc_probability")?);
    put("xtc_threshold", float("xtc_threshold")?);
    put("temp", float("temperature")?);
    put("penalty_last_n", int("penalty_last_n")?);
    put("penalty_repeat", float("penalty_repeat")?);
    put("mirostat", int("mirostat")?);
    put("mirostat_tau", float("mirostat_tau")?);
    put("mirostat_eta", float("mirostat_eta")?);
    Ok(())
}
