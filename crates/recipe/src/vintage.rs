//! Vintages: the same file type held other block types, and came from other tools, over the years.

use crate::mix::{Mix, current, v2023_11};
use crate::{Error, ModelShape};
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

/// Whether a model could be converted, or what its tools did not know.
type Supports = fn(&ModelShape) -> Result<(), &'static str>;

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
    /// The models that its tools could convert; `None` for all that there are.
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

    /// The vintage that a model's files have unless the user names one: the oldest whose tools could
    /// convert it. So the models of 2023 get the files of 2023.
    pub fn default_for(model: &ModelShape) -> Self {
        let mut all = Self::ALL.into_iter();
        let supports = |vintage: &Self| vintage.check(model).is_ok();
        all.find(supports).unwrap_or(Self::Current)
    }

    /// Whether its tools could convert the model.
    ///
    /// # Errors
    /// [`Error::VintageLacks`].
    pub fn check(self, model: &ModelShape) -> Result<(), Error> {
        match self.facts().supports {
            Some(supports) => supports(model).map_err(|what| Error::VintageLacks {
                vintage: self,
                what,
                architecture: model.architecture.clone(),
            }),
            None => Ok(()),
        }
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

/// Llama 1 and 2, Mistral 7B, and what is like them.
fn supported_in_2023(model: &ModelShape) -> Result<(), &'static str> {
    if model.architecture != "llama" {
        Err("this architecture")
    } else if !matches!(&*model.tokenizer, "llama" | "none") {
        Err("a byte-level BPE tokenizer")
    } else if model.has_rotary_factors {
        Err("rotary frequencies with factors of their own")
    } else if model.has_biases {
        Err("biases")
    } else {
        Ok(())
    }
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
        let with = |change: fn(&mut ModelShape)| {
            let mut model = model("llama", "llama");
            change(&mut model);
            Vintage::default_for(&model)
        };
        assert_eq!(with(|_| ()), Vintage::V2023_11);
        assert_eq!(with(|m| m.tokenizer = "none".into()), Vintage::V2023_11);
        assert_eq!(with(|m| m.tokenizer = "gpt2".into()), Vintage::Current);
        assert_eq!(with(|m| m.has_biases = true), Vintage::Current);
        assert_eq!(with(|m| m.has_rotary_factors = true), Vintage::Current);
        assert_eq!(with(|m| m.architecture = "qwen2".into()), Vintage::Current);
        let error = Vintage::V2023_11
            .check(&model("qwen2", "gpt2"))
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "recipe 2023-11 has no files of such a model (qwen2): the tools of that time did not \
             know this architecture; --recipe current makes them"
        );
        assert!(Vintage::Current.check(&model("qwen2", "gpt2")).is_ok());
    }
}
