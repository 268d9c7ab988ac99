//! What happens to a text before its pieces are merged, as SentencePiece does it: characters are
//! replaced, superfluous spaces go, a space is put before the text, and spaces become `▁`.

use aeolus_gguf::Metadata;

use super::SPACE;
use super::special::{Fragment, Pieces};
use super::vocab::{TokenKind, Vocabulary};
use crate::error::{Error, Result};

const CHARSMAP_KEY: &str = "tokenizer.ggml.precompiled_charsmap";
const SCHEME_KEY: &str = "tokenizer.ggml.prepend_scheme";
/// Bytes of a character map. That of NFKC has 240,000.
const MAX_CHARSMAP_BYTES: usize = 4 << 20;
/// Bytes of what one match becomes. The longest in NFKC is 33.
const MAX_REPLACEMENT_BYTES: usize = 128;
/// Bytes of what one match replaces.
const MAX_MATCH_BYTES: usize = 128;

/// The steps that a vocabulary asks for.
#[derive(Debug)]
pub(super) struct Normalizer {
    charsmap: Option<Charsmap>,
    /// Spaces at both ends go, runs of them become one.
    pub(super) remove_extra_spaces: bool,
    prefix: Prefix,
    /// SentencePiece's own user-defined pieces, which stand in the middle of a text.
    symbols: Option<Pieces>,
}

/// Where a space is put before a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Prefix {
    Never,
    Always,
    /// Not before a text that begins with a space.
    Metaspace {
        /// Not behind special tokens either.
        only_first: bool,
    },
}

impl Normalizer {
    /// Marks spaces, and puts one before a text if the vocabulary says so.
    pub(super) fn plain(vocabulary: &Vocabulary) -> Self {
        let has_symbols = vocabulary.kinds.contains(&TokenKind::Symbol);
        let symbols = || Pieces::new(vocabulary, |kind| kind == TokenKind::Symbol);
        Self {
            charsmap: None,
            remove_extra_spaces: false,
            prefix: match vocabulary.add_space_prefix {
                true => Prefix::Always,
                false => Prefix::Never,
            },
            symbols: has_symbols.then(symbols),
        }
    }

    /// Takes what else the metadata asks for.
    pub(super) fn read(&mut self, metadata: &Metadata<'_>) -> Result<()> {
        const REMOVE_KEY: &str = "tokenizer.ggml.remove_extra_whitespaces";
        self.remove_extra_spaces = metadata.bool(REMOVE_KEY)?.unwrap_or(false);
        if let Some(map) = metadata.array(CHARSMAP_KEY)? {
            let signed = || {
                Some(
                    map.to_vec::<i8>()?
                        .into_iter()
                        .map(i8::cast_unsigned)
                        .collect(),
                )
            };
            let bytes: Option<Vec<u8>> = match map.len() {
                0..=MAX_CHARSMAP_BYTES => map.to_vec::<u8>().or_else(signed),
                _ => None,
            };
            let charsmap = bytes.as_deref().and_then(Charsmap::parse);
            self.charsmap = Some(charsmap.ok_or_else(|| Error::BadValue {
                key: CHARSMAP_KEY.to_owned(),
                found: format!("an array of {}", map.len()),
                expected: format!(
                    "SentencePiece's compiled character map: at most {MAX_CHARSMAP_BYTES} bytes, \
                     a trie and texts of at most {MAX_REPLACEMENT_BYTES} bytes"
                ),
            })?);
        }
        match metadata.str(SCHEME_KEY)? {
            _ if self.prefix == Prefix::Never => {}
            None => {}
            Some("always") => self.prefix = Prefix::Metaspace { only_first: false },
            Some("first") => self.prefix = Prefix::Metaspace { only_first: true },
            Some(other) => {
                return Err(Error::BadValue {
                    key: SCHEME_KEY.to_owned(),
                    found: other.to_owned(),
                    expected: "always or first".to_owned(),
                });
            }
        }
        Ok(())
    }

    /// Writes the normal form of `text` to `out`, over what is there. `is_first` says that no
    /// token was cut out of the text before it.
    pub(super) fn normalize(
        &self,
        vocabulary: &Vocabulary,
        text: &str,
        is_first: bool,
        out: &mut String,
    ) {
        out.clear();
        let mut rest = text;
        if self.remove_extra_spaces {
            while let Some((" ", bytes)) = self.next(vocabulary, rest) {
                rest = &rest[bytes..];
            }
        }
        if rest.is_empty() {
            return;
        }
        let has_prefix = match self.prefix {
            Prefix::Never => false,
            Prefix::Always => true,
            Prefix::Metaspace { only_first } => {
                (is_first || !only_first) && !rest.starts_with([' ', SPACE])
            }
        };
        if has_prefix {
            out.push(SPACE);
        }
        let mut after_space = self.remove_extra_spaces;
        while let Some((mut normal, bytes)) = self.next(vocabulary, rest) {
            rest = &rest[bytes..];
            if after_space {
                normal = normal.trim_start_matches(' ');
            }
            if !normal.is_empty() {
                after_space = self.remove_extra_spaces && normal.ends_with(' ');
            }
            out.extend(normal.chars().map(|c| if c == ' ' { SPACE } else { c }));
        }
        if self.remove_extra_spaces {
            out.truncate(out.trim_end_matches(SPACE).len());
        }
    }

    /// What the beginning of `text` becomes, and how many bytes it has; `None` for no text.
    fn next<'t>(&'t self, vocabulary: &Vocabulary, text: &'t str) -> Option<(&'t str, usize)> {
        let first = text.chars().next()?.len_utf8();
        if let Some(symbols) = &self.symbols
            && let Some(id) = symbols.longest_at(vocabulary, text.as_bytes())
        {
            let bytes = vocabulary.pieces[id as usize].len();
            return Some((&text[..bytes], bytes));
        }
        let mapped = self.charsmap.as_ref().and_then(|map| map.longest(text));
        Some(mapped.unwrap_or((&text[..first], first)))
    }

    /// Cuts normal text at SentencePiece's own user-defined pieces.
    pub(super) fn cut<'t>(
        &self,
        vocabulary: &Vocabulary,
        text: &'t str,
        mut emit: impl FnMut(Fragment<'t>),
    ) {
        let mut start = 0;
        if let Some(symbols) = &self.symbols {
            let mut at = 0;
            while at < text.len() {
                let Some(id) = symbols.longest_at(vocabulary, &text.as_bytes()[at..]) else {
                    at += 1;
                    continue;
                };
                if start < at {
                    emit(Fragment::Text(&text[start..at]));
                }
                emit(Fragment::Token(id));
                at += vocabulary.pieces[id as usize].len();
                start = at;
            }
        }
        if start < text.len() {
            emit(Fragment::Text(&text[start..]));
        }
    }
}

/// A map from the beginnings of a text to what they become.
///
/// The file has SentencePiece's form: the length of a trie in bytes, the trie, and the texts that
/// it maps to, each ended by a zero byte. The trie is a double array (as Darts-clone writes it):
/// units of 32 bits, of which the children of the unit at `n` lie at `n ^ offset ^ byte`, each
/// with the byte as its label; where a key ends, the unit at `n ^ offset` has the text's position.
///
/// ```text
/// bit 31        1 in a unit that has a value: the value is in bits 0 to 30
/// bits 10 to 30 offset, to be shifted left by 8 if bit 9 is set
/// bit 8         a key ends here
/// bits 0 to 7   label
/// ```
#[derive(Debug)]
struct Charsmap {
    units: Vec<u32>,
    texts: String,
}

impl Charsmap {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let (size, rest) = bytes.split_first_chunk()?;
        let size = usize::try_from(u32::from_le_bytes(*size)).ok()?;
        let (trie, texts) = rest.split_at_checked(size)?;
        let (units, odd) = trie.as_chunks();
        let texts = std::str::from_utf8(texts).ok()?;
        let is_short = |text: &str| text.len() <= MAX_REPLACEMENT_BYTES;
        if !odd.is_empty() || units.is_empty() || !texts.split('\0').all(is_short) {
            return None;
        }
        Some(Self {
            units: units.iter().map(|unit| u32::from_le_bytes(*unit)).collect(),
            texts: texts.to_owned(),
        })
    }

    fn unit(&self, at: u32) -> Option<u32> {
        self.units.get(usize::try_from(at).ok()?).copied()
    }

    /// The longest beginning of `text` that is in the map: what it becomes, and its bytes.
    fn longest<'t>(&'t self, text: &'t str) -> Option<(&'t str, usize)> {
        let offset = |unit: u32| (unit >> 10) << ((unit & (1 << 9)) >> 6);
        let mut found = None;
        let mut at = offset(self.unit(0)?);
        for (index, byte) in text.bytes().enumerate().take(MAX_MATCH_BYTES) {
            at ^= u32::from(byte);
            let Some(unit) = self.unit(at) else {
                break;
            };
            if unit & (1 << 31 | 0xff) != u32::from(byte) {
                break;
            }
            at ^= offset(unit);
            if unit & (1 << 8) != 0 && text.is_char_boundary(index + 1) {
                let value = self.unit(at).map(|unit| unit & !(1 << 31));
                let start = value.and_then(|value| usize::try_from(value).ok());
                let normal = start.and_then(|start| self.texts.get(start..));
                let normal = normal.and_then(|rest| rest.split('\0').next());
                found = normal.map(|normal| (normal, index + 1)).or(found);
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use aeolus_gguf::Array;

    use super::super::{EncodeOptions, Tokenizer};
    use super::*;

    /// A character map in SentencePiece's form, by trying.
    fn charsmap(pairs: &[(&str, &str)]) -> Vec<u8> {
        fn place(units: &mut [u32], used: &mut [bool], node: usize, keys: &[(&[u8], u32)]) {
            let mut labels: Vec<u8> = keys
                .iter()
                .map(|(key, _)| key.first().copied().unwrap_or(0))
                .collect();
            labels.dedup();
            // No two nodes share a base, or one would see the other's children.
            let free =
                |base: &usize| !used[*base] && labels.iter().all(|l| !used[base ^ usize::from(*l)]);
            let base = (1..units.len() - 256).find(free).expect("room for it");
            units[node] |= ((node ^ base) as u32) << 10;
            used[base] = true;
            for label in &labels {
                used[base ^ usize::from(*label)] = true;
            }
            for &label in &labels {
                let child = base ^ usize::from(label);
                if let Some((_, value)) = keys.iter().find(|(key, _)| key.is_empty() && label == 0)
                {
                    units[node] |= 1 << 8;
                    units[child] = 1 << 31 | value;
                    continue;
                }
                units[child] = label.into();
                let rest = keys.iter().filter(|(key, _)| key.first() == Some(&label));
                let rest: Vec<_> = rest.map(|(key, value)| (&key[1..], *value)).collect();
                place(units, used, child, &rest);
            }
        }
        let (mut keys, mut texts) = (Vec::new(), String::new());
        for (key, text) in pairs {
            keys.push((key.as_bytes(), texts.len() as u32));
            texts.push_str(text);
            texts.push('\0');
        }
        keys.sort();
        let (mut units, mut used) = (vec![0; 4096], vec![false; 4096]);
        used[0] = true;
        place(&mut units, &mut used, 0, &keys);
        let trie = units.iter().flat_map(|unit| unit.to_le_bytes());
        let size = (4 * units.len() as u32).to_le_bytes();
        size.into_iter()
            .chain(trie)
            .chain(texts.into_bytes())
            .collect()
    }

    /// The metadata of a vocabulary: (piece, score, type).
    fn metadata(pieces: &[(&str, f32, i32)]) -> Metadata<'static> {
        let mut m = Metadata::new();
        let scores: Vec<f32> = pieces.iter().map(|piece| piece.1).collect();
        let types: Vec<i32> = pieces.iter().map(|piece| piece.2).collect();
        m.insert("tokenizer.ggml.model", "llama");
        m.insert(
            "tokenizer.ggml.tokens",
            Array::from_strings(pieces.iter().map(|piece| piece.0)),
        );
        m.insert("tokenizer.ggml.scores", Array::from_f32s(&scores));
        m.insert("tokenizer.ggml.token_type", Array::from_i32s(&types));
        m
    }

    const PIECES: [(&str, f32, i32); 8] = [
        ("<unk>", 0.0, 2),
        ("<s>", 0.0, 3),
        ("\u{2581}", -1.0, 1),
        ("a", -2.0, 1),
        ("b", -3.0, 1),
        ("\u{2581}a", -4.0, 1),
        ("<sep>", 0.0, 4),
        ("<new>", -1000.0, 4),
    ];

    fn normal_forms(m: &Metadata<'_>, cases: &[(&str, &str)]) {
        let tokenizer = Tokenizer::from_metadata(m).unwrap();
        for (text, expected) in cases {
            let mut out = String::from("before");
            let super::super::Engine::SentencePiece(engine) = &tokenizer.engine else {
                panic!("not SentencePiece");
            };
            let normalizer = &engine.normalizer;
            normalizer.normalize(tokenizer.vocabulary(), text, true, &mut out);
            assert_eq!(out, *expected, "{text:?}");
        }
    }

    /// As SentencePiece normalizes these.
    #[test]
    fn characters_are_replaced_and_superfluous_spaces_go() {
        let map = charsmap(&[
            ("\u{ff21}", "A"),
            ("e\u{301}", "\u{e9}"),
            ("e\u{301}\u{301}", "x"),
            ("\t", " "),
            ("\u{200b}", ""),
            ("\u{bd}", " 1/2"),
        ]);
        let mut m = metadata(&PIECES);
        m.insert(CHARSMAP_KEY, Array::from_slice(&map));
        normal_forms(
            &m,
            &[
                ("", ""),
                ("\u{ff21}a", "▁Aa"),
                ("e e\u{301} e\u{301}\u{301} \u{301}", "▁e▁é▁x▁\u{301}"),
                (" a\t\tb ", "▁▁a▁▁b▁"),
                ("\u{200b}", "▁"),
                ("a\u{bd}", "▁a▁1/2"),
            ],
        );
        m.insert("tokenizer.ggml.remove_extra_whitespaces", true);
        let map: Vec<i8> = map.into_iter().map(u8::cast_signed).collect();
        m.insert(CHARSMAP_KEY, Array::from_slice(&map));
        let removed = [
            ("", ""),
            (" \t ", ""),
            ("\u{200b}", ""),
            ("  a\t b  ", "▁a▁b"),
            ("a \u{bd}\u{200b} b", "▁a▁1/2▁b"),
            ("\u{2581}a", "▁▁a"),
            (" <sep>  <sep> ", "▁<sep>▁<sep>"),
        ];
        normal_forms(&m, &removed);
        m.insert("tokenizer.ggml.add_space_prefix", false);
        normal_forms(
            &m,
            &removed.map(|(text, normal)| (text, normal.strip_prefix(SPACE).unwrap_or(normal))),
        );
        let tokenizer = Tokenizer::from_metadata(&m).unwrap();
        assert_eq!(tokenizer.decode(&[2, 5, 4]).unwrap(), "ab");
    }

    #[test]
    fn sentencepieces_own_symbols_stand_inside_words_and_added_tokens_do_not() {
        let mut pieces = PIECES.to_vec();
        pieces.extend([
            ("\u{2581}\u{2581}", 0.0, 4),
            ("a<sep>", -1.0, 1),
            ("a b", 0.0, 4),
        ]);
        let m = metadata(&pieces);
        let tokenizer = Tokenizer::from_metadata(&m).unwrap();
        let encode = |text: &str| tokenizer.encode(text, EncodeOptions::default());
        assert_eq!(encode("a<sep>b"), [5, 6, 4], "no merge takes part of it");
        assert_eq!(encode("a<new>b"), [5, 7, 2, 4], "the text begins again");
        assert_eq!(encode("<sep><sep>"), [2, 6, 6]);
        assert_eq!(
            encode(" a"),
            [8, 3],
            "the space before the text counts, too"
        );
        assert_eq!(
            encode("a b"),
            [5, 2, 4],
            "spaces are marked before it is looked for"
        );
        assert_eq!(tokenizer.decode(&[3, 8, 6]).unwrap(), "a  <sep>");
        assert_eq!(
            encode("xyzax"),
            [2, 0, 3, 0],
            "a run of unknown characters is one"
        );
    }

    #[test]
    fn metaspace_puts_no_space_before_one_nor_behind_a_token() {
        let ids = |scheme: &'static str, text: &str| {
            let mut m = metadata(&PIECES);
            m.insert(SCHEME_KEY, scheme);
            let options = EncodeOptions {
                parse_special: true,
                ..EncodeOptions::default()
            };
            Tokenizer::from_metadata(&m).map(|t| t.encode(text, options))
        };
        for (text, always, first) in [
            ("a", &[5][..], &[5][..]),
            (" a", &[5], &[5]),
            ("\u{2581}a", &[5], &[5]),
            ("  a", &[2, 5], &[2, 5]),
            ("a<s>a<s> a", &[5, 1, 5, 1, 5], &[5, 1, 3, 1, 5]),
            ("<s>a", &[1, 5], &[1, 3]),
        ] {
            assert_eq!(ids("always", text).unwrap(), always, "{text:?}");
            assert_eq!(ids("first", text).unwrap(), first, "{text:?}");
        }
        assert!(ids("sometimes", "").is_err());
    }

    #[test]
    fn malformed_maps_are_refused_or_change_nothing() {
        let good = charsmap(&[("a", "b"), ("aa", "c")]);
        let texts = 4 + 4 * 4096;
        let long = [&good[..], &[b'x'; MAX_REPLACEMENT_BYTES + 1]].concat();
        let no_text = [&good[..texts], b"\xff\0"].concat();
        let odd = [&6u32.to_le_bytes()[..], &[0; 6]].concat();
        for bad in [
            &[][..],
            &[0; 3],
            &[0; 4],
            &[8, 0, 0, 0, 1, 1, 1, 1],
            &good[..texts - 1],
            &long,
            &no_text,
            &odd,
        ] {
            assert!(Charsmap::parse(bad).is_none(), "{} bytes", bad.len());
        }
        let mut m = metadata(&PIECES);
        m.insert(
            CHARSMAP_KEY,
            Array::from_slice(&vec![0u8; MAX_CHARSMAP_BYTES + 1]),
        );
        assert!(Tokenizer::from_metadata(&m).is_err());
        m.insert(CHARSMAP_KEY, Array::from_strings(["x"]));
        assert!(Tokenizer::from_metadata(&m).is_err());

        // Every unit anything: keys that never end, end inside characters, values anywhere.
        let mut seed = 3_u32;
        let mut random = || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            seed >> 8
        };
        let text = "aaé\u{ff21}日本 ".repeat(100);
        for _ in 0..200 {
            let mut map = good[..texts].to_vec();
            map.extend("é\0日x\0".as_bytes());
            for _ in 0..2000 {
                let at = 4 + random() as usize % (4 * 512);
                map[at] = random() as u8;
            }
            let map = Charsmap::parse(&map).unwrap();
            for (at, _) in text.char_indices() {
                if let Some((_, bytes)) = map.longest(&text[at..]) {
                    assert!(text.is_char_boundary(at + bytes) && bytes > 0);
                }
            }
        }
    }
}
