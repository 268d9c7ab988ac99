//! What can be wrong with a request for a plan.

use crate::{FileType, PlanFile, Vintage, tensor_types};
use aeolus_gguf::TensorType;

/// A request that no plan can be made for. Every kind is the caller's: nothing is read here.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No file type of that name.
    #[error("unknown file type {found:?}, {}", hint(near, FileType::all().map(FileType::name)))]
    UnknownFileType {
        /// What was given.
        found: String,
        /// Names near to it, nearest first.
        near: Vec<&'static str>,
    },
    /// A file type that exists, but whose files cannot be written.
    #[error(
        "{file_type} files cannot be written, since there is no encoder for {ty}, expected one \
         of {}",
        list(FileType::all().map(FileType::name))
    )]
    FileTypeNotWritable {
        /// What was given.
        file_type: FileType,
        /// A block type that its tensors may have.
        ty: TensorType,
    },
    /// No block type of that name.
    #[error("unknown tensor type {found:?}, {}", hint(near, tensor_types().map(TensorType::name)))]
    UnknownTensorType {
        /// What was given.
        found: String,
        /// Names near to it, nearest first.
        near: Vec<&'static str>,
    },
    /// A file type where a block type belongs.
    #[error(
        "{file_type} is a file type, a mix of block types, and no type of one tensor; \
         its main block type is {base}"
    )]
    FileTypeForTensor {
        /// What was given.
        file_type: FileType,
        /// The block type most of its tensors have.
        base: TensorType,
    },
    /// A block type that exists, but that a plan cannot have.
    #[error(
        "tensors cannot be written as {ty}, expected one of {}",
        list(tensor_types().map(TensorType::name))
    )]
    NotWritable {
        /// What was given.
        ty: TensorType,
    },
    /// No set of that name.
    #[error(
        "unknown set {found:?}, expected one of {}, or a file",
        list(PlanFile::set_names())
    )]
    UnknownSet {
        /// What was given.
        found: String,
    },
    /// A plan that is not one.
    #[error("line {line}: {problem}")]
    Plan {
        /// The line, from 1.
        line: usize,
        /// What is wrong there.
        problem: String,
    },
    /// A plan of another form.
    #[error("plan = {found}, expected {expected}: it is of another version of this program")]
    PlanVersion {
        /// Its version.
        found: u32,
        /// What is read.
        expected: u32,
    },
    /// A plan without files.
    #[error("no file is planned: expected [[files]] with a type")]
    PlanIsEmpty,
    /// Two files that would have one name.
    #[error("{label} is planned twice; `name` tells files of one type apart")]
    PlanTwice {
        /// The name.
        label: String,
    },
    /// Something is wrong with one file of a plan.
    #[error("file {number}: {problem}")]
    PlanEntry {
        /// Which, from 1.
        number: usize,
        /// What.
        #[source]
        problem: Box<Error>,
    },
    /// A name that no file can have.
    #[error(
        "the name {found:?} is not of 1 to {limit} letters, digits and signs of `-_.+`, the first of them \
         no dot or dash"
    )]
    PlanLabel {
        /// What was given.
        found: String,
        /// The most bytes.
        limit: usize,
    },
    /// A figure of a plan that no divergence can be.
    #[error("the figure {found} is not a divergence: expected 0 or more")]
    PlanFigure {
        /// What was given.
        found: f64,
    },
    /// A file that is not the name of one in the output folder.
    #[error("the file {found:?} is not a plain name that ends in .gguf")]
    PlanFileName {
        /// What was given.
        found: String,
    },
    /// A tensor of a plan that has no type to choose.
    #[error("the plan has {ty} for {tensor:?}: {why}")]
    ChosenNothing {
        /// The tensor.
        tensor: String,
        /// The type.
        ty: TensorType,
        /// Why it is not chosen.
        why: &'static str,
    },
    /// No recipe of that name.
    #[error(
        "unknown recipe {found:?}, expected one of {}",
        list(Vintage::ALL.into_iter().map(Vintage::name))
    )]
    UnknownVintage {
        /// What was given.
        found: String,
    },
    /// What the tools of a vintage could not make.
    #[error(
        "recipe {vintage} has no such files: the tools of that time did not know {what}; \
         --recipe {} makes them",
        Vintage::Current
    )]
    VintageLacks {
        /// The vintage.
        vintage: Vintage,
        /// What its tools did not know.
        what: String,
    },
    /// Tensors whose types need an importance matrix, without one.
    #[error(
        "{file_type} needs an importance matrix: {} cannot be encoded without one, such as \
         {first} as {ty}; give one with --imatrix",
        count(*tensors)
    )]
    ImportanceNeeded {
        /// The file type whose plan it is.
        file_type: FileType,
        /// How many they are.
        tensors: usize,
        /// The name of the first.
        first: String,
        /// Its type.
        ty: TensorType,
    },
    /// A tensor rule that is no pattern and type.
    #[error("tensor rule {found:?} is not of the form REGEX=TYPE, as in ffn_down=Q6_K")]
    RuleSyntax {
        /// What was given.
        found: String,
    },
    /// A tensor rule whose pattern does not compile.
    #[error("tensor rule pattern {pattern:?} is not a regular expression: {problem}")]
    RulePattern {
        /// The pattern.
        pattern: String,
        /// What is wrong with it, in one line.
        problem: String,
    },
    /// A tensor rule whose pattern is in no tensor's name.
    #[error(
        "tensor rule {pattern}={ty} matches none of the {}{}",
        count(*tensors),
        nearest_names(near)
    )]
    RuleMatchesNothing {
        /// The rule's pattern.
        pattern: String,
        /// The rule's type.
        ty: TensorType,
        /// Tensors there are.
        tensors: usize,
        /// Names the pattern may have been meant for, layers folded together.
        near: Vec<String>,
    },
    /// A tensor rule that matches only tensors that are never quantized.
    #[error(
        "tensor rule {pattern}={ty} matches only tensors that keep their type under every rule, \
         such as {example} ({why})"
    )]
    RuleMatchesKept {
        /// The rule's pattern.
        pattern: String,
        /// The rule's type.
        ty: TensorType,
        /// One of the tensors.
        example: String,
        /// Why it keeps its type.
        why: &'static str,
    },
    /// A tensor rule whose tensors all match an earlier one.
    #[error(
        "tensor rule {pattern}={ty} decides nothing: an earlier rule matches each of the \
         {matched} tensors that it matches; the first match wins"
    )]
    RuleShadowed {
        /// The rule's pattern.
        pattern: String,
        /// The rule's type.
        ty: TensorType,
        /// Tensors it matches.
        matched: usize,
    },
    /// An output or embedding type that no tensor took.
    #[error("the {option} type {ty} decides nothing: {why}")]
    OptionDecidesNothing {
        /// `output` or `embedding`.
        option: &'static str,
        /// The type given.
        ty: TensorType,
        /// Where the tensor went.
        why: &'static str,
    },
    /// A tensor of a layer that the model does not have.
    #[error("tensor {tensor} is of layer {layer}, expected less than the model's {layers} layers")]
    Layer {
        /// The tensor.
        tensor: String,
        /// The layer in its name, from 0.
        layer: u64,
        /// Layers of the model.
        layers: u32,
    },
    /// Tensors whose type's blocks do not divide their rows, where fallbacks are forbidden.
    #[error(
        "{file_type}: {} would need a fallback, and fallbacks are not allowed: {}",
        count(misfits.iter().map(|misfit| misfit.tensors).sum()),
        list(misfits.iter().map(Misfit::to_string))
    )]
    Fallbacks {
        /// The file type whose plan it is.
        file_type: FileType,
        /// All of them, by type and fallback, in the order of their first tensors.
        misfits: Vec<Misfit>,
    },
    /// More bytes in the plan than 64 bits can count.
    #[error("the tensors up to {tensor} take more than 2^64 bytes")]
    TooLarge {
        /// The tensor at which the sum overflows.
        tensor: String,
    },
}

/// Tensors whose type's blocks do not divide their rows, all of one type and fallback.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfit {
    /// The type they should have.
    pub wanted: TensorType,
    /// The type they would have got.
    pub fallback: TensorType,
    /// How many they are.
    pub tensors: usize,
    /// The name of the first.
    pub first: String,
    /// Weights in a row of the first.
    pub cols: u64,
}

impl std::fmt::Display for Misfit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            wanted,
            fallback,
            tensors,
            first,
            cols,
        } = self;
        let block = wanted.block_elems();
        let such_as = if *tensors == 1 { "" } else { "such as " };
        write!(
            f,
            "{} from {wanted} to {fallback} ({such_as}{first}, whose row of {cols} is not a \
             multiple of {block})",
            count(*tensors)
        )
    }
}

fn count(tensors: usize) -> String {
    match tensors {
        1 => "1 tensor".into(),
        n => format!("{n} tensors"),
    }
}

fn list<S: AsRef<str>>(names: impl Iterator<Item = S>) -> String {
    let mut text = String::new();
    for name in names {
        if !text.is_empty() {
            text.push_str(", ");
        }
        text.push_str(name.as_ref());
    }
    text
}

/// The near names if there are any, else all of them.
fn hint(near: &[&str], all: impl Iterator<Item = &'static str>) -> String {
    match near {
        [] => format!("expected one of {}", list(all)),
        [only] => format!("did you mean {only}?"),
        [first @ .., last] => format!("did you mean {} or {last}?", first.join(", ")),
    }
}

fn nearest_names(near: &[String]) -> String {
    if near.is_empty() {
        return String::new();
    }
    format!("; the nearest names are {}", list(near.iter()))
}
