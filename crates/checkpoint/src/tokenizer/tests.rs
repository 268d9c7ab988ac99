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
    read(folder(files).path(), vocab, ids, &Limits::default())
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
    let t = read(&fixture("notus-7b-v1"), 32_000, &ids, &Limits::default()).unwrap();
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
            ("b".into(), -2.5, 1),
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
    let config = br#"{"bos_token":"</s>","eos_token":"b","unk_token":"nowhere"}"#;
    let t = read_with(
        6,
        &[("eos", 1)],
        &[
            ("tokenizer.model", &model()),
            ("tokenizer_config.json", config),
        ],
    )
    .unwrap();
    let facts = TokenizerFacts::of(&t.metadata);
    // `b` is an ordinary piece: config.json decides. Nothing decides about unk but the model.
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
        "post_processor": {"type": "Sequence", "processors": [{"type": "ByteLevel"}, processor]},
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
    let error = read(dir.path(), 5, &[], &limits).unwrap_err().to_string();
    assert!(
        error.contains("pieces: 6 exceeds the limit of 5"),
        "{error}"
    );
}

#[test]
fn vocabularies_that_contradict_the_files() {
    let model = model();
    for (file, text, ids, parts) in [
        (
            "x",
            "",
            &[][..],
            [
                "tokenizer.model",
                "it has 6 tokens, but vocab_size in config.json is 5",
            ],
        ),
        (
            "added_tokens.json",
            r#"{"<pad>":6}"#,
            &[],
            ["added_tokens.json: <pad>", "id 6"],
        ),
        (
            "added_tokens.json",
            r#"{"<pad>":"6"}"#,
            &[],
            ["<pad>: expected a token id", "string"],
        ),
        (
            "tokenizer_config.json",
            r#"{"added_tokens_decoder":{"7":{"content":"x"}}}"#,
            &[],
            ["added_tokens_decoder.7", "vocab_size in config.json is 6"],
        ),
        (
            "tokenizer_config.json",
            r#"{"added_tokens_decoder":{"x":{"content":"x"}}}"#,
            &[],
            ["added_tokens_decoder.x", "token id as key"],
        ),
        (
            "tokenizer_config.json",
            r#"{"added_tokens_decoder":{"1":{}}}"#,
            &[],
            ["added_tokens_decoder.1.content", "missing"],
        ),
        (
            "tokenizer_config.json",
            r#"{"chat_template":1}"#,
            &[],
            ["chat_template", "found 1"],
        ),
        (
            "tokenizer_config.json",
            r#"{"bos_token":1}"#,
            &[],
            ["bos_token", "found 1"],
        ),
        (
            "tokenizer_config.json",
            r#"{"add_bos_token":1}"#,
            &[],
            ["add_bos_token", "true or false"],
        ),
        (
            "tokenizer_config.json",
            "[]",
            &[],
            ["tokenizer_config.json", "an object"],
        ),
        (
            "tokenizer.json",
            r#"{"added_tokens":[{"id":6,"content":"x"}]}"#,
            &[],
            ["tokenizer.json", "id 6"],
        ),
        ("tokenizer.json", "{", &[], ["tokenizer.json", "EOF"]),
        (
            "x",
            "",
            &[("pad", 6)],
            ["pad_token_id: no token has id 6", "vocab_size is 6"],
        ),
        (
            "tokenizer_config.json",
            r#"{"bos_token":"<s>"}"#,
            &[("bos", 99_999)],
            ["config.json: bos_token_id", "id 99999"],
        ),
        ("tokenizer.json", "[]", &[], ["tokenizer.json", "an object"]),
        (
            "tokenizer.json",
            r#"{"added_tokens":[[1,"x"]]}"#,
            &[],
            ["tokenizer.json", "an object"],
        ),
        (
            "tokenizer.json",
            r#"{"model":[]}"#,
            &[],
            ["tokenizer.json", "an object"],
        ),
        (
            "tokenizer.json",
            r#"{"post_processor":["TemplateProcessing"]}"#,
            &[],
            ["tokenizer.json", "an object"],
        ),
    ] {
        let vocab = if parts[1].ends_with(" 5") { 5 } else { 6 };
        let files: &[(&str, &[u8])] = &[("tokenizer.model", &model), (file, text.as_bytes())];
        let error = read_with(vocab, ids, files).unwrap_err().to_string();
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
    let error = read_with(6, &[], &[("tokenizer.json", b"{}")])
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("only SentencePiece is (tokenizer.model); --no-tokenizer"),
        "{error}"
    );
    assert_eq!(
        TokenizerFacts::of(&Tokenizer::none().metadata).model,
        "none"
    );
}

#[test]
fn refusals_cut_and_escape_what_they_quote() {
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
        let error = read_with(8, &[], &files).unwrap_err().to_string();
        assert!(error.contains("has id 99"), "{name}");
        assert!(error.len() < 1024 && !error.contains('\u{1b}'), "{error}");
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
