//! The file types: what a whole file is called, and the one table of what goes with the name.

use crate::{Error, Vintage, near};
use aeolus_gguf::TensorType;
use std::collections::BTreeSet;
use std::path::Path;

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
    /// Q1_0.
    Q1_0,
    /// IQ1_S, with Q2_K and wider where it hurts most.
    IQ1_S,
    /// TQ1_0.
    TQ1_0,
    /// IQ1_M, with Q2_K and wider where it hurts most.
    IQ1_M,
    /// IQ2_XXS, with Q2_K and wider where it hurts most.
    IQ2_XXS,
    /// TQ2_0.
    TQ2_0,
    /// Q2_0.
    Q2_0,
    /// IQ2_XS, with Q2_K and wider where it hurts most.
    IQ2_XS,
    /// IQ2_XS, with IQ3_S where it hurts most.
    IQ2_S,
    /// IQ2_S, with IQ3_S where it hurts most.
    IQ2_M,
    /// Q2_K, small.
    Q2_K_S,
    /// Mostly Q2_K, with Q3_K and wider where it hurts most.
    Q2_K,
    /// Q2_K with embedding and output in Q8_0.
    Q2_K_L,
    /// IQ3_XXS, with IQ2_S for queries and keys.
    IQ3_XXS,
    /// IQ3_S, with IQ3_XXS in the middle layers.
    IQ3_XS,
    /// Q3_K, small.
    Q3_K_S,
    /// IQ3_S.
    IQ3_S,
    /// IQ3_S, with Q4_K where it hurts most.
    IQ3_M,
    /// Q3_K, medium.
    Q3_K_M,
    /// Q3_K, large.
    Q3_K_L,
    /// Q3_K_L with embedding and output in Q8_0.
    Q3_K_XL,
    /// IQ4_XS.
    IQ4_XS,
    /// Stacks of experts in MXFP4, everything else in Q8_0.
    MXFP4_MOE,
    /// Q4_0.
    Q4_0,
    /// IQ4_NL.
    IQ4_NL,
    /// Q4_1.
    Q4_1,
    /// Q4_K, small.
    Q4_K_S,
    /// Q4_K, medium.
    Q4_K_M,
    /// Q4_K_M with embedding and output in Q8_0.
    Q4_K_L,
    /// Q5_0.
    Q5_0,
    /// Q5_1.
    Q5_1,
    /// Q5_K, small.
    Q5_K_S,
    /// Q5_K, medium.
    Q5_K_M,
    /// Q5_K_M with embedding and output in Q8_0.
    Q5_K_L,
    /// Q6_K.
    Q6_K,
    /// Q6_K with embedding and output in Q8_0.
    Q6_K_L,
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
    stock: FileType,
}

#[rustfmt::skip]
const fn row(
    file_type: FileType, name: &'static str, ftype_id: u32, base: TensorType, bits: u32,
    alias: Option<&'static str>, description: &'static str,
) -> Row {
    Row { file_type, name, ftype_id, base, bits, alias, description, stock: file_type }
}

/// A publishers' name for a mix that is `stock` but for a few tensors.
const fn like(row: Row, stock: FileType) -> Row {
    Row { stock, ..row }
}

use FileType as F;
use TensorType as T;

/// In the order of the enum. Ids are those of llama.cpp's `llama_ftype`, kept in
/// `general.file_type`; the publishers' names have none and keep that of the mix they are like.
#[rustfmt::skip]
const ROWS: [Row; 40] = [
    row(F::F32,       "F32",        0, T::F32,     32, None, "lossless; the size of two 16-bit files - for measuring against"),
    row(F::F16,       "F16",        1, T::F16,     16, None, "unquantized; exact for float16 models - for quantizing from"),
    row(F::BF16,      "BF16",      32, T::BF16,    16, None, "unquantized; exact for bfloat16 models - for quantizing from"),
    row(F::Q1_0,      "Q1_0",      40, T::Q1_0,     1, None, "for models trained with 1-bit weights - no use for others"),
    row(F::IQ1_S,     "IQ1_S",     24, T::IQ1_S,    1, None, "smallest of all, very high quality loss - needs an importance matrix"),
    row(F::TQ1_0,     "TQ1_0",     36, T::TQ1_0,    1, None, "for models trained with ternary weights - no use for others"),
    row(F::IQ1_M,     "IQ1_M",     31, T::IQ1_M,    1, None, "extremely small, very high quality loss - needs an importance matrix"),
    row(F::IQ2_XXS,   "IQ2_XXS",   19, T::IQ2_XXS,  2, None, "very small, high quality loss - needs an importance matrix"),
    row(F::TQ2_0,     "TQ2_0",     37, T::TQ2_0,    2, None, "for models trained with ternary weights; larger and faster than TQ1_0 - no use for others"),
    row(F::Q2_0,      "Q2_0",      41, T::Q2_0,     2, None, "for models trained with 2-bit weights - no use for others"),
    row(F::IQ2_XS,    "IQ2_XS",    20, T::IQ2_XS,   2, None, "very small, high quality loss - needs an importance matrix"),
    row(F::IQ2_S,     "IQ2_S",     28, T::IQ2_XS,   2, None, "very small, high quality loss - needs an importance matrix"),
    row(F::IQ2_M,     "IQ2_M",     29, T::IQ2_S,    2, None, "very small, substantial quality loss - needs an importance matrix"),
    row(F::Q2_K_S,    "Q2_K_S",    21, T::Q2_K,     2, None, "very small, high quality loss - needs an importance matrix"),
    row(F::Q2_K,      "Q2_K",      10, T::Q2_K,     2, None, "smallest, significant quality loss - not recommended for most purposes"),
    like(row(F::Q2_K_L, "Q2_K_L", 10, T::Q2_K, 2, None, "Q2_K with embedding and output in Q8_0"), F::Q2_K),
    row(F::IQ3_XXS,   "IQ3_XXS",   23, T::IQ3_XXS,  3, None, "very small, substantial quality loss - needs an importance matrix"),
    row(F::IQ3_XS,    "IQ3_XS",    22, T::IQ3_S,    3, None, "very small, substantial quality loss - needs an importance matrix"),
    row(F::Q3_K_S,    "Q3_K_S",    11, T::Q3_K,     3, None, "very small, high quality loss"),
    row(F::IQ3_S,     "IQ3_S",     26, T::IQ3_S,    3, None, "very small, less loss than Q3_K_S at its size"),
    row(F::IQ3_M,     "IQ3_M",     27, T::IQ3_S,    3, None, "very small, less loss than Q3_K_M at a smaller size"),
    row(F::Q3_K_M,    "Q3_K_M",    12, T::Q3_K,     3, Some("Q3_K"), "very small, high quality loss"),
    row(F::Q3_K_L,    "Q3_K_L",    13, T::Q3_K,     3, None, "small, substantial quality loss"),
    like(row(F::Q3_K_XL, "Q3_K_XL", 13, T::Q3_K, 3, None, "Q3_K_L with embedding and output in Q8_0"), F::Q3_K_L),
    row(F::IQ4_XS,    "IQ4_XS",    30, T::IQ4_XS,   4, None, "small, about as good as Q4_K_S and smaller - recommended with an importance matrix"),
    row(F::MXFP4_MOE, "MXFP4_MOE", 38, T::MXFP4,    4, None, "for models whose experts were trained in MXFP4; everything else in Q8_0"),
    row(F::Q4_0,      "Q4_0",       2, T::Q4_0,     4, None, "legacy; small, very high quality loss - prefer using Q3_K_M"),
    row(F::IQ4_NL,    "IQ4_NL",    25, T::IQ4_NL,   4, None, "small, as IQ4_XS for rows that 256 does not divide"),
    row(F::Q4_1,      "Q4_1",       3, T::Q4_1,     4, None, "legacy; small, substantial quality loss - prefer using Q4_K_S"),
    row(F::Q4_K_S,    "Q4_K_S",    14, T::Q4_K,     4, None, "small, greater quality loss"),
    row(F::Q4_K_M,    "Q4_K_M",    15, T::Q4_K,     4, Some("Q4_K"), "medium, balanced quality - recommended"),
    like(row(F::Q4_K_L, "Q4_K_L", 15, T::Q4_K, 4, None, "Q4_K_M with embedding and output in Q8_0"), F::Q4_K_M),
    row(F::Q5_0,      "Q5_0",       8, T::Q5_0,     5, None, "legacy; medium, balanced quality - prefer using Q4_K_M"),
    row(F::Q5_1,      "Q5_1",       9, T::Q5_1,     5, None, "legacy; large, low quality loss - prefer using Q5_K_M"),
    row(F::Q5_K_S,    "Q5_K_S",    16, T::Q5_K,     5, None, "large, low quality loss - recommended"),
    row(F::Q5_K_M,    "Q5_K_M",    17, T::Q5_K,     5, Some("Q5_K"), "large, very low quality loss - recommended"),
    like(row(F::Q5_K_L, "Q5_K_L", 17, T::Q5_K, 5, None, "Q5_K_M with embedding and output in Q8_0"), F::Q5_K_M),
    row(F::Q6_K,      "Q6_K",      18, T::Q6_K,     6, None, "very large, extremely low quality loss"),
    like(row(F::Q6_K_L, "Q6_K_L", 18, T::Q6_K, 6, None, "Q6_K with embedding and output in Q8_0"), F::Q6_K),
    row(F::Q8_0,      "Q8_0",       7, T::Q8_0,     8, None, "very large, extremely low quality loss - not recommended"),
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

    /// Every file type that there is: the unquantized ones, then the others from few bits to many.
    /// Not all of them can be written ([`all`](Self::all)).
    pub fn known() -> impl Iterator<Item = Self> {
        ROWS.iter().map(|row| row.file_type)
    }

    /// The file types that can be written: those of whose block types each has an encoder.
    pub fn all() -> impl Iterator<Item = Self> {
        Self::known().filter(|file_type| file_type.check_writable().is_ok())
    }

    /// Whether files of the type can be written.
    ///
    /// # Errors
    /// [`Error::FileTypeNotWritable`] with the first block type that has no encoder.
    pub fn check_writable(self) -> Result<(), Error> {
        let mut types = self.block_types().into_iter();
        match types.find(|ty| !aeolus_quant::is_encodable(*ty)) {
            Some(ty) => Err(Error::FileTypeNotWritable {
                file_type: self,
                ty,
            }),
            None => Ok(()),
        }
    }

    /// The block types that tensors of such a file may have by the mixes, those that they fall
    /// back to included.
    pub fn block_types(self) -> BTreeSet<TensorType> {
        let mut types = BTreeSet::from([self.base()]);
        for mix in Vintage::ALL.map(|vintage| vintage.facts().mix) {
            types.extend(mix.types(self));
        }
        types
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
    /// [`Error::UnknownFileType`], with the names nearest to what was given;
    /// [`Error::FileTypeNotWritable`] for a type that cannot be written.
    pub fn parse(name: &str) -> Result<Self, Error> {
        let given = name.trim();
        let file_type = ROWS
            .iter()
            .find(|row| {
                let mut names = std::iter::once(row.name).chain(row.alias);
                names.any(|name| name.eq_ignore_ascii_case(given))
            })
            .map(|row| row.file_type)
            .ok_or_else(|| Error::UnknownFileType {
                found: name.to_owned(),
                near: near::nearest(given, Self::all().map(Self::name)),
            })?;
        file_type.check_writable().map(|()| file_type)
    }

    /// The file type of a `general.file_type` value, `None` if there is none, never one of the
    /// publishers' names. Whether it can be written is another question.
    pub fn from_ftype_id(id: u32) -> Option<Self> {
        Self::known().find(|file_type| file_type.ftype_id() == id)
    }

    /// The file type of a file with that `general.file_type`. Publishers' names have no number of
    /// their own: one is told by the file's name, `model.Q4_K_L.gguf`.
    pub fn of_file(id: u32, path: &Path) -> Option<Self> {
        let stem = path.file_stem().and_then(|stem| stem.to_str());
        let words: Vec<&str> = stem.unwrap_or("").split(['.', '-']).collect();
        let named = Self::known().find(|file_type| {
            let is_name = |word: &&str| word.eq_ignore_ascii_case(file_type.name());
            let own_number = file_type.stock() == *file_type;
            !own_number && file_type.ftype_id() == id && words.iter().any(is_name)
        });
        named.or_else(|| Self::from_ftype_id(id))
    }

    /// The field's name, `Q4_K_M`.
    pub const fn name(self) -> &'static str {
        self.row().name
    }

    /// The mix that the type has but for the tensors in its name: Q4_K_M of Q4_K_L. Itself for
    /// most.
    pub const fn stock(self) -> Self {
        self.row().stock
    }

    /// The value of `general.file_type`.
    pub const fn ftype_id(self) -> u32 {
        self.row().ftype_id
    }

    /// The block type of every matrix that no rule takes.
    pub const fn base(self) -> TensorType {
        self.row().base
    }

    /// The nominal bits of a weight, as publishers list them: 1 to 8, or 16 and 32. The true
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
            assert_eq!(FileType::from_ftype_id(row.ftype_id), Some(row.stock));
            let stock = row.stock.row();
            assert_eq!((row.ftype_id, row.base), (stock.ftype_id, stock.base));
            match (FileType::parse(row.name), row.file_type.check_writable()) {
                (Ok(parsed), Ok(())) => assert_eq!(parsed, row.file_type),
                (Err(parsed), Err(writable)) => {
                    assert_eq!(parsed.to_string(), writable.to_string());
                }
                (parsed, writable) => panic!("{}: {parsed:?}, {writable:?}", row.name),
            }
        }
        assert_eq!(FileType::from_ftype_id(4), None);
    }

    #[test]
    fn a_file_type_is_listed_when_all_its_block_types_can_be_encoded() {
        for file_type in FileType::known() {
            let types = file_type.block_types();
            assert!(types.contains(&file_type.base()), "{file_type}");
            let encodable = types.iter().all(|ty| aeolus_quant::is_encodable(*ty));
            let listed = FileType::all().any(|listed| listed == file_type);
            assert_eq!(listed, encodable, "{file_type}: {types:?}");
        }
        assert_eq!(
            Vec::from_iter(F::Q4_K_L.block_types()),
            [T::Q5_0, T::Q5_1, T::Q8_0, T::Q4_K, T::Q5_K, T::Q6_K]
        );
        let types = F::IQ4_XS.block_types();
        assert!(types.contains(&T::IQ4_NL), "what it falls back to");
        let error = Error::FileTypeNotWritable {
            file_type: F::IQ4_XS,
            ty: T::IQ4_NL,
        };
        assert!(error.to_string().starts_with(
            "IQ4_XS files cannot be written, since there is no encoder for IQ4_NL, expected one \
             of F32, F16, BF16, "
        ));
    }

    #[test]
    fn publishers_names_are_told_by_the_files_name() {
        let of = |id, name: &str| FileType::of_file(id, Path::new(name));
        assert_eq!(of(15, "out.d/model.Q4_K_L.gguf"), Some(F::Q4_K_L));
        let part = "model-q4_k_l-00001-of-00002.gguf";
        assert_eq!(of(15, part), Some(F::Q4_K_L));
        assert_eq!(of(15, "model.Q4_K_M.gguf"), Some(F::Q4_K_M));
        assert_eq!(of(15, "Q4_K_L/model.gguf"), Some(F::Q4_K_M));
        assert_eq!(of(17, "model.Q4_K_L.gguf"), Some(F::Q5_K_M));
        assert_eq!(of(4, "model.Q4_K_L.gguf"), None);
    }

    #[test]
    fn ids_are_those_of_general_file_type() {
        let ids = [10, 11, 12, 13, 2, 14, 15, 8, 16, 17, 18, 7];
        assert_eq!(FileType::TABLE.map(FileType::ftype_id), ids);
        let others = [F::F32, F::F16, F::BF16, F::Q4_1, F::Q5_1];
        assert_eq!(others.map(FileType::ftype_id), [0, 1, 32, 3, 9]);
        let later = [
            (F::IQ2_XXS, 19),
            (F::IQ2_XS, 20),
            (F::Q2_K_S, 21),
            (F::IQ3_XS, 22),
            (F::IQ3_XXS, 23),
            (F::IQ1_S, 24),
            (F::IQ4_NL, 25),
            (F::IQ3_S, 26),
            (F::IQ3_M, 27),
            (F::IQ2_S, 28),
            (F::IQ2_M, 29),
            (F::IQ4_XS, 30),
            (F::IQ1_M, 31),
            (F::TQ1_0, 36),
            (F::TQ2_0, 37),
            (F::MXFP4_MOE, 38),
            (F::Q1_0, 40),
            (F::Q2_0, 41),
            (F::Q4_K_L, 15),
        ];
        for (file_type, id) in later {
            assert_eq!(file_type.ftype_id(), id, "{file_type}");
        }
    }

    #[test]
    fn bits_and_base_agree_with_the_name() {
        for file_type in FileType::known() {
            let digits: String = file_type
                .name()
                .trim_start_matches(|c: char| !c.is_ascii_digit())
                .chars()
                .take_while(char::is_ascii_digit)
                .collect();
            assert_eq!(file_type.bits().to_string(), digits, "{file_type}");
            let kind = |name: &'static str| name.split('_').next();
            assert_eq!(kind(file_type.name()), kind(file_type.base().name()));
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
        assert!(
            message("Q5_2").starts_with(r#"unknown file type "Q5_2", did you mean Q5_0, Q5_1 or "#)
        );
        assert!(message("fp16").contains("did you mean F16"));
        let all: Vec<_> = FileType::all().map(FileType::name).collect();
        let listed = format!("expected one of {}", all.join(", "));
        assert!(message("").ends_with(&listed));
        assert!(message("best").contains("expected one of"));
    }
}
