//! `aeolus tasks`: multiple-choice questions.

use super::evaluate::{self, EngineArgs, FormArgs, Runnable};
use crate::figures::{self, estimate};
use crate::hub::{self, Needs};
use crate::output::{self, Align, say};
use crate::{interrupt, progress};
use aeolus_eval::tasks::{self, Asked, Outcome, Question, Round, Task, TaskOptions};
use aeolus_eval::{Error, State};
use aeolus_report::documents::{TaskScore, Tasks};
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

/// Ask a model multiple-choice questions
///
/// Reads HellaSwag, ARC, MMLU and Winogrande in the forms that their authors, the Hub and llama.cpp
/// publish. Prompts and scores are those of the 2023 Open LLM Leaderboard: the choice with the
/// highest log-likelihood is the answer, divided by its length in characters for HellaSwag and ARC.
/// One run can ask several tasks.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  aeolus tasks model.gguf --hellaswag hellaswag_val.jsonl --shots 10
  aeolus tasks model.gguf --arc ARC-Challenge-Test.jsonl --shots 25 --shots-from ARC-Challenge-Train.jsonl
  aeolus tasks model.gguf --mmlu college_physics_test.csv --shots 5 --shots-from college_physics_dev.csv
  aeolus tasks model.gguf --winogrande winogrande-debiased-eval.csv --limit 400 --json
  aeolus tasks model.gguf --hellaswag hellaswag_val.jsonl --state tasks.state")]
pub struct Args {
    /// GGUF file or checkpoint folder
    #[arg(value_name = "MODEL")]
    model: PathBuf,

    #[command(flatten)]
    files: TaskFiles,

    /// Number of answered questions before each question
    #[arg(long, value_name = "N", default_value_t = 0)]
    shots: usize,

    /// File whose first questions are the answered ones (default: the task's own file, whose first
    /// questions are then not asked)
    #[arg(long, value_name = "FILE", requires = "shots")]
    shots_from: Option<PathBuf>,

    /// Ask at most this many questions of each file
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,

    /// Keep answers in this file, and continue from it after an interruption
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,

    #[command(flatten)]
    engine: EngineArgs,

    #[command(flatten)]
    form: FormArgs,
}

/// The questions.
#[derive(clap::Args, Debug)]
#[group(required = true, multiple = true)]
struct TaskFiles {
    /// HellaSwag questions: JSON lines, or six lines a question
    #[arg(long, value_name = "FILE")]
    hellaswag: Option<PathBuf>,

    /// ARC questions: JSON lines
    #[arg(long, value_name = "FILE")]
    arc: Option<PathBuf>,

    /// MMLU questions: CSV named after its subject, or JSON lines
    #[arg(long, value_name = "FILE")]
    mmlu: Option<PathBuf>,

    /// Winogrande questions: JSON lines or CSV
    #[arg(long, value_name = "FILE")]
    winogrande: Option<PathBuf>,
}

impl TaskFiles {
    fn given(&self) -> impl Iterator<Item = (Task, &PathBuf)> {
        let all = [
            (Task::HellaSwag, &self.hellaswag),
            (Task::Arc, &self.arc),
            (Task::Mmlu, &self.mmlu),
            (Task::Winogrande, &self.winogrande),
        ];
        all.into_iter()
            .filter_map(|(task, path)| Some((task, path.as_ref()?)))
    }
}

fn questions(task: Task, path: &Path) -> Result<Vec<Question>> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("{}: cannot read the questions", path.display()))?;
    Ok(tasks::parse(task, path, &text)?)
}

pub fn run(args: &Args) -> Result<ExitCode> {
    let started = Instant::now();
    let cancel = interrupt::cancel_windows_on_ctrl_c()?;
    let quiet = args.engine.quiet;
    let place = hub::place(&args.model, Needs::Checkpoint, quiet)?;
    // All files are read before anything is asked.
    let mut asked = Vec::new();
    for (task, path) in args.files.given() {
        let from = args.shots_from.as_deref();
        let options = TaskOptions {
            shots: args.shots,
            shots_from: from.map(|from| questions(task, from)).transpose()?,
            limit: args.limit.map(|n| n as usize),
        };
        asked.push((task, path, questions(task, path)?, options));
    }
    let runtime = args.engine.runtime()?;
    let runnable = Runnable::open(&place.path, &std::env::temp_dir(), &args.engine, cancel)?;
    let model = runnable.load(&runtime)?;
    let numeric = aeolus_eval::numeric_name(model.numeric());
    let mut state = match &args.state {
        Some(path) => State::open(path, &tasks::describe(numeric))?,
        None => State::in_memory(),
    };
    let bar = progress::WindowBar::new(quiet);
    let mark = model.mark(&state, &bar, cancel);
    bar.clear();
    let asking = Asked {
        model: &model,
        mark: &evaluate::explain(mark, args.state.as_deref())?,
        encode: &|text| model.tokens(text),
    };
    let mut rounds = Vec::new();
    for (_, path, questions, options) in &asked {
        let round = Round::new(asking, questions, options);
        rounds.push(round.with_context(|| format!("{}", path.display()))?);
    }
    let known = rounds.iter().map(|round| round.known(&state)).sum();
    state.tell(&bar, known);
    let mut results: Vec<(Task, &PathBuf, Outcome)> = Vec::new();
    for ((task, path, ..), round) in asked.iter().zip(&rounds) {
        let bar = progress::WindowBar::new(quiet);
        let outcome = round.run(&mut state, &bar, cancel);
        bar.clear();
        let outcome = match outcome {
            Err(error @ Error::Cancelled) => evaluate::explain(Err(error), args.state.as_deref()),
            other => other.with_context(|| format!("{}", path.display())),
        };
        results.push((*task, path, outcome?));
    }
    print(args, &results)?;
    if !quiet {
        for (_, path, outcome) in &results {
            if outcome.cut > 0 {
                say(format_args!(
                    "note: {}: {} prompts were longer than the model's context and lost their \
                     beginning",
                    path.display(),
                    outcome.cut
                ));
            }
        }
        let count: usize = results.iter().map(|(_, _, o)| o.questions).sum();
        let seconds = started.elapsed().as_secs_f64();
        say(format_args!("{count} questions in {seconds:.1} s"));
    }
    Ok(ExitCode::SUCCESS)
}

fn print(args: &Args, results: &[(Task, &PathBuf, Outcome)]) -> Result<()> {
    let rows = results.iter().map(|(task, path, outcome)| TaskScore {
        task: task.name().into(),
        file: path.display().to_string(),
        metric: task.metric().into(),
        score: estimate(outcome.score(*task)),
        questions: outcome.questions as u64,
        shots: outcome.shots as u64,
        acc: estimate(outcome.acc),
        acc_norm: estimate(outcome.acc_norm),
        acc_token: estimate(outcome.acc_token),
        cut: outcome.cut as u64,
    });
    if args.form.json {
        return output::print_json(&Tasks {
            schema: Tasks::SCHEMA.into(),
            path: args.model.display().to_string(),
            mode: aeolus_eval::numeric_name(args.engine.mode.into()).into(),
            tasks: rows.collect(),
        });
    }
    if args.form.csv {
        let flat = rows.map(|row| Ok(figures::flatten(&serde_json::to_value(row)?)));
        let flat: Vec<_> = flat.collect::<Result<_>>()?;
        let head: Vec<&str> = flat
            .first()
            .into_iter()
            .flat_map(|(head, _)| head.iter().map(String::as_str))
            .collect();
        return figures::print_csv(&head, flat.iter().map(|(_, row)| row.clone()));
    }
    let percent =
        |e: aeolus_eval::Estimate| format!("{:.2} ± {:.2}%", 100.0 * e.value, 100.0 * e.error);
    output::print(&output::table(
        &[
            ("Task", Align::Left),
            ("Questions", Align::Right),
            ("Shots", Align::Right),
            ("Metric", Align::Left),
            ("Score", Align::Right),
            ("acc", Align::Right),
            ("acc_norm", Align::Right),
            ("acc_token", Align::Right),
        ],
        results.iter().map(|(task, _, outcome)| {
            vec![
                task.name().into(),
                outcome.questions.to_string(),
                outcome.shots.to_string(),
                task.metric().into(),
                percent(outcome.score(*task)),
                percent(outcome.acc),
                percent(outcome.acc_norm),
                percent(outcome.acc_token),
            ]
        }),
    ))
}
