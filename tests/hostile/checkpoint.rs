//! A small whole checkpoint folder, made of bytes.

use serde_json::{Value, json};

/// Sizes of the model.
pub const HIDDEN: u64 = 32;
pub const FF: u64 = 64;
pub const VOCAB: u64 = 262;

/// config.json.
pub fn config() -> Value {
    json!({
        "architectures": ["LlamaForCausalLM"],
        "bos_token_id": 1,
        "eos_token_id": 2,
        "hidden_act": "silu",
        "hidden_size": HIDDEN,
        "intermediate_size": FF,
        "max_position_embeddings": 128,
        "num_attention_heads": 2,
        "num_hidden_layers": 1,
        "num_key_value_heads": 2,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "tie_word_embeddings": true,
        "torch_dtype": "float32",
        "vocab_size": VOCAB,
    })
}

/// Names and shapes of tensors.
pub type Shapes = Vec<(String, Vec<u64>)>;

/// Those of the model.
pub fn shapes() -> Shapes {
    let mut shapes = vec![
        ("model.embed_tokens.weight".to_owned(), vec![VOCAB, HIDDEN]),
        ("model.norm.weight".to_owned(), vec![HIDDEN]),
    ];
    for (part, shape) in [
        ("input_layernorm", vec![HIDDEN]),
        ("post_attention_layernorm", vec![HIDDEN]),
        ("self_attn.q_proj", vec![HIDDEN, HIDDEN]),
        ("self_attn.k_proj", vec![HIDDEN, HIDDEN]),
        ("self_attn.v_proj", vec![HIDDEN, HIDDEN]),
        ("self_attn.o_proj", vec![HIDDEN, HIDDEN]),
        ("mlp.gate_proj", vec![FF, HIDDEN]),
        ("mlp.up_proj", vec![FF, HIDDEN]),
        ("mlp.down_proj", vec![HIDDEN, FF]),
    ] {
        shapes.push((format!("model.layers.0.{part}.weight"), shape));
    }
    shapes
}

/// The header of these tensors in F32, one behind the other, and the bytes of their data.
pub fn header(shapes: &[(String, Vec<u64>)]) -> (Value, u64) {
    let (mut header, mut at) = (serde_json::Map::new(), 0);
    for (name, shape) in shapes {
        let end = at + 4 * shape.iter().product::<u64>();
        let entry = json!({ "dtype": "F32", "shape": shape, "data_offsets": [at, end] });
        header.insert(name.clone(), entry);
        at = end;
    }
    (Value::Object(header), at)
}

/// A file of any header and any data.
pub fn safetensors(header: &[u8], data: &[u8]) -> Vec<u8> {
    let mut out = (header.len() as u64).to_le_bytes().to_vec();
    out.extend(header);
    out.extend(data);
    out
}

/// Small numbers around zero.
pub fn data(bytes: u64) -> Vec<u8> {
    let mut state = 11u32;
    let floats = (0..bytes / 4).flat_map(|_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        ((state >> 16) as f32 / 65536.0 - 0.5).to_le_bytes()
    });
    floats.collect()
}

/// model.safetensors.
pub fn weights() -> Vec<u8> {
    let (header, bytes) = header(&shapes());
    safetensors(header.to_string().as_bytes(), &data(bytes))
}

/// A field of a protocol buffers message: a number and bytes.
pub fn bytes_field(number: u64, bytes: &[u8]) -> Vec<u8> {
    let mut out = varint(number << 3 | 2);
    out.extend(varint(bytes.len() as u64));
    out.extend(bytes);
    out
}

/// A field of a protocol buffers message: two numbers.
pub fn varint_field(number: u64, value: u64) -> Vec<u8> {
    [varint(number << 3), varint(value)].concat()
}

fn varint(mut n: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
    out
}

/// A piece of tokenizer.model.
pub fn piece(text: &[u8], score: f32, kind: u64) -> Vec<u8> {
    let score = [&[2 << 3 | 5][..], &score.to_le_bytes()].concat();
    let message = [bytes_field(1, text), score, varint_field(3, kind)].concat();
    bytes_field(1, &message)
}

/// The pieces of tokenizer.model, without what follows them.
pub fn pieces() -> Vec<u8> {
    let mut out = [
        piece(b"<unk>", 0.0, 2),
        piece(b"<s>", 0.0, 3),
        piece(b"</s>", 0.0, 3),
    ]
    .concat();
    for byte in 0..256 {
        out.extend(piece(format!("<0x{byte:02X}>").as_bytes(), 0.0, 6));
    }
    for (at, text) in ["\u{2581}", "a", "b"].iter().enumerate() {
        out.extend(piece(text.as_bytes(), -(at as f32), 1));
    }
    out
}

/// The trainer's part of tokenizer.model: the kind of model and three ids.
pub fn trainer(model_type: u64, ids: [i64; 3]) -> Vec<u8> {
    let mut message = varint_field(3, model_type);
    for (number, id) in (40..).zip(ids) {
        message.extend(varint_field(number, id as u64));
    }
    bytes_field(2, &message)
}

/// tokenizer.model.
pub fn sentencepiece() -> Vec<u8> {
    [pieces(), trainer(2, [0, 1, 2])].concat()
}

/// tokenizer.json: what is read of it.
pub fn tokenizer_json() -> Value {
    json!({
        "version": "1.0",
        "added_tokens": [
            { "id": 0, "content": "<unk>", "special": true },
            { "id": 1, "content": "<s>", "special": true },
            { "id": 2, "content": "</s>", "special": true },
        ],
        "post_processor": null,
        "normalizer": null,
        "model": { "type": "BPE", "vocab": {}, "merges": [] },
    })
}

/// All files of the folder.
pub fn good() -> Vec<(&'static str, Vec<u8>)> {
    let text = |value: Value| value.to_string().into_bytes();
    vec![
        ("config.json", text(config())),
        ("model.safetensors", weights()),
        ("tokenizer.model", sentencepiece()),
        ("tokenizer.json", text(tokenizer_json())),
        (
            "tokenizer_config.json",
            text(json!({ "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>" })),
        ),
    ]
}
