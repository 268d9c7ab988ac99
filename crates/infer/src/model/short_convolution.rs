//! A short convolution with a gate in front and one behind (LFM2).

use super::convolution::{Convolution, Tail};
use super::hyper::Hyperparameters;
use super::layer_shape::LayerShape;
use super::linear::Linear;
use super::math::multiply;
use super::pass::Pass;
use super::reader::Reader;
use crate::error::Result;

/// The weights of one layer's convolution.
#[derive(Debug)]
pub(super) struct ShortConvolution {
    in_proj: Linear, // [3 * hidden, hidden]: the gate in front, the one behind, the input
    convolution: Convolution, // [hidden]
    width: usize,
    out_proj: Linear, // [hidden, hidden]
}

impl ShortConvolution {
    /// That of a layer.
    pub(super) fn read(file: &Reader<'_>, layer: usize, hyper: &Hyperparameters) -> Result<Self> {
        let name = |part: &str| format!("blk.{layer}.shortconv.{part}");
        let weight = file.vector(&name("conv.weight"))?;
        let width = weight.len() / hyper.hidden;
        Ok(Self {
            in_proj: file.linear(&name("in_proj"))?,
            convolution: Convolution::new(&weight, width),
            width,
            out_proj: file.linear(&name("out_proj"))?,
        })
    }

    /// The matrices that every token is multiplied with.
    pub(super) fn linears(&self) -> impl Iterator<Item = &Linear> {
        [&self.in_proj, &self.out_proj].into_iter()
    }

    /// What it remembers.
    pub(super) fn memory(&self, hyper: &Hyperparameters) -> LayerShape {
        LayerShape::Convolution {
            width: self.width,
            channels: hyper.hidden,
        }
    }

    /// `out = out_proj(c * convolution(b * x))` with `b`, `c` and `x` from the projection of the input;
    /// `x` and `out` are `[tokens, hidden]`.
    pub(super) fn mix(
        &self,
        pass: &Pass<'_>,
        x: &[f32],
        tail: &mut Tail,
        out: &mut [f32],
    ) -> Result<()> {
        let (compute, hidden, n) = (pass.compute, pass.hyper.hidden, pass.tokens);
        let mut projected = vec![0.0; n * 3 * hidden]; // [n, 3 * hidden]
        let mut gated = vec![0.0; n * hidden]; //         [n, hidden]
        let mut mixed = vec![0.0; n * hidden]; //         [n, hidden]
        compute.multiply(
            &compute.input(x, hidden),
            &mut [(&self.in_proj.matrix, &mut projected)],
        )?;
        let part = |t: usize, part: usize| &projected[(3 * t + part) * hidden..][..hidden];
        compute.for_rows(&mut gated, hidden, |t, gated| {
            gated.copy_from_slice(part(t, 2));
            multiply(gated, part(t, 0));
        });
        self.convolution.apply(compute, &gated, tail, &mut mixed);
        compute.for_rows(&mut mixed, hidden, |t, mixed| multiply(mixed, part(t, 1)));
        compute.multiply(
            &compute.input(&mixed, hidden),
            &mut [(&self.out_proj.matrix, out)],
        )
    }
}
