//! What the integer kernels know of a block format.

use crate::registry::with_product;
use aeolus_gguf::TensorType;

/// A block format with integer products; kernels are compiled once for each. The
/// [registry](crate::registry) states the facts.
pub(crate) trait Product: bytemuck::Pod {
    /// The type of the block.
    const TYPE: TensorType;
    /// Weights that share a scale: 16 or 32.
    const GROUP: usize;
    /// `min = scale * OFFSET` for formats without stored minima, otherwise 0.
    const OFFSET: f32;

    /// The largest byte.
    const LARGEST: u8;

    /// Blocks of a unit: eight of 32 weights, or one super-block.
    const BLOCKS: usize = super::UNIT / Self::TYPE.block_elems();
    /// Bytes of a unit.
    const UNIT_BYTES: usize = Self::BLOCKS * size_of::<Self>();
    /// Whether bytes are signed ones plus 128. All others are below 128: two products of a larger
    /// byte do not fit 16 bits.
    const WIDE: bool = {
        assert!(Self::LARGEST < 128 || Self::OFFSET == 128.0);
        Self::LARGEST > 127
    };
}

/// Whether weights of this type can be multiplied with [`Activations`](super::Activations).
pub fn has_integer_kernel(ty: TensorType) -> bool {
    with_product!(ty, F => F::BLOCKS > 0, false)
}

/// Whether weights of this type can be multiplied with floats one row at a time.
pub fn has_float_kernel(ty: TensorType) -> bool {
    matches!(ty, TensorType::F32 | TensorType::F16 | TensorType::BF16)
}
