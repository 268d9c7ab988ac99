//! Flags and set-up that the commands which run a model share.

use crate::hub;
use crate::output::{self, say};
use aeolus_infer::{
    CacheType, GenerateOptions, Model, Numeric, Runtime, Sampler, SamplerOptions, Session,
    SessionOptions, Timings, Tokenizer,
};
use aeolus_report::documents;
use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The file and how it is run.
#[derive(Args, Debug)]
pub struct ModelArgs {
    /// The GGUF file
    #[arg(value_name = "FILE", required_unless_present = "model")]
    file: Option<PathBuf>,

    /// The GGUF file, as llama.cpp's tools spell it
    #[arg(short, long, value_name = "FILE", conflicts_with = "file")]
    model: Option<PathBuf>,

    /// Context: largest number of tokens of prompt and answer together (0: the model's, up to 4096)
    #[arg(
        short,
        long,
        alias = "ctx_size",
        value_name = "N",
        default_value_t = 0,
        allow_negative_numbers = true,
        value_parser = parse_count
    )]
    ctx_size: usize,

    /// Threads (default: all cores)
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=4096))]
    threads: Option<u16>,

    /// Prompt tokens computed together
    #[arg(
        short,
        long,
        alias = "batch_size",
        value_name = "N",
        default_value_t = 512,
        allow_negative_numbers = true,
        value_parser = parse_count
    )]
    batch_size: usize,

    /// Precision of activations: `fast` (8 bits), `precise` (16 bits) or `exact` (f32)
    #[arg(long, value_enum, default_value = "fast")]
    mode: ModeArg,

    /// Type of keys and values in the cache
    #[arg(long, value_enum, default_value = "f16")]
    cache_type: CacheArg,

    /// Attend only to this many last positions; 0 for all (default: as the file says)
    #[arg(long, value_name = "N")]
    sliding_window: Option<usize>,
}

/// Values of `--mode`.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum ModeArg {
    /// Activations in f32.
    Exact,
    /// Activations in 16 bits.
    Precise,
    /// Activations in 8 bits.
    Fast,
}

impl From<ModeArg> for Numeric {
    fn from(mode: ModeArg) -> Self {
        match mode {
            ModeArg::Exact => Self::Exact,
            ModeArg::Precise => Self::Precise,
            ModeArg::Fast => Self::Fast,
        }
    }
}

/// Values of `--cache-type`.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum CacheArg {
    /// 16 bits.
    F16,
    /// 32 bits.
    F32,
    /// 8 bits with a scale for every 32.
    #[value(name = "q8_0")]
    Q8_0,
}

/// How tokens are chosen, and how many.
#[derive(Args, Debug)]
pub struct SamplingArgs {
    /// Largest number of tokens of an answer; -1 for no limit but the context
    #[arg(
        short,
        long = "n-predict",
        aliases = ["n_predict", "predict"],
        value_name = "N",
        default_value_t = -1,
        allow_negative_numbers = true
    )]
    n: i64,

    /// Temperature; 0 or less always takes the most probable token
    #[arg(
        long,
        value_name = "T",
        default_value_t = 0.8,
        allow_negative_numbers = true
    )]
    temp: f32,

    /// Choose among this many most probable tokens; 0 for all
    #[arg(
        long,
        alias = "top_k",
        value_name = "K",
        default_value_t = 40,
        allow_negative_numbers = true
    )]
    top_k: i64,

    /// Choose among the most probable tokens that together have this probability
    #[arg(
        long,
        alias = "top_p",
        value_name = "P",
        default_value_t = 0.95,
        allow_negative_numbers = true
    )]
    top_p: f32,

    /// Leave out tokens whose probability is less than this fraction of the highest one
    #[arg(
        long,
        alias = "min_p",
        value_name = "P",
        default_value_t = 0.05,
        allow_negative_numbers = true
    )]
    min_p: f32,

    /// Make recent tokens less likely; 1 for no penalty
    #[arg(
        long,
        alias = "repeat_penalty",
        value_name = "X",
        default_value_t = 1.0,
        allow_negative_numbers = true
    )]
    repeat_penalty: f32,

    /// Number of recent tokens; -1 for all
    #[arg(
        long,
        alias = "repeat_last_n",
        value_name = "N",
        default_value_t = 64,
        allow_negative_numbers = true
    )]
    repeat_last_n: i64,

    /// Seed of the random numbers (default, or -1: a new one for each run)
    #[arg(short, long, value_name = "N", allow_negative_numbers = true, value_parser = parse_seed)]
    seed: Option<Seed>,

    /// End the answer at this text; may be given more than once
    #[arg(
        long,
        aliases = ["reverse-prompt", "reverse_prompt"],
        short = 'r',
        value_name = "TEXT",
        allow_hyphen_values = true
    )]
    stop: Vec<String>,

    /// Continue after tokens that end a text or a turn
    #[arg(long, alias = "ignore_eos")]
    ignore_eos: bool,
}

/// Values of `--seed`; none is drawn.
#[derive(Clone, Copy, Debug)]
struct Seed(Option<u64>);

/// A number of tokens.
pub fn parse_count(text: &str) -> Result<usize, String> {
    text.parse()
        .map_err(|_| "expected a whole number, 0 or more".into())
}

fn parse_seed(text: &str) -> Result<Seed, String> {
    match text.parse() {
        _ if text == "-1" => Ok(Seed(None)),
        Ok(seed) => Ok(Seed(Some(seed))),
        Err(_) => Err(format!("expected a number from 0 to {}, or -1", u64::MAX)),
    }
}

/// A model that can be run.
pub struct Loaded {
    pub path: PathBuf,
    pub model: Model,
    pub tokenizer: Tokenizer,
    pub runtime: Runtime,
    pub options: SessionOptions,
    pub load_time: Duration,
}

impl ModelArgs {
    /// The file named either way.
    pub fn path(&self) -> Result<&PathBuf> {
        match self.file.as_ref().or(self.model.as_ref()) {
            Some(path) => Ok(path),
            None => bail!("no GGUF file is named"),
        }
    }

    /// Opens the file and starts the threads.
    pub fn load(&self) -> Result<Loaded> {
        let path = hub::file(self.path()?, false)?;
        refuse_folder(&path)?;
        let started = Instant::now();
        let named = || format!("{}", path.display());
        let mut model = Model::open(&path).with_context(named)?;
        if let Some(window) = self.sliding_window {
            model.set_sliding_window(window);
        }
        let tokenizer = Tokenizer::from_metadata(model.metadata()).with_context(named)?;
        warn_of_keys(&path, &tokenizer);
        Ok(Loaded {
            runtime: Runtime::new(self.threads.map_or(0, usize::from), self.mode.into())?,
            options: SessionOptions {
                context: self.ctx_size,
                cache: match self.cache_type {
                    CacheArg::F16 => CacheType::F16,
                    CacheArg::F32 => CacheType::F32,
                    CacheArg::Q8_0 => CacheType::Q8_0,
                },
                batch: self.batch_size,
            },
            load_time: started.elapsed(),
            path,
            model,
            tokenizer,
        })
    }
}

impl Loaded {
    /// An empty sequence.
    pub fn session(&self) -> Result<Session<'_>> {
        note_long_context(self.options.context, self.model.hyper().context);
        Session::new(&self.runtime, &self.model, &self.tokenizer, self.options)
            .with_context(|| format!("{}", self.path.display()))
    }
}

impl Loaded {
    /// Names the file, and for a full context the way out.
    pub fn explain(&self, error: aeolus_infer::Error) -> anyhow::Error {
        let path = self.path.display();
        match error {
            aeolus_infer::Error::ContextFull {
                wanted, context, ..
            } => anyhow::anyhow!(
                "{path}: context is full: the prompt has {wanted} tokens and the context holds \
                 {context}; use a shorter prompt, or a larger context with -c (the model was made for {})",
                self.model.hyper().context
            ),
            error => anyhow::Error::new(error).context(format!("{path}")),
        }
    }
}

/// Says that a sequence is longer than those that the model was trained on; once.
pub fn note_long_context(context: usize, trained: usize) {
    if context > trained {
        output::say_once(format!(
            "note: a context of {context} tokens, and the model was made for {trained}: expect \
             nonsense beyond"
        ));
    }
}

/// Says what is wrong with the tokenizer's keys in a file; once.
pub fn warn_of_keys(path: &Path, tokenizer: &Tokenizer) {
    for note in tokenizer.notes() {
        output::say_once(format!("warning: {}: {note}", path.display()));
    }
}

/// Says that a text gets no second start token.
pub fn note_beginning(text: &str, tokenizer: &Tokenizer) {
    let vocabulary = tokenizer.vocabulary();
    if tokenizer.begins_by_itself(text)
        && let Some(piece) = vocabulary
            .bos
            .and_then(|id| vocabulary.pieces.get(id as usize))
    {
        say(format_args!(
            "note: the text begins with {piece} already, and gets no second one"
        ));
    }
}

impl SamplingArgs {
    /// The sampler.
    pub fn sampler(&self) -> Result<Sampler> {
        Ok(Sampler::new(SamplerOptions {
            temperature: self.temp,
            top_k: usize::try_from(self.top_k).unwrap_or(0),
            top_p: self.top_p,
            min_p: self.min_p,
            repeat_penalty: self.repeat_penalty,
            repeat_last_n: usize::try_from(self.repeat_last_n).unwrap_or(usize::MAX),
            seed: self.seed.and_then(|Seed(seed)| seed),
        })?)
    }

    /// When an answer ends.
    pub fn generate_options(&self) -> GenerateOptions {
        GenerateOptions {
            max_tokens: usize::try_from(self.n).ok(),
            stop: self.stop.clone(),
            ignore_end: self.ignore_eos,
            show_control: false,
        }
    }
}

/// A folder is no file to run, though other commands take checkpoint folders.
pub fn refuse_folder(path: &Path) -> Result<()> {
    if path.is_dir() {
        bail!(
            "{}: is a folder, a GGUF file was expected; `aeolus convert` and `aeolus quantize` \
             make one of a checkpoint",
            path.display()
        );
    }
    Ok(())
}

/// The timing summary on stderr.
pub fn print_timings(load: Duration, timings: &Timings) {
    let part = |tokens: usize, time: Duration, rate: Option<f64>| {
        format!(
            "{tokens} tokens in {:.2} s ({})",
            time.as_secs_f64(),
            rate.map_or("-".into(), |r| format!("{r:.1} tokens/s"))
        )
    };
    say(format_args!(
        "load {:.2} s; prompt {}; generation {}",
        load.as_secs_f64(),
        part(
            timings.prompt_tokens,
            timings.prompt_time,
            timings.prompt_rate()
        ),
        part(
            timings.generated_tokens,
            timings.generation_time,
            timings.generation_rate()
        ),
    ));
}

/// The same, as documents have it.
pub fn timings(load: Duration, timings: &Timings) -> documents::Timings {
    documents::Timings {
        load_seconds: Some(load.as_secs_f64()),
        prompt_tokens: Some(timings.prompt_tokens as u64),
        prompt_seconds: Some(timings.prompt_time.as_secs_f64()),
        prompt_tokens_per_second: timings.prompt_rate(),
        generated_tokens: Some(timings.generated_tokens as u64),
        generation_seconds: Some(timings.generation_time.as_secs_f64()),
        generation_tokens_per_second: timings.generation_rate(),
    }
}

/// Text from a model, safe to show: on a terminal, control characters other than line ends and
/// tabs are left out, since they could move the cursor or worse.
pub fn printable(text: &str, terminal: bool) -> String {
    if terminal {
        text.chars()
            .filter(|c| !c.is_control() || matches!(c, '\n' | '\t'))
            .collect()
    } else {
        text.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_cannot_drive_the_terminal() {
        assert_eq!(printable("a\x1b[2Jb\n", true), "a[2Jb\n");
        assert_eq!(printable("a\x1b[2Jb\n", false), "a\x1b[2Jb\n");
    }
}
