//! A small whole model as a GGUF file whose every field can be spoilt.

/// Numbers of value types.
pub const U8: u32 = 0;
pub const U32: u32 = 4;
pub const I32: u32 = 5;
pub const F32: u32 = 6;
pub const BOOL: u32 = 7;
pub const STRING: u32 = 8;
pub const ARRAY: u32 = 9;
pub const U64: u32 = 10;

/// Sizes of the model.
pub const HIDDEN: u64 = 32;
pub const FF: u64 = 64;
pub const VOCAB: u64 = 262;
const CONTEXT: u32 = 64;

/// A value: its type and its bytes.
#[derive(Clone)]
pub struct Value(pub u32, pub Vec<u8>);

/// A pair.
#[derive(Clone)]
pub struct Pair {
    pub key: Vec<u8>,
    pub value: Value,
}

/// A tensor's line, and how many bytes of data it really has.
#[derive(Clone)]
pub struct Tensor {
    pub name: Vec<u8>,
    pub dims: Vec<u64>,
    pub ty: u32,
    pub offset: u64,
    pub data: Vec<u8>,
}

/// A file, field by field.
#[derive(Clone)]
pub struct Gguf {
    pub magic: [u8; 4],
    pub version: [u8; 4],
    /// What the header claims; `None` for the truth.
    pub tensor_count: Option<u64>,
    pub pair_count: Option<u64>,
    pub pairs: Vec<Pair>,
    pub tensors: Vec<Tensor>,
}

pub fn u32_value(x: u32) -> Value {
    Value(U32, x.to_le_bytes().into())
}

pub fn f32_value(x: f32) -> Value {
    Value(F32, x.to_le_bytes().into())
}

pub fn string(text: impl AsRef<[u8]>) -> Value {
    Value(STRING, counted(text.as_ref()))
}

/// An array of `len` items, which may be a lie.
pub fn array(ty: u32, len: u64, items: &[u8]) -> Value {
    let mut bytes = ty.to_le_bytes().to_vec();
    bytes.extend(len.to_le_bytes());
    bytes.extend(items);
    Value(ARRAY, bytes)
}

pub fn strings<T: AsRef<[u8]>>(items: &[T]) -> Value {
    let mut bytes = Vec::new();
    for item in items {
        bytes.extend((item.as_ref().len() as u64).to_le_bytes());
        bytes.extend(item.as_ref());
    }
    array(STRING, items.len() as u64, &bytes)
}

pub fn floats(items: &[f32]) -> Value {
    let bytes: Vec<u8> = items.iter().flat_map(|x| x.to_le_bytes()).collect();
    array(F32, items.len() as u64, &bytes)
}

pub fn ints(items: &[i32]) -> Value {
    let bytes: Vec<u8> = items.iter().flat_map(|x| x.to_le_bytes()).collect();
    array(I32, items.len() as u64, &bytes)
}

/// A length of 64 bits, then the bytes.
fn counted(bytes: &[u8]) -> Vec<u8> {
    let mut out = (bytes.len() as u64).to_le_bytes().to_vec();
    out.extend(bytes);
    out
}

/// Pieces of the vocabulary: three marks, all bytes, the mark of a space, two letters.
pub fn pieces() -> Vec<String> {
    let marks = ["<unk>", "<s>", "</s>"].map(str::to_owned);
    let bytes = (0..256).map(|byte| format!("<0x{byte:02X}>"));
    let letters = ["\u{2581}", "a", "b"].map(str::to_owned);
    marks.into_iter().chain(bytes).chain(letters).collect()
}

/// Kinds of the pieces.
pub fn kinds() -> Vec<i32> {
    let mut kinds = vec![2, 3, 3];
    kinds.extend([6; 256]);
    kinds.extend([1; 3]);
    kinds
}

impl Gguf {
    /// Replaces a value; the key must be there.
    pub fn set(mut self, key: &str, value: Value) -> Self {
        self.pair(key).value = value;
        self
    }

    /// Adds a pair at the end.
    pub fn add(mut self, key: impl AsRef<[u8]>, value: Value) -> Self {
        self.pairs.push(Pair {
            key: key.as_ref().into(),
            value,
        });
        self
    }

    /// Takes a pair out; it must be there.
    pub fn without(mut self, key: &str) -> Self {
        let before = self.pairs.len();
        self.pairs.retain(|pair| pair.key != key.as_bytes());
        assert_eq!(self.pairs.len() + 1, before, "{key}");
        self
    }

    fn pair(&mut self, key: &str) -> &mut Pair {
        let found = self.pairs.iter_mut().find(|p| p.key == key.as_bytes());
        found.unwrap_or_else(|| panic!("no key {key}"))
    }

    /// Changes a tensor's line.
    pub fn tensor(mut self, name: &str, change: impl FnOnce(&mut Tensor)) -> Self {
        let found = self.tensors.iter_mut().find(|t| t.name == name.as_bytes());
        change(found.unwrap_or_else(|| panic!("no tensor {name}")));
        self
    }

    /// Puts every tensor's data behind the one before, at multiples of 32.
    pub fn place(mut self) -> Self {
        let mut at = 0;
        for tensor in &mut self.tensors {
            tensor.offset = at;
            at = (at + tensor.data.len() as u64).next_multiple_of(32);
        }
        self
    }

    /// The file, and where each field of it begins.
    pub fn with_boundaries(&self) -> (Vec<u8>, Vec<(String, usize)>) {
        let (mut out, mut marks) = (Vec::new(), Vec::new());
        let mut put = |what: &str, bytes: &[u8]| {
            marks.push((what.to_owned(), out.len()));
            out.extend(bytes);
        };
        put("magic", &self.magic);
        put("version", &self.version);
        let (tensors, pairs) = (self.tensors.len() as u64, self.pairs.len() as u64);
        let tensors = self.tensor_count.unwrap_or(tensors);
        put("tensor count", &tensors.to_le_bytes());
        let pairs = self.pair_count.unwrap_or(pairs);
        put("metadata count", &pairs.to_le_bytes());
        for Pair { key, value } in &self.pairs {
            let name = String::from_utf8_lossy(key);
            let len = key.len() as u64;
            put(&format!("key length of {name}"), &len.to_le_bytes());
            put(&format!("key {name}"), key);
            put(&format!("type of {name}"), &value.0.to_le_bytes());
            match value.0 {
                ARRAY if value.1.len() > 12 => {
                    put(&format!("item type of {name}"), &value.1[..4]);
                    put(&format!("array length of {name}"), &value.1[4..12]);
                    let (first, rest) = value.1[12..].split_at((value.1.len() - 12).min(8));
                    put(&format!("first item of {name}"), first);
                    put(&format!("other items of {name}"), rest);
                }
                STRING if value.1.len() > 8 => {
                    put(&format!("string length of {name}"), &value.1[..8]);
                    put(&format!("string {name}"), &value.1[8..]);
                }
                _ => put(&format!("value of {name}"), &value.1),
            }
        }
        for tensor in &self.tensors {
            let name = String::from_utf8_lossy(&tensor.name);
            let len = tensor.name.len() as u64;
            put(&format!("name length of {name}"), &len.to_le_bytes());
            put(&format!("name {name}"), &tensor.name);
            let dims = tensor.dims.len() as u32;
            put(&format!("dimension count of {name}"), &dims.to_le_bytes());
            let dims: Vec<u8> = tensor.dims.iter().flat_map(|d| d.to_le_bytes()).collect();
            put(&format!("dimensions of {name}"), &dims);
            put(&format!("tensor type of {name}"), &tensor.ty.to_le_bytes());
            put(&format!("offset of {name}"), &tensor.offset.to_le_bytes());
        }
        marks.push(("padding".into(), out.len()));
        let data = out.len().next_multiple_of(32);
        out.resize(data, 0);
        for tensor in &self.tensors {
            // Only data whose place is a possible one is written.
            let Some(start) = usize::try_from(tensor.offset)
                .ok()
                .filter(|at| *at < 1 << 24)
            else {
                continue;
            };
            let end = data + start + tensor.data.len();
            out.resize(out.len().max(end), 0);
            out[end - tensor.data.len()..end].copy_from_slice(&tensor.data);
            let name = String::from_utf8_lossy(&tensor.name);
            marks.push((format!("data of {name}"), data + start));
        }
        marks.push(("the last byte".into(), out.len() - 1));
        (out, marks)
    }

    pub fn bytes(&self) -> Vec<u8> {
        self.with_boundaries().0
    }
}

/// One layer with F32 weights, a vocabulary, a chat template: every command takes it.
pub fn good() -> Gguf {
    let pair = |key: &str, value| Pair {
        key: key.into(),
        value,
    };
    let scores: Vec<f32> = (0..VOCAB).map(|id| -(id as f32)).collect();
    let template = "{% for message in messages %}{{ message['content'] }}{% endfor %}";
    let pairs = vec![
        pair("general.architecture", string("llama")),
        pair("general.name", string("good")),
        pair("llama.block_count", u32_value(1)),
        pair("llama.context_length", u32_value(CONTEXT)),
        pair("llama.embedding_length", u32_value(HIDDEN as u32)),
        pair("llama.feed_forward_length", u32_value(FF as u32)),
        pair("llama.attention.head_count", u32_value(2)),
        pair("llama.attention.head_count_kv", u32_value(2)),
        pair("llama.attention.layer_norm_rms_epsilon", f32_value(1e-5)),
        pair("llama.rope.dimension_count", u32_value(16)),
        pair("llama.rope.freq_base", f32_value(10_000.0)),
        pair("llama.vocab_size", u32_value(VOCAB as u32)),
        pair("tokenizer.ggml.model", string("llama")),
        pair("tokenizer.ggml.tokens", strings(&pieces())),
        pair("tokenizer.ggml.scores", floats(&scores)),
        pair("tokenizer.ggml.token_type", ints(&kinds())),
        pair("tokenizer.ggml.bos_token_id", u32_value(1)),
        pair("tokenizer.ggml.eos_token_id", u32_value(2)),
        pair("tokenizer.ggml.add_bos_token", Value(BOOL, vec![1])),
        pair("tokenizer.chat_template", string(template)),
    ];
    let mut state = 7u32;
    let mut tensors = Vec::new();
    let mut add = |name: &str, dims: &[u64]| {
        let count: u64 = dims.iter().product();
        let norm = if dims.len() == 1 { 1.0 } else { 0.0 };
        let data = (0..count).flat_map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (((state >> 16) as f32 / 65536.0 - 0.5) * 0.3 + norm).to_le_bytes()
        });
        tensors.push(Tensor {
            name: name.into(),
            dims: dims.into(),
            ty: 0,
            offset: 0,
            data: data.collect(),
        });
    };
    add("token_embd.weight", &[HIDDEN, VOCAB]);
    for (part, dims) in [
        ("attn_norm", &[HIDDEN][..]),
        ("attn_q", &[HIDDEN, HIDDEN]),
        ("attn_k", &[HIDDEN, HIDDEN]),
        ("attn_v", &[HIDDEN, HIDDEN]),
        ("attn_output", &[HIDDEN, HIDDEN]),
        ("ffn_norm", &[HIDDEN]),
        ("ffn_gate", &[HIDDEN, FF]),
        ("ffn_up", &[HIDDEN, FF]),
        ("ffn_down", &[FF, HIDDEN]),
    ] {
        add(&format!("blk.0.{part}.weight"), dims);
    }
    add("output_norm.weight", &[HIDDEN]);
    Gguf {
        magic: *b"GGUF",
        version: 3u32.to_le_bytes(),
        tensor_count: None,
        pair_count: None,
        pairs,
        tensors,
    }
    .place()
}
