//! Totals of notus-mini over a few short windows, interrupted wherever a run can be.

use super::*;
use crate::{Cut, Numeric, Reference};
use aeolus_imatrix::Format;
use aeolus_job::Cancel;
use std::path::{Path, PathBuf};

fn fixture(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fixtures")
        .join(path)
}

/// Calls `test` with a model and windows of 16 tokens of a text.
fn with_model(threads: usize, count: usize, test: impl FnOnce(&Model<'_>, &Windows)) {
    let dir = tempfile::tempdir().unwrap();
    let source = fixture("notus-mini");
    let source = aeolus_checkpoint::open(&source, &aeolus_checkpoint::OpenOptions::default());
    let made = Reference::write(&source.unwrap(), dir.path(), 0, &(), &Cancel::new()).unwrap();
    let runtime = crate::runtime(threads, Numeric::Exact).unwrap();
    let model = Model::open(made.path(), &runtime).unwrap();
    let text = std::fs::read_to_string(fixture("text/heldout.txt")).unwrap();
    let cut = Cut {
        n_ctx: 16,
        stride: None,
        bos: model.bos(),
        limit: Some(count),
    };
    let tokens = model.tokens(&text[..count * 200]);
    test(&model, &Windows::new(tokens, &cut).unwrap());
}

const OUTPUT: Collecting = Collecting {
    process_output: true,
};

fn run(
    model: &Model<'_>,
    windows: &Windows,
    progress: &dyn aeolus_job::Progress,
    cancel: &Cancel,
    saved: &mut Saved,
) -> Result<Imatrix, Error> {
    let job = Job {
        windows,
        progress,
        cancel,
    };
    collect(job, model, OUTPUT, saved)
}

/// The bytes of a run that is not interrupted.
fn whole(model: &Model<'_>, windows: &Windows) -> Vec<u8> {
    let mut saved = Saved::in_memory(windows);
    let total = run(model, windows, &(), &Cancel::new(), &mut saved).unwrap();
    total.encode(Format::Gguf).unwrap()
}

#[test]
fn sums_and_counts_are_those_of_all_inputs_whatever_the_threads() {
    let mut of_threads = Vec::new();
    for threads in [1, 3] {
        with_model(threads, 7, |model, windows| {
            of_threads.push(whole(model, windows));
        });
    }
    assert!(of_threads[0] == of_threads[1]);
    let total = Imatrix::parse(&of_threads[0]).unwrap();
    assert_eq!((total.chunks, total.chunk_tokens), (7, 16));
    assert_eq!(total.entries().len(), 8 * 7 + 1);
    for (name, entry) in total.entries() {
        assert_eq!(entry.counts(), [7.0 * 16.0], "{name}");
    }
    let sums = |name: &str| total.get(name).unwrap().sums();
    assert_eq!(sums("blk.3.attn_q.weight"), sums("blk.3.attn_v.weight"));
    assert_ne!(sums("blk.3.attn_q.weight"), sums("blk.2.attn_q.weight"));
    assert_eq!(sums("blk.3.ffn_down.weight").len(), 768);
    assert_eq!(sums("output.weight").len(), 256);
}

#[test]
fn interrupted_runs_continue_to_the_same_bytes() {
    with_model(2, 9, |model, windows| {
        let expected = whole(model, windows);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("imatrix.gguf");
        let (partial, journal) = (
            dir.path().join("imatrix.gguf.partial"),
            dir.path().join("imatrix.gguf.partial.journal"),
        );
        let identity = identity(windows, "the model", model, OUTPUT);
        let mut known = Vec::new();
        // Each run is interrupted after its first round; before one of them, the last total is damaged.
        let total = loop {
            if known.len() == 3 {
                let mut bytes = std::fs::read(&partial).unwrap();
                let text = std::fs::read_to_string(&journal).unwrap();
                let last: Vec<&str> = text.lines().last().unwrap().split(' ').collect();
                let at: usize = last[1].parse().unwrap();
                bytes[at + 5000] ^= 1;
                std::fs::write(&partial, bytes).unwrap();
            }
            let mut saved = Saved::open(&path, &identity, windows).unwrap();
            known.push(saved.windows());
            let cancel = Cancel::new();
            let interrupt = |event: Event<'_>| match event {
                Event::Advanced { .. } => cancel.set(),
                Event::StartedOver { why, .. } => panic!("{why}"),
                _ => {}
            };
            match run(model, windows, &interrupt, &cancel, &mut saved) {
                Ok(total) => {
                    write_file(&path, &total, Format::Gguf, false).unwrap();
                    saved.discard();
                    break std::fs::read(&path).unwrap();
                }
                Err(error) => assert!(matches!(error, Error::Cancelled), "{error}"),
            }
        };
        assert!(total == expected);
        assert_eq!(
            known[..5],
            [0, 2, 4, 4, 6],
            "the damaged one was done again"
        );
        assert!(!partial.exists() && !journal.exists());
    });
}

#[test]
fn what_another_run_left_is_not_taken_over() {
    with_model(2, 2, |model, windows| {
        let expected = whole(model, windows);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("imatrix.gguf");
        let one = with_identity("one", model, windows);
        let mut saved = Saved::open(&path, &one, windows).unwrap();
        run(model, windows, &(), &Cancel::new(), &mut saved).unwrap();
        saved.keep().unwrap();
        drop(saved);
        let fewer = Windows::new(
            windows.tokens().to_vec(),
            &Cut {
                n_ctx: 16,
                stride: None,
                bos: model.bos(),
                limit: Some(1),
            },
        );
        let cases = [
            (with_identity("one", model, windows), windows.clone(), None),
            (
                with_identity("one", model, windows),
                fewer.unwrap(),
                Some("it has more windows than are asked for"),
            ),
            (
                with_identity("two", model, windows),
                windows.clone(),
                Some("its model was one, now it is two"),
            ),
        ];
        for (identity, windows, why) in cases {
            let left = std::fs::read(dir.path().join("imatrix.gguf.partial")).unwrap();
            let log = dir.path().join("imatrix.gguf.partial.journal");
            let journal = std::fs::read(&log).unwrap();
            let told = std::sync::Mutex::new(None);
            let tell = |event: Event<'_>| {
                if let Event::StartedOver { why, .. } = event {
                    *told.lock().unwrap() = Some(why.to_owned());
                }
            };
            let mut saved = Saved::open(&path, &identity, &windows).unwrap();
            assert_eq!(saved.windows(), if why.is_none() { 2 } else { 0 });
            let total = run(model, &windows, &tell, &Cancel::new(), &mut saved).unwrap();
            assert_eq!(told.into_inner().unwrap().as_deref(), why);
            if windows.len() == 2 {
                assert!(total.encode(Format::Gguf).unwrap() == expected);
            }
            drop(saved);
            std::fs::write(dir.path().join("imatrix.gguf.partial"), left).unwrap();
            std::fs::write(log, journal).unwrap();
        }
    });
}

fn with_identity(mark: &str, model: &Model<'_>, windows: &Windows) -> Identity {
    identity(windows, mark, model, OUTPUT)
}

#[test]
fn a_matrix_of_another_model_is_told() {
    with_model(1, 1, |model, windows| {
        let mut saved = Saved::in_memory(windows);
        let total = run(model, windows, &(), &Cancel::new(), &mut saved).unwrap();
        check_model(model, &total).unwrap();
        let mut other = Imatrix::collected(512);
        other.entry("not.there", 3, 1);
        check_model(model, &other).unwrap();
        other.entry("blk.0.ffn_down.weight", 256, 1);
        let error = check_model(model, &other).unwrap_err().to_string();
        assert!(
            error.contains("has 256 values for blk.0.ffn_down.weight"),
            "{error}"
        );
        assert!(error.contains("has 768 columns there"), "{error}");
    });
}

#[test]
fn conversations_are_lines_of_messages() {
    let path = Path::new("c.jsonl");
    let read = |text: &str| crate::text::conversations(text, path);
    let found = read(concat!(
        r#"{"messages": [{"role": "user", "content": "a"}], "id": 7}"#,
        "\n\n",
        r#"[{"role": "user", "content": "b"}, {"role": "assistant", "content": "c"}]"#,
        "\n"
    ));
    let said = found.unwrap().into_iter().map(|messages| {
        let words = messages
            .into_iter()
            .map(|m| format!("{}:{}", m.role, m.content));
        words.collect::<Vec<_>>().join(" ")
    });
    assert_eq!(said.collect::<Vec<_>>(), ["user:a", "user:b assistant:c"]);
    for (text, expected) in [
        ("\n", "the text is empty"),
        (
            "\n{\"messages\": [",
            "JSON lines: line 2: EOF while parsing a list, column 14",
        ),
        (r#"{"text": "a"}"#, "line 1: expected {\"messages\""),
        (
            r#"[{"role": "user", "content": ["a"]}]"#,
            "line 1: expected",
        ),
        ("[]", "line 1: a conversation without messages"),
    ] {
        let error = read(text).unwrap_err().to_string();
        assert!(error.contains(expected), "{expected}: {error}");
    }
}
