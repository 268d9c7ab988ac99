//! HellaSwag: which of four endings continues a description.
//!
//! JSON lines as its authors publish them,
//! `{"activity_label": ..., "ctx_a": ..., "ctx_b": ..., "endings": [four], "label": 3}`, or six
//! lines a question as llama-perplexity reads them: context, number of the right ending from 0,
//! four endings. The latter are cleaned already.

use super::{Problem, Question, choices, field, index, texts};
use serde_json::Value;

pub(super) fn from_json(value: &Value) -> Result<Question, String> {
    let endings = texts(value.get("endings").unwrap_or(&Value::Null), "endings")?;
    if endings.len() < 2 {
        return Err(format!(
            "{} endings, at least 2 were expected",
            endings.len()
        ));
    }
    let answer = index(value.get("label"), "label", 0, endings.len())?;
    let context = match (value.get("ctx_a"), value.get("ctx")) {
        (Some(_), _) => {
            let second = match value.get("ctx_b") {
                Some(_) => capitalize(field(value, "ctx_b")?),
                None => String::new(),
            };
            format!("{} {second}", field(value, "ctx_a")?)
        }
        (None, _) => field(value, "ctx")?.to_owned(),
    };
    let context = clean(&format!("{}: {context}", field(value, "activity_label")?));
    Ok(Question {
        preamble: String::new(),
        subject: String::new(),
        choices: choices(&context, endings.iter().map(|ending| clean(ending))),
        answer,
    })
}

pub(super) fn from_lines(text: &str) -> Result<Vec<Question>, Problem> {
    let lines: Vec<&str> = text.trim_end_matches(['\r', '\n']).lines().collect();
    let mut questions = Vec::new();
    for (i, lines) in lines.chunks(6).enumerate() {
        let line = 6 * i + 1;
        let [context, answer, endings @ ..] = lines else {
            return Err((line, "one line, 6 of a question were expected".into()));
        };
        if endings.len() != 4 {
            return Err((
                line,
                format!("{} lines, 6 of a question were expected", lines.len()),
            ));
        }
        let answer = Value::String((*answer).into());
        let answer = index(Some(&answer), "number of the right ending", 0, 4);
        questions.push(Question {
            preamble: String::new(),
            subject: String::new(),
            choices: choices(context, endings.iter().map(|ending| (*ending).to_owned())),
            answer: answer.map_err(|problem| (line + 1, problem))?,
        });
    }
    Ok(questions)
}

/// First letter large, the others small.
fn capitalize(text: &str) -> String {
    let mut chars = text.chars();
    let first: String = chars
        .next()
        .map(char::to_uppercase)
        .into_iter()
        .flatten()
        .collect();
    first + &chars.as_str().to_lowercase()
}

/// The texts come from captions and WikiHow pages, with marks such as `[title]` in them.
fn clean(text: &str) -> String {
    let text = text.trim().replace(" [title]", ". ");
    let mut out = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some((before, after)) = rest.split_once('[') {
        let Some((_, behind)) = after.split_once(']').filter(|(m, _)| !m.contains('\n')) else {
            out += before;
            out.push('[');
            rest = after;
            continue;
        };
        out += before;
        rest = behind;
    }
    out += rest;
    out.replace("  ", " ")
}
