//! What a tensor is for, told from its GGUF name.

use aeolus_gguf::Shape;

/// The part a tensor plays in the model, as far as a mix tells parts apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Role {
    /// `token_embd`: one row for each token. So is `per_layer_token_embd`.
    TokenEmbd,
    /// `output`: the projection to the vocabulary.
    Output,
    /// `attn_q`: queries.
    AttnQ,
    /// `attn_k`: keys.
    AttnK,
    /// `attn_v`: values. What holds values among others is as sensitive: `attn_kv_b`.
    AttnV,
    /// `attn_qkv`: queries, keys and values in one.
    AttnQkv,
    /// `attn_output`: heads back to the hidden size.
    AttnOutput,
    /// `ffn_gate`: the gate of the feed-forward network, that of its experts, and gate and up in
    /// one.
    FfnGate,
    /// `ffn_up`: hidden size to feed-forward size, also of experts.
    FfnUp,
    /// `ffn_down`: feed-forward size back to the hidden size, also of experts.
    FfnDown,
    /// Any other weight matrix.
    Other,
}

/// How a name is told by a word.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Told {
    /// Outside the layers, it is the word.
    Alone,
    /// In a layer, it ends in the word.
    ByEnd,
    /// In a layer, the word is in it.
    ByPart,
}

/// Roles and what GGUF calls them, before `.weight`; within a layer after `blk.N.`. The first that
/// fits is it. A role's own name comes first.
const NAMES: &[(Role, &str, Told)] = &[
    (Role::TokenEmbd, "token_embd", Told::Alone),
    (Role::TokenEmbd, "per_layer_token_embd", Told::Alone),
    (Role::Output, "output", Told::Alone),
    (Role::AttnQ, "attn_q", Told::ByEnd),
    (Role::AttnK, "attn_k", Told::ByEnd),
    (Role::AttnV, "attn_v", Told::ByEnd),
    (Role::AttnQkv, "attn_qkv", Told::ByEnd),
    (Role::AttnV, "attn_kv_b", Told::ByEnd),
    (Role::AttnOutput, "attn_output", Told::ByEnd),
    (Role::FfnUp, "ffn_up", Told::ByPart),
    (Role::FfnGate, "ffn_gate", Told::ByPart),
    (Role::FfnDown, "ffn_down", Told::ByPart),
];

impl Role {
    /// GGUF's name for it, `attn_v`.
    pub fn name(self) -> &'static str {
        let row = NAMES.iter().find(|row| row.0 == self);
        row.map_or("other", |row| row.1)
    }
}

/// What a tensor's name says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Named<'a> {
    pub role: Role,
    /// The number of its layer if it belongs to one. A number beyond 64 bits is the largest one,
    /// which no model has either.
    pub layer: Option<u64>,
    /// What it is called without layer and `.weight`.
    pub word: &'a str,
}

/// `blk.7.attn_v.weight` is layer 7 and `attn_v`.
pub(crate) fn named(tensor: &str) -> Named<'_> {
    let split = tensor.strip_prefix("blk.").and_then(|rest| {
        let (number, rest) = rest.split_once('.')?;
        let digits = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| (number.parse().unwrap_or(u64::MAX), rest))
    });
    let (layer, rest) = match split {
        Some((layer, rest)) => (Some(layer), rest),
        None => (None, tensor),
    };
    let word = rest.strip_suffix(".weight");
    let role = word.and_then(|word| {
        let told = |row: &&(Role, &str, Told)| match row.2 {
            Told::Alone => layer.is_none() && word == row.1,
            Told::ByEnd => layer.is_some() && word.ends_with(row.1),
            Told::ByPart => layer.is_some() && word.contains(row.1),
        };
        NAMES.iter().find(told)
    });
    Named {
        role: role.map_or(Role::Other, |row| row.0),
        layer,
        word: word.unwrap_or(rest),
    }
}

/// A tensor that is not quantized whatever the file type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    /// It is F32 in every file. Else it stays what the source has.
    pub f32: bool,
    /// In words.
    pub why: &'static str,
}

/// Weight matrices that stay as they are: what is in the name, whether they are F32 in every file,
/// and why. From llama.cpp of October 2026, its converter and its quantizer.
#[rustfmt::skip]
const KEPT: &[(&str, bool, &str)] = &[
    ("_norm.weight",              true,  "it is a norm"),
    ("position_embd.weight",      true,  "it holds learned positions"),
    ("ffn_gate_inp.weight",       true,  "it routes tokens to experts"),
    ("ffn_gate_inp_shexp.weight", true,  "it gates the shared expert"),
    ("ssm_conv1d",                true,  "it is a small convolution"),
    ("shortconv.conv.weight",     true,  "it is a small convolution"),
    ("altup",                     false, "it is small"),
    ("laurel",                    false, "it is small"),
    ("per_layer_model_proj",      false, "it is small"),
    ("indexer.k_proj.weight",     false, "it is small"),
    ("indexer.q_proj.weight",     false, "it is small"),
];

/// Why a tensor is not quantized; `None` if it is.
pub(crate) fn kept(tensor: &str, shape: &Shape) -> Option<Kept> {
    let f32 = |why| Some(Kept { f32: true, why });
    if shape.rows() < 2 {
        return f32("it has one dimension");
    }
    if !tensor.ends_with(".weight") {
        return f32("its name does not end in .weight");
    }
    let row = KEPT.iter().find(|(word, ..)| tensor.contains(word));
    row.map(|&(_, f32, why)| Kept { f32, why })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_role_and_layer() {
        for (name, role, layer) in [
            ("token_embd.weight", Role::TokenEmbd, None),
            ("per_layer_token_embd.weight", Role::TokenEmbd, None),
            ("output.weight", Role::Output, None),
            ("blk.0.attn_q.weight", Role::AttnQ, Some(0)),
            ("blk.0.attn_q_a.weight", Role::Other, Some(0)),
            ("blk.0.attn_qkv.weight", Role::AttnQkv, Some(0)),
            ("blk.0.attn_kv_b.weight", Role::AttnV, Some(0)),
            ("blk.0.attn_v_b.weight", Role::Other, Some(0)),
            ("blk.0.attn_kv_a_mqa.weight", Role::Other, Some(0)),
            ("blk.12.attn_output.weight", Role::AttnOutput, Some(12)),
            ("blk.79.ffn_down.weight", Role::FfnDown, Some(79)),
            ("blk.3.ffn_down_exps.weight", Role::FfnDown, Some(3)),
            ("blk.3.ffn_gate_up_exps.weight", Role::FfnGate, Some(3)),
            ("blk.3.ffn_up_shexp.weight", Role::FfnUp, Some(3)),
            ("blk.46.nextn.eh_proj.weight", Role::Other, Some(46)),
            ("blk.7.attn_q.bias", Role::Other, Some(7)),
            ("blk.7.output.weight", Role::Other, Some(7)),
            ("ffn_up.weight", Role::Other, None),
            ("blk.x.ffn_up.weight", Role::Other, None),
            ("blk..ffn_up.weight", Role::Other, None),
            ("blk.+1.ffn_up.weight", Role::Other, None),
            ("blk.1", Role::Other, None),
        ] {
            let found = named(name);
            assert_eq!((found.role, found.layer), (role, layer), "{name}");
        }
        let found = named("blk.99999999999999999999.ffn_up.weight");
        assert_eq!((found.layer, found.word), (Some(u64::MAX), "ffn_up"));
    }

    #[test]
    fn only_weight_matrices_are_quantized() {
        let kept = |name, dims: &[u64]| {
            let shape = Shape::from_gguf(dims).unwrap();
            kept(name, &shape).map(|kept| kept.f32)
        };
        assert_eq!(kept("blk.0.ffn_up.weight", &[64, 2]), None);
        assert_eq!(kept("blk.0.ffn_up_exps.weight", &[64, 2, 2]), None);
        for (name, dims) in [
            ("rope_freqs.weight", &[64][..]),
            ("blk.0.ffn_gate_inp_shexp.weight", &[64, 1]),
            ("blk.0.attn_q.bias", &[64, 2]),
            ("blk.0.attn_norm.weight", &[64, 2]),
            ("position_embd.weight", &[64, 2]),
            ("blk.0.ffn_gate_inp.weight", &[64, 2]),
            ("blk.0.ssm_conv1d.weight", &[4, 64]),
        ] {
            assert_eq!(kept(name, dims), Some(true), "{name}");
        }
        let name = "per_layer_model_proj.weight";
        assert_eq!(kept(name, &[64, 2]), Some(false));
        assert_eq!(kept("blk.0.attn_k_b.weight", &[64, 2, 8]), None);
    }
}
