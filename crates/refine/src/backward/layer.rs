//! One layer and its derivative.
//!
//! ```text
//! a = attn_norm(x)        q, k, v = W_q a, W_k a, W_v a     rotate(norm(q)), rotate(norm(k))
//! o = attend(q, k, v)     s = W_o o                         m = x + r * post_attention_norm(s)
//! b = ffn_norm(m)         g, u = W_gate b, W_up b           h = silu(g) * u
//! d = W_down h                                              y = m + r * post_ffw_norm(d)
//! ```
//!
//! `r` is the scale of what each half adds. Vectors are `[tokens, n]`, of one or more windows of the text.

use super::attention::{Gradients, Heads};
use super::error::Result;
use super::norm;
use super::tensors::{Backward, Layer};
use super::weight::Weight;
use aeolus_infer::math::sigmoid;
use aeolus_infer::rotate;

/// Is shown what a derivative of the loss with respect to weights is made of.
pub(super) trait Watch {
    /// `x`, `[tokens, cols]`, is multiplied with these matrices.
    fn inputs(&mut self, matrices: &[&Weight<'_>], x: &[f32]);
    /// The gradients at a matrix's outputs, `[tokens, rows]`.
    fn gradients(&mut self, matrix: &Weight<'_>, g: &[f32]);
    /// The gradient at the vector of a norm.
    fn norm(&mut self, name: &Option<String>, g: Vec<f32>);
}

/// What the derivative needs of the way forward.
struct Forward {
    a: Vec<f32>,
    /// Queries and keys before norm and rotation.
    q_raw: Vec<f32>,
    k_raw: Vec<f32>,
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
    o: Vec<f32>,
    s: Vec<f32>,
    m: Vec<f32>,
    b: Vec<f32>,
    g: Vec<f32>,
    u: Vec<f32>,
    h: Vec<f32>,
    d: Vec<f32>,
}

/// `x += factor * step`.
fn add(x: &mut [f32], step: &[f32], factor: f32) {
    x.iter_mut()
        .zip(step)
        .for_each(|(x, step)| *x += factor * step);
}

/// `silu(g)` and its derivative.
fn silu(g: f32) -> (f32, f32) {
    let s = sigmoid(g);
    (g * s, s * (1.0 + g * (1.0 - s)))
}

impl Layer<'_> {
    fn heads(&self, tokens: usize) -> Heads {
        Heads {
            tokens,
            ..self.heads
        }
    }

    /// Rotates the heads of all tokens, `[windows * tokens, width]`, by their positions, or back.
    fn rotate(
        &self,
        all: &Backward<'_>,
        (x, width): (&mut [f32], usize),
        tokens: usize,
        back: bool,
    ) {
        let Some(mut turns) = all.model.turns(self.number, tokens) else {
            return;
        };
        if back {
            turns.iter_mut().for_each(|(_, sin)| *sin = -*sin);
        }
        let (pairs, dim) = (all.model.hyper().graph.rotary_pairs, self.heads.dim);
        let row = turns.len() / tokens;
        // Each window begins at position 0.
        for (t, x) in x.chunks_exact_mut(width).enumerate() {
            rotate(x, dim, pairs, &turns[t % tokens * row..][..row]);
        }
    }

    /// What leaves the layer, of windows of so many tokens.
    pub(super) fn forward<W: Watch>(
        &self,
        all: &Backward<'_>,
        x: &[f32],
        tokens: usize,
        watch: &mut W,
    ) -> Result<Vec<f32>> {
        let f = self.run(all, x, tokens)?;
        self.show_inputs(&f, watch);
        let hyper = all.model.hyper();
        let mut y = f.m;
        let step = norm::normed(&f.d, all.norm(&self.post_ffw_norm), hyper.norm_eps);
        add(&mut y, &step, hyper.residual_scale);
        Ok(y)
    }

    /// Shows what goes into the matrices.
    fn show_inputs<W: Watch>(&self, f: &Forward, watch: &mut W) {
        let three = [&self.q.weight, &self.k.weight, &self.v.weight];
        watch.inputs(&three, &f.a);
        watch.inputs(&[&self.output.weight], &f.o);
        watch.inputs(&[&self.gate.weight, &self.up.weight], &f.b);
        watch.inputs(&[&self.down.weight], &f.h);
    }

    fn run(&self, all: &Backward<'_>, x: &[f32], tokens: usize) -> Result<Forward> {
        let (cpu, hyper) = (all.cpu, all.model.hyper());
        let (eps, r) = (hyper.norm_eps, hyper.residual_scale);
        let norm = |x: &[f32], name: &Option<String>| norm::normed(x, all.norm(name), eps);

        let a = norm(x, &self.attn_norm);
        let q_raw = self.q.apply(cpu, &a)?;
        let k_raw = self.k.apply(cpu, &a)?;
        let v = self.v.apply(cpu, &a)?;
        let mut q = norm(&q_raw, &self.q_norm);
        let mut k = norm(&k_raw, &self.k_norm);
        self.rotate(all, (&mut q, self.q.weight.rows), tokens, false);
        self.rotate(all, (&mut k, self.k.weight.rows), tokens, false);
        let o = self.heads(tokens).attend(cpu, &q, &k, &v);
        let s = self.output.apply(cpu, &o)?;
        let mut m = x.to_vec();
        add(&mut m, &norm(&s, &self.post_attention_norm), r);

        let b = norm(&m, &self.ffn_norm);
        let g = self.gate.apply(cpu, &b)?;
        let u = self.up.apply(cpu, &b)?;
        let h: Vec<f32> = g.iter().zip(&u).map(|(g, u)| silu(*g).0 * u).collect();
        let d = self.down.apply(cpu, &h)?;
        Ok(Forward {
            a,
            q_raw,
            k_raw,
            q,
            k,
            v,
            o,
            s,
            m,
            b,
            g,
            u,
            h,
            d,
        })
    }

    /// The gradient at the layer's input `x`, from `dy`, the one at its output.
    pub(super) fn backward<W: Watch>(
        &self,
        all: &Backward<'_>,
        (x, mut dy): (&[f32], Vec<f32>),
        tokens: usize,
        watch: &mut W,
    ) -> Result<Vec<f32>> {
        let (cpu, hyper) = (all.cpu, all.model.hyper());
        let (eps, r) = (hyper.norm_eps, hyper.residual_scale);
        let f = self.run(all, x, tokens)?;
        self.show_inputs(&f, watch);
        // Takes gradients back through a norm, and shows the one at its vector.
        let through = |x: &[f32], dy: &mut [f32], name: &Option<String>, watch: &mut W| {
            watch.norm(name, norm::backward(x, dy, all.norm(name), eps));
        };
        let scaled = |dy: &[f32]| -> Vec<f32> { dy.iter().map(|dy| dy * r).collect() };

        // y = m + r * post_ffw_norm(W_down h)
        let mut dd = scaled(&dy);
        through(&f.d, &mut dd, &self.post_ffw_norm, watch);
        watch.gradients(&self.down.weight, &dd);
        let dh = self.down.weight.inputs(cpu, &dd)?;
        let mut dg = dh;
        let mut du = vec![0.0; dg.len()];
        for ((dg, du), (g, u)) in dg.iter_mut().zip(&mut du).zip(f.g.iter().zip(&f.u)) {
            let (activated, slope) = silu(*g);
            (*dg, *du) = (*dg * u * slope, *dg * activated);
        }
        watch.gradients(&self.gate.weight, &dg);
        watch.gradients(&self.up.weight, &du);
        let mut db = self.gate.weight.inputs(cpu, &dg)?;
        add(&mut db, &self.up.weight.inputs(cpu, &du)?, 1.0);
        drop((dg, du));
        through(&f.m, &mut db, &self.ffn_norm, watch);
        add(&mut dy, &db, 1.0); // dm

        // m = x + r * post_attention_norm(W_o o)
        let mut ds = scaled(&dy);
        through(&f.s, &mut ds, &self.post_attention_norm, watch);
        watch.gradients(&self.output.weight, &ds);
        let d_o = self.output.weight.inputs(cpu, &ds)?;
        let heads = self.heads(tokens);
        let Gradients { mut q, mut k, v } = heads.backward(cpu, (&f.q, &f.k, &f.v), &d_o);
        self.rotate(all, (&mut q, self.q.weight.rows), tokens, true);
        self.rotate(all, (&mut k, self.k.weight.rows), tokens, true);
        through(&f.q_raw, &mut q, &self.q_norm, watch);
        through(&f.k_raw, &mut k, &self.k_norm, watch);
        let three = [(&self.q, &q), (&self.k, &k), (&self.v, &v)];
        let mut da = vec![0.0; x.len()];
        for (linear, g) in three {
            watch.gradients(&linear.weight, g);
            add(&mut da, &linear.weight.inputs(cpu, g)?, 1.0);
        }
        through(x, &mut da, &self.attn_norm, watch);
        add(&mut dy, &da, 1.0);
        Ok(dy)
    }
}
