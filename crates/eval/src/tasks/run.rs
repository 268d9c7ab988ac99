//! Asks a model every question of a file.

use super::{Question, Task};
use crate::Error;
use crate::progress::{Event, Progress, Running};
use crate::scorer::Scorer;
use crate::stats::{self, Estimate};
use aeolus_pipeline::Cancel;
use serde::Serialize;
use std::collections::HashMap;

/// How questions are put.
#[derive(Clone, Debug, Default)]
pub struct TaskOptions {
    /// Answered questions before each question.
    pub shots: usize,
    /// Where they come from: the first ones of the same subject. `None` takes them from the
    /// questions themselves, which are then not asked.
    pub shots_from: Option<Vec<Question>>,
    /// At most this many questions.
    pub limit: Option<usize>,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Outcome {
    /// Questions asked.
    pub questions: usize,
    /// Answered questions before each.
    pub shots: usize,
    /// Share of questions whose right choice has the highest log-likelihood.
    pub acc: Estimate,
    /// The same with log-likelihoods over the number of characters.
    pub acc_norm: Estimate,
    /// The same with log-likelihoods over the number of tokens.
    pub acc_token: Estimate,
    /// Questions whose prompt was longer than the model's context, and lost its beginning.
    pub cut: usize,
}

impl Outcome {
    /// The score that is quoted for a task.
    pub fn score(&self, task: Task) -> Estimate {
        match task.metric() {
            "acc_norm" => self.acc_norm,
            _ => self.acc,
        }
    }
}

/// Asks `questions`. `encode` gives a text's tokens, with those that the model wants before it.
///
/// # Errors
/// A message if a subject has too few questions for its shots, or none is left to ask;
/// [`Error::Model`], [`Error::NonFinite`], [`Error::Cancelled`].
pub fn run(
    model: &dyn Scorer,
    encode: &dyn Fn(&str) -> Vec<u32>,
    questions: &[Question],
    options: &TaskOptions,
    progress: &dyn Progress,
    cancel: &Cancel,
) -> Result<Outcome, Error> {
    let (shots, asked) = deal(questions, options)?;
    progress.event(Event::Started {
        total: asked.len(),
        known: 0,
    });
    progress.event(Event::Model { name: model.name() });
    let mut hits = [0; 3];
    let mut cut = 0;
    for (done, question) in asked.iter().enumerate() {
        if cancel.is_set() {
            return Err(Error::Cancelled);
        }
        let before = shots
            .get(question.subject.as_str())
            .map_or("", String::as_str);
        let prompts = Prompts::new(question, before, encode, model.context());
        cut += usize::from(prompts.cut);
        let endings = model.endings(&prompts.sequences, &prompts.starts)?;
        let sums: Vec<f64> = endings.iter().map(|e| e.iter().sum()).collect();
        let over = |lengths: Vec<usize>| -> Vec<f64> {
            let pairs = sums.iter().zip(lengths);
            pairs.map(|(sum, n)| sum / n.max(1) as f64).collect()
        };
        // The space before an ending is the prompt's way, not the choice's.
        let choices = question.choices.iter();
        let chars = choices.map(|c| c.ending.chars().skip(1).count()).collect();
        let tokens = endings.iter().map(Vec::len).collect();
        for (hits, scores) in hits.iter_mut().zip([&sums, &over(chars), &over(tokens)]) {
            *hits += u64::from(best(scores) == question.answer);
        }
        progress.event(Event::Advanced {
            count: 1,
            running: Running::Accuracy(stats::share(hits[0], done as u64 + 1)),
        });
    }
    let share = |hits| stats::share(hits, asked.len() as u64);
    Ok(Outcome {
        questions: asked.len(),
        shots: options.shots,
        acc: share(hits[0]),
        acc_norm: share(hits[1]),
        acc_token: share(hits[2]),
        cut,
    })
}

/// The first of the highest.
fn best(scores: &[f64]) -> usize {
    let mut best = 0;
    for (i, score) in scores.iter().enumerate() {
        if *score > scores[best] {
            best = i;
        }
    }
    best
}

type Dealt<'q> = (HashMap<&'q str, String>, Vec<&'q Question>);

/// Each subject's shots as text, and the questions that are asked.
fn deal<'q>(questions: &'q [Question], options: &'q TaskOptions) -> Result<Dealt<'q>, Error> {
    let pool = options.shots_from.as_deref().unwrap_or(questions);
    let mut taken: HashMap<&str, Vec<String>> = HashMap::new();
    let mut rest = Vec::new();
    for question in pool {
        let shots = taken.entry(&question.subject).or_default();
        if shots.len() < options.shots {
            shots.push(question.shown());
        } else {
            rest.push(question);
        }
    }
    let mut asked: Vec<&Question> = match options.shots_from {
        Some(_) => questions.iter().collect(),
        None => rest,
    };
    asked.truncate(options.limit.unwrap_or(usize::MAX));
    for question in &asked {
        let found = taken.get(question.subject.as_str()).map_or(0, Vec::len);
        if found < options.shots {
            let subject = match question.subject.as_str() {
                "" => String::new(),
                subject => format!(" of {subject}"),
            };
            return Err(Error::Shots {
                problem: format!(
                    "{found} questions{subject} to show, {} were asked for",
                    options.shots
                ),
            });
        }
    }
    if asked.is_empty() {
        return Err(Error::Shots {
            problem: format!(
                "all {} questions are shown as examples, none is left to ask",
                questions.len()
            ),
        });
    }
    let joined = taken.into_iter().map(|(subject, shots)| {
        let text = shots.iter().map(|shot| format!("{shot}\n\n")).collect();
        (subject, text)
    });
    Ok((joined.collect(), asked))
}

/// A question's choices as tokens.
struct Prompts {
    /// Prompt and ending of each choice.
    sequences: Vec<Vec<u32>>,
    /// Where each ending begins.
    starts: Vec<usize>,
    /// A prompt lost its beginning.
    cut: bool,
}

impl Prompts {
    fn new(
        question: &Question,
        shots: &str,
        encode: &dyn Fn(&str) -> Vec<u32>,
        context: usize,
    ) -> Self {
        let mut prompts = Self {
            sequences: Vec::new(),
            starts: Vec::new(),
            cut: false,
        };
        for choice in &question.choices {
            let prompt = format!("{}{shots}{}", question.preamble, choice.context);
            let whole = format!("{prompt}{}", choice.ending);
            // Spaces belong to the token after them.
            let prompt_tokens = encode(prompt.trim_end_matches(' ')).len();
            let mut tokens = encode(&whole);
            let last = tokens.len().saturating_sub(1);
            let mut start = prompt_tokens.min(last).max(1);
            // The last token of a sequence is predicted, not read.
            if last > context {
                let excess = last - context;
                tokens.drain(..excess);
                start = start.saturating_sub(excess).max(1);
                prompts.cut = true;
            }
            prompts.sequences.push(tokens);
            prompts.starts.push(start);
        }
        prompts
    }
}
