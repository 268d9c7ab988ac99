//! What a model's name says: a title, a base model, a version; and how its size is written.
//!
//! The rules are those of GGUF's naming convention as the reference converter applies them to
//! a folder name such as `notus-7b-v1`: parts between hyphens are a size, a version, a variant
//! or the base name. What is left out, and why, is listed in docs/metadata.md.

use aeolus_gguf::Shape;
use regex::Regex;
use std::sync::LazyLock;

/// The parts of a name that have a key of their own in GGUF.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct NameParts {
    /// `notus` of `notus-7b-v1`: the model that others descend from.
    pub(crate) basename: Option<String>,
    /// `Instruct` of `Mistral-7B-Instruct-v0.2`: what was done to it.
    pub(crate) finetune: Option<String>,
    /// `v1` of `notus-7b-v1`.
    pub(crate) version: Option<String>,
    /// `7B` of `notus-7b-v1`.
    pub(crate) size_label: Option<String>,
}

/// What one part of a name is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Plain,
    Version,
    FileType,
    Size,
    Finetune,
    Basename,
    /// A leading part that looks like a version, as in `4-bit-model`.
    BasenameVersion,
}

fn whole(pattern: &str) -> Regex {
    Regex::new(&format!("(?i)^(?:{pattern})$")).expect("a fixed pattern")
}

static VERSION: LazyLock<Regex> = LazyLock::new(|| whole(r"(v|iter)?\d+([.]\d+)*"));
static FILE_TYPE: LazyLock<Regex> = LazyLock::new(|| whole(r"i?q\d(_\w)*|b?fp?(16|32)"));
static SIZE: LazyLock<Regex> = LazyLock::new(|| whole(r"(a|\d+x)?\d+([._]\d+)?[KMBT]\d?"));
/// Words for sizes say nothing in weights, so they count as variants.
static FINETUNE: LazyLock<Regex> =
    LazyLock::new(|| whole("chat|instruct|vision|lora|small|mini|medium|large|x?xl"));

impl NameParts {
    /// Takes a name apart. `params` is the number of weights: a number like `32k` that is far
    /// from it is not the size but, likely, a context length, and so part of the variant.
    pub(crate) fn of(name: &str, params: u64) -> Self {
        if name.contains(' ') {
            // A sentence, not a name of this kind.
            return Self::default();
        }
        let mut parts: Vec<(String, Role)> = name
            .split('-')
            .filter(|part| !part.is_empty())
            .enumerate()
            .map(|(i, part)| annotate(i, part, params))
            .collect();
        let mut at_start = true;
        for (part, role) in &mut parts {
            let alphabetic = part.starts_with(char::is_alphabetic);
            match role {
                Role::Plain if at_start && alphabetic => *role = Role::Basename,
                Role::Version if at_start => *role = Role::BasenameVersion,
                _ => {
                    at_start = false;
                    if *role == Role::Plain {
                        *role = Role::Finetune;
                    }
                }
            }
        }
        // A version at the very end is a version, not part of the base name.
        for (_, role) in parts.iter_mut().rev() {
            if *role != Role::BasenameVersion {
                break;
            }
            *role = Role::Version;
        }
        let join = |wanted: &[Role]| {
            let mut chosen: Vec<&str> = Vec::new();
            for (part, role) in &parts {
                let repeated_size = *role == Role::Size && chosen.contains(&part.as_str());
                if wanted.contains(role) && !repeated_size {
                    chosen.push(part);
                }
            }
            (!chosen.is_empty()).then(|| chosen.join("-"))
        };
        let found = Self {
            basename: join(&[Role::Basename, Role::BasenameVersion]),
            finetune: join(&[Role::Finetune]),
            version: join(&[Role::Version]),
            size_label: join(&[Role::Size]),
        };
        if found.finetune.is_none() && found.version.is_none() && found.size_label.is_none() {
            // Nothing tells a base name from a whole name.
            return Self::default();
        }
        found
    }
}

/// A part of a name and what it is by its looks alone.
fn annotate(index: usize, part: &str, params: u64) -> (String, Role) {
    if VERSION.is_match(part) {
        (part.into(), Role::Version)
    } else if FILE_TYPE.is_match(part) {
        (part.to_uppercase(), Role::FileType)
    } else if index > 0 && SIZE.is_match(part) {
        let label = normalize_size(part);
        match size_in_weights(&label) {
            Some(size) if u128::from(size.abs_diff(params)) > u128::from(params) * 7 / 8 => {
                // In lower case, as context lengths are written.
                (label.to_lowercase(), Role::Finetune)
            }
            _ => (label, Role::Size),
        }
    } else if index > 0 && FINETUNE.is_match(part) {
        (part.into(), Role::Finetune)
    } else {
        (part.into(), Role::Plain)
    }
}

/// `7b` as `7B`, `1_5b` as `1.5B`, and BLOOM's `7b1` as `7.1B`.
fn normalize_size(part: &str) -> String {
    let mut label = part.replace('_', ".");
    match (label.pop(), label.chars().last()) {
        (Some(tenth), Some(suffix)) if tenth.is_ascii_digit() => {
            label.pop();
            format!("{label}.{tenth}{}", suffix.to_ascii_uppercase())
        }
        (suffix, _) => label + &suffix.map_or(String::new(), |c| c.to_uppercase().to_string()),
    }
}

/// `7B` as 7,000,000,000; `None` for labels with a prefix (`8x7B`, `A4B`), which do not say it.
fn size_in_weights(label: &str) -> Option<u64> {
    let suffix = label.chars().last()?;
    let number: f64 = label.strip_suffix(suffix)?.parse().ok()?;
    let power = " KMBT".find(suffix)?;
    Some((number * 1000f64.powi(power as i32)) as u64)
}

/// A name as a title: hyphens become spaces, words in lower case get a capital. Words with
/// capitals of their own, numbers and versions (`v1`, `7b`) stay.
pub(crate) fn title(name: &str) -> String {
    let words = name.trim().replace('-', " ");
    let titled: Vec<String> = words.split_whitespace().map(title_word).collect();
    titled.join(" ")
}

fn title_word(word: &str) -> String {
    let starts_with_digit = |s: &str| s.starts_with(|c: char| c.is_ascii_digit());
    let is_version = word
        .strip_prefix('v')
        .is_some_and(|rest| starts_with_digit(rest) && VERSION.is_match(word));
    let is_lower = word.chars().any(char::is_lowercase) && !word.chars().any(char::is_uppercase);
    if !is_lower || is_version || starts_with_digit(word) {
        return word.into();
    }
    let mut out = String::new();
    let mut after_letter = false;
    for c in word.chars() {
        if after_letter {
            out.push(c);
        } else {
            out.extend(c.to_uppercase());
        }
        after_letter = c.is_alphabetic();
    }
    out
}

/// Numbers of weights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Params {
    /// Of all tensors together.
    pub(crate) all: u64,
    /// Of a model with a single expert in each layer that has experts.
    pub(crate) with_one_expert: u64,
    /// Experts of a layer; 0 in a dense model.
    pub(crate) experts: u64,
}

impl Params {
    /// Those of tensors of these GGUF names and shapes.
    pub(crate) fn of<'t>(tensors: impl Iterator<Item = (&'t str, Shape)>) -> Self {
        let mut params = Self::default();
        let (mut stacked, mut stacks) = (0_u64, 0_u64);
        for (name, shape) in tensors {
            let elems = shape.elems();
            params.all = params.all.saturating_add(elems);
            let experts = match (name.contains("_exps."), shape.dims()) {
                (true, &[_, _, experts]) => experts.max(1),
                _ => 1,
            };
            if experts > 1 {
                (stacked, stacks) = (stacked + experts, stacks + 1);
            }
            params.with_one_expert = params.with_one_expert.saturating_add(elems / experts);
        }
        params.experts = stacked.checked_div(stacks).unwrap_or(0);
        params
    }

    /// In words: `7.2B`, or `8x7.3B` for a mixture of experts.
    pub(crate) fn size_label(&self) -> String {
        match self.experts {
            0 => size_label(self.all),
            experts => format!("{experts}x{}", size_label(self.with_one_expert)),
        }
    }
}

/// A number of weights in two digits or more: `8.1M`, `7.2B`, `13B`.
fn size_label(params: u64) -> String {
    let count = params as f64;
    // Multiplying, as the reference does: dividing differs in the last bit.
    let (scaled, suffix) = match count {
        c if c >= 1e12 => (c * 1e-12, 'T'),
        c if c >= 1e9 => (c * 1e-9, 'B'),
        c if c >= 1e6 => (c * 1e-6, 'M'),
        c => (c * 1e-3, 'K'),
    };
    let whole = scaled.round_ties_even();
    let digits = if whole == 0.0 {
        0
    } else {
        format!("{whole:.0}").len()
    };
    let decimals = 2usize.saturating_sub(digits);
    format!("{scaled:.decimals$}{suffix}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(name: &str, params: u64) -> [Option<String>; 4] {
        let p = NameParts::of(name, params);
        [p.basename, p.finetune, p.version, p.size_label]
    }

    #[test]
    fn names_are_taken_apart() {
        let b = 1_000_000_000;
        for (name, params, expected) in [
            ("notus-7b-v1", 7_241_732_096, ["notus", "", "v1", "7B"]),
            ("notus-mini", 8_130_816, ["notus", "mini", "", ""]),
            (
                "Mistral-7B-Instruct-v0.2",
                7 * b,
                ["Mistral", "Instruct", "v0.2", "7B"],
            ),
            (
                "Llama-2-7b-chat-hf",
                7 * b,
                ["Llama-2", "chat-hf", "", "7B"],
            ),
            (
                "TinyLlama-1.1B-Chat-v1.0",
                b,
                ["TinyLlama", "Chat", "v1.0", "1.1B"],
            ),
            // A context length is no size.
            (
                "Yarn-Mistral-7b-128k",
                7 * b,
                ["Yarn-Mistral", "128k", "", "7B"],
            ),
            ("bloom-7b1", 7 * b, ["bloom", "", "", "7.1B"]),
            ("qwen-1_5b", b, ["qwen", "", "", "1.5B"]),
            ("model-8x7B-f16", 47 * b, ["model", "", "", "8x7B"]),
            ("zephyr-v2", b, ["zephyr", "", "v2", ""]),
            ("Meta-Llama-3-8B", 8 * b, ["Meta-Llama-3", "", "", "8B"]),
            ("--a--7B-7b", 7 * b, ["a", "", "", "7B"]),
            ("a-q4_k_m-7B", 7 * b, ["a", "", "", "7B"]),
            ("Llama-2-v1", b, ["Llama", "", "2-v1", ""]),
            ("v1-2", b, ["", "", "v1-2", ""]),
            ("a-A4B-v1.", b, ["a", "v1.", "", "A4B"]),
            ("\u{fc}nder-7b", 7 * b, ["\u{fc}nder", "", "", "7B"]),
            // Too little to tell.
            ("4-bit-model", b, ["", "", "", ""]),
            ("hf", b, ["", "", "", ""]),
            ("my model-7b", 7 * b, ["", "", "", ""]),
            ("", b, ["", "", "", ""]),
        ] {
            let expected = expected.map(|part| (!part.is_empty()).then(|| part.to_string()));
            assert_eq!(parts(name, params), expected, "{name}");
        }
    }

    #[test]
    fn titles() {
        for (name, expected) in [
            ("hf", "Hf"),
            ("notus-mini", "Notus Mini"),
            ("notus-7b-v1", "Notus 7b v1"),
            ("Mistral-7B-v0.1", "Mistral 7B v0.1"),
            ("my_model--x", "My_Model X"),
            ("vicuna-v", "Vicuna V"),
            (" a.b ", "A.B"),
            ("qwen-1_5b", "Qwen 1_5b"),
            ("a-A4B-v1.", "A A4B V1."),
            ("\u{fc}nder-7b", "\u{dc}nder 7b"),
        ] {
            assert_eq!(title(name), expected);
        }
    }

    #[test]
    fn sizes_have_two_digits() {
        for (params, expected) in [
            (8_130_816, "8.1M"),
            (7_241_732_096, "7.2B"),
            (12_900_000_000, "13B"),
            (999, "1.0K"),
            (12_345, "12K"),
            (405_000_000_000, "405B"),
            (1_040_000_000_000, "1.0T"),
            (400, "0.40K"),
            (9_500_000, "10M"),
            (9_499_999, "9.5M"),
            (99_500, "100K"),
            (950, "1.0K"),
            (0, "0.00K"),
        ] {
            assert_eq!(size_label(params), expected, "{params}");
        }
    }
}
