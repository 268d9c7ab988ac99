//! All matrices of a model, layer by layer.
//!
//! Where the model has a [backward pass](crate::backward), inputs come from its products, whose bits are the same on
//! every CPU level, on the way forward or, with effort 3, with the gradients on the way back. Other models take
//! their inputs from the products of `aeolus-infer`, whose last bits depend on the level.
//!
//! Codes are chosen as soon as a layer's moments are there, so that one layer's are in memory at a time. A run
//! that continues another takes the text through the model again and chooses what is missing.

use crate::backward::{self, Backward, EMBEDDING, LayerMoments, Position, Step, Text};
use crate::frequencies::frequencies;
use crate::stream::{Part, Stream};
use crate::{Chosen, Effort, Error, Moments, Store, Task, is_refinable};
use aeolus_gguf::TensorType;
use aeolus_infer::{Model, Runtime};
use aeolus_job::{Cancel, Event, Progress};
use aeolus_quant::Cpu;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

/// Codes that are wanted: of a tensor, in a type, with weights rounded to f16 first or not.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wanted {
    /// Its name.
    pub tensor: String,
    /// The blocks' type.
    pub ty: TensorType,
    /// Round the weights to f16 first.
    pub through_f16: bool,
}

/// What a run works with.
#[derive(Clone, Copy)]
pub struct Job<'a> {
    /// The unquantized model.
    pub model: &'a Model,
    /// Threads and kernels.
    pub runtime: &'a Runtime,
    /// The calibration windows, all of one length.
    pub windows: &'a [Vec<u32>],
    /// As many of them, the last ones, judge the codes and take no other part.
    pub held_out: usize,
    /// How much is done.
    pub effort: Effort,
    /// With it the tokens of the backward pass are drawn.
    pub seed: u64,
    /// Where what lies between the layers is kept, in a file without a name.
    pub folder: &'a Path,
    /// Is told of the work, counted in weights.
    pub progress: &'a dyn Progress,
    /// Asks to end.
    pub cancel: &'a Cancel,
}

/// Chooses the codes of what is wanted and is not in the store yet. Gives what keeps plain codes although it
/// was wanted, and why, in words.
///
/// # Errors
/// [`Error::Model`] if the model does not run, [`Error::Job`] if codes cannot be kept, [`Error::Windows`],
/// [`Error::Cancelled`].
pub fn refine(
    job: &Job<'_>,
    wanted: &BTreeSet<Wanted>,
    store: &mut Store,
) -> Result<BTreeMap<Wanted, String>, Error> {
    let cpu = Cpu::select().map_err(aeolus_quant::EncodeError::from)?;
    if job.held_out == 0 || job.windows.len() <= job.held_out {
        return Err(Error::Windows {
            windows: job.windows.len(),
            held_out: job.held_out,
        });
    }
    let mut run = Run {
        job,
        cpu,
        wanted,
        store,
        left_plain: BTreeMap::new(),
    };
    job.runtime.install(|| run.layers())?;
    Ok(run.left_plain)
}

struct Run<'a> {
    job: &'a Job<'a>,
    cpu: Cpu,
    wanted: &'a BTreeSet<Wanted>,
    store: &'a mut Store,
    left_plain: BTreeMap<Wanted, String>,
}

/// A tensor of the model as matrices, one after the other.
struct Matrices<'m> {
    ty: TensorType,
    rows: usize,
    cols: usize,
    count: usize,
    bytes: &'m [u8],
}

impl<'a> Run<'a> {
    fn layers(&mut self) -> Result<(), Error> {
        let job = self.job;
        let backward = match Backward::new(job.model, self.cpu) {
            Ok(backward) => Some(backward),
            Err(backward::Error::NotDifferentiable { .. }) if job.effort != Effort::Three => None,
            Err(error) => return Err(error.into()),
        };
        let size = |w: &Wanted| {
            self.matrices(&w.tensor)
                .map_or(0, |m| m.weights() * m.count as u64)
        };
        let known = |w: &Wanted| {
            let matrices = self.matrices(&w.tensor);
            matrices.map_or(0, |m| {
                let known = (0..m.count)
                    .filter(|i| self.store.has_matrix(w, *i))
                    .count();
                m.weights() * known as u64
            })
        };
        job.progress.event(Event::Started {
            total: self.wanted.iter().map(size).sum(),
            known: self.wanted.iter().map(known).sum(),
        });
        match backward {
            _ if self.unknown().is_empty() => {}
            Some(backward) => self.with_gradients(&backward)?,
            None => self.with_inputs()?,
        }
        self.complete()
    }

    /// Takes the text through the products that the backward pass has, and back with effort 3.
    fn with_gradients(&mut self, backward: &Backward<'_>) -> Result<(), Error> {
        let job = self.job;
        let names = self.unknown();
        let wanted = |name: &str| names.contains(name);
        let text = Text {
            windows: job.windows,
            held_out: job.held_out,
            wanted: &wanted,
            seed: job.seed,
            folder: job.folder,
        };
        let mut go_on = |_: Step| match job.cancel.is_set() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        };
        if job.effort != Effort::Three {
            let mut visit = |part: LayerMoments| self.choose_part(&part);
            return backward::inputs(backward, text, &mut visit, &mut go_on);
        }
        // A tied embedding is both what the output is made of and what layers get.
        let mut tied: Option<LayerMoments> = None;
        let mut visit = |mut part: LayerMoments| {
            if part.position == Position::Output && part.moments.contains_key(EMBEDDING) {
                tied = Some(part);
                return Ok(());
            }
            if let Some(output) = tied.take_if(|_| part.position == Position::Embedding) {
                add(&mut part.moments, &output.moments);
                add(&mut part.held_out, &output.held_out);
            }
            self.choose_part(&part)
        };
        backward::moments(backward, text, &mut visit, &mut go_on)
    }

    /// The codes of the matrices of one part of the model.
    fn choose_part(&mut self, part: &LayerMoments) -> Result<(), Error> {
        for (name, moments) in &part.moments {
            // Without held-out inputs nothing could judge the codes.
            if let Some(held_out) = part.held_out.get(name) {
                self.choose(name, 0, moments, held_out)?;
            }
        }
        Ok(())
    }

    /// Takes the text through the model's own products.
    fn with_inputs(&mut self) -> Result<(), Error> {
        let job = self.job;
        let held_out = job.windows.len() - job.held_out;
        let stream = |windows| Stream::new((job.model, job.runtime), windows);
        let mut streams = [
            stream(&job.windows[..held_out])?,
            stream(&job.windows[held_out..])?,
        ];
        for layer in 0..job.model.hyper().layers {
            self.step(&mut streams, Part::Layer(layer))?;
        }
        let left = self.unknown();
        if left
            .iter()
            .any(|name| name == "output.weight" || name == EMBEDDING)
        {
            self.step(&mut streams, Part::Output)?;
        }
        Ok(())
    }

    /// Tensors that lack codes of a matrix.
    fn unknown(&self) -> BTreeSet<String> {
        let lacks = |w: &&Wanted| {
            is_refinable(w.ty)
                && self
                    .matrices(&w.tensor)
                    .is_some_and(|m| (0..m.count).any(|i| !self.store.has_matrix(w, i)))
        };
        self.wanted
            .iter()
            .filter(lacks)
            .map(|w| w.tensor.clone())
            .collect()
    }

    /// Takes all windows through a part of the model, and chooses the codes of the matrices in it.
    fn step(&mut self, streams: &mut [Stream<'_>; 2], part: Part) -> Result<(), Error> {
        let (names, cancel) = (self.unknown(), self.job.cancel);
        let go_on = || match cancel.is_set() {
            true => Err(Error::Cancelled),
            false => Ok(()),
        };
        let [calibration, held_out] = streams;
        let calibration = calibration.sums(part, self.cpu, &names, &go_on)?;
        let mut held_out = held_out.sums(part, self.cpu, &names, &go_on)?;
        for (key, sum) in calibration {
            let Some(held_out) = held_out.remove(&key) else {
                continue;
            };
            let (tensors, member) = (sum.tensors.clone(), sum.member);
            let [moments, held_out] = [sum, held_out].map(|sum| Moments {
                inputs: Arc::new(sum.mean()),
                gradients: None,
            });
            for tensor in &tensors {
                self.choose(tensor, member, &moments, &held_out)?;
            }
        }
        Ok(())
    }

    /// The codes of one matrix in all types that are wanted.
    fn choose(
        &mut self,
        tensor: &str,
        member: usize,
        moments: &Moments,
        held_out: &Moments,
    ) -> Result<(), Error> {
        let frequencies = (tensor == EMBEDDING).then(|| {
            let windows = &self.job.windows[self.job.windows.len() - self.job.held_out..];
            let rows = self.matrices(tensor).map_or(0, |m| m.rows);
            frequencies(windows, rows)
        });
        for w in self.wanted {
            let is_left =
                w.tensor == tensor && is_refinable(w.ty) && !self.store.has_matrix(w, member);
            if !is_left {
                continue;
            }
            if self.job.cancel.is_set() {
                return Err(Error::Cancelled);
            }
            let task = Task {
                cpu: self.cpu,
                ty: w.ty,
                effort: self.job.effort,
                moments,
                held_out,
                row_weights: frequencies.as_deref(),
            };
            self.matrix(w, member, |x| task.choose(x))?;
        }
        Ok(())
    }

    /// Plain codes for the experts that no input reached, of tensors that have codes; reasons for tensors
    /// that have none.
    fn complete(&mut self) -> Result<(), Error> {
        for w in self.wanted {
            let count = self.matrices(&w.tensor).map_or(0, |m| m.count);
            let missing: Vec<usize> = (0..count)
                .filter(|i| !self.store.has_matrix(w, *i))
                .collect();
            if missing.is_empty() || self.left_plain.contains_key(w) {
                continue;
            }
            if missing.len() == count {
                let why = match is_refinable(w.ty) {
                    true => "no input of the calibration text reaches it",
                    false => "the codes of its type are not chosen here",
                };
                self.left_plain.insert(w.clone(), why.to_owned());
                continue;
            }
            for member in missing {
                let (cpu, ty) = (self.cpu, w.ty);
                let cols = self.matrices(&w.tensor).map_or(1, |m| m.cols);
                self.matrix(w, member, |x| Chosen::plain(cpu, ty, x, cols))?;
            }
        }
        Ok(())
    }

    /// A tensor of the model.
    fn matrices(&self, tensor: &str) -> Option<Matrices<'a>> {
        let file = self.job.model.file();
        let info = file.tensor(tensor)?;
        let dim = |i: usize| info.shape.dims().get(i).map_or(1, |n| *n as usize);
        let matrices = Matrices {
            ty: info.ty,
            rows: dim(1),
            cols: dim(0),
            count: dim(2) * dim(3),
            bytes: file.tensor_bytes(info),
        };
        (matrices.weights() > 0).then_some(matrices)
    }

    /// One matrix in one type.
    fn matrix(
        &mut self,
        w: &Wanted,
        member: usize,
        choose: impl FnOnce(&[f32]) -> Result<Chosen, Error>,
    ) -> Result<(), Error> {
        let Some(matrices) = self.matrices(&w.tensor) else {
            return Ok(());
        };
        let size = matrices.bytes.len() / matrices.count;
        let bytes = &matrices.bytes[member * size..(member + 1) * size];
        let mut x = vec![0.0; matrices.rows * matrices.cols];
        self.cpu
            .decode_rows(matrices.ty, bytes, matrices.cols, &mut x)?;
        let chosen = match w.through_f16.then(|| self.cpu.round_through_f16(&mut x)) {
            Some(Err(overflow)) => Err(aeolus_quant::EncodeError::from(overflow).into()),
            _ => choose(&x),
        };
        match chosen {
            Ok(chosen) => self.store.put(w, member, &chosen)?,
            // The plain encoder meets the same weights and says what is wrong with them.
            Err(error) => {
                self.left_plain.insert(w.clone(), error.to_string());
            }
        }
        self.job.progress.event(Event::Advanced {
            name: &w.tensor,
            count: matrices.weights(),
            figure: None,
        });
        Ok(())
    }
}

/// Adds the moments of the same tensors' other use.
fn add(moments: &mut BTreeMap<String, Moments>, other: &BTreeMap<String, Moments>) {
    for (name, moments) in moments {
        if let Some(other) = other.get(name) {
            Arc::make_mut(&mut moments.inputs).add(&other.inputs);
        }
    }
}

impl Matrices<'_> {
    /// Weights of one matrix.
    fn weights(&self) -> u64 {
        (self.rows * self.cols) as u64
    }
}

#[cfg(test)]
mod tests;
