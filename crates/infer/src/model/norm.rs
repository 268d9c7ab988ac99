//! A norm with its weight.

use aeolus_arch::NormKind;

use super::math::{add, layer_norm, rms_norm};

/// What a norm multiplies with, and what it adds: `[n]`, for vectors of which each run of n numbers is
/// normed by itself.
#[derive(Debug)]
pub(super) struct Norm {
    pub(super) weight: Vec<f32>,
    pub(super) bias: Option<Vec<f32>>,
}

impl Norm {
    /// Norms a vector in place.
    pub(super) fn apply(&self, kind: NormKind, eps: f32, x: &mut [f32]) {
        match kind {
            NormKind::Rms => rms_norm(x, &self.weight, eps),
            NormKind::Layer => layer_norm(x, &self.weight, eps),
        }
        if let Some(bias) = &self.bias {
            x.chunks_exact_mut(bias.len()).for_each(|x| add(x, bias));
        }
    }
}
