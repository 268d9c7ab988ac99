//! SentencePiece's own answers for two vocabularies, and what its answers do not cover.

use std::path::{Path, PathBuf};
use std::time::Instant;

use aeolus_checkpoint::{Forecastable, OpenOptions};
use aeolus_gguf::Array;

use super::*;

#[derive(serde::Deserialize)]
struct Case {
    text: String,
    ids: Vec<u32>,
    decoded: String,
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures")
}

fn tokenizer_of(folder: &str) -> Tokenizer {
    let facts = Forecastable::from_config(&fixtures().join(folder), &OpenOptions::default());
    Tokenizer::from_metadata(&facts.unwrap().metadata).unwrap()
}

fn plain() -> EncodeOptions {
    EncodeOptions::default()
}

#[test]
fn ids_and_texts_are_those_of_sentencepiece() {
    for folder in ["notus-mini", "notus-7b-v1"] {
        let tokenizer = tokenizer_of(folder);
        let path = fixtures().join(format!("text/tokenize-{folder}.json"));
        let cases: Vec<Case> = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        assert!(cases.len() > 100);
        for case in cases {
            let ids = tokenizer.encode(&case.text, plain());
            assert_eq!(ids, case.ids, "{folder}: {:?}", case.text);
            assert_eq!(
                tokenizer.decode(&case.ids).unwrap(),
                case.decoded,
                "{folder}"
            );
            // Piece by piece, as a generation prints it, nothing but the first space differs.
            let mut stream = StreamDecoder::new();
            let mut text = String::new();
            for &id in &case.ids {
                text += &stream.push(&tokenizer.token_bytes(id, false).unwrap());
            }
            text += &stream.finish();
            assert_eq!(text.strip_prefix(' ').unwrap_or(&text), case.decoded);
        }
    }
}

/// Another vocabulary, with the inputs and outputs of llama.cpp's own test.
#[test]
fn ids_are_those_of_llama_cpp_for_another_vocabulary() {
    let Some(reference) = std::env::var_os("AEOLUS_REFERENCE") else {
        println!("AEOLUS_REFERENCE is not set: llama-spm.gguf is not compared");
        return;
    };
    let folder = Path::new(&reference).join("text");
    let file = aeolus_gguf::GgufFile::open(&folder.join("llama-spm.gguf")).unwrap();
    let tokenizer = Tokenizer::from_metadata(file.metadata()).unwrap();
    let inputs = std::fs::read_to_string(folder.join("llama-spm.inp")).unwrap();
    let outputs = std::fs::read_to_string(folder.join("llama-spm.out")).unwrap();
    let inputs: Vec<&str> = inputs.split("\n__ggml_vocab_test__\n").collect();
    let outputs: Vec<&str> = outputs.lines().collect();
    assert!(inputs.len() > 30 && inputs.len() - outputs.len() <= 1);
    for (text, ids) in inputs.iter().zip(&outputs) {
        let expected: Vec<u32> = ids
            .split_whitespace()
            .map(|id| id.parse().unwrap())
            .collect();
        assert_eq!(tokenizer.encode(text, plain()), expected, "{text:?}");
    }
}

#[test]
fn control_tokens_count_only_where_asked() {
    let tokenizer = tokenizer_of("notus-7b-v1");
    let text = "a</s>\n<|user|> <unk>";
    let plain_ids = tokenizer.encode(text, plain());
    assert!(!plain_ids.contains(&2) && !plain_ids.contains(&0));
    assert_eq!(tokenizer.decode(&plain_ids).unwrap(), text);
    let parsed = tokenizer.encode(
        text,
        EncodeOptions {
            add_special: true,
            parse_special: true,
        },
    );
    // After a control token the text begins again, with its space.
    let expected = [
        &[1, 264, 2][..],
        &tokenizer.encode("\n<|user|> ", plain()),
        &[0],
    ]
    .concat();
    assert_eq!(parsed, expected);
    assert!(tokenizer.is_end(2) && !tokenizer.is_end(1));
    assert_eq!(tokenizer.token_bytes(2, true).unwrap(), b"</s>");
    assert_eq!(tokenizer.token_bytes(2, false).unwrap(), b"");
    assert!(matches!(
        tokenizer.decode(&[32_000]),
        Err(Error::TokenOutOfRange {
            id: 32_000,
            vocab: 32_000
        })
    ));
}

#[test]
fn a_special_token_that_does_not_exist_is_the_default_one() {
    let pieces = ["<unk>", "<s>", "</s>", "a", "b"];
    let file = |keys: &[(&'static str, i64)]| {
        let mut metadata = Metadata::new();
        metadata.insert("tokenizer.ggml.model", "llama");
        metadata.insert("tokenizer.ggml.tokens", Array::from_strings(pieces));
        metadata.insert("tokenizer.ggml.scores", Array::from_f32s(&[0.0; 5]));
        let kinds = Array::from_i32s(&[2, 3, 3, 1, 1]);
        metadata.insert("tokenizer.ggml.token_type", kinds);
        for (key, id) in keys {
            metadata.insert(format!("tokenizer.ggml.{key}_token_id"), *id);
        }
        metadata
    };
    let keys = ["bos", "eos", "unknown"];
    for (id, expected, notes) in [
        (None, [Some(1), Some(2), Some(0)], 0),
        (Some(5), [Some(1), Some(2), Some(0)], 3),
        (Some(99_999), [Some(1), Some(2), Some(0)], 3),
        (Some(-2), [Some(1), Some(2), Some(0)], 3),
        (Some(3), [Some(3); 3], 0),
        // There is none, which is odd for a beginning that every text has.
        (Some(-1), [None; 3], 1),
        (Some(i64::from(u32::MAX)), [None; 3], 1),
    ] {
        let keys: Vec<_> = keys.iter().filter_map(|key| Some((*key, id?))).collect();
        let tokenizer = Tokenizer::from_metadata(&file(&keys)).unwrap();
        let vocabulary = tokenizer.vocabulary();
        let found = [vocabulary.bos, vocabulary.eos, vocabulary.unk];
        assert_eq!(found, expected, "{id:?}");
        assert_eq!(tokenizer.notes().len(), notes, "{:?}", tokenizer.notes());
    }
    let mut none = file(&[("bos", -1)]);
    let notes = |metadata: &Metadata<'_>| Tokenizer::from_metadata(metadata).unwrap().notes;
    let note = &notes(&none)[0];
    assert!(
        note.contains("bos_token_id is -1") && note.contains("begin without one"),
        "{note}"
    );
    none.insert("tokenizer.ggml.add_bos_token", false);
    assert!(notes(&none).is_empty());
}

/// A vocabulary in a few words: (piece, score, kind).
fn small(pieces: &[(&str, f32, TokenKind)]) -> Vocabulary {
    Vocabulary {
        pieces: pieces.iter().map(|p| p.0.to_owned()).collect(),
        scores: pieces.iter().map(|p| p.1).collect(),
        kinds: pieces.iter().map(|p| p.2).collect(),
        bos: None,
        eos: None,
        unk: Some(0),
        add_bos: true,
        add_eos: true,
        add_space_prefix: false,
    }
}

/// Against the plain way: every token tried at every place, the longest first.
#[test]
fn special_tokens_are_the_longest_at_the_leftmost_place() {
    use TokenKind::{Control, Unknown, UserDefined};
    let mut seed = 7_u32;
    let mut random = |below: u32| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 8) % below
    };
    let mut found = 0;
    for _ in 0..200 {
        let mut word = |longest: u32| -> String {
            let letters = random(longest + 1);
            (0..letters)
                .map(|_| ['a', 'b', '\u{e9}'][random(3) as usize])
                .collect()
        };
        let words: Vec<String> = (0..12).map(|_| word(5)).collect();
        let kinds = [Control, UserDefined, Control, Unknown];
        let pieces: Vec<_> = words
            .iter()
            .zip(kinds.iter().cycle())
            .map(|(word, kind)| (word.as_str(), 0.0, *kind))
            .collect();
        let vocabulary = small(&pieces);
        let special = SpecialTokens::new(&vocabulary);
        for parse_control in [false, true] {
            let text = word(40);
            let mut fragments = Vec::new();
            special.split(&vocabulary, &text, parse_control, None, |f| {
                fragments.push(f)
            });
            let (mut expected, mut start, mut at) = (Vec::new(), 0, 0);
            while at < text.len() {
                let of_use = (0..words.len()).filter(|i| {
                    let wanted = parse_control || pieces[*i].2 == UserDefined;
                    wanted && !words[*i].is_empty() && text[at..].starts_with(&words[*i])
                });
                // Of equal ones the first.
                let longest = of_use.rev().max_by_key(|i| words[*i].len());
                match longest {
                    Some(i) => {
                        if start < at {
                            expected.push(Fragment::Text(&text[start..at]));
                        }
                        expected.push(Fragment::Token(i as u32));
                        at += words[i].len();
                        start = at;
                        found += 1;
                    }
                    None => at += text[at..].chars().next().map_or(1, char::len_utf8),
                }
            }
            if start < text.len() {
                expected.push(Fragment::Text(&text[start..]));
            }
            assert_eq!(fragments, expected, "{words:?} in {text:?}");
        }
    }
    assert!(found > 1000, "{found}");
}

/// Half a million tokens that begin alike, none of which is in a long text that begins like them
/// everywhere: were each tried at each place, this test would not end.
#[test]
fn special_tokens_that_begin_alike_do_not_multiply_the_time() {
    let words: Vec<String> = (0..1 << 19).map(|i| format!("e{i}")).collect();
    let pieces: Vec<_> = words
        .iter()
        .map(|word| (word.as_str(), 0.0, TokenKind::Control))
        .collect();
    let vocabulary = small(&pieces);
    let special = SpecialTokens::new(&vocabulary);
    let text = "e".repeat(4 << 20) + "e524287";
    let mut fragments = Vec::new();
    special.split(&vocabulary, &text, true, None, |f| fragments.push(f));
    let last = text.len() - 7;
    assert_eq!(
        fragments,
        [Fragment::Text(&text[..last]), Fragment::Token(524_287)]
    );
}

/// Each token begins with all that are shorter. In the first part of the text only the shortest one
/// is found, in the second the longest.
#[test]
fn special_tokens_within_each_other_are_found() {
    let words: Vec<String> = (2..=MAX_PIECE_BYTES).map(|n| "a".repeat(n)).collect();
    let pieces: Vec<_> = words
        .iter()
        .map(|word| (word.as_str(), 0.0, TokenKind::UserDefined))
        .collect();
    let vocabulary = small(&pieces);
    let special = SpecialTokens::new(&vocabulary);
    let text = "aab".repeat(10_000) + &"a".repeat(700);
    let mut ids = Vec::new();
    special.split(&vocabulary, &text, false, None, |fragment| {
        if let Fragment::Token(id) = fragment {
            ids.push(words[id as usize].len());
        }
    });
    assert_eq!(ids[..10_000], [2; 10_000]);
    assert_eq!(ids[10_000..], [512, 188]);
}

#[test]
fn merging_follows_scores_then_position() {
    use TokenKind::{Normal, Unknown, Unused, UserDefined};
    let tokenizer = Tokenizer::new(small(&[
        ("<unk>", 0.0, Unknown),
        ("a", 0.0, Normal),
        ("b", 0.0, Normal),
        ("ab", -1.0, Normal),
        ("ba", -1.0, Normal),
        ("aa", -0.0, Unused),
        ("aab", 0.0, Normal),
        ("[x]", 0.0, UserDefined),
        ("xy", 3.0, Normal),
    ]))
    .unwrap();
    let encode = |text: &str| tokenizer.encode(text, plain());
    assert_eq!(encode("aba"), [3, 1], "the leftmost of equal scores");
    assert_eq!(encode("bab"), [4, 2]);
    assert_eq!(encode("aab"), [6], "through an unused piece");
    assert_eq!(
        encode("aac"),
        [1, 1, 0],
        "an unused piece is taken apart again"
    );
    assert_eq!(
        encode("a[x]b"),
        [1, 7, 2],
        "user-defined pieces always count"
    );
    assert_eq!(encode("xy"), [8], "characters that are no token themselves");
    assert_eq!(encode("x"), [0], "no byte tokens: unknown");
    let everything = EncodeOptions {
        add_special: true,
        parse_special: true,
    };
    assert!(tokenizer.encode("", everything).is_empty());
    assert_eq!(tokenizer.decode(&[1, 0]).unwrap(), "a \u{2047} ");
}

#[test]
fn a_text_gets_one_beginning_and_no_end() {
    let mut tokenizer = tokenizer_of("notus-mini");
    tokenizer.vocabulary.add_eos = true;
    assert_eq!(tokenizer.closing(), Some(2));
    let encode = |tokenizer: &Tokenizer, text: &str, parse_special: bool| {
        let options = EncodeOptions {
            add_special: true,
            parse_special,
        };
        tokenizer.encode(text, options)
    };
    let hi = encode(&tokenizer, "hi", true);
    assert_eq!((hi[0], hi.contains(&2)), (1, false));
    assert_eq!(encode(&tokenizer, "<s>hi", true), hi);
    assert!(tokenizer.begins_by_itself("<s>hi") && !tokenizer.begins_by_itself(" <s>hi"));
    // As text it is not the beginning.
    assert!(encode(&tokenizer, "<s>hi", false).len() > hi.len() + 1);
    // What is written twice is meant.
    assert_eq!(encode(&tokenizer, "<s><s>", true), [1, 1]);
    tokenizer.vocabulary.add_bos = false;
    assert!(!tokenizer.begins_by_itself("<s>hi"));
    assert_eq!(encode(&tokenizer, "<s>hi", true), hi);
    tokenizer.vocabulary.add_eos = false;
    assert_eq!(tokenizer.closing(), None);
}

#[test]
fn contradictions_are_errors() {
    use TokenKind::Normal;
    let long = "a".repeat(MAX_PIECE_BYTES + 1);
    let mut short_scores = small(&[("a", 0.0, Normal), ("b", 0.0, Normal)]);
    short_scores.scores.pop();
    let mut bad_id = small(&[("a", 0.0, Normal)]);
    bad_id.bos = Some(1);
    let many = vec![("", 0.0, Normal); MAX_TOKENS + 1];
    let cases = [
        small(&[(&long, 0.0, Normal)]),
        small(&[(&long, 0.0, TokenKind::Control)]),
        short_scores,
        bad_id,
        small(&many),
    ];
    for vocabulary in cases {
        assert!(Tokenizer::new(vocabulary).is_err());
    }
    // An empty vocabulary, or one with NaN scores, encodes without a panic.
    let empty = Tokenizer::new(Vocabulary {
        unk: None,
        ..small(&[])
    })
    .unwrap();
    assert!(empty.is_empty());
    assert!(empty.encode("abc", plain()).is_empty());
    let nan = [
        ("a", f32::NAN, Normal),
        ("aa", f32::NAN, Normal),
        ("aaa", f32::NAN, Normal),
    ];
    let tokenizer = Tokenizer::new(small(&nan)).unwrap();
    assert_eq!(tokenizer.encode("aaaaa", plain()), [2, 1]);
}

/// Both shapes of a long text: many words, and one run that is never cut. Time that grew with the
/// square of the text would never end here.
#[test]
fn long_texts_come_to_an_end() {
    let tokenizer = tokenizer_of("notus-7b-v1");
    let words = std::fs::read_to_string(fixtures().join("text/heldout.txt")).unwrap();
    let words = words.repeat(4_000_000 / words.len());
    let run = "a".repeat(2_000_000);
    for text in [words, run] {
        let start = Instant::now();
        let ids = tokenizer.encode(&text, plain());
        println!(
            "{} bytes, {} tokens, {:?}",
            text.len(),
            ids.len(),
            start.elapsed()
        );
        assert_eq!(tokenizer.decode(&ids).unwrap(), text);
    }
}
