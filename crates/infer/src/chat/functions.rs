//! Functions that chat templates expect beside Jinja's own, and what is done to a template's source.

use super::filters;
use minijinja::value::Value;
use minijinja::{Error, ErrorKind, State};

/// What a template says where it refuses a conversation.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Refusal(pub(super) String);

/// `raise_exception(text)`: the template refuses the conversation.
pub(super) fn raise_exception(state: &State, text: &Value) -> Result<Value, Error> {
    let refusal = Refusal(filters::text_of(state, text)?);
    Err(Error::from(ErrorKind::InvalidOperation).with_source(refusal))
}

/// How many words and signs a text has.
pub(super) fn tokens(source: &str) -> usize {
    let (mut count, mut in_word) = (0, false);
    for byte in source.bytes() {
        let is_word = byte.is_ascii_alphanumeric() || byte == b'_' || !byte.is_ascii();
        if (is_word && !in_word) || !(is_word || byte.is_ascii_whitespace()) {
            count += 1;
        }
        in_word = is_word;
    }
    count
}

/// `{% generation %}` marks what a trainer learns from; to render, it is a block that always
/// shows. It becomes an `if` with the same white-space marks.
pub(super) fn without_generation_tags(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    // A tag ends behind its beginning: in `{%}` the two would share a sign.
    while let Some((before, begun)) = rest.split_once("{%") {
        let Some((inside, after)) = begun.split_once("%}") else {
            break;
        };
        out.extend([before, "{%"]);
        match inside.trim_matches(|c: char| c.is_whitespace() || c == '-' || c == '+') {
            "generation" => out.push_str(&inside.replacen("generation", "if true", 1)),
            "endgeneration" => out.push_str(&inside.replacen("endgeneration", "endif", 1)),
            _ => out.push_str(inside),
        }
        out.push_str("%}");
        rest = after;
    }
    out.push_str(rest);
    out
}
