//! Text in, text out: what a prompt gets around it, what ends an answer, and what is said of files
//! and command lines that ask for something else.

use crate::support::{
    aeolus, arg, command, copy_folder, fails, fixture, json_fixture, ok, piped, refusal,
};
use aeolus_gguf::{Endian, GgufFile, HeaderSpec, Layout, Metadata, TensorSpec};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

type Edit<'e> = &'e dyn Fn(&mut Metadata<'static>, &mut BTreeMap<String, Vec<u8>>);

/// notus-mini as Q8_0, and again with other metadata or other bytes of its tensors.
fn models(edit: Edit<'_>) -> (tempfile::TempDir, PathBuf, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.gguf");
    let source = fixture("notus-mini");
    ok([
        "quantize",
        arg(&source),
        "--type",
        "q8_0",
        "-q",
        "-o",
        arg(&path),
    ]);
    let file = GgufFile::open(&path).unwrap();
    let mut metadata = file.metadata().clone().into_owned();
    let tensors = file.tensors();
    let bytes = |t| file.tensor_bytes(t).to_vec();
    let mut contents = tensors.iter().map(|t| (t.name.clone(), bytes(t))).collect();
    edit(&mut metadata, &mut contents);
    let specs = tensors.iter().map(|t| TensorSpec {
        name: t.name.clone(),
        shape: t.shape,
        ty: t.ty,
    });
    let layout = Layout::new(HeaderSpec {
        version: 3,
        endian: Endian::Little,
        metadata,
        tensors: specs.collect(),
    })
    .unwrap();
    let mut out = vec![0; layout.file_bytes() as usize];
    let header = layout.encode_header();
    out[..header.len()].copy_from_slice(&header);
    for (i, tensor) in tensors.iter().enumerate() {
        let (start, bytes) = (layout.tensor_offset(i) as usize, &contents[&tensor.name]);
        out[start..start + bytes.len()].copy_from_slice(bytes);
    }
    let edited = dir.path().join("edited.gguf");
    std::fs::write(&edited, out).unwrap();
    (dir, path, edited)
}

fn base() -> (tempfile::TempDir, PathBuf) {
    let (dir, path, _) = models(&|_, _| {});
    (dir, path)
}

fn json_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// What is said on stderr by a run that ends well.
fn said(args: &[&str]) -> String {
    let output = aeolus(args);
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{args:?}: {message}");
    message
}

/// A greedy run as JSON, and what it said.
fn run(path: &Path, more: &[&str]) -> (Value, String) {
    let args = [&["run", arg(path), "-n", "6", "--json"], more].concat();
    let args = match more.contains(&"--temp") {
        true => args,
        false => [&args[..], &["--temp", "0"]].concat(),
    };
    let output = aeolus(&args);
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{args:?}: {message}");
    (json_of(&String::from_utf8(output.stdout).unwrap()), message)
}

#[test]
fn a_file_that_asks_for_an_end_token_gets_none_in_what_is_continued_or_scored() {
    let (dir, plain, sft) = models(&|metadata, _| {
        metadata.insert("tokenizer.ggml.add_eos_token", true);
    });
    let old_man = ["-p", "The old man"];
    let (a, b) = (run(&plain, &old_man).0, run(&sft, &old_man).0);
    assert_eq!(b["prompt_ids"], json!([1, 397, 633, 453]));
    assert_eq!(a["ids"], b["ids"]);
    let chat = |path: &Path| {
        let args = ["chat", arg(path), "--temp", "0", "-n", "8", "-q"];
        piped(args, "Good morning.\n").stdout
    };
    assert_eq!(chat(&plain), chat(&sft));
    let text = fixture("text/heldout.txt");
    let questions = dir.path().join("arc.jsonl");
    let question = r#"{"question": {"stem": "The old man", "choices": [{"label": "A", "text": "went home"}, {"label": "B", "text": "zzz of"}]}, "answerKey": "A"}"#;
    std::fs::write(&questions, question).unwrap();
    for more in [
        &["perplexity", "-f", arg(&text), "--chunks", "1"][..],
        &["tasks", "--arc", arg(&questions)],
    ] {
        let figures = |path: &Path| {
            let args = [more, &[arg(path), "-q", "--csv"]].concat();
            let out = ok(args).replace(arg(path), "");
            out.lines().map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(figures(&plain), figures(&sft));
    }
    // This is where one sees what the file asks for.
    let ids = ["tokenize", arg(&sft), "The old man", "--ids"];
    assert_eq!(ok(ids), "1,397,633,453,2\n");
}

#[test]
fn a_text_that_begins_with_the_start_token_gets_no_second_one_and_it_is_said() {
    let (_dir, path) = base();
    let (twice, message) = run(&path, &["-p", "<s>The old man"]);
    assert_eq!(twice["prompt_ids"], json!([1, 397, 633, 453]));
    assert!(message.contains("begins with <s> already"), "{message}");
    let (_, message) = run(&path, &["-p", "The old man"]);
    assert!(!message.contains("begins with"), "{message}");
    let special = ["tokenize", arg(&path), "<s>hi", "--special", "--ids"];
    assert_eq!(ok(special), ok(["tokenize", arg(&path), "hi", "--ids"]));
    assert!(said(&special).contains("begins with <s> already"));
    // Where control tokens are not read it is text.
    assert!(!said(&special[..3]).contains("begins with"));
}

#[test]
fn tokens_of_the_end_keys_end_an_answer_unless_eos_is_ignored() {
    // What greedy decoding takes first.
    for key in ["eot", "eom", "eos"] {
        let key = format!("tokenizer.ggml.{key}_token_id");
        let (_dir, _, path) = models(&|metadata, _| {
            metadata.insert(key.clone(), 4034_u32);
        });
        let (ended, _) = run(&path, &["-p", "The old man"]);
        assert_eq!(
            (&ended["stop_reason"], &ended["text"]),
            (&json!("end"), &json!("")),
            "{key}"
        );
        let (on, _) = run(&path, &["-p", "The old man", "--ignore-eos"]);
        assert_eq!(on["stop_reason"], "max_tokens", "{key}");
    }
}

#[test]
fn a_special_token_beyond_the_vocabulary_is_warned_of_once() {
    let (_dir, _, path) = models(&|metadata, _| {
        metadata.insert("tokenizer.ggml.eos_token_id", 99_999_u32);
        metadata.insert("tokenizer.ggml.padding_token_id", -1_i32);
    });
    let text = fixture("text/heldout.txt");
    for args in [
        &["run", arg(&path), "-p", "x", "-n", "1"][..],
        &["tokenize", arg(&path), "x"],
        &["perplexity", arg(&path), "-f", arg(&text), "--chunks", "1"],
        &[
            "compare",
            arg(&path),
            arg(&path),
            "-f",
            arg(&text),
            "--chunks",
            "1",
        ],
    ] {
        let message = said(args);
        let warning = "edited.gguf: tokenizer.ggml.eos_token_id is 99999";
        assert_eq!(message.matches(warning).count(), 1, "{args:?}: {message}");
        assert!(!message.contains("padding"), "{message}");
    }
    let chat = piped(["chat", arg(&path), "-n", "1"], "Hi\n");
    let message = String::from_utf8(chat.stderr).unwrap();
    assert!(message.contains("eos_token_id is 99999"), "{message}");
}

#[test]
fn special_tokens_that_are_listed_twice_stay_out_of_a_message() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("old");
    copy_folder(&fixture("notus-mini"), &folder);
    let listed = json!({ "<unk>": 0, "<s>": 1, "</s>": 2 });
    std::fs::write(folder.join("added_tokens.json"), listed.to_string()).unwrap();
    let mut config = json_fixture("notus-mini/tokenizer_config.json");
    config
        .as_object_mut()
        .unwrap()
        .remove("added_tokens_decoder");
    std::fs::write(folder.join("tokenizer_config.json"), config.to_string()).unwrap();
    let path = dir.path().join("old.gguf");
    ok([
        "convert",
        arg(&folder),
        "--type",
        "bf16",
        "-q",
        "-o",
        arg(&path),
    ]);
    let ids = ok(["tokenize", arg(&path), "hello</s><unk>", "--ids"]);
    let ids: Vec<&str> = ids.trim().split(',').collect();
    assert!(!ids.contains(&"2") && !ids.contains(&"0"), "{ids:?}");
    let ids = ok(["tokenize", arg(&path), "hello</s>", "--ids", "--special"]);
    assert!(ids.ends_with(",2\n"), "{ids}");
}

#[test]
fn a_seed_that_is_reported_can_be_given_back() {
    let (_dir, path) = base();
    let warm = ["-p", "The old man", "--temp", "1.5"];
    for seed in [None, Some("-1"), Some("18446744073709551615")] {
        let more: Vec<&str> = seed.into_iter().flat_map(|seed| ["-s", seed]).collect();
        let (first, _) = run(&path, &[&warm[..], &more].concat());
        let reported = first["seed"].as_u64().unwrap();
        assert!(seed == Some("18446744073709551615") || u32::try_from(reported).is_ok());
        let reported = reported.to_string();
        let (again, _) = run(&path, &[&warm[..], &["-s", &reported]].concat());
        assert_eq!(again["ids"], first["ids"], "{reported}");
    }
    let message = fails(["run", arg(&path), "-p", "x", "-s", "-2"]);
    assert!(
        message.contains("--seed") && message.contains("-1"),
        "{message}"
    );
    // Below zero is as cold as zero.
    let cold = run(&path, &["-p", "The old man", "--temp", "-1"]).0;
    assert_eq!(cold["ids"], run(&path, &["-p", "The old man"]).0["ids"]);
}

#[test]
fn a_question_longer_than_the_context_is_an_error_from_a_pipe() {
    let (_dir, path) = base();
    let long = "The old man went home. ".repeat(40) + "\n";
    for command in ["run", "chat"] {
        let message = refusal(piped([command, arg(&path), "-c", "64"], &long));
        for part in ["model.gguf", "-c", "64", "context is full"] {
            assert!(message.contains(part), "{command}: {message}");
        }
    }
}

#[test]
fn damaged_weights_are_the_same_error_in_both_modes() {
    let (dir, _, path) = models(&|_, tensors| {
        let norm = tensors.get_mut("output_norm.weight").unwrap();
        norm[..4].copy_from_slice(&f32::NAN.to_le_bytes());
    });
    let message = |mode| {
        fails([
            "run",
            arg(&path),
            "-p",
            "The old",
            "-n",
            "3",
            "--mode",
            mode,
        ])
    };
    let exact = message("exact");
    assert!(exact.contains("weights of the model are broken"), "{exact}");
    assert!(exact.contains("edited.gguf"), "{exact}");
    assert_eq!(exact, message("fast"));
    let chat = refusal(piped(["chat", arg(&path), "-n", "1"], "Hi\n"));
    assert!(chat.contains("edited.gguf"), "{chat}");
    let out = dir.path().join("logits");
    let logits = fails(["logits", arg(&path), "--ids", "1,2", "-o", arg(&out)]);
    assert!(
        logits.contains("edited.gguf") && logits.contains("broken"),
        "{logits}"
    );
    assert!(!out.exists());
    let text = fixture("text/heldout.txt");
    for mode in ["exact", "fast"] {
        let args = [
            "perplexity",
            arg(&path),
            "-f",
            arg(&text),
            "--chunks",
            "1",
            "--mode",
            mode,
        ];
        let message = fails([&args[..], &["-q"]].concat());
        assert!(message.contains("NaN"), "{message}");
    }
}

#[test]
fn a_context_longer_than_the_model_was_trained_on_is_said_everywhere() {
    let (dir, _, path) = models(&|metadata, _| {
        metadata.insert("llama.context_length", 100_u32);
    });
    let text = fixture("text/heldout.txt");
    let out = dir.path().join("logits");
    let ids = vec!["1"; 101].join(",");
    let folder = dir.path().join("short");
    copy_folder(&fixture("notus-mini"), &folder);
    let mut config = json_fixture("notus-mini/config.json");
    config["max_position_embeddings"] = json!(100);
    std::fs::write(folder.join("config.json"), config.to_string()).unwrap();
    let one = ["-c", "128", "--chunks", "1", "-f", arg(&text)];
    for args in [
        vec!["run", arg(&path), "-p", "x", "-n", "1", "-c", "128"],
        [&["perplexity", arg(&path)][..], &one].concat(),
        [&["compare", arg(&path), arg(&path)][..], &one].concat(),
        [
            &[
                "table",
                arg(&folder),
                "--type",
                "q8_0",
                "-o",
                arg(dir.path()),
            ][..],
            &one,
        ]
        .concat(),
        vec!["logits", arg(&path), "--ids", &ids, "-o", arg(&out)],
    ] {
        let message = said(&args);
        let note = "the model was made for 100";
        assert_eq!(message.matches(note).count(), 1, "{args:?}: {message}");
    }
}

#[test]
fn pasted_command_lines_give_what_our_own_give() {
    let (dir, path) = base();
    let plain = run(&path, &["-p", "The old man"]).0;
    let pasted = "--no-mmap --mlock -fa on -ngl all --no-display-prompt --jinja -no-cnv --color \
                  --no-warmup -ub 512 -tb 2 -ctk f16 -ctv f16 -sm none -dev none -cmoe -v -lv 3 \
                  --repeat-last-n 64 --top-n-sigma -1 --xtc-probability 0 --keep 0";
    let pasted: Vec<&str> = pasted.split_whitespace().collect();
    let (same, message) = run(&path, &[&["-p", "The old man"], &pasted[..]].concat());
    assert_eq!(same["ids"], plain["ids"]);
    for named in ["-fa", "--no-mmap", "-ngl", "--jinja", "-ub", "--keep"] {
        assert!(message.contains(named), "{named}: {message}");
    }
    let text = fixture("text/heldout.txt");
    let ours = [
        "perplexity",
        arg(&path),
        "-f",
        arg(&text),
        "--chunks",
        "1",
        "-q",
    ];
    let theirs = [
        "perplexity",
        "-m",
        arg(&path),
        "-f",
        arg(&text),
        "--chunks",
        "1",
        "-ngl",
        "99",
    ];
    assert_eq!(ok(ours), ok(theirs));
    let written = dir.path().join("b.gguf");
    ok([
        "quantize",
        "--allow-requantize",
        arg(&path),
        arg(&written),
        "Q4_0",
        "2",
    ]);
    assert!(written.exists());
    // One turn and no more.
    let single = [
        "run",
        "-m",
        arg(&path),
        "-p",
        "Good morning.",
        "-st",
        "--temp",
        "0",
        "-n",
        "8",
    ];
    let answer = piped(single, "never read\n");
    assert!(answer.status.success());
    let chat = ["chat", arg(&path), "--temp", "0", "-n", "8"];
    assert_eq!(answer.stdout, piped(chat, "Good morning.\n").stdout);
    let first = ["-st", "-p", "Good morning."];
    let prompted = piped([&chat[..], &first].concat(), "never read\n");
    assert_eq!(answer.stdout, prompted.stdout);
    let question = dir.path().join("question.txt");
    std::fs::write(&question, "Good morning.\n").unwrap();
    let from_file = piped([&chat[..], &["-f", arg(&question)]].concat(), "");
    assert_eq!(answer.stdout, from_file.stdout);
    // A stride of 0 is none.
    assert_eq!(ok(ours), ok([&ours[..], &["--ppl-stride", "0"]].concat()));
    for (args, named) in [
        (&["-p", "x", "-hf", "o/n"][..], "-hf"),
        (&["-p", "x", "--mirostat", "2"], "--mirostat"),
        (&["-p", "x", "-help"], "-help"),
        (&["-i", "-mli"], "-mli"),
    ] {
        let message = fails([&["run", arg(&path)], args].concat());
        assert!(message.contains(named), "{message}");
    }
}

#[test]
fn every_kernel_level_of_the_guide_works_everywhere_and_no_other() {
    let (dir, path) = base();
    let text = fixture("text/heldout.txt");
    let source = fixture("notus-mini");
    let with = |level: &str, args: &[&str]| {
        command()
            .env("AEOLUS_CPU", level)
            .args(args)
            .output()
            .unwrap()
    };
    let guide = std::fs::read_to_string(fixture("../docs/guide.md")).unwrap();
    let row = guide
        .lines()
        .find(|line| line.starts_with("| `AEOLUS_CPU`"))
        .unwrap();
    let levels: Vec<&str> = row.split('`').skip(3).step_by(2).take(6).collect();
    assert_eq!(
        levels,
        ["scalar", "portable", "avx2", "avx512", "neon", "i8mm"]
    );
    for level in levels {
        let run = with(
            level,
            &[
                "run",
                arg(&path),
                "-p",
                "The old man",
                "-n",
                "4",
                "--temp",
                "0",
            ],
        );
        let message = String::from_utf8(run.stderr).unwrap();
        if message.contains("this machine runs only") {
            assert!(
                !["scalar", "portable"].contains(&level),
                "{level}: {message}"
            );
            continue;
        }
        assert!(run.status.success(), "{level}: {message}");
        let out = dir.path().join(level);
        let args = [
            "table",
            arg(&source),
            "--type",
            "q4_0",
            "-o",
            arg(&out),
            "-f",
            arg(&text),
        ];
        let table = with(level, &[&args[..], &["-c", "64", "--chunks", "1"]].concat());
        assert!(
            table.status.success(),
            "{level}: {}",
            String::from_utf8_lossy(&table.stderr)
        );
    }
    let out = dir.path().join("none");
    for args in [
        &["run", arg(&path), "-p", "x"][..],
        &["inspect", arg(&path)],
        &["table", arg(&source), "-o", arg(&out), "-f", arg(&text)],
    ] {
        let message = refusal(with("sse9", args));
        assert!(
            message.contains("sse9") && message.contains("portable"),
            "{message}"
        );
    }
    assert!(!out.exists());
}
