//! The file types: what a whole file is called, and the one table of what goes with the name.

use crate::{Error, near};
use aeolus_gguf::TensorType;

/// What a GGUF file as a whole is called by: a mix of block types for its tensors, or one plain
/// float type.
///
/// Which tensor gets which block type is the affair of a [`Mix`](crate::Mix).
#[allow(
    non_camel_case_types,
    reason = "file types keep the spelling of the field: Q4_K_M"
)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum FileType {
    /// All tensors in 32-bit floats.
    F32,
    /// Matrices in 16-bit IEEE floats.
    F16,
    /// Matrices in bfloat16.
    BF16,
    /// Mostly Q2_K, with Q3_K and wider where it hurts most.
    Q2_K,
    /// Q3_K, small.
    Q3_K_S,
    /// Q3_K, medium.
    Q3_K_M,
    /// Q3_K, large.
    Q3_K_L,
    /// Q4_0.
    Q4_0,
    /// Q4_1.
    Q4_1,
    /// Q4_K, small.
    Q4_K_S,
    /// Q4_K, medium.
    Q4_K_M,
    /// Q5_0.
    Q5_0,
    /// Q5_1.
    Q5_1,
    /// Q5_K, small.
    Q5_K_S,
    /// Q5_K, medium.
    Q5_K_M,
    /// Q6_K.
    Q6_K,
    /// Q8_0.
    Q8_0,
}

/// One line of the table.
struct Row {
    file_type: FileType,
    name: &'static str,
    ftype_id: u32,
    base: TensorType,
    bits: u32,
    alias: Option<&'static str>,
    description: &'static str,
}

#[rustfmt::skip]
const fn row(
    file_type: FileType, name: &'static str, ftype_id: u32, base: TensorType, bits: u32,
    alias: Option<&'static str>, description: &'static str,
) -> Row {
    Row { file_type, name, ftype_id, base, bits, alias, description }
}

use FileType as F;
use TensorType as T;

/// In the order of the enum. Ids are those of llama.cpp's `llama_ftype`, kept in
/// `general.file_type`.
#[rustfmt::skip]
const ROWS: [Row; 17] = [
    //  type        name     id  base      bits alias         use
    row(F::F32,    "F32",     0, T::F32,   32, None,         "lossless; the size of two 16-bit files - for measuring against"),
    row(F::F16,    "F16",     1, T::F16,   16, None,         "unquantized; exact for float16 models - for quantizing from"),
    row(F::BF16,   "BF16",   32, T::BF16,  16, None,         "unquantized; exact for bfloat16 models - for quantizing from"),
    row(F::Q2_K,   "Q2_K",   10, T::Q2_K,   2, None,         "smallest, significant quality loss - not recommended for most purposes"),
    row(F::Q3_K_S, "Q3_K_S", 11, T::Q3_K,   3, None,         "very small, high quality loss"),
    row(F::Q3_K_M, "Q3_K_M", 12, T::Q3_K,   3, Some("Q3_K"), "very small, high quality loss"),
    row(F::Q3_K_L, "Q3_K_L", 13, T::Q3_K,   3, None,         "small, substantial quality loss"),
    row(F::Q4_0,   "Q4_0",    2, T::Q4_0,   4, None,         "legacy; small, very high quality loss - prefer using Q3_K_M"),
    row(F::Q4_1,   "Q4_1",    3, T::Q4_1,   4, None,         "legacy; small, substantial quality loss - prefer using Q4_K_S"),
    row(F::Q4_K_S, "Q4_K_S", 14, T::Q4_K,   4, None,         "small, greater quality loss"),
    row(F::Q4_K_M, "Q4_K_M", 15, T::Q4_K,   4, Some("Q4_K"), "medium, balanced quality - recommended"),
    row(F::Q5_0,   "Q5_0",    8, T::Q5_0,   5, None,         "legacy; medium, balanced quality - prefer using Q4_K_M"),
    row(F::Q5_1,   "Q5_1",    9, T::Q5_1,   5, None,         "legacy; large, low quality loss - prefer using Q5_K_M"),
    row(F::Q5_K_S, "Q5_K_S", 16, T::Q5_K,   5, None,         "large, low quality loss - recommended"),
    row(F::Q5_K_M, "Q5_K_M", 17, T::Q5_K,   5, Some("Q5_K"), "large, very low quality loss - recommended"),
    row(F::Q6_K,   "Q6_K",   18, T::Q6_K,   6, None,         "very large, extremely low quality loss"),
    row(F::Q8_0,   "Q8_0",    7, T::Q8_0,   8, None,         "very large, extremely low quality loss - not recommended"),
];

impl FileType {
    /// The twelve types that a publisher's table lists, in its order.
    pub const TABLE: [Self; 12] = [
        F::Q2_K,
        F::Q3_K_S,
        F::Q3_K_M,
        F::Q3_K_L,
        F::Q4_0,
        F::Q4_K_S,
        F::Q4_K_M,
        F::Q5_0,
        F::Q5_K_S,
        F::Q5_K_M,
        F::Q6_K,
        F::Q8_0,
    ];

    /// Every file type: the unquantized ones, then the others from small to large.
    pub fn all() -> impl Iterator<Item = Self> {
        ROWS.iter().map(|row| row.file_type)
    }

    const fn row(self) -> &'static Row {
        // The rows are in the order of the enum, which a test checks.
        &ROWS[self as usize]
    }

    /// The file type of a name or alias, in any letter case. Q3_K, Q4_K and Q5_K are the
    /// medium mixes Q3_K_M, Q4_K_M and Q5_K_M here; as block types they are something else
    /// ([`parse_tensor_type`](crate::parse_tensor_type)).
    ///
    /// # Errors
    /// [`Error::UnknownFileType`], with the names nearest to what was given.
    pub fn parse(name: &str) -> Result<Self, Error> {
        let given = name.trim();
        ROWS.iter()
            .find(|row| {
                let mut names = std::iter::once(row.name).chain(row.alias);
                names.any(|name| name.eq_ignore_ascii_case(given))
            })
            .map(|row| row.file_type)
            .ok_or_else(|| Error::UnknownFileType {
                found: name.to_owned(),
                near: near::nearest(given, ROWS.iter().map(|row| row.name)),
            })
    }

    /// The file type of a `general.file_type` value, `None` if it is not one of ours.
    pub fn from_ftype_id(id: u32) -> Option<Self> {
        Self::all().find(|file_type| file_type.ftype_id() == id)
    }

    /// The field's name, `Q4_K_M`.
    pub const fn name(self) -> &'static str {
        self.row().name
    }

    /// The value of `general.file_type`.
    pub const fn ftype_id(self) -> u32 {
        self.row().ftype_id
    }

    /// The block type of every matrix that no rule takes.
    pub const fn base(self) -> TensorType {
        self.row().base
    }

    /// The nominal bits of a weight, as publishers list them: 2 to 8, or 16 and 32. The true
    /// figure is [`Plan::bits_per_weight`](crate::Plan::bits_per_weight).
    pub const fn bits(self) -> u32 {
        self.row().bits
    }

    /// Another name that [`parse`](Self::parse) takes.
    pub const fn alias(self) -> Option<&'static str> {
        self.row().alias
    }

    /// What the type is good for, in the words that publishers' tables use.
    pub const fn description(self) -> &'static str {
        self.row().description
    }

    /// True for mixes of block types, false for F32, F16 and BF16.
    pub const fn is_quantized(self) -> bool {
        self.base().is_quantized()
    }
}

impl std::fmt::Display for FileType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

impl std::str::FromStr for FileType {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        Self::parse(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_stands_where_its_variant_does() {
        for (i, row) in ROWS.iter().enumerate() {
            assert_eq!(row.file_type as usize, i, "{}", row.name);
            assert_eq!(format!("{:?}", row.file_type), row.name);
            assert_eq!(FileType::parse(row.name).unwrap(), row.file_type);
            assert_eq!(FileType::from_ftype_id(row.ftype_id), Some(row.file_type));
        }
        assert_eq!(FileType::from_ftype_id(4), None);
    }

    #[test]
    fn ids_are_those_of_general_file_type() {
        let ids = [10, 11, 12, 13, 2, 14, 15, 8, 16, 17, 18, 7];
        assert_eq!(FileType::TABLE.map(FileType::ftype_id), ids);
        let others = [F::F32, F::F16, F::BF16, F::Q4_1, F::Q5_1];
        assert_eq!(others.map(FileType::ftype_id), [0, 1, 32, 3, 9]);
    }

    #[test]
    fn bits_and_base_agree_with_the_name() {
        for file_type in FileType::all() {
            let digits: String = file_type
                .name()
                .trim_start_matches(|c: char| !c.is_ascii_digit())
                .chars()
                .take_while(char::is_ascii_digit)
                .collect();
            assert_eq!(file_type.bits().to_string(), digits, "{file_type}");
            assert!(file_type.name().starts_with(file_type.base().name()));
            assert_eq!(file_type.is_quantized(), file_type.bits() <= 8);
        }
    }

    #[test]
    fn names_parse_in_any_letter_case_and_aliases_are_medium() {
        for (name, expected) in [
            ("q4_k_m", F::Q4_K_M),
            ("Q4_k", F::Q4_K_M),
            ("Q3_K", F::Q3_K_M),
            ("q5_k", F::Q5_K_M),
            (" bf16 ", F::BF16),
            ("Q2_K", F::Q2_K),
        ] {
            assert_eq!(name.parse::<FileType>().unwrap(), expected, "{name}");
        }
    }

    #[test]
    fn a_typo_is_answered_with_near_names() {
        let message = |name| FileType::parse(name).unwrap_err().to_string();
        assert_eq!(
            message("Q4_KM"),
            r#"unknown file type "Q4_KM", did you mean Q4_K_M?"#
        );
        assert_eq!(
            message("Q7_0"),
            r#"unknown file type "Q7_0", did you mean Q4_0, Q5_0 or Q8_0?"#
        );
        assert!(message("fp16").contains("did you mean F16"));
        assert!(message("").ends_with("expected one of F32, F16, BF16, Q2_K, Q3_K_S, Q3_K_M, Q3_K_L, Q4_0, Q4_1, Q4_K_S, Q4_K_M, Q5_0, Q5_1, Q5_K_S, Q5_K_M, Q6_K, Q8_0"));
        assert!(message("best").contains("expected one of"));
    }
}
