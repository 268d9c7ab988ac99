//! Whether tensors of some names, shapes and types are those of a model: by its family's record,
//! before a file is read or even written.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

use aeolus_arch::{Expected, Presence, fused_name};
use aeolus_gguf::{Metadata, Shape, TensorType};
use aeolus_quant::is_decodable;

use super::hyper::Hyperparameters;
use super::rope::{ROPE_FACTORS_LONG, ROPE_FACTORS_SHORT, ROPE_FREQS};
use crate::error::{Error, Result};

/// Shape and type of the tensors of a model by name, and which of them are its family's.
struct Tensors<'t> {
    all: HashMap<&'t str, (Shape, TensorType)>,
    used: HashSet<String>,
    /// Shapes of fused tensors, with the rows of the parts so far: row length first.
    fused: HashMap<String, Vec<u64>>,
}

/// Checks that a file of these keys and tensors can be run; gives its numbers.
pub(super) fn check<'t>(
    metadata: &Metadata<'_>,
    tensors: impl Iterator<Item = (&'t str, Shape, TensorType)>,
) -> Result<Hyperparameters> {
    let mut tensors = Tensors {
        all: tensors
            .map(|(name, shape, ty)| (name, (shape, ty)))
            .collect(),
        used: HashSet::new(),
        fused: HashMap::new(),
    };
    let embedding = tensors.all.get("token_embd.weight");
    let vocab = embedding.and_then(|(shape, _)| u32::try_from(shape.rows()).ok());
    let hyper = Hyperparameters::from_metadata(metadata, vocab)?;
    for expected in hyper.family.expected(&hyper.numbers) {
        tensors.check(&expected)?;
    }
    let fused: Vec<_> = tensors.fused.drain().collect();
    for (name, dims) in fused {
        tensors.find(&name, &dims)?;
    }
    let is_there = |name: &&str| tensors.all.contains_key(*name);
    let factors: Vec<&str> = match [ROPE_FACTORS_LONG, ROPE_FACTORS_SHORT] {
        both if both.iter().any(is_there) => both.into(),
        _ => [ROPE_FREQS].into_iter().filter(is_there).collect(),
    };
    for name in factors {
        tensors.find(name, &[hyper.rope_dims as u64 / 2])?;
    }
    tensors.nothing_is_left(&hyper)?;
    Ok(hyper)
}

impl Tensors<'_> {
    /// Checks a tensor that the model has.
    fn check(&mut self, expected: &Expected) -> Result<()> {
        let name = &expected.gguf;
        let dims: Vec<u64> = expected.shape.iter().rev().copied().collect();
        if self.all.contains_key(&**name) {
            return self.find(name, &dims);
        }
        if let Some(fused) = fused_name(name).filter(|name| self.all.contains_key(&**name)) {
            // Of a bias: its elements.
            let rows = usize::from(dims.len() > 1);
            match self.fused.entry(fused) {
                Entry::Vacant(first) => {
                    first.insert(dims);
                }
                Entry::Occupied(mut others) => others.get_mut()[rows] += dims[rows],
            }
            return Ok(());
        }
        // The embedding serves as the output where there is none.
        match expected.presence {
            Presence::Required => self.find(name, &dims),
            Presence::Bias(_)
            | Presence::Untied
            | Presence::Copy
            | Presence::NotInGlobal(_)
            | Presence::Unless(_)
            | Presence::Optional => Ok(()),
        }
    }

    /// Checks a tensor of a name; `expected` is its shape, row length first.
    fn find(&mut self, name: &str, expected: &[u64]) -> Result<()> {
        let Some((shape, ty)) = self.all.get(name) else {
            return Err(Error::MissingTensor {
                name: name.to_owned(),
                expected: expected.to_vec(),
            });
        };
        // Dimensions of 1 are how some writers fill up to two, and how a column is told.
        let bare =
            |dims: &[u64]| -> Vec<u64> { dims.iter().copied().filter(|d| *d != 1).collect() };
        if bare(shape.dims()) != bare(expected) || expected.contains(&0) {
            return Err(Error::Shape {
                name: name.to_owned(),
                found: shape.dims().to_vec(),
                expected: expected.to_vec(),
            });
        }
        // Doubles can be decoded, but not multiplied with.
        if !is_decodable(*ty) || *ty == TensorType::F64 {
            return Err(Error::TensorType {
                name: name.to_owned(),
                found: *ty,
                expected: "F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0 or Q2_K to Q6_K",
            });
        }
        self.used.insert(name.to_owned());
        Ok(())
    }

    /// A tensor that is not used would silently change the results: an expert, another norm.
    fn nothing_is_left(&self, hyper: &Hyperparameters) -> Result<()> {
        let unused = |name: &&&str| !self.used.contains(**name);
        match self.all.keys().filter(unused).min() {
            None => Ok(()),
            Some(name) => Err(Error::UnusedTensor {
                name: (*name).to_owned(),
                architecture: hyper.family.architecture,
            }),
        }
    }
}
