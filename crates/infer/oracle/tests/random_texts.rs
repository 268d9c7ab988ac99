//! Random texts against the original framework's own library.
//!
//! 100,000 for each way to cut a text, or as many as `AEOLUS_RANDOM_TEXTS` says.

#[path = "../../src/tokenizer/bpe/tests/converted.rs"]
mod converted;

use std::collections::HashSet;
use std::path::PathBuf;
use std::str::FromStr;

use aeolus_arch::pre_tokenizer::{self, Alphabet};
use aeolus_infer::{EncodeOptions, Tokenizer};
use serde_json::{Value, json};
use tokenizers::{
    NormalizedString, Normalizer, OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer,
};

use converted::metadata;

/// Parts of a text: what tokenizers treat in ways of their own.
const PARTS: &[&str] = &[
    " ", "  ", "   ", "\t", "\n", "\r\n", "\r", "\u{b}", "\u{c}", "\u{85}", "\u{a0}", "\u{2003}",
    "\u{2028}", "\u{3000}", "\u{200b}", "\u{feff}", "\u{180e}", "\u{200d}", "'s", "'S", "'\u{17f}",
    "'t", "'re", "'RE", "'ve", "'m", "'ll", "'Ll", "'d", "'D", "\u{2019}s", "'", "0", "7", "12",
    "345", "9876", "1234567", "\u{b2}", "\u{bd}", "\u{2167}", "\u{663}", "\u{96a}", "\u{ff12}", "a",
    "b", "the", "of", "Word", "WORD", "wOrd", "x", "Z", "\u{e9}", "e\u{301}", "\u{212b}", "\u{df}",
    "\u{1c5}", "\u{2b0}", "\u{aa}", "\u{301}", "\u{308}", "\u{93f}", "\u{5b0}", "\u{20e3}", "\u{fe0f}",
    "\u{338}", "\u{4f60}\u{597d}", "\u{4e16}", "\u{9fa5}", "\u{9fff}", "\u{3042}", "\u{30ab}",
    "\u{30fc}", "\u{ac00}", "\u{d55c}", "\u{1100}\u{1161}", "\u{3131}", "\u{43f}\u{440}\u{438}",
    "\u{41c}", "\u{3a9}", "\u{3b1}", "\u{5e9}\u{5dc}", "\u{645}\u{631}", "\u{939}\u{93f}", "\u{e20}",
    "\u{e32}", "\u{1f680}", "\u{1f468}\u{200d}\u{1f469}", "\u{1f44d}\u{1f3fd}", "\u{1f1eb}\u{1f1f7}",
    ".", ",", "!", "?", "...", "-", "--", "_", "/", "//", "\\", "(", ")", "[", "]", "{", "}", "<", ">",
    "=", "+", "*", "&", "%", "$", "#", "@", "^", "`", "~", "|", "\"", ":", ";", "\u{2026}", "\u{3002}",
    "\u{ff0c}", "\u{60c}", "\u{ab}", "\u{bb}", "\u{2116}", "\u{20ac}", "\u{2211}", "\u{2264}", "\u{a7}",
    "\u{2014}", "\u{2581}", "\u{120}", "\u{0}", "\u{1}", "\u{1b}", "\u{7f}", "\u{80}", "\u{ad}",
    "\u{10ffff}", "\u{e000}", "\u{1d54f}", "\u{10400}", "\u{10428}",
];

struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % n
    }

    /// A text of some parts, of which some are these.
    fn text(&mut self, special: &[String]) -> String {
        let mut text = String::new();
        for _ in 0..self.below(24) {
            let part = match self.below(16) {
                0 if !special.is_empty() => special[self.below(special.len())].as_str(),
                1 => {
                    // Letters, digits and marks of the scripts in wide use.
                    let code = self.below(0x3000) as u32;
                    text.extend(char::from_u32(code));
                    continue;
                }
                2 => {
                    let part = PARTS[self.below(PARTS.len())];
                    text.extend(std::iter::repeat_n(part, 1 + self.below(9)));
                    continue;
                }
                _ => PARTS[self.below(PARTS.len())],
            };
            text += part;
        }
        text
    }
}

fn count() -> usize {
    let count = std::env::var("AEOLUS_RANDOM_TEXTS").ok();
    count.map_or(100_000, |count| count.parse().unwrap())
}

fn framework(json: &Value) -> tokenizers::Tokenizer {
    tokenizers::Tokenizer::from_str(&json.to_string()).unwrap()
}

/// Every checkpoint of the reference, special tokens in the text.
#[test]
fn random_texts_have_the_ids_of_the_original_framework() {
    let Some(reference) = std::env::var_os("AEOLUS_REFERENCE").map(PathBuf::from) else {
        println!("AEOLUS_REFERENCE is not set: nothing is compared");
        return;
    };
    let count = count();
    let parsed = EncodeOptions {
        add_special: false,
        parse_special: true,
    };
    let mut done = HashSet::new();
    for entry in std::fs::read_dir(reference.join("models/tiny")).unwrap() {
        let folder = entry.unwrap().path();
        let json = std::fs::read(folder.join("tokenizer.json")).unwrap();
        let json: Value = serde_json::from_slice(&json).unwrap();
        let metadata = metadata(&json, "gemma4", None);
        if metadata.str("tokenizer.ggml.model").unwrap() == Some("llama") {
            continue;
        }
        // Checkpoints with the same steps differ in their special tokens at most.
        if !done.insert(format!("{}{}", json["pre_tokenizer"], json["normalizer"])) && count > 10_000 {
            continue;
        }
        let ours = Tokenizer::from_metadata(&metadata).unwrap();
        let theirs = framework(&json);
        let added = json["added_tokens"].as_array().unwrap().iter();
        let special: Vec<String> = added.map(|a| a["content"].as_str().unwrap().to_owned()).collect();
        let mut random = Random(1);
        for _ in 0..count {
            let text = random.text(&special);
            let expected = theirs.encode(text.as_str(), false).unwrap();
            let found = ours.encode(&text, parsed);
            assert_eq!(found, expected.get_ids(), "{folder:?} {text:?}");
            let decoded = theirs.decode(expected.get_ids(), false).unwrap();
            assert_eq!(ours.decode_with(&found, true).unwrap(), decoded, "{folder:?} {text:?}");
        }
        println!("{folder:?}: {count} texts");
    }
}

/// Every way of the table, by the pieces that it leaves.
#[test]
fn random_texts_are_cut_as_by_the_original_framework() {
    let count = count();
    let mut done = HashSet::new();
    for known in pre_tokenizer::ALL {
        if !done.insert((known.splits, known.byte_splits, known.nfc)) || known.splits.is_empty() {
            continue;
        }
        let split = |pattern: &&str| {
            json!({"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": false})
        };
        let mut steps: Vec<Value> = known.splits.iter().map(split).collect();
        if known.alphabet == Alphabet::Bytes {
            steps.push(json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false}));
        }
        steps.extend(known.byte_splits.iter().map(split));
        let theirs = framework(&json!({
            "version": "1.0", "added_tokens": [], "post_processor": null, "decoder": null,
            "normalizer": known.nfc.then(|| json!({"type": "NFC"})),
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": steps},
            "model": {"type": "BPE", "vocab": {}, "merges": []},
        }));
        let ours = aeolus_infer::tokenizer::cutter(known);
        let mut random = Random(2);
        for _ in 0..count {
            let text = random.text(&[]);
            let mut normal = NormalizedString::from(text.as_str());
            if let Some(normalizer) = theirs.get_normalizer() {
                normalizer.normalize(&mut normal).unwrap();
            }
            let mut cut = PreTokenizedString::from(normal);
            theirs.get_pre_tokenizer().unwrap().pre_tokenize(&mut cut).unwrap();
            let expected = cut.get_splits(OffsetReferential::Original, OffsetType::Byte);
            let expected: Vec<&str> = expected.iter().map(|split| split.0).collect();
            let found = ours(&text);
            assert_eq!(found, expected, "{} {text:?}", known.name);
        }
        println!("{}: {count} texts", known.name);
    }
}
