//! A sequence in the making: prompt in, text out.
//!
//! A [`Session`] holds the tokens whose keys and values are computed. [`Session::set_prompt`]
//! computes what is new in a prompt (a chat's next turn repeats the whole conversation, and only
//! its end is computed), and [`Session::generate`] chooses tokens until something ends it.

mod stop;
#[cfg(test)]
mod tests;
mod timings;

use std::ops::ControlFlow;
use std::time::Instant;

use crate::error::{Error, Result};
use crate::model::{Cache, CacheType, Model};
use crate::runtime::Runtime;
use crate::sampler::Sampler;
use crate::tokenizer::{StreamDecoder, Tokenizer};
use stop::{Found, StopStrings};
pub use timings::Timings;

/// How a sequence is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionOptions {
    /// Most tokens of prompt and answer together; 0 for what the model was trained for, but
    /// not more than [`DEFAULT_CONTEXT`].
    pub context: usize,
    /// How keys and values are kept.
    pub cache: CacheType,
    /// Prompt tokens computed at a time.
    pub batch: usize,
}

/// The context where none is asked for: the cache of a 7B model then takes 512 MiB in f16.
pub const DEFAULT_CONTEXT: usize = 4096;

impl Default for SessionOptions {
    fn default() -> Self {
        Self {
            context: 0,
            cache: CacheType::F16,
            batch: 512,
        }
    }
}

/// When a generation ends, besides at the model's own end of text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GenerateOptions {
    /// Most tokens; `None` until the context is full.
    pub max_tokens: Option<usize>,
    /// Texts that end it; they are not part of the answer.
    pub stop: Vec<String>,
    /// Go on after the model's end of text.
    pub ignore_end: bool,
    /// Show control tokens by name.
    pub show_control: bool,
}

/// Why a generation ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// The model ended the text, or its turn, with this token.
    End(u32),
    /// As many tokens as were asked for.
    MaxTokens,
    /// This stop text appeared.
    StopText(String),
    /// No position is left.
    ContextFull,
    /// The caller's function said so.
    Interrupted,
}

/// What a generation gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generated {
    /// The tokens chosen, an end token included.
    pub ids: Vec<u32>,
    /// Their text as it was handed out: without a stop text, without an end token.
    pub text: String,
    /// Why it ended.
    pub reason: StopReason,
}

/// One sequence of one model.
#[derive(Debug)]
pub struct Session<'m> {
    runtime: &'m Runtime,
    model: &'m Model,
    tokenizer: &'m Tokenizer,
    cache: Cache,
    batch: usize,
    /// The tokens in the cache.
    tokens: Vec<u32>,
    /// Scores after the last token; empty if there is none.
    logits: Vec<f32>,
    timings: Timings,
}

impl<'m> Session<'m> {
    /// An empty sequence.
    ///
    /// # Errors
    /// [`Error::Vocabulary`] if model and tokenizer differ in the number of tokens,
    /// [`Error::Argument`] for a batch of zero or a context beyond memory.
    pub fn new(
        runtime: &'m Runtime,
        model: &'m Model,
        tokenizer: &'m Tokenizer,
        options: SessionOptions,
    ) -> Result<Self> {
        if model.vocab() != tokenizer.len() {
            return Err(Error::Vocabulary(format!(
                "the tokenizer has {} tokens, the model scores {}",
                tokenizer.len(),
                model.vocab()
            )));
        }
        if options.batch == 0 {
            return Err(Error::Argument {
                what: "batch",
                found: "0".to_owned(),
                expected: "at least 1 token",
            });
        }
        let context = match options.context {
            0 => model.hyper().context.min(DEFAULT_CONTEXT),
            context => context,
        };
        Ok(Self {
            runtime,
            model,
            tokenizer,
            cache: model.cache(context, options.cache)?,
            batch: options.batch,
            tokens: Vec::new(),
            logits: Vec::new(),
            timings: Timings::default(),
        })
    }

    /// The tokens computed so far.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// Most tokens of prompt and answer together.
    pub fn context(&self) -> usize {
        self.cache.capacity()
    }

    /// Scores of every token after the last one; empty before a prompt.
    pub fn logits(&self) -> &[f32] {
        &self.logits
    }

    /// What was computed, and how long it took, since the session began or
    /// [`reset_timings`](Self::reset_timings).
    pub fn timings(&self) -> Timings {
        self.timings
    }

    /// Sets all counts and times to zero.
    pub fn reset_timings(&mut self) {
        self.timings = Timings::default();
    }

    /// Makes the sequence exactly `ids`, computing only what comes after the part that it has
    /// in common with the tokens there are. After each batch `progress` hears how many tokens
    /// are done and how many there are; a break leaves the sequence at that point.
    ///
    /// # Errors
    /// [`Error::ContextFull`] before anything is computed, [`Error::TokenOutOfRange`], or
    /// [`Error::Argument`] for an empty prompt.
    pub fn set_prompt(
        &mut self,
        ids: &[u32],
        mut progress: impl FnMut(usize, usize) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>> {
        let Some(last) = ids.len().checked_sub(1) else {
            return Err(Error::Argument {
                what: "prompt",
                found: "empty".to_owned(),
                expected: "at least one token",
            });
        };
        if ids.len() > self.context() {
            return Err(Error::ContextFull {
                used: 0,
                wanted: ids.len(),
                context: self.context(),
            });
        }
        let common = ids
            .iter()
            .zip(&self.tokens)
            .take_while(|(a, b)| a == b)
            .count();
        // The last token is always computed: its scores are wanted.
        self.truncate(common.min(last));
        let start = Instant::now();
        let before = self.tokens.len();
        let mut flow = ControlFlow::Continue(());
        while self.tokens.len() < ids.len() && flow.is_continue() {
            let next = &ids[self.tokens.len()..];
            let next = &next[..next.len().min(self.batch)];
            let ends = self.tokens.len() + next.len() == ids.len();
            self.compute(next, ends)?;
            flow = progress(self.tokens.len(), ids.len());
        }
        self.cache.mark();
        self.timings.prompt_tokens += self.tokens.len() - before;
        self.timings.prompt_time += start.elapsed();
        Ok(flow)
    }

    /// Forgets all tokens from `length` on. A model that carries a state along forgets more: it goes back
    /// to the end of the last prompt, or to the beginning.
    pub fn truncate(&mut self, length: usize) {
        if length < self.tokens.len() {
            self.tokens.truncate(self.cache.truncate(length));
            self.logits.clear();
        }
    }

    /// Chooses tokens after those there are and hands their text to `on_text`, piece by piece
    /// and in whole characters, until something ends it. Text that may be the beginning of a
    /// stop text is held back until it is known.
    ///
    /// The last chosen token is computed only when a next one is wanted, so a limit of
    /// `max_tokens` costs one pass less.
    ///
    /// # Errors
    /// [`Error::Argument`] if there is no prompt yet or a stop text is empty, and what
    /// computing and sampling give.
    pub fn generate(
        &mut self,
        sampler: &mut Sampler,
        options: &GenerateOptions,
        mut on_text: impl FnMut(&str) -> ControlFlow<()>,
    ) -> Result<Generated> {
        if self.logits.is_empty() {
            return Err(Error::Argument {
                what: "prompt",
                found: "not computed".to_owned(),
                expected: "a whole prompt before generating",
            });
        }
        let mut stop = StopStrings::new(&options.stop)?;
        let mut stream = StreamDecoder::new();
        let mut ids = Vec::new();
        let mut text = String::new();
        let start = Instant::now();
        let reason = loop {
            if options.max_tokens.is_some_and(|max| ids.len() >= max) {
                break StopReason::MaxTokens;
            }
            if let Some(&last) = ids.last() {
                if self.tokens.len() == self.context() {
                    break StopReason::ContextFull;
                }
                self.compute(&[last], true)?;
            }
            let id = sampler.sample(&self.logits)?;
            sampler.accept(id);
            ids.push(id);
            self.timings.generated_tokens += 1;
            let ends = self.tokenizer.is_end(id);
            if ends && !options.ignore_end {
                break StopReason::End(id);
            }
            let bytes = self.tokenizer.token_bytes(id, options.show_control)?;
            let Found { text: piece, stop } = stop.push(&stream.push(&bytes));
            text += &piece;
            if !piece.is_empty() && on_text(&piece).is_break() {
                break StopReason::Interrupted;
            }
            if let Some(stop) = stop {
                break StopReason::StopText(stop);
            }
        };
        self.timings.generation_time += start.elapsed();
        if !matches!(reason, StopReason::StopText(_) | StopReason::Interrupted) {
            // What was held back was no stop text after all.
            let Found { text: piece, .. } = stop.push(&stream.finish());
            let piece = piece + &stop.finish();
            text += &piece;
            if !piece.is_empty() {
                // Nothing is left to interrupt.
                let _ = on_text(&piece);
            }
        }
        Ok(Generated { ids, text, reason })
    }

    /// Appends tokens to the sequence; with `scores`, those after the last become the logits.
    fn compute(&mut self, tokens: &[u32], scores: bool) -> Result<()> {
        let first = tokens.len() - usize::from(scores);
        let outputs = first..tokens.len();
        let logits = self
            .runtime
            .forward(self.model, tokens, &mut self.cache, outputs)?;
        self.tokens.extend_from_slice(tokens);
        self.logits = logits.into_data();
        Ok(())
    }
}
