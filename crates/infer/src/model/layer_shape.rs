//! How much a layer remembers of a sequence: its block says so.

use aeolus_quant::dot::PANEL;

use super::numbers::{CacheType, Numbers};

/// What one layer remembers of a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LayerShape {
    /// Keys and values of some heads.
    KeysValues {
        /// Key and value heads.
        heads: usize,
        /// Numbers of a key.
        key_dim: usize,
        /// Numbers of a value.
        value_dim: usize,
    },
    /// Nothing: it reads what another layer remembers.
    Of(usize),
    /// The last inputs of a convolution.
    Convolution {
        /// Positions that the convolution sees.
        width: usize,
        /// Numbers of a position.
        channels: usize,
    },
    /// The last inputs of a convolution and the states of all heads.
    Delta {
        /// Positions that the convolution sees.
        width: usize,
        /// Numbers of a position.
        channels: usize,
        /// Numbers of all heads' states.
        state: usize,
    },
}

impl LayerShape {
    /// Bytes that `rows` positions take; `None` if they cannot be counted.
    pub(super) fn bytes(self, rows: usize, ty: CacheType) -> Option<usize> {
        let carried = |numbers: usize| numbers.checked_mul(size_of::<f32>());
        match self {
            Self::KeysValues {
                heads,
                key_dim,
                value_dim,
            } => {
                let padded = |dim: usize| dim.checked_next_multiple_of(PANEL);
                let position = padded(key_dim)?.checked_add(padded(value_dim)?)?;
                let numbers = position.checked_mul(heads)?.checked_mul(rows)?;
                Numbers::bytes(ty, numbers)
            }
            Self::Of(_) => Some(0),
            Self::Convolution { width, channels } => carried(width.checked_mul(channels)?),
            Self::Delta {
                width,
                channels,
                state,
            } => carried(width.checked_mul(channels)?.checked_add(state)?),
        }
    }
}

/// A head's numbers, filled up to whole panels.
pub(super) fn padded(head_dim: usize) -> usize {
    head_dim.next_multiple_of(PANEL)
}
