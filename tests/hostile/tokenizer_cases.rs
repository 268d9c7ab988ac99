//! Hostile tokenizer.model, tokenizer.json and the files beside them.

use crate::checkpoint::{
    bytes_field, piece, pieces, sentencepiece, tokenizer_json, trainer, varint_field,
};
use crate::checkpoint_cases::{json_case, no_json};
use crate::run::{Case, Content, folder};
use serde_json::{Value, json};

const MODEL: &str = "tokenizer.model";
const JSON: &str = "tokenizer.json";
const CONFIG: &str = "tokenizer_config.json";
const MAP: &str = "special_tokens_map.json";
const ADDED: &str = "added_tokens.json";

pub fn all() -> Vec<Case> {
    let mut cases = wire();
    cases.extend(models());
    for file in [JSON, CONFIG, MAP, ADDED] {
        // What is absent or null says nothing, and that is allowed; what is not looked at in
        // tokenizer.json is passed over.
        let mut harmless = vec![format!("{file} that is null")];
        if file == JSON {
            harmless.push(format!("{file} that is no UTF-8"));
            harmless.push(format!("{file} with 100,000 brackets"));
        }
        let harmful = no_json(file).into_iter();
        cases.extend(harmful.filter(|case| !harmless.contains(&case.name)));
    }
    cases.extend(json_files());
    cases.extend(templates());
    cases
}

fn model(name: &str, bytes: Vec<u8>, words: &[&str]) -> Case {
    let words: Vec<&str> = [MODEL].into_iter().chain(words.iter().copied()).collect();
    folder(
        format!("{MODEL} {name}"),
        MODEL,
        Content::Bytes(bytes),
        &words,
    )
}

/// Bytes that are no message.
fn wire() -> Vec<Case> {
    let good = sentencepiece();
    let with = |tail: &[u8]| [&good, tail].concat();
    let mut cases = vec![
        model("of no bytes", vec![], &["no pieces"]),
        model("of zeros", vec![0; 1000], &["a file of zeros"]),
        model("of text", b"a plain text file\n".to_vec(), &[]),
        model("that is JSON", b"{\"model\": {}}".to_vec(), &[]),
        model("cut in half", good[..good.len() / 2].to_vec(), &[]),
        model(
            "cut by one byte",
            good[..good.len() - 1].to_vec(),
            &["malformed"],
        ),
        model("with a varint cut short", with(&[0x80]), &["malformed"]),
        model(
            "with a varint of 11 bytes",
            with(&[0xff; 11]),
            &["malformed"],
        ),
        model(
            "with a varint beyond 64 bits",
            with(&[8, 255, 255, 255, 255, 255, 255, 255, 255, 255, 2]),
            &["64 bits"],
        ),
        model("with field 0", with(&[2, 0]), &["number 0"]),
        model("with a group", with(&[0x0b]), &["wire type"]),
        model("with wire type 7", with(&[0x0f]), &["wire type"]),
    ];
    for (length, spelt) in [
        (&[0x7f][..], "127"),
        (&[0xff; 9], "2^63"),
        (&[255, 255, 255, 255, 15], "2^32"),
    ] {
        let mut tail = vec![0x0a];
        tail.extend(length);
        if spelt == "2^63" {
            tail.push(1);
        }
        cases.push(model(
            &format!("with a piece of {spelt} bytes"),
            with(&tail),
            &["past the end"],
        ));
    }
    cases
}

/// Messages that are no vocabulary.
fn models() -> Vec<Case> {
    let with = |piece: Vec<u8>| [pieces(), piece, trainer(2, [0, 1, 2])].concat();
    let of = |kind: u64, ids: [i64; 3]| [pieces(), trainer(kind, ids)].concat();
    let nested = (0..2000).fold(vec![], |inner, _| bytes_field(2, &inner));
    let raw = |message: &[u8]| with(bytes_field(1, message));
    let mut cases = vec![
        model(
            "with an empty piece",
            with(piece(b"", 0.0, 1)),
            &["262", "empty"],
        ),
        model(
            "with a piece of no UTF-8",
            with(piece(b"a\xff", 0.0, 1)),
            &["262", "UTF-8"],
        ),
        model(
            "with a score of NaN",
            with(piece(b"x", f32::NAN, 1)),
            &["262", "NaN"],
        ),
        model(
            "with an infinite score",
            with(piece(b"x", f32::NEG_INFINITY, 1)),
            &["262", "inf"],
        ),
        model(
            "with a piece of type 0",
            with(piece(b"x", 0.0, 0)),
            &["262", "type 0"],
        ),
        model(
            "with a piece of type 7",
            with(piece(b"x", 0.0, 7)),
            &["262", "type 7"],
        ),
        model(
            "with a piece of type 2^64 - 1",
            with(piece(b"x", 0.0, u64::MAX)),
            &["262", "type"],
        ),
        model(
            "with a piece that is a number",
            with(varint_field(1, 5)),
            &["piece", "wire type"],
        ),
        model(
            "with a text that is a number",
            raw(&varint_field(1, 5)),
            &["wire type"],
        ),
        model(
            "with a score that is a number",
            raw(&varint_field(2, 5)),
            &["wire type"],
        ),
        model(
            "with a type that is a text",
            raw(&bytes_field(3, b"x")),
            &["wire type"],
        ),
        model("with a piece of nothing", raw(&[]), &["262", "empty"]),
        model("of no pieces", trainer(2, [0, 1, 2]), &["no pieces"]),
        model("of pieces alone", pieces(), &["type 1"]),
        model(
            "with a trainer that is a number",
            [pieces(), varint_field(2, 1)].concat(),
            &["wire type"],
        ),
        model("of messages in messages", [pieces(), nested].concat(), &[]),
        model(
            "with a character map that is too short",
            [sentencepiece(), bytes_field(3, &bytes_field(2, b"abc"))].concat(),
            &["precompiled_charsmap"],
        ),
        model(
            "with a character map longer than itself",
            [
                sentencepiece(),
                bytes_field(3, &bytes_field(2, &[0xfc; 16])),
            ]
            .concat(),
            &["precompiled_charsmap"],
        ),
    ];
    for kind in [0u64, 1, 3, 4, 99, u64::MAX] {
        cases.push(model(
            &format!("of type {kind}"),
            of(kind, [0, 1, 2]),
            &["type", "BPE"],
        ));
    }
    for id in [262i64, 1 << 31, i64::MAX, -2, i64::MIN] {
        cases.push(model(
            &format!("with the start token {id}"),
            of(2, [0, id, 2]),
            &["bos_id"],
        ));
        cases.push(model(
            &format!("with the end token {id}"),
            of(2, [0, 1, id]),
            &["eos_id"],
        ));
    }
    cases.push(folder(
        "tokenizer.model of 65 MiB",
        MODEL,
        Content::Sparse(65 << 20, vec![]),
        &[MODEL, "67108864"],
    ));
    cases.push(folder(
        "tokenizer.model that is a pipe",
        MODEL,
        Content::Pipe,
        &[MODEL],
    ));
    cases.push(folder(
        "tokenizer.model that is a folder",
        MODEL,
        Content::Folder,
        &[MODEL],
    ));
    cases.push(folder(
        "tokenizer.model that is a Git LFS pointer",
        MODEL,
        Content::Bytes(b"version https://git-lfs.github.com/spec/v1\n".to_vec()),
        &[MODEL, "Git LFS"],
    ));
    cases.push(folder(
        "tokenizer.model of two million empty pieces",
        MODEL,
        Content::Made(empty),
        &[MODEL],
    ));
    cases.push(folder(
        "tokenizer.model of 1,048,577 pieces",
        MODEL,
        Content::Made(million),
        &[MODEL],
    ));
    cases
}

fn empty() -> Vec<u8> {
    [0x0a, 0].repeat(2_000_000)
}

fn million() -> Vec<u8> {
    bytes_field(1, &bytes_field(1, b"x")).repeat((1 << 20) + 1)
}

fn json_files() -> Vec<Case> {
    let mut cases = Vec::new();
    let mut tokenizer = |name: &str, path: &[&str], value: Value, words: &[&str]| {
        let mut all = tokenizer_json();
        let mut at = &mut all;
        for key in path {
            at = &mut at[*key];
        }
        *at = value;
        let words: Vec<&str> = [JSON].into_iter().chain(words.iter().copied()).collect();
        cases.push(json_case(
            format!("{JSON} {name}"),
            JSON,
            all.to_string(),
            &words,
        ));
    };
    let token = |id: Value, content: Value| json!([{ "id": id, "content": content }]);
    for id in [
        json!(-1),
        json!(1.5),
        json!("1"),
        json!(null),
        json!(u64::MAX),
    ] {
        let name = format!("with the id {id}");
        tokenizer(&name, &["added_tokens"], token(id, json!("x")), &[]);
    }
    for content in [json!(1), json!(null), json!(["x"])] {
        let name = format!("with the content {content}");
        tokenizer(&name, &["added_tokens"], token(json!(1), content), &[]);
    }
    tokenizer(
        "with a token that is a number",
        &["added_tokens"],
        json!([1]),
        &["object"],
    );
    tokenizer(
        "with tokens in an object",
        &["added_tokens"],
        json!({}),
        &[],
    );
    tokenizer(
        "with 65,537 tokens",
        &["added_tokens"],
        json!(vec![json!({ "id": 0, "content": "" }); 65_537]),
        &["65536"],
    );
    for merge in [
        json!(1),
        json!(["a"]),
        json!(["a", "b", "c"]),
        json!([1, 2]),
        json!({}),
    ] {
        let name = format!("with the merge {merge}");
        tokenizer(&name, &["model", "merges"], json!([merge]), &[]);
    }
    tokenizer(
        "with merges in a text",
        &["model", "merges"],
        json!("a b"),
        &[],
    );
    for vocab in [
        json!(1),
        json!("a"),
        json!({ "a": -1 }),
        json!({ "a": 1.5 }),
        json!({ "a": u64::MAX }),
        json!({ "a": null }),
    ] {
        let name = format!("with the vocabulary {vocab}");
        tokenizer(&name, &["model", "vocab"], vocab, &[]);
    }
    // Another vocabulary than that of tokenizer.model, which has to be converted by itself.
    for (name, vocab, words) in [
        ("of other tokens", json!({ "x": 260 }), &["mark spaces"][..]),
        (
            "of a million ids",
            json!({ "x": 261, "y": 1_048_576 }),
            &["mark spaces"],
        ),
    ] {
        tokenizer(name, &["model", "vocab"], vocab, words);
    }
    tokenizer(
        "with a normalizer of 65 steps",
        &["normalizer"],
        json!({ "type": "Sequence", "normalizers": vec![json!({ "type": "x" }); 65] }),
        &["64"],
    );
    tokenizer("with a model that is a number", &["model"], json!(1), &[]);
    tokenizer(
        "with a post-processor that is a text",
        &["post_processor"],
        json!("x"),
        &[],
    );
    tokenizer(
        "with a post-processor of 65 steps",
        &["post_processor"],
        json!({ "type": "Sequence", "processors": vec![json!({ "type": "x" }); 65] }),
        &["64"],
    );
    let mut steps = json!({ "type": "x" });
    for _ in 0..100 {
        steps = json!({ "type": "Sequence", "processors": [steps] });
    }
    tokenizer(
        "with a hundred post-processors, each in the last",
        &["post_processor"],
        steps,
        &[],
    );
    cases.push(folder(
        "tokenizer.json of 1,100,000 merges",
        JSON,
        Content::Made(merges),
        &[JSON, "1048576"],
    ));
    cases.push(folder(
        "tokenizer.json of 1,100,000 tokens",
        JSON,
        Content::Made(vocabulary),
        &[JSON, "1048576"],
    ));
    let mut side = |file: &'static str, value: Value, words: &[&str]| {
        let mut spelt = value.to_string();
        spelt.truncate(60);
        let words: Vec<&str> = [file].into_iter().chain(words.iter().copied()).collect();
        cases.push(json_case(
            format!("{file} {spelt}"),
            file,
            value.to_string(),
            &words,
        ));
    };
    for file in [CONFIG, MAP] {
        for value in [
            json!(1),
            json!(["<s>"]),
            json!({ "content": 1 }),
            json!(true),
        ] {
            side(file, json!({ "pad_token": value }), &["pad_token"]);
        }
    }
    for (key, value) in [
        ("abc", json!({ "content": "x" })),
        ("-1", json!({ "content": "x" })),
        ("99999999999", json!({ "content": "x" })),
        ("5", json!({})),
        ("5", json!({ "content": 7 })),
        ("5", json!("x")),
        ("5", json!({ "content": "x", "special": "yes" })),
    ] {
        side(
            CONFIG,
            json!({ "added_tokens_decoder": { key: value } }),
            &["added_tokens_decoder"],
        );
    }
    side(
        CONFIG,
        json!({ "added_tokens_decoder": [1] }),
        &["added_tokens_decoder"],
    );
    side(
        CONFIG,
        json!({ "add_bos_token": "yes" }),
        &["add_bos_token"],
    );
    side(
        CONFIG,
        json!({ "add_prefix_space": 1 }),
        &["add_prefix_space"],
    );
    for id in [
        json!(-1),
        json!("5"),
        json!(1.5),
        json!(u64::MAX),
        json!([]),
    ] {
        side(ADDED, json!({ "<x>": id }), &["<x>"]);
    }
    cases
}

fn merges() -> Vec<u8> {
    let list = "\"a b\",".repeat(1_100_000);
    format!("{{\"model\":{{\"merges\":[{list}\"a b\"]}}}}").into_bytes()
}

fn vocabulary() -> Vec<u8> {
    let list = "\"a\":1,".repeat(1_100_000);
    format!("{{\"model\":{{\"vocab\":{{{list}\"b\":2}}}}}}").into_bytes()
}

/// Chat templates as a checkpoint has them.
fn templates() -> Vec<Case> {
    let mut cases = Vec::new();
    for value in [
        json!(1),
        json!({}),
        json!([1]),
        json!([{ "name": "a" }]),
        json!([{ "name": 1, "template": "x" }]),
    ] {
        let text = json!({ "chat_template": value }).to_string();
        let words = [CONFIG, "chat_template"];
        cases.push(json_case(
            format!("{CONFIG} with the template {value}"),
            CONFIG,
            text.clone(),
            &words,
        ));
        let file = "chat_template.json";
        let words = [file, "chat_template"];
        cases.push(json_case(
            format!("{file} with the template {value}"),
            file,
            text,
            &words,
        ));
    }
    cases.push(json_case(
        "chat_template.jinja that is no UTF-8",
        "chat_template.jinja",
        b"{{ 'a\xff' }}",
        &["chat_template.jinja", "UTF-8"],
    ));
    cases.push(folder(
        "chat_template.jinja of 5 MiB",
        "chat_template.jinja",
        Content::Sparse(5 << 20, vec![]),
        &["chat_template.jinja", "4194304"],
    ));
    cases.push(folder(
        "chat_template.jinja that is a pipe",
        "chat_template.jinja",
        Content::Pipe,
        &["chat_template.jinja"],
    ));
    cases
}
