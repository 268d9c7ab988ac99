//! Asks a model every question of a file.

use super::{Question, Task};
use crate::scorer::Scorer;
use crate::state::{Record, State};
use crate::stats::{self, Estimate};
use crate::{Error, fingerprint};
use aeolus_job::{Cancel, Event, Figure, Identity, Progress};
use serde::Serialize;
use sha2::{Digest, Sha256};
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

/// Who is asked.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    /// The model.
    pub model: &'a dyn Scorer,
    /// Its [`mark`](crate::Model::mark), which tells its answers in a state from others.
    pub mark: &'a str,
    /// A text's tokens, with the one that the model wants before it.
    pub encode: &'a dyn Fn(&str) -> Vec<u32>,
}

/// What a state file of tasks holds results of. One file may hold answers of several models to
/// several tasks: each question has its own key.
pub fn describe(numeric: &str) -> Identity {
    Identity::new([("kind", "tasks"), ("numeric", numeric)])
}

/// Questions of a file as they are put to a model.
pub struct Round<'a> {
    asked: Asked<'a>,
    /// Each subject's, as text.
    shots: HashMap<&'a str, String>,
    shot_count: usize,
    questions: Vec<&'a Question>,
    /// What tells each question's answer from others.
    keys: Vec<u64>,
}

impl<'a> Round<'a> {
    /// Deals the questions out: those that are shown, and those that are asked.
    ///
    /// # Errors
    /// [`Error::Shots`] if a subject has too few questions for its shots, or none is left to ask.
    pub fn new(
        asked: Asked<'a>,
        questions: &'a [Question],
        options: &'a TaskOptions,
    ) -> Result<Self, Error> {
        let (shots, questions) = deal(questions, options)?;
        let mut round = Self {
            asked,
            shots,
            shot_count: options.shots,
            questions,
            keys: Vec::new(),
        };
        let keys = round.questions.iter();
        let keys = keys.map(|question| key(asked, question, round.before(question)));
        round.keys = keys.collect();
        Ok(round)
    }

    /// How many of its questions `state` has an answer to.
    pub fn known(&self, state: &State) -> usize {
        let keys = self.keys.iter();
        keys.filter(|key| state.known(**key, 1) > 0).count()
    }

    /// What is shown before a question.
    fn before(&self, question: &Question) -> &str {
        let shots = self.shots.get(question.subject.as_str());
        shots.map_or("", String::as_str)
    }

    /// Asks what `state` has no answer to.
    ///
    /// # Errors
    /// [`Error::Model`], [`Error::NonFinite`], [`Error::Cancelled`]; [`Error::Source`] if the model's
    /// file changed; [`Error::Io`] from the state.
    pub fn run(
        &self,
        state: &mut State,
        progress: &dyn Progress,
        cancel: &Cancel,
    ) -> Result<Outcome, Error> {
        let (total, known) = (self.questions.len() as u64, self.known(state) as u64);
        let name = self.asked.model.name();
        progress.event(Event::Started { total, known });
        progress.event(Event::Next { name, total, known });
        let mut sums = [0; 4];
        for (done, (question, key)) in self.questions.iter().zip(&self.keys).enumerate() {
            let known = state.get(*key, 0).map(|record| record.sums.clone());
            let is_new = known.is_none();
            let answer = match known {
                Some(answer) => answer,
                None if cancel.is_set() => return Err(Error::Cancelled),
                None => {
                    let answer = ask(self.asked, question, self.before(question))?.to_vec();
                    let record = Record {
                        sums: answer.clone(),
                        values: Vec::new(),
                    };
                    state.insert(*key, 0, record)?;
                    answer
                }
            };
            for (sum, term) in sums.iter_mut().zip(answer) {
                *sum += term as u64;
            }
            if is_new {
                let so_far = stats::share(sums[0], done as u64 + 1);
                progress.event(Event::Advanced {
                    name,
                    count: 1,
                    figure: Some(so_far.figure(Figure::Accuracy)),
                });
            }
        }
        let share = |hits| stats::share(hits, self.questions.len() as u64);
        let [acc, acc_norm, acc_token, cut] = sums;
        Ok(Outcome {
            questions: self.questions.len(),
            shots: self.shot_count,
            acc: share(acc),
            acc_norm: share(acc_norm),
            acc_token: share(acc_token),
            cut: cut as usize,
        })
    }
}

/// What tells a question to a model from others: everything that its answer depends on.
fn key(asked: Asked<'_>, question: &Question, shots: &str) -> u64 {
    let mut hash = Sha256::new();
    let mut add = |text: &str| {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text);
    };
    add(asked.mark);
    add(&question.preamble);
    add(shots);
    for choice in &question.choices {
        add(&choice.context);
        add(&choice.ending);
    }
    hash.update((question.answer as u64).to_le_bytes());
    fingerprint::key(&aeolus_source::hex(&hash.finalize()))
}

/// 1 or 0: whether the right choice has the highest log-likelihood, the highest over its
/// characters, the highest over its tokens; and whether the prompt was cut.
fn ask(asked: Asked<'_>, question: &Question, shots: &str) -> Result<[f64; 4], Error> {
    let model = asked.model;
    let prompts = Prompts::new(question, shots, asked.encode, model.context());
    let endings = model.endings(&prompts.sequences, &prompts.starts)?;
    model.verify_unchanged()?;
    let sums: Vec<f64> = endings.iter().map(|e| e.iter().sum()).collect();
    let over = |lengths: Vec<usize>| -> Vec<f64> {
        let pairs = sums.iter().zip(lengths);
        pairs.map(|(sum, n)| sum / n.max(1) as f64).collect()
    };
    // The space before an ending is the prompt's way, not the choice's.
    let choices = question.choices.iter();
    let chars = over(choices.map(|c| c.ending.chars().skip(1).count()).collect());
    let tokens = over(endings.iter().map(Vec::len).collect());
    let is_right = |scores: &[f64]| f64::from(u8::from(best(scores) == question.answer));
    Ok([
        is_right(&sums),
        is_right(&chars),
        is_right(&tokens),
        f64::from(u8::from(prompts.cut)),
    ])
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
