//! The `aeolus` command: reads arguments, calls the crates, prints.
//!
//! [`main`] is all of it, for the program of that name and for the Python package, whose console script calls
//! the same function. Exit codes: 0 done, 1 a check found a difference, 2 an error, 130 interrupted.

#![forbid(unsafe_code)]
#![allow(
    rustdoc::broken_intra_doc_links,
    rustdoc::invalid_html_tags,
    reason = "doc comments of arguments are help texts: their brackets and tags are meant as they stand"
)]

mod commands;
mod figures;
mod guard;
mod hub;
mod imatrix;
mod interrupt;
mod llama_cpp;
mod model;
mod options;
mod output;
mod overlap;
mod plan;
mod progress;
mod prompt;
mod readme;
mod sizes;

use clap::error::{ContextKind, ContextValue};
use clap::{CommandFactory, Parser};
use output::say;
use std::ffi::OsString;
use std::process::ExitCode;

/// Runs the command line `args`, whose first word is the program's name, and gives its exit code. Once in a
/// process: it decides what an interruption and lost pages of a mapped file do from then on.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    #[cfg(unix)]
    aeolus_source::report_lost_pages(2);
    match run(args) {
        Ok(code) => code,
        Err(error) => {
            if interrupt::was_cancelled(&error) {
                say(format_args!("aeolus: {}", paragraph(&error)));
                return ExitCode::from(interrupt::EXIT_CODE);
            }
            say(format_args!("error: {}", paragraph(&error)));
            ExitCode::from(2)
        }
    }
}

/// Reads the command line and does what it says. A wrong `AEOLUS_CPU` ends any command before its
/// work.
fn run(args: impl IntoIterator<Item = OsString>) -> anyhow::Result<ExitCode> {
    let args = llama_cpp::spell_out(args)?;
    let cli = match commands::Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            let error = without_wrong_tip(error);
            // Help and versions are asked for: those are no errors.
            let _ = error.print();
            return Ok(ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2)));
        }
    };
    aeolus_quant::Cpu::select()?;
    commands::run(cli)
}

/// clap's error without its advice to put `--` before an unknown flag: no command would then read a
/// flag, but a file of that name.
fn without_wrong_tip(mut error: clap::Error) -> clap::Error {
    if let Some(ContextValue::StyledStrs(mut tips)) = error.remove(ContextKind::Suggested) {
        tips.retain(|tip| !tip.to_string().contains("as a value, use"));
        if !tips.is_empty() {
            error.insert(ContextKind::Suggested, ContextValue::StyledStrs(tips));
        }
    }
    error
}

/// The error and what it came from, in one paragraph; causes that a message quotes already are
/// not said twice.
pub fn paragraph(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        if cause.starts_with(&text) {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    printable(&text)
}

/// A message with its control characters escaped: it may quote a file, and what a file says must
/// not drive a terminal or begin a second paragraph.
fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            c if c.is_control() => out.extend(c.escape_default()),
            c => out.push(c),
        }
    }
    out
}

/// The command's description, as completions and the manual page need it.
pub(crate) fn command() -> clap::Command {
    commands::Cli::command()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_arguments_are_consistent() {
        super::command().debug_assert();
    }

    #[test]
    fn unknown_flags_are_not_suggested_as_files() {
        use clap::Parser;
        let message = |args: &[&str]| {
            let error = super::commands::Cli::try_parse_from(args).unwrap_err();
            super::without_wrong_tip(error).to_string()
        };
        let unknown = message(&["aeolus", "inspect", "a.gguf", "--bogus"]);
        assert!(unknown.contains("--bogus") && !unknown.contains("as a value"));
        let typo = message(&["aeolus", "quantize", "a", "--typ", "Q4_0"]);
        assert!(typo.contains("'--type'"), "{typo}");
    }

    #[test]
    fn messages_cannot_drive_the_terminal() {
        let error = anyhow::anyhow!("architecture \x1b]0;t\x07\nb\u{e9}");
        let escaped = "architecture \\u{1b}]0;t\\u{7}\\nb\u{e9}";
        assert_eq!(super::paragraph(&error), escaped);
    }

    #[test]
    fn causes_are_said_once() {
        let inner = anyhow::anyhow!("no such file");
        let error = inner.context("a.gguf: cannot open: no such file");
        assert_eq!(
            super::paragraph(&error),
            "a.gguf: cannot open: no such file"
        );
        let error = error.context("cannot inspect");
        assert_eq!(
            super::paragraph(&error),
            "cannot inspect: a.gguf: cannot open: no such file"
        );
        let names_itself = anyhow::anyhow!("a.gguf: is truncated").context("a.gguf");
        assert_eq!(super::paragraph(&names_itself), "a.gguf: is truncated");
    }
}
