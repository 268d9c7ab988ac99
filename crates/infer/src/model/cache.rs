//! Keys and values of the positions seen so far.

use aeolus_quant::dot::{Kernels, Matmul, PANEL};
use aeolus_quant::f32_to_f16;

use super::hyper::Hyperparameters;
use crate::error::{Error, Result};

/// How keys and values are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CacheType {
    /// 16 bits: half the memory, with the rounding of f16.
    #[default]
    F16,
    /// 32 bits: exact.
    F32,
}

/// Numbers in one of the two types.
#[derive(Debug)]
enum Numbers {
    F16(Vec<u16>),
    F32(Vec<f32>),
}

/// The keys and values of one sequence.
///
/// Both are laid out as the panels that [`Kernels`] multiplies with, so that attention copies
/// nothing: keys turned on their side, `[layer][kv head][position / 32][head_dim][32]`, values
/// as they come, `[layer][kv head][position][head_dim, padded to 32]`.
#[derive(Debug)]
pub struct KvCache {
    keys: Numbers,
    values: Numbers,
    capacity: usize,
    used: usize,
    kv_heads: usize,
    head_dim: usize,
    layers: usize,
}

impl Numbers {
    /// Zeros that take no memory until they are written.
    fn zeros(ty: CacheType, len: usize) -> Result<Self> {
        let refused = |bytes: usize| Error::Argument {
            what: "context",
            found: format!("one that needs {bytes} bytes of memory"),
            expected: "one that fits into memory",
        };
        let size = if ty == CacheType::F16 { 2 } else { 4 };
        let bytes = len.saturating_mul(size);
        // A refusal must be an error: `vec!` would end the process.
        let mut probe: Vec<u8> = Vec::new();
        probe.try_reserve_exact(bytes).map_err(|_| refused(bytes))?;
        drop(probe);
        Ok(match ty {
            CacheType::F16 => Self::F16(vec![0; len]),
            CacheType::F32 => Self::F32(vec![0.0; len]),
        })
    }

    /// Writes `numbers` at `start`, `stride` apart.
    fn write(&mut self, start: usize, stride: usize, numbers: &[f32]) {
        match self {
            Self::F16(all) => {
                for (place, x) in all[start..].iter_mut().step_by(stride).zip(numbers) {
                    *place = f32_to_f16(*x);
                }
            }
            Self::F32(all) => {
                for (place, x) in all[start..].iter_mut().step_by(stride).zip(numbers) {
                    *place = *x;
                }
            }
        }
    }

    fn multiply(&self, kernels: &Kernels, start: usize, stride: usize, operands: Matmul<'_>) {
        match self {
            Self::F16(all) => kernels.matmul_f16(&all[start..], stride, operands),
            Self::F32(all) => kernels.matmul_f32(&all[start..], stride, operands),
        }
    }
}

impl KvCache {
    /// An empty cache for `context` positions.
    ///
    /// # Errors
    /// [`Error::Argument`] if `context` is zero or does not fit into memory.
    pub fn new(hyper: &Hyperparameters, context: usize, ty: CacheType) -> Result<Self> {
        let capacity = context.checked_next_multiple_of(PANEL).filter(|&n| n > 0);
        let heads = hyper.layers.checked_mul(hyper.kv_heads);
        let cells = heads
            .zip(capacity)
            .and_then(|(heads, n)| heads.checked_mul(n));
        let keys = cells.and_then(|cells| cells.checked_mul(hyper.head_dim));
        let values = cells.and_then(|cells| cells.checked_mul(padded(hyper.head_dim)));
        let (Some(keys), Some(values)) = (keys, values) else {
            return Err(Error::Argument {
                what: "context",
                found: context.to_string(),
                expected: "at least 1 position, and few enough for memory",
            });
        };
        Ok(Self {
            keys: Numbers::zeros(ty, keys)?,
            values: Numbers::zeros(ty, values)?,
            capacity: context,
            used: 0,
            kv_heads: hyper.kv_heads,
            head_dim: hyper.head_dim,
            layers: hyper.layers,
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

    /// Forgets all positions from `used` on.
    pub fn truncate(&mut self, used: usize) {
        self.used = self.used.min(used);
    }

    /// Counts positions whose keys and values have been written in every layer.
    pub(super) fn advance(&mut self, positions: usize) {
        self.used += positions;
    }

    /// Whether it was made for a model of these numbers.
    pub(super) fn fits(&self, hyper: &Hyperparameters) -> bool {
        (self.layers, self.kv_heads, self.head_dim)
            == (hyper.layers, hyper.kv_heads, hyper.head_dim)
    }

    /// Positions of a layer's share, whole panels.
    fn rows(&self) -> usize {
        self.capacity.next_multiple_of(PANEL)
    }

    /// First position of a head, counted over all layers and heads.
    fn head_start(&self, layer: usize, head: usize) -> usize {
        (layer * self.kv_heads + head) * self.rows()
    }

    /// Stores one position's keys and values, both `[kv_heads, head_dim]`.
    pub(super) fn write(&mut self, layer: usize, position: usize, key: &[f32], value: &[f32]) {
        let (dim, padded) = (self.head_dim, padded(self.head_dim));
        for head in 0..self.kv_heads {
            let start = self.head_start(layer, head);
            let panel = start + position / PANEL * PANEL;
            let part = head * dim..(head + 1) * dim;
            let at = panel * dim + position % PANEL;
            self.keys.write(at, PANEL, &key[part.clone()]);
            self.values
                .write((start + position) * padded, 1, &value[part]);
        }
    }

    /// Dot products of queries with the keys of 32 positions from `position` on, a multiple of
    /// 32. `operands.depth` is the head's size.
    pub(super) fn scores(
        &self,
        kernels: &Kernels,
        (layer, head, position): (usize, usize, usize),
        operands: Matmul<'_>,
    ) {
        let start = (self.head_start(layer, head) + position) * self.head_dim;
        self.keys.multiply(kernels, start, PANEL, operands);
    }

    /// Sums of values from `position` on, times weights: 32 of the head's numbers from
    /// `first_dim` on. `operands.depth` is the number of positions.
    pub(super) fn weighted_values(
        &self,
        kernels: &Kernels,
        (layer, head, position): (usize, usize, usize),
        first_dim: usize,
        operands: Matmul<'_>,
    ) {
        let padded = padded(self.head_dim);
        let start = (self.head_start(layer, head) + position) * padded + first_dim;
        self.values.multiply(kernels, start, padded, operands);
    }
}

/// A head's numbers, filled up to whole panels.
pub(super) fn padded(head_dim: usize) -> usize {
    head_dim.next_multiple_of(PANEL)
}
