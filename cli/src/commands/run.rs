//! `aeolus run`: a prompt in, text out.

use super::chat;
use crate::interrupt;
use crate::model::{self, ModelArgs, SamplingArgs};
use crate::output::{self, say};
use crate::prompt::PromptArgs;
use aeolus_infer::{EncodeOptions, StopReason};
use aeolus_report::documents::Run;
use anyhow::{Context, Result, bail};
use std::io::{IsTerminal, Write};
use std::ops::ControlFlow;
use std::process::ExitCode;

/// Run a model on a prompt
///
/// The prompt comes from -p, from a file (-f) or from stdin; one line end at the end of a file or of
/// stdin is dropped. Control tokens spelled out in the prompt, such as </s>, are read as control tokens.
/// The answer streams to stdout, and a timing summary goes to stderr.
///
/// Command lines for llama.cpp work too: flags that cannot change the answer (-ngl, -fa, --mlock) are
/// ignored with a note, others are refused by name.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  aeolus run out/notus-mini.Q4_K_M.gguf -p 'The old man' -n 64 --temp 0
  aeolus run model.gguf -f prompt.txt -n 128 --top-k 50 --seed 1 --json
  aeolus run -m model.gguf -ngl 99 -fa on -c 2048 --temp 0.7 --repeat_penalty 1.1 -n -1 -p 'Once'")]
pub struct Args {
    #[command(flatten)]
    model: ModelArgs,

    #[command(flatten)]
    prompt: PromptArgs,

    /// Read control tokens in the prompt as plain text
    #[arg(long)]
    no_special: bool,

    /// Print the prompt before the answer
    #[arg(long)]
    echo: bool,

    #[command(flatten)]
    sampling: SamplingArgs,

    /// Chat, as `aeolus chat` does; a prompt is the first message
    #[arg(
        short,
        long,
        alias = "instruct",
        overrides_with = "interactive",
        conflicts_with_all = ["json", "echo", "no_special"]
    )]
    interactive: bool,

    /// Chat, and end after the first answer
    #[arg(long, conflicts_with_all = ["json", "echo", "no_special"])]
    single_turn: bool,

    /// System message of a chat
    #[arg(long, value_name = "TEXT")]
    system: Option<String>,

    #[command(flatten)]
    template: chat::TemplateArgs,

    /// Print the result as JSON once it is complete
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> Result<ExitCode> {
    let options = args.prompt.generate_options(&args.sampling)?;
    if args.interactive || args.single_turn {
        return chat::converse(&chat::Conversation {
            model: &args.model,
            template: &args.template,
            sampling: &args.sampling,
            options,
            system: args.system.as_deref(),
            first: args.prompt.given()?,
            quiet: false,
            single_turn: args.single_turn,
        });
    }
    if args.system.is_some() {
        bail!("--system is for a chat: give -i, or --single-turn for one answer");
    }
    if args.template.is_given() {
        bail!("--chat-template is for a chat: give -i (--interactive), too, or use `aeolus chat`");
    }
    let prompt = args.prompt.read()?;
    let cancel = interrupt::cancel_on_ctrl_c()?;
    let loaded = args.model.load()?;
    let ids = loaded.tokenizer.encode(
        &prompt,
        EncodeOptions {
            add_special: true,
            parse_special: !args.no_special,
        },
    );
    if !args.no_special {
        model::note_beginning(&prompt, &loaded.tokenizer);
    }
    let mut sampler = args.sampling.sampler()?;
    let mut session = loaded.session()?;
    ids.iter().for_each(|id| sampler.accept(*id));
    let flow = |stop: bool| match stop {
        true => ControlFlow::Break(()),
        false => ControlFlow::Continue(()),
    };
    let prompted = session.set_prompt(&ids, |_, _| flow(cancel.is_set()));
    if prompted.map_err(|e| loaded.explain(e))?.is_break() {
        bail!(aeolus_pipeline::Error::Cancelled);
    }

    let terminal = std::io::stdout().is_terminal();
    let mut failed = None;
    // Whether anybody reads it.
    let mut show = |text: &str| {
        if !args.json && failed.is_none() {
            let mut out = std::io::stdout().lock();
            let text = model::printable(text, terminal);
            failed = out
                .write_all(text.as_bytes())
                .and_then(|()| out.flush())
                .err();
        }
        failed.is_none()
    };
    if args.echo {
        show(&prompt);
    }
    let generated = session.generate(&mut sampler, &options, |text| {
        flow(!show(text) || cancel.is_set())
    });
    let generated = generated.map_err(|e| loaded.explain(e))?;
    show("\n");
    match failed {
        Some(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {
            return Ok(ExitCode::SUCCESS);
        }
        Some(error) => return Err(error).context("cannot write to stdout"),
        None => {}
    }
    let timings = session.timings();
    if args.json {
        output::print_json(&Run {
            schema: Run::SCHEMA.into(),
            file: loaded.path.display().to_string(),
            prompt: prompt.clone(),
            prompt_ids: ids.clone(),
            text: generated.text.clone(),
            ids: generated.ids.clone(),
            stop_reason: stop_reason(&generated.reason).into(),
            seed: sampler.seed(),
            timings: model::timings(loaded.load_time, &timings),
        })?;
    } else {
        if generated.reason == StopReason::ContextFull {
            say(format_args!(
                "note: the context of {} tokens is full; -c takes a larger one",
                session.context()
            ));
        }
        model::print_timings(loaded.load_time, &timings);
    }
    if generated.reason == StopReason::Interrupted {
        return Ok(ExitCode::from(interrupt::EXIT_CODE));
    }
    Ok(ExitCode::SUCCESS)
}

fn stop_reason(reason: &StopReason) -> &'static str {
    match reason {
        StopReason::End(_) => "end",
        StopReason::MaxTokens => "max_tokens",
        StopReason::StopText(_) => "stop_text",
        StopReason::ContextFull => "context_full",
        StopReason::Interrupted => "interrupted",
    }
}
