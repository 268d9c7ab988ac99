//! The dense feed-forward network: every token passes through all of it.

use super::hyper::Hyperparameters;
use super::linear::Linear;
use super::math::{activate, gate_with};
use super::pass::Pass;
use super::reader::Reader;
use crate::error::Result;

/// The weights of one layer's network.
#[derive(Debug)]
pub(super) struct Dense {
    gate: Option<Linear>, // [feed_forward, hidden]
    up: Linear,           // [feed_forward, hidden]
    down: Linear,         // [hidden, feed_forward]
}

impl Dense {
    /// That of a layer.
    pub(super) fn read(file: &Reader<'_>, layer: usize, hyper: &Hyperparameters) -> Result<Self> {
        Self::called(file, layer, "", hyper.layer(layer).feed_forward as usize)
    }

    /// A network whose tensors' names end otherwise, with so many numbers between its halves.
    pub(super) fn called(file: &Reader<'_>, layer: usize, end: &str, n: usize) -> Result<Self> {
        let name = |part: &str| format!("blk.{layer}.{part}{end}");
        let linear = |part: &str| file.linear(&name(part));
        // The gate's rows may come first in the other matrix.
        let up = linear("ffn_up")?;
        let (gate, up) = match file.has(&format!("{}.weight", name("ffn_gate"))) {
            true => (Some(linear("ffn_gate")?), up),
            false if up.matrix.rows() == 2 * n => (Some(up.part(0..n)), up.part(n..2 * n)),
            false => (None, up),
        };
        Ok(Self {
            gate,
            up,
            down: linear("ffn_down")?,
        })
    }

    /// The matrices that every token is multiplied with.
    pub(super) fn linears(&self) -> impl Iterator<Item = &Linear> {
        [&self.up, &self.down].into_iter().chain(&self.gate)
    }

    /// `out = down(activation(gate x) * up x)`, or `down(activation(up x))` without a gate; `x` and `out`
    /// are `[tokens, hidden]`.
    pub(super) fn apply(&self, pass: &Pass<'_>, x: &[f32], out: &mut [f32]) -> Result<()> {
        let (compute, activation) = (pass.compute, pass.hyper.graph.activation);
        let width = self.up.matrix.rows();
        let input = compute.input(x, pass.hyper.hidden);
        let mut up = pass.buffers.take(pass.tokens * width); //  [n, feed_forward]
        let inner = match &self.gate {
            Some(linear) => {
                let mut gate = pass.buffers.take(pass.tokens * width); // [n, feed_forward]
                let gate_and_up = &mut [
                    (&linear.matrix, &mut gate[..]),
                    (&self.up.matrix, &mut up[..]),
                ];
                compute.multiply(&input, gate_and_up)?;
                linear.add_bias(compute, &mut gate);
                self.up.add_bias(compute, &mut up);
                compute.for_rows(&mut gate, width, |t, gate| {
                    gate_with(gate, &up[t * width..][..width], activation);
                });
                gate
            }
            None => {
                compute.multiply(&input, &mut [(&self.up.matrix, &mut up)])?;
                self.up.add_bias(compute, &mut up);
                compute.for_rows(&mut up, width, |_, up| activate(up, activation));
                up
            }
        };
        compute.multiply(
            &compute.input(&inner, width),
            &mut [(&self.down.matrix, out)],
        )?;
        self.down.add_bias(compute, out);
        Ok(())
    }
}
