//! Which tensors a model has and what their shapes are, from its hyperparameters alone.

use crate::{Hyperparameters, RowMap, names};

/// Whether a tensor has to be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    Required,
    /// May be absent; where it is there, its shape is checked all the same.
    Optional,
}

/// A tensor that a model has.
#[derive(Clone, Debug)]
pub(crate) struct Expected {
    /// Hugging Face name.
    pub(crate) hf: String,
    /// GGUF name.
    pub(crate) gguf: String,
    /// Hugging Face order: row length last.
    pub(crate) shape: Vec<u64>,
    pub(crate) presence: Presence,
    /// How a Hugging Face checkpoint's rows become GGUF's. For the bias of a mapped tensor the
    /// map is over its elements.
    pub(crate) row_map: RowMap,
}

/// Which modules have biases; `None` for those that may have them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Biases {
    pub(crate) attention: Option<bool>,
    pub(crate) mlp: Option<bool>,
}

/// All tensors in the order in which checkpoints store them: output, embedding, layers, final
/// norm; alphabetical by Hugging Face name inside a layer.
pub(crate) fn tensors(hyper: &Hyperparameters, biases: Biases) -> Vec<Expected> {
    let (hidden, vocab) = (u64::from(hyper.hidden), u64::from(hyper.vocab));
    let head = if hyper.tied_embeddings {
        Presence::Optional
    } else {
        Presence::Required
    };
    let mut all = Vec::new();
    let mut push = |hf: String, shape: &[u64], presence, row_map| {
        if let Some(gguf) = names::to_gguf(&hf) {
            all.push(Expected {
                hf,
                gguf,
                shape: shape.to_vec(),
                presence,
                row_map,
            });
        }
    };
    let weight = |module: &str| format!("{module}.weight");
    push(
        weight(names::LM_HEAD),
        &[vocab, hidden],
        head,
        RowMap::Identity,
    );
    push(
        weight(names::EMBED),
        &[vocab, hidden],
        Presence::Required,
        RowMap::Identity,
    );
    for layer in 0..hyper.layers {
        for module in names::in_layer() {
            let (shape, row_map) = shape_in_layer(hyper, module);
            let bias = match module.split_once('.').map_or("", |(part, _)| part) {
                "self_attn" => biases.attention,
                "mlp" => biases.mlp,
                _ => Some(false),
            };
            let hf = format!("model.layers.{layer}.{module}");
            // Alphabetical order puts a bias before its weight.
            if let (true, [rows, ..]) = (bias != Some(false), &*shape) {
                let presence = bias.map_or(Presence::Optional, |_| Presence::Required);
                push(format!("{hf}.bias"), &[*rows], presence, row_map);
            }
            push(weight(&hf), &shape, Presence::Required, row_map);
        }
    }
    push(
        weight(names::FINAL_NORM),
        &[hidden],
        Presence::Required,
        RowMap::Identity,
    );
    all
}

/// Shape in Hugging Face order and row map of a module's weight.
fn shape_in_layer(hyper: &Hyperparameters, module: &str) -> (Vec<u64>, RowMap) {
    let (hidden, ff) = (u64::from(hyper.hidden), u64::from(hyper.ff));
    let rope = |heads: u32| RowMap::Rope {
        heads: heads as usize,
        head_dim: hyper.head_dim as usize,
    };
    match module {
        "self_attn.q_proj" => (vec![hyper.q_rows(), hidden], rope(hyper.heads)),
        "self_attn.k_proj" => (vec![hyper.kv_rows(), hidden], rope(hyper.kv_heads)),
        "self_attn.v_proj" => (vec![hyper.kv_rows(), hidden], RowMap::Identity),
        "self_attn.o_proj" => (vec![hidden, hyper.q_rows()], RowMap::Identity),
        "mlp.gate_proj" | "mlp.up_proj" => (vec![ff, hidden], RowMap::Identity),
        "mlp.down_proj" => (vec![hidden, ff], RowMap::Identity),
        // The norms.
        _ => (vec![hidden], RowMap::Identity),
    }
}
