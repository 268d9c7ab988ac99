//! Which tensors a model has, from its family's record and its hyperparameters.

use crate::RowMap;
use crate::config::Config;
use aeolus_arch::{Heads, Hyperparameters, Rows, Values};

/// Whether a tensor has to be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    Required,
    /// A bias that the configuration declares. Where no layer has it, it counts as zero, as it does
    /// for the framework.
    Declared,
    /// The embedding once more: left out of what is written.
    Copy,
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
    /// How its numbers become GGUF's.
    pub(crate) values: Values,
}

/// The tensors of a checkpoint folder, in the order in which checkpoints store them.
pub(crate) fn of_config(config: &Config) -> Vec<Expected> {
    tensors(&config.hyper, |presence| match presence {
        aeolus_arch::Presence::Required => Some(Presence::Required),
        aeolus_arch::Presence::Untied if config.tied_embeddings => Some(Presence::Optional),
        aeolus_arch::Presence::Untied => Some(Presence::Required),
        aeolus_arch::Presence::Bias(key) if config.declares_bias(key) => Some(Presence::Declared),
        aeolus_arch::Presence::Bias(_) => None,
        aeolus_arch::Presence::Copy => Some(Presence::Copy),
    })
}

/// The tensors of a GGUF file, which shows by itself what it has.
pub(crate) fn of_file(hyper: &Hyperparameters) -> Vec<Expected> {
    tensors(hyper, |presence| match presence {
        aeolus_arch::Presence::Required => Some(Presence::Required),
        _ => Some(Presence::Optional),
    })
}

fn tensors(
    hyper: &Hyperparameters,
    presence: impl Fn(aeolus_arch::Presence) -> Option<Presence>,
) -> Vec<Expected> {
    let expected = hyper.family().expected(hyper);
    let kept = expected.filter_map(|e| {
        Some(Expected {
            presence: presence(e.presence)?,
            row_map: row_map(hyper, e.rows),
            values: e.values,
            hf: e.hf,
            gguf: e.gguf,
            shape: e.shape,
        })
    });
    kept.collect()
}

fn row_map(hyper: &Hyperparameters, rows: Rows) -> RowMap {
    match rows {
        Rows::AsStored => RowMap::Identity,
        Rows::RotaryPairs(heads) => RowMap::Rope {
            heads: match heads {
                Heads::Query => hyper.heads() as usize,
                Heads::Key => hyper.kv_heads() as usize,
            },
            head_dim: hyper.head_dim() as usize,
        },
        Rows::ByKeyHead => RowMap::ByKeyHead {
            kv_heads: hyper.kv_heads() as usize,
            queries: (hyper.heads() / hyper.kv_heads()) as usize,
            head_dim: hyper.head_dim() as usize,
        },
    }
}
