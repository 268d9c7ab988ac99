//! Tensor names, Hugging Face and GGUF, both ways.
//!
//! ```
//! use aeolus_checkpoint::names;
//! let gguf = names::to_gguf("model.layers.7.self_attn.q_proj.weight");
//! assert_eq!(gguf.as_deref(), Some("blk.7.attn_q.weight"));
//! assert_eq!(names::to_hf("output.weight").as_deref(), Some("lm_head.weight"));
//! ```

/// Modules outside the layers: Hugging Face, GGUF.
const OUTER: [(&str, &str); 3] = [
    (LM_HEAD, "output"),
    (EMBED, "token_embd"),
    (FINAL_NORM, "output_norm"),
];

/// Modules of one layer: after `model.layers.N.`, after `blk.N.`. Sorted by the Hugging Face
/// name, which is the order in which checkpoints store them.
const IN_LAYER: [(&str, &str); 9] = [
    ("input_layernorm", "attn_norm"),
    ("mlp.down_proj", "ffn_down"),
    ("mlp.gate_proj", "ffn_gate"),
    ("mlp.up_proj", "ffn_up"),
    ("post_attention_layernorm", "ffn_norm"),
    ("self_attn.k_proj", "attn_k"),
    ("self_attn.o_proj", "attn_output"),
    ("self_attn.q_proj", "attn_q"),
    ("self_attn.v_proj", "attn_v"),
];

pub(crate) const LM_HEAD: &str = "lm_head";
pub(crate) const EMBED: &str = "model.embed_tokens";
pub(crate) const FINAL_NORM: &str = "model.norm";

/// The GGUF name of a Hugging Face tensor; `None` for names that no supported model has.
pub fn to_gguf(hf: &str) -> Option<String> {
    let (module, kind) = split_kind(hf)?;
    if let Some(rest) = module.strip_prefix("model.layers.") {
        let (layer, module) = split_layer(rest)?;
        let (_, gguf) = IN_LAYER.iter().find(|(hf, _)| *hf == module)?;
        return (kind == "weight" || module.ends_with("_proj"))
            .then(|| format!("blk.{layer}.{gguf}.{kind}"));
    }
    let (_, gguf) = OUTER.iter().find(|(hf, _)| *hf == module)?;
    (kind == "weight").then(|| format!("{gguf}.{kind}"))
}

/// The Hugging Face name of a GGUF tensor; `None` for names that no supported model has.
pub fn to_hf(gguf: &str) -> Option<String> {
    let (module, kind) = split_kind(gguf)?;
    if let Some(rest) = module.strip_prefix("blk.") {
        let (layer, module) = split_layer(rest)?;
        let (hf, _) = IN_LAYER.iter().find(|(_, gguf)| *gguf == module)?;
        return (kind == "weight" || hf.ends_with("_proj"))
            .then(|| format!("model.layers.{layer}.{hf}.{kind}"));
    }
    let (hf, _) = OUTER.iter().find(|(_, gguf)| *gguf == module)?;
    (kind == "weight").then(|| format!("{hf}.{kind}"))
}

/// True for buffers that old checkpoints carry and that every reader computes itself: the
/// rotary frequencies.
pub fn is_skipped(hf: &str) -> bool {
    hf.ends_with(".rotary_emb.inv_freq")
}

/// The modules of a layer without their `model.layers.N.`, in stored order.
pub(crate) fn in_layer() -> impl Iterator<Item = &'static str> {
    IN_LAYER.iter().map(|(hf, _)| *hf)
}

/// `x.y.weight` as (`x.y`, `weight`).
fn split_kind(name: &str) -> Option<(&str, &str)> {
    name.rsplit_once('.')
        .filter(|(_, kind)| matches!(*kind, "weight" | "bias"))
}

/// `12.x` as (12, `x`). Only the usual spelling of a number counts: `012` and `+12` are not
/// layer 12, or two names would mean one tensor.
fn split_layer(rest: &str) -> Option<(u32, &str)> {
    let (digits, module) = rest.split_once('.')?;
    let layer: u32 = digits.parse().ok()?;
    (layer.to_string() == digits).then_some((layer, module))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_there_and_back() {
        let layers = in_layer().map(|module| format!("model.layers.31.{module}.weight"));
        let outer = OUTER.iter().map(|(hf, _)| format!("{hf}.weight"));
        for hf in layers.chain(outer) {
            let gguf = to_gguf(&hf).unwrap_or_else(|| panic!("{hf}"));
            assert_eq!(to_hf(&gguf).as_deref(), Some(&*hf), "{gguf}");
        }
        assert_eq!(
            to_gguf("model.layers.0.self_attn.k_proj.bias").as_deref(),
            Some("blk.0.attn_k.bias")
        );
        assert_eq!(
            to_hf("blk.0.attn_k.bias").as_deref(),
            Some("model.layers.0.self_attn.k_proj.bias")
        );
    }

    #[test]
    fn stored_order_is_alphabetical() {
        assert!(in_layer().is_sorted());
    }

    #[test]
    fn other_names_are_unknown() {
        for name in [
            "",
            "weight",
            "lm_head",
            "lm_head.bias",
            "model.norm.bias",
            "model.layers.0.input_layernorm.bias",
            "model.layers.00.input_layernorm.weight",
            "model.layers.+1.input_layernorm.weight",
            "model.layers.99999999999.input_layernorm.weight",
            "model.layers.0.block_sparse_moe.gate.weight",
            "model.layers.0.self_attn.rotary_emb.inv_freq",
        ] {
            assert_eq!(to_gguf(name), None, "{name}");
        }
        for name in [
            "rope_freqs.weight",
            "blk.0.attn_norm.bias",
            "blk.x.attn_q.weight",
        ] {
            assert_eq!(to_hf(name), None, "{name}");
        }
        assert!(is_skipped("model.layers.0.self_attn.rotary_emb.inv_freq"));
        assert!(!is_skipped("model.layers.0.self_attn.q_proj.weight"));
    }
}
