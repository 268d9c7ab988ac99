//! Comma-separated values: quoted fields, doubled quotes, line ends inside quotes.

use super::Problem;

/// The line, from 1, that a record begins in, and its fields.
pub(super) type Record = (usize, Vec<String>);

/// The records of a text. Empty lines are none.
pub(super) fn records(text: &str) -> Result<Vec<Record>, Problem> {
    let mut records = Vec::new();
    let mut record: Vec<String> = Vec::new();
    let mut field = String::new();
    let (mut line, mut start) = (1, 1);
    let (mut quoted, mut was_quoted) = (false, false);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                field.push('"');
            }
            '"' if quoted => quoted = false,
            '"' if field.is_empty() => (quoted, was_quoted) = (true, true),
            ',' if !quoted => {
                record.push(std::mem::take(&mut field));
                was_quoted = false;
            }
            '\r' if !quoted && chars.peek() == Some(&'\n') => {}
            '\n' if !quoted => {
                if !record.is_empty() || !field.is_empty() || was_quoted {
                    record.push(std::mem::take(&mut field));
                    records.push((start, std::mem::take(&mut record)));
                }
                was_quoted = false;
                line += 1;
                start = line;
            }
            c => {
                line += usize::from(c == '\n');
                field.push(c);
            }
        }
    }
    if quoted {
        return Err((start, "a quoted field does not end".into()));
    }
    if !record.is_empty() || !field.is_empty() || was_quoted {
        record.push(field);
        records.push((start, record));
    }
    Ok(records)
}
