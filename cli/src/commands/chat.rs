//! `aeolus chat`: a conversation by the file's own template.

use crate::model::{self, ModelArgs, SamplingArgs};
use crate::output::say;
use crate::{guard, interrupt};
use aeolus_infer::{ChatTemplate, GenerateOptions, Message, StopReason};
use anyhow::{Context, Result, bail};
use std::io::{BufRead, IsTerminal, Write};
use std::ops::ControlFlow;
use std::process::ExitCode;

/// Chat with a model by the template in its file
///
/// Type a line and press Enter; a line that ends in \ goes on in the next. Ctrl-C stops an
/// answer, Ctrl-D (or /quit) leaves. /reset forgets the conversation.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  aeolus chat out/notus-7b-v1.Q4_K_M.gguf --system 'You answer in one sentence.'
  echo 'Who wrote Emma?' | aeolus chat model.gguf --temp 0")]
pub struct Args {
    #[command(flatten)]
    model: ModelArgs,

    /// What the model is told before the conversation
    #[arg(long, value_name = "TEXT")]
    system: Option<String>,

    #[command(flatten)]
    sampling: SamplingArgs,

    /// Print no timing summary after each answer
    #[arg(short, long)]
    quiet: bool,
}

pub fn run(args: &Args) -> Result<ExitCode> {
    converse(&Conversation {
        model: &args.model,
        sampling: &args.sampling,
        options: args.sampling.generate_options(),
        system: args.system.as_deref(),
        first: None,
        quiet: args.quiet,
    })
}

/// How a conversation goes.
pub struct Conversation<'a> {
    pub model: &'a ModelArgs,
    pub sampling: &'a SamplingArgs,
    /// When an answer ends.
    pub options: GenerateOptions,
    pub system: Option<&'a str>,
    /// What is said before anything is read.
    pub first: Option<String>,
    /// No timings.
    pub quiet: bool,
}

/// Reads turns from stdin until its end.
pub fn converse(conversation: &Conversation<'_>) -> Result<ExitCode> {
    let loaded = conversation.model.load()?;
    let named = || format!("{}", loaded.path.display());
    let Some(template) = ChatTemplate::from_metadata(loaded.model.metadata(), &loaded.tokenizer)
        .with_context(named)?
    else {
        bail!(
            "{}: has no chat template (tokenizer.chat_template); use `aeolus run` with a prompt",
            loaded.path.display()
        );
    };
    let opening: Vec<Message> = conversation
        .system
        .map(|s| Message::new("system", s))
        .into_iter()
        .collect();
    let mut messages = opening.clone();
    let mut session = loaded.session()?;
    let mut sampler = conversation.sampling.sampler()?;
    let mut first = conversation.first.clone();
    let answering = interrupt::stop_answers_on_ctrl_c()?;
    let typed = std::io::stdin().is_terminal();
    let terminal = std::io::stdout().is_terminal();

    loop {
        let line = match first.take() {
            Some(line) => line,
            None => match read_turn(typed)? {
                Some(line) => line,
                None => break,
            },
        };
        match line.trim() {
            "" => continue,
            "/quit" | "/exit" => break,
            "/reset" => {
                messages.clone_from(&opening);
                continue;
            }
            _ => messages.push(Message::new("user", line)),
        }
        let prompt = guard::template(loaded.path.display(), || {
            template.prompt(&messages, &loaded.tokenizer)
        });
        let ids = prompt.with_context(named)?.tokens(&loaded.tokenizer);
        answering.begin();
        let flow = || match answering.stopped() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        };
        session.reset_timings();
        match session.set_prompt(&ids, |_, _| flow()) {
            Ok(ControlFlow::Continue(())) => {}
            Ok(ControlFlow::Break(())) => {
                answering.end();
                messages.pop();
                continue;
            }
            Err(error @ aeolus_infer::Error::ContextFull { .. }) => {
                answering.end();
                messages.pop();
                say(format_args!(
                    "note: {error}; /reset starts a new conversation"
                ));
                continue;
            }
            Err(error) => return Err(error.into()),
        }
        sampler.forget();
        ids.iter().for_each(|id| sampler.accept(*id));
        let mut failed = None;
        let generated = session.generate(&mut sampler, &conversation.options, |piece| {
            let mut out = std::io::stdout().lock();
            let piece = model::printable(piece, terminal);
            failed = out
                .write_all(piece.as_bytes())
                .and_then(|()| out.flush())
                .err();
            match failed {
                Some(_) => ControlFlow::Break(()),
                None => flow(),
            }
        })?;
        answering.end();
        if let Some(error) = failed {
            return match error.kind() {
                std::io::ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
                _ => Err(error).context("cannot write to stdout"),
            };
        }
        crate::output::print("\n")?;
        if generated.reason == StopReason::ContextFull {
            say(format_args!(
                "note: the context is full; /reset starts a new conversation, -c takes more"
            ));
        }
        messages.push(Message::new("assistant", generated.text));
        if !conversation.quiet {
            model::print_timings(loaded.load_time, &session.timings());
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// One turn; `None` at the end of input.
fn read_turn(typed: bool) -> Result<Option<String>> {
    let mut turn = String::new();
    loop {
        if typed {
            let prompt = if turn.is_empty() { "> " } else { ". " };
            let _ = std::io::stderr().write_all(prompt.as_bytes());
        }
        let mut line = String::new();
        let read = std::io::stdin()
            .lock()
            .read_line(&mut line)
            .context("cannot read from stdin")?;
        if read == 0 {
            return Ok((!turn.is_empty()).then_some(turn));
        }
        let line = line.trim_end_matches(['\n', '\r']);
        match line.strip_suffix('\\') {
            Some(part) => {
                turn.push_str(part);
                turn.push('\n');
            }
            None => {
                turn.push_str(line);
                return Ok(Some(turn));
            }
        }
    }
}
