//! What is said of Hugging Face tensor names apart from the families' records.

/// What the framework puts before all names but the output's.
pub(crate) const BACKBONE: &str = "model.";
pub(crate) const LM_HEAD: &str = "lm_head";

/// Last parts of the names of buffers, which hold no weights: every reader computes them itself.
const BUFFERS: [&str; 8] = [
    "rotary_emb.inv_freq",
    "rotary_emb.original_inv_freq",
    "rotary_emb.cos_cached",
    "rotary_emb.sin_cached",
    "rope.freqs",
    "position_ids",
    "masked_bias",
    "causal_mask",
];

/// True for buffers that old checkpoints carry and that every reader computes itself: rotary
/// frequencies, positions and masks.
pub(crate) fn is_skipped(hf: &str) -> bool {
    BUFFERS.iter().any(|buffer| {
        hf.strip_suffix(buffer)
            .is_some_and(|before| before.is_empty() || before.ends_with('.'))
    })
}

/// A name of a layer's tensor without what names the layer: `self_attn.q_proj.bias`.
pub(crate) fn without_layer(hf: &str) -> &str {
    let rest = hf.strip_prefix("model.layers.").and_then(split_layer);
    rest.map_or(hf, |(_, module)| module)
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
    fn buffers_are_told_by_the_last_part_of_their_names() {
        for buffer in [
            "model.layers.0.self_attn.rotary_emb.inv_freq",
            "model.rotary_emb.inv_freq",
            "model.layers.0.self_attn.masked_bias",
            "position_ids",
            "rope.freqs",
        ] {
            assert!(is_skipped(buffer), "{buffer}");
        }
        for other in [
            "model.layers.0.self_attn.q_proj.weight",
            "x.my_position_ids",
        ] {
            assert!(!is_skipped(other), "{other}");
        }
    }
}
