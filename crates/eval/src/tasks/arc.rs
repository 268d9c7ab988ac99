//! ARC, the AI2 reasoning challenge: science questions with three to five answers.
//!
//! JSON lines as AI2 publishes them,
//! `{"question": {"stem": ..., "choices": [{"text": ..., "label": "A"}, ...]}, "answerKey": "A"}`,
//! or as the Hub's data set has them,
//! `{"question": ..., "choices": {"text": [...], "label": [...]}, "answerKey": "A"}`.

use super::{Question, choices, field, texts};
use serde_json::Value;

pub(super) fn from_json(value: &Value) -> Result<Question, String> {
    let key = field(value, "answerKey")?;
    let (stem, answers, labels) = match value.get("question") {
        Some(question @ Value::Object(_)) => {
            let items = question.get("choices").and_then(Value::as_array);
            let items = items.ok_or("question.choices is not a list")?;
            let part = |name: &str| -> Result<Vec<String>, String> {
                let parts = items.iter().map(|item| field(item, name));
                parts.map(|part| part.map(str::to_owned)).collect()
            };
            (field(question, "stem")?, part("text")?, part("label")?)
        }
        _ => {
            let part = |name: &str| {
                let list = value.get("choices").and_then(|c| c.get(name));
                texts(list.unwrap_or(&Value::Null), &format!("choices.{name}"))
            };
            (field(value, "question")?, part("text")?, part("label")?)
        }
    };
    if answers.len() != labels.len() || answers.len() < 2 {
        return Err(format!(
            "{} choices with {} labels, at least 2 of each were expected",
            answers.len(),
            labels.len()
        ));
    }
    // Some questions number their choices.
    let answer = labels
        .iter()
        .position(|label| label == key)
        .ok_or_else(|| format!("answerKey is {key:?}, the labels are {labels:?}"))?;
    let context = format!("Question: {stem}\nAnswer:");
    Ok(Question {
        preamble: String::new(),
        subject: String::new(),
        choices: choices(&context, answers),
        answer,
    })
}
