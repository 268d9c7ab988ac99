//! `aeolus chat`: a conversation by the file's own template.

use crate::interrupt;
use crate::model::{self, ModelArgs, SamplingArgs};
use crate::output::say;
use aeolus_infer::{ChatTemplate, EncodeOptions, Message, StopReason};
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
    converse(
        &args.model,
        &args.sampling,
        args.system.as_deref(),
        args.quiet,
    )
}

/// Reads turns from stdin until its end.
pub fn converse(
    model: &ModelArgs,
    sampling: &SamplingArgs,
    system: Option<&str>,
    quiet: bool,
) -> Result<ExitCode> {
    let loaded = model.load()?;
    let named = || format!("{}", loaded.path.display());
    let Some(template) = ChatTemplate::from_metadata(loaded.model.metadata(), &loaded.tokenizer)
        .with_context(named)?
    else {
        bail!(
            "{}: has no chat template (tokenizer.chat_template); use `aeolus run` with a prompt",
            loaded.path.display()
        );
    };
    let opening: Vec<Message> = system
        .map(|s| Message::new("system", s))
        .into_iter()
        .collect();
    let mut messages = opening.clone();
    let mut session = loaded.session()?;
    let mut sampler = sampling.sampler()?;
    let answering = interrupt::stop_answers_on_ctrl_c()?;
    let typed = std::io::stdin().is_terminal();
    let terminal = std::io::stdout().is_terminal();

    while let Some(line) = read_turn(typed)? {
        match line.trim() {
            "" => continue,
            "/quit" | "/exit" => break,
            "/reset" => {
                messages.clone_from(&opening);
                continue;
            }
            _ => messages.push(Message::new("user", line)),
        }
        let text = template.render(&messages, true).with_context(named)?;
        let ids = prompt_ids(&loaded.tokenizer, &text);
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
        let generated = session.generate(&mut sampler, &sampling.generate_options(), |piece| {
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
        if !quiet {
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

/// A rendered conversation as tokens. A template may write the beginning token itself: two of
/// them would be one too many.
fn prompt_ids(tokenizer: &aeolus_infer::Tokenizer, text: &str) -> Vec<u32> {
    let options = |add_special| EncodeOptions {
        add_special,
        parse_special: true,
    };
    let plain = tokenizer.encode(text, options(false));
    if plain.first().copied() == tokenizer.vocabulary().bos && !plain.is_empty() {
        return plain;
    }
    tokenizer.encode(text, options(true))
}
