//! Conversations by the file's own template, by another one, and by one without a system role.

use crate::support::{arg, command, copy_folder, fixture, ok, piped, refusal};
use std::path::{Path, PathBuf};
use std::process::Output;

/// The small model with a template of its own; with none for `null`.
fn model(template: serde_json::Value) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("notus-mini");
    copy_folder(&fixture("notus-mini"), &source);
    let config = source.join("tokenizer_config.json");
    let mut json: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&config).unwrap()).unwrap();
    json["chat_template"] = template;
    std::fs::write(&config, json.to_string()).unwrap();
    let path = dir.path().join("model.gguf");
    ok(["quantize", arg(&source), "--type", "q8_0", "-o", arg(&path)]);
    (dir, path)
}

fn chat(path: &Path, args: &[&str], turns: &str) -> Output {
    let quiet = ["chat", arg(path), "--temp", "0", "-n", "8", "-q"];
    piped([&quiet[..], args].concat(), turns)
}

/// What the model said, and what the program said.
fn said(path: &Path, args: &[&str], turns: &str) -> (String, String) {
    let output = chat(path, args, turns);
    let note = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{note}");
    (String::from_utf8(output.stdout).unwrap(), note)
}

#[test]
fn a_system_text_goes_before_the_first_message_where_the_template_has_no_role_for_it() {
    let refuses = "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Conversation roles must alternate') }}{% endif %}[{{ m.content }}]{% endfor %}";
    let drops = "{% for m in messages %}{% if m.role != 'system' %}[{{ m.content }}]{% endif %}{% endfor %}";
    for (template, why) in [
        (refuses, "Conversation roles must alternate"),
        (drops, "leaves out a system message"),
    ] {
        let (_dir, path) = model(template.into());
        let (answer, note) = said(&path, &["--system", "Be terse."], "hi\n/reset\nhi\n");
        assert!(note.contains(why), "{note}");
        assert!(note.contains("put before the first message"), "{note}");
        assert_eq!(note.lines().count(), 1, "{note}");
        // A line that ends in a backslash goes on in the next.
        let (by_hand, note) = said(&path, &[], "Be terse.\\\n\\\nhi\n");
        assert_eq!(answer, format!("{by_hand}{by_hand}"));
        assert_eq!(note, "");
    }
}

#[test]
fn a_file_without_a_template_is_chatted_with_by_another_one() {
    let (_own, own) = model(
        serde_json::from_slice::<serde_json::Value>(
            &std::fs::read(fixture("notus-mini/tokenizer_config.json")).unwrap(),
        )
        .unwrap()["chat_template"]
            .clone(),
    );
    let expected = said(&own, &["--system", "Be terse."], "hi\nand?\n").0;
    for none in [serde_json::Value::Null, "".into(), " \n".into()] {
        let (dir, path) = model(none);
        let message = refusal(chat(&path, &[], "hi\n"));
        for part in ["has no chat template", "--chat-template", "aeolus run"] {
            assert!(message.contains(part), "{message}");
        }
        let by = |template: &str| {
            let args = ["--system", "Be terse.", "--chat-template", template];
            said(&path, &args, "hi\nand?\n").0
        };
        assert_eq!(by("zephyr"), expected);
        let text = "{% for m in messages %}{{ '<|' + m.role + '|>\n' + m.content + eos_token + '\n' }}{% endfor %}<|assistant|>\n\n";
        assert_eq!(by(text), expected);
        let file = dir.path().join("template.jinja");
        std::fs::write(&file, text).unwrap();
        assert_eq!(by(arg(&file)), expected);
    }
}

#[test]
fn templates_are_chosen_by_name_or_refused_with_the_names() {
    let (dir, path) = model(serde_json::json!([
        {"name": "default", "template": "{{ messages[0].content }}"},
        {"name": "tool_use", "template": "{{ raise_exception('a tool is needed') }}"},
    ]));
    let by = |template: &str| refusal(chat(&path, &["--chat-template", template], "hi\n"));
    let message = by("tool_use");
    assert!(
        message.contains("refuses the conversation: a tool is needed"),
        "{message}"
    );
    let message = by("phi9");
    for name in [
        "phi9",
        "tool_use",
        "chatml",
        "llama3",
        "mistral-v7",
        "alpaca",
    ] {
        assert!(message.contains(name), "{message}");
    }
    let file = dir.path().join("broken.jinja");
    std::fs::write(&file, "a\n{% if %}").unwrap();
    let message = by(arg(&file));
    assert!(
        message.contains("broken.jinja") && message.contains("line 2"),
        "{message}"
    );
    std::fs::write(&file, "").unwrap();
    assert!(by(arg(&file)).contains("is empty"));
    assert!(by(arg(dir.path())).contains("cannot read"));

    let run = |args: &[&str]| {
        command()
            .arg("run")
            .arg(arg(&path))
            .args(args)
            .output()
            .unwrap()
    };
    let message = refusal(run(&["-p", "x", "--chat-template", "chatml"]));
    assert!(message.contains("--interactive"), "{message}");
    let message = refusal(run(&["-i", "-p", "x", "--chat-template", "phi9"]));
    assert!(message.contains("the names are"), "{message}");
}
