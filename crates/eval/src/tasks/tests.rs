use super::*;
use crate::State;
use crate::scorer::Scorer;
use aeolus_job::Cancel;
use std::ops::Range;
use std::sync::Mutex;

fn parsed(task: Task, name: &str, text: &str) -> Vec<Question> {
    parse(task, Path::new(name), text).unwrap()
}

fn message(task: Task, text: &str) -> String {
    parse(task, Path::new("q.txt"), text)
        .unwrap_err()
        .to_string()
}

fn endings(question: &Question) -> Vec<&str> {
    question.choices.iter().map(|c| c.ending.as_str()).collect()
}

#[test]
fn hellaswag_reads_both_forms_and_cleans_captions() {
    let json =
        r#"{"activity_label": "Baking", "ctx_a": "A cook [header] stands.", "ctx_b": "the COOK",
        "endings": ["bakes  bread.", "[substeps] sleeps.", "a", "b"], "label": 1}"#
            .replace('\n', " ");
    let question = &parsed(Task::HellaSwag, "h.jsonl", &json)[0];
    assert_eq!(
        question.choices[0].context,
        "Baking: A cook stands. The cook"
    );
    assert_eq!(
        endings(question),
        [" bakes bread.", "  sleeps.", " a", " b"]
    );
    assert_eq!(question.answer, 1);
    let titled = r#"{"activity_label": "X", "ctx": "How [title] Do it", "endings": ["a", "b"], "label": "0"}"#;
    let question = &parsed(Task::HellaSwag, "h.jsonl", titled)[0];
    assert_eq!(question.choices[1].context, "X: How. Do it");

    let lines = "Baking: A cook\n3\na\nb\nc\nd\nRunning: A man\n0\ne\nf\ng\nh\n";
    let questions = parsed(Task::HellaSwag, "h.txt", lines);
    assert_eq!(questions.len(), 2);
    assert_eq!(questions[0].answer, 3);
    assert_eq!(questions[1].choices[0].context, "Running: A man");
    assert_eq!(endings(&questions[1]), [" e", " f", " g", " h"]);
    assert!(message(Task::HellaSwag, "a\n0\nb\n").contains("line 1: 3 lines, 6"));
    assert!(message(Task::HellaSwag, "a\n4\nb\nc\nd\ne\n").contains("line 2"));
}

#[test]
fn arc_reads_both_forms() {
    let ai2 = r#"{"id": "1", "question": {"stem": "Why?", "choices": [{"text": "so", "label": "1"},
        {"text": "thus", "label": "2"}, {"text": "no", "label": "3"}]}, "answerKey": "2"}"#
        .replace('\n', " ");
    let hub = r#"{"id": "1", "question": "Why?", "choices": {"text": ["so", "thus", "no"], "label": ["A", "B", "C"]}, "answerKey": "B"}"#;
    let questions = parsed(Task::Arc, "a.jsonl", &format!("{ai2}\n\n{hub}\n"));
    assert_eq!(questions.len(), 2);
    assert_eq!(questions[0], questions[1]);
    assert_eq!(questions[0].choices[0].context, "Question: Why?\nAnswer:");
    assert_eq!(questions[0].answer, 1);
    let wrong = hub.replace("\"B\"}", "\"E\"}");
    let found = message(Task::Arc, &format!("{hub}\n{wrong}"));
    assert!(
        found.contains("line 2") && found.contains("\"E\""),
        "{found}"
    );
    assert!(message(Task::Arc, "{").contains("line 1: is not JSON"));
}

#[test]
fn mmlu_reads_both_forms() {
    let csv = "\"What is 2, really?\nSay \"\"two\"\".\",1,2,3,4,B\r\nSky?,red,blue,green,black,B\n";
    let questions = parsed(Task::Mmlu, "data/college_physics_test.csv", csv);
    assert_eq!(questions.len(), 2);
    assert_eq!(
        questions[0].preamble,
        "The following are multiple choice questions (with answers) about college physics.\n\n"
    );
    assert_eq!(
        questions[0].choices[0].context,
        "What is 2, really?\nSay \"two\".\nA. 1\nB. 2\nC. 3\nD. 4\nAnswer:"
    );
    assert_eq!(endings(&questions[1]), [" A", " B", " C", " D"]);
    let json = r#"{"question": "Sky?", "subject": "college_physics", "choices": ["red", "blue", "green", "black"], "answer": 1}"#;
    assert_eq!(parsed(Task::Mmlu, "x.jsonl", json)[0], questions[1]);
    let letter = json.replace("\"answer\": 1", "\"answer\": \"B\"");
    assert_eq!(parsed(Task::Mmlu, "x.jsonl", &letter)[0], questions[1]);
    assert!(message(Task::Mmlu, "Sky?,a,b,c,d,A\nSky?,a,b,c,d,E\n").contains("line 2"));
    assert!(message(Task::Mmlu, "Sky?,a,b,B\n").contains("2 answers, 4"));
    assert!(message(Task::Mmlu, "\"Sky?\n,a").contains("does not end"));
    assert!(message(Task::Mmlu, &json.replace('1', "4")).contains("from 0 to 3"));
}

#[test]
fn winogrande_puts_each_name_into_the_gap() {
    let json = r#"{"sentence": "Ann thanked Bob, for _ had helped.", "option1": "Ann", "option2": "Bob", "answer": "2"}"#;
    let csv = "0,\"Ann thanked Bob, for _ had helped.\",Ann,Bob,2\n";
    let question = &parsed(Task::Winogrande, "w.jsonl", json)[0];
    assert_eq!(question, &parsed(Task::Winogrande, "w.csv", csv)[0]);
    assert_eq!(question.choices[0].context, "Ann thanked Bob, for Ann");
    assert_eq!(question.choices[1].context, "Ann thanked Bob, for Bob");
    assert_eq!(endings(question), [" had helped.", " had helped."]);
    assert_eq!(question.answer, 1);
    assert!(message(Task::Winogrande, "0,no gap,a,b,1\n").contains("no gap"));
    assert!(message(Task::Winogrande, "0,a _ b,a,b,3\n").contains("from 1 to 2"));
    assert!(message(Task::Winogrande, "0,a _ b,a,b\n").contains("4 fields, 5"));
}

#[test]
fn files_without_questions_say_so() {
    for task in [Task::HellaSwag, Task::Arc, Task::Mmlu, Task::Winogrande] {
        assert!(message(task, "").contains("holds no question"));
    }
}

/// Every byte is a token; BOS is 0. Likelihoods are looked up by ending.
struct Table {
    /// Log-likelihood of each token of an ending.
    table: Vec<(&'static str, f64)>,
    context: usize,
    prompts: Mutex<Vec<String>>,
}

fn bytes(text: &str) -> Vec<u32> {
    std::iter::once(0)
        .chain(text.bytes().map(u32::from))
        .collect()
}

fn text(tokens: &[u32]) -> String {
    tokens
        .iter()
        .filter(|t| **t > 0)
        .map(|t| char::from(*t as u8))
        .collect()
}

impl Scorer for Table {
    fn name(&self) -> &str {
        "table"
    }
    fn vocab(&self) -> usize {
        256
    }
    fn width(&self) -> usize {
        1
    }
    fn context(&self) -> usize {
        self.context
    }
    fn verify_unchanged(&self) -> Result<(), Error> {
        Ok(())
    }
    fn windows(
        &self,
        _: &[Vec<u32>],
        _: Range<usize>,
        _: &(dyn Fn(usize, &[f32]) + Sync),
    ) -> Result<(), Error> {
        unreachable!("tasks have no windows")
    }
    fn endings(&self, sequences: &[Vec<u32>], starts: &[usize]) -> Result<Vec<Vec<f64>>, Error> {
        let mut prompts = self.prompts.lock().unwrap();
        let pairs = sequences.iter().zip(starts);
        Ok(pairs
            .map(|(sequence, &start)| {
                let ending = text(&sequence[start..]);
                prompts.push(text(&sequence[..start]));
                let found = self.table.iter().find(|(e, _)| *e == ending);
                let each = found.unwrap_or_else(|| panic!("{ending:?}")).1;
                vec![each; sequence.len() - start]
            })
            .collect())
    }
}

fn ask(
    table: &[(&'static str, f64)],
    context: usize,
    questions: &[Question],
    options: &TaskOptions,
) -> (Result<Outcome, Error>, Vec<String>) {
    let model = Table {
        table: table.to_vec(),
        context,
        prompts: Mutex::default(),
    };
    let mut state = State::in_memory();
    let outcome = asked(&model, questions, options, &mut state, &Cancel::new());
    (outcome, model.prompts.into_inner().unwrap())
}

fn asked(
    model: &Table,
    questions: &[Question],
    options: &TaskOptions,
    state: &mut State,
    cancel: &Cancel,
) -> Result<Outcome, Error> {
    let asked = Asked {
        model,
        mark: "f",
        encode: &bytes,
    };
    Round::new(asked, questions, options)?.run(state, &(), cancel)
}

#[test]
fn scores_are_those_computed_by_hand() {
    // Tokens are bytes, so an ending has one token more than characters: the space.
    //   " a"    2 tokens of -2.0 = -4.0   over 1 character -4.0    over 2 tokens -2.0
    //   " bbbb" 5 tokens of -1.0 = -5.0   over 4 characters -1.25  over 5 tokens -1.0
    //   " cc"   3 tokens of -1.5 = -4.5   over 2 characters -2.25  over 3 tokens -1.5
    let table = [(" a", -2.0), (" bbbb", -1.0), (" cc", -1.5)];
    let line = |key: &str| {
        format!(
            r#"{{"question": "Q", "choices": {{"text": ["a", "bbbb", "cc"], "label": ["A", "B", "C"]}}, "answerKey": "{key}"}}"#
        )
    };
    let file = [line("A"), line("B"), line("B"), line("C")].join("\n");
    let questions = parsed(Task::Arc, "a.jsonl", &file);
    let (outcome, prompts) = ask(&table, 99, &questions, &TaskOptions::default());
    let outcome = outcome.unwrap();
    assert_eq!(outcome.questions, 4);
    assert_eq!(outcome.acc.value, 0.25, "sums take a");
    assert_eq!(outcome.acc_norm.value, 0.5, "characters take bbbb");
    assert_eq!(outcome.acc_token.value, 0.5, "tokens take bbbb");
    assert_eq!(outcome.acc.error, (0.25f64 * 0.75 / 3.0).sqrt());
    assert_eq!(outcome.score(Task::Arc), outcome.acc_norm);
    assert_eq!(outcome.score(Task::Mmlu), outcome.acc);
    assert!(prompts.iter().all(|p| p == "Question: Q\nAnswer:"));
}

#[test]
fn length_decides_between_characters_and_tokens() {
    // Seven characters in eight tokens of -1 against one character in two tokens of -1.2:
    //   sum -8.0, over characters -8/7 = -1.14, over tokens -1.0
    //   sum -2.4, over characters -2.4,         over tokens -1.2
    let table = [(" ddddddd", -1.0), (" e", -1.2)];
    let file = "x\n0\nddddddd\ne\ne\ne\n";
    let questions = parsed(Task::HellaSwag, "h.txt", file);
    let (outcome, _) = ask(&table, 99, &questions, &TaskOptions::default());
    let outcome = outcome.unwrap();
    assert_eq!(outcome.acc.value, 0.0);
    assert_eq!(outcome.acc_norm.value, 1.0);
    assert_eq!(outcome.acc_token.value, 1.0);
    assert_eq!(outcome.acc.error, 0.0, "one question has no spread");
}

#[test]
fn shots_come_before_the_question_and_are_not_asked() {
    let csv = "Q1?,a,b,c,d,B\nQ2?,a,b,c,d,A\nQ3?,a,b,c,d,D\n";
    let questions = parsed(Task::Mmlu, "space_test.csv", csv);
    let table = [(" A", -1.0), (" B", -2.0), (" C", -2.0), (" D", -2.0)];
    let options = TaskOptions {
        shots: 2,
        ..TaskOptions::default()
    };
    let (outcome, prompts) = ask(&table, 999, &questions, &options);
    let outcome = outcome.unwrap();
    assert_eq!((outcome.questions, outcome.acc.value), (1, 0.0));
    let preamble = "The following are multiple choice questions (with answers) about space.\n\n";
    let listed = "A. a\nB. b\nC. c\nD. d\nAnswer:";
    let expected = format!("{preamble}Q1?\n{listed} B\n\nQ2?\n{listed} A\n\nQ3?\n{listed}");
    assert_eq!(prompts, [expected.as_str(); 4]);

    let from = TaskOptions {
        shots: 1,
        shots_from: Some(parsed(Task::Mmlu, "space_dev.csv", "Dev?,a,b,c,d,C\n")),
        limit: Some(2),
    };
    let (outcome, prompts) = ask(&table, 999, &questions, &from);
    let outcome = outcome.unwrap();
    assert_eq!((outcome.questions, outcome.acc.value), (2, 0.5));
    assert!(prompts[0].starts_with(&format!("{preamble}Dev?\n{listed} C\n\nQ1?")));

    let all = TaskOptions {
        shots: 3,
        ..TaskOptions::default()
    };
    let (none, _) = ask(&table, 999, &questions, &all);
    assert!(none.unwrap_err().to_string().contains("none is left"));
    let other = TaskOptions {
        shots: 1,
        shots_from: Some(parsed(Task::Mmlu, "time_dev.csv", "Dev?,a,b,c,d,C\n")),
        limit: None,
    };
    let (few, _) = ask(&table, 999, &questions, &other);
    let few = few.unwrap_err().to_string();
    assert!(few.contains("0 questions of space"), "{few}");
}

#[test]
fn a_prompt_longer_than_the_context_loses_its_beginning() {
    let questions = parsed(Task::Winogrande, "w.csv", "0,abcdefgh _ ij,X,Y,2\n");
    let table = [(" ij", -1.0)];
    // BOS, "abcdefgh X", " ij": 14 tokens, 13 of them read.
    let (outcome, prompts) = ask(&table, 13, &questions, &TaskOptions::default());
    assert_eq!(outcome.unwrap().cut, 0);
    assert_eq!(prompts[1], "abcdefgh Y");
    let (outcome, prompts) = ask(&table, 6, &questions, &TaskOptions::default());
    let outcome = outcome.unwrap();
    assert_eq!(outcome.cut, 1);
    assert_eq!(prompts, ["gh X", "gh Y"]);
    assert_eq!(outcome.acc.value, 0.0, "of equals the first is taken");
}

#[test]
fn an_interrupt_ends_the_questions() {
    let questions = parsed(Task::Winogrande, "w.csv", "0,a _ b,X,Y,2\n");
    let cancel = Cancel::new();
    cancel.set();
    let model = Table {
        table: vec![],
        context: 9,
        prompts: Mutex::default(),
    };
    let (options, mut state) = (TaskOptions::default(), State::in_memory());
    let found = asked(&model, &questions, &options, &mut state, &cancel);
    assert!(matches!(found, Err(Error::Cancelled)));
}

#[test]
fn answers_are_kept_and_not_asked_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state");
    let questions = parsed(
        Task::Winogrande,
        "w.csv",
        "0,a _ b,X,Y,1\n1,c _ d,X,Y,2\n2,abcdefgh _ d,X,Y,1\n",
    );
    let answered = |questions: &[Question], options: &TaskOptions| {
        let mut state = State::open(&path, &describe("exact")).unwrap();
        let model = Table {
            table: vec![(" b", -1.0), (" d", -2.0)],
            context: 6,
            prompts: Mutex::default(),
        };
        let outcome = asked(&model, questions, options, &mut state, &Cancel::new());
        (outcome.unwrap(), model.prompts.into_inner().unwrap().len())
    };
    let options = TaskOptions::default();
    let (first, asked) = answered(&questions[..2], &options);
    assert_eq!((first.questions, first.acc.value, asked), (2, 0.5, 4));
    let (all, asked) = answered(&questions, &options);
    assert_eq!(asked, 2, "the third question's choices");
    assert_eq!((all.questions, all.cut), (3, 1));
    let (again, asked) = answered(&questions, &options);
    assert_eq!((&again, asked), (&all, 0));
    // With a shot before it, it is another question.
    let shots = TaskOptions {
        shots: 1,
        ..TaskOptions::default()
    };
    assert_eq!(answered(&questions, &shots).1, 4);
    let known = |questions: &[Question]| {
        let model = Table {
            table: Vec::new(),
            context: 6,
            prompts: Mutex::default(),
        };
        let state = State::open(&path, &describe("exact")).unwrap();
        let asked = Asked {
            model: &model,
            mark: "f",
            encode: &bytes,
        };
        Round::new(asked, questions, &options)
            .unwrap()
            .known(&state)
    };
    assert_eq!(known(&questions[1..]), 2);
    let others = parsed(Task::Winogrande, "w.csv", "0,e _ f,X,Y,1\n");
    assert_eq!(known(&others), 0);
    let other = State::open(&path, &describe("fast")).unwrap_err();
    assert!(other.to_string().contains("its numeric is"), "{other}");
}
