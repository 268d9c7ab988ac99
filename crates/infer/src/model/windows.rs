//! Windows of a text on their way through the layers.
//!
//! A forward pass that stops wherever the caller likes: [`Model::embed`] makes [`Windows`],
//! [`Model::run_layers`] takes them through layers i to j, [`Model::scores_of`] gives the logits of what
//! has left the last one. Between two calls the vectors of all tokens are the caller's to keep, read or
//! replace, `tokens * hidden * 4` bytes of them. So a model is walked through layer by layer with the
//! weights of each read once for all windows: what calibration, refinement and models beyond memory need.
//!
//! All windows have one length and begin at position 0. Their tokens meet each matrix together, so that a
//! tile of weights is unpacked once for all; attention is each window's own, and so are blocks that carry
//! a state and experts, which are taken window by window. Logits are those of [`Model::forward`] to the
//! last bit if one window has more tokens than [`FEW`](aeolus_quant::dot::FEW); shorter ones meet another
//! kernel alone than together, and sums run in another order.
//!
//! Keys and values (in f32) live while a layer runs, but for those that a later layer reads.

use std::collections::BTreeMap;
use std::ops::Range;

use aeolus_quant::dot::PANEL;

use super::Model;
use super::cache::LayerMemory;
use super::forward::{Embedded, Logits, other_cache};
use super::layer_shape::LayerShape;
use super::numbers::CacheType;
use super::pass::{Buffers, Pass};
use super::rope::Turns;
use crate::error::{Error, Result};
use crate::matmul::Compute;

/// What is between two layers, of windows of one length.
#[derive(Clone, Debug)]
pub struct Windows {
    count: usize,
    /// Tokens of each.
    tokens: usize,
    hidden: Vec<f32>,       // [count, tokens, hidden]
    layer_inputs: Vec<f32>, // [count, tokens, layers, dim]; empty for most models
    /// The next layer.
    layer: usize,
    /// Of layers whose keys a later one reads, those of each window.
    read_later: BTreeMap<usize, Vec<LayerMemory>>,
}

impl Windows {
    /// Number of windows.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Tokens of each window.
    pub fn tokens(&self) -> usize {
        self.tokens
    }

    /// The number of the layer that comes next.
    pub fn layer(&self) -> usize {
        self.layer
    }

    /// What goes into the next layer, `[windows, tokens, hidden]`.
    pub fn hidden(&self) -> &[f32] {
        &self.hidden
    }

    /// The same, to be replaced.
    pub fn hidden_mut(&mut self) -> &mut [f32] {
        &mut self.hidden
    }
}

impl Model {
    /// The embeddings of windows, which have not seen a layer yet.
    ///
    /// # Errors
    /// [`Error::TokenOutOfRange`]; [`Error::ContextFull`] if the model has fewer positions than a window;
    /// [`Error::Argument`] if there is no window, an empty one or two lengths.
    pub fn embed<W: AsRef<[u32]>>(&self, compute: Compute, windows: &[W]) -> Result<Windows> {
        let length = windows.first().map_or(0, |window| window.as_ref().len());
        let same = |window: &W| window.as_ref().len() == length;
        if length == 0 || !windows.iter().all(same) {
            return Err(Error::Argument {
                what: "windows",
                found: format!("{} of several lengths or without tokens", windows.len()),
                expected: "windows of one length, at least one token",
            });
        }
        for window in windows {
            self.check_tokens(window.as_ref(), 0)?;
        }
        let tokens: Vec<u32> = windows.iter().flat_map(|w| w.as_ref()).copied().collect();
        let (turns, buffers) = (self.ropes.turns(length, 0, length), Buffers::default());
        let pass = self.pass_of_windows(compute, (tokens.len(), length), &turns, &buffers);
        let Embedded { x, layer_inputs } = self.embedded(&pass, &tokens)?;
        Ok(Windows {
            count: windows.len(),
            tokens: length,
            hidden: x,
            layer_inputs,
            layer: 0,
            read_later: BTreeMap::new(),
        })
    }

    /// Takes windows through some layers, the first of which is the next one of the windows. After an
    /// error they are lost.
    ///
    /// # Errors
    /// [`Error::Argument`] for other layers, or windows of another model.
    pub fn run_layers(
        &self,
        compute: Compute,
        layers: Range<usize>,
        windows: &mut Windows,
    ) -> Result<()> {
        let all = self.hyper.layers;
        if layers.start != windows.layer || layers.start > layers.end || layers.end > all {
            return Err(Error::Argument {
                what: "layers",
                found: format!("{} to {} of {all}", layers.start, layers.end),
                expected: "layers that come next",
            });
        }
        let total = windows.count * windows.tokens;
        if windows.hidden.len() != total * self.hyper.hidden {
            return Err(other_cache());
        }
        let turns = self.ropes.turns(windows.tokens, 0, windows.tokens);
        let buffers = Buffers::default();
        let pass = self.pass_of_windows(compute, (total, windows.tokens), &turns, &buffers);
        let shapes = self.layer_shapes();
        for layer in layers {
            let owner = match shapes[layer] {
                LayerShape::Of(owner) => owner,
                _ => layer,
            };
            let mut memories = match windows.read_later.remove(&owner) {
                Some(memories) => memories,
                None => {
                    let rows = windows.tokens.next_multiple_of(PANEL);
                    let new = || LayerMemory::new(shapes[owner], rows, CacheType::F32);
                    (0..windows.count).map(|_| new()).collect()
                }
            };
            let mut each: Vec<&mut LayerMemory> = memories.iter_mut().collect();
            let inputs = &windows.layer_inputs;
            self.layer(&pass, layer, &mut each, inputs, &mut windows.hidden)?;
            windows.layer = layer + 1;
            if shapes[layer + 1..].contains(&LayerShape::Of(owner)) {
                windows.read_later.insert(owner, memories);
            }
        }
        Ok(())
    }

    /// The logits of windows that have left the last layer, at the positions `outputs` of each:
    /// `[windows, outputs]` positions.
    ///
    /// # Errors
    /// [`Error::Argument`] for windows that have not left the last layer, or outputs beyond their tokens.
    pub fn scores_of(
        &self,
        compute: Compute,
        windows: &Windows,
        outputs: Range<usize>,
    ) -> Result<Logits> {
        let hidden = self.hyper.hidden;
        if windows.layer != self.hyper.layers
            || windows.hidden.len() != windows.count * windows.tokens * hidden
        {
            return Err(Error::Argument {
                what: "windows",
                found: format!("windows before layer {}", windows.layer),
                expected: "windows that have left the last layer of this model",
            });
        }
        if outputs.start > outputs.end || outputs.end > windows.tokens {
            return Err(Error::Argument {
                what: "outputs",
                found: format!("{} to {}", outputs.start, outputs.end),
                expected: "a range within the tokens",
            });
        }
        let each = windows.hidden.chunks_exact(windows.tokens * hidden);
        let asked: Vec<f32> = each
            .flat_map(|x| &x[outputs.start * hidden..outputs.end * hidden])
            .copied()
            .collect();
        self.scores(compute, &asked)
    }

    /// A pass of so many tokens, all of windows that begin at position 0, each of so many tokens.
    fn pass_of_windows<'a>(
        &'a self,
        compute: Compute<'a>,
        (tokens, window): (usize, usize),
        turns: &'a Turns,
        buffers: &'a Buffers,
    ) -> Pass<'a> {
        Pass {
            compute,
            hyper: &self.hyper,
            tokens,
            window,
            first: 0,
            turns,
            buffers,
        }
    }
}
