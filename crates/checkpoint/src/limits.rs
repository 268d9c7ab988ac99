//! How much a file from outside may ask for.

/// Bounds on what is read from a checkpoint. Every size found in a file is held against these
/// and against the file's true size before anything is allocated for it.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes of config.json and generation_config.json. Default 1 MiB.
    pub config_bytes: u64,
    /// Bytes of tokenizer_config.json, special_tokens_map.json, added_tokens.json and chat
    /// template files. Default 4 MiB.
    pub tokenizer_config_bytes: u64,
    /// Values of one JSON file that is read as a tree: of all those above. Default 262,144.
    pub json_values: usize,
    /// Bytes of tokenizer.json and of tokenizer.model. Default 64 MiB.
    pub tokenizer_bytes: u64,
    /// Bytes of model.safetensors.index.json. Default 32 MiB.
    pub index_bytes: u64,
    /// Bytes of the JSON header of one shard. Default 100,000,000, the format's own bound.
    pub header_bytes: u64,
    /// Tensors in one checkpoint, experts that are stored one by one counted each. Default 262,144.
    pub tensors: usize,
    /// Tensors in one shard of a folder. Default 65,536.
    pub shard_tensors: usize,
    /// Tokens in the vocabulary. Default 1,048,576.
    pub vocab: u32,
    /// Layers. Default 4096.
    pub layers: u32,
    /// Any other dimension, also the rows of all heads together. Default 16,777,216.
    pub dimension: u32,
    /// Bounds of the GGUF parser. Default its own, but for 4,096 key-value pairs: every output gets
    /// them all, each compared with those before it.
    pub gguf: aeolus_gguf::Limits,
}

impl Limits {
    /// Those of the hyperparameters.
    pub(crate) fn bounds(&self) -> aeolus_arch::Bounds {
        aeolus_arch::Bounds {
            dimension: self.dimension,
            layers: self.layers,
            vocab: self.vocab,
            ..aeolus_arch::Bounds::default()
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            config_bytes: 1 << 20,
            tokenizer_config_bytes: 4 << 20,
            json_values: 1 << 18,
            tokenizer_bytes: 64 << 20,
            index_bytes: 32 << 20,
            header_bytes: 100_000_000,
            tensors: 1 << 18,
            shard_tensors: 1 << 16,
            vocab: 1 << 20,
            layers: 4096,
            dimension: 1 << 24,
            gguf: aeolus_gguf::Limits {
                metadata_count: 4096,
                ..aeolus_gguf::Limits::default()
            },
        }
    }
}
