//! Names near to what was typed.

/// How many near names an error lists.
const LISTED: usize = 3;
/// The most edits between what was typed and a name worth suggesting.
const MAX_EDITS: usize = 2;

/// The candidates at most [`MAX_EDITS`] edits from `typed`, nearest first, at most [`LISTED`].
/// Letter case, `_` and `-` do not count: `q4km` is `Q4_K_M`, and nothing else is listed.
pub(crate) fn nearest<'a>(
    typed: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Vec<&'a str> {
    let typed = bare(typed);
    let mut near: Vec<(usize, &str)> = candidates
        .into_iter()
        .map(|name| (edits(&typed, &bare(name)), name))
        // With every letter changed, anything is near to a short word.
        .filter(|&(edits, _)| edits <= MAX_EDITS && edits < typed.len())
        .collect();
    near.sort_by_key(|&(edits, _)| edits);
    if near.first().is_some_and(|&(edits, _)| edits == 0) {
        near.truncate(1);
    }
    near.truncate(LISTED);
    near.into_iter().map(|(_, name)| name).collect()
}

fn bare(name: &str) -> Vec<char> {
    name.chars()
        .filter(|c| !matches!(c, '_' | '-'))
        .map(|c| c.to_ascii_uppercase())
        .collect()
}

/// Levenshtein distance: insertions, deletions and replacements from `a` to `b`.
fn edits(a: &[char], b: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.iter().enumerate() {
        // Distance of a[..i] to b[..j] and, after the first step, of a[..=i] to b[..j].
        let (mut diagonal, mut left) = (i, i + 1);
        for (to, above) in b.iter().zip(row.iter_mut().skip(1)) {
            let cost = (diagonal + usize::from(from != to))
                .min(left + 1)
                .min(*above + 1);
            diagonal = std::mem::replace(above, cost);
            left = cost;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(a.len())
}

/// The tensor names that look most like what a pattern that matched none was meant for, layers
/// folded together: `blk.{0..31}.ffn_down.weight`. At most [`LISTED`].
///
/// The pattern is taken apart into its literal words; a name is as far from it as the sum of the
/// words' distances to their nearest parts of the name.
pub(crate) fn near_tensors<'a>(
    pattern: &str,
    names: impl IntoIterator<Item = &'a str>,
) -> Vec<String> {
    let words = literal_words(pattern);
    let mut families: Vec<Family> = Vec::new();
    for name in names {
        let (stem, layer) = fold(name);
        match families.iter_mut().find(|family| family.stem == stem) {
            Some(family) => family.layers.extend(layer),
            None => families.push(Family {
                stem,
                layers: layer.into_iter().collect(),
            }),
        }
    }
    families.sort_by_cached_key(|family| family.distance(&words));
    families.truncate(LISTED);
    families.iter().map(Family::shown).collect()
}

/// Tensors of one name in all layers.
struct Family {
    /// The name, its layer replaced by [`LAYER`].
    stem: String,
    layers: Vec<u64>,
}

/// Stands for the layer in a stem.
const LAYER: &str = "{}";

fn fold(name: &str) -> (String, Option<u64>) {
    let folded = name.strip_prefix("blk.").and_then(|rest| {
        let (layer, role) = rest.split_once('.')?;
        Some((format!("blk.{LAYER}.{role}"), Some(layer.parse().ok()?)))
    });
    folded.unwrap_or_else(|| (name.to_owned(), None))
}

impl Family {
    fn distance(&self, words: &[Vec<char>]) -> usize {
        let parts: Vec<Vec<char>> = self.stem.split('.').map(bare).collect();
        let nearest = |word: &Vec<char>| parts.iter().map(|part| edits(word, part)).min();
        words.iter().filter_map(nearest).sum()
    }

    fn shown(&self) -> String {
        match (self.layers.iter().min(), self.layers.iter().max()) {
            (Some(low), Some(high)) if low < high => {
                self.stem.replace(LAYER, &format!("{{{low}..{high}}}"))
            }
            (Some(only), _) => self.stem.replace(LAYER, &only.to_string()),
            _ => self.stem.clone(),
        }
    }
}

/// The words of a pattern that are text and no regular expression syntax, numbers left out.
fn literal_words(pattern: &str) -> Vec<Vec<char>> {
    let mut text = String::new();
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        match c {
            // `\d`, `\b` and their like are classes; `\.` is a dot.
            '\\' => {
                chars.next();
                text.push(' ');
            }
            c if c.is_alphanumeric() || c == '_' || c == '-' => text.push(c),
            _ => text.push(' '),
        }
    }
    text.split_whitespace()
        .filter(|word| word.chars().any(char::is_alphabetic))
        .map(bare)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_count_insertions_deletions_and_replacements() {
        let cases = [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "", 3),
            ("abc", "abc", 0),
            ("Q4KM", "Q5KM", 1),
            ("Q4K", "Q4KM", 1),
            ("kitten", "sitting", 3),
        ];
        for (a, b, expected) in cases {
            let chars = |s: &str| s.chars().collect::<Vec<_>>();
            assert_eq!(edits(&chars(a), &chars(b)), expected, "{a} to {b}");
        }
    }

    #[test]
    fn near_names_come_nearest_first_and_far_ones_not_at_all() {
        let names = ["Q4_K_S", "Q4_K_M", "Q8_0"];
        assert_eq!(nearest("q4km", names), ["Q4_K_M"]);
        assert_eq!(nearest("q4kn", names), ["Q4_K_S", "Q4_K_M"]);
        assert!(nearest("gguf", names).is_empty());
        assert!(nearest("M", names).is_empty(), "one letter is near to all");
    }

    #[test]
    fn a_pattern_finds_the_tensors_it_meant() {
        let names = [
            "token_embd.weight",
            "blk.0.attn_q.weight",
            "blk.0.ffn_down.weight",
            "blk.1.attn_q.weight",
            "blk.1.ffn_down.weight",
        ];
        let nearest = |pattern| near_tensors(pattern, names).swap_remove(0);
        assert_eq!(nearest("ffn_dwon"), "blk.{0..1}.ffn_down.weight");
        assert_eq!(nearest(r"blk\.\d+\.attn_query"), "blk.{0..1}.attn_q.weight");
        assert_eq!(nearest("token_embed"), "token_embd.weight");
        assert_eq!(near_tensors("x", ["blk.3.a"]), ["blk.3.a"]);
        assert!(near_tensors("x", []).is_empty());
    }
}
