use super::*;
use serde_json::json;
use std::path::PathBuf;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fixtures")
        .join(name)
}

/// A protobuf field of bytes.
fn field(number: u8, value: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    let mut len = value.len();
    while len >= 0x80 {
        out.push(len as u8 | 0x80);
        len >>= 7;
    }
    out.push(len as u8);
    out.extend(value);
    out
}

fn piece(text: &str, score: f32, kind: u8) -> Vec<u8> {
    let mut inner = field(1, text.as_bytes());
    inner.push(2 << 3 | 5);
    inner.extend(score.to_le_bytes());
    inner.extend([3 << 3, kind]);
    field(1, &inner)
}

/// `trainer_spec` of a BPE model.
fn bpe() -> Vec<u8> {
    field(2, &[3 << 3, 2])
}

/// `<unk>`, `<s>`, `</s>`, `<0x0A>`, `▁a`, `b`: six pieces.
fn model() -> Vec<u8> {
    let pieces = [
        piece("<unk>", 0.0, 2),
        piece("<s>", 0.0, 3),
        piece("</s>", 0.0, 3),
        piece("<0x0A>", 0.0, 6),
        piece("\u{2581}a", -1.0, 1),
        piece("b", -2.5, 4),
    ];
    // No runs of spaces removed, as in every Llama tokenizer.
    [pieces.concat(), bpe(), field(3, &[4 << 3, 0])].concat()
}

/// A folder with these files.
fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        std::fs::write(dir.path().join(name), bytes).unwrap();
    }
    dir
}

fn read_with(
    vocab: u32,
    ids: &[(&'static str, u32)],
    files: &[(&str, &[u8])],
) -> Result<Tokenizer, Error> {
    read_noting(vocab, ids, files).map(|(tokenizer, _)| tokenizer)
}

/// What a llama model asks for.
fn wanted<'a>(vocab_size: u32, config_ids: &'a [(&'static str, u32)]) -> Wanted<'a> {
    Wanted {
        vocab_size,
        config_ids,
        special_tokens: &[],
        writes_space_prefix: true,
        kind: None,
        pre: None,
    }
}

/// The tokenizer of a folder with these files, and what is noted about it, without paths.
fn read_noting(
    vocab: u32,
    ids: &[(&'static str, u32)],
    files: &[(&str, &[u8])],
) -> Result<(Tokenizer, Vec<String>), Error> {
    let (notes, dir) = (Notes::default(), folder(files));
    let tokenizer = read(dir.path(), wanted(vocab, ids), &Limits::default(), &notes)?;
    let prefix = dir.path().display().to_string();
    let notes = notes.into_vec().into_iter();
    let notes = notes.map(|note| {
        note.replace(&format!("{prefix}/"), "")
            .replace(&prefix, ".")
    });
    Ok((tokenizer, notes.collect()))
}

fn tokens(t: &Tokenizer) -> Vec<(String, f32, i32)> {
    let array = |key| t.metadata.array(key).unwrap().unwrap();
    let texts = array("tokenizer.ggml.tokens").strings().unwrap();
    let scores = array("tokenizer.ggml.scores").to_f32s().unwrap();
    let types = array("tokenizer.ggml.token_type").to_i32s().unwrap();
    let rest = scores.into_iter().zip(types);
    texts
        .zip(rest)
        .map(|(t, (s, k))| (t.to_owned(), s, k))
        .collect()
}

fn keys(t: &Tokenizer) -> Vec<&str> {
    t.metadata
        .iter()
        .map(|(key, _)| key.strip_prefix("tokenizer.").unwrap())
        .collect()
}

#[test]
fn the_real_tokenizer() {
    let ids = [("bos", 1), ("eos", 2)];
    let t = read(
        &fixture("notus-7b-v1"),
        wanted(32_000, &ids),
        &Limits::default(),
        &Notes::default(),
    )
    .unwrap();
    let merges = t.merges.as_ref().unwrap();
    assert_eq!(merges.len(), 58_980);
    assert_eq!(merges.strings().unwrap().next(), Some("\u{2581} t"));
    let facts = TokenizerFacts::of(&t.metadata);
    assert_eq!((&*facts.model, facts.tokens), ("llama", 32_000));
    assert_eq!((facts.bos, facts.eos), (Some(1), Some(2)));
    assert_eq!((facts.unknown, facts.padding), (Some(0), Some(2)));
    assert!(facts.has_chat_template);
    let tokens = tokens(&t);
    assert_eq!(tokens[0], ("<unk>".into(), -1000.0, 3));
    assert_eq!(tokens[13], ("<0x0A>".into(), 0.0, 6));
    assert_eq!(tokens[259], ("\u{2581}\u{2581}".into(), -1e9, 1));
    assert_eq!(tokens[31_999].1, -31_740.0);
}

#[test]
fn a_model_alone_has_its_own_types_scores_and_ids() {
    let t = read_with(8, &[], &[("tokenizer.model", &model())]).unwrap();
    assert_eq!(
        tokens(&t),
        [
            ("<unk>".into(), 0.0, 2),
            ("<s>".into(), 0.0, 3),
            ("</s>".into(), 0.0, 3),
            ("<0x0A>".into(), 0.0, 6),
            ("\u{2581}a".into(), -1.0, 1),
            ("b".into(), -2.5, 4),
            ("[PAD6]".into(), -10_000.0, 5),
            ("[PAD7]".into(), -10_000.0, 5),
        ]
    );
    assert_eq!(
        keys(&t),
        [
            "ggml.model",
            "ggml.pre",
            "ggml.tokens",
            "ggml.scores",
            "ggml.token_type",
            "ggml.bos_token_id",
            "ggml.eos_token_id",
            "ggml.unknown_token_id",
        ]
    );
    assert!(t.merges.is_none());
}

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

/// add_bos, add_eos, add_sep of a post-processor, and the eos and eot ids.
fn template(single: &[&str], pair: &[&str], config: &str) -> [Option<u64>; 5] {
    let steps = |names: &[&str]| -> Value {
        let step = |name: &&str| match *name {
            "A" | "B" => json!({"Sequence": {"id": name, "type_id": 0}}),
            special => json!({"SpecialToken": {"id": special, "type_id": 0}}),
        };
        names.iter().map(step).collect()
    };
    let processor = json!({
        "type": "TemplateProcessing", "single": steps(single), "pair": steps(pair),
    });
    let added: Vec<_> = [(0, "<unk>"), (1, "<s>"), (2, "</s>")]
        .map(|(id, content)| json!({"id": id, "content": content}))
        .into();
    let json = json!({
        "added_tokens": added,
        "post_processor": {"type": "Sequence", "processors": [{"type": "Other"}, processor]},
    });
    let (json, model) = (json.to_string(), model());
    let mut files: Vec<(&str, &[u8])> = vec![
        ("tokenizer.model", &model),
        ("tokenizer.json", json.as_bytes()),
    ];
    if !config.is_empty() {
        files.push(("tokenizer_config.json", config.as_bytes()));
    }
    let m = read_with(6, &[], &files).unwrap().metadata;
    let flag = |kind: &str| m.bool(&format!("tokenizer.ggml.add_{kind}_token")).unwrap();
    let id = |kind: &str| m.u32(&format!("tokenizer.ggml.{kind}_token_id")).unwrap();
    [
        flag("bos").map(u64::from),
        flag("eos").map(u64::from),
        flag("sep").map(u64::from),
        id("eos").map(u64::from),
        id("eot").map(u64::from),
    ]
}

#[test]
fn templates_say_what_is_added() {
    let both = r#"{"bos_token":"<s>","eos_token":"</s>"}"#;
    for (single, pair, config, expected) in [
        (
            &["<s>", "A"][..],
            &["<s>", "A", "<s>", "B"][..],
            both,
            [Some(1), None, Some(0), Some(2), None],
        ),
        (
            &["<s>", "A", "</s>"],
            &["<s>", "A", "</s>", "B", "</s>"],
            both,
            [Some(1), Some(1), Some(0), Some(2), None],
        ),
        (
            &["<s>", "A"],
            &["<s>", "A", "</s>", "B"],
            both,
            [Some(1), None, Some(1), Some(2), None],
        ),
        (&["A"], &["A", "B"], both, [None, None, None, Some(2), None]),
        // Another token than bos leads.
        (
            &["<unk>", "A"],
            &[],
            both,
            [Some(0), None, None, Some(2), None],
        ),
        // Texts end with another token than turns do.
        (
            &["A", "<s>"],
            &[],
            both,
            [None, Some(1), None, Some(1), Some(2)],
        ),
        // The switches of tokenizer_config.json have the last word.
        (
            &["<s>", "A"],
            &[],
            r#"{"bos_token":"<s>","add_bos_token":false}"#,
            [Some(0), None, None, Some(2), None],
        ),
        // Without it the template is believed.
        (
            &["<s>", "A", "</s>"],
            &[],
            "",
            [Some(1), Some(1), None, Some(2), None],
        ),
    ] {
        assert_eq!(
            template(single, pair, config),
            expected,
            "{single:?} {pair:?} {config}"
        );
    }
}

#[test]
fn merges_are_joined_by_one_space() {
    let with = |merges: Value| {
        let json = json!({"model": {"merges": merges}}).to_string();
        let files: &[(&str, &[u8])] = &[
            ("tokenizer.model", &model()),
            ("tokenizer.json", json.as_bytes()),
        ];
        read_with(6, &[], files).map(|t| t.merges)
    };
    assert_eq!(
        with(json!([["a", "b"], ["a b", "c"]])).unwrap().unwrap(),
        Array::from_strings(["a b", "a\u{120}b c"])
    );
    assert_eq!(
        with(json!(["a b"])).unwrap().unwrap(),
        Array::from_strings(["a b"])
    );
    assert_eq!(with(json!([])).unwrap(), None);
    for bad in [json!([["a"]]), json!([["a", "b", "c"]]), json!([1])] {
        let error = with(bad).unwrap_err().to_string();
        assert!(
            error.contains("tokenizer.json: not the expected JSON"),
            "{error}"
        );
    }
}

#[test]
fn named_chat_templates() {
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
fn flags_of_the_normalizer_that_llama_does_not_have() {
    let pieces = [
        piece("<unk>", 0.0, 2),
        piece("<s>", 0.0, 3),
        piece("</s>", 0.0, 3),
    ]
    .concat();
    // Neither field: SentencePiece's defaults, a prefix and no runs of spaces.
    let t = read_with(
        3,
        &[],
        &[("tokenizer.model", &[pieces.clone(), bpe()].concat())],
    )
    .unwrap();
    let flag = |t: &Tokenizer, key| t.metadata.bool(key).unwrap();
    assert_eq!(flag(&t, "tokenizer.ggml.add_space_prefix"), None);
    assert_eq!(
        flag(&t, "tokenizer.ggml.remove_extra_whitespaces"),
        Some(true)
    );
    let spec = field(3, &[3 << 3, 0, 4 << 3, 0]);
    let t = read_with(
        3,
        &[],
        &[("tokenizer.model", &[pieces, bpe(), spec].concat())],
    )
    .unwrap();
    assert_eq!(flag(&t, "tokenizer.ggml.add_space_prefix"), Some(false));
    assert_eq!(flag(&t, "tokenizer.ggml.remove_extra_whitespaces"), None);
}

#[test]
fn bad_models() {
    let unk = piece("<unk>", 0.0, 2);
    for (bytes, part) in [
        (vec![], "no pieces"),
        (bpe(), "no pieces"),
        (b"hello world".to_vec(), "malformed at byte"),
        (
            model()[..model().len() - 1].to_vec(),
            "past the end of its message",
        ),
        ([model(), vec![0x0a, 0xff]].concat(), "past the end"),
        (
            field(1, &field(1, b"\xff\xfe")),
            "text of piece 0 is not UTF-8",
        ),
        (
            [unk.clone(), piece("", 0.0, 1)].concat(),
            "piece 1 is empty",
        ),
        (piece("x", f32::NAN, 1), "piece 0 has the score NaN"),
        (piece("x", 0.0, 7), "piece 0 has type 7, expected 1 to 6"),
        (field(1, &[3 << 3 | 2, 1, 1]), "wrong wire type"),
        (vec![1 << 3, 5], "piece has the wrong wire type"),
        (unk.clone(), "model type 1 is not supported"),
        (
            [unk.clone(), bpe()].concat(),
            "bos_id 1 is no piece, there are 1",
        ),
        (
            [
                unk.clone(),
                unk.clone(),
                unk,
                field(2, &[3 << 3, 2, 0xc0, 2, 200, 1]),
            ]
            .concat(),
            "unk_id 200 is no piece",
        ),
        (
            b"version https://git-lfs.github.com/spec/v1\n".to_vec(),
            "Git LFS",
        ),
    ] {
        let error = read_with(6, &[], &[("tokenizer.model", &bytes)])
            .unwrap_err()
            .to_string();
        assert!(error.contains("tokenizer.model: "), "{error}");
        assert!(error.contains(part), "{error}: no {part}");
    }
    let limits = Limits {
        vocab: 5,
        ..Limits::default()
    };
    let dir = folder(&[("tokenizer.model", &model())]);
    let error = read(dir.path(), wanted(5, &[]), &limits, &Notes::default())
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("pieces: 6 exceeds the limit of 5"),
        "{error}"
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

/// tokenizer.json of a SentencePiece model with the pieces `▁ a b c ab abc` from id 3, of which
/// the last two are merged; `edit` changes it.
fn joined(edit: impl FnOnce(&mut Value)) -> Value {
    let mut json = json!({
        "added_tokens": [
            {"id": 0, "content": "<unk>", "special": true},
            {"id": 1, "content": "<s>", "special": true},
            {"id": 9, "content": "\u{2581}<x>", "special": false},
        ],
        "normalizer": {"type": "Sequence", "normalizers": [
            {"type": "Prepend", "prepend": "\u{2581}"},
            {"type": "Replace", "pattern": {"String": " "}, "content": "\u{2581}"},
        ]},
        "model": {
            "type": "BPE", "unk_token": "<unk>", "byte_fallback": true,
            "vocab": {
                "<unk>": 0, "<s>": 1, "<0x0A>": 2,
                "\u{2581}": 3, "a": 4, "b": 5, "c": 6, "ab": 7, "abc": 8,
            },
            "merges": [["a", "b"], ["ab", "c"]],
        },
    });
    edit(&mut json);
    json
}

#[test]
fn tokenizer_json_alone_gives_the_model_that_it_was_made_of() {
    for name in ["notus-mini", "notus-7b-v1"] {
        let files = ["tokenizer.model", "tokenizer.json", "tokenizer_config.json"];
        let bytes = files.map(|file| std::fs::read(fixture(name).join(file)).unwrap());
        let all: Vec<_> = files
            .into_iter()
            .zip(bytes.iter().map(|b| &b[..]))
            .collect();
        let size = if name == "notus-mini" { 4096 } else { 32_000 };
        let (both, notes) = read_noting(size, &[], &all).unwrap();
        assert_eq!(notes, [""; 0]);
        let (alone, notes) = read_noting(size, &[], &all[1..]).unwrap();
        assert_eq!(notes, [""; 0]);
        assert_eq!(both.merges, alone.merges);
        let (both, alone) = (tokens(&both), tokens(&alone));
        for (id, (a, b)) in both.iter().zip(&alone).enumerate() {
            // `▁▁` of the larger one is merged last there, too, but with another score.
            let same_score = a.1 == b.1 || name == "notus-7b-v1" && id > 258;
            assert!(a.0 == b.0 && a.2 == b.2 && same_score, "{id}: {a:?} {b:?}");
        }
        // The order of all that is merged is the same.
        let by_score = |all: &[(String, f32, i32)]| {
            let mut ids: Vec<usize> = (259..all.len()).collect();
            ids.retain(|id| all[*id].0.chars().nth(1).is_some());
            ids.sort_by(|a, b| all[*b].1.total_cmp(&all[*a].1));
            ids
        };
        assert_eq!(by_score(&both), by_score(&alone));
    }
    let text = joined(|_| {}).to_string();
    let (t, notes) = read_noting(11, &[], &[("tokenizer.json", text.as_bytes())]).unwrap();
    assert_eq!(notes, [""; 0]);
    let expected = [
        ("<unk>", 0.0, 2),
        ("<s>", -1000.0, 3),
        ("<0x0A>", 0.0, 6),
        ("\u{2581}", 0.0, 1),
        ("a", -1.0, 1),
        ("b", -2.0, 1),
        ("c", -3.0, 1),
        ("ab", -4.0, 1),
        ("abc", -5.0, 1),
        (" <x>", -1000.0, 4),
        ("[PAD10]", -10_000.0, 5),
    ];
    assert_eq!(tokens(&t), expected.map(|(t, s, k)| (t.to_owned(), s, k)));
    assert_eq!(TokenizerFacts::of(&t.metadata).unknown, Some(0));
}

#[test]
fn what_scores_cannot_say_of_merges_is_refused_or_done_otherwise() {
    let read = |edit: &dyn Fn(&mut Value)| {
        let text = joined(edit).to_string();
        read_noting(11, &[], &[("tokenizer.json", text.as_bytes())])
    };
    let set = |path: &'static str, value: Value| {
        move |json: &mut Value| *json.pointer_mut(path).expect("a part of it") = value.clone()
    };
    // The merges' order is another than the ids'.
    let (t, _) = read(&set(
        "/model/vocab",
        json!({
            "<unk>": 0, "<s>": 1, "<0x0A>": 2, "abc": 3, "ab": 4, "a": 5, "b": 6, "c": 7,
        }),
    ))
    .unwrap();
    let tokens_of = tokens(&t);
    assert!(tokens_of[4].1 > tokens_of[3].1, "{tokens_of:?}");
    // No merge gives `abc`, so no text does: merging takes it apart again.
    let (t, _) = read(&set("/model/merges", json!(["a b"]))).unwrap();
    assert_eq!(tokens(&t)[8], ("abc".into(), f32::MIN, 5));
    for (path, value, part) in [
        // `bc` and `abc` without a merge of `a` and `bc`.
        (
            "/model",
            json!({
                "vocab": {"a": 2, "b": 3, "c": 4, "ab": 5, "bc": 6, "abc": 7},
                "merges": ["a b", "b c", "ab c"],
            }),
            "no merge joins \"a\" and \"bc\" though \"abc\" is a token",
        ),
        (
            "/model",
            json!({
                "vocab": {"a": 2, "b": 3, "c": 4, "ab": 5, "bc": 6, "abc": 7},
                "merges": ["a bc", "a b", "b c", "ab c"],
            }),
            "the merges that give the token \"abc\" do not follow each other",
        ),
        ("/model/merges", json!(["ab"]), "not two pieces"),
        (
            "/normalizer",
            json!({"type": "NFC"}),
            "its normalizer \"NFC\"",
        ),
        ("/normalizer", json!(null), "does not mark spaces"),
        (
            "/normalizer",
            json!({"type": "Sequence", "normalizers": [{"type": "Sequence", "normalizers": []}]}),
            "its normalizer \"Sequence\"",
        ),
        (
            "/model/type",
            json!("Unigram"),
            "type Unigram is not supported",
        ),
        (
            "/model/vocab",
            json!({"a": 5, "b": 5}),
            "have the same id 5",
        ),
        ("/model/vocab", json!({"": 5}), "token 5 is empty"),
        ("/model/vocab", json!({"a": -1}), "tokenizer.json"),
    ] {
        let error = read(&set(path, value)).unwrap_err().to_string();
        assert!(error.contains(part), "{error}: no {part}");
    }
    let byte_level = |json: &mut Value| {
        json["normalizer"] = json!(null);
        json["pre_tokenizer"] = json!({"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": "x"}}, {"type": "ByteLevel"},
        ]});
    };
    let error = read(&byte_level).unwrap_err().to_string();
    assert!(error.contains("--pre NAME"), "{error}");
    for (key, value) in [
        ("end_of_word_suffix", "</w>"),
        ("continuing_subword_prefix", "##"),
    ] {
        let with_affix = |json: &mut Value| {
            byte_level(json);
            json["model"][key] = json!(value);
        };
        let error = read(&with_affix).unwrap_err().to_string();
        assert!(error.contains(key), "{error}");
    }
    for (key, value) in [
        ("ignore_merges", json!(true)),
        ("end_of_word_suffix", json!("</w>")),
        ("continuing_subword_prefix", json!("##")),
    ] {
        let error = read(&|json| json["model"][key] = value.clone()).unwrap_err();
        assert!(error.to_string().contains(key), "{error}");
    }
}

#[test]
fn metaspace_says_where_a_space_is_put() {
    for (step, prefix, scheme) in [
        (
            json!({"prepend_scheme": "first", "split": false}),
            None,
            Some("first"),
        ),
        (
            json!({"prepend_scheme": "always", "split": false}),
            None,
            Some("always"),
        ),
        (json!({"prepend_scheme": "never"}), Some(false), None),
        (json!({"add_prefix_space": true}), None, Some("always")),
        (json!({"add_prefix_space": false}), Some(false), None),
    ] {
        let text = joined(|json| {
            json["normalizer"] = json!(null);
            json["pre_tokenizer"] = step.clone();
            json["pre_tokenizer"]["type"] = json!("Metaspace");
            json["pre_tokenizer"]["replacement"] = json!("\u{2581}");
        });
        let text = text.to_string();
        let (t, notes) = read_noting(11, &[], &[("tokenizer.json", text.as_bytes())]).unwrap();
        let m = &t.metadata;
        assert_eq!(
            m.bool("tokenizer.ggml.add_space_prefix"),
            Ok(prefix),
            "{step}"
        );
        assert_eq!(m.str("tokenizer.ggml.prepend_scheme"), Ok(scheme), "{step}");
        assert_eq!(notes.len(), usize::from(scheme.is_some()), "{notes:?}");
    }
    let error = |edit: fn(&mut Value)| {
        let text = joined(|json| {
            json["normalizer"] = json!(null);
            json["pre_tokenizer"] = json!({"type": "Metaspace"});
            edit(json);
        });
        let text = text.to_string();
        let read = read_noting(11, &[], &[("tokenizer.json", text.as_bytes())]);
        read.unwrap_err().to_string()
    };
    let found = error(|json| json["model"]["vocab"]["a\u{2581}b"] = json!(10));
    assert!(found.contains("splits the text into words"), "{found}");
    let found = error(|json| json["pre_tokenizer"]["replacement"] = json!("_"));
    assert!(found.contains("its pre-tokenizer \"Metaspace\""), "{found}");
}

#[test]
fn the_newer_of_two_vocabularies_is_taken_and_named() {
    let pieces = [
        ("<unk>", 2),
        ("<s>", 3),
        ("<0x0A>", 6),
        ("\u{2581}", 1),
        ("a", 1),
        ("b", 1),
    ];
    let of = |pieces: &[(&str, u8)]| {
        let pieces = pieces.iter().map(|(text, kind)| piece(text, 0.0, *kind));
        [
            pieces.collect::<Vec<_>>().concat(),
            bpe(),
            field(3, &[4 << 3, 0]),
        ]
        .concat()
    };
    let read = |model: &[u8], json: &Value| {
        let json = json.to_string();
        let files = [
            ("tokenizer.model", model),
            ("tokenizer.json", json.as_bytes()),
        ];
        read_noting(11, &[], &files)
    };
    let json = joined(|_| {});
    let (t, notes) = read(&of(&pieces), &json).unwrap();
    assert_eq!(tokens(&t)[8].0, "abc");
    assert_eq!(
        notes,
        [
            "tokenizer.json: it has 3 tokens that tokenizer.model does not have; its tokens are \
             taken, as transformers' fast tokenizers do"
        ]
    );
    let mut other = pieces;
    other[4].0 = "\u{1b}z";
    let (t, notes) = read(&of(&other), &json).unwrap();
    assert_eq!(tokens(&t)[4].0, "a");
    assert!(
        notes[0].contains("1 id with another token than in tokenizer.model (id 4: \"a\", there"),
        "{notes:?}"
    );
    let more = [
        &pieces[..],
        &[
            ("c", 1),
            ("ab", 1),
            ("abc", 1),
            ("\u{2581}<x>", 1),
            ("d", 1),
        ],
    ]
    .concat();
    let (t, notes) = read(&of(&more), &json).unwrap();
    assert_eq!(tokens(&t)[10].0, "d");
    assert_eq!(
        notes,
        [
            "tokenizer.json: it has 1 token fewer than tokenizer.model; those of \
             tokenizer.model are taken"
        ]
    );
    let error = read(
        &of(&pieces),
        &joined(|json| json["normalizer"] = json!(null)),
    );
    let error = error.unwrap_err().to_string();
    for part in ["tokenizer.model: ", "3 tokens that", "does not mark spaces"] {
        assert!(error.contains(part), "{error}: no {part}");
    }
}

#[test]
fn a_tokenizer_json_that_tokenizes_otherwise_than_the_model_is_noted() {
    let pieces = [
        ("<unk>", 0.0, 2),
        ("<s>", 0.0, 3),
        ("<0x0A>", 0.0, 6),
        ("\u{2581}", -3.0, 1),
        ("a", -4.0, 1),
        ("b", -5.0, 1),
        ("c", -6.0, 1),
        ("ab", -1.0, 1),
        ("abc", -2.0, 1),
    ];
    let pieces = pieces.map(|(text, score, kind)| piece(text, score, kind));
    let model = [pieces.concat(), bpe(), field(3, &[4 << 3, 0])].concat();
    // Reads with some keys of tokenizer.json, and of the model in it, set to other values.
    let read = |edit: Value, config: &str| {
        let json = joined(|json| {
            for (key, value) in edit.as_object().expect("keys and values") {
                match value.as_object().filter(|_| key == "model") {
                    Some(inner) => {
                        for (key, value) in inner {
                            json["model"][key] = value.clone();
                        }
                    }
                    None => json[key] = value.clone(),
                }
            }
        });
        let json = json.to_string();
        let files: [(&str, &[u8]); 3] = [
            ("tokenizer.model", &model),
            ("tokenizer.json", json.as_bytes()),
            ("tokenizer_config.json", config.as_bytes()),
        ];
        let (t, notes) = read_noting(11, &[], &files).unwrap();
        assert_eq!(tokens(&t)[8], ("abc".into(), -2.0, 1));
        notes
    };
    let replace = json!({"type": "Replace", "pattern": {"String": " "}, "content": "\u{2581}"});
    let no_prefix = json!({ "normalizer": replace });
    let lowercase = json!({"type": "Sequence", "normalizers": [{"type": "Lowercase"}, replace]});
    assert_eq!(read(json!({}), "{}"), [""; 0]);
    let config = r#"{"add_prefix_space":false}"#;
    assert_eq!(read(no_prefix.clone(), config), [""; 0]);
    for (edit, part) in [
        (no_prefix, "it puts no space before a text"),
        (
            json!({ "normalizer": lowercase }),
            "its normalizer \"Lowercase\"",
        ),
        (
            json!({
                "normalizer": null,
                "pre_tokenizer": {"type": "Metaspace", "prepend_scheme": "first", "split": false},
            }),
            "by the rule \"first\"",
        ),
        (json!({"model": {"type": "Unigram"}}), "type Unigram"),
        (
            json!({"model": {"byte_fallback": false}}),
            "it has no byte_fallback",
        ),
        (
            json!({"model": {"merges": ["ab c", "a b"]}}),
            "it merges \"abc\" before \"ab\"",
        ),
        (
            json!({"model": {"merges": ["a b"]}}),
            "no merge that gives the token \"abc\"",
        ),
        (
            json!({"model": {"ignore_merges": true}}),
            "model.ignore_merges",
        ),
    ] {
        let notes = read(edit, "{}");
        let [note] = &*notes else {
            panic!("{part}: {notes:?}");
        };
        for part in [
            "tokenizer.json: it would tokenize otherwise (",
            part,
            "); tokenizer.model is used",
        ] {
            assert!(note.contains(part), "{note}: no {part}");
        }
    }
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
fn normalizers_are_carried_over_or_refused() {
    let with = |part: Vec<u8>| {
        let bytes = [model(), part].concat();
        read_noting(6, &[], &[("tokenizer.model", &bytes)])
    };
    let charsmap = [&4u32.to_le_bytes()[..], &[0; 4], b"x\0"].concat();
    let spec = [field(2, &charsmap), vec![4 << 3, 1]].concat();
    let (t, notes) = with(field(3, &spec)).unwrap();
    let map = t
        .metadata
        .array("tokenizer.ggml.precompiled_charsmap")
        .unwrap();
    assert_eq!(map.unwrap().to_vec::<u8>().unwrap(), charsmap);
    assert_eq!(notes.len(), 1);
    for part in [
        "precompiled_charsmap",
        "remove_extra_whitespaces",
        "llama.cpp does not",
    ] {
        assert!(notes[0].contains(part), "{notes:?}");
    }
    let (t, notes) = with(field(3, &field(2, b""))).unwrap();
    assert!(
        t.metadata
            .get("tokenizer.ggml.precompiled_charsmap")
            .is_none()
    );
    assert_eq!(notes, [""; 0]);
    let (_, notes) = with(field(5, &field(2, b"x"))).unwrap();
    assert!(notes[0].contains("denormalizer"), "{notes:?}");
    for (part, words) in [
        (
            field(2, &[24 << 3 & 0x7f | 0x80, 1, 1]),
            "treat_whitespace_as_suffix",
        ),
        (field(3, &[5 << 3, 0]), "escape_whitespaces"),
        (
            field(3, &field(2, b"xyz")),
            "precompiled_charsmap of 3 bytes",
        ),
        (
            field(3, &field(2, &[9, 0, 0, 0, 1])),
            "precompiled_charsmap of 5 bytes",
        ),
        (
            field(3, &[2 << 3, 0]),
            "precompiled_charsmap has the wrong wire type",
        ),
    ] {
        let error = with(part).unwrap_err().to_string();
        assert!(error.contains(words), "{error}: no {words}");
    }
}

#[test]
fn templates_are_counted() {
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
