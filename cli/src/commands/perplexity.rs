//! `aeolus perplexity`: how surprised a model is by a text.

use super::evaluate::{CutArgs, EngineArgs, FormArgs, Runnable};
use crate::figures::{self, estimate, plus_minus};
use crate::hub::{self, Needs};
use crate::model::note_long_context;
use crate::output::{self, Align, say};
use crate::{interrupt, progress};
use aeolus_eval::{Job, Perplexity, Scorer, State, Windows};
use aeolus_report::documents;
use anyhow::Result;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

/// Measure how well a model predicts a text
///
/// Perplexity is that of llama-perplexity: windows lie side by side, the model's start token
/// replaces the first token of each, and the second half is scored. Bits per byte compares models
/// with different vocabularies. MODEL (or -m MODEL) is a GGUF file or a checkpoint folder.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  aeolus perplexity out/notus-mini.Q4_K_M.gguf -f fixtures/text/heldout.txt
  aeolus perplexity model.gguf -f text.txt -c 2048 --chunks all --state ppl.state
  aeolus perplexity model.gguf -f text.txt --stride 128 --json")]
pub struct Args {
    /// GGUF file or checkpoint folder
    #[arg(value_name = "MODEL")]
    model: PathBuf,

    /// The text; - for stdin
    #[arg(short = 'f', long = "file", id = "text", value_name = "TEXT")]
    text: PathBuf,

    #[command(flatten)]
    cut: CutArgs,

    #[command(flatten)]
    engine: EngineArgs,

    #[command(flatten)]
    form: FormArgs,
}

pub fn run(args: &Args) -> Result<ExitCode> {
    let started = Instant::now();
    let cancel = interrupt::cancel_windows_on_ctrl_c()?;
    let quiet = args.engine.quiet;
    let place = hub::place(&args.model, Needs::Checkpoint, quiet)?;
    let runtime = args.engine.runtime()?;
    let text = aeolus_eval::text::read(&args.text)?;
    let runnable = Runnable::open(&place.path, &std::env::temp_dir(), &args.engine, cancel)?;
    let model = runnable.load(&runtime)?;
    let cut = args.cut.cut(model.weights(), model.bos());
    note_long_context(cut.n_ctx, model.context());
    let windows = Windows::new(model.tokens(&text), &cut)?;
    let numeric = aeolus_eval::numeric_name(model.numeric());
    let mut state = match args.cut.state() {
        Some(path) => {
            let description = aeolus_eval::describe("perplexity", &windows, numeric, None);
            State::open(path, &description)?
        }
        None => State::in_memory(),
    };
    let bytes = aeolus_eval::scored_bytes(&windows, |tokens| model.text_bytes(tokens));
    let bar = progress::WindowBar::new(quiet);
    let job = Job {
        windows: &windows,
        progress: &bar,
        cancel,
    };
    let mark = model.mark(&state, &bar, cancel);
    let result =
        mark.and_then(|mark| aeolus_eval::perplexity(job, &model, &mark, bytes, &mut state));
    bar.clear();
    let found = args.cut.explain(result)?;
    print(args, &windows, &found, started.elapsed().as_secs_f64())?;
    Ok(ExitCode::SUCCESS)
}

fn print(args: &Args, windows: &Windows, found: &Perplexity, seconds: f64) -> Result<()> {
    let document = documents::Perplexity {
        schema: documents::Perplexity::SCHEMA.into(),
        path: args.model.display().to_string(),
        text: args.text.display().to_string(),
        mode: aeolus_eval::numeric_name(args.engine.mode.into()).into(),
        n_ctx: windows.n_ctx() as u64,
        chunks: found.windows as u64,
        chunks_available: windows.available() as u64,
        tokens: found.tokens,
        ppl: estimate(found.ppl),
        nll: estimate(found.nll),
        bits_per_byte: found.bits_per_byte.map(estimate),
        seconds,
    };
    if args.form.json {
        return output::print_json(&document);
    }
    if args.form.csv {
        let (head, row) = figures::flatten(&serde_json::to_value(&document)?);
        let head: Vec<&str> = head.iter().map(String::as_str).collect();
        // Without the schema and the seconds, which no other table of figures has.
        let last = head.len() - 1;
        return figures::print_csv(&head[1..last], [row[1..last].to_vec()]);
    }
    output::print(&output::table(
        &[
            ("File", Align::Left),
            ("PPL", Align::Right),
            ("Nats/token", Align::Right),
            ("Bits/byte", Align::Right),
            ("Tokens", Align::Right),
        ],
        [vec![
            args.model.display().to_string(),
            plus_minus(found.ppl, 4),
            plus_minus(found.nll, 5),
            found.bits_per_byte.map_or("-".into(), |b| plus_minus(b, 5)),
            found.tokens.to_string(),
        ]],
    ))?;
    if !args.engine.quiet {
        args.cut
            .note_windows(found.windows, windows.available(), windows.n_ctx());
        say(format_args!(
            "{} tokens scored in {seconds:.1} s",
            found.tokens
        ));
    }
    Ok(())
}
