//! Multiple-choice questions through the real binary; how they are scored is tested where it is
//! done, by hand-computed answers.

use crate::support::{aeolus, arg, fails, fixture, ok};
use aeolus_infer::{CacheType, EncodeOptions, Model, Numeric, Runtime, Tokenizer};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// notus-mini as a file, and the folder it is in.
fn model() -> (tempfile::TempDir, PathBuf) {
    let out = tempfile::tempdir().unwrap();
    let model = fixture("notus-mini");
    let dir = arg(out.path());
    ok(["convert", arg(&model), "--type", "f16", "-o", dir, "-q"]);
    let path = out.path().join("notus-mini.F16.gguf");
    (out, path)
}

fn write(dir: &Path, name: &str, text: &str) -> PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

/// Log-likelihood of the end of a text, from whole sequences; and its number of tokens.
fn log_likelihood(model: &Path, prompt: &str, ending: &str) -> (f64, usize) {
    let model = Model::open(model).unwrap();
    let tokenizer = Tokenizer::from_metadata(model.metadata()).unwrap();
    let runtime = Runtime::new(1, Numeric::Exact).unwrap();
    let options = EncodeOptions {
        add_special: true,
        parse_special: false,
    };
    let start = tokenizer.encode(prompt, options).len();
    let tokens = tokenizer.encode(&format!("{prompt}{ending}"), options);
    let mut cache = model.cache(tokens.len(), CacheType::F32).unwrap();
    let logits = runtime
        .forward(&model, &tokens, &mut cache, 0..tokens.len())
        .unwrap();
    let sum = (start..tokens.len())
        .map(|i| {
            let row = logits.row(i - 1);
            let total: f64 = row.iter().map(|l| f64::from(*l).exp()).sum();
            f64::from(row[tokens[i] as usize]) - total.ln()
        })
        .sum();
    (sum, tokens.len() - start)
}

/// The first of the highest.
fn best(scores: Vec<f64>) -> usize {
    (0..scores.len()).fold(0, |best, i| if scores[i] > scores[best] { i } else { best })
}

#[test]
fn the_likeliest_choice_is_the_answer() {
    let (dir, path) = model();
    let questions = [
        (
            "The old man",
            [
                "said nothing at all.",
                "green.",
                "xylophone quarterly",
                "and the",
            ],
        ),
        (
            "She took",
            [
                "his hand",
                "of of of of",
                "a",
                "the letter from the table and read it",
            ],
        ),
        (
            "It was a dark",
            ["night", "and stormy night", "zzz", "dog dog dog"],
        ),
    ];
    // What the model should say, by sums, over characters and over tokens.
    let said: Vec<[usize; 3]> = questions
        .iter()
        .map(|(stem, choices)| {
            let prompt = format!("Question: {stem}\nAnswer:");
            let found: Vec<(f64, f64, f64)> = choices
                .iter()
                .map(|choice| {
                    let (sum, tokens) = log_likelihood(&path, &prompt, &format!(" {choice}"));
                    let chars = choice.chars().count() as f64;
                    (sum, sum / chars, sum / tokens as f64)
                })
                .collect();
            [
                best(found.iter().map(|f| f.0).collect()),
                best(found.iter().map(|f| f.1).collect()),
                best(found.iter().map(|f| f.2).collect()),
            ]
        })
        .collect();
    println!("{said:?}");
    assert!(said.iter().any(|s| s[0] != s[1]), "lengths should matter");
    let labels = ["A", "B", "C", "D"];
    for key in 0..4 {
        let lines: String = questions
            .iter()
            .map(|(stem, choices)| {
                let question = json!({
                    "question": stem,
                    "choices": { "text": choices, "label": labels },
                    "answerKey": labels[key],
                });
                format!("{question}\n")
            })
            .collect();
        let file = write(dir.path(), "arc.jsonl", &lines);
        let found = ok(["tasks", arg(&path), "--arc", arg(&file), "--json"]);
        let found: Value = serde_json::from_str(&found).unwrap();
        let task = &found["tasks"][0];
        assert_eq!(task["task"], "arc");
        assert_eq!(task["metric"], "acc_norm");
        for (way, name) in ["acc", "acc_norm", "acc_token"].iter().enumerate() {
            let expected = said.iter().filter(|s| s[way] == key).count() as f64 / 3.0;
            assert_eq!(task[name]["value"], expected, "{name} for answer {key}");
        }
        assert_eq!(task["score"], task["acc_norm"]);
    }
}

#[test]
fn several_tasks_in_one_run() {
    let (dir, path) = model();
    let dir = dir.path();
    let lines = "A man: He walks\n0\ndown the road.\nup the sky.\nx\ny\nB: She\n1\na\nb\nc\nd\n";
    let hellaswag = write(dir, "h.txt", lines);
    let lines = "Q?,a,b,c,d,A\nR?,a,b,c,d,B\nS?,a,b,c,d,C\n";
    let mmlu = write(dir, "law_test.csv", lines);
    let line = r#"{"sentence": "Ann called Bob because _ was late.", "option1": "Ann", "option2": "Bob", "answer": "2"}"#;
    let winogrande = write(dir, "w.jsonl", line);
    let args = [
        "tasks",
        arg(&path),
        "--hellaswag",
        arg(&hellaswag),
        "--mmlu",
        arg(&mmlu),
        "--winogrande",
        arg(&winogrande),
    ];
    let table = ok(args);
    for name in ["hellaswag", "mmlu", "winogrande", "acc_norm"] {
        assert!(table.contains(name), "{table}");
    }
    let csv = ok([&args[..], &["--csv"]].concat());
    assert_eq!(csv.lines().count(), 4, "{csv}");
    let first = csv.lines().nth(1).unwrap();
    assert!(first.starts_with("hellaswag,"), "{csv}");

    let mmlu_with = |flags: &[&str]| -> Value {
        let mut args = vec!["tasks", arg(&path), "--mmlu", arg(&mmlu), "--json"];
        args.extend(flags);
        let found: Value = serde_json::from_str(&ok(args)).unwrap();
        found["tasks"][0].clone()
    };
    let shots = mmlu_with(&["--shots", "2"]);
    assert_eq!(shots["questions"], 1, "two of three are shown");
    assert_eq!(shots["shots"], 2);
    assert_eq!(mmlu_with(&["--limit", "2"])["questions"], 2);
    let dev = write(dir, "law_dev.csv", "D?,a,b,c,d,D\n");
    let shown = mmlu_with(&["--shots", "1", "--shots-from", arg(&dev)]);
    assert_eq!(shown["questions"], 3, "none of its own is shown");
}

#[test]
fn answers_are_kept_and_a_run_goes_on_from_them() {
    let (dir, path) = model();
    let lines: String = (0..5)
        .map(|i| format!("Q{i}?,a,b,c,d,{}\n", ["A", "B", "C", "D"][i % 4]))
        .collect();
    let mmlu = write(dir.path(), "law_test.csv", &lines);
    let state = dir.path().join("tasks.state");
    let run = |more: &[&str]| {
        let mut args = vec!["tasks", arg(&path), "--mmlu", arg(&mmlu), "--json"];
        args.extend(more);
        ok(args)
    };
    let whole = run(&[]);
    let kept = ["--state", arg(&state)];
    run(&[&kept[..], &["--limit", "2"]].concat());
    let some = std::fs::metadata(&state).unwrap().len();
    assert_eq!(run(&kept), whole);
    let all = std::fs::metadata(&state).unwrap().len();
    assert!(all > some);
    assert_eq!(run(&kept), whole);
    assert_eq!(
        std::fs::metadata(&state).unwrap().len(),
        all,
        "nothing was asked again"
    );
    // A task that is new to it comes first; what it has is of use all the same.
    let told = |more: &[&str]| {
        let args = ["tasks", arg(&path), "--state", arg(&state)];
        let run = aeolus([&args[..], more].concat());
        assert!(run.status.success(), "{run:?}");
        String::from_utf8(run.stderr).unwrap()
    };
    let nothing = "nothing in it is of this run";
    let other = write(dir.path(), "h.txt", "x\n0\nd\ne\nf\ng\n");
    let goes_on = told(&["--hellaswag", arg(&other), "--mmlu", arg(&mmlu)]);
    assert!(!goes_on.contains(nothing), "{goes_on}");
    let last = write(dir.path(), "i.txt", "y\n0\nd\ne\nf\ng\n");
    let begins = told(&["--hellaswag", arg(&last)]);
    assert_eq!(begins.matches(nothing).count(), 1, "{begins}");
    let text = fixture("text/heldout.txt");
    let message = fails([
        "perplexity",
        arg(&path),
        "-f",
        arg(&text),
        "--state",
        arg(&state),
    ]);
    assert!(message.contains("its kind is tasks"), "{message}");
}

#[test]
fn questions_that_cannot_be_read_name_their_line() {
    let dir = tempfile::tempdir().unwrap();
    let model = fixture("notus-mini");
    let bad = write(dir.path(), "bad.csv", "Q?,a,b,c,d,A\nR?,a,b,c,d,E\n");
    let message = fails(["tasks", arg(&model), "--mmlu", arg(&bad)]);
    assert!(message.contains("bad.csv: line 2"), "{message}");
    let message = fails(["tasks", arg(&model), "--arc", "no/such.jsonl"]);
    assert!(message.contains("no/such.jsonl"), "{message}");
    let few = write(dir.path(), "few_test.csv", "Q?,a,b,c,d,A\n");
    let message = fails(["tasks", arg(&model), "--mmlu", arg(&few), "--shots", "1"]);
    assert!(message.contains("none is left to ask"), "{message}");
    let run = aeolus(["tasks", arg(&model)]);
    assert_eq!(run.status.code(), Some(2), "no task is no success");
}
