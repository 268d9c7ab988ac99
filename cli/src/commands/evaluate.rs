//! What `perplexity`, `compare`, `verify`, `table` and `tasks` share: the text and its cut, models
//! that may be checkpoints, and how figures are shown.

use crate::hub;
use crate::model::{ModeArg, note_long_context, parse_count, warn_of_keys};
use crate::output::{self, Align, say};
use crate::progress;
use aeolus_checkpoint::OpenOptions;
use aeolus_eval::{
    Base, Comparison, Cut, Divergence, Error, Estimate, Format, LogProbs, Model, Options,
    Reference, Scorer, Windows,
};
use aeolus_gguf::{GgufFile, Metadata, ShardName};
use aeolus_infer::Tokenizer;
use aeolus_job::Cancel;
use aeolus_recipe::FileType;
use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// How a text is cut into windows. The command's text argument has the id `text`.
#[derive(Args, Debug)]
pub struct CutArgs {
    /// Tokens of a window (default: 512)
    #[arg(
        short,
        long,
        value_name = "N",
        requires = "text",
        allow_negative_numbers = true,
        value_parser = parse_count
    )]
    ctx_size: Option<usize>,

    /// How many windows from the start of the text, or `all` (default: what a model reads in a few
    /// minutes, 64 for small ones, 4 for 7B)
    #[arg(long, value_name = "N", value_parser = parse_chunks, allow_negative_numbers = true)]
    pub chunks: Option<Chunks>,

    /// A window every N tokens, of which the last N are scored (default: windows side by side,
    /// second half scored)
    #[arg(
        long,
        value_name = "N",
        alias = "ppl-stride",
        requires = "text",
        allow_negative_numbers = true,
        value_parser = parse_count
    )]
    stride: Option<usize>,

    /// Keep results of finished windows in this file, and go on from it after an interruption
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
    /// How numbers are rounded: `exact` measures the weights alone, `precise` the same in less time, with
    /// an error that no figure shows; `fast` adds the error of 8-bit activations, as engines
    /// that run the file have it
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
    /// The cut for models of this many weights.
    pub fn options(&self, weights: u64) -> Options {
        let n_ctx = self.ctx_size.unwrap_or(DEFAULT_CTX);
        let default = aeolus_eval::default_windows(weights, n_ctx);
        Options {
            n_ctx,
            stride: self.stride,
            limit: match self.chunks {
                None => Some(default),
                Some(Chunks::All) => None,
                Some(Chunks::Count(count)) => Some(count),
            },
            keep_base: None,
            state: self.state.clone(),
        }
    }

    /// Refuses flags that concern a text where none is given.
    pub fn refuse_without_text(&self, has_text: bool) -> Result<()> {
        if !has_text && (self.chunks.is_some() || self.state.is_some()) {
            bail!("--chunks and --state concern the reading of a text, and none is given (-f)");
        }
        Ok(())
    }

    /// The state file.
    pub fn state(&self) -> Option<&Path> {
        self.state.as_deref()
    }

    /// Refuses, before any work, a text that the tokenizer of these keys cannot cut.
    pub fn check(&self, text: &str, metadata: &Metadata<'_>) -> Result<()> {
        let tokenizer = Tokenizer::from_metadata(metadata)?;
        let n_ctx = self.ctx_size.unwrap_or(DEFAULT_CTX);
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
                "interrupted; what is finished is kept in {path}, and a run with the same \
                 --state goes on from there"
            ))
        }
        (Err(error @ Error::Cancelled), None) => {
            Err(error).context("interrupted; --state FILE would have kept what is done")
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
        super::forge::say_notes(&source.notes);
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

/// Whether files were made with the block that predicts a second token: their source is to be opened with
/// it, too.
pub fn predict_layers(files: &[PathBuf]) -> bool {
    let has_key = |file: GgufFile| {
        let mut keys = file.metadata().iter();
        keys.any(|(key, _)| key.ends_with(".nextn_predict_layers"))
    };
    // One that cannot be opened is told of by what reads it.
    files
        .iter()
        .any(|path| GgufFile::open(path).is_ok_and(has_key))
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
        let read = || format!("{}: cannot read the folder", path.display());
        let mut found = Vec::new();
        for entry in std::fs::read_dir(path).with_context(read)? {
            let entry = entry.with_context(read)?.path();
            let is_gguf = entry
                .extension()
                .is_some_and(|e| e.eq_ignore_ascii_case("gguf"));
            let is_part = ShardName::parse(&entry).is_some_and(|name| name.number > 1);
            if is_gguf && !is_part && entry.is_file() {
                found.push(entry);
            }
        }
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
    let base = match log_probs(request.base, models.first())? {
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
    let weights = models.first().map_or(0, Model::weights);
    let mut options = request.cut.options(weights);
    options.keep_base = request.keep_base.clone();
    let n_ctx = match &base {
        Base::Model(_) => options.n_ctx,
        Base::File(file) => file.windows().n_ctx(),
    };
    for model in &models {
        note_long_context(n_ctx, model.context());
    }
    let bar = progress::WindowBar::new(quiet);
    let cancel = request.cancel;
    let result = aeolus_eval::compare(base, &models, request.text, &options, &bar, cancel);
    bar.clear();
    let comparison = request.cut.explain(result)?;
    if !quiet {
        let (windows, available) = (comparison.windows, comparison.available);
        request
            .cut
            .note_windows(windows, available, comparison.n_ctx);
    }
    Ok(comparison)
}

/// The file of log-probabilities at `path`, if it is one.
fn log_probs(path: &Path, model: Option<&Model<'_>>) -> Result<Option<LogProbs>> {
    if path.is_dir() {
        return Ok(None);
    }
    let mut prefix = [0; 8];
    let read = std::fs::File::open(path)
        .and_then(|mut file| std::io::Read::read(&mut file, &mut prefix))
        .with_context(|| format!("{}: cannot read", path.display()))?;
    Ok(match Format::detect(&prefix[..read]) {
        Some(_) => Some(LogProbs::open(path, model.and_then(Model::bos))?),
        None => None,
    })
}

/// `general.file_type` as a name, if the file has a known one.
pub fn file_type(path: &Path) -> Option<FileType> {
    let file = aeolus_gguf::GgufFile::open(path).ok()?;
    let id = file.metadata().u32("general.file_type").ok()??;
    FileType::of_file(id, path)
}

/// A figure and its error, with as many decimals as asked for.
pub fn plus_minus(estimate: Estimate, decimals: usize) -> String {
    format!(
        "{:.decimals$} ± {:.decimals$}",
        estimate.value, estimate.error
    )
}

/// A divergence in nats: six decimals, or powers of ten where those would be zeros.
pub fn nats(value: f64) -> String {
    if value != 0.0 && value.abs() < 1e-5 {
        format!("{value:.2e}")
    } else {
        format!("{value:.6}")
    }
}

fn percent(estimate: Estimate) -> String {
    format!(
        "{:.2} ± {:.2}%",
        100.0 * estimate.value,
        100.0 * estimate.error
    )
}

/// The columns of quality, after the caller's.
pub const COLUMNS: [(&str, Align); 8] = [
    ("PPL", Align::Right),
    ("PPL ratio", Align::Right),
    ("KLD mean", Align::Right),
    ("median", Align::Right),
    ("99%", Align::Right),
    ("max", Align::Right),
    ("Same top", Align::Right),
    ("RMS dp", Align::Right),
];

/// One file's cells for them.
pub fn cells(d: &Divergence) -> [String; 8] {
    [
        plus_minus(d.ppl, 4),
        plus_minus(d.ppl_ratio, 5),
        format!("{} ± {}", nats(d.kld.value), nats(d.kld.error)),
        nats(d.kld_median),
        nats(d.kld_99),
        nats(d.kld_max),
        percent(d.same_top),
        percent(d.rms_dp),
    ]
}

/// Which of the others beats each file: the nearest to the base of those that are no larger and nearer, or
/// smaller and as near. Files that were not measured are out of the question.
pub fn beaten_by(bytes: &[Option<u64>], comparison: &Comparison) -> Vec<Option<usize>> {
    let points = bytes.iter().zip(&comparison.files);
    let points: Vec<Option<(f64, f64)>> = points
        .map(|(bytes, result)| Some(((*bytes)? as f64, result.as_ref().ok()?.kld.value)))
        .collect();
    aeolus_report::beaten_by(&points)
}

/// The base's perplexity, from any file's result.
pub fn base_ppl(comparison: &Comparison) -> Option<Estimate> {
    let mut results = comparison.files.iter().flatten();
    results.next().map(|d| d.ppl_base)
}

/// Adds to a JSON document what a comparison's figures are of.
pub fn describe(value: &mut Value, comparison: &Comparison, mode: ModeArg, text: Option<&Path>) {
    value["text"] = json!(text.map(|path| path.display().to_string()));
    value["n_ctx"] = json!(comparison.n_ctx);
    value["chunks"] = json!(comparison.windows);
    value["chunks_available"] = json!(comparison.available);
    value["mode"] = json!(aeolus_eval::numeric_name(mode.into()));
    value["base"] = json!({ "path": comparison.base, "ppl": base_ppl(comparison) });
}

/// Comma-separated values: a head, then rows.
pub fn print_csv(head: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> Result<()> {
    let quoted = |field: &str| {
        if field.contains([',', '"', '\n', '\r']) {
            format!("\"{}\"", field.replace('"', "\"\""))
        } else {
            field.to_owned()
        }
    };
    let mut text = format!("{}\n", head.join(","));
    for row in rows {
        let fields: Vec<String> = row.iter().map(|field| quoted(field)).collect();
        text += &fields.join(",");
        text.push('\n');
    }
    output::print(&text)
}

/// The CSV of JSON rows: fields of each row, then the figures of its `quality`, empty where it has
/// none.
pub fn print_rows_csv(fields: &[&str], rows: &[Value]) -> Result<()> {
    let measured = rows.iter().find_map(|row| row["quality"].as_object());
    let figures = match measured {
        Some(quality) => flatten(&Value::Object(quality.clone())).0,
        None => Vec::new(),
    };
    let cell = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        Value::Array(items) => {
            let texts = items.iter().map(|i| i.as_str().unwrap_or_default());
            texts.collect::<Vec<_>>().join("; ")
        }
        other => other.to_string(),
    };
    let lines = rows.iter().map(|row| {
        let mut line: Vec<String> = fields.iter().map(|field| cell(&row[*field])).collect();
        match row["quality"].is_object() {
            true => line.extend(flatten(&row["quality"]).1),
            false => line.extend(figures.iter().map(|_| String::new())),
        }
        line
    });
    let mut head = fields.to_vec();
    head.extend(figures.iter().map(String::as_str));
    print_csv(&head, lines)
}

/// One line about a comparison's base and text.
pub fn base_line(comparison: &Comparison) -> Option<String> {
    let ppl = base_ppl(comparison)?;
    Some(format!(
        "base {}: PPL {}; divergences in nats; {} windows of {} tokens",
        comparison.base,
        plus_minus(ppl, 4),
        comparison.windows,
        comparison.n_ctx,
    ))
}

/// Head and values of one flat JSON object's numbers: estimates give two columns, the second
/// with `_error` behind its name.
pub fn flatten(value: &Value) -> (Vec<String>, Vec<String>) {
    let mut flat = (Vec::new(), Vec::new());
    let mut add = |name: String, value: &Value| {
        flat.0.push(name);
        flat.1.push(match value {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        });
    };
    for (name, value) in value.as_object().into_iter().flatten() {
        match (value.get("value"), value.get("error")) {
            (Some(figure), Some(error)) => {
                add(name.clone(), figure);
                add(format!("{name}_error"), error);
            }
            _ => add(name.clone(), value),
        }
    }
    flat
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_read_well() {
        let estimate = Estimate {
            value: 54.92420,
            error: 1.20913,
        };
        assert_eq!(plus_minus(estimate, 4), "54.9242 ± 1.2091");
        assert_eq!(nats(0.003428), "0.003428");
        assert_eq!(nats(3.3e-10), "3.30e-10");
        assert_eq!(nats(0.0), "0.000000");
    }

    #[test]
    fn estimates_become_two_columns() {
        let value = json!({ "a": { "value": 1.5, "error": 0.5 }, "b": 3, "c": null });
        let (head, row) = flatten(&value);
        assert_eq!(head, ["a", "a_error", "b", "c"]);
        assert_eq!(row, ["1.5", "0.5", "3", ""]);
    }

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
