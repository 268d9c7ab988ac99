//! Choosing the next token from its scores.
//!
//! The steps and their order are those of llama.cpp: repeat penalty, top-k, top-p, min-p,
//! temperature, then a random choice by the weights that are left. A temperature of zero (or
//! less) takes the best token after the penalty. The random numbers are this crate's own: the
//! same seed gives the same text here, not the same text as elsewhere.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};

use crate::error::{Error, Result};

/// How the next token is chosen. The defaults are llama.cpp's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SamplerOptions {
    /// Divides the scores: below 1 the likely become likelier. 0 or less is greedy.
    pub temperature: f32,
    /// Only this many best tokens; 0 for all.
    pub top_k: usize,
    /// Only the best tokens that together have this probability; 1 for all.
    pub top_p: f32,
    /// Only tokens at least this fraction as probable as the best; 0 for all.
    pub min_p: f32,
    /// Scores of recent tokens are divided (negative ones multiplied) by this; 1 for none.
    pub repeat_penalty: f32,
    /// How many tokens are recent.
    pub repeat_last_n: usize,
    /// Start of the random numbers; `None` draws one of 32 bits, which every reader of JSON keeps.
    pub seed: Option<u64>,
}

impl Default for SamplerOptions {
    fn default() -> Self {
        Self {
            temperature: 0.8,
            top_k: 40,
            top_p: 0.95,
            min_p: 0.05,
            repeat_penalty: 1.0,
            repeat_last_n: 64,
            seed: None,
        }
    }
}

impl SamplerOptions {
    /// Always the best token.
    pub fn greedy() -> Self {
        Self {
            temperature: 0.0,
            ..Self::default()
        }
    }

    fn check(&self) -> Result<()> {
        let bad = |what, found: f32, expected| {
            Err(Error::Argument {
                what,
                found: found.to_string(),
                expected,
            })
        };
        if !self.temperature.is_finite() {
            return bad("temperature", self.temperature, "a finite number");
        }
        if !(0.0..=1.0).contains(&self.top_p) {
            return bad("top-p", self.top_p, "0 to 1");
        }
        if !(0.0..=1.0).contains(&self.min_p) {
            return bad("min-p", self.min_p, "0 to 1");
        }
        if !(self.repeat_penalty > 0.0 && self.repeat_penalty.is_finite()) {
            return bad(
                "repeat penalty",
                self.repeat_penalty,
                "a finite number above 0",
            );
        }
        Ok(())
    }
}

/// A token with its score, later its weight.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    id: u32,
    score: f32,
}

/// Chooses tokens, remembering recent ones.
#[derive(Clone, Debug)]
pub struct Sampler {
    options: SamplerOptions,
    seed: u64,
    random: SplitMix64,
    recent: VecDeque<u32>,
    candidates: Vec<Candidate>,
}

impl Sampler {
    /// A sampler that remembers nothing yet.
    ///
    /// # Errors
    /// [`Error::Argument`] for an option that makes no sense.
    pub fn new(options: SamplerOptions) -> Result<Self> {
        options.check()?;
        // The standard library's hash keys are the process's only source of chance.
        let seed = options
            .seed
            .unwrap_or_else(|| RandomState::new().hash_one(0) >> 32);
        Ok(Self {
            options,
            seed,
            random: SplitMix64(seed),
            recent: VecDeque::new(),
            candidates: Vec::new(),
        })
    }

    /// The seed in use: the one given, or the one that was drawn.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Remembers a token for the repeat penalty: prompt tokens and chosen ones alike.
    pub fn accept(&mut self, token: u32) {
        if self.options.repeat_last_n == 0 {
            return;
        }
        if self.recent.len() == self.options.repeat_last_n {
            self.recent.pop_front();
        }
        self.recent.push_back(token);
    }

    /// Forgets all tokens. The random numbers go on.
    pub fn forget(&mut self) {
        self.recent.clear();
    }

    /// The next token. `logits[id]` is the score of token `id`.
    ///
    /// # Errors
    /// [`Error::NoFiniteScore`] if no score is a number, [`Error::NonFiniteScore`] for the first
    /// that is NaN or plus infinity: the weights are broken.
    pub fn sample(&mut self, logits: &[f32]) -> Result<u32> {
        let options = self.options;
        let candidates = &mut self.candidates;
        candidates.clear();
        let scored = logits
            .iter()
            .enumerate()
            .filter(|(_, score)| score.is_finite());
        candidates.extend(scored.map(|(id, &score)| Candidate {
            id: id as u32,
            score,
        }));
        // Minus infinity says "never"; anything else that is not a number says that some weight is
        // damaged, and a choice among the other tokens would hide it.
        let broken = |score: &f32| score.is_nan() || *score == f32::INFINITY;
        if let Some(token) = logits.iter().position(broken) {
            if candidates.is_empty() {
                return Err(Error::NoFiniteScore);
            }
            let value = logits[token];
            return Err(Error::NonFiniteScore { token, value });
        }

        if options.repeat_penalty != 1.0 && !self.recent.is_empty() {
            let mut recent: Vec<u32> = self.recent.iter().copied().collect();
            recent.sort_unstable();
            recent.dedup();
            for candidate in candidates.iter_mut() {
                if recent.binary_search(&candidate.id).is_ok() {
                    if candidate.score > 0.0 {
                        candidate.score /= options.repeat_penalty;
                    } else {
                        candidate.score *= options.repeat_penalty;
                    }
                }
            }
        }
        let best_first = |a: &Candidate, b: &Candidate| {
            b.score.total_cmp(&a.score).then_with(|| a.id.cmp(&b.id))
        };
        if options.temperature <= 0.0 {
            let best = candidates.iter().min_by(|a, b| best_first(a, b));
            return best.map(|best| best.id).ok_or(Error::NoFiniteScore);
        }
        if options.top_k > 0 && options.top_k < candidates.len() {
            candidates.select_nth_unstable_by(options.top_k, best_first);
            candidates.truncate(options.top_k);
        }
        candidates.sort_unstable_by(best_first);
        let Some(&best) = candidates.first() else {
            return Err(Error::NoFiniteScore);
        };
        if options.top_p < 1.0 {
            let weight = |c: &Candidate| f64::from(c.score - best.score).exp();
            let total: f64 = candidates.iter().map(weight).sum();
            let mut sum = 0.0;
            let enough = candidates.iter().position(|c| {
                sum += weight(c);
                sum >= f64::from(options.top_p) * total
            });
            candidates.truncate(enough.map_or(candidates.len(), |last| last + 1));
        }
        if options.min_p > 0.0 {
            let least = best.score + options.min_p.ln();
            let kept = candidates.partition_point(|c| c.score >= least);
            candidates.truncate(kept.max(1));
        }
        let weight = |c: &Candidate| f64::from((c.score - best.score) / options.temperature).exp();
        let total: f64 = candidates.iter().map(weight).sum();
        let mut point = self.random.fraction() * total;
        for candidate in candidates.iter() {
            point -= weight(candidate);
            if point < 0.0 {
                return Ok(candidate.id);
            }
        }
        // Rounding may leave a crumb after the last candidate.
        Ok(candidates.last().unwrap_or(&best).id)
    }
}

/// SplitMix64: 64 bits of state, equidistributed, and enough for one number for each token.
#[derive(Clone, Debug)]
struct SplitMix64(u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// 0 up to, but not including, 1.
    fn fraction(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open() -> SamplerOptions {
        SamplerOptions {
            temperature: 1.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            seed: Some(7),
            ..SamplerOptions::default()
        }
    }

    /// How often each token is drawn.
    fn draw(options: SamplerOptions, logits: &[f32], times: usize) -> Vec<usize> {
        let mut sampler = Sampler::new(options).unwrap();
        let mut counts = vec![0; logits.len()];
        for _ in 0..times {
            counts[sampler.sample(logits).unwrap() as usize] += 1;
        }
        counts
    }

    /// Scores of these probabilities.
    fn scores(probabilities: &[f32]) -> Vec<f32> {
        probabilities.iter().map(|p| p.ln() + 3.0).collect()
    }

    #[test]
    fn draws_follow_the_probabilities() {
        let logits = scores(&[0.1, 0.6, 0.05, 0.25]);
        let counts = draw(open(), &logits, 20_000);
        for (count, p) in counts.iter().zip([0.1, 0.6, 0.05, 0.25]) {
            assert!((*count as f64 / 20_000.0 - p).abs() < 0.015, "{counts:?}");
        }
        let cold = draw(
            SamplerOptions {
                temperature: 0.5,
                ..open()
            },
            &logits,
            20_000,
        );
        let expected = 0.36 / (0.01 + 0.36 + 0.0025 + 0.0625);
        assert!(
            (cold[1] as f64 / 20_000.0 - expected).abs() < 0.015,
            "{cold:?}"
        );
        assert_eq!(
            draw(open(), &logits, 50),
            draw(open(), &logits, 50),
            "the seed decides"
        );
        let other = SamplerOptions {
            seed: Some(8),
            ..open()
        };
        assert_ne!(draw(open(), &logits, 500), draw(other, &logits, 500));
    }

    #[test]
    fn cuts_leave_the_best() {
        let logits = scores(&[0.1, 0.6, 0.05, 0.25]);
        let left = |options| -> Vec<bool> {
            draw(options, &logits, 2000)
                .iter()
                .map(|&n| n > 0)
                .collect()
        };
        let with = |change: &dyn Fn(&mut SamplerOptions)| {
            let mut options = open();
            change(&mut options);
            left(options)
        };
        assert_eq!(with(&|o| o.top_k = 1), [false, true, false, false]);
        assert_eq!(with(&|o| o.top_k = 3), [true, true, false, true]);
        assert_eq!(with(&|o| o.top_k = 9), [true; 4]);
        assert_eq!(with(&|o| o.top_p = 0.0), [false, true, false, false]);
        assert_eq!(with(&|o| o.top_p = 0.84), [false, true, false, true]);
        assert_eq!(with(&|o| o.top_p = 0.86), [true, true, false, true]);
        assert_eq!(with(&|o| o.min_p = 0.4), [false, true, false, true]);
        assert_eq!(with(&|o| o.min_p = 1.0), [false, true, false, false]);
        // The cuts come before the temperature: heat does not bring tokens back.
        assert_eq!(
            with(&|o| (o.min_p, o.temperature) = (0.4, 50.0)),
            [false, true, false, true]
        );
    }

    #[test]
    fn repeats_are_made_unlikely() {
        let greedy = SamplerOptions {
            repeat_penalty: 2.0,
            repeat_last_n: 2,
            ..SamplerOptions::greedy()
        };
        let mut sampler = Sampler::new(greedy).unwrap();
        let logits = [3.0, 2.0, -1.0, -1.5];
        assert_eq!(sampler.sample(&logits).unwrap(), 0);
        sampler.accept(0);
        sampler.accept(0);
        assert_eq!(sampler.sample(&logits).unwrap(), 1, "3 / 2 is less than 2");
        sampler.accept(1);
        assert_eq!(sampler.sample(&logits).unwrap(), 0);
        sampler.accept(1);
        assert_eq!(
            sampler.sample(&logits).unwrap(),
            0,
            "two tokens are remembered"
        );
        sampler.forget();
        sampler.accept(2);
        assert_eq!(
            sampler.sample(&[-9.0, -9.0, -1.0, -1.5]).unwrap(),
            3,
            "-1 * 2 is less"
        );
    }

    #[test]
    fn broken_scores_and_options_are_errors() {
        let mut sampler = Sampler::new(open()).unwrap();
        assert_eq!(sampler.sample(&[1.0, f32::NEG_INFINITY]).unwrap(), 0);
        for bad in [f32::NAN, f32::INFINITY] {
            assert!(matches!(
                sampler.sample(&[2.0, bad, 1.0]),
                Err(Error::NonFiniteScore { token: 1, .. })
            ));
        }
        assert!(matches!(
            sampler.sample(&[f32::NAN]),
            Err(Error::NoFiniteScore)
        ));
        assert!(matches!(sampler.sample(&[]), Err(Error::NoFiniteScore)));
        let mut greedy = Sampler::new(SamplerOptions::greedy()).unwrap();
        assert_eq!(
            greedy.sample(&[1.0, 1.0]).unwrap(),
            0,
            "the first of equals"
        );
        for bad in [
            SamplerOptions {
                top_p: 1.5,
                ..open()
            },
            SamplerOptions {
                min_p: f32::NAN,
                ..open()
            },
            SamplerOptions {
                repeat_penalty: 0.0,
                ..open()
            },
            SamplerOptions {
                temperature: f32::INFINITY,
                ..open()
            },
        ] {
            assert!(Sampler::new(bad).is_err());
        }
        let drawn = Sampler::new(SamplerOptions {
            seed: None,
            ..open()
        })
        .unwrap();
        assert!(u32::try_from(drawn.seed()).is_ok());
        let again = SamplerOptions {
            seed: Some(drawn.seed()),
            ..open()
        };
        let logits = scores(&[0.5, 0.5]);
        let mut pair = [drawn, Sampler::new(again).unwrap()];
        for _ in 0..20 {
            let [a, b] = &mut pair;
            assert_eq!(a.sample(&logits).unwrap(), b.sample(&logits).unwrap());
        }
    }
}
