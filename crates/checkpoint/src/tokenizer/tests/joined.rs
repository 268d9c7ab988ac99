//! tokenizer.json with a SentencePiece model's pieces, alone or beside tokenizer.model.

use super::*;

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
