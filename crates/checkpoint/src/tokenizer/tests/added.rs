//! What is added to a text and done to it: post-processors and normalizers.

use super::*;

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
