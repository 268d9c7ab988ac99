//! A calibration text for those who have none: sampled from the model itself.

use crate::Error;
use aeolus_infer::{CacheType, Model, Runtime, Sampler, SamplerOptions};
use aeolus_job::{Cancel, Event, Progress};

/// Windows of `length` tokens that the model writes from `first`, its begin token, on, at temperature 1 and
/// with random numbers that depend on `seed` and the window's number alone.
///
/// # Errors
/// [`Error::Model`], [`Error::Cancelled`].
pub fn sample(
    model: &Model,
    runtime: &Runtime,
    first: u32,
    (count, length): (usize, usize),
    seed: u64,
    (progress, cancel): (&dyn Progress, &Cancel),
) -> Result<Vec<Vec<u32>>, Error> {
    progress.event(Event::Started {
        total: (count * length) as u64,
        known: 0,
    });
    let window = |number: usize| -> Result<Vec<u32>, Error> {
        let mut sampler = Sampler::new(SamplerOptions {
            temperature: 1.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            seed: Some(seed.wrapping_add(number as u64)),
            ..SamplerOptions::default()
        })?;
        let mut cache = model.cache(length, CacheType::F32)?;
        let mut tokens = vec![first];
        while tokens.len() < length {
            if cancel.is_set() {
                return Err(Error::Cancelled);
            }
            let logits = runtime.forward(model, &tokens[tokens.len() - 1..], &mut cache, 0..1)?;
            tokens.push(sampler.sample(logits.row(0))?);
        }
        progress.event(Event::Advanced {
            name: "sampled text",
            count: length as u64,
            figure: None,
        });
        Ok(tokens)
    };
    (0..count).map(window).collect()
}
