//! The one table of tensor types: ids, names, block sizes. The types of forks have a second one,
//! [`foreign`].
//!
//! Every size in the project comes from here. `quant` asserts its block structs against it.
//! Source: the GGUF specification's list of `ggml_type` and the block layouts of ggml.

mod foreign;

use foreign::Foreign;

/// How one row of a tensor is stored: a plain float type, an integer type, or a block format.
///
/// A row is cut into blocks of [`block_elems`](Self::block_elems) weights, each stored in
/// [`block_bytes`](Self::block_bytes) bytes. Unquantized types are blocks of one element.
///
/// Files hold a number, and any number is a type here: those of ggml are the constants below,
/// those of its forks and those that ggml removed are [`is_foreign`](Self::is_foreign). Foreign
/// types are shown, never computed with or written.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TensorType(u32);

/// The types of ggml.
impl TensorType {
    /// 32-bit IEEE float.
    pub const F32: Self = Self(0);
    /// 16-bit IEEE float.
    pub const F16: Self = Self(1);
    /// 4-bit blocks of 32: one scale.
    pub const Q4_0: Self = Self(2);
    /// 4-bit blocks of 32: scale and min.
    pub const Q4_1: Self = Self(3);
    /// 5-bit blocks of 32: one scale.
    pub const Q5_0: Self = Self(6);
    /// 5-bit blocks of 32: scale and min.
    pub const Q5_1: Self = Self(7);
    /// 8-bit blocks of 32: one scale.
    pub const Q8_0: Self = Self(8);
    /// 8-bit blocks of 32 with the block sum: an activation format.
    pub const Q8_1: Self = Self(9);
    /// 2-bit super-blocks of 256, 16 sub-blocks with 4-bit scale and min.
    pub const Q2_K: Self = Self(10);
    /// 3-bit super-blocks of 256, 16 sub-blocks with 6-bit scale.
    pub const Q3_K: Self = Self(11);
    /// 4-bit super-blocks of 256, 8 sub-blocks with 6-bit scale and min.
    pub const Q4_K: Self = Self(12);
    /// 5-bit super-blocks of 256, 8 sub-blocks with 6-bit scale and min.
    pub const Q5_K: Self = Self(13);
    /// 6-bit super-blocks of 256, 16 sub-blocks with 8-bit scale.
    pub const Q6_K: Self = Self(14);
    /// 8-bit super-blocks of 256 with sub-block sums: an activation format.
    pub const Q8_K: Self = Self(15);
    /// 2.06-bit codebook super-blocks of 256.
    pub const IQ2_XXS: Self = Self(16);
    /// 2.31-bit codebook super-blocks of 256.
    pub const IQ2_XS: Self = Self(17);
    /// 3.06-bit codebook super-blocks of 256.
    pub const IQ3_XXS: Self = Self(18);
    /// 1.56-bit codebook super-blocks of 256.
    pub const IQ1_S: Self = Self(19);
    /// 4.5-bit non-linear blocks of 32.
    pub const IQ4_NL: Self = Self(20);
    /// 3.44-bit codebook super-blocks of 256.
    pub const IQ3_S: Self = Self(21);
    /// 2.56-bit codebook super-blocks of 256.
    pub const IQ2_S: Self = Self(22);
    /// 4.25-bit non-linear super-blocks of 256.
    pub const IQ4_XS: Self = Self(23);
    /// 8-bit integer.
    pub const I8: Self = Self(24);
    /// 16-bit integer.
    pub const I16: Self = Self(25);
    /// 32-bit integer.
    pub const I32: Self = Self(26);
    /// 64-bit integer.
    pub const I64: Self = Self(27);
    /// 64-bit IEEE float.
    pub const F64: Self = Self(28);
    /// 1.75-bit codebook super-blocks of 256.
    pub const IQ1_M: Self = Self(29);
    /// bfloat16: the upper half of an IEEE 32-bit float.
    pub const BF16: Self = Self(30);
    /// 1.69-bit ternary super-blocks of 256.
    pub const TQ1_0: Self = Self(34);
    /// 2.06-bit ternary super-blocks of 256.
    pub const TQ2_0: Self = Self(35);
    /// 4-bit microscaling floats, blocks of 32 with one E8M0 exponent.
    pub const MXFP4: Self = Self(39);
    /// 4-bit floats, blocks of 64 with four UE4M3 scales.
    pub const NVFP4: Self = Self(40);
    /// 1-bit blocks of 128 with one scale.
    pub const Q1_0: Self = Self(41);
    /// 2-bit blocks of 64 with one scale.
    pub const Q2_0: Self = Self(42);
}

/// One line of a table: type, name, weights and bytes of a block.
struct Row(TensorType, &'static str, u32, u32);

use TensorType as T;
/// The types of ggml, in the order of the ids.
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
    /// Every type of ggml, in the order of the ids.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(|row| row.0)
    }

    const fn row(self) -> Option<&'static Row> {
        let mut i = 0;
        while i < TABLE.len() {
            if TABLE[i].0.0 == self.0 {
                return Some(&TABLE[i]);
            }
            i += 1;
        }
        None
    }

    fn foreign_row(self) -> Option<&'static Foreign> {
        foreign::TABLE.iter().find(|row| row.id == self.0)
    }

    /// The type of a file's numeric id, known or not.
    pub const fn from_id(id: u32) -> Self {
        Self(id)
    }

    /// The numeric id stored in files.
    pub const fn id(self) -> u32 {
        self.0
    }

    /// The type of ggml with a name, in any letter case: `q4_k` is `Q4_K`.
    pub fn from_name(name: &str) -> Option<Self> {
        TABLE
            .iter()
            .find(|row| row.1.eq_ignore_ascii_case(name))
            .map(|row| row.0)
    }

    /// The field's name of the type, `Q4_K`; `unknown` for an id that has none here.
    pub fn name(self) -> &'static str {
        match (self.row(), self.foreign_row()) {
            (Some(row), _) => row.1,
            (None, Some(row)) => row.name,
            (None, None) => "unknown",
        }
    }

    /// True for a type that ggml does not have: one of a fork, a removed or an unknown one.
    pub const fn is_foreign(self) -> bool {
        self.row().is_none()
    }

    /// Weights in a block (1 for unquantized types and for those of an unknown layout).
    pub const fn block_elems(self) -> usize {
        match self.row() {
            Some(row) => row.2 as usize,
            None => foreign::layout(self.0).0 as usize,
        }
    }

    /// Bytes of a block; 0 if the layout is not known.
    pub const fn block_bytes(self) -> usize {
        match self.row() {
            Some(row) => row.3 as usize,
            None => foreign::layout(self.0).1 as usize,
        }
    }

    /// Stored bits per weight, scales of blocks included; 0 if the layout is not known.
    pub fn bits_per_weight(self) -> f64 {
        self.block_bytes() as f64 * 8.0 / self.block_elems() as f64
    }

    /// Bytes of a row of `cols` weights; `None` if `cols` is not a multiple of the block, the
    /// layout is not known, or the product overflows.
    pub fn row_bytes(self, cols: u64) -> Option<u64> {
        let (elems, bytes) = (self.block_elems() as u64, self.block_bytes() as u64);
        if !cols.is_multiple_of(elems) || bytes == 0 {
            return None;
        }
        let blocks = (cols / elems).checked_mul(bytes)?;
        match self.is_foreign() {
            true => blocks.checked_add(self.foreign_row()?.row_bytes.into()),
            false => Some(blocks),
        }
    }

    /// True for block formats (more than one weight in a block).
    pub const fn is_quantized(self) -> bool {
        self.block_elems() > 1
    }
}

/// `Q4_K`; a foreign type by number, name and origin: `type 139 (IQ4_K of ik_llama.cpp)`.
impl std::fmt::Display for TensorType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.row(), self.foreign_row()) {
            (Some(row), _) => f.pad(row.1),
            (None, Some(row)) => f.pad(&format!("type {} ({}{})", self.0, row.name, row.origin)),
            (None, None) => f.pad(&format!("type {} (unknown)", self.0)),
        }
    }
}

impl std::fmt::Debug for TensorType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back_to_the_type() {
        for t in TensorType::all() {
            assert!(!t.is_foreign());
            assert_eq!(TensorType::from_name(&t.name().to_lowercase()), Some(t));
            assert!(t.block_elems() > 0 && t.block_bytes() > 0);
        }
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

    #[test]
    fn foreign_types_are_shown_by_number_name_and_origin() {
        for (id, shown, block) in [
            (4, "type 4 (Q4_2, removed from ggml)", (16, 10)),
            (31, "type 31 (Q4_0_4_4, removed from ggml)", (32, 18)),
            (
                36,
                "type 36 (I2_S of bitnet.cpp, or IQ4_NL_4_4, removed from ggml)",
                (1, 0),
            ),
            (139, "type 139 (IQ4_K of ik_llama.cpp)", (256, 144)),
            (399, "type 399 (Q8_K_R8 of ik_llama.cpp)", (256, 258)),
            (43, "type 43 (unknown)", (1, 0)),
            (u32::MAX, "type 4294967295 (unknown)", (1, 0)),
        ] {
            let ty = TensorType::from_id(id);
            assert!(ty.is_foreign() && ty.id() == id);
            assert_eq!(ty.to_string(), shown);
            assert_eq!((ty.block_elems(), ty.block_bytes()), block, "{ty}");
        }
        let iq4_ks = TensorType::from_id(144);
        assert_eq!(iq4_ks.row_bytes(512), Some(4 + 2 * 136), "a scale per row");
        assert_eq!(TensorType::from_id(43).row_bytes(512), None);
    }

    #[test]
    fn no_foreign_id_is_in_two_tables_or_out_of_order() {
        assert!(foreign::TABLE.is_sorted_by(|a, b| a.id < b.id));
        for row in foreign::TABLE {
            let ty = TensorType::from_id(row.id);
            assert!(ty.is_foreign(), "{ty}");
            assert!(row.block_elems > 0 && row.row_bytes < 64, "{ty}");
        }
    }
}
