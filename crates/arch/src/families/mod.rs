//! The families: a file each.

mod llama;
mod qwen2;
mod qwen3;
mod shared;
mod smollm3;

use crate::Family;

/// Every family.
pub const FAMILIES: [&Family; 4] = [
    &llama::FAMILY,
    &qwen2::FAMILY,
    &qwen3::FAMILY,
    &smollm3::FAMILY,
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
