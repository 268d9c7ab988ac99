//! `"%d tokens" % n`: Python's formatting by the sign `%`, which the engine only has for numbers.
//!
//! Its operators cannot be changed, its filters can: so `a % b` is written `((a)|NAME(b))` before
//! the template is compiled.

use super::printf;
use minijinja::value::{Value, ValueKind};
use minijinja::{Error, ErrorKind, State};

/// The filter that stands for the sign.
pub(super) const FILTER: &str = "__percent__";

/// `left % right`: a text formatted, or a remainder.
pub(super) fn percent(state: &mut State, left: &Value, right: &Value) -> Result<Value, Error> {
    if left.as_str().is_some() {
        let args: Vec<Value> = match right.is_tuple() {
            true => right.try_iter()?.collect(),
            false => vec![right.clone()],
        };
        return printf::printf(state, left, &args);
    }
    let failed = |what: &str| Error::new(ErrorKind::InvalidOperation, what.to_owned());
    let whole = |value: &Value| {
        let number = value.is_integer() || value.kind() == ValueKind::Bool;
        number.then(|| i128::try_from(value.clone()).ok()).flatten()
    };
    if let (Some(a), Some(b)) = (whole(left), whole(right)) {
        let rest = a.checked_rem(b).ok_or_else(|| failed("division by zero"))?;
        let below = rest != 0 && (rest < 0) != (b < 0);
        return Ok(Value::from(if below { rest + b } else { rest }));
    }
    match (f64::try_from(left.clone()), f64::try_from(right.clone())) {
        (Ok(_), Ok(0.0)) => Err(failed("division by zero")),
        (Ok(a), Ok(b)) => {
            let rest = a % b;
            let below = rest != 0.0 && (rest < 0.0) != (b < 0.0);
            Ok(Value::from(if below { rest + b } else { rest }))
        }
        _ => Err(failed(&format!(
            "cannot use % on {} and {}",
            left.kind(),
            right.kind()
        ))),
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Text,
    Number,
    Word,
    Open,
    Close,
    Sign,
}

/// A word or sign of an expression: where it begins and ends.
#[derive(Clone, Copy)]
struct Token<'s> {
    kind: Kind,
    text: &'s str,
    start: usize,
    end: usize,
}

/// The template with every `a % b` written as a filter; as it is if it has none. Lines stay the
/// same.
pub(super) fn rewrite(source: &str) -> String {
    let mut edits: Vec<(usize, String)> = Vec::new();
    let mut at = 0;
    while let Some(found) = source[at..].find("{") {
        let start = at + found;
        let rest = &source[start..];
        if rest.starts_with("{#") {
            at = rest.find("#}").map_or(source.len(), |end| start + end + 2);
        } else if rest.starts_with("{{") || rest.starts_with("{%") {
            let statement = rest.starts_with("{%");
            let (tokens, end) = tokens(source, start + 2, statement);
            at = end;
            if statement && tokens.first().is_some_and(|first| first.text == "raw") {
                let raw = source[at..].find("endraw");
                at = raw.map_or(source.len(), |end| at + end);
            } else {
                edit(&tokens, &mut edits);
            }
        } else {
            at = start + 1;
        }
    }
    if edits.is_empty() {
        return source.to_owned();
    }
    // Those of one place stay in their order.
    edits.sort_by_key(|(place, _)| *place);
    let mut out = String::with_capacity(source.len() + edits.len() * FILTER.len());
    let mut copied = 0;
    for (place, text) in edits {
        out += &source[copied..place];
        out += &text;
        copied = place;
        // The sign itself is replaced.
        if text.starts_with(")|") {
            copied += 1;
        }
    }
    out + &source[copied..]
}

/// The tokens of a tag whose inside begins at `at`, and where the tag ends.
fn tokens(source: &str, mut at: usize, statement: bool) -> (Vec<Token<'_>>, usize) {
    let close = if statement { "%}" } else { "}}" };
    let mut out = Vec::new();
    let mut depth = 0usize;
    while let Some(c) = source[at..].chars().next() {
        let rest = &source[at..];
        let tag_ends = rest.strip_prefix(['-', '+']).unwrap_or(rest);
        if depth == 0 && tag_ends.starts_with(close) {
            return (out, at + rest.len() - tag_ends.len() + 2);
        }
        let word = |c: char| c.is_alphanumeric() || c == '_';
        let until = |stop: &dyn Fn(char) -> bool| rest.find(stop).unwrap_or(rest.len());
        let (kind, bytes) = match c {
            c if c.is_whitespace() => {
                at += c.len_utf8();
                continue;
            }
            '"' | '\'' => {
                let mut escaped = false;
                let end = rest[1..].find(|d: char| {
                    let ends = d == c && !escaped;
                    escaped = d == '\\' && !escaped;
                    ends
                });
                (Kind::Text, end.map_or(rest.len(), |end| end + 2))
            }
            '0'..='9' => {
                let fraction = |c: char| !(word(c) || c == '.');
                (Kind::Number, until(&fraction))
            }
            c if word(c) => (Kind::Word, until(&|c| !word(c))),
            '(' | '[' | '{' => {
                depth += 1;
                (Kind::Open, 1)
            }
            ')' | ']' | '}' => {
                depth = depth.saturating_sub(1);
                (Kind::Close, 1)
            }
            _ => {
                let double = ["**", "//", "==", "!=", "<=", ">="];
                let two = double.iter().any(|sign| rest.starts_with(sign));
                (Kind::Sign, if two { 2 } else { c.len_utf8() })
            }
        };
        out.push(Token {
            kind,
            text: &rest[..bytes],
            start: at,
            end: at + bytes,
        });
        at += bytes;
    }
    (out, source.len())
}

/// Words that cannot be a value, behind which another term begins.
const KEYWORDS: [&str; 14] = [
    "if",
    "elif",
    "else",
    "and",
    "or",
    "not",
    "in",
    "is",
    "for",
    "set",
    "with",
    "call",
    "filter",
    "recursive",
];

/// What has to be put where, for every `%` of one tag.
fn edit(tokens: &[Token<'_>], edits: &mut Vec<(usize, String)>) {
    // Where the present term begins: one for each open bracket, and one for the tag.
    let mut terms: Vec<Option<usize>> = vec![None];
    let mut after_value = false;
    for (i, token) in tokens.iter().enumerate() {
        let term = terms.last_mut();
        match (token.kind, token.text) {
            (Kind::Sign, "%") if after_value => {
                let end = factor_end(tokens, i + 1);
                if let Some(Some(start)) = term.map(|term| *term)
                    && end > i + 1
                {
                    edits.push((start, "((".to_owned()));
                    edits.push((token.start, format!(")|{FILTER}(")));
                    edits.push((tokens[end - 1].end, "))".to_owned()));
                }
                after_value = false;
            }
            (Kind::Sign, "*" | "/" | "//" | "**" | "." | "|") => after_value = false,
            // Before a value it belongs to it.
            (Kind::Sign, "-" | "+") if !after_value => {
                if let Some(term) = term {
                    term.get_or_insert(token.start);
                }
            }
            (Kind::Sign, _) => {
                if let Some(term) = term {
                    *term = None;
                }
                after_value = false;
            }
            (Kind::Word, word) if KEYWORDS.contains(&word) && !follows(tokens, i) => {
                if let Some(term) = term {
                    *term = None;
                }
                after_value = false;
            }
            (Kind::Open, _) => {
                if let Some(term) = term {
                    term.get_or_insert(token.start);
                }
                terms.push(None);
                after_value = false;
            }
            (Kind::Close, _) => {
                if terms.len() > 1 {
                    terms.pop();
                }
                after_value = true;
            }
            (Kind::Text | Kind::Number | Kind::Word, _) => {
                if let Some(term) = term {
                    term.get_or_insert(token.start);
                }
                after_value = true;
            }
        }
    }
}

/// Whether a word is the name of an attribute or of a filter.
fn follows(tokens: &[Token<'_>], i: usize) -> bool {
    i > 0 && matches!(tokens[i - 1].text, "." | "|")
}

/// The end of what stands at `i` as the right side of a `%`: signs, a value, and all that is hung
/// on it.
fn factor_end(tokens: &[Token<'_>], mut i: usize) -> usize {
    let begin = i;
    let text = |i: usize| tokens.get(i).map_or("", |token| token.text);
    while matches!(text(i), "-" | "+") {
        i += 1;
    }
    match tokens.get(i).map(|token| token.kind) {
        Some(Kind::Open) => i = group_end(tokens, i),
        Some(Kind::Text) => {
            while tokens.get(i).is_some_and(|token| token.kind == Kind::Text) {
                i += 1;
            }
        }
        Some(Kind::Number | Kind::Word) => i += 1,
        _ => return begin,
    }
    loop {
        match text(i) {
            "(" | "[" => i = group_end(tokens, i),
            "." | "|" => i += 2,
            "**" => return factor_end(tokens, i + 1),
            _ => return i.min(tokens.len()),
        }
    }
}

/// The end of the brackets that open at `i`.
fn group_end(tokens: &[Token<'_>], i: usize) -> usize {
    let mut depth = 0usize;
    for (j, token) in tokens.iter().enumerate().skip(i) {
        match token.kind {
            Kind::Open => depth += 1,
            Kind::Close => depth = depth.saturating_sub(1),
            _ => continue,
        }
        if depth == 0 {
            return j + 1;
        }
    }
    tokens.len()
}
