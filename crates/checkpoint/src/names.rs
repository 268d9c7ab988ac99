//! What is said of Hugging Face tensor names apart from the families' records.

/// Last parts of the names of buffers, which hold no weights: every reader computes them itself.
const BUFFERS: [&str; 9] = [
    "attention.bias",
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

/// True for the block of Qwen models that predicts a second token, which lies beside the model.
pub(crate) fn is_predicting(hf: &str) -> bool {
    hf.starts_with("mtp.") || hf.starts_with("model.mtp.")
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
