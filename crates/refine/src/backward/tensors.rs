//! The tensors of a model that can be differentiated.

use super::attention::Heads;
use super::error::Result;
use super::weight::Weight;
use aeolus_infer::Model;
use aeolus_quant::Cpu;
use std::collections::BTreeMap;

/// A model that can be differentiated.
#[derive(Debug)]
pub struct Backward<'m> {
    pub(super) model: &'m Model,
    pub(super) cpu: Cpu,
    pub(super) layers: Vec<Layer<'m>>,
    pub(super) output: Weight<'m>,
    pub(super) output_norm: String,
    pub(super) output_bias: Option<Vec<f32>>,
    /// The vectors of all norms by their tensors' names, which may be replaced.
    pub(super) norms: BTreeMap<String, Vec<f32>>,
}

/// The tensors of one layer. Norms are named: their vectors are [`Backward::norms`].
#[derive(Debug)]
pub(super) struct Layer<'m> {
    pub(super) attn_norm: Option<String>,
    pub(super) q: Linear<'m>,
    pub(super) k: Linear<'m>,
    pub(super) v: Linear<'m>,
    pub(super) q_norm: Option<String>,
    pub(super) k_norm: Option<String>,
    pub(super) output: Linear<'m>,
    pub(super) post_attention_norm: Option<String>,
    pub(super) ffn_norm: Option<String>,
    pub(super) gate: Linear<'m>,
    pub(super) up: Linear<'m>,
    pub(super) down: Linear<'m>,
    pub(super) post_ffw_norm: Option<String>,
    pub(super) heads: Heads,
    pub(super) number: usize,
}

/// A matrix and what is added to its products.
#[derive(Debug)]
pub(super) struct Linear<'m> {
    pub(super) weight: Weight<'m>,
    pub(super) bias: Option<Vec<f32>>, // [rows]
}

impl Linear<'_> {
    /// `x W^T + b`.
    pub(super) fn apply(&self, cpu: Cpu, x: &[f32]) -> Result<Vec<f32>> {
        let mut y = self.weight.outputs(cpu, x)?;
        if let Some(bias) = &self.bias {
            for y in y.chunks_exact_mut(bias.len()) {
                y.iter_mut().zip(bias).for_each(|(y, bias)| *y += bias);
            }
        }
        Ok(y)
    }
}
