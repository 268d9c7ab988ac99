//! Chat templates: a conversation as the text that the model was trained on.
//!
//! A file carries its own template (`tokenizer.chat_template`), written for Jinja with the
//! settings of the `transformers` library: blocks take their line's white space with them, and
//! `raise_exception`, `strftime_now`, Python's string methods and a plain `tojson` are there.
//!
//! A template is a program from outside. It runs without any way out of its sandbox, with a
//! budget of instructions and memory ([`FUEL`]) and a limit on its size ([`MAX_SOURCE_BYTES`]),
//! so that a hostile one ends with an error. Lists that hold one list many times are beyond that
//! budget: they are added up, written and compared at once, however long they are. Whoever renders
//! a stranger's template bounds it from outside, by [`MAX_GROWTH`] and [`MAX_TIME`].

mod budget;
mod functions;
mod methods;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aeolus_gguf::Metadata;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Serde, Value};
use minijinja::{Environment, Error as JinjaError, context};

use crate::error::{Error, Result};
use crate::tokenizer::{EncodeOptions, Tokenizer};

/// Instructions a rendering may take; also bounds what it may allocate, to 64 bytes each.
pub const FUEL: u64 = 1_000_000;
/// What a template may write, in bytes, beside [`MAX_TEXT_FACTOR`] times the messages' text.
/// Templates in use write some thousands.
pub const MAX_TEXT_BYTES: usize = 1 << 20;
/// How often a template may write what was said.
pub const MAX_TEXT_FACTOR: usize = 8;
/// How far the process's memory may grow while a template runs, in bytes.
pub const MAX_GROWTH: u64 = 48 << 20;
/// How long a template may run. The longest in use take some milliseconds.
pub const MAX_TIME: Duration = Duration::from_secs(1);
/// Longest template, in bytes.
pub const MAX_SOURCE_BYTES: usize = 1 << 20;
/// Most words and signs of a template, text and string literals included: what bounds how deep its
/// expressions nest. The longest in use have some thousands.
pub const MAX_SOURCE_TOKENS: usize = 16_384;
/// Stack for compiling a template, in bytes: some thousands for each of its words and signs.
const COMPILE_STACK: usize = 64 << 20;
/// Stack for rendering, in bytes, of which only what is used is taken: a list within a list, and so
/// on, is written, compared and dropped one call deeper for each. [`FUEL`] pays for 670,000, which
/// take less than half of it.
const RENDER_STACK: usize = 512 << 20;
/// Name of the one template in the environment, shown in its errors.
const NAME: &str = "chat_template";

/// One turn of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Message {
    /// Who speaks: `system`, `user` or `assistant`.
    pub role: String,
    /// What is said.
    pub content: String,
}

impl Message {
    /// A turn of `role`.
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Self {
        Self {
            role: role.into(),
            content: content.into(),
        }
    }
}

/// A conversation as a template writes it.
#[derive(Clone, Debug)]
pub struct Prompt {
    text: String,
    /// Marks what is no control token.
    shield: char,
}

impl Prompt {
    /// The conversation as tokens of the tokenizer that it was made for.
    pub fn tokens(&self, tokenizer: &Tokenizer) -> Vec<u32> {
        let encode = |add_special| {
            let options = EncodeOptions {
                add_special,
                parse_special: true,
            };
            tokenizer.encode_shielded(&self.text, options, Some(self.shield))
        };
        // A template may write the beginning token itself: two of them would be one too many.
        let plain = encode(false);
        let begins = plain.first().copied();
        if begins.is_some() && begins == tokenizer.vocabulary().bos {
            return plain;
        }
        encode(true)
    }
}

/// A compiled chat template with the names of the tokens it may write.
#[derive(Debug)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    bos: String,
    eos: String,
}

impl ChatTemplate {
    /// Compiles a template. `bos` and `eos` are what it writes for `bos_token` and `eos_token`.
    ///
    /// # Errors
    /// [`Error::Template`] with the line of the mistake, or if it is longer than
    /// [`MAX_SOURCE_BYTES`] or has more than [`MAX_SOURCE_TOKENS`] words and signs.
    pub fn new(source: &str, bos: &str, eos: &str) -> Result<Self> {
        if source.len() > MAX_SOURCE_BYTES {
            return Err(Error::Template(format!(
                "it has {} bytes, at most {MAX_SOURCE_BYTES} are supported",
                source.len()
            )));
        }
        let tokens = functions::tokens(source);
        if tokens > MAX_SOURCE_TOKENS {
            return Err(Error::Template(format!(
                "it has {tokens} words and signs, at most {MAX_SOURCE_TOKENS} are supported"
            )));
        }
        let mut environment = Environment::new();
        let syntax = SyntaxConfig::builder()
            .trim_blocks(true)
            .lstrip_blocks(true)
            .build()
            .map_err(template_error)?;
        environment.set_syntax(syntax);
        environment.set_fuel(Some(FUEL));
        environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
        environment.set_unknown_method_callback(methods::call);
        environment.add_filter("tojson", functions::to_json);
        environment.add_filter("format", methods::format_filter);
        environment.add_function("raise_exception", functions::raise_exception);
        environment.add_function("strftime_now", |format: &str| {
            let now = SystemTime::now().duration_since(UNIX_EPOCH);
            functions::strftime(format, now.map_or(0, |since| since.as_secs()))
        });
        compile(&mut environment, functions::without_generation_tags(source))?;
        Ok(Self {
            environment,
            bos: bos.to_owned(),
            eos: eos.to_owned(),
        })
    }

    /// The template of a GGUF file, `None` if it has none.
    ///
    /// # Errors
    /// As [`ChatTemplate::new`].
    pub fn from_metadata(metadata: &Metadata<'_>, tokenizer: &Tokenizer) -> Result<Option<Self>> {
        let Some(source) = metadata.str("tokenizer.chat_template")? else {
            return Ok(None);
        };
        let vocabulary = tokenizer.vocabulary();
        let text = |id: Option<u32>| {
            id.and_then(|id| vocabulary.pieces.get(id as usize))
                .map_or("", String::as_str)
        };
        Self::new(source, text(vocabulary.bos), text(vocabulary.eos)).map(Some)
    }

    /// The conversation, up to where the assistant is to speak, for the tokenizer. Control tokens
    /// are those that the template writes: one that is spelled out in a message is text there, so
    /// that no message can end its own turn.
    ///
    /// # Errors
    /// As [`ChatTemplate::render`].
    pub fn prompt(&self, messages: &[Message], tokenizer: &Tokenizer) -> Result<Prompt> {
        let Some(shield) = free_character(messages) else {
            return Err(Error::Template(
                "the messages contain every private-use character".to_owned(),
            ));
        };
        let shielded: Vec<Message> = messages
            .iter()
            .map(|message| Message {
                role: message.role.clone(),
                content: tokenizer.shield(&message.content, shield),
            })
            .collect();
        let text = self.render(&shielded, true)?;
        Ok(Prompt { text, shield })
    }

    /// The conversation as text. With `add_generation_prompt` it ends where the assistant is to
    /// speak. The text contains control tokens by name: encode it with `parse_special`.
    ///
    /// # Errors
    /// [`Error::Template`] if the template rejects the conversation, fails, takes too long, or writes
    /// more than [`MAX_TEXT_BYTES`] and [`MAX_TEXT_FACTOR`] times the messages.
    pub fn render(&self, messages: &[Message], add_generation_prompt: bool) -> Result<String> {
        let template = self
            .environment
            .get_template(NAME)
            .map_err(template_error)?;
        let text = with_stack(RENDER_STACK, || {
            template
                .render(context! {
                    messages => Value::from(Serde(messages)),
                    add_generation_prompt,
                    bos_token => self.bos.as_str(),
                    eos_token => self.eos.as_str(),
                })
                .map_err(template_error)
        })??;
        // Its tokens take many times the memory and are as much work as it is long.
        let said: usize = messages
            .iter()
            .map(|m| m.role.len() + m.content.len())
            .sum();
        let most = MAX_TEXT_BYTES.saturating_add(said.saturating_mul(MAX_TEXT_FACTOR));
        match text.len() <= most {
            true => Ok(text),
            false => Err(Error::Template(format!(
                "it writes {} bytes for messages of {said}, at most {most} are supported",
                text.len()
            ))),
        }
    }
}

/// A character that no message contains, to mark what may not be read as a control token.
fn free_character(messages: &[Message]) -> Option<char> {
    let mut private_use = '\u{e000}'..='\u{f8ff}';
    private_use.find(|c| messages.iter().all(|message| !message.content.contains(*c)))
}

/// Adds the template to its environment. The engine's parser goes one call deeper for each of a row
/// of signs, which no caller's stack has to have room for.
fn compile(environment: &mut Environment<'static>, source: String) -> Result<()> {
    let compiled = with_stack(COMPILE_STACK, || {
        environment.add_template_owned(NAME, source)
    })?;
    compiled.map_err(template_error)
}

/// What is said of a panic in the engine, which is one of its faults and none of the template's.
pub(crate) const ENGINE_FAILED: &str = "the engine failed";

/// Runs the engine on a thread with a stack of so many bytes.
fn with_stack<T: Send>(bytes: usize, work: impl FnOnce() -> T + Send) -> Result<T> {
    let ended = std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(bytes);
        let working = thread.spawn_scoped(scope, work);
        working.map(std::thread::ScopedJoinHandle::join)
    });
    match ended {
        Ok(Ok(out)) => Ok(out),
        Ok(Err(_)) => Err(Error::Template(ENGINE_FAILED.into())),
        Err(error) => Err(Error::Template(format!("no thread to run it on: {error}"))),
    }
}

/// The error with its line and its causes, in one line.
#[allow(clippy::needless_pass_by_value, reason = "used in map_err")]
fn template_error(error: JinjaError) -> Error {
    let mut text = match error.detail() {
        Some(detail) => format!("{}: {detail}", error.kind()),
        None => error.kind().to_string(),
    };
    if let Some(line) = error.line() {
        text += &format!(" (line {line})");
    }
    Error::Template(text)
}

#[cfg(test)]
mod tests;
