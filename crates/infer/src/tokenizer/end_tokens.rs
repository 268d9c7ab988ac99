//! Which tokens end a generation, and which are never text.
//!
//! Files mark them by keys (`eos`, `eot`, `eom`, the fill-in-the-middle ones) and by names that the
//! field knows; a model that was tuned for chat often ends its turns with another token than its
//! `eos` key says. The kinds in a file cannot be relied on: converters write *user-defined* for a
//! token that is listed twice, and then the words of a user would end a turn. So these tokens count
//! as control tokens here, as they do in llama.cpp.

use aeolus_gguf::Metadata;

use super::scheme::Scheme;
use super::vocab::{self, TokenKind, Vocabulary};

/// Names of tokens that end a text, a turn or a message, whatever the keys say.
const NAMES: [&str; 27] = [
    "</s>",
    "<eos>",
    "<EOT>",
    "_<EOT>",
    "\u{2581}<EOT>",
    "[EOT]",
    "[EOS]",
    "<|endoftext|>",
    "<|end_of_text|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|eot|>",
    "<|eom|>",
    "<|end_of_turn|>",
    "<|im_end|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<|calls|>",
    "<|flush|>",
    "<end_of_turn>",
    "<turn|>",
    "<|tool_response>",
    "<end_of_utterance>",
    "<\u{ff5c}end\u{2581}of\u{2581}sentence\u{ff5c}>",
    "<|plamo:eos|>",
    "[e~[",
];

/// Names of tokens that end a fill-in-the-middle: padding, the next repository, the next file.
const FILL_IN_NAMES: [&str; 11] = [
    "<|fim_pad|>",
    "<fim-pad>",
    "<fim_pad>",
    "<PAD>",
    "[PAD]",
    "<|fim_repo|>",
    "<|repo_name|>",
    "<fim-repo>",
    "<REPO>",
    "<reponame>",
    "<|file_sep|>",
];

/// Keys of tokens that end a generation, besides `eos`.
const KEYS: [&str; 5] = [
    "tokenizer.ggml.eot_token_id",
    "tokenizer.ggml.eom_token_id",
    "tokenizer.ggml.fim_pad_token_id",
    "tokenizer.ggml.fim_rep_token_id",
    "tokenizer.ggml.fim_sep_token_id",
];

/// Notes about keys; a file may have any number.
const MAX_NOTES: usize = 16;

/// What the keys of a file say.
pub(super) struct Keys {
    /// Tokens that end a generation.
    pub(super) ends: Vec<u32>,
    /// What is wrong with keys, a sentence each.
    pub(super) notes: Vec<String>,
}

impl Keys {
    /// Reads every key that holds the id of a token of `tokens`.
    pub(super) fn read(metadata: &Metadata<'_>, tokens: usize) -> Self {
        let mut keys = Self {
            ends: Vec::new(),
            notes: Vec::new(),
        };
        let adds_bos = || {
            let scheme = Scheme::from_metadata(metadata);
            let adds = scheme.and_then(|scheme| vocab::adds_bos(metadata, scheme));
            adds.is_ok_and(|adds| adds)
        };
        for (key, value) in metadata.iter() {
            if !(key.starts_with("tokenizer.ggml.") && key.ends_with("_token_id")) {
                continue;
            }
            let note = match value.as_integer() {
                Some(id) if vocab::means_none(id) => match key == vocab::BOS_KEY && adds_bos() {
                    true => format!(
                        "{key} is {id}, which means none, but the model expects a beginning token \
                         before every text; texts begin without one"
                    ),
                    false => continue,
                },
                Some(id) if (0..tokens as i128).contains(&id) => {
                    if KEYS.contains(&key) {
                        keys.ends.push(id as u32);
                    }
                    continue;
                }
                Some(id) => format!(
                    "{key} is {id}, but the vocabulary has {tokens} tokens; the key is ignored"
                ),
                None => format!("{key} is not a whole number; the key is ignored"),
            };
            if keys.notes.len() < MAX_NOTES {
                keys.notes.push(note);
            }
        }
        keys
    }
}

/// The tokens of `vocabulary` that end a generation: `ends`, `eos` and those known by name. They and
/// `bos` become control tokens.
pub(super) fn find(vocabulary: &mut Vocabulary, ends: &[u32]) -> Vec<u32> {
    let is_name = |piece: &&str| NAMES.contains(piece) || FILL_IN_NAMES.contains(piece);
    let pieces = vocabulary.pieces.iter().map(String::as_str);
    let mut named: Vec<(u32, String)> = (0..)
        .zip(pieces)
        .filter(|(_, piece)| is_name(piece))
        .map(|(id, piece)| (id, piece.to_owned()))
        .collect();
    let keyed: Vec<u32> = ends.iter().copied().chain(vocabulary.eos).collect();
    for (id, _) in &named {
        if !matches!(vocabulary.kinds[*id as usize], TokenKind::Byte(_)) {
            vocabulary.kinds[*id as usize] = TokenKind::Control;
        }
    }
    for id in keyed.iter().copied().chain(vocabulary.bos) {
        if is_marked(vocabulary, id) {
            vocabulary.kinds[id as usize] = TokenKind::Control;
        }
    }
    if let Some(id) = vocabulary.unk.filter(|id| is_marked(vocabulary, *id)) {
        vocabulary.kinds[id as usize] = TokenKind::Unknown;
    }
    // Vocabularies in which a name means something else: `<|end|>` ends one of several messages of an
    // answer where `<|return|>` or `<|flush|>` ends the answer, and `</s>` is left over beside these.
    let has = |name: &str| named.iter().any(|(_, found)| found == name);
    let calls = has("<|call|>") || has("<|calls|>");
    let end_is_within = calls && (has("<|return|>") || has("<|flush|>"));
    let s_is_left_over = has("<|plamo:eos|>") || has("<|tool_response>");
    named.retain(|(_, name)| match name.as_str() {
        "<|end|>" => !end_is_within,
        "</s>" => !s_is_left_over,
        _ => true,
    });
    let mut all = keyed;
    all.extend(named.iter().map(|(id, _)| *id));
    all.sort_unstable();
    all.dedup();
    all
}

/// Whether a token that a key names is a mark and no text: a model may end its texts with a line
/// end, which stays text.
fn is_marked(vocabulary: &Vocabulary, id: u32) -> bool {
    let piece = vocabulary.pieces[id as usize].as_str();
    let in_brackets =
        |open, close| piece.len() > 2 && piece.starts_with(open) && piece.ends_with(close);
    match vocabulary.kinds[id as usize] {
        TokenKind::UserDefined => true,
        TokenKind::Normal => in_brackets('<', '>') || in_brackets('[', ']'),
        _ => false,
    }
}

/// Names of tokens that frame the turns of a chat. Files may say that they are *user-defined*, which
/// reads them in any text; in what somebody says they are not read all the same.
const FRAMES: [&str; 12] = [
    "<|im_start|>",
    "<|im_sep|>",
    "<start_of_turn>",
    "<|turn>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|start|>",
    "<|message|>",
    "<|channel|>",
    "<|system|>",
    "<|user|>",
    "<|assistant|>",
];

/// Whether the token would begin or end a turn, so that no message may contain it.
pub(super) fn frames_turns(piece: &str) -> bool {
    FRAMES.contains(&piece)
}

#[cfg(test)]
mod tests {
    use super::super::{EncodeOptions, Tokenizer};
    use super::*;
    use TokenKind::{Control, Normal, Unknown, UserDefined};

    fn vocabulary(pieces: &[(&str, TokenKind)]) -> Vocabulary {
        Vocabulary {
            pieces: pieces.iter().map(|p| p.0.to_owned()).collect(),
            scores: vec![0.0; pieces.len()],
            kinds: pieces.iter().map(|p| p.1).collect(),
            bos: None,
            eos: None,
            unk: Some(0),
            add_bos: true,
            add_eos: false,
            add_space_prefix: false,
        }
    }

    #[test]
    fn a_name_that_the_field_knows_ends_a_generation_whatever_its_kind() {
        for name in NAMES.iter().chain(&FILL_IN_NAMES) {
            for kind in [Normal, Control, UserDefined] {
                let pieces = [
                    ("<unk>", Unknown),
                    ("<s>", Control),
                    ("a", Normal),
                    (name, kind),
                ];
                let tokenizer = Tokenizer::new(vocabulary(&pieces)).unwrap();
                let ends: Vec<u32> = (0..4).filter(|id| tokenizer.is_end(*id)).collect();
                assert_eq!(ends, [3], "{name} {kind:?}");
                let ids = tokenizer.encode(name, EncodeOptions::default());
                assert!(!ids.contains(&3), "{name} {kind:?} is not text");
            }
        }
    }

    #[test]
    fn names_that_other_names_explain_do_not_end_a_generation() {
        for (names, ends) in [
            (&["<|end|>", "<|call|>"][..], &[1, 2][..]),
            (&["<|end|>", "<|call|>", "<|return|>"], &[2, 3]),
            (&["<|end|>", "<|calls|>", "<|flush|>"], &[2, 3]),
            (&["</s>", "<|tool_response>"], &[2]),
            (&["</s>", "<|plamo:eos|>"], &[2]),
        ] {
            let mut pieces = vec![("<unk>", Unknown)];
            pieces.extend(names.iter().map(|name| (*name, Control)));
            let tokenizer = Tokenizer::new(vocabulary(&pieces)).unwrap();
            let found: Vec<u32> = (0..4).filter(|id| tokenizer.is_end(*id)).collect();
            assert_eq!(found, ends, "{names:?}");
            // As the `eos` of the file it ends one all the same.
            let eos = Some(1);
            let vocabulary = Vocabulary {
                eos,
                ..vocabulary(&pieces)
            };
            assert!(Tokenizer::new(vocabulary).unwrap().is_end(1), "{names:?}");
        }
    }

    #[test]
    fn begin_end_and_unknown_tokens_are_not_text_but_a_line_end_is() {
        let pieces = [
            ("<unk>", UserDefined),
            ("<bos>", UserDefined),
            ("###", UserDefined),
            ("\n", Normal),
            ("a", Normal),
        ];
        let marked = Vocabulary {
            bos: Some(1),
            eos: Some(2),
            ..vocabulary(&pieces)
        };
        let kinds = |vocabulary: Vocabulary| {
            let tokenizer = Tokenizer::new(vocabulary).unwrap();
            tokenizer.vocabulary().kinds.clone()
        };
        assert_eq!(
            kinds(marked.clone()),
            [Unknown, Control, Control, Normal, Normal]
        );
        let line_end = Vocabulary {
            eos: Some(3),
            ..marked
        };
        assert_eq!(
            kinds(line_end),
            [Unknown, Control, UserDefined, Normal, Normal]
        );
    }

    #[test]
    fn keys_name_the_tokens_that_end_a_generation_or_are_noted() {
        let mut metadata = Metadata::new();
        for key in KEYS {
            metadata.insert(key, 7_u32);
        }
        metadata.insert("tokenizer.ggml.padding_token_id", 3_i64);
        let keys = Keys::read(&metadata, 8);
        assert_eq!((keys.ends, keys.notes.len()), (vec![7; 5], 0));

        let mut metadata = Metadata::new();
        metadata.insert("tokenizer.ggml.bos_token_id", 8_u32);
        metadata.insert("tokenizer.ggml.eot_token_id", -2_i32);
        metadata.insert("tokenizer.ggml.mask_token_id", "mask");
        // There is none.
        metadata.insert("tokenizer.ggml.eos_token_id", -1_i32);
        metadata.insert("tokenizer.ggml.padding_token_id", u32::MAX);
        let keys = Keys::read(&metadata, 8);
        assert!(keys.ends.is_empty());
        let notes = keys.notes.join("\n");
        for part in [
            "bos_token_id is 8, but the vocabulary has 8 tokens",
            "eot_token_id is -2",
            "mask_token_id",
        ] {
            assert!(notes.contains(part), "{notes}");
        }
        assert_eq!(keys.notes.len(), 3, "{notes}");
        for n in 0..1000 {
            metadata.insert(format!("tokenizer.ggml.{n}_token_id"), 8_u32);
        }
        assert_eq!(Keys::read(&metadata, 8).notes.len(), MAX_NOTES);
    }
}
