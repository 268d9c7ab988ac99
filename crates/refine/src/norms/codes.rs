//! Norms that were tuned for one output, beside the codes that all outputs share.

use crate::{Chosen, Store, Wanted};
use aeolus_gguf::{TensorType, Value};
use aeolus_pipeline::{Codes, REFINE_NORMS_KEY, Via};
use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use super::Tuned;

/// Refined codes, and an output's own norms.
#[derive(Debug)]
pub struct WithNorms {
    codes: Arc<dyn Codes>,
    norms: Arc<Store>,
}

impl WithNorms {
    /// Both together.
    pub fn new(codes: Arc<dyn Codes>, norms: Arc<Store>) -> Self {
        Self { codes, norms }
    }
}

/// How a store calls a norm.
fn wanted(name: &str) -> Wanted {
    Wanted {
        tensor: name.to_owned(),
        ty: TensorType::F32,
        through_f16: false,
    }
}

/// Whether a store has all of these norms: they were tuned by an earlier run.
pub fn are_known<'n>(store: &Store, mut names: impl Iterator<Item = &'n str>) -> bool {
    names.all(|name| store.has_matrix(&wanted(name), 0))
}

/// Keeps what tuning came to: the new vectors, or `old` ones where these are better.
///
/// # Errors
/// [`crate::Error::Job`].
pub fn keep(
    store: &mut Store,
    old: &BTreeMap<String, Vec<f32>>,
    tuned: &Tuned,
) -> Result<(), crate::Error> {
    for (name, vector) in tuned.norms.as_ref().unwrap_or(old) {
        let chosen = Chosen {
            bytes: vector.iter().flat_map(|x| x.to_le_bytes()).collect(),
            plain_cost: tuned.before,
            refined_cost: tuned.after,
        };
        store.put(&wanted(name), 0, &chosen)?;
    }
    Ok(())
}

impl Codes for WithNorms {
    fn has(&self, tensor: &str, ty: TensorType, via: Via) -> bool {
        self.norms.has(tensor, ty, Via::Source) || self.codes.has(tensor, ty, via)
    }

    fn read(
        &self,
        tensor: &str,
        ty: TensorType,
        via: Via,
        rows: Range<usize>,
        out: &mut [u8],
    ) -> io::Result<()> {
        match self.norms.has(tensor, ty, Via::Source) {
            true => self.norms.read(tensor, ty, Via::Source, rows, out),
            false => self.codes.read(tensor, ty, via, rows, out),
        }
    }

    fn identity(&self) -> String {
        format!("{} {}", self.codes.identity(), self.norms.identity())
    }

    fn keys(&self) -> Vec<(String, Value<'static>)> {
        let mut keys = self.codes.keys();
        let kept = self.norms.kept();
        let are_tuned = kept.values().any(|kept| kept.refined > 0);
        keys.push((REFINE_NORMS_KEY.to_owned(), Value::from(are_tuned)));
        keys
    }
}
