//! tokenizer.model alone.

use super::*;

#[test]
fn the_tokenizer_of_notus_has_its_published_tokens() {
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
fn malformed_models_are_refused() {
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
            "bos_id 1 is not a piece: there are 1",
        ),
        (
            [
                unk.clone(),
                unk.clone(),
                unk,
                field(2, &[3 << 3, 2, 0xc0, 2, 200, 1]),
            ]
            .concat(),
            "unk_id 200 is not a piece",
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
