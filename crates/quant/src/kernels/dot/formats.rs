//! The block formats that the integer kernels know, as compile-time facts.

use aeolus_gguf::TensorType;

/// What a kernel has to know about a format. Kernels are compiled once for each implementor.
pub(super) trait Format {
    const TYPE: TensorType;
    /// Weights that share a scale: 16 or 32.
    const GROUP: usize;
    /// `min = scale * OFFSET` for formats without stored minima, otherwise 0.
    const OFFSET: f32;

    /// Bytes of a block.
    const BYTES: usize = Self::TYPE.block_bytes();
    /// Whether a block has 32 weights (a unit is then eight of them), not 256.
    const SMALL: bool = Self::TYPE.block_elems() == 32;
    /// Bytes of a unit.
    const UNIT_BYTES: usize = if Self::SMALL {
        8 * Self::BYTES
    } else {
        Self::BYTES
    };
    /// Whether unpacked bytes exceed 127: two products of such a byte do not fit 16 bits.
    const WIDE: bool = matches!(Self::TYPE, TensorType::Q8_0);
}

macro_rules! formats {
    ($($name:ident $ty:ident group $group:literal offset $offset:literal;)*) => {$(
        #[derive(Debug)]
        pub(super) struct $name;
        impl Format for $name {
            const TYPE: TensorType = TensorType::$ty;
            const GROUP: usize = $group;
            const OFFSET: f32 = $offset;
        }
    )*};
}

formats! {
    Q4_0 Q4_0 group 32 offset 8.0;
    Q4_1 Q4_1 group 32 offset 0.0;
    Q5_0 Q5_0 group 32 offset 16.0;
    Q5_1 Q5_1 group 32 offset 0.0;
    Q8_0 Q8_0 group 32 offset 128.0;
    Q2K Q2_K group 16 offset 0.0;
    Q3K Q3_K group 16 offset 4.0;
    Q4K Q4_K group 32 offset 0.0;
    Q5K Q5_K group 32 offset 0.0;
    Q6K Q6_K group 16 offset 32.0;
}

/// Evaluates the expression with `F` as the [`Format`] of a tensor type, or the last one if the
/// type has no integer kernel.
macro_rules! with_format {
    ($ty:expr, $F:ident => $body:expr, $otherwise:expr) => {{
        use crate::kernels::dot::formats as f;
        macro_rules! case {
            ($format:ty) => {{
                type $F = $format;
                $body
            }};
        }
        match $ty {
            aeolus_gguf::TensorType::Q4_0 => case!(f::Q4_0),
            aeolus_gguf::TensorType::Q4_1 => case!(f::Q4_1),
            aeolus_gguf::TensorType::Q5_0 => case!(f::Q5_0),
            aeolus_gguf::TensorType::Q5_1 => case!(f::Q5_1),
            aeolus_gguf::TensorType::Q8_0 => case!(f::Q8_0),
            aeolus_gguf::TensorType::Q2_K => case!(f::Q2K),
            aeolus_gguf::TensorType::Q3_K => case!(f::Q3K),
            aeolus_gguf::TensorType::Q4_K => case!(f::Q4K),
            aeolus_gguf::TensorType::Q5_K => case!(f::Q5K),
            aeolus_gguf::TensorType::Q6_K => case!(f::Q6K),
            _ => $otherwise,
        }
    }};
}
pub(super) use with_format;

/// Whether weights of this type can be multiplied with [`Activations`](super::Activations).
pub fn has_integer_kernel(ty: TensorType) -> bool {
    with_format!(ty, F => F::BYTES > 0, false)
}

/// Whether weights of this type can be multiplied with floats one row at a time.
pub fn has_float_kernel(ty: TensorType) -> bool {
    matches!(ty, TensorType::F32 | TensorType::F16 | TensorType::BF16)
}
