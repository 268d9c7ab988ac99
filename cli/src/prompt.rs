//! The prompt of `run` and `chat`: from a flag, a file or stdin.

use crate::model::SamplingArgs;
use aeolus_infer::GenerateOptions;
use anyhow::{Context, Result, bail};
use std::io::{IsTerminal, Read};
use std::path::PathBuf;

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

    /// Interpret \n, \t, \\, \', \", \r and \xHH in the prompt and in --stop
    #[arg(short, long)]
    escape: bool,
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
    pub fn read(&self) -> Result<String> {
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
