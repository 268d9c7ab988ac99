//! Command lines of llama.cpp's tools, as clap takes them.
//!
//! They have flags of one dash and several letters, which clap would read as one-letter flags, and
//! many that mean nothing here. Each is translated, left out with a note where it cannot change what
//! is printed, or refused by name with the way out. What the table does not have goes to clap as it is,
//! but for flags of one dash that clap would take apart.

mod flags;
#[cfg(test)]
mod tests;

use crate::output::say;
use aeolus_recipe::FileType;
use anyhow::{Result, bail};
use flags::{
    CHAT, FLAGS, IMATRIX, LOGITS, PERPLEXITY, QUANTIZE, RUN, SCORE, TALK, TASKS, TOKENIZE,
};
use std::collections::HashMap;
use std::ffi::OsString;

/// A flag of theirs.
struct Flag {
    names: &'static [&'static str],
    takes: Takes,
    /// The commands that it is for.
    on: u8,
    fate: Fate,
}

/// What follows a flag.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Takes {
    Nothing,
    Value,
    /// `on`, `off` or `auto`, or nothing.
    Switch,
}

/// What becomes of a flag.
#[derive(Clone, Copy)]
enum Fate {
    /// It has this name here.
    Is(&'static str),
    /// Its value alone says the same here.
    Keyless,
    /// It is a flag of ours, too; with such values it asks for what happens without it.
    OwnUnless(fn(&str) -> bool),
    /// It cannot change what is printed.
    Idle(&'static str),
    /// Such values ask for what happens without it; others are refused.
    NeutralOr(fn(&str) -> bool, &'static str),
    /// It would change what is printed; what to do instead.
    Refused(&'static str),
}

/// The command line as our own, and notes about what was left out.
struct Spelled {
    args: Vec<OsString>,
    notes: Vec<String>,
}

/// Translates a command line and says what was left out.
///
/// # Errors
/// A flag that is not supported, by its name.
pub fn spell_out(args: impl IntoIterator<Item = OsString>) -> Result<Vec<OsString>> {
    let spelled = translate(args.into_iter().collect())?;
    for note in &spelled.notes {
        say(format_args!("note: {note}"));
    }
    Ok(spelled.args)
}

fn translate(args: Vec<OsString>) -> Result<Spelled> {
    let Some(command) = args.get(1).and_then(|command| command.to_str()) else {
        return Ok(Spelled {
            args,
            notes: Vec::new(),
        });
    };
    let on = match command {
        "run" => RUN,
        "chat" => CHAT,
        "perplexity" => PERPLEXITY,
        "tasks" => TASKS,
        "logits" => LOGITS,
        "tokenize" => TOKENIZE,
        "imatrix" => IMATRIX,
        "quantize" => QUANTIZE,
        _ => 0,
    };
    let mut line = Line {
        command,
        own: own_flags(command),
        out: args[..2].to_vec(),
        places: Vec::new(),
        models: Vec::new(),
        texts: Vec::new(),
        idle: Vec::new(),
        repository: None,
        file: None,
        names_model: false,
    };
    line.read(on, &args[2..])?;
    line.finish(on)
}

/// Our own flags of a command and whether they take a value.
fn own_flags(command: &str) -> HashMap<String, bool> {
    let mut all = crate::command();
    all.build();
    let mut own = HashMap::new();
    for arg in all
        .find_subcommand(command)
        .into_iter()
        .flat_map(|c| c.get_arguments())
    {
        let takes = arg.get_action().takes_values();
        let long = arg.get_long_and_visible_aliases().unwrap_or_default();
        let hidden = arg.get_all_aliases().unwrap_or_default();
        for name in long.into_iter().chain(hidden) {
            own.insert(format!("--{name}"), takes);
        }
        for name in arg.get_short_and_visible_aliases().unwrap_or_default() {
            own.insert(format!("-{name}"), takes);
        }
    }
    own
}

/// Commands whose first argument is a model and that have no flag for it.
const MODEL_FIRST: [&str; 8] = [
    "table", "quantize", "convert", "forecast", "inspect", "hash", "compare", "card",
];

/// A command line in translation.
struct Line<'a> {
    command: &'a str,
    own: HashMap<String, bool>,
    out: Vec<OsString>,
    /// Where in `out` arguments without a flag are.
    places: Vec<usize>,
    /// Models and texts whose flag was left out.
    models: Vec<OsString>,
    texts: Vec<OsString>,
    /// Flags that were left out, by the reason.
    idle: Vec<(&'static str, Vec<String>)>,
    /// `-hf` and `-hff`.
    repository: Option<String>,
    file: Option<String>,
    /// Whether a flag names the model.
    names_model: bool,
}

impl Line<'_> {
    fn read(&mut self, on: u8, args: &[OsString]) -> Result<()> {
        let mut args = args.iter().peekable();
        while let Some(arg) = args.next() {
            let text = arg.to_str().unwrap_or_default();
            if text == "--" {
                self.out.push(arg.clone());
                self.out.extend(args.cloned());
                break;
            }
            if !text.starts_with('-') || text == "-" {
                self.places.push(self.out.len());
                self.out.push(arg.clone());
                continue;
            }
            let (name, inline) = match text.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (text, None),
            };
            let hub = matches!(name, "-hf" | "-hfr" | "--hf-repo" | "-hff" | "--hf-file");
            let flag = FLAGS
                .iter()
                .find(|f| f.on & on != 0 && f.names.contains(&name));
            let takes = match flag {
                Some(flag) => flag.takes,
                None if hub => Takes::Value,
                None if self.own.get(name) == Some(&true) => Takes::Value,
                None => Takes::Nothing,
            };
            let value: Option<OsString> = match (inline, takes) {
                (Some(value), _) => Some(value.into()),
                (None, Takes::Nothing) => None,
                (None, Takes::Value) => args.next().cloned(),
                (None, Takes::Switch) => args.next_if(|next| is_switch(next)).cloned(),
            };
            if takes == Takes::Value && value.is_none() && (flag.is_some() || hub) {
                bail!("{name} needs a value");
            }
            if hub && on & !QUANTIZE == 0 {
                bail!(
                    "{name} is not a flag of this command; a model on the Hub is named hf:OWNER/NAME"
                );
            }
            if hub {
                let value = value.and_then(|value| value.into_string().ok());
                match name {
                    "-hff" | "--hf-file" => self.file = value,
                    _ => self.repository = value,
                }
                continue;
            }
            match flag {
                Some(flag) => self.settle(flag, name, value)?,
                None if name.starts_with("-h") && name.len() > 2 => {
                    bail!("{name} is not a flag; -h or --help shows those there are");
                }
                None if on & (TALK | SCORE | IMATRIX) != 0 && !self.is_short(name) => bail!(
                    "{name} is not a flag of `aeolus {0}`; `aeolus {0} --help` lists its flags, and \
                     a value follows its flag after a space",
                    self.command
                ),
                None if MODEL_FIRST.contains(&self.command)
                    && matches!(name, "-m" | "--model")
                    && !self.own.contains_key(name) =>
                {
                    bail!(
                        "{name} is not a flag of `aeolus {0}`; name the model without one: \
                         `aeolus {0} MODEL`",
                        self.command
                    )
                }
                None => {
                    self.names_model |= matches!(name, "-m" | "--model");
                    self.own(name, text, inline, value);
                }
            }
        }
        Ok(())
    }

    /// Whether clap reads a flag as it was meant: it has two dashes or one letter, or is made of
    /// short flags without values (`-ei`) or of one and its number (`-n3`).
    fn is_short(&self, name: &str) -> bool {
        if name.starts_with("--") || name.chars().count() < 3 {
            return true;
        }
        let takes = |letter: char| self.own.get(&format!("-{letter}")).copied();
        let mut letters = name[1..].chars();
        if letters.clone().all(|letter| takes(letter) == Some(false)) {
            return true;
        }
        let first = letters.next().and_then(takes);
        let value = letters.as_str().parse::<f64>();
        first == Some(true) && value.is_ok_and(f64::is_finite)
    }

    /// A flag that clap is to see.
    fn own(&mut self, name: &str, text: &str, inline: Option<&str>, value: Option<OsString>) {
        match (inline, value) {
            (Some(_), _) | (None, None) => self.out.push(text.into()),
            (None, Some(value)) => self.out.extend([name.into(), value]),
        }
    }

    fn settle(&mut self, flag: &Flag, name: &str, value: Option<OsString>) -> Result<()> {
        let text = value
            .as_ref()
            .map(|value| value.to_string_lossy().into_owned());
        let is = |test: fn(&str) -> bool| text.as_deref().is_some_and(test);
        match flag.fate {
            Fate::Is(ours) => {
                self.out.push(ours.into());
                self.out.extend(value);
            }
            Fate::Keyless => match name {
                "-m" | "--model" => {
                    self.names_model = true;
                    self.models.extend(value);
                }
                _ => self.texts.extend(value),
            },
            Fate::OwnUnless(without) if is(without) => {}
            Fate::OwnUnless(_) => {
                self.out.push(name.into());
                self.out.extend(value);
            }
            Fate::NeutralOr(neutral, _) if is(neutral) => {
                self.leave_out(name, "it asks for what is done anyway")
            }
            Fate::Idle(reason) => self.leave_out(name, reason),
            Fate::NeutralOr(_, way_out) | Fate::Refused(way_out) => {
                let value = text.filter(|_| matches!(flag.fate, Fate::NeutralOr(..)));
                let value = value.map_or(String::new(), |value| format!(" {value}"));
                bail!("{name}{value} is not supported: {way_out}");
            }
        }
        Ok(())
    }

    fn leave_out(&mut self, name: &str, reason: &'static str) {
        match self.idle.iter_mut().find(|(other, _)| *other == reason) {
            Some((_, names)) if names.iter().any(|n| n == name) => {}
            Some((_, names)) => names.push(name.into()),
            None => self.idle.push((reason, vec![name.into()])),
        }
    }

    fn finish(mut self, on: u8) -> Result<Spelled> {
        if on == QUANTIZE {
            self.quantize_by_position()?;
        }
        match (&self.repository, &self.file) {
            (None, Some(_)) => bail!("-hff names a file, and -hf OWNER/NAME is missing"),
            (None, None) => {}
            (Some(repository), file) => {
                let text = on & (RUN | CHAT | SCORE | IMATRIX) != 0 && !self.places.is_empty();
                if self.names_model || text {
                    bail!("-hf {repository} names a second model: one is given already");
                }
                let prefix = if repository.starts_with("hf:") {
                    ""
                } else {
                    "hf:"
                };
                let file = file
                    .as_ref()
                    .map_or(String::new(), |file| format!("/{file}"));
                let model = format!("{prefix}{repository}{file}");
                self.models.push(model.into());
            }
        }
        self.out.splice(2..2, self.models);
        self.out.extend(self.texts);
        let left_out = |(reason, names): &(&str, Vec<String>)| match names.split_last() {
            Some((last, [])) => format!("{last} is ignored: {reason}"),
            Some((last, others)) => {
                format!("{} and {last} are ignored: {reason}", others.join(", "))
            }
            None => String::new(),
        };
        Ok(Spelled {
            args: self.out,
            notes: self.idle.iter().map(left_out).collect(),
        })
    }

    /// `IN [OUT] TYPE [THREADS]`, as llama-quantize takes them.
    fn quantize_by_position(&mut self) -> Result<()> {
        let names_type = |arg: &OsString| {
            let arg = arg.to_str().unwrap_or_default();
            arg == "--type" || arg.starts_with("--type=")
        };
        if self.out.iter().any(names_type) {
            return Ok(());
        }
        let texts: Vec<&str> = self
            .places
            .iter()
            .map(|at| self.out[*at].to_str().unwrap_or_default())
            .collect();
        let is_type = |text: &str| file_type(text).is_ok();
        let (output, ty, threads) = match texts[..] {
            [_, output] if output.contains(['.', '/', '\\']) => bail!(
                "the file type is missing after {output}: `aeolus quantize IN OUT TYPE`, or \
                 `aeolus quantize IN --type TYPE --out OUT`"
            ),
            [_, ty] => (None, ty, None),
            [_, ty, threads] if is_type(ty) && threads.parse::<u16>().is_ok() => {
                (None, ty, Some(threads))
            }
            [_, output, ty] => (Some(output), ty, None),
            [_, output, ty, threads] => (Some(output), ty, Some(threads)),
            _ => return Ok(()),
        };
        let ty = file_type(ty)?.name();
        let mut flags: Vec<OsString> = vec!["--type".into(), ty.into()];
        for (flag, value) in [("--out", output), ("--threads", threads)] {
            flags.extend(
                value
                    .into_iter()
                    .flat_map(|value| [flag.into(), value.into()]),
            );
        }
        for at in self.places.drain(1..).rev() {
            self.out.remove(at);
        }
        self.out.extend(flags);
        Ok(())
    }
}

/// A file type by its name or by llama.cpp's number for it.
fn file_type(text: &str) -> Result<FileType> {
    match text.parse().ok().and_then(FileType::from_ftype_id) {
        Some(ty) => Ok(ty.check_writable().map(|()| ty)?),
        None => Ok(FileType::parse(text)?),
    }
}

/// `on`, `off`, `auto` and what else counts as such.
fn is_switch(value: &OsString) -> bool {
    let words = [
        "on", "off", "auto", "enabled", "disabled", "true", "false", "1", "0", "-1",
    ];
    value.to_str().is_some_and(|value| words.contains(&value))
}
