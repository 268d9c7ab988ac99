//! The command line as a user meets it: help, typos, pipes, exit codes.

use crate::support::{aeolus, arg, fails, fixture, ok, started};

const COMMANDS: [&str; 17] = [
    "run",
    "chat",
    "tokenize",
    "logits",
    "perplexity",
    "compare",
    "verify",
    "errors",
    "tasks",
    "table",
    "quantize",
    "convert",
    "forecast",
    "inspect",
    "hash",
    "completions",
    "man",
];

#[test]
fn every_command_explains_itself_with_an_example() {
    let help = ok(["--help"]);
    for name in COMMANDS {
        assert!(help.contains(&format!("\n  {name} ")), "{name} in\n{help}");
        let own = ok([name, "--help"]);
        assert!(
            own.contains("Example") && own.contains(&format!("aeolus {name}")),
            "{own}"
        );
    }
    assert!(ok(["--version"]).starts_with("aeolus "));
}

#[test]
fn typos_get_a_suggestion() {
    let message = fails(["quantise"]);
    assert!(message.contains("quantize"), "{message}");
    let model = fixture("notus-mini");
    let message = fails(["quantize", arg(&model), "--type", "Q4_KM"]);
    assert!(message.contains("Q4_K_M"), "{message}");
    let message = fails(["convert", arg(&model), "--type", "q8_0"]);
    assert!(message.contains("quantize"), "{message}");
}

#[test]
fn numbers_below_zero_and_unknown_flags_are_refused_for_what_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let (model, text) = (fixture("notus-mini"), fixture("text/heldout.txt"));
    let file = dir.path().join("mini.gguf");
    ok(["quantize", arg(&model), "--type", "q4_0", "-o", arg(&file)]);
    let run = |more: [&'static str; 2]| [&["run", arg(&file), "-p", "x"][..], &more].concat();
    for (args, named) in [
        (run(["-c", "-1"]), "--ctx-size"),
        (run(["--min-p", "-1"]), "min-p is -1"),
        (run(["--top-p", "-1"]), "top-p is -1"),
        (run(["--repeat-penalty", "-1"]), "repeat penalty is -1"),
        (run(["--bogus", "1"]), "--bogus"),
        (run(["-pps", "1"]), "-pps"),
        (
            vec!["perplexity", arg(&file), "-f", arg(&text), "-c", "-1"],
            "--ctx-size",
        ),
        (vec!["inspect", "-m", arg(&file)], "`aeolus inspect MODEL`"),
        (vec!["quantize", arg(&model), "x.gguf", "IQ5_K"], "IQ5_K"),
    ] {
        let message = fails(&args);
        assert!(message.contains(named), "{args:?}: {message}");
        assert!(!message.contains("as a value"), "{args:?}: {message}");
    }
}

#[test]
fn names_that_cannot_start_a_file_name_are_refused_as_arguments() {
    let model = fixture("notus-mini");
    for name in ["c:d", "../x", ".x", "-x", "a\u{202e}b", ""] {
        let name = format!("--name={name}");
        for args in [
            vec!["quantize", arg(&model), "--type", "q4_0", &name],
            vec!["forecast", arg(&model), &name],
        ] {
            let message = fails(args);
            assert!(
                message.contains("'--name <NAME>'") && message.contains("cannot start a file name"),
                "{message}"
            );
        }
    }
}

#[test]
fn a_missing_file_is_named() {
    let text = fixture("text/heldout.txt");
    let text = arg(&text);
    for args in [
        vec!["inspect", "no/such.gguf"],
        vec!["hash", "no/such.gguf"],
        vec!["table", "no/such"],
        vec!["forecast", "no/such"],
        vec!["perplexity", "no/such", "-f", text],
        vec!["compare", "no/such", "no/such", "-f", text],
        vec!["verify", "no/such", "--against", "no/such"],
        vec!["errors", "no/such", "--against", "no/such"],
        vec!["tasks", "no/such", "--arc", "no/such"],
    ] {
        let message = fails(args);
        assert!(message.contains("no/such"), "{message}");
        assert_eq!(message.lines().count(), 1, "{message}");
    }
}

#[test]
fn completions_and_manual_cover_the_commands() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = ok(["completions", shell]);
        assert!(
            script.contains("quantize") && script.contains("forecast"),
            "{shell}"
        );
    }
    let page = ok(["man"]);
    assert!(page.contains(".TH aeolus 1"), "{page}");
    let dir = tempfile::tempdir().unwrap();
    ok(["man", "--dir", arg(dir.path())]);
    for name in COMMANDS {
        assert!(
            dir.path().join(format!("aeolus-{name}.1")).exists(),
            "{name}"
        );
    }
}

#[test]
fn a_reader_that_leaves_early_is_no_error() {
    let dir = tempfile::tempdir().unwrap();
    let model = fixture("notus-mini");
    let file = dir.path().join("mini.gguf");
    ok(["convert", arg(&model), "--type", "bf16", "-o", arg(&file)]);
    for args in [
        vec!["forecast", arg(&model)],
        vec!["inspect", arg(&file)],
        vec!["inspect", arg(&file), "--keys"],
        vec!["inspect", arg(&file), "--json"],
    ] {
        let mut child = started(args);
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{:?}", output.status);
        assert!(output.stderr.is_empty(), "{:?}", output.stderr);
    }
}

#[test]
fn the_exit_code_of_a_comparison_does_not_need_a_reader() {
    let dir = tempfile::tempdir().unwrap();
    let model = fixture("notus-mini");
    let out = arg(dir.path());
    ok(["quantize", arg(&model), "--type", "Q4_0,Q4_1", "-o", out]);
    let [a, b] = ["Q4_0", "Q4_1"].map(|ty| dir.path().join(format!("notus-mini.{ty}.gguf")));
    for json in [None, Some("--json")] {
        let mut child = started(["hash", arg(&a), arg(&b)].into_iter().chain(json));
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(output.stderr.is_empty(), "{:?}", output.stderr);
    }
}

#[test]
fn plain_output_is_stable_and_has_no_terminal_codes() {
    let model = fixture("notus-mini");
    let run = || aeolus(["forecast", arg(&model)]).stdout;
    assert_eq!(run(), run());
    assert!(!run().contains(&0x1b));
    assert!(
        run()
            .split(|b| *b == b'\n')
            .all(|l| l.last() != Some(&b' '))
    );
}
