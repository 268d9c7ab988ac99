//! `aeolus run`: a prompt in, text out.

use super::chat;
use crate::interrupt;
use crate::model::{self, ModelArgs, SamplingArgs};
use crate::output::{self, say};
use aeolus_infer::{EncodeOptions, GenerateOptions, StopReason};
use anyhow::{Context, Result, bail};
use serde_json::json;
use std::io::{IsTerminal, Read, Write};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::ExitCode;

/// Run a model on a prompt
///
/// The prompt comes from -p, from a file (-f) or from stdin, without one line end at the very end
/// of those two; control tokens written out in it, such as </s>, are read as such. The answer
/// streams to stdout, a timing summary goes to stderr. llama.cpp's command lines work, too: flags that
/// cannot change the answer (-ngl, -fa, --mlock) are left out with a note, others are refused by name.
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

    /// Chat instead (as `aeolus chat`); a prompt is what is said first
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

    /// What the model is told before a chat
    #[arg(long, value_name = "TEXT")]
    system: Option<String>,

    #[command(flatten)]
    template: chat::TemplateArgs,

    /// Print the result as JSON, when it is whole
    #[arg(long)]
    json: bool,
}

/// The prompt.
#[derive(clap::Args, Debug)]
pub struct PromptArgs {
    /// The prompt; in a chat, the first message
    #[arg(short, long, value_name = "TEXT", allow_hyphen_values = true)]
    prompt: Option<String>,

    /// Read the prompt from a file; - for stdin
    #[arg(
        short = 'f',
        long = "file",
        value_name = "FILE",
        conflicts_with = "prompt"
    )]
    file_prompt: Option<PathBuf>,

    /// Turn \n, \t, \\, \', \", \r and \xHH in the prompt and in --stop into the characters
    /// they stand for
    #[arg(short, long)]
    escape: bool,
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
        output::print_json(&json!({
            "schema": "aeolus.run/1",
            "file": loaded.path.display().to_string(),
            "prompt": prompt,
            "prompt_ids": ids,
            "text": generated.text,
            "ids": generated.ids,
            "stop_reason": stop_reason(&generated.reason),
            "seed": sampler.seed(),
            "timings": model::timings_json(loaded.load_time, &timings),
        }))?;
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

impl PromptArgs {
    /// When an answer ends, with the escapes in `--stop` read if asked for.
    pub fn generate_options(&self, sampling: &SamplingArgs) -> Result<GenerateOptions> {
        let mut options = sampling.generate_options();
        if self.escape {
            for stop in &mut options.stop {
                *stop = unescape(stop)?;
            }
        }
        Ok(options)
    }

    /// The prompt, if a flag gives one.
    pub fn given(&self) -> Result<Option<String>> {
        let given = self.prompt.is_some() || self.file_prompt.is_some();
        given.then(|| self.read()).transpose()
    }

    /// The prompt from where the flags say, or from stdin.
    fn read(&self) -> Result<String> {
        let text = match (&self.prompt, &self.file_prompt) {
            (Some(text), _) => text.clone(),
            (None, Some(path)) if path.as_os_str() != "-" => {
                let text = std::fs::read_to_string(path)
                    .with_context(|| format!("{}: cannot read the prompt", path.display()))?;
                without_line_end(text)
            }
            (None, from) => {
                let mut stdin = std::io::stdin();
                if from.is_none() && stdin.is_terminal() {
                    bail!("no prompt: give -p TEXT, -f FILE, or a text on stdin");
                }
                let mut text = String::new();
                stdin
                    .read_to_string(&mut text)
                    .context("cannot read the prompt from stdin")?;
                without_line_end(text)
            }
        };
        if self.escape {
            unescape(&text)
        } else {
            Ok(text)
        }
    }
}

/// Editors and `echo` end a text with a line end that nobody means: a model would begin its
/// answer with a new paragraph.
fn without_line_end(mut text: String) -> String {
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    text
}

/// The escapes that llama.cpp's `-e` knows; any other backslash stays.
fn unescape(text: &str) -> Result<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let (byte, used) = match (first, after) {
            (b'\\', [b'n', ..]) => (b'\n', 2),
            (b'\\', [b'r', ..]) => (b'\r', 2),
            (b'\\', [b't', ..]) => (b'\t', 2),
            (b'\\', [c @ (b'\\' | b'\'' | b'"'), ..]) => (*c, 2),
            (b'\\', [b'x', a, b, ..]) => {
                let digit = |c: u8| char::from(c).to_digit(16);
                match (digit(*a), digit(*b)) {
                    (Some(a), Some(b)) => ((a * 16 + b) as u8, 4),
                    _ => (b'\\', 1),
                }
            }
            _ => (*first, 1),
        };
        bytes.push(byte);
        rest = &rest[used..];
    }
    String::from_utf8(bytes).context("the escapes in the prompt give no UTF-8")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_end_is_dropped() {
        for (text, expected) in [("a\n\n", "a\n"), ("a\r\n", "a"), ("a", "a"), ("\n", "")] {
            assert_eq!(without_line_end(text.into()), expected);
        }
    }

    #[test]
    fn escapes_are_llama_cpps() {
        assert_eq!(unescape(r#"a\nb\t\\\'\"\x41"#).unwrap(), "a\nb\t\\'\"A");
        assert_eq!(unescape(r"\q\x4\").unwrap(), r"\q\x4\");
        assert_eq!(unescape(r"\xc3\xa9").unwrap(), "é");
        assert!(unescape(r"\xff").is_err());
    }
}
