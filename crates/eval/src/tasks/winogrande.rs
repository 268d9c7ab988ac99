//! Winogrande: which of two names fits the gap in a sentence.
//!
//! What is scored is the rest of the sentence after the gap, the same for both choices, given
//! the sentence up to the gap with one name in it.
//!
//! JSON lines as AI2 publishes them, `{"sentence": "... _ ...", "option1": ..., "option2": ...,
//! "answer": "1"}`, or CSV as llama-perplexity reads it: number, sentence, name, name, 1 or 2.

use super::{Choice, Problem, Question, csv, field, index};
use serde_json::Value;

pub(super) fn from_json(value: &Value) -> Result<Question, String> {
    let names = [field(value, "option1")?, field(value, "option2")?];
    let answer = index(value.get("answer"), "answer", 1, 2)?;
    question(field(value, "sentence")?, names, answer)
}

pub(super) fn from_csv(text: &str) -> Result<Vec<Question>, Problem> {
    csv::records(text)?
        .into_iter()
        .map(|(line, record)| {
            let at = |problem: String| (line, problem);
            let [_, sentence, first, second, answer] = &record[..] else {
                return Err(at(format!("{} fields, 5 were expected", record.len())));
            };
            let answer = Value::String(answer.clone());
            let answer = index(Some(&answer), "the last field", 1, 2).map_err(at)?;
            question(sentence, [first, second], answer).map_err(at)
        })
        .collect()
}

fn question(sentence: &str, names: [&str; 2], answer: usize) -> Result<Question, String> {
    let (before, after) = sentence
        .split_once('_')
        .ok_or_else(|| format!("no gap \"_\" in {sentence:?}"))?;
    let choice = |name: &str| Choice {
        context: format!("{before}{name}"),
        ending: format!(" {}", after.trim()),
    };
    Ok(Question {
        preamble: String::new(),
        subject: String::new(),
        choices: names.map(choice).to_vec(),
        answer,
    })
}
