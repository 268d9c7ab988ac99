//! Mixes: tables of rules, walked from the top, that give a tensor its block type.

pub(crate) mod current;
pub(crate) mod v2023_11;

use crate::{FileType, ModelShape, Role};
use aeolus_gguf::TensorType;
use std::fmt;

/// The rules of a vintage.
#[derive(Debug)]
pub struct Mix {
    /// The first that fits decides; a matrix that none fits gets the file's base type.
    pub rules: &'static [Rule],
    /// Left: a type of 256-weight blocks. Right: what replaces it where 256 does not divide the
    /// row. Where the right one's 32 does not either, the tensor becomes [`LAST_RESORT`](Self::LAST_RESORT).
    pub fallbacks: &'static [(TensorType, TensorType)],
    /// The role of `token_embd` in a model that has no `output`, where the embedding serves as
    /// both.
    pub tied_embedding: Role,
}

/// One line of a mix: which tensors, and the type they get.
#[derive(Debug)]
pub struct Rule {
    /// The tensor's part in the model.
    pub role: Role,
    /// In files of these types.
    pub files: &'static [FileType],
    /// In these layers.
    pub layers: Layers,
    /// Of these models.
    pub models: Models,
    /// What such a tensor gets.
    pub ty: TensorType,
}

const fn rule(
    role: Role,
    files: &'static [FileType],
    layers: Layers,
    models: Models,
    ty: TensorType,
) -> Rule {
    Rule {
        role,
        files,
        layers,
        models,
        ty,
    }
}

/// Which layers a rule is for, by the number in the tensor's name; divisions round down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layers {
    /// Every layer, and tensors outside the layers.
    All,
    /// The first so many.
    First(u32),
    /// The first one in so many: `layers / n`.
    FirstOneIn(u32),
    /// The first eighth, the last eighth (from `7 * layers / 8`), and every third between: the
    /// third, sixth ... after the first eighth.
    MoreBits,
}

/// Which models a rule is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Models {
    /// Every model.
    Any,
    /// At least four query heads share a key-value head, so attn_k and attn_v are small.
    Grouped4,
    /// Llama 2 70B and its kin, told by 80 layers and fewer key-value heads than heads.
    Llama70B,
}

impl Layers {
    /// Does layer `layer` of `count` belong? `None` is a tensor outside the layers.
    pub fn contains(self, layer: Option<u64>, count: u32) -> bool {
        if self == Self::All {
            return true;
        }
        let count = u64::from(count);
        layer.is_some_and(|layer| match self {
            Self::All => true,
            Self::First(n) => layer < u64::from(n),
            Self::FirstOneIn(n) => layer < count / u64::from(n.max(1)),
            Self::MoreBits => {
                let eighth = count / 8;
                layer < eighth || layer >= 7 * count / 8 || (layer - eighth) % 3 == 2
            }
        })
    }
}

impl Models {
    /// Does the model belong?
    pub fn contains(self, model: &ModelShape) -> bool {
        match self {
            Self::Any => true,
            Self::Grouped4 => model
                .heads
                .checked_div(model.kv_heads)
                .is_some_and(|ratio| ratio >= 4),
            Self::Llama70B => model.layers == 80 && model.heads != model.kv_heads,
        }
    }
}

impl Mix {
    /// What a row that no block divides is stored in.
    pub const LAST_RESORT: TensorType = TensorType::F16;

    /// The first rule for a tensor of `role` in `layer` of `model`, in a file of `file_type`.
    pub fn rule(
        &self,
        role: Role,
        file_type: FileType,
        layer: Option<u64>,
        model: &ModelShape,
    ) -> Option<&'static Rule> {
        self.rules.iter().find(|rule| {
            rule.role == role
                && rule.files.contains(&file_type)
                && rule.layers.contains(layer, model.layers)
                && rule.models.contains(model)
        })
    }

    /// `ty`, or what replaces it in rows of `cols` weights.
    pub fn fitting(&self, ty: TensorType, cols: u64) -> TensorType {
        let fits = |ty: &TensorType| ty.row_bytes(cols).is_some();
        if fits(&ty) {
            return ty;
        }
        let replaced = self.fallbacks.iter().find(|row| row.0 == ty);
        replaced
            .map(|row| row.1)
            .filter(fits)
            .unwrap_or(Self::LAST_RESORT)
    }
}

impl Rule {
    /// The rule in words, for the one file type at hand.
    pub(crate) fn within(&self, file_type: FileType) -> String {
        self.words(file_type.name())
    }

    fn words(&self, files: &str) -> String {
        let layers = match self.layers {
            Layers::All => String::new(),
            Layers::First(n) => format!(" in the first {n} layers"),
            Layers::FirstOneIn(n) => format!(" in the first 1/{n} of the layers"),
            Layers::MoreBits => {
                " in the first 1/8, the last 1/8 and every third layer between".to_owned()
            }
        };
        let models = match self.models {
            Models::Any => "",
            Models::Grouped4 => " where 4 or more heads share a key-value head",
            Models::Llama70B => " of an 80-layer model with shared key-value heads",
        };
        let (role, ty) = (self.role.name(), self.ty);
        format!("{role} of {files}{layers}{models}: {ty}")
    }
}

/// `ffn_down of Q4_K_S in the first 4 layers: Q5_K`.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let files: Vec<_> = self.files.iter().map(|file| file.name()).collect();
        f.pad(&self.words(&files.join(", ")))
    }
}

#[cfg(test)]
mod tests;
