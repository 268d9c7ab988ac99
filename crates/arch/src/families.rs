//! The families: a file each.

mod arcee;
mod cohere2;
mod command_r;
mod deepseek2;
mod delta_net;
mod ernie4_5;
mod exaone;
mod experts;
mod gemma;
mod gemma2;
mod gemma3;
mod gemma4;
mod glm4;
mod glm4moe;
mod gpt_oss;
mod gptneox;
mod granite;
mod granitemoe;
mod lfm2;
mod llama;
mod ministral3;
mod olmo;
mod olmo2;
mod phi2;
mod phi3;
mod qwen2;
mod qwen2moe;
mod qwen3;
mod qwen35;
mod qwen35moe;
mod qwen3moe;
mod qwen3next;
mod seed_oss;
mod shared;
mod smollm3;
mod stablelm;
mod starcoder;
mod starcoder2;

use crate::Family;

/// Every family.
pub const FAMILIES: [&Family; 34] = [
    &arcee::FAMILY,
    &cohere2::FAMILY,
    &command_r::FAMILY,
    &deepseek2::FAMILY,
    &ernie4_5::FAMILY,
    &exaone::FAMILY,
    &gemma2::FAMILY,
    &gemma3::FAMILY,
    &gemma4::FAMILY,
    &glm4::FAMILY,
    &glm4moe::FAMILY,
    &gpt_oss::FAMILY,
    &gptneox::FAMILY,
    &granite::FAMILY,
    &granitemoe::FAMILY,
    &lfm2::FAMILY,
    &llama::FAMILY,
    &ministral3::FAMILY,
    &olmo::FAMILY,
    &olmo2::FAMILY,
    &phi2::FAMILY,
    &phi3::FAMILY,
    &qwen2::FAMILY,
    &qwen2moe::FAMILY,
    &qwen3::FAMILY,
    &qwen35::FAMILY,
    &qwen35moe::FAMILY,
    &qwen3moe::FAMILY,
    &qwen3next::FAMILY,
    &seed_oss::FAMILY,
    &smollm3::FAMILY,
    &stablelm::FAMILY,
    &starcoder::FAMILY,
    &starcoder2::FAMILY,
];

/// The family of a Hugging Face class: `MistralForCausalLM`.
pub fn family_of_class(class: &str) -> Option<&'static Family> {
    FAMILIES
        .into_iter()
        .find(|family| family.classes.contains(&class))
}

/// The family of a GGUF architecture: `llama`.
pub fn family_of_architecture(architecture: &str) -> Option<&'static Family> {
    FAMILIES
        .into_iter()
        .find(|family| family.architecture == architecture)
}

#[cfg(test)]
mod tests;
