//! What a tensor is for, told from its GGUF name.

/// The part a tensor plays in the model, as far as a mix tells parts apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Role {
    /// `token_embd`: one row for each token.
    TokenEmbd,
    /// `output`: the projection to the vocabulary.
    Output,
    /// `attn_q`: queries.
    AttnQ,
    /// `attn_k`: keys.
    AttnK,
    /// `attn_v`: values.
    AttnV,
    /// `attn_output`: heads back to the hidden size.
    AttnOutput,
    /// `ffn_gate`: the gate of the feed-forward network.
    FfnGate,
    /// `ffn_up`: hidden size to feed-forward size.
    FfnUp,
    /// `ffn_down`: feed-forward size back to the hidden size.
    FfnDown,
    /// Any other weight matrix.
    Other,
}

/// Roles and what GGUF calls them, before `.weight`; within a layer after `blk.N.`.
const NAMES: [(Role, &str, bool); 9] = [
    (Role::TokenEmbd, "token_embd", false),
    (Role::Output, "output", false),
    (Role::AttnQ, "attn_q", true),
    (Role::AttnK, "attn_k", true),
    (Role::AttnV, "attn_v", true),
    (Role::AttnOutput, "attn_output", true),
    (Role::FfnGate, "ffn_gate", true),
    (Role::FfnUp, "ffn_up", true),
    (Role::FfnDown, "ffn_down", true),
];

impl Role {
    /// GGUF's name for it, `attn_v`.
    pub fn name(self) -> &'static str {
        let row = NAMES.iter().find(|row| row.0 == self);
        row.map_or("other", |row| row.1)
    }

    /// The role of a tensor, and the number of its layer if it belongs to one.
    pub(crate) fn of(tensor: &str) -> (Self, Option<u64>) {
        let (layer, rest) = split_layer(tensor);
        let role = rest.strip_suffix(".weight").and_then(|name| {
            let mut rows = NAMES.iter();
            rows.find(|row| row.1 == name && row.2 == layer.is_some())
        });
        (role.map_or(Role::Other, |row| row.0), layer)
    }
}

/// `blk.7.attn_v.weight` is layer 7 and `attn_v.weight`. A number beyond 64 bits is the largest
/// one, which no model has either.
fn split_layer(tensor: &str) -> (Option<u64>, &str) {
    let layer = tensor.strip_prefix("blk.").and_then(|rest| {
        let (number, rest) = rest.split_once('.')?;
        let digits = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| (number.parse().unwrap_or(u64::MAX), rest))
    });
    match layer {
        Some((layer, rest)) => (Some(layer), rest),
        None => (None, tensor),
    }
}

/// Why a tensor is no weight matrix and stays F32; `None` if it is one.
///
/// llama.cpp's own list is longer, for architectures that are not ours.
pub(crate) fn kept_f32(tensor: &str, dims: usize) -> Option<&'static str> {
    if dims < 2 {
        Some("it has one dimension")
    } else if !tensor.ends_with(".weight") {
        Some("its name does not end in .weight")
    } else if tensor.ends_with("_norm.weight") {
        Some("it is a norm")
    } else if tensor.ends_with("ffn_gate_inp.weight") {
        Some("it routes tokens to experts")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_role_and_layer() {
        for (name, role, layer) in [
            ("token_embd.weight", Role::TokenEmbd, None),
            ("output.weight", Role::Output, None),
            ("blk.0.attn_q.weight", Role::AttnQ, Some(0)),
            ("blk.12.attn_output.weight", Role::AttnOutput, Some(12)),
            ("blk.79.ffn_down.weight", Role::FfnDown, Some(79)),
            ("blk.7.attn_q.bias", Role::Other, Some(7)),
            ("blk.7.output.weight", Role::Other, Some(7)),
            ("ffn_up.weight", Role::Other, None),
            ("blk.x.ffn_up.weight", Role::Other, None),
            ("blk..ffn_up.weight", Role::Other, None),
            ("blk.+1.ffn_up.weight", Role::Other, None),
            ("blk.1", Role::Other, None),
        ] {
            assert_eq!(Role::of(name), (role, layer), "{name}");
        }
        let (_, layer) = Role::of("blk.99999999999999999999.ffn_up.weight");
        assert_eq!(layer, Some(u64::MAX));
    }

    #[test]
    fn only_weight_matrices_are_quantized() {
        assert_eq!(kept_f32("blk.0.ffn_up.weight", 2), None);
        assert_eq!(kept_f32("blk.0.ffn_up.weight", 3), None);
        for (name, dims) in [
            ("rope_freqs.weight", 1),
            ("blk.0.attn_q.bias", 2),
            ("blk.0.attn_norm.weight", 2),
            ("blk.0.ffn_gate_inp.weight", 2),
        ] {
            assert!(kept_f32(name, dims).is_some(), "{name}");
        }
    }
}
