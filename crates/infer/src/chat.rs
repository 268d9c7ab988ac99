//! Chat templates: a conversation as the text that the model was trained on.
//!
//! A file carries its own template (`tokenizer.chat_template`), written for Jinja with the
//! settings of the `transformers` library: blocks take their line's white space with them, and
//! `raise_exception`, `strftime_now`, Python's string methods and a plain `tojson` are there. For
//! files without one, [`BUILT_IN`] has the usual ones by name.
//!
//! Most templates expect a message's content as text. Some expect a list of parts with a type each.
//! A trial message shows which one a template expects, and whether it writes messages at all.
//!
//! A template is a program from an untrusted source. It runs in a sandbox, with a budget of
//! instructions and memory ([`FUEL`]) and a limit on its size ([`MAX_SOURCE_BYTES`]), so a hostile
//! template ends with an error. The budget misses one case: the engine adds up, writes or compares a
//! list in a single step, even if the list holds another list many times. A caller that renders
//! untrusted templates must therefore limit memory and time itself, by [`MAX_GROWTH`] and
//! [`MAX_TIME`].

mod budget;
mod builtin;
mod date;
mod filters;
mod functions;
mod json;
mod methods;
mod percent;
mod printf;
mod text;

use std::collections::BTreeMap;
use std::error::Error as _;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aeolus_gguf::Metadata;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Serde, Value};
use minijinja::{Environment, Error as JinjaError, escape_formatter};

use crate::error::{Error, Result};
use crate::tokenizer::{EncodeOptions, Tokenizer};
pub use builtin::BUILT_IN;

/// Instructions a rendering may take. It may allocate 64 bytes for each of them.
pub const FUEL: u64 = 1_000_000;
/// What a template may write, in bytes, beside [`MAX_TEXT_FACTOR`] times the messages' text.
/// Templates in use write some thousands.
pub const MAX_TEXT_BYTES: usize = 1 << 20;
/// How many times a template may write the messages' text.
pub const MAX_TEXT_FACTOR: usize = 8;
/// How far the process's memory may grow while a template runs, in bytes.
pub const MAX_GROWTH: u64 = 48 << 20;
/// How long a template may run. The longest in use take some milliseconds.
pub const MAX_TIME: Duration = Duration::from_secs(1);
/// Longest template, in bytes.
pub const MAX_SOURCE_BYTES: usize = 1 << 20;
/// Most words and signs in a template, including text and string literals. This limits how deeply
/// its expressions nest. The longest templates in use have a few thousand.
pub const MAX_SOURCE_TOKENS: usize = 16_384;
/// Stack for compiling a template, in bytes. Each word or sign may need a few thousand.
const COMPILE_STACK: usize = 64 << 20;
/// Stack for rendering, in bytes. Only the part in use takes memory. Writing, comparing and dropping
/// nested lists takes one call per level. [`FUEL`] pays for 670,000 levels, which need less than half
/// of this stack.
const RENDER_STACK: usize = 512 << 20;
/// Name of the one template in the environment, shown in its errors.
const NAME: &str = "chat_template";
/// Content of a trial message. Digits survive a change of case, trimming and quoting.
const MARK: &str = "7305921846";

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
    /// Stands before text that must not be read as a control token.
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
    /// `bos_token`, `eos_token` and so on.
    tokens: BTreeMap<&'static str, String>,
    /// Found on first use, because the caller limits memory and time only there.
    form: OnceLock<Form>,
}

/// How a template expects a message's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// As text.
    Text,
    /// As a list of parts with a type.
    Parts,
    /// It writes neither.
    LeftOut,
}

/// A message whose content is a list of parts.
#[derive(serde::Serialize)]
struct Typed<'m> {
    role: &'m str,
    content: Vec<Part<'m>>,
}

#[derive(serde::Serialize)]
struct Part<'m> {
    r#type: &'static str,
    text: &'m str,
}

impl<'m> From<&'m Message> for Typed<'m> {
    fn from(message: &'m Message) -> Self {
        let part = Part {
            r#type: "text",
            text: &message.content,
        };
        Self {
            role: &message.role,
            content: vec![part],
        }
    }
}

/// What a template does with a message of the role `system`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SystemRole {
    /// It writes it.
    Taken,
    /// It refuses the conversation, with these words.
    Refused(String),
    /// It leaves it out.
    Dropped,
}

/// Key of a file's default template; others have `.NAME` behind it.
const KEY: &str = "tokenizer.chat_template";
/// Special tokens that a template may ask for, beside `bos_token` and `eos_token`, and where a file
/// has their ids. (GGUF spells the separator in its own way.)
const SPECIAL: [(&str, &str); 5] = [
    ("unk_token", "tokenizer.ggml.unknown_token_id"),
    ("sep_token", "tokenizer.ggml.seperator_token_id"),
    ("pad_token", "tokenizer.ggml.padding_token_id"),
    ("cls_token", "tokenizer.ggml.cls_token_id"),
    ("mask_token", "tokenizer.ggml.mask_token_id"),
];

/// The template of a file: its default one, or the one of a name. An empty one counts as none.
///
/// # Errors
/// If it is not a string.
pub fn file_template<'a>(
    metadata: &'a Metadata<'_>,
    name: Option<&str>,
) -> Result<Option<&'a str>> {
    let source = match name {
        None | Some("default") => metadata.str(KEY)?,
        Some(name) => metadata.str(&format!("{KEY}.{name}"))?,
    };
    Ok(source.filter(|source| !source.trim().is_empty()))
}

/// Names of the templates that a file has beside its default one.
#[must_use]
pub fn file_template_names<'a>(metadata: &'a Metadata<'_>) -> Vec<&'a str> {
    let prefix = |key: &'a str| key.strip_prefix(KEY)?.strip_prefix('.');
    metadata.iter().filter_map(|(key, _)| prefix(key)).collect()
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
        let source = functions::without_generation_tags(source);
        let rewritten = percent::rewrite(&source);
        let environment = match compile(rewritten) {
            // Errors refer to the template as it was written.
            Err(_) => compile(source)?,
            Ok(environment) => environment,
        };
        let texts = [("bos_token", bos), ("eos_token", eos)];
        Ok(Self {
            environment,
            tokens: texts.map(|(name, text)| (name, text.to_owned())).into(),
            form: OnceLock::new(),
        })
    }

    /// The default template of a GGUF file, `None` if it has none or an empty one.
    ///
    /// # Errors
    /// As [`ChatTemplate::new`].
    pub fn from_metadata(metadata: &Metadata<'_>, tokenizer: &Tokenizer) -> Result<Option<Self>> {
        let source = file_template(metadata, None)?;
        source
            .map(|source| Self::for_file(source, metadata, tokenizer))
            .transpose()
    }

    /// The template that `name` means: the one that a file has under it, else the built-in one;
    /// `None` if there is neither.
    ///
    /// # Errors
    /// As [`ChatTemplate::new`].
    pub fn by_name(
        name: &str,
        metadata: &Metadata<'_>,
        tokenizer: &Tokenizer,
    ) -> Result<Option<Self>> {
        let source = file_template(metadata, Some(name))?.or_else(|| builtin::source(name));
        source
            .map(|source| Self::for_file(source, metadata, tokenizer))
            .transpose()
    }

    /// A template with the special tokens of a GGUF file.
    ///
    /// # Errors
    /// As [`ChatTemplate::new`].
    pub fn for_file(source: &str, metadata: &Metadata<'_>, tokenizer: &Tokenizer) -> Result<Self> {
        let vocabulary = tokenizer.vocabulary();
        let text = |id: Option<u32>| {
            let piece = id.and_then(|id| vocabulary.pieces.get(id as usize));
            piece.map(String::as_str)
        };
        let begin = text(vocabulary.bos).unwrap_or_default();
        let end = text(vocabulary.eos).unwrap_or_default();
        let mut template = Self::new(source, begin, end)?;
        for (name, key) in SPECIAL {
            if let Some(text) = text(metadata.u32(key).ok().flatten()) {
                template.tokens.insert(name, text.to_owned());
            }
        }
        Ok(template)
    }

    /// Tries what it does with a message of the role `system`.
    #[must_use]
    pub fn system_role(&self) -> SystemRole {
        let user = Message::new("user", "x");
        let system = Message::new("system", MARK);
        match self.render(&[system, user.clone()], true) {
            Ok(text) if text.contains(MARK) => SystemRole::Taken,
            // It leaves out the user's message too, which is an error on using it.
            Ok(_) if self.form() == Form::LeftOut => SystemRole::Taken,
            Ok(_) => SystemRole::Dropped,
            Err(Error::Template(says)) if self.render(&[user], true).is_ok() => {
                SystemRole::Refused(says)
            }
            // It fails on any conversation. The caller learns why on using it.
            Err(_) => SystemRole::Taken,
        }
    }

    /// How it expects content, found by a trial message on first use.
    fn form(&self) -> Form {
        *self.form.get_or_init(|| {
            let asked = [Message::new("user", MARK)];
            let writes = |form| {
                let text = self.render_as(form, &asked, true);
                text.map(|text| text.contains(MARK))
            };
            let as_text = writes(Form::Text);
            if matches!(as_text, Ok(true)) {
                return Form::Text;
            }
            match writes(Form::Parts) {
                Ok(true) => Form::Parts,
                // It fails on any conversation. The caller learns why on using it.
                _ if as_text.is_err() => Form::Text,
                _ => Form::LeftOut,
            }
        })
    }

    /// The conversation, up to where the assistant is to speak, for the tokenizer. Control tokens
    /// are those that the template writes: one that is spelled out in a message is text there, so
    /// that no message can end its own turn.
    ///
    /// # Errors
    /// As [`ChatTemplate::render`], and [`Error::Template`] if the template leaves out the user's
    /// message, both as text and as a list of parts.
    pub fn prompt(&self, messages: &[Message], tokenizer: &Tokenizer) -> Result<Prompt> {
        self.shielded(messages, tokenizer, true)
    }

    /// The same for a conversation that is over: nobody is to speak next.
    ///
    /// # Errors
    /// As [`ChatTemplate::prompt`].
    pub fn conversation(&self, messages: &[Message], tokenizer: &Tokenizer) -> Result<Prompt> {
        self.shielded(messages, tokenizer, false)
    }

    fn shielded(
        &self,
        messages: &[Message],
        tokenizer: &Tokenizer,
        add_generation_prompt: bool,
    ) -> Result<Prompt> {
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
        if self.form() == Form::LeftOut {
            return Err(Error::Template(
                "it leaves out the user's message; choose another template".to_owned(),
            ));
        }
        let text = self.render(&shielded, add_generation_prompt)?;
        Ok(Prompt { text, shield })
    }

    /// The conversation as text. With `add_generation_prompt` it ends where the assistant is to
    /// speak. The text contains control tokens by name: encode it with `parse_special`.
    ///
    /// # Errors
    /// [`Error::Template`] if the template rejects the conversation, fails, takes too long, or writes
    /// more than [`MAX_TEXT_BYTES`] and [`MAX_TEXT_FACTOR`] times the messages.
    pub fn render(&self, messages: &[Message], add_generation_prompt: bool) -> Result<String> {
        let form = match messages.is_empty() {
            true => Form::Text,
            false => self.form(),
        };
        self.render_as(form, messages, add_generation_prompt)
    }

    fn render_as(
        &self,
        form: Form,
        messages: &[Message],
        add_generation_prompt: bool,
    ) -> Result<String> {
        let said: usize = messages
            .iter()
            .map(|m| m.role.len() + m.content.len())
            .sum();
        let typed = || messages.iter().map(Typed::from).collect::<Vec<_>>();
        let messages = match form {
            Form::Parts => Value::from(Serde(typed())),
            Form::Text | Form::LeftOut => Value::from(Serde(messages)),
        };
        let none = Value::from(());
        let given = [
            ("messages", messages),
            ("tools", none.clone()),
            ("documents", none),
            ("add_generation_prompt", Value::from(add_generation_prompt)),
        ];
        self.render_with(Value::from_pairs(given), said)
    }

    /// The template with what it is given, for messages of so many bytes.
    fn render_with(&self, given: Value, said: usize) -> Result<String> {
        let template = self
            .environment
            .get_template(NAME)
            .map_err(template_error)?;
        let tokens = self
            .tokens
            .iter()
            .map(|(name, text)| (*name, Value::from(text.as_str())));
        let mut context: BTreeMap<String, Value> =
            tokens.map(|(name, text)| (name.to_owned(), text)).collect();
        if let Ok(names) = given.try_iter() {
            for name in names {
                let value = given.get_item(&name).unwrap_or_default();
                context.insert(name.to_string(), value);
            }
        }
        let text = with_stack(RENDER_STACK, || {
            template
                .render(Value::from_pairs(context))
                .map_err(template_error)
        })??;
        // Its tokens take many times the text's memory.
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

/// The conversation for a template that takes no system role: what the first message says as
/// `system` stands before what the first user says. That is how models without the role are told.
#[must_use]
pub fn system_before_user(messages: &[Message]) -> Vec<Message> {
    let mut out = messages.to_vec();
    if out.first().is_some_and(|first| first.role == "system") {
        let system = out.remove(0);
        match out.iter_mut().find(|message| message.role == "user") {
            Some(user) => user.content = format!("{}\n\n{}", system.content, user.content),
            None => out.insert(0, Message::new("user", system.content)),
        }
    }
    out
}

/// An environment with the template in it. The engine's parser recurses for each sign in a row, so it
/// runs on a stack of its own.
fn compile(source: String) -> Result<Environment<'static>> {
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
    environment.set_formatter(|out, state, value| {
        if value.is_number()
            && !value.is_integer()
            && let Ok(number) = f64::try_from(value.clone())
            && number.is_finite()
        {
            return out
                .write_str(&json::float(number))
                .map_err(JinjaError::from);
        }
        escape_formatter(out, state, value)
    });
    filters::add(&mut environment);
    environment.add_filter("format", printf::format_filter);
    environment.add_filter(percent::FILTER, percent::percent);
    environment.add_function("raise_exception", functions::raise_exception);
    environment.add_function("strftime_now", |format: &str| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.unwrap_or_default();
        date::strftime(format, now.as_secs(), now.subsec_micros())
    });
    let compiled = with_stack(COMPILE_STACK, || {
        environment.add_template_owned(NAME, source)
    })?;
    compiled.map_err(template_error)?;
    Ok(environment)
}

/// The error for a panic in the engine, which is the engine's fault, not the template's.
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

/// Most characters of the reason that a template gives for refusing a conversation.
const MAX_SAID: usize = 300;

/// The error with its line in one line; in the template's own words where it refuses.
#[allow(clippy::needless_pass_by_value, reason = "used in map_err")]
fn template_error(error: JinjaError) -> Error {
    let refusal = error.source().and_then(|source| source.downcast_ref());
    let mut text = match (refusal, error.detail()) {
        (Some(functions::Refusal(says)), _) => {
            let says: Vec<&str> = says.split_whitespace().collect();
            let says: String = says.join(" ").chars().take(MAX_SAID).collect();
            format!("it refuses the conversation: {says}")
        }
        (None, Some(detail)) => format!("{}: {detail}", error.kind()),
        (None, None) => error.kind().to_string(),
    };
    if let Some(line) = error.line() {
        text += &format!(" (line {line})");
    }
    Error::Template(text)
}

#[cfg(test)]
mod tests;
