//! Chat templates: which one counts.

use super::*;

#[test]
fn chat_templates_with_names_are_written_under_their_names() {
    let config = json!({"chat_template": [
        {"name": "default", "template": "D"},
        {"name": "tool use", "template": "T"},
        {"name": "rag", "template": "R"},
    ]});
    let t = read_with(
        6,
        &[],
        &[
            ("tokenizer.model", &model()),
            ("tokenizer_config.json", config.to_string().as_bytes()),
        ],
    )
    .unwrap();
    let text = |key| t.metadata.str(key).unwrap();
    assert_eq!(text("tokenizer.chat_template"), Some("D"));
    assert_eq!(text("tokenizer.chat_template.tool_use"), Some("T"));
    let names = t
        .metadata
        .array("tokenizer.chat_templates")
        .unwrap()
        .unwrap();
    assert_eq!(
        names.strings().unwrap().collect::<Vec<_>>(),
        ["tool_use", "rag"]
    );
}

#[test]
fn one_chat_template_of_several_counts_and_others_are_noted() {
    let model = model();
    for (jinja, config, expected, notes) in [
        ("J", r#"{"chat_template":"J"}"#, "J", 0),
        ("J", r#"{"chat_template":"C"}"#, "J", 1),
        (" \n", r#"{"chat_template":"C"}"#, "C", 0),
        ("", r#"{"chat_template":""}"#, "K", 0),
        ("\u{feff}J", "{}", "J", 0),
    ] {
        let files: [(&str, &[u8]); 4] = [
            ("tokenizer.model", &model),
            ("chat_template.jinja", jinja.as_bytes()),
            ("tokenizer_config.json", config.as_bytes()),
            ("chat_template.json", br#"{"chat_template":"K"}"#),
        ];
        let (t, found) = read_noting(6, &[], &files).unwrap();
        let template = t.metadata.str("tokenizer.chat_template");
        assert_eq!(template, Ok(Some(expected)), "{jinja:?} {config}");
        assert_eq!(found.len(), notes, "{found:?}");
    }
    let (notes, dir) = (Notes::default(), folder(&[("tokenizer.model", &model)]));
    std::fs::create_dir(dir.path().join("additional_chat_templates")).unwrap();
    read(dir.path(), wanted(6, &[]), &Limits::default(), &notes).unwrap();
    let notes = notes.into_vec();
    assert!(
        notes[0].contains("additional_chat_templates: "),
        "{notes:?}"
    );
}

#[test]
fn templates_beyond_the_limit_are_refused() {
    let named = |count: usize| {
        let templates = (0..count).map(|i| json!({"name": i.to_string(), "template": ""}));
        let config = json!({"chat_template": templates.collect::<Vec<_>>()}).to_string();
        let config = ("tokenizer_config.json", config.as_bytes());
        read_with(8, &[], &[("tokenizer.model", &model()), config])
    };
    let most = named(256).unwrap();
    let names = most.metadata.array("tokenizer.chat_templates").unwrap();
    assert_eq!(names.unwrap().len(), 256);
    let error = named(257).unwrap_err().to_string();
    assert!(
        error.contains("at most 256 templates, found 257"),
        "{error}"
    );
}
