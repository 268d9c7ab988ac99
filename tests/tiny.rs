//! Tiny checkpoints of any shape and element type, without a tokenizer.

use safetensors::{Dtype, tensor::TensorView};
use std::collections::BTreeMap;
use std::path::Path;

/// Sizes of a tiny Llama of one layer.
pub struct Tiny {
    pub hidden: usize,
    pub heads: usize,
    pub ff: usize,
    pub dtype: Dtype,
    pub tied: bool,
}

pub const VOCAB: usize = 64;

impl Tiny {
    /// Hugging Face names and shapes.
    fn shapes(&self) -> Vec<(String, Vec<usize>)> {
        let (h, f) = (self.hidden, self.ff);
        let mut all = vec![
            ("model.embed_tokens.weight".to_string(), vec![VOCAB, h]),
            ("model.norm.weight".into(), vec![h]),
        ];
        if !self.tied {
            all.push(("lm_head.weight".into(), vec![VOCAB, h]));
        }
        for (name, shape) in [
            ("input_layernorm", vec![h]),
            ("post_attention_layernorm", vec![h]),
            ("self_attn.q_proj", vec![h, h]),
            ("self_attn.k_proj", vec![h, h]),
            ("self_attn.v_proj", vec![h, h]),
            ("self_attn.o_proj", vec![h, h]),
            ("mlp.gate_proj", vec![f, h]),
            ("mlp.up_proj", vec![f, h]),
            ("mlp.down_proj", vec![h, f]),
        ] {
            all.push((format!("model.layers.0.{name}.weight"), shape));
        }
        all
    }

    /// Writes the folder; weights follow a fixed pattern around zero.
    pub fn write(&self, folder: &Path) {
        std::fs::create_dir_all(folder).unwrap();
        let config = serde_json::json!({
            "architectures": ["LlamaForCausalLM"],
            "hidden_act": "silu",
            "hidden_size": self.hidden,
            "intermediate_size": self.ff,
            "max_position_embeddings": 128,
            "num_attention_heads": self.heads,
            "num_hidden_layers": 1,
            "num_key_value_heads": self.heads,
            "rms_norm_eps": 1e-5,
            "rope_theta": 10000.0,
            "tie_word_embeddings": self.tied,
            "torch_dtype": match self.dtype {
                Dtype::F32 | Dtype::F64 => "float32",
                Dtype::F16 => "float16",
                _ => "bfloat16",
            },
            "vocab_size": VOCAB,
        });
        std::fs::write(folder.join("config.json"), config.to_string()).unwrap();
        let mut state = 1u32;
        let bytes: BTreeMap<String, (Vec<usize>, Vec<u8>)> = self
            .shapes()
            .into_iter()
            .map(|(name, shape)| {
                let count: usize = shape.iter().product();
                let bytes = (0..count)
                    .flat_map(|_| {
                        state = state.wrapping_mul(1664525).wrapping_add(1013904223);
                        // Few bits, so that every element type holds the number exactly.
                        let x = ((state >> 25) as f32 - 64.0) / 1024.0;
                        match self.dtype {
                            Dtype::F64 => f64::from(x).to_le_bytes().to_vec(),
                            Dtype::F32 => x.to_le_bytes().to_vec(),
                            Dtype::F16 => aeolus_quant::f32_to_f16(x).to_le_bytes().to_vec(),
                            _ => aeolus_quant::f32_to_bf16(x).to_le_bytes().to_vec(),
                        }
                    })
                    .collect();
                (name, (shape, bytes))
            })
            .collect();
        let views: Vec<(&String, TensorView<'_>)> = bytes
            .iter()
            .map(|(name, (shape, bytes))| {
                (
                    name,
                    TensorView::new(self.dtype, shape.clone(), bytes).unwrap(),
                )
            })
            .collect();
        let file = safetensors::serialize(views, None).unwrap();
        std::fs::write(folder.join("model.safetensors"), file).unwrap();
    }
}
