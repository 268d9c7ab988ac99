//! MMLU: questions of 57 subjects with four lettered answers.
//!
//! CSV as its authors publish it, without a head: question, four answers, the right letter; the
//! subject is in the file's name (`college_physics_test.csv`). Or JSON lines as the Hub's data
//! set has them: `{"question": ..., "subject": ..., "choices": [four], "answer": 2}`.

use super::{Problem, Question, choices, csv, field, index, texts};
use serde_json::Value;
use std::path::Path;

const LETTERS: [&str; 4] = ["A", "B", "C", "D"];

pub(super) fn from_json(value: &Value, path: &Path) -> Result<Question, String> {
    let answers = texts(value.get("choices").unwrap_or(&Value::Null), "choices")?;
    let subject = match value.get("subject") {
        Some(_) => field(value, "subject")?.to_owned(),
        None => subject_of(path),
    };
    let answer = value.get("answer");
    let letter = answer.and_then(Value::as_str).and_then(letter_index);
    let answer = match letter {
        Some(i) => i,
        None => index(answer, "answer", 0, 4)?,
    };
    question(field(value, "question")?, &subject, &answers, answer)
}

pub(super) fn from_csv(text: &str, path: &Path) -> Result<Vec<Question>, Problem> {
    let subject = subject_of(path);
    csv::records(text)?
        .into_iter()
        .map(|(line, record)| {
            let at = |problem: String| (line, problem);
            let [stem, answers @ .., letter] = &record[..] else {
                return Err(at("1 field, 6 were expected".into()));
            };
            let answer = letter_index(letter)
                .ok_or_else(|| at(format!("the last field is {letter:?}, A to D was expected")))?;
            question(stem, &subject, answers, answer).map_err(at)
        })
        .collect()
}

fn letter_index(text: &str) -> Option<usize> {
    LETTERS.iter().position(|letter| *letter == text.trim())
}

/// `college physics` of `data/test/college_physics_test.csv`.
fn subject_of(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let stem = ["_test", "_val", "_dev"]
        .iter()
        .find_map(|part| stem.strip_suffix(part))
        .unwrap_or(&stem);
    stem.to_owned()
}

fn question(
    stem: &str,
    subject: &str,
    answers: &[String],
    answer: usize,
) -> Result<Question, String> {
    if answers.len() != LETTERS.len() {
        return Err(format!("{} answers, 4 were expected", answers.len()));
    }
    let subject = subject.replace('_', " ");
    let listed: String = LETTERS
        .iter()
        .zip(answers)
        .map(|(letter, answer)| format!("{letter}. {answer}\n"))
        .collect();
    let context = format!("{}\n{listed}Answer:", stem.trim());
    Ok(Question {
        preamble: format!(
            "The following are multiple choice questions (with answers) about {subject}.\n\n"
        ),
        subject,
        choices: choices(&context, LETTERS.map(str::to_owned)),
        answer,
    })
}
