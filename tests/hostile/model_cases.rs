//! Well-formed files whose metadata no model has, or whose tensors are others than it says.

use crate::gguf::{
    ARRAY, F32, Gguf, U32, U64, VOCAB, Value, array, f32_value, good, ints, string, u32_value,
};
use crate::run::{ALL, COMPUTE, Case, MODEL, QUANTIZE, file};

pub fn all() -> Vec<Case> {
    let mut cases = types();
    cases.extend(numbers());
    cases.extend(missing());
    cases.extend(tensors());
    cases.extend(weights());
    cases
}

fn case(name: impl Into<String>, spoilt: Gguf, by: u8, words: &[&str]) -> Case {
    file(name, spoilt.bytes(), by, words)
}

/// Every key that a model needs, with a value of every other kind.
fn types() -> Vec<Case> {
    let texts = ["general.architecture", "tokenizer.ggml.model"];
    let sizes = [
        "llama.block_count",
        "llama.context_length",
        "llama.embedding_length",
        "llama.feed_forward_length",
        "llama.attention.head_count",
        "llama.vocab_size",
    ];
    let floats = [
        "llama.attention.layer_norm_rms_epsilon",
        "llama.rope.freq_base",
    ];
    let arrays = [
        "tokenizer.ggml.tokens",
        "tokenizer.ggml.scores",
        "tokenizer.ggml.token_type",
    ];
    let mut cases = Vec::new();
    let mut add = |key: &str, as_what: &str, value: Value, by: u8| {
        let spoilt = good().set(key, value);
        cases.push(case(format!("{key} as {as_what}"), spoilt, by, &[key]));
    };
    for key in texts {
        // A copy needs no tokenizer, only its tokens.
        let by = if key.starts_with("general") {
            MODEL
        } else {
            COMPUTE
        };
        add(key, "UINT32", u32_value(1), by);
        add(key, "ARRAY", ints(&[1]), by);
        add(key, "FLOAT32", f32_value(1.0), by);
    }
    for key in sizes {
        add(key, "STRING", string("1"), MODEL);
        add(key, "FLOAT32", f32_value(1.0), MODEL);
        add(key, "an ARRAY of STRING", array(8, 0, &[]), MODEL);
        add(key, "INT32 of -1", Value(5, vec![0xff; 4]), MODEL);
        add(
            key,
            "UINT64 of 2^32",
            Value(U64, (1u64 << 32).to_le_bytes().into()),
            MODEL,
        );
    }
    for key in floats {
        add(key, "STRING", string("1e-5"), MODEL);
        add(key, "ARRAY", array(F32, 1, &1e-5f32.to_le_bytes()), MODEL);
    }
    for key in arrays {
        let by = if key.ends_with("tokens") {
            MODEL
        } else {
            COMPUTE
        };
        add(key, "STRING", string("x"), by);
        add(key, "UINT32", u32_value(VOCAB as u32), by);
    }
    for key in arrays {
        let nested = array(ARRAY, 1, &array(U32, 0, &[]).1);
        let by = if key.ends_with("tokens") {
            MODEL
        } else {
            COMPUTE
        };
        add(key, "an ARRAY of ARRAY", nested, by);
    }
    add(
        "tokenizer.ggml.add_bos_token",
        "STRING",
        string("yes"),
        COMPUTE,
    );
    cases
}

/// Numbers that no model has.
fn numbers() -> Vec<Case> {
    let mut cases = Vec::new();
    let wild = [0u32, 1 << 20, 1 << 31, u32::MAX];
    for (key, others) in [
        ("llama.block_count", &[2u32, 33, 4096, 4097, 16_384][..]),
        ("llama.embedding_length", &[1, 31, 33, 64]),
        ("llama.feed_forward_length", &[1, 63, 65, 128]),
        ("llama.attention.head_count", &[1, 3, 4, 32]),
        ("llama.attention.head_count_kv", &[1, 3, 4, 32]),
        ("llama.vocab_size", &[1, 261, 263, 32_000]),
    ] {
        for number in wild.iter().chain(others) {
            let spoilt = good().set(key, u32_value(*number));
            cases.push(case(
                format!("{key} {number}"),
                spoilt,
                MODEL,
                &["bad.gguf"],
            ));
        }
    }
    let zero = good().set("llama.context_length", u32_value(0));
    cases.push(case(
        "llama.context_length 0",
        zero,
        MODEL,
        &["llama.context_length"],
    ));
    for number in [1u32, 15, 17, 18, 1 << 31, u32::MAX] {
        let key = "llama.rope.dimension_count";
        let spoilt = good().set(key, u32_value(number));
        cases.push(case(format!("{key} {number}"), spoilt, COMPUTE, &[key]));
    }
    for key in [
        "llama.attention.layer_norm_rms_epsilon",
        "llama.rope.freq_base",
    ] {
        for x in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -1.0] {
            let spoilt = good().set(key, f32_value(x));
            cases.push(case(format!("{key} {x}"), spoilt, MODEL, &[key]));
        }
    }
    for (key, number) in [
        ("llama.attention.key_length", 0),
        ("llama.attention.key_length", 8),
        ("llama.attention.key_length", u32::MAX),
        ("llama.attention.value_length", 8),
        ("llama.expert_count", 8),
    ] {
        let spoilt = good().add(key, u32_value(number));
        cases.push(case(
            format!("{key} {number}"),
            spoilt,
            MODEL,
            &["bad.gguf"],
        ));
    }
    for (key, value, name) in [
        ("llama.rope.scaling.type", string("sideways"), "sideways"),
        ("llama.rope.scaling.factor", f32_value(0.0), "0"),
        ("llama.rope.scaling.factor", f32_value(f32::NAN), "NaN"),
        ("llama.rope.scaling.factor", string("2"), "STRING"),
    ] {
        let spoilt = good().add(key, value);
        cases.push(case(
            format!("{key} {name}"),
            spoilt,
            COMPUTE,
            &["bad.gguf"],
        ));
    }
    for name in ["", "bert", "llama\0", "LLAMA", "\x1b]0;title\x07"] {
        let spoilt = good().set("general.architecture", string(name));
        let words = ["rchitecture"];
        cases.push(case(
            format!("architecture {name:?}"),
            spoilt,
            MODEL,
            &words,
        ));
    }
    cases
}

fn missing() -> Vec<Case> {
    let mut cases = Vec::new();
    for key in [
        "general.architecture",
        "llama.block_count",
        "llama.context_length",
        "llama.embedding_length",
        "llama.feed_forward_length",
        "llama.attention.head_count",
        "llama.attention.layer_norm_rms_epsilon",
        "tokenizer.ggml.tokens",
    ] {
        cases.push(case(
            format!("no {key}"),
            good().without(key),
            MODEL,
            &[key],
        ));
    }
    let mut nothing = good();
    (nothing.pairs, nothing.tensors) = (vec![], vec![]);
    cases.push(case(
        "a header of nothing",
        nothing,
        MODEL,
        &["general.architecture"],
    ));
    cases
}

fn tensors() -> Vec<Case> {
    let mut cases = Vec::new();
    for name in [
        "token_embd.weight",
        "blk.0.attn_q.weight",
        "output_norm.weight",
    ] {
        let mut spoilt = good();
        spoilt.tensors.retain(|t| t.name != name.as_bytes());
        cases.push(case(format!("no {name}"), spoilt, MODEL, &[name]));
        let renamed = good().tensor(name, |t| t.name = b"blk.0.attn_q.bias_".into());
        cases.push(case(
            format!("{name} under another name"),
            renamed,
            MODEL,
            &["bad.gguf"],
        ));
    }
    for (what, dims) in [
        ("turned", vec![64, 32]),
        ("flat", vec![2048]),
        ("of three dimensions", vec![32, 32, 2]),
        ("of half the rows", vec![32, 32]),
        ("of longer rows", vec![64, 16]),
    ] {
        let name = "blk.0.ffn_up.weight";
        let spoilt = good().tensor(name, |t| t.dims = dims);
        cases.push(case(format!("{name} {what}"), spoilt, MODEL, &[name]));
    }
    // Types that are known to the format, but hold no weights that can be read.
    for ty in [24u32, 25, 26, 27] {
        let name = "blk.0.ffn_up.weight";
        let spoilt = good().tensor(name, |t| t.ty = ty);
        let mut case = case(format!("{name} in type {ty}"), spoilt, MODEL, &[name]);
        if ty == 27 {
            // 64-bit integers need more bytes than there are.
            case.refused_by = ALL;
        }
        cases.push(case);
    }
    let mut extra = good();
    let mut other = extra.tensors[1].clone();
    other.name = b"blk.7.attn_norm.weight".into();
    extra.tensors.push(other);
    cases.push(case(
        "a tensor of a layer too many",
        extra.place(),
        MODEL,
        &["blk.7"],
    ));
    let mut bias = good();
    let mut other = bias.tensors[1].clone();
    other.name = b"blk.0.attn_x.weight".into();
    bias.tensors.push(other);
    cases.push(case(
        "a tensor that no model has",
        bias.place(),
        MODEL,
        &["attn_x"],
    ));
    let mut none = good();
    none.tensors.clear();
    cases.push(case("no tensors", none, MODEL, &["without weights"]));
    cases
}

/// Numbers that are none.
fn weights() -> Vec<Case> {
    let mut cases = Vec::new();
    for (what, bits) in [("NaN", 0x7fc0_0000u32), ("infinity", 0x7f80_0000)] {
        for name in ["token_embd.weight", "blk.0.ffn_up.weight"] {
            let spoilt = good().tensor(name, |t| {
                let count = t.data.len() / 4;
                t.data = bits.to_le_bytes().repeat(count);
            });
            let words: &[&str] = &[];
            cases.push(case(
                format!("{name} all {what}"),
                spoilt.clone(),
                COMPUTE,
                words,
            ));
            let word = format!("{name} all {what}, quantized");
            cases.push(case(word, spoilt, QUANTIZE, &[name]));
        }
    }
    // Blocks of Q4_0 whose scale is infinite.
    let spoilt = good().tensor("blk.0.ffn_up.weight", |t| {
        t.ty = 2;
        t.data = [&[0x00, 0x7c][..], &[0x88; 16]].concat().repeat(64);
    });
    cases.push(case(
        "blocks with an infinite scale",
        spoilt.place(),
        COMPUTE,
        &[],
    ));
    cases
}
