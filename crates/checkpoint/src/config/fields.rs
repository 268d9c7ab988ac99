//! The keys of config.json that are not carried over, and what that means for the output.

use crate::json::{Object, describe, names};
use crate::notes::Notes;
use aeolus_arch::{Family, WindowSwitch};
use serde_json::Value;

/// Keys that are read, here or by the modules beside this one.
const READ: &[&str] = &[
    "architectures",
    "attention_bias",
    "compression_config",
    "dtype",
    "full_attn_idxs",
    "head_dim",
    "hidden_act",
    "hidden_size",
    "intermediate_size",
    "layer_types",
    "max_position_embeddings",
    "max_window_layers",
    "mlp_bias",
    "model_type",
    "num_attention_heads",
    "num_hidden_layers",
    "num_key_value_heads",
    "original_max_position_embeddings",
    "partial_rotary_factor",
    "quantization",
    "quantization_config",
    "rms_norm_eps",
    "rope_parameters",
    "rope_scaling",
    "rope_theta",
    "sliding_window",
    "sliding_window_pattern",
    "tie_word_embeddings",
    "torch_dtype",
    "use_sliding_window",
    "vocab_size",
];

/// Keys without effect on what a Llama or Mistral model computes: about training, about the
/// program that loads it, about sampling, or about parts that only other keys switch on.
const HARMLESS: &[&str] = &[
    "add_bos_token",
    "add_eos_token",
    "aligned_with_hf",
    "architecture",
    "assistant_token_id",
    "attention_dropout",
    "attention_probs_dropout_prob",
    "attention_softmax_in_fp32",
    "attn_dropout",
    "attn_implementation",
    "attn_pdrop",
    "attribute_map",
    "auto_map",
    "aux_loss_alpha",
    "bad_words_ids",
    "base_model",
    "base_model_pp_plan",
    "base_model_tp_plan",
    "begin_suppress_tokens",
    "block_dim",
    "block_mlp_init_scale",
    "block_norm_eps",
    "block_out_init_scale",
    "block_use_xavier_init",
    "bos_token",
    "bos_token_id",
    "cache_implementation",
    "chunk_size_feed_forward",
    "classifier_dropout",
    "cls_token_id",
    "conv_dim",
    "conv_dim_out",
    "conv_use_xavier_init",
    "cross_attention_hidden_size",
    "dataset",
    "decoder_sparse_step",
    "decoder_start_token_id",
    "device_map",
    "diversity_penalty",
    "do_sample",
    "dropout",
    "early_stopping",
    "embd_dropout",
    "embd_pdrop",
    "embedding_dropout",
    "encoder_no_repeat_ngram_size",
    "eos_token",
    "eos_token_id",
    "eot_token_id",
    "ep_size",
    "epsilon_cutoff",
    "eta_cutoff",
    "experts_implementation",
    "experts_per_token",
    "exponential_decay_length_penalty",
    "ffn_dim_multiplier",
    "finetuning_task",
    "flash_attention",
    "flash_attn",
    "forced_bos_token_id",
    "forced_eos_token_id",
    "fused_attention",
    "gradient_checkpointing",
    "hidden_dropout",
    "hidden_dropout_prob",
    "id2label",
    "ignore_index",
    "init_device",
    "init_std",
    "initial_context_length",
    "initializer_factor",
    "initializer_range",
    "is_decoder",
    "is_llama_config",
    "keys_to_ignore_at_inference",
    "label2id",
    "language",
    "layerdrop",
    "length_penalty",
    "license",
    "load_in_4bit",
    "load_in_8bit",
    "loss_type",
    "low_cpu_mem_usage",
    "mamba_ssm_dtype",
    "mask_token_id",
    "max_length",
    "max_new_tokens",
    "max_seq_len",
    "max_seq_length",
    "max_sequence_length",
    "min_length",
    "min_new_tokens",
    "min_p",
    "mlp_dropout",
    "mlp_only_layers",
    "model_max_length",
    "model_name",
    "moe_intermediate_size",
    "mtp_num_hidden_layers",
    "mtp_use_dedicated_embeddings",
    "multiple_of",
    "n_ctx",
    "name",
    "name_or_path",
    "neftune_noise_alpha",
    "no_repeat_ngram_size",
    "norm_topk_prob",
    "num_beam_groups",
    "num_beams",
    "num_experts_per_tok",
    "num_heads",
    "num_key_value_groups",
    "num_labels",
    "num_return_sequences",
    "output_attentions",
    "output_hidden_states",
    "output_logits",
    "output_router_logits",
    "output_scores",
    "pad_token",
    "pad_token_id",
    "penalty_alpha",
    "prefix",
    "pretraining_tp",
    "problem_type",
    "qk_head_dim",
    "remove_invalid_values",
    "renormalize_logits",
    "repetition_penalty",
    "resid_dropout",
    "resid_pdrop",
    "residual_dropout",
    "return_dict",
    "return_dict_in_generate",
    "router_aux_loss_coef",
    "router_jitter_noise",
    "scale_attention_softmax_in_fp32",
    "sep_token_id",
    "seq_aux",
    "seq_len",
    "seq_length",
    "shared_expert_intermediate_size",
    "softmax_in_fp32",
    "suppress_tokens",
    "task_specific_params",
    "temperature",
    "tf_legacy_loss",
    "tie_encoder_decoder",
    "tokenizer_class",
    "top_k",
    "top_p",
    "topk_group",
    "topk_method",
    "torchscript",
    "transformers.js_config",
    "transformers_version",
    "trust_remote_code",
    "typical_p",
    "unk_token",
    "unk_token_id",
    "use_bfloat16",
    "use_cache",
    "use_flash_attention",
    "use_flash_attention_2",
    "use_flash_attn",
    "use_pos_enc",
    "use_reentrant",
    "user_token_id",
    "vocab_size_per_layer_input",
];

/// Beginnings of keys without effect: private to a library (`_name_or_path`), or one of a tool
/// for training.
const HARMLESS_STARTS: &[&str] = &["_", "summary_", "unsloth_", "mergekit_", "axolotl_"];

/// The values with which a key changes nothing.
#[derive(Clone, Copy)]
enum Neutral {
    /// False, 0, or empty; an object or a list of nothing else, too.
    Off,
    /// 1, in any spelling; a list of them, too.
    One,
}

/// Keys that change what a model computes in the architectures or the code that know them.
const CHANGES: &[(&str, Neutral)] = &[
    ("add_cross_attention", Neutral::Off),
    ("alibi", Neutral::Off),
    ("attention_chunk_size", Neutral::Off),
    ("attention_multiplier", Neutral::Off),
    ("attention_sinks", Neutral::Off),
    ("attn_logit_softcapping", Neutral::Off),
    ("attn_temperature_tuning", Neutral::Off),
    ("bias", Neutral::Off),
    ("clip_qkv", Neutral::Off),
    ("dim_model_base", Neutral::Off),
    ("embedding_multiplier", Neutral::One),
    ("final_logit_softcapping", Neutral::Off),
    ("global_attn_every_n_layers", Neutral::Off),
    ("hidden_activation", Neutral::Off),
    ("is_causal", Neutral::One),
    ("is_encoder_decoder", Neutral::Off),
    ("kv_lora_rank", Neutral::Off),
    ("logit_scale", Neutral::One),
    ("logits_scaling", Neutral::One),
    ("mup_width_scale", Neutral::One),
    ("no_rope_layer_interval", Neutral::Off),
    ("no_rope_layers", Neutral::One),
    ("num_kv_shared_layers", Neutral::Off),
    ("num_nextn_predict_layers", Neutral::Off),
    ("per_layer_config", Neutral::Off),
    ("pruned_heads", Neutral::Off),
    ("q_lora_rank", Neutral::Off),
    ("qk_layernorm", Neutral::Off),
    ("qk_norm", Neutral::Off),
    ("qkv_bias", Neutral::Off),
    ("query_pre_attn_scalar", Neutral::Off),
    ("residual_multiplier", Neutral::One),
    ("rope_interleave", Neutral::Off),
    ("rope_interleaved", Neutral::Off),
    ("rope_ratio", Neutral::One),
    ("rotary_pct", Neutral::One),
    ("scale_attn_weights", Neutral::One),
    ("scale_depth", Neutral::Off),
    ("scale_emb", Neutral::One),
    ("use_alibi", Neutral::Off),
    ("use_bidirectional_attention", Neutral::Off),
    ("use_dynamic_ntk", Neutral::Off),
    ("use_logn_attn", Neutral::Off),
    ("use_mrope", Neutral::Off),
    ("use_parallel_residual", Neutral::Off),
    ("use_qk_norm", Neutral::Off),
];

/// The window of attention of a Mistral model whose config.json does not have the key.
const MISTRAL_WINDOW: f64 = 4096.0;

/// Keys with the number of experts of a mixture.
pub(super) const EXPERTS: [&str; 4] = [
    "num_local_experts",
    "num_experts",
    "n_routed_experts",
    "moe_num_experts",
];

/// Whether a value turns nothing on: false, 0, null, empty, or made of these alone.
pub(super) fn is_off(value: &Value) -> bool {
    Neutral::Off.includes(value)
}

impl Neutral {
    fn includes(self, value: &Value) -> bool {
        match (self, value) {
            (_, Value::Array(items)) => items.iter().all(|item| self.includes(item)),
            (Self::Off, Value::Object(map)) => map.values().all(|item| self.includes(item)),
            (Self::Off, Value::String(text)) => text.is_empty(),
            (Self::Off, Value::Number(number)) => number.as_f64() == Some(0.0),
            (Self::One, Value::Number(number)) => number.as_f64() == Some(1.0),
            (Self::Off, Value::Bool(on)) => !on,
            (Self::One, Value::Bool(on)) => *on,
            (_, Value::Null) => true,
            _ => false,
        }
    }
}

/// Notes every key that is not carried over and may change what the model computes.
pub(super) fn tell_unused(o: &Object<'_>, family: &Family, notes: &Notes) {
    let change = |key: &str| CHANGES.iter().find(|(name, _)| *name == key);
    for (key, value) in o.iter().filter(|(key, _)| !family.reads(key)) {
        if change(key).is_some_and(|(_, neutral)| !neutral.includes(value)) {
            let message = format!(
                "{} is not carried over: the {} architecture of GGUF has no place for it",
                describe(value),
                family.architecture
            );
            o.note(notes, key, message);
        }
    }
    let unknown = o.iter().filter(|(key, value)| {
        let known = READ.contains(key)
            || HARMLESS.contains(key)
            || HARMLESS_STARTS.iter().any(|start| key.starts_with(start))
            || EXPERTS.contains(key)
            || family.reads(key)
            || change(key).is_some();
        !known && !value.is_null()
    });
    if let Some(unknown) = names(unknown) {
        let message = "not known and not carried over; if the model computes something else \
                       because of it, the output does not";
        o.note(notes, &unknown, message);
    }
}

/// Notes layers whose attention is of another kind, and a window of attention that is shorter than
/// the context: as the reference, nothing writes either for these architectures.
pub(super) fn tell_window(
    o: &Object<'_>,
    context: u32,
    class: &str,
    family: &Family,
    notes: &Notes,
) {
    if family.window == WindowSwitch::Written {
        return;
    }
    let is_mistral = class.starts_with("Mistral");
    let switch = o.get("use_sliding_window").and_then(Value::as_bool);
    let is_off = match family.window {
        // Mistral's class has no switch.
        WindowSwitch::UnlessOff => switch == Some(false) && !is_mistral,
        WindowSwitch::IfOn => switch != Some(true),
        WindowSwitch::Written => false,
    };
    // Mistral's class has a window unless config.json says null.
    let is_default = is_mistral && o.iter().all(|(key, _)| key != "sliding_window");
    let stated = o.get("sliding_window");
    let size = match is_default {
        true => Some(MISTRAL_WINDOW),
        false => stated.and_then(Value::as_f64),
    };
    let limits = match (stated, size) {
        (_, Some(size)) => size > 0.0 && size < f64::from(context),
        (None, None) => false,
        (Some(window), None) => *window != Value::Bool(false),
    };
    let shorter = limits && !is_off;
    let window = shorter.then(|| match stated {
        Some(window) => describe(window),
        None => format!("{MISTRAL_WINDOW}, the framework's default,"),
    });
    let layers = o.get("layer_types").and_then(Value::as_array);
    let find = |is_one: &dyn Fn(Option<&str>) -> bool| {
        let mut kinds = layers.into_iter().flatten();
        kinds.find(|kind| is_one(kind.as_str())).map(describe)
    };
    // A window that is as long as the context is none.
    let slides = !is_off && (shorter || size.is_none());
    let sliding = find(&|kind| slides && kind == Some("sliding_attention"));
    let recurrent = super::recurrent_kind(family);
    let other = find(&|kind| {
        let is_attention = matches!(kind, Some("full_attention" | "sliding_attention"));
        !is_attention && (kind.is_none() || kind != recurrent)
    });
    let lacks = match (&window, &other) {
        (None, Some(_)) => "such layers",
        (Some(_), Some(_)) => "window and no such layers",
        (_, None) => "window",
    };
    let message = format!(
        "not written, since the {} architecture of GGUF has no {lacks}: every layer of the output \
         sees all of up to {context} tokens",
        family.architecture
    );
    match (window, other.or(sliding)) {
        (None, None) => {}
        (Some(window), None) => {
            o.note(notes, "sliding_window", format!("{window} is {message}"));
        }
        (None, Some(kind)) => {
            o.note(notes, "layer_types", format!("{kind} is {message}"));
        }
        (Some(window), Some(kind)) => {
            let message = format!("{window} and {kind} are {message}");
            o.note(notes, "sliding_window, layer_types", message);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_in_one_table_and_in_order() {
        let changes: Vec<&str> = CHANGES.iter().map(|(key, _)| *key).collect();
        for table in [READ, HARMLESS, &changes] {
            assert!(table.is_sorted(), "{table:?}");
        }
        let mut all = [READ, HARMLESS, &changes, &EXPERTS].concat();
        all.sort_unstable();
        let count = all.len();
        all.dedup();
        assert_eq!(all.len(), count);
    }
}
