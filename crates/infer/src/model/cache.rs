//! What a sequence leaves behind in each layer, for the tokens that follow.

use aeolus_quant::dot::{Kernels, Matmul, PANEL};

use super::convolution::Tail;
use super::delta_net::DeltaMemory;
use super::layer_shape::{LayerShape, padded};
use super::numbers::{CacheType, Numbers};
use crate::error::{Error, Result};

/// What one layer remembers of one sequence.
#[derive(Clone, Debug)]
pub(super) enum LayerMemory {
    /// Of attention.
    KeysValues(KvCache),
    /// What another layer remembers.
    Of(usize),
    /// Of a short convolution.
    Convolution(Tail),
    /// Of a delta net.
    Delta(DeltaMemory),
}

/// What one sequence has left in every layer.
#[derive(Debug)]
pub struct Cache {
    layers: Vec<LayerMemory>,
    shapes: Vec<LayerShape>,
    capacity: usize,
    used: usize,
    /// A number of positions with the states behind them, one for each layer that carries one.
    mark: Option<(usize, Vec<Carried>)>,
}

/// What a layer carries along instead of remembering positions: it cannot go back.
#[derive(Clone, Debug)]
enum Carried {
    Convolution(Tail),
    Delta(DeltaMemory),
}

/// The keys and values of one sequence in one layer.
///
/// Both are laid out as the panels that [`Kernels`] multiplies with, so that attention copies
/// nothing: keys turned on their side, `[kv head][position / 32][key_dim, padded to 32][32]`, values
/// as they come, `[kv head][position][value_dim, padded to 32]`.
#[derive(Clone, Debug)]
pub(super) struct KvCache {
    keys: Numbers,
    values: Numbers,
    heads: usize,
    key_dim: usize,
    value_dim: usize,
    /// Positions there is memory for, whole panels.
    rows: usize,
}

impl Cache {
    /// An empty cache for `context` positions in layers of these shapes.
    ///
    /// # Errors
    /// [`Error::Argument`] if `context` is zero or does not fit into memory.
    pub(super) fn new(shapes: Vec<LayerShape>, context: usize, ty: CacheType) -> Result<Self> {
        let rows = context.checked_next_multiple_of(PANEL).filter(|&n| n > 0);
        let bytes = rows.and_then(|rows| {
            let mut layers = shapes.iter().map(|shape| shape.bytes(rows, ty));
            layers.try_fold(0, |sum: usize, layer| sum.checked_add(layer?))
        });
        let (Some(rows), Some(bytes)) = (rows, bytes) else {
            return Err(Error::Argument {
                what: "context",
                found: context.to_string(),
                expected: "at least 1 position, and few enough for memory",
            });
        };
        // A refusal must be an error: `vec!` would end the process.
        let mut probe: Vec<u8> = Vec::new();
        if probe.try_reserve_exact(bytes).is_err() {
            return Err(Error::Argument {
                what: "context",
                found: format!("one that needs {bytes} bytes of memory"),
                expected: "one that fits into memory",
            });
        }
        drop(probe);
        let memory = |shape: &LayerShape| LayerMemory::new(*shape, rows, ty);
        Ok(Self {
            layers: shapes.iter().map(memory).collect(),
            shapes,
            capacity: context,
            used: 0,
            mark: None,
        })
    }

    /// Positions there are.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Positions taken.
    pub fn used(&self) -> usize {
        self.used
    }

    /// Forgets positions from `used` on, and more where it must: what layers carry along goes back to the
    /// [mark](Self::mark) or to the beginning only. Gives the positions that are left.
    pub fn truncate(&mut self, used: usize) -> usize {
        if used >= self.used {
            return self.used;
        }
        if !self.layers.iter().any(LayerMemory::carries) {
            self.used = used;
            return used;
        }
        match &self.mark {
            Some((marked, states)) if *marked <= used => {
                let layers = self.layers.iter_mut();
                let carrying = layers.filter(|layer| layer.carries());
                for (layer, state) in carrying.zip(states) {
                    layer.carry(state.clone());
                }
                self.used = *marked;
            }
            _ => {
                self.layers.iter_mut().for_each(LayerMemory::clear);
                (self.used, self.mark) = (0, None);
            }
        }
        self.used
    }

    /// Keeps what layers carry along, so that [`truncate`](Self::truncate) can come back to here. There
    /// is one mark.
    pub fn mark(&mut self) {
        let states: Vec<Carried> = self
            .layers
            .iter()
            .filter_map(LayerMemory::carried)
            .collect();
        self.mark = (!states.is_empty()).then_some((self.used, states));
    }

    /// Counts positions that every layer has seen.
    pub(super) fn advance(&mut self, positions: usize) {
        self.used += positions;
    }

    /// What each layer remembers of a position.
    pub(super) fn shapes(&self) -> &[LayerShape] {
        &self.shapes
    }

    /// The memory of a layer: another's, where it has none.
    pub(super) fn layer_mut(&mut self, layer: usize) -> &mut LayerMemory {
        let layer = match self.layers[layer] {
            LayerMemory::Of(other) => other,
            _ => layer,
        };
        &mut self.layers[layer]
    }
}

impl LayerMemory {
    /// Nothing yet, with room for `rows` positions, whole panels.
    pub(super) fn new(shape: LayerShape, rows: usize, ty: CacheType) -> Self {
        match shape {
            LayerShape::KeysValues {
                heads,
                key_dim,
                value_dim,
            } => Self::KeysValues(KvCache::new(heads, key_dim, value_dim, rows, ty)),
            LayerShape::Of(layer) => Self::Of(layer),
            LayerShape::Convolution { width, channels } => {
                Self::Convolution(Tail::new(width, channels))
            }
            LayerShape::Delta {
                width,
                channels,
                state,
            } => Self::Delta(DeltaMemory::new(width, channels, state)),
        }
    }

    /// The keys and values, where it is such a memory.
    pub(super) fn keys_values(&mut self) -> Option<&mut KvCache> {
        match self {
            Self::KeysValues(cache) => Some(cache),
            _ => None,
        }
    }

    fn carries(&self) -> bool {
        matches!(self, Self::Convolution(_) | Self::Delta(_))
    }

    /// A copy of what it carries along.
    fn carried(&self) -> Option<Carried> {
        match self {
            Self::KeysValues(_) | Self::Of(_) => None,
            Self::Convolution(tail) => Some(Carried::Convolution(tail.clone())),
            Self::Delta(memory) => Some(Carried::Delta(memory.clone())),
        }
    }

    fn carry(&mut self, carried: Carried) {
        *self = match carried {
            Carried::Convolution(tail) => Self::Convolution(tail),
            Carried::Delta(memory) => Self::Delta(memory),
        };
    }

    fn clear(&mut self) {
        match self {
            Self::KeysValues(_) | Self::Of(_) => {}
            Self::Convolution(tail) => tail.clear(),
            Self::Delta(memory) => memory.clear(),
        }
    }
}

impl KvCache {
    /// Memory for `rows` positions, whole panels.
    fn new(heads: usize, key_dim: usize, value_dim: usize, rows: usize, ty: CacheType) -> Self {
        Self {
            keys: Numbers::zeros(ty, heads * rows * padded(key_dim)),
            values: Numbers::zeros(ty, heads * rows * padded(value_dim)),
            heads,
            key_dim,
            value_dim,
            rows,
        }
    }

    /// Stores one position's keys `[heads, key_dim]` and values `[heads, value_dim]`.
    pub(super) fn write(&mut self, position: usize, key: &[f32], value: &[f32]) {
        let (key_dim, value_dim) = (self.key_dim, self.value_dim);
        for head in 0..self.heads {
            let start = head * self.rows;
            let panel = start + position / PANEL * PANEL;
            let at = panel * padded(key_dim) + position % PANEL;
            let key = &key[head * key_dim..][..key_dim];
            self.keys.write(at, PANEL, key);
            let at = (start + position) * padded(value_dim);
            let value = &value[head * value_dim..][..value_dim];
            self.values.write(at, 1, value);
        }
    }

    /// Dot products of queries with the keys of 32 positions from `position` on, a multiple of
    /// 32. `operands.depth` is the size of a key.
    pub(super) fn scores(
        &self,
        kernels: &Kernels,
        (head, position): (usize, usize),
        operands: Matmul<'_>,
    ) {
        let start = (head * self.rows + position) * padded(self.key_dim);
        self.keys.multiply_columns(kernels, start, operands);
    }

    /// Sums of values from `position` on, times weights: 32 of the head's numbers from
    /// `first_dim` on. `operands.depth` is the number of positions.
    pub(super) fn weighted_values(
        &self,
        kernels: &Kernels,
        (head, position): (usize, usize),
        first_dim: usize,
        operands: Matmul<'_>,
    ) {
        let padded = padded(self.value_dim);
        let start = (head * self.rows + position) * padded + first_dim;
        self.values.multiply_rows(kernels, start, padded, operands);
    }
}
