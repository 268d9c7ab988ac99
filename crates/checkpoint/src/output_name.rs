//! What a model may be called where its name starts a file name.

use crate::Error;

/// Bytes of a name: with `.Q4_K_M.gguf` and a suffix for unfinished files it stays below the
/// 255 that file systems take.
const NAME_BYTES: usize = 200;

/// Checks a name that a user gives, on every system alike: not empty, at most 200 bytes, no
/// leading dot (hidden) or dash (an option to other programs), none of `/`, `\` and `:`, no
/// control character, line separator or mark that turns the direction of text.
///
/// # Errors
/// [`Error::Name`] says what is wrong.
pub fn check_name(name: &str) -> Result<(), Error> {
    let problem = match name.chars().next() {
        None => "it is empty".into(),
        Some(first @ ('.' | '-')) => format!("it starts with {first:?}"),
        Some(_) => match name.chars().find(|c| is_refused(*c)) {
            Some(refused) => format!("it holds {refused:?}"),
            None if name.len() > NAME_BYTES => {
                format!("it has {} bytes, expected at most {NAME_BYTES}", name.len())
            }
            None => return Ok(()),
        },
    };
    Err(Error::Name {
        name: name.into(),
        problem,
    })
}

/// The name that a text from a file gives, `None` if nothing is left of it: refused characters
/// and spaces become dashes, leading dots and dashes go, and what is too long is cut.
pub(crate) fn from_text(text: &str) -> Option<String> {
    let plain: String = text
        .trim()
        .chars()
        .map(|c| match is_refused(c) || c.is_whitespace() {
            true => '-',
            false => c,
        })
        .collect();
    let mut name = String::new();
    for c in plain.trim_start_matches(['.', '-']).chars() {
        if name.len() + c.len_utf8() > NAME_BYTES {
            break;
        }
        name.push(c);
    }
    check_name(&name).is_ok().then_some(name)
}

fn is_refused(c: char) -> bool {
    matches!(c, '/' | '\\' | ':') || c.is_control() || is_invisible(c)
}

/// Separators of lines, and marks that let a text be shown in another order than it has.
fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_users_are_checked() {
        let long = "x".repeat(NAME_BYTES + 1);
        for (name, problem) in [
            ("", "it is empty"),
            (".hidden", "it starts with '.'"),
            ("..", "it starts with '.'"),
            ("-rf", "it starts with '-'"),
            ("a/b", "it holds '/'"),
            ("a\\b", r"it holds '\\'"),
            ("c:d", "it holds ':'"),
            ("a\nb", r"it holds '\n'"),
            ("a\u{202e}fugg", r"it holds '\u{202e}'"),
            (&long, "it has 201 bytes, expected at most 200"),
        ] {
            let error = check_name(name).unwrap_err().to_string();
            assert!(error.contains(problem), "{error}: no {problem}");
        }
        for name in ["notus-7b-v1", "My model", "\u{fc}nder", "a.b", &long[1..]] {
            check_name(name).unwrap();
        }
    }

    #[test]
    fn texts_of_files_become_names_that_pass() {
        let long = "\u{fc}".repeat(NAME_BYTES);
        for (text, expected) in [
            ("Notus 7b v1", Some("Notus-7b-v1")),
            ("a/b\\c: d", Some("a-b-c--d")),
            ("../../etc/passwd", Some("etc-passwd")),
            ("-rf", Some("rf")),
            (" .-.x ", Some("x")),
            ("a\u{1b}[31m\u{202e}b", Some("a-[31m-b")),
            (&long, Some(&long[..NAME_BYTES])),
            ("..", None),
            ("-", None),
            (" \n", None),
            ("", None),
        ] {
            let name = from_text(text);
            assert_eq!(name.as_deref(), expected, "{text:?}");
            assert!(
                name.is_none_or(|name| check_name(&name).is_ok()),
                "{text:?}"
            );
        }
    }
}
