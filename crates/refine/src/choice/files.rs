//! Files of chosen types: a budget becomes an entry of a plan.

use super::knapsack::{Item, choose};
use super::table::{Table, Together, Unit};
use aeolus_checkpoint::Forecastable;
use aeolus_gguf::{Shape, TensorType};
use aeolus_pipeline::{Format, Guide, Output};
use aeolus_quant::needs_guide;
use aeolus_recipe::{FileType, Options, PlanEntry};
use std::collections::BTreeMap;

/// The file types whose recipes say what pinned tensors are, and which a file is called after: the
/// largest that is within the budget.
const BASES: [FileType; 6] = [
    FileType::Q2_K,
    FileType::Q3_K_M,
    FileType::Q4_K_M,
    FileType::Q5_K_M,
    FileType::Q6_K,
    FileType::Q8_0,
];

/// Types that clients of 2023 load and rows of any model's usual sizes can have.
pub const K_TYPES: [TensorType; 6] = [
    TensorType::Q2_K,
    TensorType::Q3_K,
    TensorType::Q4_K,
    TensorType::Q5_K,
    TensorType::Q6_K,
    TensorType::Q8_0,
];

/// All types that a tensor is chosen of, from few bits to many.
pub const ALL_TYPES: [TensorType; 18] = [
    TensorType::IQ1_S,
    TensorType::IQ1_M,
    TensorType::IQ2_XXS,
    TensorType::IQ2_XS,
    TensorType::IQ2_S,
    TensorType::Q2_K,
    TensorType::IQ3_XXS,
    TensorType::Q3_K,
    TensorType::IQ3_S,
    TensorType::IQ4_XS,
    TensorType::Q4_K,
    TensorType::Q4_0,
    TensorType::IQ4_NL,
    TensorType::Q5_K,
    TensorType::Q5_0,
    TensorType::Q6_K,
    TensorType::Q8_0,
    TensorType::F16,
];

/// Bytes that a tensor's data are padded to.
const ALIGNMENT: u64 = 32;

/// What a file may take.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Budget {
    /// Bytes of the whole file.
    File(u64),
    /// Bits for each weight, over the data of all tensors.
    BitsPerWeight(f64),
}

/// What a choice is made within.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// What is known of the model.
    pub facts: &'a Forecastable,
    /// The container.
    pub format: Format,
    /// What guides the encoders: types that do not go without are left out where there is none.
    pub guide: Option<&'a Guide>,
    /// What the recipe is asked for: types of pinned tensors.
    pub recipe: &'a Options,
    /// Choose the types of output and embedding too.
    pub free_output: bool,
}

/// A file of chosen types.
#[derive(Clone, Debug)]
pub struct ChosenFile {
    /// How a plan tells of it: its base, the type of each tensor that was chosen, what that was predicted to
    /// cost.
    pub entry: PlanEntry,
    /// The file, to its last byte.
    pub output: Output,
}

/// Why no types could be chosen.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChoiceError {
    /// Even the smallest types take more.
    #[error("no choice of types fits into {budget} bytes: the smallest takes {smallest}")]
    TooSmall {
        /// What there is.
        budget: u64,
        /// What is needed.
        smallest: u64,
    },
    /// What the recipe does not allow.
    #[error(transparent)]
    Pipeline(#[from] aeolus_pipeline::Error),
}

/// Whether a tensor's type is chosen: output and embedding have the recipe's unless they are free.
fn is_chosen(name: &str, free_output: bool) -> bool {
    free_output || !matches!(name, "output.weight" | "token_embd.weight")
}

/// The types of a file within a budget, the ones that cost least; it is called `label`.
///
/// # Errors
/// [`ChoiceError::TooSmall`], and those of planning a file.
pub fn file(
    frame: &Frame<'_>,
    table: &Table,
    budget: Budget,
    label: String,
) -> Result<ChosenFile, ChoiceError> {
    let plan = |base: FileType, options: &Options| {
        Output::plan(frame.facts, base, options, frame.format, frame.guide)
    };
    let limit = |output: &Output| match budget {
        Budget::File(bytes) => bytes,
        // What is not data comes on top.
        Budget::BitsPerWeight(bits) => {
            let types = output.types();
            let data = (bits * types.weights() as f64 / 8.0) as u64;
            data + (output.layout().file_bytes() - types.bytes())
        }
    };
    let mut base = (BASES[0], plan(BASES[0], frame.recipe)?);
    for ty in &BASES[1..] {
        let larger = plan(*ty, frame.recipe)?;
        if larger.layout().file_bytes() <= limit(&larger) {
            base = (*ty, larger);
        }
    }
    let (base, planned) = base;
    // What the recipe leaves as it is, such as the matrix that routes tokens to experts, is not chosen.
    let is_quantized = planned.types().tensors.iter().map(|t| t.ty.is_quantized());
    let tensors: Vec<(String, Shape)> = frame
        .facts
        .tensors
        .iter()
        .zip(is_quantized)
        .filter(|(tensor, quantized)| *quantized && is_chosen(&tensor.name, frame.free_output))
        .map(|(tensor, _)| (tensor.name.clone(), tensor.shape))
        .collect();
    let groups = usable(table.groups(&tensors), frame.guide.is_some());
    // What is not to be chosen: the header, pinned tensors, those that stay F32.
    let names: BTreeMap<&str, ()> = groups
        .iter()
        .flat_map(|group| group.tensors.iter().map(|(name, _)| (&**name, ())))
        .collect();
    let chosen = planned.types().tensors.iter();
    let chosen = chosen.filter(|tensor| names.contains_key(&*tensor.name));
    let chosen: u64 = chosen.map(|t| t.bytes.next_multiple_of(ALIGNMENT)).sum();
    let limit = limit(&planned);
    let fixed = planned.layout().file_bytes().saturating_sub(chosen);
    let items: Vec<Item> = groups.iter().map(|group| group.item.clone()).collect();
    let choice = limit
        .checked_sub(fixed)
        .and_then(|spare| choose(&items, spare));
    let Some(choice) = choice else {
        let least = |item: &Item| item.candidates.iter().map(|c| c.bytes).min().unwrap_or(0);
        return Err(ChoiceError::TooSmall {
            budget: limit,
            smallest: fixed + items.iter().map(least).sum::<u64>(),
        });
    };
    let mut entry = PlanEntry {
        name: Some(label),
        ..PlanEntry::new(base)
    };
    // What the recipe's types cost is a part of the prediction.
    let cost = |name: &str, ty: TensorType| {
        let index = table.types.iter().position(|known| *known == ty)?;
        table.row(name)?.costs[index]
    };
    for tensor in &planned.types().tensors {
        if !names.contains_key(&*tensor.name)
            && let Some(cost) = cost(&tensor.name, tensor.ty)
        {
            entry.costs.insert(tensor.name.clone(), cost);
        }
    }
    let mut options = frame.recipe.clone();
    for (group, number) in groups.iter().zip(&choice.of) {
        let ty = group.types[*number];
        for (name, _) in &group.tensors {
            entry.tensors.insert(name.clone(), ty.name().into());
            options.chosen.tensors.insert(name.clone(), ty);
            entry
                .costs
                .extend(cost(name, ty).map(|cost| (name.clone(), cost)));
        }
    }
    entry.predicted = match table.unit {
        Unit::Nats => Some(entry.costs.values().sum()),
        Unit::Share => None,
    };
    Ok(ChosenFile {
        output: plan(base, &options)?,
        entry,
    })
}

/// What the types of a planned file are predicted to cost, in nats of KL divergence per token: `None` where
/// costs are not counted in nats, or one of its types is not in the table.
pub fn predicted(table: &Table, output: &Output) -> Option<f64> {
    let cost = |tensor: &aeolus_recipe::PlannedTensor| {
        let Some(row) = table.row(&tensor.name).filter(|_| tensor.ty.is_quantized()) else {
            return Some(0.0);
        };
        let index = table.types.iter().position(|known| *known == tensor.ty)?;
        row.costs[index]
    };
    let costs = output.types().tensors.iter().map(cost);
    costs
        .sum::<Option<f64>>()
        .filter(|_| table.unit == Unit::Nats)
}

/// The groups with bytes as a file has them, without types that need a guide where there is none.
fn usable(groups: Vec<Together>, has_guide: bool) -> Vec<Together> {
    let usable = groups.into_iter().map(|mut group| {
        let kept = group.types.iter().map(|ty| has_guide || !needs_guide(*ty));
        let kept: Vec<bool> = kept.collect();
        let mut keep = kept.iter();
        group.types.retain(|_| *keep.next().unwrap_or(&false));
        let mut keep = kept.iter();
        let candidates = &mut group.item.candidates;
        candidates.retain(|_| *keep.next().unwrap_or(&false));
        let padding = group.tensors.len() as u64 - 1;
        for candidate in candidates {
            // Each tensor of the group begins at a multiple.
            candidate.bytes =
                candidate.bytes.next_multiple_of(ALIGNMENT) + padding * (ALIGNMENT - 1);
        }
        group
    });
    usable.filter(|group| !group.types.is_empty()).collect()
}
