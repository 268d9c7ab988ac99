//! What `perplexity`, `compare`, `verify`, `table` and `tasks` share: the text and its cut, models
//! that may be checkpoints, and how figures are shown.

use crate::hub;
use crate::model::{ModeArg, note_long_context, parse_count, warn_of_keys};
use crate::output::{self, say};
use crate::progress;
use aeolus_checkpoint::OpenOptions;
use aeolus_eval::{
    Base, Comparison, Cut, Error, Format, KNOWN, LogProbs, Model, Options, Reference, Scorer,
    Stopped, Windows,
};
use aeolus_gguf::Metadata;
use aeolus_infer::Tokenizer;
use aeolus_job::Cancel;
use aeolus_report::documents::Measured;
use anyhow::{Context, Result, bail};
use clap::Args;
use std::path::{Path, PathBuf};

/// How a text is cut into windows. The command's text argument has the id `text`.
#[derive(Args, Debug)]
pub struct CutArgs {
    /// Tokens per window (default: 512)
    #[arg(
        short,
        long,
        value_name = "N",
        requires = "text",
        allow_negative_numbers = true,
        value_parser = parse_count
    )]
    ctx_size: Option<usize>,

    /// Number of windows from the start of the text, or `all`
    ///
    /// By default `perplexity` reads as many as a model reads in a few minutes: 64 for small models, 4 for
    /// 7B. Comparisons read 4 to 64, until the standard error of every mean KLD is below 3% of it or the
    /// order of the files is settled.
    #[arg(long, value_name = "N", value_parser = parse_chunks, allow_negative_numbers = true)]
    pub chunks: Option<Chunks>,

    /// Start a window every N tokens and score its last N (default: windows lie side by side and
    /// their second halves are scored)
    #[arg(
        long,
        value_name = "N",
        alias = "ppl-stride",
        requires = "text",
        allow_negative_numbers = true,
        value_parser = parse_count
    )]
    stride: Option<usize>,

    /// Keep results of finished windows in this file, and continue from it after an interruption
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
}

/// Tokens of a window where nothing else is asked for.
const DEFAULT_CTX: usize = 512;

/// Values of `--chunks`.
#[derive(Clone, Copy, Debug)]
pub enum Chunks {
    All,
    Count(usize),
}

/// What computes.
#[derive(Args, Clone, Copy, Debug)]
pub struct EngineArgs {
    /// Precision of activations: `exact` (f32) measures the weights alone, `precise` (16 bits) does the
    /// same in less time with an error that no figure shows, `fast` (8 bits) adds the rounding error
    /// that programs have which run the file
    #[arg(long, value_enum, default_value = "precise")]
    pub mode: ModeArg,

    /// Threads (default: all cores)
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub threads: Option<u16>,

    /// Draw no progress bar and print no summary
    #[arg(short, long)]
    pub quiet: bool,
}

/// How results are printed.
#[derive(Args, Clone, Copy, Debug)]
pub struct FormArgs {
    /// Print as JSON
    #[arg(long, conflicts_with = "csv")]
    pub json: bool,

    /// Print as comma-separated values
    #[arg(long)]
    pub csv: bool,
}

pub fn parse_chunks(text: &str) -> Result<Chunks, String> {
    match text.parse() {
        // llama-perplexity's spelling.
        _ if text == "all" || text == "-1" => Ok(Chunks::All),
        Ok(count) if count > 0 => Ok(Chunks::Count(count)),
        _ => Err("expected a number of at least 1, or `all`".into()),
    }
}

impl EngineArgs {
    /// Threads for work that runs no model.
    pub fn pool(&self) -> Result<rayon::ThreadPool> {
        pool(self.threads)
    }

    /// Threads and rounding.
    pub fn runtime(&self) -> Result<aeolus_infer::Runtime> {
        let threads = self.threads.map_or(0, usize::from);
        Ok(aeolus_eval::runtime(threads, self.mode.into())?)
    }
}

/// So many threads; `None` for as many as there are cores.
pub fn pool(threads: Option<u16>) -> Result<rayon::ThreadPool> {
    let threads = threads.map_or(0, usize::from);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    pool.with_context(|| format!("cannot start {threads} threads"))
}

impl CutArgs {
    /// The cut of a comparison, which stops by itself unless a number of windows is asked for.
    pub fn options(&self) -> Options {
        Options {
            n_ctx: self.n_ctx(),
            stride: self.stride,
            limit: self.limit(aeolus_eval::MOST_WINDOWS),
            until_known: self.chunks.is_none(),
            keep_base: None,
            state: self.state.clone(),
        }
    }

    /// The cut for one model of so many weights, in a text that is given `bos`.
    pub fn cut(&self, weights: u64, bos: Option<u32>) -> Cut {
        let n_ctx = self.n_ctx();
        Cut {
            n_ctx,
            stride: self.stride,
            bos,
            limit: self.limit(aeolus_eval::default_windows(weights, n_ctx)),
        }
    }

    fn n_ctx(&self) -> usize {
        self.ctx_size.unwrap_or(DEFAULT_CTX)
    }

    /// The most windows, `default` if nothing is asked for.
    fn limit(&self, default: usize) -> Option<usize> {
        match self.chunks {
            None => Some(default),
            Some(Chunks::All) => None,
            Some(Chunks::Count(count)) => Some(count),
        }
    }

    /// Refuses flags that concern a text where none is given.
    pub fn refuse_without_text(&self, has_text: bool) -> Result<()> {
        if !has_text && (self.chunks.is_some() || self.state.is_some()) {
            bail!("--chunks and --state concern the reading of a text, and none is given (-f)");
        }
        Ok(())
    }

    /// The same cut, over so many windows.
    pub fn with_windows(&self, windows: usize) -> Self {
        Self {
            chunks: Some(Chunks::Count(windows)),
            state: self.state.clone(),
            ..*self
        }
    }

    /// Whether figures of another run are of the windows that this cut would take: those that were
    /// asked for, or as many as that run took.
    pub fn is_of(&self, measured: &Measured) -> bool {
        let n_ctx = self.ctx_size.unwrap_or(DEFAULT_CTX) as u64;
        let windows = match self.chunks {
            None => measured.chunks,
            Some(Chunks::All) => measured.chunks_available,
            Some(Chunks::Count(count)) => {
                measured.chunks_available.map(|all| all.min(count as u64))
            }
        };
        measured.n_ctx == Some(n_ctx)
            && measured.stride == self.stride.map(|stride| stride as u64)
            && measured.chunks.is_some()
            && measured.chunks == windows
    }

    /// A window every so many tokens, where that was asked for.
    pub fn stride(&self) -> Option<usize> {
        self.stride
    }

    /// The state file.
    pub fn state(&self) -> Option<&Path> {
        self.state.as_deref()
    }

    /// Refuses, before any work, a text that the tokenizer of these keys cannot cut.
    pub fn check(&self, text: &str, metadata: &Metadata<'_>) -> Result<()> {
        let tokenizer = Tokenizer::from_metadata(metadata)?;
        let n_ctx = self.n_ctx();
        if let Some(arch) = metadata.str("general.architecture")?
            && let Some(trained) = metadata.u32(&format!("{arch}.context_length"))?
        {
            note_long_context(n_ctx, trained as usize);
        }
        let cut = Cut {
            n_ctx,
            stride: self.stride,
            bos: aeolus_eval::text::bos(&tokenizer),
            limit: None,
        };
        Windows::new(aeolus_eval::text::tokens(&tokenizer, text), &cut)?;
        Ok(())
    }

    /// Refuses another cut than that of a file of log-probabilities.
    fn refuse_other_than(&self, kept: &LogProbs) -> Result<()> {
        let (path, windows) = (kept.path().display(), kept.windows());
        let own = windows.n_ctx();
        if let Some(n_ctx) = self.ctx_size.filter(|n| *n != own) {
            bail!("{path}: holds windows of {own} tokens, and -c {n_ctx} asks for others");
        }
        let own = windows.is_strided().then(|| windows.scored().len());
        if let Some(stride) = self.stride.filter(|n| Some(*n) != own) {
            let own = own.map_or("side by side".into(), |n| format!("every {n} tokens"));
            bail!("{path}: holds windows {own}, and --stride {stride} asks for others");
        }
        Ok(())
    }

    /// Says what an interrupted run left.
    pub fn explain<T>(&self, result: Result<T, Error>) -> Result<T> {
        explain(result, self.state.as_deref())
    }

    /// Says how much of the text was read, if not all.
    pub fn note_windows(&self, windows: usize, available: usize, n_ctx: usize) {
        if windows < available && self.chunks.is_none() {
            say(format_args!(
                "note: {windows} of {available} windows of {n_ctx} tokens; --chunks takes more, \
                 or all"
            ));
        }
    }
}

/// Says what an interrupted run left: what is finished is in `state`, if there is one.
pub fn explain<T>(result: Result<T, Error>, state: Option<&Path>) -> Result<T> {
    match (result, state) {
        (Err(error @ Error::Cancelled), Some(path)) if !path.exists() => {
            Err(error).context("interrupted before anything was computed")
        }
        (Err(error @ Error::Cancelled), Some(path)) => {
            let path = path.display();
            Err(error).context(format!(
                "interrupted; finished work is kept in {path}, and a run with the same \
                 --state continues from there"
            ))
        }
        (Err(error @ Error::Cancelled), None) => {
            Err(error).context("interrupted; --state FILE would have kept finished work")
        }
        (result, _) => Ok(result?),
    }
}

/// A model that can be run: a GGUF file, or one made for the run of a checkpoint folder.
pub enum Runnable {
    File(PathBuf),
    Made(Box<Reference>, String),
}

impl Runnable {
    /// The model at `path`; a folder's file is made within `folder`.
    pub fn open(path: &Path, folder: &Path, engine: &EngineArgs, cancel: &Cancel) -> Result<Self> {
        let is_checkpoint =
            path.is_dir() || path.file_name().is_some_and(|name| name == "config.json");
        if !is_checkpoint {
            return Ok(Self::File(path.into()));
        }
        let source = aeolus_checkpoint::open(path, &OpenOptions::default())?;
        output::say_notes(&source.notes);
        let bar = progress::Bar::new(engine.quiet);
        let threads = engine.threads.map_or(0, usize::from);
        let made = Reference::write(&source, folder, threads, &bar, cancel);
        bar.clear();
        Ok(Self::Made(Box::new(made?), path.display().to_string()))
    }

    /// Loads it.
    pub fn load<'r>(&self, runtime: &'r aeolus_infer::Runtime) -> Result<Model<'r>, Error> {
        match self {
            Self::File(path) => open_model(path, runtime),
            Self::Made(made, name) => {
                let model = Model::open(made.path(), runtime)?.named(name.clone());
                made.unlink();
                warn_of_keys(Path::new(name), model.tokenizer());
                Ok(model)
            }
        }
    }
}

/// Opens a GGUF file to run it, and says what is wrong with its keys.
fn open_model<'r>(path: &Path, runtime: &'r aeolus_infer::Runtime) -> Result<Model<'r>, Error> {
    let model = Model::open(path, runtime)?;
    warn_of_keys(path, model.tokenizer());
    Ok(model)
}

/// GGUF files: those named, and those in folders that are named, once each; of split files the
/// first part. Those on the Hub are fetched.
pub fn gguf_files(paths: &[PathBuf], quiet: bool) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    // From small to large, as tables have them.
    let sort = |found: &mut Vec<PathBuf>| {
        found.sort_by_key(|file| (std::fs::metadata(file).map_or(0, |m| m.len()), file.clone()));
    };
    for path in paths {
        if let Some(mut found) = hub::gguf_files(path, quiet)? {
            sort(&mut found);
            files.extend(found);
            continue;
        }
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let found = aeolus_gguf::files_in(path);
        let mut found =
            found.with_context(|| format!("{}: cannot read the folder", path.display()))?;
        if found.is_empty() {
            bail!("{}: holds no GGUF file", path.display());
        }
        sort(&mut found);
        files.extend(found);
    }
    Ok(files)
}

/// Everything a comparison needs.
pub struct Request<'a> {
    /// A GGUF file, a checkpoint folder, or a file of log-probabilities.
    pub base: &'a Path,
    pub files: &'a [PathBuf],
    pub text: Option<&'a str>,
    pub cut: &'a CutArgs,
    pub engine: &'a EngineArgs,
    /// Where a checkpoint's temporary file goes.
    pub folder: &'a Path,
    pub keep_base: Option<(PathBuf, Format)>,
    pub cancel: &'a Cancel,
}

/// Runs it.
pub fn compare(request: &Request<'_>) -> Result<Comparison> {
    let quiet = request.engine.quiet;
    let runtime = request.engine.runtime()?;
    let models: Vec<Model<'_>> = request
        .files
        .iter()
        .map(|path| open_model(path, &runtime))
        .collect::<Result<_, _>>()?;
    let runnable;
    let base = match LogProbs::open_if_one(request.base, models.first().and_then(Model::bos))? {
        Some(file) => {
            if request.keep_base.is_some() {
                bail!(
                    "{}: holds log-probabilities already; --save-base is for a base that is run",
                    request.base.display()
                );
            }
            request.cut.refuse_other_than(&file)?;
            Base::File(Box::new(file))
        }
        None => {
            if request.text.is_none() {
                bail!("no text to compare on: give one with -f");
            }
            runnable =
                Runnable::open(request.base, request.folder, request.engine, request.cancel)?;
            Base::Model(Box::new(runnable.load(&runtime)?))
        }
    };
    let mut options = request.cut.options();
    options.keep_base = request.keep_base.clone();
    let n_ctx = match &base {
        Base::Model(_) => options.n_ctx,
        Base::File(file) => file.windows().n_ctx(),
    };
    for model in &models {
        note_long_context(n_ctx, model.context());
    }
    let of_base = match &base {
        Base::Model(_) => None,
        Base::File(file) => Some(file.windows().tokens().to_vec()),
    };
    let bar = progress::WindowBar::new(quiet);
    let cancel = request.cancel;
    let result = aeolus_eval::compare(base, &models, request.text, &options, &bar, cancel);
    bar.clear();
    let comparison = request.cut.explain(result)?;
    let of_text = || {
        let tokens = models
            .first()
            .zip(request.text)
            .map(|(model, text)| model.tokens(text));
        let mut tokens = tokens.unwrap_or_default();
        tokens.truncate(comparison.windows * comparison.n_ctx);
        tokens
    };
    crate::overlap::warn_of_overlap(&models, &of_base.unwrap_or_else(of_text));
    if let Some(why) = stopped(&comparison).filter(|_| !quiet) {
        say(format_args!(
            "note: {} of {} windows of {} tokens were read: {why}; --chunks reads as many as it says, or all",
            comparison.windows, comparison.available, comparison.n_ctx
        ));
    }
    Ok(comparison)
}

/// Why a comparison left windows out without being asked to, in words.
fn stopped(comparison: &Comparison) -> Option<String> {
    let files = comparison.files.len();
    if comparison.windows == comparison.available {
        return None;
    }
    Some(match comparison.stopped {
        Stopped::Asked | Stopped::End => return None,
        Stopped::Known => format!(
            "{} known to {:.0}%",
            if files == 1 {
                "the mean KLD is"
            } else {
                "every mean KLD is"
            },
            100.0 * KNOWN
        ),
        Stopped::Ordered => "the order of the files is settled".into(),
        Stopped::Limit => "more are not read without being asked for".into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_of_windows() {
        assert!(matches!(parse_chunks("all"), Ok(Chunks::All)));
        assert!(matches!(parse_chunks("-1"), Ok(Chunks::All)));
        assert!(matches!(parse_chunks("7"), Ok(Chunks::Count(7))));
        for bad in ["0", "-2", "some", ""] {
            assert!(parse_chunks(bad).is_err());
        }
    }
}
