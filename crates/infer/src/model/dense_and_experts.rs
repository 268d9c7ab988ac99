//! A dense network and experts beside each other (Gemma 4's 26B-A4B): both see what comes into the
//! feed-forward half, each by a norm of its own, what each gives is normed, and both are added.

use super::experts::Experts;
use super::feed_forward::Dense;
use super::hyper::Hyperparameters;
use super::linear::Linear;
use super::math::{add, scale};
use super::norm::Norm;
use super::pass::Pass;
use super::reader::Reader;
use crate::error::Result;

/// The weights of one layer's networks.
#[derive(Debug)]
pub(super) struct DenseAndExperts {
    dense: Dense,
    dense_norm: Norm, // [hidden]: of what the dense network gives
    experts: Experts,
    experts_in_norm: Norm, // [hidden]: of what experts see
    experts_norm: Norm,    // [hidden]: of what they give
    /// Of what the router sees, normed and divided by the root of its size.
    router_norm: Norm, // [hidden]
}

impl DenseAndExperts {
    /// Those of a layer.
    pub(super) fn read(file: &Reader<'_>, layer: usize, hyper: &Hyperparameters) -> Result<Self> {
        let name = |part: &str| format!("blk.{layer}.{part}");
        let mut router = file.vector(&name("ffn_gate_inp.scale"))?;
        scale(&mut router, 1.0 / (hyper.hidden as f32).sqrt());
        Ok(Self {
            dense: Dense::read(file, layer, hyper)?,
            dense_norm: file.norm(&name("post_ffw_norm_1"))?,
            experts: Experts::read(file, layer, hyper)?,
            experts_in_norm: file.norm(&name("pre_ffw_norm_2"))?,
            experts_norm: file.norm(&name("post_ffw_norm_2"))?,
            router_norm: Norm {
                weight: router,
                bias: None,
            },
        })
    }

    /// Bytes of the matrices that one token needs.
    pub(super) fn bytes_for_a_token(&self) -> u64 {
        let bytes = |linear: &Linear| linear.matrix.size_bytes() as u64;
        self.dense.linears().map(bytes).sum::<u64>() + self.experts.bytes_for_a_token()
    }

    /// `out = dense_norm(dense(normed)) + experts_norm(experts(experts_in_norm(x)))`; all are
    /// `[tokens, hidden]`, `normed` being `x` by the norm in front of the feed-forward half.
    pub(super) fn apply(
        &self,
        pass: &Pass<'_>,
        x: &[f32],
        normed: &[f32],
        out: &mut [f32],
    ) -> Result<()> {
        let (compute, hyper) = (pass.compute, pass.hyper);
        let by = |norm: &Norm, x: &mut [f32]| {
            compute.for_rows(x, hyper.hidden, |_, x| {
                norm.apply(hyper.graph.norm, hyper.norm_eps, x);
            });
        };
        self.dense.apply(pass, normed, out)?;
        by(&self.dense_norm, out);
        let (mut routed, mut seen) = (x.to_vec(), x.to_vec());
        by(&self.router_norm, &mut routed);
        by(&self.experts_in_norm, &mut seen);
        let mut given = vec![0.0; x.len()]; // [n, hidden]
        self.experts
            .apply_routed(pass, &routed, &seen, &mut given)?;
        by(&self.experts_norm, &mut given);
        add(out, &given);
        Ok(())
    }
}
