//! The pass over all layers: forward once, then back from the scores to the embedding.

use super::error::{Error, Result};
use super::head::labels;
use super::layer::Watch;
use super::store::Store;
use super::tensors::Backward;
use super::weight::Weight;
use crate::{Moments, Symmetric};
use aeolus_infer::math::softmax;
use aeolus_infer::{Compute, Numeric};
use aeolus_quant::Cpu;
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::ops::{ControlFlow, Range};
use std::path::Path;
use std::sync::Arc;

/// Tokens that pass through a layer together, unless a window has more.
const TOKENS: usize = 2048;

/// The tensor of the token embedding.
pub(crate) const EMBEDDING: &str = "token_embd.weight";

/// How often a layer's products are taken on the way back (forward again, and twice for its
/// gradients), for each time forward.
const WAY_BACK: usize = 3;

/// A part of the model whose moments are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    /// The output matrix: inputs only, since its outputs are as many as the vocabulary has tokens.
    Output,
    /// The matrices of a layer.
    Layer(usize),
    /// The token embedding. In place of inputs it has the moments `[hidden, hidden]` of the gradients at
    /// what it gives: an error `e` of a token's row costs `e G e^T / 2` each time the token occurs.
    Embedding,
}

/// The moments of one part of the model by the names of its tensors.
#[derive(Clone, Debug)]
pub struct LayerMoments {
    /// Which part.
    pub position: Position,
    /// Means over all tokens but those of the windows that are held out.
    pub moments: BTreeMap<String, Moments>,
    /// The same over these.
    pub held_out: BTreeMap<String, Moments>,
}

/// What moments are taken over.
#[derive(Clone, Copy)]
pub struct Text<'t> {
    /// Windows of one length.
    pub windows: &'t [Vec<u32>],
    /// As many of them, the last ones, have moments of their own.
    pub held_out: usize,
    /// Whether a tensor's moments are asked for.
    pub wanted: &'t dyn Fn(&str) -> bool,
    /// With it labels are drawn.
    pub seed: u64,
    /// Where the temporary file is.
    pub folder: &'t Path,
}

/// How far a pass is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Steps that are done.
    pub done: usize,
    /// Steps of the whole pass.
    pub total: usize,
}

/// The gradients at the vectors of all norms, and the loss.
#[derive(Clone, Debug, PartialEq)]
pub struct Norms {
    /// Mean KL divergence of the model from its source, in nats per token.
    pub divergence: f64,
    /// Its gradient at each norm, by the tensor's name.
    pub gradients: BTreeMap<String, Vec<f32>>,
}

/// Is told how far a pass is, and may end it.
type Progress<'p> = &'p mut dyn FnMut(Step) -> ControlFlow<()>;

/// Sums of products of what is seen.
struct Sums<'t> {
    cpu: Cpu,
    wanted: &'t dyn Fn(&str) -> bool,
    /// By the first of the tensors that share them.
    inputs: BTreeMap<String, Symmetric>,
    /// The first of the tensors that share inputs with a tensor.
    first: BTreeMap<String, String>,
    gradients: BTreeMap<String, Symmetric>,
}

impl<'t> Sums<'t> {
    /// Of the calibration's windows, and of those that are held out.
    fn of_both(cpu: Cpu, text: &Text<'t>) -> [Self; 2] {
        [(); 2].map(|()| Self {
            cpu,
            wanted: text.wanted,
            inputs: BTreeMap::new(),
            first: BTreeMap::new(),
            gradients: BTreeMap::new(),
        })
    }

    fn means(self, tokens: usize) -> BTreeMap<String, Moments> {
        let mean = |(name, mut sum): (String, Symmetric)| {
            sum.scale(1.0 / tokens.max(1) as f32);
            (name, Arc::new(sum))
        };
        let inputs: BTreeMap<_, _> = self.inputs.into_iter().map(mean).collect();
        let mut gradients: BTreeMap<_, _> = self.gradients.into_iter().map(mean).collect();
        let of = |(name, first): (String, String)| {
            let moments = Moments {
                inputs: Arc::clone(&inputs[&first]),
                gradients: gradients.remove(&name),
            };
            (name, moments)
        };
        self.first.into_iter().map(of).collect()
    }
}

impl Watch for Sums<'_> {
    fn inputs(&mut self, matrices: &[&Weight<'_>], x: &[f32]) {
        let wanted = matrices.iter().filter(|matrix| (self.wanted)(matrix.name));
        let Some(first) = wanted.clone().next() else {
            return;
        };
        for matrix in wanted {
            let name = matrix.name.to_owned();
            self.first.insert(name, first.name.to_owned());
        }
        let new = || Symmetric::zeros(first.cols);
        let sum = self.inputs.entry(first.name.to_owned()).or_insert_with(new);
        sum.add_products(self.cpu, x);
    }

    fn gradients(&mut self, matrix: &Weight<'_>, g: &[f32]) {
        if !(self.wanted)(matrix.name) {
            return;
        }
        let new = || Symmetric::zeros(matrix.rows);
        let sum = self.gradients.entry(matrix.name.to_owned());
        sum.or_insert_with(new).add_products(self.cpu, g);
    }

    fn norm(&mut self, _: &Option<String>, _: Vec<f32>) {}
}

/// Sums of the gradients at norms.
#[derive(Default)]
struct NormSums(BTreeMap<String, Vec<f32>>);

/// Nobody looks on.
pub(super) struct Nobody;

impl Watch for Nobody {
    fn inputs(&mut self, _: &[&Weight<'_>], _: &[f32]) {}

    fn gradients(&mut self, _: &Weight<'_>, _: &[f32]) {}

    fn norm(&mut self, _: &Option<String>, _: Vec<f32>) {}
}

impl Watch for NormSums {
    fn inputs(&mut self, _: &[&Weight<'_>], _: &[f32]) {}

    fn gradients(&mut self, _: &Weight<'_>, _: &[f32]) {}

    fn norm(&mut self, name: &Option<String>, g: Vec<f32>) {
        let Some(name) = name else {
            return;
        };
        match self.0.get_mut(name) {
            Some(sum) => sum.iter_mut().zip(g).for_each(|(sum, g)| *sum += g),
            None => {
                self.0.insert(name.clone(), g);
            }
        }
    }
}

/// Windows of one length in the parts that pass through a layer together.
struct Blocks<'w> {
    windows: &'w [Vec<u32>],
    /// Tokens of a window.
    tokens: usize,
    hidden: usize,
    parts: Vec<Part>,
}

/// Windows that pass through a layer together.
#[derive(Clone)]
struct Part {
    windows: Range<usize>,
    /// Where their numbers begin in a slot, and how many there are.
    first: usize,
    len: usize,
    is_held_out: bool,
}

impl<'w> Blocks<'w> {
    fn new(windows: &'w [Vec<u32>], held_out: usize, hidden: usize) -> Self {
        let tokens = windows.first().map_or(1, |window| window.len().max(1));
        let (each, numbers) = ((TOKENS / tokens).max(1), tokens * hidden);
        let judging = windows.len().saturating_sub(held_out);
        let mut parts = Vec::new();
        for (all, is_held_out) in [(0..judging, false), (judging..windows.len(), true)] {
            parts.extend(all.clone().step_by(each).map(|start| {
                let windows = start..all.end.min(start + each);
                Part {
                    first: start * numbers,
                    len: windows.len() * numbers,
                    windows,
                    is_held_out,
                }
            }));
        }
        Self {
            windows,
            tokens,
            hidden,
            parts,
        }
    }

    /// Tokens of the windows that are held out, or of the others.
    fn tokens_of(&self, is_held_out: bool) -> usize {
        let parts = self
            .parts
            .iter()
            .filter(|part| part.is_held_out == is_held_out);
        parts.map(|part| part.windows.len() * self.tokens).sum()
    }

    fn all_tokens(&self) -> usize {
        self.windows.len() * self.tokens
    }

    /// What was summed up, as means.
    fn means(&self, position: Position, [moments, held_out]: [Sums<'_>; 2]) -> LayerMoments {
        LayerMoments {
            position,
            moments: moments.means(self.tokens_of(false)),
            held_out: held_out.means(self.tokens_of(true)),
        }
    }
}

/// Counts steps and asks whether to go on.
struct Steps<'p> {
    done: usize,
    total: usize,
    progress: Progress<'p>,
}

impl Steps<'_> {
    fn add(&mut self, steps: usize) -> Result<()> {
        self.done += steps;
        let Self { done, total, .. } = *self;
        match (self.progress)(Step { done, total }) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Error::Cancelled),
        }
    }
}

impl Backward<'_> {
    pub(super) fn embedded(&self, windows: &[Vec<u32>]) -> Result<Vec<f32>> {
        // Nothing is multiplied here.
        let compute = Compute {
            kernels: self.cpu.kernels(),
            numeric: Numeric::Exact,
            parallel: false,
            tap: None,
        };
        Ok(self.model.embed(compute, windows)?.hidden().to_vec())
    }

    /// Takes all windows through all layers; what goes into layer `i` is then in slot `i`, and what leaves
    /// the last one behind these.
    fn forward(&self, blocks: &Blocks<'_>, store: &mut Store, steps: &mut Steps<'_>) -> Result<()> {
        for part in &blocks.parts {
            let mut x = self.embedded(&blocks.windows[part.windows.clone()])?;
            store.write(0, part.first, &x)?;
            for (i, layer) in self.layers.iter().enumerate() {
                x = layer.forward(self, &x, blocks.tokens, &mut Nobody)?;
                store.write(i + 1, part.first, &x)?;
                steps.add(1)?;
            }
        }
        Ok(())
    }

    /// What leaves the last layer, `[windows, tokens, hidden]`.
    ///
    /// # Errors
    /// Those of the model, for tokens that it does not have or windows of several lengths.
    pub fn last_hidden(&self, windows: &[Vec<u32>]) -> Result<Vec<f32>> {
        let blocks = Blocks::new(windows, 0, self.output.cols);
        let mut all = Vec::with_capacity(blocks.all_tokens() * blocks.hidden);
        for part in &blocks.parts {
            let mut x = self.embedded(&windows[part.windows.clone()])?;
            for layer in &self.layers {
                x = layer.forward(self, &x, blocks.tokens, &mut Nobody)?;
            }
            all.extend(x);
        }
        Ok(all)
    }

    /// Mean KL divergence per token from a source's predictions, in nats; `source` gave `hidden` for the
    /// same windows ([`last_hidden`](Self::last_hidden)).
    ///
    /// # Errors
    /// As [`last_hidden`](Self::last_hidden).
    pub fn divergence(
        &self,
        (source, hidden): (&Backward<'_>, &[f32]),
        windows: &[Vec<u32>],
    ) -> Result<f64> {
        let own = self.last_hidden(windows)?;
        let width = self.output.cols;
        let mut sum = 0.0;
        for (own, other) in own.chunks(512 * width).zip(hidden.chunks(512 * width)) {
            let (mut q, mut p) = (self.scores(own)?.0, source.scores(other)?.0);
            sum += softmaxes(&mut p, &mut q, self.output.rows);
        }
        Ok(sum / (own.len() / width).max(1) as f64)
    }
}

/// Makes predictions of both scores, `[positions, vocab]`, and gives the sum of the divergences of `q`
/// from `p`.
fn softmaxes(p: &mut [f32], q: &mut [f32], vocab: usize) -> f64 {
    let rows = p
        .par_chunks_exact_mut(vocab)
        .zip(q.par_chunks_exact_mut(vocab));
    let each: Vec<f64> = rows
        .map(|(p, q)| {
            softmax(p);
            softmax(q);
            divergence(p, q)
        })
        .collect();
    each.into_iter().sum()
}

/// KL divergence of prediction `q` from `p`.
fn divergence(p: &[f32], q: &[f32]) -> f64 {
    let terms = p.iter().zip(q).filter(|(p, _)| **p > 0.0);
    terms
        .map(|(p, q)| {
            f64::from(*p) * (f64::from(*p).ln() - f64::from(q.max(f32::MIN_POSITIVE)).ln())
        })
        .sum()
}

/// The moments of all matrices, from the last layer to the first: `visit` gets those of the output matrix,
/// of each layer and of the embedding, and may end the pass with an error.
///
/// # Errors
/// Those of the model, of the file, and of `visit`; [`Error::Cancelled`].
pub fn moments<E: From<Error>>(
    model: &Backward<'_>,
    text: Text<'_>,
    visit: &mut dyn FnMut(LayerMoments) -> Result<(), E>,
    progress: Progress<'_>,
) -> Result<(), E> {
    let (cpu, vocab) = (model.cpu, model.output.rows);
    let blocks = Blocks::new(text.windows, text.held_out, model.output.cols);
    let layers = model.layers.len();
    let mut store = Store::new(text.folder, blocks.all_tokens() * blocks.hidden)?;
    let mut steps = Steps {
        done: 0,
        total: blocks.parts.len() * layers * (1 + WAY_BACK),
        progress,
    };
    model.forward(&blocks, &mut store, &mut steps)?;

    // Gradients take the place of what is not needed any more.
    let mut sums = Sums::of_both(cpu, &text);
    for part in &blocks.parts {
        let x = store.read(layers, part.first, part.len)?;
        let token = part.first / blocks.hidden;
        let sums = &mut sums[usize::from(part.is_held_out)];
        let dx = model.head_backward(&x, sums, &mut |position, predictions| {
            let drawn = labels(predictions, vocab, text.seed, (token + position) as u64);
            for (g, label) in predictions.chunks_exact_mut(vocab).zip(drawn) {
                g[label as usize] -= 1.0;
            }
            Ok(())
        })?;
        store.write(layers, part.first, &dx)?;
    }
    visit(blocks.means(Position::Output, sums))?;
    for (i, layer) in model.layers.iter().enumerate().rev() {
        let mut sums = Sums::of_both(cpu, &text);
        for part in &blocks.parts {
            let x = store.read(i, part.first, part.len)?;
            let dy = store.read(i + 1, part.first, part.len)?;
            let sums = &mut sums[usize::from(part.is_held_out)];
            let dx = layer.backward(model, (&x, dy), blocks.tokens, sums)?;
            store.write(i, part.first, &dx)?;
            steps.add(WAY_BACK)?;
        }
        visit(blocks.means(Position::Layer(i), sums))?;
    }
    if !(text.wanted)(EMBEDDING) {
        return Ok(());
    }
    let mut sums = [(); 2].map(|()| Symmetric::zeros(blocks.hidden));
    for part in &blocks.parts {
        let g = store.read(0, part.first, part.len)?;
        sums[usize::from(part.is_held_out)].add_products(cpu, &g);
    }
    let scale = model.model.hyper().embedding_scale;
    let [moments, held_out] = [false, true].map(|is_held_out| {
        let mut sum = std::mem::replace(&mut sums[usize::from(is_held_out)], Symmetric::zeros(0));
        sum.scale(scale * scale / blocks.tokens_of(is_held_out).max(1) as f32);
        let moments = Moments {
            inputs: Arc::new(sum),
            gradients: None,
        };
        BTreeMap::from([(EMBEDDING.to_owned(), moments)])
    });
    visit(LayerMoments {
        position: Position::Embedding,
        moments,
        held_out,
    })
}

/// The moments of the inputs of all matrices, from the first layer to the last and the output matrix. There is
/// no way back; of the temporary file it takes what one layer has.
///
/// # Errors
/// As [`moments`].
pub fn inputs<E: From<Error>>(
    model: &Backward<'_>,
    text: Text<'_>,
    visit: &mut dyn FnMut(LayerMoments) -> Result<(), E>,
    progress: Progress<'_>,
) -> Result<(), E> {
    let blocks = Blocks::new(text.windows, text.held_out, model.output.cols);
    let mut store = Store::new(text.folder, blocks.all_tokens() * blocks.hidden)?;
    let mut steps = Steps {
        done: 0,
        total: blocks.parts.len() * model.layers.len(),
        progress,
    };
    for part in &blocks.parts {
        let x = model.embedded(&text.windows[part.windows.clone()])?;
        store.write(0, part.first, &x)?;
    }
    for (i, layer) in model.layers.iter().enumerate() {
        let mut sums = Sums::of_both(model.cpu, &text);
        for part in &blocks.parts {
            let x = store.read(0, part.first, part.len)?;
            let sums = &mut sums[usize::from(part.is_held_out)];
            let y = layer.forward(model, &x, blocks.tokens, sums)?;
            store.write(0, part.first, &y)?;
            steps.add(1)?;
        }
        visit(blocks.means(Position::Layer(i), sums))?;
    }
    let mut sums = Sums::of_both(model.cpu, &text);
    for part in &blocks.parts {
        let x = store.read(0, part.first, part.len)?;
        sums[usize::from(part.is_held_out)].inputs(&[&model.output], &model.normed(&x));
    }
    visit(blocks.means(Position::Output, sums))
}

/// The gradients of the mean KL divergence from a source at the vectors of all norms, over windows of one
/// length; `source` gave `hidden` for them ([`Backward::last_hidden`]).
///
/// # Errors
/// As [`moments`].
pub fn norm_gradients(
    model: &Backward<'_>,
    (source, hidden): (&Backward<'_>, &[f32]),
    windows: &[Vec<u32>],
    folder: &Path,
) -> Result<Norms> {
    let vocab = model.output.rows;
    let blocks = Blocks::new(windows, 0, model.output.cols);
    let layers = model.layers.len();
    let mut store = Store::new(folder, blocks.all_tokens() * blocks.hidden)?;
    let mut steps = Steps {
        done: 0,
        total: blocks.parts.len() * layers,
        progress: &mut |_| ControlFlow::Continue(()),
    };
    model.forward(&blocks, &mut store, &mut steps)?;
    let tokens = blocks.all_tokens();
    let (mut sums, mut total) = (NormSums::default(), 0.0);
    for &Part { first, len, .. } in &blocks.parts {
        let x = store.read(layers, first, len)?;
        let mut dy = model.head_backward(&x, &mut sums, &mut |position, q| {
            let start = first + position * blocks.hidden;
            let count = q.len() / vocab;
            let mut p = source
                .scores(&hidden[start..start + count * blocks.hidden])?
                .0;
            let rows = p
                .par_chunks_exact_mut(vocab)
                .zip(q.par_chunks_exact_mut(vocab));
            let each: Vec<f64> = rows
                .map(|(p, q)| {
                    softmax(p);
                    let divergence = divergence(p, q);
                    let gradients = q.iter_mut().zip(p);
                    gradients.for_each(|(q, p)| *q = (*q - *p) / tokens as f32);
                    divergence
                })
                .collect();
            total += each.into_iter().sum::<f64>();
            Ok(())
        })?;
        for (i, layer) in model.layers.iter().enumerate().rev() {
            let x = store.read(i, first, len)?;
            dy = layer.backward(model, (&x, dy), blocks.tokens, &mut sums)?;
        }
    }
    Ok(Norms {
        divergence: total / tokens as f64,
        gradients: sums.0,
    })
}
