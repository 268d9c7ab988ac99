//! Vintages: the same file type held other block types, and came from other tools, over the years.

use crate::mix::{Mix, current, v2023_11};
use crate::{Error, FileType, Importance, ModelShape};
use std::fmt;

/// The tools of which year are followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Vintage {
    /// llama.cpp as it was in November 2023, when most published tables were made.
    V2023_11,
    /// llama.cpp as it is now (late 2026).
    Current,
}

/// Whether a vintage's tools could make the files of a model, or what they did not know.
type Supports = fn(&ModelShape, FileType, Importance) -> Result<(), String>;

/// All that a vintage decides.
#[derive(Debug)]
pub struct VintageFacts {
    /// The mixes behind the file types.
    pub mix: &'static Mix,
    /// bf16 weights are rounded to f16 before they are quantized, since the converter of that time
    /// wrote f16 files.
    pub through_f16: bool,
    /// The merges of a SentencePiece tokenizer are written, though nothing reads them.
    pub sentencepiece_merges: bool,
    /// What its tools could make; `None` for all that there is.
    supports: Option<Supports>,
}

impl Vintage {
    /// Every vintage, oldest first.
    pub const ALL: [Self; 2] = [Self::V2023_11, Self::Current];

    /// `2023-11` or `current`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::V2023_11 => "2023-11",
            Self::Current => "current",
        }
    }

    /// What it decides.
    pub const fn facts(self) -> &'static VintageFacts {
        match self {
            Self::V2023_11 => &VintageFacts {
                mix: &v2023_11::MIX,
                through_f16: true,
                sentencepiece_merges: true,
                supports: Some(supported_in_2023),
            },
            Self::Current => &VintageFacts {
                mix: &current::MIX,
                through_f16: false,
                sentencepiece_merges: false,
                supports: None,
            },
        }
    }

    /// The vintage that a file has unless the user names one: the oldest whose tools could make
    /// it. So the models of 2023 get the files of 2023.
    pub fn default_for(model: &ModelShape, file_type: FileType, importance: Importance) -> Self {
        let mut all = Self::ALL.into_iter();
        let supports = |vintage: &Self| vintage.check(model, file_type, importance).is_ok();
        all.find(supports).unwrap_or(Self::Current)
    }

    /// Whether its tools could make such a file of the model.
    ///
    /// # Errors
    /// [`Error::VintageLacks`].
    pub fn check(
        self,
        model: &ModelShape,
        file_type: FileType,
        importance: Importance,
    ) -> Result<(), Error> {
        let Some(supports) = self.facts().supports else {
            return Ok(());
        };
        supports(model, file_type, importance).map_err(|what| Error::VintageLacks {
            vintage: self,
            what,
        })
    }

    /// The vintage of a [`name`](Self::name), in any letter case.
    ///
    /// # Errors
    /// [`Error::UnknownVintage`] for any other name.
    pub fn parse(name: &str) -> Result<Self, Error> {
        Self::ALL
            .into_iter()
            .find(|vintage| vintage.name().eq_ignore_ascii_case(name.trim()))
            .ok_or_else(|| Error::UnknownVintage {
                found: name.to_owned(),
            })
    }
}

/// Llama 1 and 2, Mistral 7B, and what is like them, in the file types of that time. Experts and
/// importance matrices came one and two months later.
fn supported_in_2023(
    model: &ModelShape,
    file_type: FileType,
    importance: Importance,
) -> Result<(), String> {
    let unknown = if model.architecture != "llama" {
        return Err(format!("the architecture {}", model.architecture));
    } else if !known_in_2023(file_type) {
        return Err(format!("the file type {file_type}"));
    } else if !matches!(&*model.tokenizer, "llama" | "none") {
        "byte-level BPE tokenizers of this architecture"
    } else if model.has_rotary_factors {
        "rotary frequencies with factors of their own"
    } else if model.has_biases {
        "biases in this architecture"
    } else if model.experts > 0 {
        "experts"
    } else if importance == Importance::Given {
        "importance matrices"
    } else {
        return Ok(());
    };
    Err(unknown.into())
}

/// Numbers were given as types came: Q6_K had the last of November 2023. BF16 came later, but has
/// no mix that could differ.
fn known_in_2023(file_type: FileType) -> bool {
    let numbered = file_type.ftype_id() <= FileType::Q6_K.ftype_id();
    file_type == FileType::BF16 || (numbered && file_type.stock() == file_type)
}

impl fmt::Display for Vintage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl std::str::FromStr for Vintage {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        Self::parse(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(architecture: &str, tokenizer: &str) -> ModelShape {
        ModelShape {
            architecture: architecture.into(),
            layers: 32,
            heads: 32,
            kv_heads: 8,
            tokenizer: tokenizer.into(),
            has_biases: false,
            has_rotary_factors: false,
            experts: 0,
            float: None,
        }
    }

    #[test]
    fn vintages_have_names() {
        for vintage in Vintage::ALL {
            assert_eq!(
                vintage.name().to_uppercase().parse::<Vintage>().unwrap(),
                vintage
            );
        }
        assert_eq!(
            Vintage::parse("2024").unwrap_err().to_string(),
            r#"unknown recipe "2024", expected one of 2023-11, current"#
        );
    }

    #[test]
    fn models_of_2023_get_its_files_and_others_get_todays() {
        let with = |change: fn(&mut ModelShape), file_type, importance| {
            let mut model = model("llama", "llama");
            change(&mut model);
            Vintage::default_for(&model, file_type, importance)
        };
        let none = Importance::None;
        let of = |change| with(change, FileType::Q4_K_M, none);
        assert_eq!(of(|_| ()), Vintage::V2023_11);
        assert_eq!(of(|m| m.tokenizer = "none".into()), Vintage::V2023_11);
        assert_eq!(of(|m| m.tokenizer = "gpt2".into()), Vintage::Current);
        assert_eq!(of(|m| m.has_biases = true), Vintage::Current);
        assert_eq!(of(|m| m.has_rotary_factors = true), Vintage::Current);
        assert_eq!(of(|m| m.architecture = "qwen2".into()), Vintage::Current);
        assert_eq!(of(|m| m.experts = 4), Vintage::Current);
        let guided = with(|_| (), FileType::Q4_K_M, Importance::Given);
        assert_eq!(guided, Vintage::Current);
        for file_type in FileType::known() {
            let name = file_type.name();
            let new = name.starts_with(['I', 'T', 'M'])
                || ["Q1_0", "Q2_0", "Q2_K_S", "Q3_K_XL"].contains(&name)
                || (name.ends_with("_L") && name != "Q3_K_L");
            let expected = if new {
                Vintage::Current
            } else {
                Vintage::V2023_11
            };
            assert_eq!(with(|_| (), file_type, none), expected, "{file_type}");
        }
    }

    #[test]
    fn a_named_vintage_says_what_its_tools_lacked() {
        let check = |model: ModelShape, file_type, importance| {
            Vintage::Current
                .check(&model, file_type, importance)
                .unwrap();
            let error = Vintage::V2023_11.check(&model, file_type, importance);
            error.unwrap_err().to_string()
        };
        let none = Importance::None;
        assert_eq!(
            check(model("qwen2", "gpt2"), FileType::Q4_K_M, none),
            "recipe 2023-11 has no such files: the tools of that time did not know the \
             architecture qwen2; --recipe current makes them"
        );
        let llama = || model("llama", "llama");
        let message = check(llama(), FileType::IQ4_XS, none);
        assert!(message.contains("did not know the file type IQ4_XS;"));
        let message = check(llama(), FileType::Q4_0, Importance::Given);
        assert!(message.contains("did not know importance matrices;"));
    }
}
