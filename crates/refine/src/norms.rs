//! Tuning the vectors of a quantized model's norms.
//!
//! Every GGUF file stores them in F32: 4,352 numbers beside 8 million weights in the smallest model here,
//! and changing them costs no byte. They scale what goes into each half of a layer, channel by channel, so
//! that they can make good a part of what rounding the matrices behind them did. They are tuned by gradient
//! descent (Adam) on the KL divergence of the file from its source, over windows of a calibration text; the
//! [backward pass](crate::backward) gives the gradients. This works on any quantized file, refined or not.
//!
//! What is tuned are factors of the vectors, 1 at first: a step then changes a large and a small number
//! by the same share.
//!
//! # Honesty
//!
//! Some windows take no part. The new vectors are kept only if they also bring these closer to the source;
//! [`Tuned`] has the figures of both. The caller chooses windows that are not those a report measures.
//!
//! # Cost
//!
//! A step runs its windows forward through the source, forward through the file, and back: about eight
//! times the products of one forward pass. Memory is the backward pass's.

mod codes;

pub use codes::{WithNorms, are_known, keep};

use crate::backward::{Backward, Error, norm_gradients};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;

/// Steps: with windows of 512 tokens, 82k tokens are seen. Each costs eight forward passes over its windows,
/// so that more of them are the price of a large model and not of a small one.
pub const STEPS: usize = 40;

/// Windows of a step. With windows of 512 tokens these are 2,048 predictions: the gradient's noise is then
/// small against it, and what lies between the layers small against the model.
pub const WINDOWS: usize = 4;

/// Share by which a factor may move in a step at first. Forty steps of it, falling, allow a factor to move
/// by 6%: norms change by that order in such a run. One value was tried.
pub const RATE: f32 = 3e-3;

/// How much of the running mean of gradients, and of their squares, a step keeps. The second is below
/// the usual 0.999: it remembers 50 steps, about as many as there are, where 1,000 would be mostly the
/// correction for its beginning.
pub const KEPT: [f32; 2] = [0.9, 0.98];

/// Added to the root of the mean square, against a division by zero.
const EPSILON: f32 = 1e-10;

/// What tuning is given.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Steps, [`STEPS`] by default.
    pub steps: usize,
    /// Windows of each, [`WINDOWS`] by default.
    pub windows: usize,
    /// The rate at first, [`RATE`] by default. It falls to zero at the end.
    pub rate: f32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            steps: STEPS,
            windows: WINDOWS,
            rate: RATE,
        }
    }
}

/// What tuning came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Tuned {
    /// The vectors by the names of their tensors, if they are better: those that the model has now.
    pub norms: Option<BTreeMap<String, Vec<f32>>>,
    /// Mean divergence of each step's windows before the step, in nats per token.
    pub steps: Vec<f64>,
    /// Mean divergence of the windows that took no part, with the old vectors.
    pub before: f64,
    /// The same with the new ones.
    pub after: f64,
}

/// Windows of one length that do not overlap.
#[derive(Clone, Copy, Debug)]
pub struct Texts<'t> {
    /// Those that gradients are taken over. Steps take them in their order, and again from the first.
    pub calibration: &'t [Vec<u32>],
    /// Those that take no part, and decide.
    pub held_out: &'t [Vec<u32>],
}

/// A step that is done, of so many.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// Steps that are done.
    pub done: usize,
    /// All of them.
    pub total: usize,
    /// Mean divergence of its windows before it.
    pub divergence: f64,
}

/// Tunes the norms of `model`, which has the new vectors afterwards if they are better and the old ones
/// if not. The backward pass keeps a temporary file in `folder`.
///
/// # Errors
/// Those of the models; [`Error::OtherModel`] if their vocabularies or texts do not fit together;
/// [`Error::Cancelled`].
pub fn tune(
    model: &mut Backward<'_>,
    source: &Backward<'_>,
    texts: Texts<'_>,
    (settings, folder): (Settings, &Path),
    progress: &mut dyn FnMut(Step) -> ControlFlow<()>,
) -> Result<Tuned, Error> {
    let Texts {
        calibration,
        held_out,
    } = texts;
    if calibration.is_empty() || held_out.is_empty() || model.vocab() != source.vocab() {
        return Err(Error::OtherModel {
            found: format!(
                "{} tokens and {}, {} windows to tune on and {} to decide",
                model.vocab(),
                source.vocab(),
                calibration.len(),
                held_out.len()
            ),
        });
    }
    let deciding = source.last_hidden(held_out)?;
    let before = model.divergence((source, &deciding), held_out)?;
    let old = model.norms().clone();
    let mut factors: BTreeMap<&str, Factors> = old
        .iter()
        .map(|(name, vector)| (&**name, Factors::new(vector.len())))
        .collect();
    let mut steps = Vec::with_capacity(settings.steps);
    for step in 0..settings.steps {
        let first = step * settings.windows;
        let batch = (first..first + settings.windows).map(|i| i % calibration.len());
        let batch: Vec<Vec<u32>> = batch.map(|i| calibration[i].clone()).collect();
        let hidden = source.last_hidden(&batch)?;
        let found = norm_gradients(model, (source, &hidden), &batch, folder)?;
        let rate = settings.rate * falling(step as f32 / settings.steps as f32);
        let mut norms = BTreeMap::new();
        for (name, vector) in &old {
            let Some(factors) = factors.get_mut(&**name) else {
                continue;
            };
            if let Some(gradients) = found.gradients.get(name) {
                factors.step(step, rate, vector, gradients);
            }
            let new = vector.iter().zip(&factors.of).map(|(x, factor)| x * factor);
            norms.insert(name.clone(), new.collect());
        }
        model.set_norms(&norms);
        steps.push(found.divergence);
        let told = progress(Step {
            done: step + 1,
            total: settings.steps,
            divergence: found.divergence,
        });
        if told.is_break() {
            model.set_norms(&old);
            return Err(Error::Cancelled);
        }
    }
    let after = model.divergence((source, &deciding), held_out)?;
    let is_better = after < before;
    if !is_better {
        model.set_norms(&old);
    }
    Ok(Tuned {
        norms: is_better.then(|| model.norms().clone()),
        steps,
        before,
        after,
    })
}

/// From 1 at the beginning to 0 at the end, slowly at both: half a cosine to within a hundredth, without a
/// library's cosine, whose last bit is another one elsewhere.
fn falling(x: f32) -> f32 {
    1.0 - x * x * (3.0 - 2.0 * x)
}

/// The factors of one vector and what Adam remembers of their gradients.
struct Factors {
    of: Vec<f32>,
    mean: Vec<f32>,
    mean_square: Vec<f32>,
}

impl Factors {
    fn new(n: usize) -> Self {
        Self {
            of: vec![1.0; n],
            mean: vec![0.0; n],
            mean_square: vec![0.0; n],
        }
    }

    /// One step, counted from 0, with the gradients at the vector.
    fn step(&mut self, step: usize, rate: f32, vector: &[f32], gradients: &[f32]) {
        // Both means begin at 0 and are divided by the share of the weights that they have seen.
        let seen = KEPT.map(|kept| 1.0 - (0..=step).map(|_| kept).product::<f32>());
        for (i, (x, g)) in vector.iter().zip(gradients).enumerate() {
            let g = x * g;
            self.mean[i] = KEPT[0] * self.mean[i] + (1.0 - KEPT[0]) * g;
            self.mean_square[i] = KEPT[1] * self.mean_square[i] + (1.0 - KEPT[1]) * g * g;
            let root = (self.mean_square[i] / seen[1]).sqrt();
            self.of[i] -= rate * (self.mean[i] / seen[0]) / (root + EPSILON);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Store;
    use crate::backward::tests::{random, random_texts};
    use aeolus_gguf::TensorType;
    use aeolus_infer::Model;
    use aeolus_job::Identity;
    use aeolus_pipeline::{Codes, Via};
    use aeolus_quant::Cpu;
    use std::sync::Arc;

    #[test]
    fn tuned_norms_bring_a_model_closer_and_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let [file, source] = [1, 2].map(|seed| random(folder.path(), "qwen3", seed));
        let [model, source] = [&file, &source].map(|path| Model::open(path).unwrap());
        let cpu = Cpu::select().unwrap();
        let source = Backward::new(&source, cpu).unwrap();
        let all = random_texts(12, 17);
        let texts = Texts {
            calibration: &all[..8],
            held_out: &all[8..],
        };
        let settings = Settings {
            steps: 12,
            rate: 0.02,
            ..Settings::default()
        };
        let run = || {
            let mut model = Backward::new(&model, cpu).unwrap();
            let mut told = 0;
            let tuned = tune(
                &mut model,
                &source,
                texts,
                (settings, folder.path()),
                &mut |step| {
                    told += 1;
                    assert_eq!((step.done, step.total), (told, 12));
                    ControlFlow::Continue(())
                },
            );
            (tuned.unwrap(), model.norms().clone())
        };
        let (tuned, norms) = run();
        assert!(tuned.after < tuned.before, "{tuned:?}");
        assert!(tuned.steps[8] < tuned.steps[0], "the same windows");
        assert_eq!(tuned.norms.as_ref(), Some(&norms));
        assert_eq!(run().0, tuned, "the same again");

        let path = folder.path().join("tuned");
        let identity = Identity::new([("test", "norms".to_owned())]);
        let open = || Store::open(&path, &identity, Vec::new(), &()).unwrap();
        let (mut store, names) = (open(), || norms.keys().map(String::as_str));
        let old = Backward::new(&model, cpu).unwrap().norms().clone();
        assert!(!are_known(&store, names()));
        keep(&mut store, &old, &tuned).unwrap();
        drop(store);
        let store = open();
        assert!(are_known(&store, names()));
        let plain: Arc<dyn Codes> = Arc::new(
            Store::open(&path.with_extension("codes"), &identity, Vec::new(), &()).unwrap(),
        );
        let both = WithNorms::new(plain.clone(), Arc::new(store));
        assert_ne!(both.identity(), plain.identity());
        assert_eq!(both.keys().len(), 1);
        for (name, vector) in &norms {
            assert!(both.has(name, TensorType::F32, Via::Source));
            assert!(!both.has(name, TensorType::Q4_K, Via::Source));
            let mut out = vec![0; 4 * vector.len()];
            both.read(name, TensorType::F32, Via::Source, 0..1, &mut out)
                .unwrap();
            let bytes: Vec<u8> = vector.iter().flat_map(|x| x.to_le_bytes()).collect();
            assert_eq!(out, bytes);
        }
    }

    #[test]
    fn norms_that_are_worse_elsewhere_are_not_kept() {
        let folder = tempfile::tempdir().unwrap();
        let source = Model::open(&random(folder.path(), "llama", 2)).unwrap();
        let cpu = Cpu::select().unwrap();
        // The model is the source: nothing can be better.
        let (mut model, source) = (
            Backward::new(&source, cpu).unwrap(),
            Backward::new(&source, cpu).unwrap(),
        );
        let all = random_texts(3, 9);
        let texts = Texts {
            calibration: &all[..2],
            held_out: &all[2..],
        };
        let go_on = &mut |_| ControlFlow::Continue(());
        let settings = Settings {
            steps: 3,
            ..Settings::default()
        };
        let tuned = tune(&mut model, &source, texts, (settings, folder.path()), go_on);
        let tuned = tuned.unwrap();
        assert_eq!((tuned.norms, tuned.before), (None, 0.0));
        assert_eq!(model.norms(), source.norms());
        let none = Texts {
            held_out: &[],
            ..texts
        };
        let refused = tune(&mut model, &source, none, (settings, folder.path()), go_on);
        assert!(refused.unwrap_err().to_string().contains("0 to decide"));
    }

    #[test]
    fn the_rate_falls_to_nothing() {
        let rates: Vec<f32> = (0..=8).map(|i| falling(i as f32 / 8.0)).collect();
        assert_eq!((rates[0], rates[4], rates[8]), (1.0, 0.5, 0.0));
        assert!(rates.windows(2).all(|pair| pair[0] > pair[1]));
    }
}
