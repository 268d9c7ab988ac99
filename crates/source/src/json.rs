//! How much a JSON text holds, before anything is made of it.

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
