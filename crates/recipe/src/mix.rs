//! Mixes: tables of rules, walked from the top, that give a tensor its block type.

pub(crate) mod current;
pub(crate) mod v2023_11;

use crate::{FileType, Importance, ModelShape, Role};
use aeolus_gguf::TensorType;
use std::fmt;

/// The rules of a vintage.
#[derive(Debug)]
pub struct Mix {
    /// The first that fits decides; a matrix that none fits gets the file's base type. One list
    /// after the other.
    pub rules: &'static [&'static [Rule]],
    /// What replaces a type where its blocks do not divide the row, where vintages differ in it.
    pub fallbacks: &'static [(TensorType, TensorType)],
    /// The role of embeddings in a model that has no `output`, where the embedding serves as
    /// both.
    pub tied_embedding: Role,
    /// The role of `attn_qkv`, which holds the rows of `attn_v` too.
    pub fused_attention: Role,
}

/// Left: a type of large blocks. Right: what replaces it where they do not divide the row. Where
/// the right one's 32 weights do not either, the tensor becomes
/// [`LAST_RESORT`](Mix::LAST_RESORT).
///
/// The reference has nothing for Q1_0 and NVFP4, and makes no file.
const FALLBACKS: &[(TensorType, TensorType)] = &[
    (TensorType::Q1_0, TensorType::Q4_0),
    (TensorType::Q2_0, TensorType::Q4_0),
    (TensorType::TQ1_0, TensorType::Q4_0),
    (TensorType::TQ2_0, TensorType::Q4_0),
    (TensorType::NVFP4, TensorType::Q4_0),
    (TensorType::IQ1_S, TensorType::IQ4_NL),
    (TensorType::IQ1_M, TensorType::IQ4_NL),
    (TensorType::IQ2_XXS, TensorType::IQ4_NL),
    (TensorType::IQ2_XS, TensorType::IQ4_NL),
    (TensorType::IQ2_S, TensorType::IQ4_NL),
    (TensorType::IQ3_XXS, TensorType::IQ4_NL),
    (TensorType::IQ3_S, TensorType::IQ4_NL),
    (TensorType::IQ4_XS, TensorType::IQ4_NL),
    (TensorType::Q2_K, TensorType::Q4_0),
    (TensorType::Q4_K, TensorType::Q5_0),
    (TensorType::Q5_K, TensorType::Q5_1),
    (TensorType::Q6_K, TensorType::Q8_0),
];

/// One line of a mix: which tensors, and the type they get.
#[derive(Debug)]
pub struct Rule {
    /// Which tensors.
    pub tensors: Tensors,
    /// In files of these types, and those that are like them but for other tensors.
    pub files: &'static [FileType],
    /// In these layers.
    pub layers: Layers,
    /// Of these models.
    pub models: Models,
    /// Only with an importance matrix, or only without one.
    pub importance: Option<Importance>,
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
        tensors: Tensors::Of(role),
        files,
        layers,
        models,
        importance: None,
        ty,
    }
}

impl Rule {
    /// The rule, only where there is an importance matrix, or none.
    const fn only(self, importance: Importance) -> Self {
        Self {
            importance: Some(importance),
            ..self
        }
    }
}

/// Which tensors a rule is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tensors {
    /// Those that play one part in the model.
    Of(Role),
    /// All that are one matrix and no stack of several, as of experts.
    Single,
}

/// Which layers a rule is for, by a tensor's [`Place`]; divisions round down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layers {
    /// Every layer, and tensors outside the layers.
    All,
    /// The first so many.
    First(u32),
    /// The first one in so many: `layers / n`.
    FirstOneIn(u32),
    /// The first `layers / n` tensors of a role, of which a layer with experts has several.
    FirstTensors(u32),
    /// All but the first eighth and the last eighth.
    Middle,
    /// The first eighth, the last eighth (from `7 * layers / 8`), and every third between: the
    /// third, sixth ... after the first eighth.
    MoreBits,
}

/// Where a tensor stands among others, as rules for some layers ask. Nothing is nowhere: a tensor
/// outside the layers is only in [`Layers::All`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Its layer, or its place among the tensors of its role where the reference counts those.
    pub layer: Option<u64>,
    /// How many there are of what `layer` counts.
    pub layers: u64,
    /// Its place among the tensors of its role, in the order of layers and names.
    pub tensor: Option<u64>,
}

/// Which models a rule is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Models {
    /// Every model.
    Any,
    /// At least four query heads share a key-value head, so attn_k and attn_v are small.
    Grouped4,
    /// Llama 2 70B and its kin, as the reference tells them.
    Llama70B,
    /// Both of these.
    Grouped4Llama70B,
    /// At least four experts.
    Experts4,
    /// Exactly eight experts, as Mixtral.
    Experts8,
}

impl Layers {
    /// Does a tensor there belong?
    pub fn contains(self, place: Place) -> bool {
        let one_in = |n: u32| place.layers / u64::from(n.max(1));
        let last = 7 * place.layers / 8;
        let at = |is: &dyn Fn(u64) -> bool| place.layer.is_some_and(is);
        match self {
            Self::All => true,
            Self::First(n) => at(&|layer| layer < u64::from(n)),
            Self::FirstOneIn(n) => at(&|layer| layer < one_in(n)),
            Self::FirstTensors(n) => place.tensor.is_some_and(|tensor| tensor < one_in(n)),
            Self::Middle => at(&|layer| (one_in(8)..last).contains(&layer)),
            Self::MoreBits => {
                at(&|layer| layer < one_in(8) || layer >= last || (layer - one_in(8)) % 3 == 2)
            }
        }
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
            Self::Llama70B => match &*model.architecture {
                "llama" => model.layers == 80 && model.heads != model.kv_heads,
                "qwen2" | "deci" | "olmo" => model.layers == 80,
                "jais2" => model.layers == 68,
                _ => false,
            },
            Self::Grouped4Llama70B => {
                Self::Grouped4.contains(model) && Self::Llama70B.contains(model)
            }
            Self::Experts4 => model.experts >= 4,
            Self::Experts8 => model.experts == 8,
        }
    }
}

/// What rules ask about a tensor.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case<'a> {
    pub role: Role,
    /// Several matrices in one tensor.
    pub stacked: bool,
    pub place: Place,
    pub file_type: FileType,
    pub importance: Importance,
    pub model: &'a ModelShape,
}

impl Mix {
    /// What a row that no block divides is stored in.
    pub const LAST_RESORT: TensorType = TensorType::F16;

    /// All rules, from the top.
    pub fn rules(&self) -> impl Iterator<Item = &'static Rule> + use<> {
        self.rules.iter().copied().flatten()
    }

    /// The first rule for a tensor.
    pub(crate) fn rule(&self, case: Case<'_>) -> Option<&'static Rule> {
        self.rules().find(|rule| {
            let tensors = match rule.tensors {
                Tensors::Of(role) => role == case.role,
                Tensors::Single => !case.stacked,
            };
            tensors
                && rule.is_of(case.file_type)
                && rule.layers.contains(case.place)
                && rule.models.contains(case.model)
                && rule.importance.is_none_or(|only| only == case.importance)
        })
    }

    /// The types that tensors of a file may have by these rules, and those they fall back to.
    pub(crate) fn types(&self, file_type: FileType) -> impl Iterator<Item = TensorType> {
        let ruled = self.rules().filter(move |rule| rule.is_of(file_type));
        let wanted = ruled.map(|rule| rule.ty).chain([file_type.base()]);
        wanted
            .flat_map(|ty| [Some(ty), self.fallback(ty)])
            .flatten()
    }

    fn fallback(&self, ty: TensorType) -> Option<TensorType> {
        let mut rows = self.fallbacks.iter().chain(FALLBACKS);
        rows.find(|row| row.0 == ty).map(|row| row.1)
    }

    /// `ty`, or what replaces it in rows of `cols` weights. The output gets Q8_0 then if the mix
    /// chose its type.
    pub(crate) fn fitting(&self, ty: TensorType, cols: u64, output: bool) -> TensorType {
        let fits = |ty: &TensorType| ty.row_bytes(cols).is_some();
        if fits(&ty) {
            return ty;
        }
        let replaced = match output {
            true => Some(TensorType::Q8_0),
            false => self.fallback(ty),
        };
        replaced.filter(fits).unwrap_or(Self::LAST_RESORT)
    }
}

impl Rule {
    fn is_of(&self, file_type: FileType) -> bool {
        self.files.contains(&file_type) || self.files.contains(&file_type.stock())
    }

    /// The rule in words, for the one file type at hand.
    pub(crate) fn within(&self, file_type: FileType) -> String {
        self.words(file_type.name())
    }

    fn words(&self, files: &str) -> String {
        let tensors = match self.tensors {
            Tensors::Of(role) => role.name(),
            Tensors::Single => "what is no stack of experts",
        };
        let layers = match self.layers {
            Layers::All => String::new(),
            Layers::First(n) => format!(" in the first {n} layers"),
            Layers::FirstOneIn(n) => format!(" in the first 1/{n} of the layers"),
            Layers::FirstTensors(n) => {
                format!(", the first of them, as many as 1/{n} of the layers")
            }
            Layers::Middle => " in all layers but the first 1/8 and the last 1/8".to_owned(),
            Layers::MoreBits => {
                " in the first 1/8, the last 1/8 and every third layer between".to_owned()
            }
        };
        let models = match self.models {
            Models::Any => String::new(),
            Models::Grouped4 => " where 4 or more heads share a key-value head".to_owned(),
            Models::Llama70B | Models::Grouped4Llama70B => " of models like Llama 2 70B".to_owned(),
            Models::Experts4 => " of models with 4 or more experts".to_owned(),
            Models::Experts8 => " of models with 8 experts".to_owned(),
        };
        let importance = match self.importance {
            None => "",
            Some(Importance::None) => " without an importance matrix",
            Some(Importance::Given) => " with an importance matrix",
        };
        let ty = self.ty;
        format!("{tensors} of {files}{layers}{models}{importance}: {ty}")
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
