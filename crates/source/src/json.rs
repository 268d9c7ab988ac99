//! JSON texts before they are parsed: how much they hold, and what Python puts into them.

use std::borrow::Cow;

/// The numbers that Python's `json` writes and reads and that JSON does not have.
pub const PYTHON_NUMBERS: [&str; 3] = ["NaN", "Infinity", "-Infinity"];

/// A JSON text without a byte order mark, and with an object of one key in place of every number
/// of [`PYTHON_NUMBERS`]: `NaN` becomes `{"NaN":0}`. No reader takes an object for a number or a
/// string, so these numbers are an error where they are read and do no harm elsewhere. A text
/// without any of this is borrowed.
pub fn standard_json(text: &[u8]) -> Cow<'_, [u8]> {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let mut out = Vec::new();
    let (mut copied, mut in_string, mut escaped) = (0, false, false);
    for (i, byte) in text.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = in_string,
            b'"' => in_string = !in_string,
            // The sign of -Infinity is met before its I, which then lies in what is copied.
            b'N' | b'I' | b'-' if !in_string && i >= copied => {
                let rest = &text[i..];
                let found = PYTHON_NUMBERS
                    .iter()
                    .find(|n| rest.starts_with(n.as_bytes()));
                if let Some(number) = found {
                    out.extend_from_slice(&text[copied..i]);
                    out.extend_from_slice(format!("{{\"{number}\":0}}").as_bytes());
                    copied = i + number.len();
                }
            }
            _ => {}
        }
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    out.extend_from_slice(&text[copied..]);
    Cow::Owned(out)
}

/// How many values a JSON text holds: one more than it has commas and opening brackets outside
/// its strings. A tree of values takes up to a hundred times the memory of its text, so readers
/// compare this with a limit before they make one. A text that is no JSON has a number, too.
pub fn count_json_values(text: &[u8]) -> usize {
    let (mut count, mut in_string, mut escaped) = (1, false, false);
    for byte in text {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = in_string,
            b'"' => in_string = !in_string,
            b',' | b'[' | b'{' if !in_string => count += 1,
            _ => {}
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_python_adds_to_json_is_replaced_outside_strings_only() {
        for (text, standard) in [
            ("", ""),
            ("{\"a\": 1}", "{\"a\": 1}"),
            ("\u{feff}{\"a\": 1}", "{\"a\": 1}"),
            ("\u{feff}\u{feff}1", "\u{feff}1"),
            ("NaN", "{\"NaN\":0}"),
            (
                "[NaN,-Infinity, Infinity]",
                "[{\"NaN\":0},{\"-Infinity\":0}, {\"Infinity\":0}]",
            ),
            (
                r#"{"NaN": "Infinity \" NaN"}"#,
                r#"{"NaN": "Infinity \" NaN"}"#,
            ),
            (r#"["\\", NaN, "NaN"]"#, r#"["\\", {"NaN":0}, "NaN"]"#),
            ("[-1, Na, -Inf, N", "[-1, Na, -Inf, N"),
        ] {
            let found = standard_json(text.as_bytes());
            assert_eq!(std::str::from_utf8(&found), Ok(standard), "{text}");
        }
        assert!(matches!(
            standard_json(b"\xef\xbb\xbf{}"),
            Cow::Borrowed(b"{}")
        ));
    }

    #[test]
    fn strings_hold_no_values() {
        for (text, count) in [
            ("1", 1),
            ("[1,2]", 3),
            (r#"{"a":1}"#, 2),
            (r#"[{"a":0},{"b":0}]"#, 5),
            (r#"["a,b[{\\", "\",", ","]"#, 4),
            ("[0,0,0", 4),
            ("", 1),
        ] {
            assert_eq!(count_json_values(text.as_bytes()), count, "{text}");
        }
    }
}
