//! Windows on their way through a model's own products, and the moments of what goes into these.

use crate::moments::{Collector, Sum};
use aeolus_infer::matmul::Compute;
use aeolus_infer::{Model, Runtime, Windows};
use aeolus_quant::Cpu;
use std::collections::{BTreeMap, BTreeSet};

/// Windows that go through a layer together.
const TOGETHER: usize = 8;

/// Positions of a window whose scores are computed at a time.
const SCORES: usize = 64;

/// A part of the model that windows go through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// A layer: the one that comes next.
    Layer(usize),
    /// What makes scores of what leaves the last layer.
    Output,
}

/// Windows of one length, all before the same part.
pub(crate) struct Stream<'m> {
    model: &'m Model,
    runtime: &'m Runtime,
    parts: Vec<Windows>,
}

impl<'m> Stream<'m> {
    /// Windows before the first layer.
    ///
    /// # Errors
    /// Those of the model.
    pub(crate) fn new(
        (model, runtime): (&'m Model, &'m Runtime),
        windows: &[Vec<u32>],
    ) -> aeolus_infer::Result<Self> {
        let parts = windows.chunks(TOGETHER);
        let embedded = parts.map(|windows| model.embed(runtime.compute(), windows));
        Ok(Self {
            model,
            runtime,
            parts: embedded.collect::<Result<_, _>>()?,
        })
    }

    /// Takes the windows through a part. Gives the sums of the inputs of these tensors' matrices that are in it,
    /// by the first tensor's name and which of its matrices it is. `go_on` may end it.
    ///
    /// # Errors
    /// Those of the model and of `go_on`.
    pub(crate) fn sums<E: From<aeolus_infer::Error>>(
        &mut self,
        part: Part,
        cpu: Cpu,
        names: &BTreeSet<String>,
        go_on: &dyn Fn() -> Result<(), E>,
    ) -> Result<BTreeMap<(String, usize), Sum>, E> {
        let collector = Collector::new(cpu, names);
        let compute = Compute {
            tap: Some(&collector),
            ..self.runtime.compute()
        };
        for windows in &mut self.parts {
            go_on()?;
            match part {
                Part::Layer(layer) => {
                    self.model.run_layers(compute, layer..layer + 1, windows)?;
                }
                Part::Output => {
                    for first in (0..windows.tokens()).step_by(SCORES) {
                        let some = first..windows.tokens().min(first + SCORES);
                        self.model.scores_of(compute, windows, some)?;
                    }
                }
            }
        }
        Ok(collector.into_sums())
    }
}
