//! Stacks of experts, however they are stored, and what is wrong with some.

mod common;

use aeolus_checkpoint::{Checkpoint, Error, OpenOptions, Tensor, TokenizerMode, open};
use aeolus_gguf::TensorType;
use common::{Spec, folder};
use serde_json::{Value, json};

fn open_tiny(config: &Value, tensors: &[Spec]) -> Result<Checkpoint, Error> {
    let options = OpenOptions {
        tokenizer: TokenizerMode::Skip,
        ..OpenOptions::default()
    };
    open(&folder(config, tensors).path().join("tiny"), &options)
}

fn tensor<'c>(checkpoint: &'c Checkpoint, name: &str) -> &'c Tensor {
    let mut all = checkpoint.tensors.iter();
    all.find(|tensor| tensor.name == name).unwrap()
}

/// The tiny model with three experts, each of two matrices of 24 rows and one of 16.
fn mixtral() -> (Value, Vec<Spec>) {
    let mut config = common::config();
    config["architectures"] = json!(["MixtralForCausalLM"]);
    config["num_local_experts"] = json!(3);
    config["num_experts_per_tok"] = json!(2);
    let mut tensors = common::tensors();
    tensors.retain(|(name, ..)| !name.contains(".mlp."));
    let of = "model.layers.0.block_sparse_moe";
    tensors.push((format!("{of}.gate.weight"), "F16", vec![3, 16]));
    for expert in 0..3 {
        for (part, shape) in [("w1", [24, 16]), ("w2", [16, 24]), ("w3", [24, 16])] {
            let name = format!("{of}.experts.{expert}.{part}.weight");
            tensors.push((name, "F16", shape.into()));
        }
    }
    (config, tensors)
}

#[test]
fn experts_that_are_stored_one_by_one_are_one_tensor_of_many_pieces() {
    let (config, tensors) = mixtral();
    let c = open_tiny(&config, &tensors).unwrap();
    let stack = tensor(&c, "blk.0.ffn_down_exps.weight");
    assert_eq!(stack.shape.dims(), [24, 16, 3]);
    assert_eq!(
        stack.source_name,
        "model.layers.0.block_sparse_moe.experts.{}.w2.weight"
    );
    assert_eq!((stack.row_bytes(), stack.size_bytes()), (48, 3 * 16 * 48));
    assert_eq!((stack.maps().count(), c.maps().len()), (3, 1));
    // Rows of the second and the third expert, and where they lie.
    let runs: Vec<_> = stack.rows(30..34).map(|run| run.into_owned()).collect();
    assert_eq!(runs.iter().map(Vec::len).collect::<Vec<_>>(), [96, 96]);
    let spans = stack.spans(30..34);
    for ((map, range), run) in spans.iter().zip(&runs) {
        assert_eq!(&map[range.clone()], run);
    }
    // Experts lie behind one another, and each of the three matrices is as long.
    assert_eq!(spans[1].1.start - spans[0].1.start, 3 * 768 - 14 * 48);
    // Stacks come where their last expert is, in the order of what that has.
    let names: Vec<&str> = c.tensors.iter().map(|t| &*t.name).collect();
    assert_eq!(
        names[names.len() - 3..],
        [
            "blk.0.ffn_gate_exps.weight",
            "blk.0.ffn_down_exps.weight",
            "blk.0.ffn_up_exps.weight"
        ]
    );
    assert_eq!(
        c.metadata.str("general.size_label").unwrap().unwrap(),
        "3x2.5K"
    );
}

#[test]
fn experts_that_do_not_make_a_stack_are_named() {
    let of = "model.layers.0.block_sparse_moe";
    type Change = fn(&mut Value, &mut Vec<Spec>);
    let cases: [(Change, &str); 7] = [
        (
            |_, t| drop(t.pop()),
            "missing tensor model.layers.0.block_sparse_moe.experts.2.w3.weight",
        ),
        (
            |_, t| t.last_mut().unwrap().1 = "BF16",
            "experts.2.w3.weight: BF16, while",
        ),
        (
            |_, t| t.last_mut().unwrap().2 = vec![24, 15],
            "the hyperparameters give [24, 16]",
        ),
        (
            |_, t| {
                let (mut extra, ty, shape) = t.last().unwrap().clone();
                extra = extra.replace("experts.2", "experts.3");
                t.push((extra, ty, shape));
            },
            "experts.3.w3.weight",
        ),
        (
            |c, _| c["num_experts_per_tok"] = json!(4),
            "num_experts_per_tok: expected at most the 3",
        ),
        (
            |c, _| c["num_experts_per_tok"] = Value::Null,
            "num_experts_per_tok: missing",
        ),
        (
            |c, _| {
                c["num_hidden_layers"] = json!(4096);
                c["num_local_experts"] = json!(4096);
            },
            "tensors that config.json gives the model",
        ),
    ];
    for (change, expected) in cases {
        let (mut config, mut tensors) = mixtral();
        change(&mut config, &mut tensors);
        let error = open_tiny(&config, &tensors).unwrap_err().to_string();
        assert!(error.contains(expected), "{of}: {error}");
    }
}

/// A gpt-oss of one layer, its two experts stored in blocks of 4 bits.
fn gpt_oss() -> (Value, Vec<Spec>) {
    let config = json!({
        "architectures": ["GptOssForCausalLM"], "attention_bias": true, "head_dim": 16,
        "hidden_act": "silu", "hidden_size": 32, "intermediate_size": 32,
        "layer_types": ["sliding_attention"], "max_position_embeddings": 64,
        "num_attention_heads": 2, "num_experts_per_tok": 1, "num_hidden_layers": 1,
        "num_key_value_heads": 1, "num_local_experts": 2, "rms_norm_eps": 1e-5,
        "sliding_window": 8, "swiglu_limit": 7.0, "vocab_size": 16,
        "quantization_config": {"quant_method": "mxfp4"},
    });
    let layer = |name: &str| format!("model.layers.0.{name}");
    let tensors = [
        ("lm_head.weight".into(), "BF16", vec![16, 32]),
        ("model.embed_tokens.weight".into(), "BF16", vec![16, 32]),
        (layer("input_layernorm.weight"), "BF16", vec![32]),
        (layer("mlp.experts.down_proj_bias"), "BF16", vec![2, 32]),
        (
            layer("mlp.experts.down_proj_blocks"),
            "U8",
            vec![2, 32, 1, 16],
        ),
        (layer("mlp.experts.down_proj_scales"), "U8", vec![2, 32, 1]),
        (layer("mlp.experts.gate_up_proj_bias"), "BF16", vec![2, 64]),
        (
            layer("mlp.experts.gate_up_proj_blocks"),
            "U8",
            vec![2, 64, 1, 16],
        ),
        (
            layer("mlp.experts.gate_up_proj_scales"),
            "U8",
            vec![2, 64, 1],
        ),
        (layer("mlp.router.bias"), "BF16", vec![2]),
        (layer("mlp.router.weight"), "BF16", vec![2, 32]),
        (layer("post_attention_layernorm.weight"), "BF16", vec![32]),
        (layer("self_attn.k_proj.bias"), "BF16", vec![16]),
        (layer("self_attn.k_proj.weight"), "BF16", vec![16, 32]),
        (layer("self_attn.o_proj.bias"), "BF16", vec![32]),
        (layer("self_attn.o_proj.weight"), "BF16", vec![32, 32]),
        (layer("self_attn.q_proj.bias"), "BF16", vec![32]),
        (layer("self_attn.q_proj.weight"), "BF16", vec![32, 32]),
        (layer("self_attn.sinks"), "BF16", vec![2]),
        (layer("self_attn.v_proj.bias"), "BF16", vec![16]),
        (layer("self_attn.v_proj.weight"), "BF16", vec![16, 32]),
        ("model.norm.weight".into(), "BF16", vec![32]),
    ];
    (config, tensors.into())
}

#[test]
fn blocks_of_4_bits_are_repacked_row_by_row() {
    let (config, tensors) = gpt_oss();
    let c = open_tiny(&config, &tensors).unwrap();
    assert!(
        c.notes
            .iter()
            .any(|note| note.contains("3 tensors are MXFP4")),
        "{:?}",
        c.notes
    );
    let up = tensor(&c, "blk.0.ffn_up_exps.weight");
    assert_eq!(
        (up.ty, up.shape.dims()),
        (TensorType::MXFP4, &[32, 32, 2][..])
    );
    assert_eq!(up.row_bytes(), 17);
    // Row 3 of the second expert is row 64 + 7 of what is stored: gate and up take turns.
    let row = up.rows(35..36).next().unwrap().into_owned();
    let spans = up.spans(35..36);
    let [(codes_map, codes), (scales_map, scales)] = &spans[..] else {
        panic!("codes and scales");
    };
    let (codes, scale) = (&codes_map[codes.clone()], scales_map[scales.start]);
    assert_eq!(row[0], scale);
    let stored = |weight: usize| codes[weight / 2] >> (4 * (weight % 2)) & 0xf;
    let packed = |weight: usize| row[1 + weight % 16] >> (4 * (weight / 16)) & 0xf;
    assert!(
        (0..32).all(|weight| stored(weight) == packed(weight)),
        "{row:?}"
    );
    // Elements of biases take turns, too.
    let (gate, up) = (
        tensor(&c, "blk.0.ffn_gate_exps.bias").to_bytes(),
        tensor(&c, "blk.0.ffn_up_exps.bias").to_bytes(),
    );
    let first = |bytes: &[u8]| u16::from_le_bytes([bytes[0], bytes[1]]);
    assert_eq!((gate.len(), up.len()), (128, 128));
    assert_eq!(first(&up) & 0xff, (first(&gate) & 0xff) + 2);
}

#[test]
fn blocks_without_scales_or_of_another_type_are_refused() {
    let scales = "mlp.experts.down_proj_scales";
    type Change = fn(&mut Vec<Spec>);
    let cases: [(Change, &str); 3] = [
        (
            |t| t.retain(|(name, ..)| !name.ends_with("down_proj_scales")),
            "missing tensor",
        ),
        (
            |t| t[5].2 = vec![2, 32, 2],
            "the hyperparameters give [2, 32, 1]",
        ),
        (|t| t[4].1 = "I8", "down_proj_blocks"),
    ];
    for (change, expected) in cases {
        let (config, mut tensors) = gpt_oss();
        change(&mut tensors);
        let error = open_tiny(&config, &tensors).unwrap_err().to_string();
        assert!(error.contains(expected), "{scales}: {error}");
    }
}
