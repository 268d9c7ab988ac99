//! `aeolus chat`: a conversation by the file's own template, or another one.

use crate::model::{self, Loaded, ModelArgs, SamplingArgs};
use crate::output::say;
use crate::prompt::PromptArgs;
use crate::{guard, interrupt};
use aeolus_infer::chat::{self, MAX_SOURCE_BYTES};
use aeolus_infer::{ChatTemplate, GenerateOptions, Message, StopReason, SystemRole};
use anyhow::{Context, Result, bail};
use std::io::{BufRead, IsTerminal, Read, Write};
use std::ops::ControlFlow;
use std::process::ExitCode;

/// Chat with a model, using the chat template in its file
///
/// Type a line and press Enter; a line that ends in \ continues on the next. Ctrl-C stops an
/// answer, Ctrl-D or /quit leaves, /reset starts a new conversation.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  aeolus chat out/notus-7b-v1.Q4_K_M.gguf --system 'You answer in one sentence.'
  echo 'Who wrote Emma?' | aeolus chat model.gguf --temp 0
  aeolus chat model.gguf --single-turn -p 'Who wrote Emma?'
  aeolus chat model.gguf --chat-template chatml")]
pub struct Args {
    #[command(flatten)]
    model: ModelArgs,

    /// System message
    #[arg(long, value_name = "TEXT")]
    system: Option<String>,

    #[command(flatten)]
    prompt: PromptArgs,

    #[command(flatten)]
    template: TemplateArgs,

    #[command(flatten)]
    sampling: SamplingArgs,

    /// End after the first answer
    #[arg(long)]
    single_turn: bool,

    /// Print no timing summary after each answer
    #[arg(short, long)]
    quiet: bool,
}

/// Which template a conversation is written by.
#[derive(clap::Args, Debug)]
pub struct TemplateArgs {
    /// Use another chat template than the file's default one
    ///
    /// NAME is one of the file's other templates, or a built-in one: chatml, llama2-sys, llama3,
    /// mistral-v1, mistral-v3, mistral-v7, zephyr, gemma, phi3, phi4, deepseek3, vicuna, alpaca
    /// and others (an unknown name shows them all). FILE holds a Jinja template. The text
    /// of a template works too.
    #[arg(long, alias = "chat-template-file", value_name = "NAME|FILE")]
    chat_template: Option<String>,
}

pub fn run(args: &Args) -> Result<ExitCode> {
    converse(&Conversation {
        model: &args.model,
        template: &args.template,
        sampling: &args.sampling,
        options: args.prompt.generate_options(&args.sampling)?,
        system: args.system.as_deref(),
        first: args.prompt.given()?,
        quiet: args.quiet,
        single_turn: args.single_turn,
    })
}

/// How a conversation goes.
pub struct Conversation<'a> {
    pub model: &'a ModelArgs,
    pub template: &'a TemplateArgs,
    pub sampling: &'a SamplingArgs,
    /// When an answer ends.
    pub options: GenerateOptions,
    pub system: Option<&'a str>,
    /// What is said before anything is read.
    pub first: Option<String>,
    /// No timings.
    pub quiet: bool,
    /// One answer.
    pub single_turn: bool,
}

/// Reads turns from stdin until its end.
pub fn converse(conversation: &Conversation<'_>) -> Result<ExitCode> {
    let loaded = conversation.model.load()?;
    let (template, from) = conversation.template.choose(&loaded)?;
    let named = || from.clone();
    let merged = match conversation.system {
        Some(text) if !text.trim().is_empty() => {
            let role = guard::template(&from, || template.system_role());
            if let Some(why) = why_no_system_role(&role) {
                say(format_args!(
                    "note: {from}: {why}; the text of --system is put before the first message"
                ));
            }
            role != SystemRole::Taken
        }
        _ => false,
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
        let prompt = guard::template(&from, || match merged {
            true => template.prompt(&chat::system_before_user(&messages), &loaded.tokenizer),
            false => template.prompt(&messages, &loaded.tokenizer),
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
            Err(error @ aeolus_infer::Error::ContextFull { .. }) if typed => {
                answering.end();
                messages.pop();
                let way_out = match messages.len() > opening.len() {
                    true => "; /reset starts a new conversation",
                    false => "",
                };
                say(format_args!("note: {}{way_out}", loaded.explain(error)));
                continue;
            }
            // Nobody is there to ask again.
            Err(error) => return Err(loaded.explain(error)),
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
        });
        let generated = generated.map_err(|e| loaded.explain(e))?;
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
        if conversation.single_turn {
            break;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What is said of a template that does not write a system message.
fn why_no_system_role(role: &SystemRole) -> Option<String> {
    match role {
        SystemRole::Taken => None,
        SystemRole::Refused(says) => Some(format!(
            "the chat template does not take a system message ({says})"
        )),
        SystemRole::Dropped => Some("the chat template leaves out a system message".to_owned()),
    }
}

impl TemplateArgs {
    pub fn is_given(&self) -> bool {
        self.chat_template.is_some()
    }

    /// The template, and what its errors are said of.
    fn choose(&self, loaded: &Loaded) -> Result<(ChatTemplate, String)> {
        let (metadata, tokenizer) = (loaded.model.metadata(), &loaded.tokenizer);
        let file = loaded.path.display().to_string();
        let Some(wanted) = &self.chat_template else {
            let own = ChatTemplate::from_metadata(metadata, tokenizer);
            return match own.with_context(|| file.clone())? {
                Some(template) => Ok((template, file)),
                None => bail!(
                    "{file}: has no chat template (tokenizer.chat_template is missing or empty){}; \
                     choose one with --chat-template NAME|FILE ({} and others), or use `aeolus run` \
                     with a prompt",
                    match chat::file_template_names(metadata) {
                        names if names.is_empty() => String::new(),
                        names => format!(", but others by name: {}", names.join(", ")),
                    },
                    "chatml, llama3, mistral-v3",
                ),
            };
        };
        let from = format!("--chat-template {wanted}");
        if wanted.contains("{{") || wanted.contains("{%") {
            let from = "--chat-template".to_owned();
            let template = ChatTemplate::for_file(wanted, metadata, tokenizer);
            return Ok((template.with_context(|| from.clone())?, from));
        }
        let template = ChatTemplate::by_name(wanted, metadata, tokenizer);
        if let Some(template) = template.with_context(|| from.clone())? {
            return Ok((template, from));
        }
        if !std::path::Path::new(wanted).exists() {
            bail!(
                "--chat-template {wanted}: neither a file nor the name of a template; the names are \
                 {}",
                names(metadata)
            );
        }
        let source = read_template(wanted)?;
        let template = ChatTemplate::for_file(&source, metadata, tokenizer);
        Ok((template.with_context(|| from.clone())?, from))
    }
}

/// All names that `--chat-template` knows, the file's own first.
fn names(metadata: &aeolus_gguf::Metadata<'_>) -> String {
    let own = chat::file_template_names(metadata);
    let built_in = chat::BUILT_IN.iter().map(|(name, _)| *name);
    own.into_iter()
        .chain(built_in)
        .collect::<Vec<_>>()
        .join(", ")
}

/// A template's text, not more of it than a template may have.
fn read_template(path: &str) -> Result<String> {
    let mut source = String::new();
    let most = MAX_SOURCE_BYTES as u64 + 1;
    let file = std::fs::File::open(path);
    file.and_then(|file| file.take(most).read_to_string(&mut source))
        .with_context(|| format!("{path}: cannot read the chat template"))?;
    if source.trim().is_empty() {
        bail!("{path}: the chat template is empty");
    }
    Ok(source)
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
