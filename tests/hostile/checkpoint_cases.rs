//! Hostile config.json, index and side files of a checkpoint folder.

use crate::checkpoint::{config, data, header, safetensors, shapes, weights};
use crate::run::{Case, Content, folder};
use serde_json::{Value, json};

const CONFIG: &str = "config.json";
const INDEX: &str = "model.safetensors.index.json";
const SHARD: &str = "model-00001-of-00002.safetensors";
const OTHER: &str = "model-00002-of-00002.safetensors";

pub fn all() -> Vec<Case> {
    let mut cases = files();
    cases.extend(texts());
    cases.extend(keys());
    cases.extend(indexes());
    cases
}

/// A file of JSON, replaced by bytes.
pub fn json_case(
    name: impl Into<String>,
    file: &'static str,
    bytes: impl Into<Vec<u8>>,
    words: &[&str],
) -> Case {
    folder(name, file, Content::Bytes(bytes.into()), words)
}

/// What is no JSON, or none that anybody should read; the same for every file.
pub fn no_json(file: &'static str) -> Vec<Case> {
    let deep = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
    let within = |n: usize| format!("{{\"a\":{}}}", deep(n));
    vec![
        json_case(format!("{file} of no bytes"), file, "", &[file]),
        json_case(
            format!("{file} cut short"),
            file,
            "{\"hidden_size\": 3",
            &[file],
        ),
        json_case(
            format!("{file} that is an array"),
            file,
            "[]",
            &[file, "object"],
        ),
        json_case(format!("{file} that is null"), file, "null", &[file]),
        json_case(
            format!("{file} that is no UTF-8"),
            file,
            b"{\"a\": \"\xff\xfe\"}",
            &[file],
        ),
        json_case(
            format!("{file} in UTF-16"),
            file,
            b"\xff\xfe{\0}\0",
            &[file],
        ),
        json_case(
            format!("{file} with more behind it"),
            file,
            "{} {}",
            &[file],
        ),
        json_case(
            format!("{file} of 100,000 brackets"),
            file,
            deep(100_000),
            &[file],
        ),
        json_case(
            format!("{file} with 100,000 brackets"),
            file,
            within(100_000),
            &[file],
        ),
        json_case(
            format!("{file} that is a Git LFS pointer"),
            file,
            "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n",
            &[file, "Git LFS"],
        ),
        folder(
            format!("{file} that is a folder"),
            file,
            Content::Folder,
            &[file],
        ),
        folder(
            format!("{file} that is a pipe"),
            file,
            Content::Pipe,
            &[file],
        ),
        folder(
            format!("{file} of 200 MiB"),
            file,
            Content::Sparse(200 << 20, vec![]),
            &[file, "209715200"],
        ),
    ]
}

/// Files that are gone or too large.
fn files() -> Vec<Case> {
    let mut cases = vec![
        folder("no config.json", CONFIG, Content::Gone, &[CONFIG]),
        folder(
            "no weights",
            "model.safetensors",
            Content::Gone,
            &["no weights"],
        ),
        folder(
            "no tokenizer.model",
            "tokenizer.model",
            Content::Gone,
            &["tokenizer.json"],
        ),
    ];
    cases.extend(no_json(CONFIG));
    cases.extend(no_json(INDEX));
    cases
}

/// JSON of many small values: the text is small, what a reader makes of it is not.
fn texts() -> Vec<Case> {
    let many = |count: usize| format!("{{\"extra\":[{}0]}}", "0,".repeat(count));
    let objects = |count: usize| format!("{{\"extra\":[{}{{}}]}}", "{},".repeat(count));
    vec![
        json_case(
            "config.json of 500,000 numbers",
            CONFIG,
            many(500_000),
            &[CONFIG, "values"],
        ),
        json_case(
            "config.json of 330,000 objects",
            CONFIG,
            objects(330_000),
            &[CONFIG, "values"],
        ),
        json_case(
            "tokenizer_config.json of 2,000,000 numbers",
            "tokenizer_config.json",
            many(2_000_000),
            &["tokenizer_config.json", "values"],
        ),
        json_case(
            "special_tokens_map.json of 1,300,000 objects",
            "special_tokens_map.json",
            objects(1_300_000),
            &["special_tokens_map.json", "values"],
        ),
        json_case(
            "added_tokens.json of 2,000,000 numbers",
            "added_tokens.json",
            many(2_000_000),
            &["added_tokens.json", "values"],
        ),
    ]
}

/// Keys of config.json with values that no model has.
fn keys() -> Vec<Case> {
    let mut cases = Vec::new();
    let mut add = |key: &str, value: Value, words: &[&str]| {
        let mut all = config();
        all[key] = value.clone();
        let mut spelt = value.to_string();
        spelt.truncate(40);
        let words: Vec<&str> = [CONFIG].into_iter().chain(words.iter().copied()).collect();
        cases.push(json_case(
            format!("{key} {spelt}"),
            CONFIG,
            all.to_string(),
            &words,
        ));
    };
    let wild = [
        json!(0),
        json!(-1),
        json!(1.5),
        json!(1e300),
        json!(4_294_967_296_u64),
        json!(u64::MAX),
        json!("32"),
        json!([32]),
        json!(true),
        json!({}),
    ];
    for key in [
        "hidden_size",
        "intermediate_size",
        "num_attention_heads",
        "num_hidden_layers",
        "num_key_value_heads",
        "vocab_size",
        "max_position_embeddings",
    ] {
        for value in &wild {
            add(key, value.clone(), &[key]);
        }
    }
    for value in [json!(5000), json!(1_000_000)] {
        add("num_hidden_layers", value, &["num_hidden_layers", "4096"]);
    }
    for value in [json!(3), json!(5)] {
        add("num_key_value_heads", value, &["num_key_value_heads"]);
    }
    add("head_dim", json!(15), &["head_dim"]);
    add("head_dim", json!(16_777_216), &["head_dim"]);
    for value in [json!(-1e-5), json!("small"), json!([1])] {
        add("rms_norm_eps", value, &["rms_norm_eps"]);
    }
    for value in [json!(0), json!(-1.0), json!("10000")] {
        add("rope_theta", value, &["rope_theta"]);
    }
    for value in [
        json!({ "type": "sideways", "factor": 2.0 }),
        json!({ "type": "linear" }),
        json!({ "type": "linear", "factor": -1.0 }),
        json!({ "type": "linear", "factor": "2" }),
        json!({ "rope_type": 3 }),
        json!("linear"),
    ] {
        add("rope_scaling", value, &["rope_scaling"]);
    }
    for value in [
        json!([]),
        json!("LlamaForCausalLM"),
        json!([1]),
        json!(["BertModel"]),
    ] {
        add("architectures", value, &["architectures"]);
    }
    add("hidden_act", json!("gelu"), &["hidden_act"]);
    add(
        "tie_word_embeddings",
        json!("yes"),
        &["tie_word_embeddings"],
    );
    add("attention_bias", json!(1), &["attention_bias"]);
    // What contradicts the weights is said by the tensor's name.
    for (key, value, word) in [
        ("hidden_size", json!(64), "model."),
        ("intermediate_size", json!(128), "mlp."),
        ("num_hidden_layers", json!(2), "model.layers.1."),
        ("num_hidden_layers", json!(4096), "model.layers."),
        ("num_attention_heads", json!(4), "self_attn"),
        ("vocab_size", json!(261), "embed_tokens"),
        ("vocab_size", json!(1_048_576), "embed_tokens"),
        ("tie_word_embeddings", json!(false), "lm_head"),
    ] {
        let mut all = config();
        all[key] = value.clone();
        cases.push(json_case(
            format!("weights that contradict {key} {value}"),
            CONFIG,
            all.to_string(),
            &[word],
        ));
    }
    cases
}

/// Indexes that lead elsewhere or say what the shards do not.
fn indexes() -> Vec<Case> {
    let index = |map: Value| json!({ "metadata": {}, "weight_map": map }).to_string();
    let whole = |shard: &str| -> Value {
        shapes()
            .into_iter()
            .map(|(name, _)| (name, json!(shard)))
            .collect::<serde_json::Map<_, _>>()
            .into()
    };
    let with = |key: &str, shard: Value| {
        let mut map = whole(SHARD);
        map[key] = shard;
        index(map)
    };
    let mut cases = Vec::new();
    for path in [
        "../secret.safetensors",
        "/etc/passwd",
        "a/../../b.safetensors",
        "..",
        ".",
        "",
        "C:\\secret",
        "sub/model.safetensors",
        "a\u{0}b",
        "a\nb",
    ] {
        cases.push(
            json_case(
                format!("an index that leads to {path:?}"),
                INDEX,
                with("model.norm.weight", json!(path)),
                &[INDEX, "model.norm.weight"],
            )
            .with(SHARD, Content::Bytes(weights())),
        );
    }
    let mut add = |name: &str, text: String, words: &[&str]| {
        cases.push(json_case(name, INDEX, text, words).with(SHARD, Content::Bytes(weights())));
    };
    add("an index of a number", index(json!(1)), &[INDEX]);
    add("an index of an array", index(json!([])), &[INDEX]);
    add("an index of nothing", index(json!({})), &[INDEX, "empty"]);
    add(
        "an index without a map",
        "{}".into(),
        &[INDEX, "weight_map"],
    );
    add(
        "an index with a number for a shard",
        with("model.norm.weight", json!(1)),
        &[INDEX],
    );
    add(
        "an index with a name of 10,000 bytes",
        with(&"n".repeat(10_000), json!(SHARD)),
        &[INDEX, "10000"],
    );
    let twice = index(whole(SHARD)).replacen(
        "\"model.norm.weight\"",
        &format!("\"model.norm.weight\":\"{SHARD}\",\"model.norm.weight\""),
        1,
    );
    add(
        "an index with a tensor twice",
        twice,
        &[INDEX, "model.norm.weight", "duplicate"],
    );
    let many: String = (0..270_000).map(|i| format!("\"{i}\":\"s\",")).collect();
    add(
        "an index of 270,000 tensors",
        format!("{{\"weight_map\":{{{many}\"a\":\"s\"}}}}"),
        &[INDEX, "262144"],
    );
    // The single file beside them would do.
    const SINGLE: &str = "model.safetensors";
    let missing = with("model.norm.weight", json!(OTHER));
    let words = [OTHER, "model.norm.weight"];
    cases.push(
        json_case("an index with a missing shard", INDEX, missing, &words)
            .with(SHARD, Content::Bytes(weights()))
            .with(SINGLE, Content::Gone),
    );
    // A tensor in both shards.
    let one = [("model.norm.weight".to_owned(), vec![32u64])];
    let (head, bytes) = header(&one);
    let second = safetensors(head.to_string().as_bytes(), &data(bytes));
    cases.push(
        json_case(
            "a tensor in two shards",
            INDEX,
            with("model.norm.weight", json!(OTHER)),
            &["model.norm.weight"],
        )
        .with(SHARD, Content::Bytes(weights()))
        .with(OTHER, Content::Bytes(second))
        .with(SINGLE, Content::Gone),
    );
    for (name, content) in [
        ("a shard that is a folder", Content::Folder),
        ("a shard that is a pipe", Content::Pipe),
        ("a shard of no bytes", Content::Bytes(vec![])),
    ] {
        cases.push(json_case(name, INDEX, index(whole(SHARD)), &[SHARD]).with(SHARD, content));
    }
    cases
}
