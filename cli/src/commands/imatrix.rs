//! `aeolus imatrix`: collects, merges, converts and describes importance matrices.

use super::evaluate::{Chunks, EngineArgs, Runnable};
use crate::hub::{self, Needs};
use crate::model::{note_long_context, parse_count};
use crate::output::{self, Align, say};
use crate::{guard, interrupt, progress};
use aeolus_eval::collect::{self, Collecting, Saved};
use aeolus_eval::{Cut, Error, Job, Model, Scorer, Windows};
use aeolus_imatrix::{CHUNK_TOKENS, Document, Format, Imatrix};
use aeolus_infer::ChatTemplate;
use aeolus_job::Cancel;
use aeolus_source::hex;
use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

/// Collect an importance matrix, which guides the encoders of quantized files
///
/// Runs MODEL, a GGUF file or a checkpoint folder, on a text and sums the squares of the inputs of each
/// matrix. `quantize --imatrix` and `table --imatrix` then put the errors where they matter least. Reads
/// and writes both formats of llama-imatrix. The same command continues an interrupted run and gives the
/// same bytes.
///
/// Without a text, the command merges, converts or describes files that were collected before.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  aeolus imatrix notus-7b-v1 -f calibration.txt -o notus-7b-v1.imatrix.gguf
  aeolus imatrix model.gguf -f conversations.jsonl --chunks 200 -o imatrix.gguf
  aeolus imatrix --in-file a.gguf --in-file b.dat -o merged.gguf
  aeolus imatrix --in-file imatrix.gguf -o imatrix.dat
  aeolus imatrix --in-file imatrix.gguf --show-statistics")]
pub struct Args {
    /// GGUF file or checkpoint folder, preferably unquantized
    #[arg(value_name = "MODEL", requires = "text")]
    model: Option<PathBuf>,

    /// Calibration text (- for stdin), or a .jsonl file with one conversation per line, which the model's
    /// chat template turns into text
    #[arg(
        short = 'f',
        long = "file",
        id = "text",
        value_name = "TEXT",
        requires = "model"
    )]
    text: Option<PathBuf>,

    /// Write the importance matrix here (default: imatrix.gguf, unless statistics are asked for)
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Format of the output (default: dat if the name ends in .dat, else gguf)
    #[arg(long, value_enum, value_name = "FORMAT")]
    output_format: Option<FormatArg>,

    /// Importance matrix of the same model to add, in either format; may be given more than once
    #[arg(long, value_name = "FILE", value_delimiter = ',')]
    in_file: Vec<PathBuf>,

    /// Tokens per chunk, also of the chunks that a .dat file counts (default: 512)
    #[arg(
        short,
        long,
        alias = "ctx",
        value_name = "N",
        allow_negative_numbers = true,
        value_parser = parse_count
    )]
    ctx_size: Option<usize>,

    /// Number of chunks to read from the start of the text, or `all`
    #[arg(long, value_name = "N", default_value = "all", value_parser = super::evaluate::parse_chunks, allow_negative_numbers = true)]
    chunks: Chunks,

    /// Also collect for output.weight
    #[arg(long, requires = "text")]
    process_output: bool,

    /// Read control tokens spelled out in the text, such as </s>, as control tokens
    #[arg(long, requires = "text")]
    parse_special: bool,

    /// Print statistics of each tensor's importance
    #[arg(long)]
    show_statistics: bool,

    /// Print a summary and the statistics as JSON
    #[arg(long)]
    json: bool,

    /// Replace the output if it exists
    #[arg(long)]
    force: bool,

    #[command(flatten)]
    engine: EngineArgs,
}

/// Values of `--output-format`.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum FormatArg {
    /// As llama.cpp writes it since July 2025.
    Gguf,
    /// The older one.
    Dat,
}

/// The output where no other is named.
const DEFAULT_OUTPUT: &str = "imatrix.gguf";

pub fn run(args: &Args) -> Result<ExitCode> {
    let started = Instant::now();
    let output = output(args);
    if let Some(path) = output.filter(|path| !args.force && path.exists()) {
        bail!("{}: exists already; --force replaces it", path.display());
    }
    // What is wrong with these is found before any work.
    let mut total = merged(args)?;
    let mut saved = None;
    if let (Some(model), Some(text)) = (&args.model, &args.text) {
        let engine = EngineArgs {
            quiet: args.engine.quiet || args.json,
            ..args.engine
        };
        let place = hub::place(model, Needs::Checkpoint, engine.quiet)?;
        let (collected, kept) = collect(&Request {
            model: &place.path,
            text: (text, &aeolus_eval::text::read(text)?),
            output,
            folder: &std::env::temp_dir(),
            n_ctx: args.chunk_tokens() as usize,
            limit: match args.chunks {
                Chunks::All => None,
                Chunks::Count(count) => Some(count),
            },
            process_output: args.process_output,
            parse_special: args.parse_special,
            merged: total.as_ref(),
            engine: &engine,
            cancel: interrupt::cancel_windows_on_ctrl_c()?,
        })?;
        match &mut total {
            Some(total) => total.merge(&collected)?,
            None => total = Some(collected),
        }
        saved = Some(kept);
    }
    let Some(total) = total else {
        bail!(
            "nothing to do: give a model and a text (-f), or files to merge, convert or describe \
             (--in-file)"
        );
    };
    let mut document = Document::new(&total);
    if let Some(path) = output {
        let format = format(args, path);
        note_losses(&total, format);
        let sha256 = collect::write_file(path, &total, format, args.force)?;
        document.path = Some(path.display().to_string());
        document.sha256 = Some(hex(&sha256));
    }
    if let Some(saved) = saved {
        saved.discard();
    }
    document.seconds = started.elapsed().as_secs_f64();
    print(args, &total, &document)?;
    Ok(ExitCode::SUCCESS)
}

/// Where the result goes, if anywhere.
fn output(args: &Args) -> Option<&Path> {
    match &args.output {
        Some(path) => Some(path),
        None if args.show_statistics => None,
        None => Some(Path::new(DEFAULT_OUTPUT)),
    }
}

fn format(args: &Args, path: &Path) -> Format {
    match args.output_format {
        Some(FormatArg::Gguf) => Format::Gguf,
        Some(FormatArg::Dat) => Format::Dat,
        None => match path.extension() {
            Some(extension) if extension.eq_ignore_ascii_case("dat") => Format::Dat,
            _ => Format::Gguf,
        },
    }
}

/// The sum of the files that are given.
fn merged(args: &Args) -> Result<Option<Imatrix>> {
    let mut total: Option<Imatrix> = None;
    for path in &args.in_file {
        let place = hub::place(path, Needs::File, args.engine.quiet || args.json)?;
        let mut imatrix = Imatrix::open(&place.path)?;
        if imatrix.chunk_tokens == 0 {
            imatrix.chunk_tokens = args.chunk_tokens();
        }
        for name in &imatrix.unused {
            say(format_args!(
                "warning: {}: tensor {name} is not used and is left out",
                path.display()
            ));
        }
        match &mut total {
            Some(total) => {
                let merged = total.merge(&imatrix);
                merged.with_context(|| path.display().to_string())?;
            }
            // A single one stays as it is, so that converting it back gives the same bytes.
            None => total = Some(imatrix),
        }
    }
    Ok(total)
}

/// What is collected, of what, and where it is kept meanwhile.
pub struct Request<'a> {
    pub model: &'a Path,
    /// The text's file, and what is in it.
    pub text: (&'a Path, &'a str),
    /// Where the result will be written.
    pub output: Option<&'a Path>,
    /// Where a checkpoint's temporary file goes.
    pub folder: &'a Path,
    /// Tokens of a chunk.
    pub n_ctx: usize,
    /// The most chunks.
    pub limit: Option<usize>,
    pub process_output: bool,
    pub parse_special: bool,
    /// What the result will be added to.
    pub merged: Option<&'a Imatrix>,
    pub engine: &'a EngineArgs,
    pub cancel: &'a Cancel,
}

/// What the model sees while it reads the text, and where it is kept until it is not needed any more.
pub fn collect(request: &Request<'_>) -> Result<(Imatrix, Saved)> {
    let &Request {
        engine,
        cancel,
        text: (text, _),
        ..
    } = request;
    let runtime = engine.runtime()?;
    let runnable = Runnable::open(request.model, request.folder, engine, cancel)?;
    let model = runnable.load(&runtime)?;
    if let Some(merged) = request.merged {
        collect::check_model(&model, merged)?;
    }
    note_long_context(request.n_ctx, model.context());
    let cut = Cut {
        n_ctx: request.n_ctx,
        stride: None,
        bos: model.bos(),
        limit: request.limit,
    };
    let windows = Windows::new(tokens(request, &model)?, &cut)?;
    let collecting = Collecting {
        process_output: request.process_output,
    };
    let bar = progress::WindowBar::new(engine.quiet);
    let job = Job {
        windows: &windows,
        progress: &bar,
        cancel,
    };
    let saved = match request.output {
        Some(path) => model.fingerprint(&bar, cancel).and_then(|mark| {
            let identity = collect::identity(&windows, mark, &model, collecting);
            Saved::open(path, &identity, &windows)
        }),
        None => Ok(Saved::in_memory(&windows)),
    };
    let collected = saved.and_then(|mut saved| {
        let collected = collect::collect(job, &model, collecting, &mut saved);
        collected.map(|collected| (collected, saved))
    });
    bar.clear();
    let (mut collected, saved) = explain(collected, request.output)?;
    collected.datasets.push(text.display().to_string());
    Ok((collected, saved))
}

/// Tokens of the text, or of the conversations in it.
fn tokens(request: &Request<'_>, model: &Model<'_>) -> Result<Vec<u32>> {
    let (path, content) = request.text;
    let is_lines = path
        .extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case("jsonl"));
    let tokenizer = model.tokenizer();
    if !is_lines {
        return Ok(match request.parse_special {
            true => aeolus_eval::text::tokens_with_control(tokenizer, content),
            false => model.tokens(content),
        });
    }
    if request.parse_special {
        bail!(
            "--parse-special is for texts: in conversations the chat template writes control tokens"
        );
    }
    let conversations = aeolus_eval::text::conversations(content, path)?;
    let name = model.path().display();
    let template = ChatTemplate::from_metadata(model.metadata(), tokenizer)?;
    let template = template.with_context(|| {
        format!("{name}: has no chat template, and conversations are written by one; give a text")
    })?;
    let mut tokens = Vec::new();
    for (number, messages) in conversations.iter().enumerate() {
        let written = guard::template(&name, || template.conversation(messages, tokenizer));
        let written = written.with_context(|| {
            format!(
                "{}: conversation {} of the file",
                path.display(),
                number + 1
            )
        })?;
        tokens.extend(written.tokens(tokenizer));
    }
    if !request.engine.quiet {
        say(format_args!(
            "{} by the model's chat template: {} tokens",
            output::count(conversations.len(), "conversation"),
            output::grouped(tokens.len() as u64),
        ));
    }
    Ok(tokens)
}

/// Says what an interrupted run left.
fn explain<T>(result: Result<T, Error>, output: Option<&Path>) -> Result<T> {
    let kept = output.map(|path| aeolus_job::Names::of(path).partial);
    match (result, kept.filter(|path| path.exists())) {
        (Err(error @ Error::Cancelled), Some(path)) => Err(error).context(format!(
            "interrupted; finished work is kept in {}, and the same command continues from there",
            path.display()
        )),
        (Err(error @ Error::Cancelled), None) => Err(error).context("interrupted; nothing is kept"),
        (result, _) => Ok(result?),
    }
}

/// Says what the older format cannot hold.
fn note_losses(imatrix: &Imatrix, format: Format) {
    if format != Format::Dat {
        return;
    }
    let ragged = imatrix.entries().filter(|(_, entry)| entry.is_ragged());
    let ragged: Vec<&str> = ragged.map(|(name, _)| name).collect();
    if let [name, others @ ..] = &ragged[..] {
        say(format_args!(
            "warning: the .dat format has one count for all experts of a tensor: how many tokens each of \
             them saw is lost for {name}{}",
            more(others.len()),
        ));
    }
    if imatrix.datasets.len() > 1 {
        say("warning: the .dat format names one text only: the last one is kept");
    }
}

fn more(count: usize) -> String {
    match count {
        0 => String::new(),
        count => format!(" and {count} more"),
    }
}

fn print(args: &Args, total: &Imatrix, document: &Document) -> Result<()> {
    report_coverage(document);
    if args.json {
        return output::print_json(document);
    }
    if args.show_statistics {
        output::print(&tensor_table(document))?;
        output::print("\n")?;
        output::print(&layer_table(document))?;
    }
    if !args.engine.quiet {
        let tensors = output::count(total.entries().len(), "tensor");
        let chunks = output::count(document.chunks as usize, "chunk");
        let size = match document.chunk_tokens {
            0 => String::new(),
            tokens => format!(" of {tokens} tokens"),
        };
        let path = document.path.as_ref();
        let path = path.map_or(String::new(), |path| format!("{path}: "));
        say(format_args!(
            "{path}{tensors}, {chunks}{size}; {:.1} s",
            document.seconds
        ));
    }
    Ok(())
}

/// Names the experts that saw nothing, once for the tensors of a layer that agree in them.
fn report_coverage(document: &Document) {
    let mut said: Vec<(Option<u32>, Vec<usize>)> = Vec::new();
    for tensor in &document.tensors {
        let unseen = tensor.unseen();
        let key = (tensor.layer, unseen.clone());
        if unseen.is_empty() || said.contains(&key) {
            continue;
        }
        said.push(key);
        let names: Vec<String> = unseen.iter().map(usize::to_string).collect();
        say(format_args!(
            "warning: {}: no token reached {} of {} experts: {}; their weights are encoded as if all \
             columns were alike",
            tensor.tensor,
            unseen.len(),
            tensor.seen.len(),
            names.join(", "),
        ));
    }
}

fn percent(share: f64) -> String {
    format!("{:.2}%", 100.0 * share)
}

fn tensor_table(document: &Document) -> String {
    let has_experts = document.tensors.iter().any(|t| t.seen.len() > 1);
    let mut columns = vec![("Layer", Align::Right), ("Tensor", Align::Left)];
    let figures = [
        "Sum", "Min", "Max", "Mean", "Std dev", "Active", "Values", "Entropy", "Even", "Outliers",
        "Similar",
    ];
    columns.extend(figures.map(|figure| (figure, Align::Right)));
    if has_experts {
        columns.extend(["Seen", "Unseen"].map(|figure| (figure, Align::Right)));
    }
    let rows = document.tensors.iter().map(|t| {
        let mut row = vec![
            t.layer.map_or("-".into(), |layer| layer.to_string()),
            t.part.clone(),
            format!("{:.2}", t.sum),
            format!("{:.4}", t.min),
            format!("{:.4}", t.max),
            format!("{:.2}", t.mean),
            format!("{:.2}", t.deviation),
            percent(t.active),
            t.values.to_string(),
            format!("{:.4}", t.entropy),
            percent(t.evenness),
            percent(t.outliers),
            t.similarity.map_or("-".into(), |s| format!("{s:.4}")),
        ];
        if has_experts {
            let least = t.seen.iter().copied().fold(f64::INFINITY, f64::min);
            let most = t.seen.iter().copied().fold(0.0, f64::max);
            row.push(format!("{least} to {most}"));
            row.push(format!("{} of {}", t.unseen().len(), t.seen.len()));
        }
        row
    });
    output::table(&columns, rows)
}

fn layer_table(document: &Document) -> String {
    let columns = ["Layer", "Mean sum", "Outliers", "Similar"].map(|name| (name, Align::Right));
    let rows = document.layers.iter().map(|layer| {
        vec![
            layer.layer.to_string(),
            format!("{:.2}", layer.sum),
            percent(layer.outliers),
            format!("{:.4}", layer.similarity),
        ]
    });
    output::table(&columns, rows)
}

impl Args {
    fn chunk_tokens(&self) -> u32 {
        let tokens = self.ctx_size.and_then(|tokens| u32::try_from(tokens).ok());
        tokens.unwrap_or(CHUNK_TOKENS)
    }
}
