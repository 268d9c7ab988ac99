//! The end of the model: scores, losses of these, and their gradients.

use super::error::{Error, Result};
use super::layer::Watch;
use super::norm;
use super::tensors::Backward;
use aeolus_infer::math::softmax;
use rayon::prelude::*;

/// Tokens whose scores are in memory at a time.
const TOKENS: usize = 512;

/// One token for each position, drawn from the model's own predictions, `[positions, vocab]` of them.
///
/// A draw depends on the seed and the position's number, counted from `first` on, and on nothing else.
pub fn labels(predictions: &[f32], vocab: usize, seed: u64, first: u64) -> Vec<u32> {
    let rows = predictions.par_chunks_exact(vocab).enumerate();
    let draw = |(row, p): (usize, &[f32])| {
        // 53 bits of a hash of seed and position (SplitMix64's finish).
        let mut z = seed.wrapping_add((first + row as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        let sum: f64 = p.iter().map(|p| f64::from(*p)).sum();
        let mut left = (z >> 11) as f64 / (1_u64 << 53) as f64 * sum;
        let found = p.iter().position(|p| {
            left -= f64::from(*p);
            left < 0.0
        });
        // Rounding may leave a little behind the last one.
        found.unwrap_or(vocab - 1) as u32
    };
    rows.map(draw).collect()
}

impl Backward<'_> {
    /// What leaves the last layer, normed: what the output matrix is multiplied with.
    pub(super) fn normed(&self, x: &[f32]) -> Vec<f32> {
        let weight = self.norms.get(&self.output_norm).map(|vector| &**vector);
        norm::normed(x, weight, self.model.hyper().norm_eps)
    }

    /// What leaves the last layer as scores, `[positions, vocab]`; the second is the normed input.
    pub(super) fn scores(&self, x: &[f32]) -> Result<(Vec<f32>, Vec<f32>)> {
        let hyper = self.model.hyper();
        let normed = self.normed(x);
        let mut scores = self.output.outputs(self.cpu, &normed)?;
        scores
            .par_chunks_exact_mut(self.output.rows)
            .for_each(|scores| {
                if let Some(bias) = &self.output_bias {
                    scores.iter_mut().zip(bias).for_each(|(y, bias)| *y += bias);
                }
                scores.iter_mut().for_each(|y| *y *= hyper.logit_scale);
            });
        Ok((scores, normed))
    }

    /// The gradients at what leaves the last layer, `x` with `[positions, hidden]`, of a loss whose
    /// gradients at the scores `loss` gives: it gets the number of the first position and the predictions
    /// of some, `[positions, vocab]`, in whose place it puts gradients.
    pub(super) fn head_backward<W: Watch>(
        &self,
        x: &[f32],
        watch: &mut W,
        loss: &mut dyn FnMut(usize, &mut [f32]) -> Result<()>,
    ) -> Result<Vec<f32>> {
        let (hidden, vocab) = (self.output.cols, self.output.rows);
        let hyper = self.model.hyper();
        let weight = self.norms.get(&self.output_norm).map(|vector| &**vector);
        let mut dx = Vec::with_capacity(x.len());
        for (block, x) in x.chunks(TOKENS * hidden).enumerate() {
            let (mut scores, normed) = self.scores(x)?;
            watch.inputs(&[&self.output], &normed);
            if scores.iter().any(|score| !score.is_finite()) {
                return Err(Error::NotFinite);
            }
            scores.par_chunks_exact_mut(vocab).for_each(softmax);
            loss(block * TOKENS, &mut scores)?;
            scores.par_iter_mut().for_each(|g| *g *= hyper.logit_scale);
            let mut d = self.output.inputs(self.cpu, &scores)?;
            let dw = norm::backward(x, &mut d, weight, hyper.norm_eps);
            watch.norm(&Some(self.output_norm.clone()), dw);
            dx.extend(d);
        }
        Ok(dx)
    }
}
