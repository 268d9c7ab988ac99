//! The one table of tensor types: ids, names, block sizes.
//!
//! Every size in the project comes from here. `quant` asserts its block structs against it.
//! Source: the GGUF specification's list of `ggml_type` and the block layouts of ggml.

/// How one row of a tensor is stored: a plain float type, an integer type, or a block format.
///
/// A row is cut into blocks of [`block_elems`](Self::block_elems) weights, each stored in
/// [`block_bytes`](Self::block_bytes) bytes. Unquantized types are blocks of one element.
#[allow(
    non_camel_case_types,
    reason = "block types keep the spelling of the field: Q4_K, not Q4K"
)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
#[repr(u32)]
pub enum TensorType {
    /// 32-bit IEEE float.
    F32 = 0,
    /// 16-bit IEEE float.
    F16 = 1,
    /// 4-bit blocks of 32: one scale.
    Q4_0 = 2,
    /// 4-bit blocks of 32: scale and min.
    Q4_1 = 3,
    /// 5-bit blocks of 32: one scale.
    Q5_0 = 6,
    /// 5-bit blocks of 32: scale and min.
    Q5_1 = 7,
    /// 8-bit blocks of 32: one scale.
    Q8_0 = 8,
    /// 8-bit blocks of 32 with the block sum: an activation format.
    Q8_1 = 9,
    /// 2-bit super-blocks of 256, 16 sub-blocks with 4-bit scale and min.
    Q2_K = 10,
    /// 3-bit super-blocks of 256, 16 sub-blocks with 6-bit scale.
    Q3_K = 11,
    /// 4-bit super-blocks of 256, 8 sub-blocks with 6-bit scale and min.
    Q4_K = 12,
    /// 5-bit super-blocks of 256, 8 sub-blocks with 6-bit scale and min.
    Q5_K = 13,
    /// 6-bit super-blocks of 256, 16 sub-blocks with 8-bit scale.
    Q6_K = 14,
    /// 8-bit super-blocks of 256 with sub-block sums: an activation format.
    Q8_K = 15,
    /// 2.06-bit codebook super-blocks of 256.
    IQ2_XXS = 16,
    /// 2.31-bit codebook super-blocks of 256.
    IQ2_XS = 17,
    /// 3.06-bit codebook super-blocks of 256.
    IQ3_XXS = 18,
    /// 1.56-bit codebook super-blocks of 256.
    IQ1_S = 19,
    /// 4.5-bit non-linear blocks of 32.
    IQ4_NL = 20,
    /// 3.44-bit codebook super-blocks of 256.
    IQ3_S = 21,
    /// 2.56-bit codebook super-blocks of 256.
    IQ2_S = 22,
    /// 4.25-bit non-linear super-blocks of 256.
    IQ4_XS = 23,
    /// 8-bit integer.
    I8 = 24,
    /// 16-bit integer.
    I16 = 25,
    /// 32-bit integer.
    I32 = 26,
    /// 64-bit integer.
    I64 = 27,
    /// 64-bit IEEE float.
    F64 = 28,
    /// 1.75-bit codebook super-blocks of 256.
    IQ1_M = 29,
    /// bfloat16: the upper half of an IEEE 32-bit float.
    BF16 = 30,
    /// 1.69-bit ternary super-blocks of 256.
    TQ1_0 = 34,
    /// 2.06-bit ternary super-blocks of 256.
    TQ2_0 = 35,
    /// 4-bit microscaling floats, blocks of 32 with one E8M0 exponent.
    MXFP4 = 39,
    /// 4-bit floats, blocks of 64 with four UE4M3 scales.
    NVFP4 = 40,
    /// 1-bit blocks of 128 with one scale.
    Q1_0 = 41,
    /// 2-bit blocks of 64 with one scale.
    Q2_0 = 42,
}

/// One line of the table: type, name, weights and bytes of a block.
struct Row(TensorType, &'static str, u32, u32);

use TensorType as T;
/// In the order of the ids.
const TABLE: &[Row] = &[
    Row(T::F32, "F32", 1, 4),
    Row(T::F16, "F16", 1, 2),
    Row(T::Q4_0, "Q4_0", 32, 18),
    Row(T::Q4_1, "Q4_1", 32, 20),
    Row(T::Q5_0, "Q5_0", 32, 22),
    Row(T::Q5_1, "Q5_1", 32, 24),
    Row(T::Q8_0, "Q8_0", 32, 34),
    Row(T::Q8_1, "Q8_1", 32, 36),
    Row(T::Q2_K, "Q2_K", 256, 84),
    Row(T::Q3_K, "Q3_K", 256, 110),
    Row(T::Q4_K, "Q4_K", 256, 144),
    Row(T::Q5_K, "Q5_K", 256, 176),
    Row(T::Q6_K, "Q6_K", 256, 210),
    Row(T::Q8_K, "Q8_K", 256, 292),
    Row(T::IQ2_XXS, "IQ2_XXS", 256, 66),
    Row(T::IQ2_XS, "IQ2_XS", 256, 74),
    Row(T::IQ3_XXS, "IQ3_XXS", 256, 98),
    Row(T::IQ1_S, "IQ1_S", 256, 50),
    Row(T::IQ4_NL, "IQ4_NL", 32, 18),
    Row(T::IQ3_S, "IQ3_S", 256, 110),
    Row(T::IQ2_S, "IQ2_S", 256, 82),
    Row(T::IQ4_XS, "IQ4_XS", 256, 136),
    Row(T::I8, "I8", 1, 1),
    Row(T::I16, "I16", 1, 2),
    Row(T::I32, "I32", 1, 4),
    Row(T::I64, "I64", 1, 8),
    Row(T::F64, "F64", 1, 8),
    Row(T::IQ1_M, "IQ1_M", 256, 56),
    Row(T::BF16, "BF16", 1, 2),
    Row(T::TQ1_0, "TQ1_0", 256, 54),
    Row(T::TQ2_0, "TQ2_0", 256, 66),
    Row(T::MXFP4, "MXFP4", 32, 17),
    Row(T::NVFP4, "NVFP4", 64, 36),
    Row(T::Q1_0, "Q1_0", 128, 18),
    Row(T::Q2_0, "Q2_0", 64, 18),
];

impl TensorType {
    /// Every known type, in the order of the ids.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(|row| row.0)
    }

    const fn row(self) -> &'static Row {
        let mut i = 0;
        while i < TABLE.len() {
            if TABLE[i].0 as u32 == self as u32 {
                return &TABLE[i];
            }
            i += 1;
        }
        // A test walks all variants, so a type without a row cannot ship.
        panic!("tensor type without a row in the table")
    }

    /// The type of a file's numeric id, `None` if no such type is known.
    pub fn from_id(id: u32) -> Option<Self> {
        TABLE.iter().map(|row| row.0).find(|t| *t as u32 == id)
    }

    /// The numeric id stored in files.
    pub const fn id(self) -> u32 {
        self as u32
    }

    /// The type of a name, in any letter case: `q4_k` is `Q4_K`.
    pub fn from_name(name: &str) -> Option<Self> {
        TABLE
            .iter()
            .find(|row| row.1.eq_ignore_ascii_case(name))
            .map(|row| row.0)
    }

    /// The field's name of the type, `Q4_K`.
    pub const fn name(self) -> &'static str {
        self.row().1
    }

    /// Weights in a block (1 for unquantized types).
    pub const fn block_elems(self) -> usize {
        self.row().2 as usize
    }

    /// Bytes of a block.
    pub const fn block_bytes(self) -> usize {
        self.row().3 as usize
    }

    /// Stored bits per weight, scales included.
    pub fn bits_per_weight(self) -> f64 {
        self.block_bytes() as f64 * 8.0 / self.block_elems() as f64
    }

    /// Bytes of a row of `cols` weights; `None` if `cols` is not a whole number of blocks or
    /// the product overflows.
    pub fn row_bytes(self, cols: u64) -> Option<u64> {
        let block = self.block_elems() as u64;
        if !cols.is_multiple_of(block) {
            return None;
        }
        (cols / block).checked_mul(self.block_bytes() as u64)
    }

    /// True for block formats (more than one weight in a block).
    pub const fn is_quantized(self) -> bool {
        self.block_elems() > 1
    }
}

impl std::fmt::Display for TensorType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_names_lead_back_to_the_type() {
        for t in TensorType::all() {
            assert_eq!(TensorType::from_id(t.id()), Some(t));
            assert_eq!(TensorType::from_name(&t.name().to_lowercase()), Some(t));
            assert!(t.block_elems() > 0 && t.block_bytes() > 0);
        }
        assert_eq!(TensorType::from_id(4), None, "removed from the format");
        assert_eq!(TensorType::from_name("Q4_K_M"), None, "a file type");
    }

    #[test]
    fn q2_k_is_2_625_bits() {
        assert_eq!(T::Q2_K.bits_per_weight(), 2.625);
        assert_eq!(T::Q4_K.bits_per_weight(), 4.5);
        assert_eq!(T::Q2_K.row_bytes(4096), Some(1344));
        assert_eq!(T::Q2_K.row_bytes(4000), None);
        assert_eq!(T::F64.row_bytes(u64::MAX), None);
    }
}
