//! How much memory running a file takes.

use aeolus_gguf::Metadata;

/// What publishers add to a file's size for "max RAM required", in bytes: a small context and
/// the runtime's buffers, without a GPU.
pub const RAM_OVERHEAD_BYTES: u64 = 2_500_000_000;

/// Bytes of an f16 KV cache for `tokens` positions: keys and values of every layer. `None` if
/// the metadata do not say, or say different things for different layers.
pub fn kv_cache_bytes(metadata: &Metadata<'_>, tokens: u64) -> Option<u64> {
    let architecture = metadata.str("general.architecture").ok()??;
    let number = |key: &str| {
        metadata
            .u64(&format!("{architecture}.{key}"))
            .ok()
            .flatten()
    };
    let layers = number("block_count")?;
    let heads = number("attention.head_count")?;
    let kv_heads = number("attention.head_count_kv").or(
        match metadata.get(&format!("{architecture}.attention.head_count_kv")) {
            None => Some(heads),
            Some(_) => None,
        },
    )?;
    let default = || number("embedding_length")?.checked_div(heads);
    let key = number("attention.key_length").or_else(default)?;
    let value = number("attention.value_length").or_else(default)?;
    let elements = kv_heads.checked_mul(key.checked_add(value)?)?;
    elements
        .checked_mul(layers)?
        .checked_mul(tokens)?
        .checked_mul(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistral_7b_takes_128_kib_a_token() {
        let mut m = Metadata::new();
        m.insert("general.architecture", "llama");
        m.insert("llama.block_count", 32u32);
        m.insert("llama.embedding_length", 4096u32);
        m.insert("llama.attention.head_count", 32u32);
        assert_eq!(kv_cache_bytes(&m, 1), Some(2 * 2 * 32 * 4096));
        m.insert("llama.attention.head_count_kv", 8u32);
        assert_eq!(kv_cache_bytes(&m, 1), Some(128 * 1024));
        assert_eq!(kv_cache_bytes(&m, 4096), Some(536_870_912));
        assert_eq!(kv_cache_bytes(&m, u64::MAX), None);
        m.insert("llama.attention.head_count", 0u32);
        assert_eq!(kv_cache_bytes(&m, 1), None);
        m.insert("llama.attention.head_count_kv", "8");
        m.insert("llama.attention.head_count", 32u32);
        assert_eq!(kv_cache_bytes(&m, 1), None);
    }
}
