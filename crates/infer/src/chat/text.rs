//! What Python's methods do with the characters of a text.

/// A part of a text, and how many characters stand before it.
pub(super) struct Part<'t> {
    pub(super) text: &'t str,
    pub(super) before: usize,
}

/// `text[start:end]`, from the end where negative; `None` if it begins behind its end.
pub(super) fn part(text: &str, start: Option<i64>, end: Option<i64>) -> Option<Part<'_>> {
    if start.is_none() && end.is_none() {
        return Some(Part { text, before: 0 });
    }
    let length = text.chars().count();
    let place = |at: i64| {
        let away = usize::try_from(at.unsigned_abs()).unwrap_or(usize::MAX);
        match at < 0 {
            true => length.saturating_sub(away),
            false => away,
        }
    };
    let start = start.map_or(0, place);
    let end = end.map_or(length, place).min(length);
    if start > end {
        return None;
    }
    let byte = |at: usize| text.char_indices().nth(at).map_or(text.len(), |(i, _)| i);
    Some(Part {
        text: &text[byte(start)..byte(end)],
        before: start,
    })
}

/// White space, for Python: Unicode's, and four separators of ASCII.
pub(super) fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\x1c'..='\x1f').contains(&c)
}

/// Pieces that a text is cut into, at most.
pub(super) fn pieces(text: &str, separator: Option<&str>, most: Option<usize>) -> usize {
    let cuts = match separator {
        Some(separator) => text.matches(separator).count(),
        None => text.split(is_space).filter(|word| !word.is_empty()).count(),
    };
    cuts.min(most.unwrap_or(usize::MAX)).saturating_add(1)
}

/// Cut at a separator, `most` times at most.
pub(super) fn split_by<'t>(text: &'t str, by: &str, most: Option<usize>) -> Vec<&'t str> {
    let pieces = most.map_or(usize::MAX, |most| most.saturating_add(1));
    text.splitn(pieces, by).collect()
}

/// The same from the end.
pub(super) fn rsplit_by<'t>(text: &'t str, by: &str, most: Option<usize>) -> Vec<&'t str> {
    let pieces = most.map_or(usize::MAX, |most| most.saturating_add(1));
    let mut parts: Vec<&str> = text.rsplitn(pieces, by).collect();
    parts.reverse();
    parts
}

/// Words; behind the last cut, the rest as it is.
pub(super) fn split_words(text: &str, most: Option<usize>) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = text.trim_start_matches(is_space);
    while !rest.is_empty() {
        if most.is_some_and(|most| parts.len() >= most) {
            parts.push(rest);
            break;
        }
        let end = rest.find(is_space).unwrap_or(rest.len());
        parts.push(&rest[..end]);
        rest = rest[end..].trim_start_matches(is_space);
    }
    parts
}

/// The same from the end.
pub(super) fn rsplit_words(text: &str, most: Option<usize>) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = text.trim_end_matches(is_space);
    while !rest.is_empty() {
        if most.is_some_and(|most| parts.len() >= most) {
            parts.push(rest);
            break;
        }
        let space = rest.char_indices().rev().find(|(_, c)| is_space(*c));
        let start = space.map_or(0, |(at, c)| at + c.len_utf8());
        parts.push(&rest[start..]);
        rest = rest[..start].trim_end_matches(is_space);
    }
    parts.reverse();
    parts
}

/// Lines by all that ends one for Python.
pub(super) fn lines(text: &str, keep_ends: bool) -> impl Iterator<Item = &str> + Clone {
    let ends_line = |c: char| {
        matches!(
            c,
            '\n' | '\r' | '\x0b' | '\x0c' | '\x1c'..='\x1e' | '\u{85}' | '\u{2028}' | '\u{2029}'
        )
    };
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = rest.find(ends_line).unwrap_or(rest.len());
        let mut ended = rest[end..].chars();
        let mut after = end + ended.next().map_or(0, char::len_utf8);
        if rest[end..].starts_with("\r\n") {
            after = end + 2;
        }
        let line = &rest[..if keep_ends { after } else { end }];
        rest = &rest[after..];
        Some(line)
    })
}

/// Of so many characters that are missing for a width, those that `str.center` puts on the left.
pub(super) fn left_of_center(missing: usize, width: i64) -> usize {
    missing / 2 + usize::from(missing % 2 == 1 && width % 2 == 1)
}

/// A text between so many characters.
pub(super) fn between(text: &str, fill: char, left: usize, right: usize) -> String {
    let fills = |n| std::iter::repeat_n(fill, n);
    fills(left)
        .chain(text.chars())
        .chain(fills(right))
        .collect()
}

/// Spaces for tabs, up to the next column that is a multiple of `size`.
pub(super) fn without_tabs(text: &str, size: usize) -> String {
    let mut out = String::with_capacity(text.len());
    let mut column = 0;
    for c in text.chars() {
        match c {
            '\t' => {
                let spaces = size.saturating_sub(column % size.max(1));
                out.extend(std::iter::repeat_n(' ', spaces));
                column += spaces;
            }
            '\n' | '\r' => {
                out.push(c);
                column = 0;
            }
            _ => {
                out.push(c);
                column += 1;
            }
        }
    }
    out
}

/// What case a character has.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Cased {
    Lower,
    Upper,
    No,
}

pub(super) fn cased(c: char) -> Cased {
    match c {
        c if c.is_lowercase() => Cased::Lower,
        c if c.is_uppercase() => Cased::Upper,
        _ => Cased::No,
    }
}

/// Capitals at the beginning of each run of letters, small letters in it.
pub(super) fn title(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut in_word = false;
    for c in text.chars() {
        match in_word {
            true => out.extend(c.to_lowercase()),
            false => out.extend(c.to_uppercase()),
        }
        in_word = cased(c) != Cased::No;
    }
    out
}

pub(super) fn is_title(text: &str) -> bool {
    let (mut in_word, mut any) = (false, false);
    for c in text.chars() {
        let case = cased(c);
        match (case, in_word) {
            (Cased::Upper, true) | (Cased::Lower, false) => return false,
            (Cased::No, _) => {}
            _ => any = true,
        }
        in_word = case != Cased::No;
    }
    any
}

pub(super) fn swapcase(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match cased(c) {
            Cased::Lower => out.extend(c.to_uppercase()),
            Cased::Upper => out.extend(c.to_lowercase()),
            Cased::No => out.push(c),
        }
    }
    out
}

/// Text for comparing without regard to case: the small letters of its capitals.
pub(super) fn casefold(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            // Its capital is that of another letter.
            '\u{131}' => out.push(c),
            // Cherokee folds to capitals.
            '\u{13a0}'..='\u{13f5}' | '\u{13f8}'..='\u{13fd}' | '\u{ab70}'..='\u{abbf}' => {
                out.extend(c.to_uppercase());
            }
            _ => out.extend(c.to_uppercase().flat_map(char::to_lowercase)),
        }
    }
    out
}

/// The zeros of all scripts with decimal digits; the other nine follow each.
const ZEROS: [u32; 66] = [
    0x30, 0x660, 0x6f0, 0x7c0, 0x966, 0x9e6, 0xa66, 0xae6, 0xb66, 0xbe6, 0xc66, 0xce6, 0xd66,
    0xde6, 0xe50, 0xed0, 0xf20, 0x1040, 0x1090, 0x17e0, 0x1810, 0x1946, 0x19d0, 0x1a80, 0x1a90,
    0x1b50, 0x1bb0, 0x1c40, 0x1c50, 0xa620, 0xa8d0, 0xa900, 0xa9d0, 0xa9f0, 0xaa50, 0xabf0, 0xff10,
    0x104a0, 0x10d30, 0x11066, 0x110f0, 0x11136, 0x111d0, 0x112f0, 0x11450, 0x114d0, 0x11650,
    0x116c0, 0x11730, 0x118e0, 0x11950, 0x11c50, 0x11d50, 0x11da0, 0x16a60, 0x16ac0, 0x16b50,
    0x1d7ce, 0x1d7d8, 0x1d7e2, 0x1d7ec, 0x1d7f6, 0x1e140, 0x1e2f0, 0x1e950, 0x1fbf0,
];
/// Digits that are raised, lowered, in circles and the like: first and last of each row.
const OTHER_DIGITS: [(u32, u32); 20] = [
    (0xb2, 0xb3),
    (0xb9, 0xb9),
    (0x1369, 0x1371),
    (0x19da, 0x19da),
    (0x2070, 0x2070),
    (0x2074, 0x2079),
    (0x2080, 0x2089),
    (0x2460, 0x2468),
    (0x2474, 0x247c),
    (0x2488, 0x2490),
    (0x24ea, 0x24ea),
    (0x24f5, 0x24fd),
    (0x24ff, 0x24ff),
    (0x2776, 0x277e),
    (0x2780, 0x2788),
    (0x278a, 0x2792),
    (0x10a40, 0x10a43),
    (0x10e60, 0x10e68),
    (0x11052, 0x1105a),
    (0x1f100, 0x1f10a),
];

pub(super) fn is_decimal(c: char) -> bool {
    let code = u32::from(c);
    ZEROS.iter().any(|zero| (*zero..zero + 10).contains(&code))
}

pub(super) fn is_digit(c: char) -> bool {
    let code = u32::from(c);
    is_decimal(c)
        || OTHER_DIGITS
            .iter()
            .any(|(first, last)| (*first..=*last).contains(&code))
}

/// A line in lines of at most `width` characters, as Python's `textwrap` cuts it: between words,
/// behind hyphens, and within words that are too long.
pub(super) fn wrapped(
    line: &str,
    width: usize,
    break_long_words: bool,
    break_on_hyphens: bool,
) -> Vec<String> {
    let mut chunks: std::collections::VecDeque<&str> = chunks(line, break_on_hyphens).into();
    // Counts no more than it has to: a word may be as long as all memory.
    let exceeds = |text: &str, most: usize| text.chars().nth(most).is_some();
    let blank = |text: &str| text.chars().all(is_space);
    let mut lines: Vec<String> = Vec::new();
    while !chunks.is_empty() {
        if !lines.is_empty() && chunks.front().is_some_and(|chunk| blank(chunk)) {
            chunks.pop_front();
        }
        let mut parts: Vec<&str> = Vec::new();
        let mut used = 0;
        while let Some(chunk) = chunks.front() {
            if exceeds(chunk, width - used) {
                break;
            }
            used += chunk.chars().count();
            parts.extend(chunks.pop_front());
        }
        if let Some(long) = chunks.front().copied()
            && exceeds(long, width)
        {
            if break_long_words {
                let room = width - used;
                let mut cut = room;
                if break_on_hyphens && exceeds(long, room) {
                    let begun: Vec<char> = long.chars().take(room).collect();
                    let hyphen = begun.iter().rposition(|c| *c == '-').filter(|at| *at > 0);
                    if let Some(hyphen) = hyphen
                        && begun[..hyphen].iter().any(|c| *c != '-')
                    {
                        cut = hyphen + 1;
                    }
                }
                let at = long
                    .char_indices()
                    .nth(cut)
                    .map_or(long.len(), |(at, _)| at);
                parts.push(&long[..at]);
                chunks[0] = &long[at..];
            } else if parts.is_empty() {
                parts.extend(chunks.pop_front());
            }
        }
        if parts.last().is_some_and(|last| blank(last)) {
            parts.pop();
        }
        if !parts.is_empty() {
            lines.push(parts.concat());
        }
    }
    lines
}

/// Words, the spaces between them, and the parts of words that end with a hyphen between letters.
fn chunks(line: &str, hyphens: bool) -> Vec<&str> {
    let chars: Vec<(usize, char)> = line.char_indices().collect();
    let at = |i: usize| chars.get(i).map(|(_, c)| *c);
    let letter = |i: usize| at(i).is_some_and(char::is_alphabetic);
    let mut out = Vec::new();
    let mut start = 0;
    for i in 1..chars.len() {
        let (Some(before), Some(here)) = (at(i - 1), at(i)) else {
            break;
        };
        let space = is_space(before) != is_space(here);
        let hyphen = hyphens
            && before == '-'
            && i >= 2
            && letter(i - 2)
            && letter(i)
            && (letter(i + 1) || at(i + 1) == Some('-'));
        if space || hyphen {
            out.push(&line[start..chars[i].0]);
            start = chars[i].0;
        }
    }
    if start < line.len() {
        out.push(&line[start..]);
    }
    out
}
