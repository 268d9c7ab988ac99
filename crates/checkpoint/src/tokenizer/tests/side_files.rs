//! Files beside tokenizer.model: what they add, and what is noted about them.

use super::*;

#[test]
fn files_beside_the_model_add_and_mark_tokens() {
    let config = json!({
        "added_tokens_decoder": {
            "0": {"content": "<unk>", "special": true},
            "6": {"content": "<|user|>", "special": false},
            "7": {"content": "\u{2581}my token", "special": false},
        },
        "add_bos_token": false, "add_eos_token": true,
        "bos_token": {"content": "<s>"}, "pad_token": "<pad>", "cls_token": null,
        "add_prefix_space": false,
    });
    let json = json!({
        "added_tokens": [
            {"id": 1, "content": "<s>", "special": true},
            {"id": 8, "content": "<pad>", "special": false},
        ],
        "model": {"type": "BPE", "merges": ["a b", "c d"]},
    });
    let added = json!({"<extra>": 9, "<pad>": 8});
    let t = read_with(
        10,
        &[("bos", 0), ("eos", 2)],
        &[
            ("tokenizer.model", &model()),
            ("tokenizer_config.json", config.to_string().as_bytes()),
            ("tokenizer.json", json.to_string().as_bytes()),
            ("added_tokens.json", added.to_string().as_bytes()),
            ("special_tokens_map.json", br#"{"mask_token":"<s>"}"#),
            ("chat_template.jinja", b"{{ messages }}"),
        ],
    )
    .unwrap();
    let tokens = tokens(&t);
    assert_eq!(tokens[0], ("<unk>".into(), -1000.0, 3));
    assert_eq!(tokens[1], ("<s>".into(), 0.0, 3), "no file marks it");
    assert_eq!(
        tokens[6],
        ("<|user|>".into(), -1000.0, 3),
        "it looks special"
    );
    assert_eq!(tokens[7], (" my token".into(), -1000.0, 4));
    assert_eq!(
        tokens[8],
        ("<pad>".into(), -1000.0, 4),
        "added_tokens.json came first"
    );
    assert_eq!(tokens[9], ("<extra>".into(), -1000.0, 4));
    assert_eq!(
        keys(&t),
        [
            "ggml.add_space_prefix",
            "ggml.model",
            "ggml.pre",
            "ggml.tokens",
            "ggml.scores",
            "ggml.token_type",
            "ggml.bos_token_id",
            "ggml.padding_token_id",
            "ggml.mask_token_id",
            "ggml.eos_token_id",
            "ggml.unknown_token_id",
            "ggml.add_bos_token",
            "ggml.add_eos_token",
            "chat_template",
        ]
    );
    let id = |key: &str| {
        t.metadata
            .u32(&format!("tokenizer.ggml.{key}_token_id"))
            .unwrap()
    };
    assert_eq!(
        [id("bos"), id("eos"), id("padding")],
        [Some(1), Some(2), Some(8)]
    );
    assert_eq!(
        t.metadata.bool("tokenizer.ggml.add_bos_token"),
        Ok(Some(false))
    );
    assert_eq!(t.merges, Some(Array::from_strings(["a b", "c d"])));
}

#[test]
fn ids_without_tokenizer_json_come_from_the_token_list() {
    let config = "{\"bos_token\":\"</s>\",\"eos_token\":\"\u{2581}a\",\"unk_token\":\"nowhere\"}";
    let t = read_with(
        6,
        &[("eos", 1)],
        &[
            ("tokenizer.model", &model()),
            ("tokenizer_config.json", config.as_bytes()),
        ],
    )
    .unwrap();
    let facts = TokenizerFacts::of(&t.metadata);
    // `▁a` is an ordinary piece: config.json decides. Nothing decides about unk but the model.
    assert_eq!(
        (facts.bos, facts.eos, facts.unknown),
        (Some(2), Some(1), Some(0))
    );
}

#[test]
fn malformed_files_beside_the_model_are_refused() {
    let model = model();
    for (file, text, parts) in [
        (
            "added_tokens.json",
            r#"{"<pad>":"6"}"#,
            ["<pad>: expected a token id", "string"],
        ),
        (
            "tokenizer_config.json",
            r#"{"added_tokens_decoder":{"x":{"content":"x"}}}"#,
            ["added_tokens_decoder.x", "token id as key"],
        ),
        (
            "tokenizer_config.json",
            r#"{"added_tokens_decoder":{"1":{}}}"#,
            ["added_tokens_decoder.1.content", "missing"],
        ),
        (
            "tokenizer_config.json",
            r#"{"chat_template":1}"#,
            ["chat_template", "found 1"],
        ),
        (
            "tokenizer_config.json",
            r#"{"bos_token":1}"#,
            ["bos_token", "found 1"],
        ),
        (
            "tokenizer_config.json",
            r#"{"add_bos_token":1}"#,
            ["add_bos_token", "true or false"],
        ),
        (
            "tokenizer_config.json",
            "[]",
            ["tokenizer_config.json", "an object"],
        ),
        ("tokenizer.json", "{", ["tokenizer.json", "EOF"]),
        ("tokenizer.json", "[]", ["tokenizer.json", "an object"]),
        (
            "tokenizer.json",
            r#"{"added_tokens":[[1,"x"]]}"#,
            ["tokenizer.json", "an object"],
        ),
        (
            "tokenizer.json",
            r#"{"model":[]}"#,
            ["tokenizer.json", "an object"],
        ),
        (
            "tokenizer.json",
            r#"{"post_processor":["TemplateProcessing"]}"#,
            ["tokenizer.json", "an object"],
        ),
    ] {
        let files: &[(&str, &[u8])] = &[("tokenizer.model", &model), (file, text.as_bytes())];
        let error = read_with(6, &[], files).unwrap_err().to_string();
        for part in parts {
            assert!(error.contains(part), "{error}: no {part}");
        }
    }
}

#[test]
fn no_tokenizer_says_what_was_looked_for_and_the_way_out() {
    let error = read_with(6, &[], &[]).unwrap_err().to_string();
    assert!(
        error.contains("looked for tokenizer.model, tokenizer.json; --no-tokenizer"),
        "{error}"
    );
    let others: &[(&str, &[u8])] = &[("vocab.json", b"{}"), ("merges.txt", b"")];
    let error = read_with(6, &[], others).unwrap_err().to_string();
    for part in ["vocab.json, merges.txt", "AutoTokenizer", "--no-tokenizer"] {
        assert!(error.contains(part), "{error}: no {part}");
    }
    let error = read_with(6, &[], &[("tokenizer.json", b"{}")])
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("put the tokenizer.model of the base model beside it"),
        "{error}"
    );
    assert_eq!(
        TokenizerFacts::of(&Tokenizer::none().metadata).model,
        "none"
    );
}

#[test]
fn notes_cut_and_escape_what_they_quote() {
    let long = format!("\u{1b}]0;{}", "x".repeat(1 << 20));
    for (name, file) in [
        ("added_tokens.json", json!({ &long: 99 })),
        (
            "tokenizer_config.json",
            json!({"added_tokens_decoder": {"99": {"content": long}}}),
        ),
        (
            "tokenizer.json",
            json!({"added_tokens": [{"id": 99, "content": long}]}),
        ),
    ] {
        let file = file.to_string();
        let files = [("tokenizer.model", &*model()), (name, file.as_bytes())];
        let (_, notes) = read_noting(8, &[], &files).unwrap();
        let [note] = &*notes else {
            panic!("{notes:?}");
        };
        assert!(note.contains("none for: token 99 "), "{name}");
        assert!(note.len() < 1024 && !note.contains('\u{1b}'), "{note}");
    }
}

#[test]
fn all_tokens_without_a_row_are_left_out_in_one_note() {
    let config = json!({
        "added_tokens_decoder": {"6": {"content": "[PAD]", "special": true}},
        "pad_token": "[PAD]", "bos_token": "<s>",
    });
    let json = json!({
        "added_tokens": [
            {"id": 1, "content": "<s>", "special": true},
            {"id": 6, "content": "[PAD]", "special": true},
        ],
        "normalizer": {"type": "Sequence", "normalizers": [
            {"type": "Prepend", "prepend": "\u{2581}"},
            {"type": "Replace", "pattern": {"String": " "}, "content": "\u{2581}"},
        ]},
        "model": {
            "type": "BPE", "unk_token": "<unk>", "byte_fallback": true,
            "vocab": {
                "<unk>": 0, "<s>": 1, "</s>": 2, "<0x0A>": 3, "\u{2581}a": 4, "b": 5, "c": 7,
            },
            "merges": [["\u{2581}", "a"]],
        },
    });
    let (t, notes) = read_noting(
        5,
        &[("pad", 6), ("eos", 2), ("mask", 4_000_000_000)],
        &[
            ("tokenizer.model", &model()),
            ("added_tokens.json", br#"{"[PAD]": 6}"#),
            ("tokenizer_config.json", config.to_string().as_bytes()),
            ("tokenizer.json", json.to_string().as_bytes()),
            ("generation_config.json", br#"{"eos_token_id": [2, 9]}"#),
        ],
    )
    .unwrap();
    assert_eq!(
        notes,
        [
            ".: left out, since the embedding has 5 rows (vocab_size in config.json) and none for: \
             tokens 5 \"b\" (tokenizer.model, tokenizer.json), 6 \"[PAD]\" (added_tokens.json, \
             tokenizer_config.json, tokenizer.json), 7 \"c\" (tokenizer.json); \
             pad_token_id 6 (config.json), mask_token_id 4000000000 (config.json), \
             eos_token_id 9 (generation_config.json)"
        ]
    );
    let facts = TokenizerFacts::of(&t.metadata);
    assert_eq!((facts.tokens, facts.bos, facts.eos), (5, Some(1), Some(2)));
    assert_eq!(facts.padding, None);
    assert!(t.metadata.get("tokenizer.ggml.mask_token_id").is_none());
    // Many are counted.
    let many: serde_json::Map<_, _> = (6..40).map(|id| (format!("t{id}"), json!(id))).collect();
    let many = json!(many).to_string();
    let files: &[(&str, &[u8])] = &[
        ("tokenizer.model", &model()),
        ("added_tokens.json", many.as_bytes()),
    ];
    let (_, notes) = read_noting(6, &[], files).unwrap();
    assert!(
        notes[0].contains("21 \"t21\" and 18 more (added_tokens.json)"),
        "{notes:?}"
    );
}

#[test]
fn what_added_tokens_say_and_the_list_does_not_is_noted() {
    let model = model();
    let read = |file: &str, text: &str| {
        let files = [("tokenizer.model", &*model), (file, text.as_bytes())];
        read_noting(8, &[], &files)
    };
    for (file, text, note) in [
        (
            "added_tokens.json",
            r#"{"[PAD]": 4}"#,
            "the files disagree about tokens: 4 is \"[PAD]\" (added_tokens.json), not \
             \"\u{2581}a\" (tokenizer.model)",
        ),
        (
            "tokenizer.json",
            r#"{"added_tokens":[{"id":4,"content":"<x>"}]}"#,
            "the files disagree about tokens: 4 is \"\u{2581}a\" (tokenizer.model), not \"<x>\" \
             (tokenizer.json)",
        ),
        (
            "added_tokens.json",
            r#"{"b": 6}"#,
            "more than one id has the text \"b\" (5 and 6); llama.cpp does not load such a file",
        ),
        (
            "tokenizer.json",
            r#"{"added_tokens":[
                {"id":6,"content":"<|x|>","rstrip":true,"normalized":true},
                {"id":7,"content":"word","single_word":true}
            ]}"#,
            "left out, since GGUF has no place for these flags of added tokens: rstrip of \
             \"<|x|>\" (spaces after them are kept); single_word of \"word\" (they are found inside \
             words, too)",
        ),
        (
            "tokenizer_config.json",
            r#"{"added_tokens_decoder":{"6":{"content":"<m>","lstrip":true,"special":true}}}"#,
            "left out, since GGUF has no place for these flags of added tokens: lstrip of \"<m>\" \
             (spaces before them are kept)",
        ),
        (
            "special_tokens_map.json",
            r#"{"pad_token":"[NOPE]","bos_token":"<s>"}"#,
            "left out, since no special token has this text: pad_token \"[NOPE]\"",
        ),
        (
            "config.json",
            r#"{"eos_token_id":[2,99],"bos_token_id":98}"#,
            "left out, since the embedding has 8 rows (vocab_size in config.json) and none for: \
             eos_token_id 99 (config.json)",
        ),
    ] {
        let (_, notes) = read(file, text).unwrap();
        assert_eq!(notes, [format!(".: {note}")], "{text}");
    }
    // The same token again, as a token of another kind.
    let again = "{\"added_tokens_decoder\":{\"4\":{\"content\":\"\u{2581}a\"}}}";
    assert_eq!(read("tokenizer_config.json", again).unwrap().1, [""; 0]);
    // Padding does not take the text of a token.
    let (t, notes) = read("added_tokens.json", r#"{"[PAD7]": 6}"#).unwrap();
    assert_eq!(notes, [""; 0]);
    assert_eq!(tokens(&t)[7].0, "[PAD7]_");
    for (file, text) in [
        ("added_tokens.json", r#"{"": 6}"#),
        (
            "tokenizer_config.json",
            r#"{"added_tokens_decoder":{"6":{"content":""}}}"#,
        ),
        (
            "tokenizer.json",
            r#"{"added_tokens":[{"id":6,"content":""}]}"#,
        ),
    ] {
        let error = read(file, text).unwrap_err().to_string();
        assert!(
            error.contains(file) && error.contains("6 is empty"),
            "{error}"
        );
    }
}
