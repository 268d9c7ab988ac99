//! Multiple-choice questions: the model answers with the choice it finds most likely.
//!
//! Prompts and scores are those of the Open LLM Leaderboard of 2023 (EleutherAI's
//! lm-evaluation-harness of that year), which the published figures of notus-7b-v1 come from:
//!
//! | task | prompt | score | shots there |
//! |---|---|---|---|
//! | HellaSwag | activity and context; the endings | `acc_norm` | 10 |
//! | ARC | `Question: ...\nAnswer:`; the answers | `acc_norm` | 25 |
//! | MMLU | subject, question, lettered choices, `Answer:`; the letters | `acc` | 5 |
//! | Winogrande | sentence with a name in the gap; the rest of the sentence | `acc` | 5 |
//!
//! The log-likelihood of a choice is the sum over its tokens, given the prompt. `acc` takes the
//! choice with the highest sum, `acc_norm` with the highest sum over its length in characters,
//! `acc_token` over its length in tokens, as llama-perplexity does. Of equals the first is
//! taken.
//!
//! Shots are questions with their right answer before the question, separated by blank lines.
//! The leaderboard drew them at random; here they are the first ones of a file (of the same
//! subject for MMLU), so that a run can be repeated.
//!
//! `arc.rs`, `hellaswag.rs`, `mmlu.rs` and `winogrande.rs` each hold a task's file forms and its
//! prompt.

mod arc;
mod csv;
mod hellaswag;
mod mmlu;
mod run;
mod winogrande;

use crate::Error;
use serde_json::Value;
use std::path::Path;

pub use run::{Asked, Outcome, Round, TaskOptions, describe};

/// Which questions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// How does it go on?
    HellaSwag,
    /// Science for schools.
    Arc,
    /// 57 subjects.
    Mmlu,
    /// Who is meant?
    Winogrande,
}

impl Task {
    /// `hellaswag`, `arc`, `mmlu`, `winogrande`.
    pub fn name(self) -> &'static str {
        match self {
            Self::HellaSwag => "hellaswag",
            Self::Arc => "arc",
            Self::Mmlu => "mmlu",
            Self::Winogrande => "winogrande",
        }
    }

    /// The score that is quoted: `acc` or `acc_norm`.
    pub fn metric(self) -> &'static str {
        match self {
            Self::HellaSwag | Self::Arc => "acc_norm",
            Self::Mmlu | Self::Winogrande => "acc",
        }
    }
}

/// One question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// What the prompt opens with, before any shots; empty for most tasks.
    pub preamble: String,
    /// Shots come from the same subject.
    pub subject: String,
    /// Each with its own context, which is the same for all choices of most tasks.
    pub choices: Vec<Choice>,
    /// The right one.
    pub answer: usize,
}

/// One of the answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// What comes before it.
    pub context: String,
    /// It, with the space before it: what is scored.
    pub ending: String,
}

impl Question {
    /// The question with its right answer, as a shot.
    fn shown(&self) -> String {
        let right = &self.choices[self.answer];
        format!("{}{}", right.context, right.ending)
    }
}

/// Reads a task file; `path` is for messages, and for MMLU its name holds the subject.
///
/// Forms: JSON lines as each task's authors or the Hub publish them; CSV for MMLU and
/// Winogrande; for HellaSwag also six lines a question, as llama-perplexity reads them.
///
/// # Errors
/// [`Error::Question`] with the line, [`Error::Task`] for a file without questions.
pub fn parse(task: Task, path: &Path, text: &str) -> Result<Vec<Question>, Error> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let json = text.trim_start().starts_with('{');
    let questions = match (task, json) {
        (Task::HellaSwag, true) => json_lines(text, hellaswag::from_json),
        (Task::HellaSwag, false) => hellaswag::from_lines(text),
        (Task::Arc, _) => json_lines(text, arc::from_json),
        (Task::Mmlu, true) => json_lines(text, |v| mmlu::from_json(v, path)),
        (Task::Mmlu, false) => mmlu::from_csv(text, path),
        (Task::Winogrande, true) => json_lines(text, winogrande::from_json),
        (Task::Winogrande, false) => winogrande::from_csv(text),
    }
    .map_err(|(line, problem)| Error::Question {
        path: path.into(),
        line,
        problem,
    })?;
    if questions.is_empty() {
        return Err(Error::Task {
            path: path.into(),
            problem: "holds no question".into(),
        });
    }
    Ok(questions)
}

/// A line number, from 1, and what is wrong there.
type Problem = (usize, String);

fn json_lines(
    text: &str,
    question: impl Fn(&Value) -> Result<Question, String>,
) -> Result<Vec<Question>, Problem> {
    let lines = text.lines().enumerate();
    lines
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(i, line)| {
            let json = aeolus_source::standard_json(line.as_bytes());
            let value: Value =
                serde_json::from_slice(&json).map_err(|e| (i + 1, format!("is not JSON: {e}")))?;
            question(&value).map_err(|problem| (i + 1, problem))
        })
        .collect()
}

/// A text field.
fn field<'v>(value: &'v Value, key: &str) -> Result<&'v str, String> {
    match value.get(key) {
        Some(Value::String(text)) => Ok(text),
        Some(other) => Err(format!("{key} is {other}, a text was expected")),
        None => Err(format!("{key} is missing")),
    }
}

/// A list of texts.
fn texts(value: &Value, key: &str) -> Result<Vec<String>, String> {
    let items = value
        .as_array()
        .ok_or_else(|| format!("{key} is not a list"))?;
    items
        .iter()
        .map(|item| match item {
            Value::String(text) => Ok(text.clone()),
            other => Err(format!("{key} holds {other}, texts were expected")),
        })
        .collect()
}

/// A number, perhaps written as text, from `from` to `from + count - 1`, counted from 0.
fn index(value: Option<&Value>, key: &str, from: usize, count: usize) -> Result<usize, String> {
    let found = match value {
        Some(Value::Number(n)) => n.as_u64(),
        Some(Value::String(text)) => text.trim().parse().ok(),
        _ => None,
    };
    found
        .and_then(|n| usize::try_from(n).ok())
        .and_then(|n| n.checked_sub(from))
        .filter(|n| *n < count)
        .ok_or_else(|| {
            let found = value.map_or("missing".into(), Value::to_string);
            let last = (from + count).saturating_sub(1);
            format!("{key} is {found}, a number from {from} to {last} was expected")
        })
}

/// The same context before each ending.
fn choices(context: &str, endings: impl IntoIterator<Item = String>) -> Vec<Choice> {
    let choice = |ending: String| Choice {
        context: context.into(),
        ending: format!(" {ending}"),
    };
    endings.into_iter().map(choice).collect()
}

#[cfg(test)]
mod tests;
