//! The filter `tojson`, which is Python's `json.dumps` with `ensure_ascii=False`.

use super::budget::Bounded;
use minijinja::value::{Kwargs, Value, ValueKind};
use minijinja::{Error, ErrorKind, State};
use std::io::{self, Write};

/// Lists in lists, and so on; Python ends there, too.
const MAX_DEPTH: usize = 1000;

/// How it is written.
struct Style {
    ascii: bool,
    indent: Option<String>,
    between_items: String,
    behind_key: String,
    sorted: bool,
}

/// `tojson(ensure_ascii=false, indent=none, separators=none, sort_keys=false)`.
pub(super) fn to_json(
    state: &State,
    value: &Value,
    ensure_ascii: Option<bool>,
    indent: Option<Value>,
    options: Kwargs,
) -> Result<String, Error> {
    let ascii = match ensure_ascii {
        Some(ascii) => Some(ascii),
        None => options.get("ensure_ascii")?,
    };
    let indent = match indent {
        Some(indent) => Some(indent),
        None => options.get::<Option<Value>>("indent")?,
    };
    let indent = indent.filter(|indent| !indent.is_none());
    let indent = indent.map(|indent| match indent.as_str() {
        Some(text) => Ok(text.to_owned()),
        None => i64::try_from(indent).map(|n| " ".repeat(usize::try_from(n).unwrap_or(0).min(16))),
    });
    let indent = indent.transpose()?;
    let separators = options.get::<Option<Value>>("separators")?;
    let separators = separators.filter(|separators| !separators.is_none());
    let (between_items, behind_key) = match &separators {
        Some(separators) => {
            let part = |i| {
                let part = separators.get_item_by_index(i)?;
                let text = part.as_str().map(str::to_owned);
                text.ok_or_else(|| failed("tojson: the separators have to be two strings"))
            };
            (part(0)?, part(1)?)
        }
        None if indent.is_some() => (",".to_owned(), ": ".to_owned()),
        None => (", ".to_owned(), ": ".to_owned()),
    };
    let style = Style {
        ascii: ascii.unwrap_or(false),
        indent,
        between_items,
        behind_key,
        sorted: options.get::<Option<bool>>("sort_keys")?.unwrap_or(false),
    };
    options.assert_all_used()?;
    let mut out = Bounded::new(state);
    write(&mut out, &style, value, 0).map_err(|failed| match failed {
        // Lists that hold one list many times are longer than anything that made them.
        Failed::Full => Error::from(ErrorKind::OutOfFuel),
        Failed::Value(error) => error,
    })?;
    String::from_utf8(out.into_bytes())
        .map_err(|_| Error::new(ErrorKind::InvalidOperation, "JSON that is not UTF-8"))
}

fn failed(what: &str) -> Error {
    Error::new(ErrorKind::InvalidOperation, what.to_owned())
}

enum Failed {
    /// The budget is used up.
    Full,
    Value(Error),
}

impl From<io::Error> for Failed {
    fn from(_: io::Error) -> Self {
        Self::Full
    }
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::Value(error)
    }
}

fn write(out: &mut Bounded, style: &Style, value: &Value, depth: usize) -> Result<(), Failed> {
    if depth > MAX_DEPTH {
        return Err(Failed::Value(failed(&format!(
            "tojson: values are nested more than {MAX_DEPTH} deep"
        ))));
    }
    match value.kind() {
        ValueKind::None => out.write_all(b"null")?,
        ValueKind::Bool | ValueKind::Number => out.write_all(scalar(value).as_bytes())?,
        ValueKind::String => write_text(out, style, value.as_str().unwrap_or_default())?,
        ValueKind::Seq | ValueKind::Iterable => {
            let items = value.try_iter()?.checked();
            write_items(out, style, depth, ('[', ']'), items, |out, item| {
                write(out, style, &item, depth + 1)
            })?;
        }
        ValueKind::Map => {
            let mut keys = value.try_iter()?.collect::<Vec<_>>();
            let simple = [
                ValueKind::String,
                ValueKind::Number,
                ValueKind::Bool,
                ValueKind::None,
            ];
            if let Some(key) = keys.iter().find(|key| !simple.contains(&key.kind())) {
                return Err(Failed::Value(failed(&format!(
                    "tojson: a {} is not a key of an object",
                    key.kind()
                ))));
            }
            if style.sorted {
                keys.sort();
            }
            let items = keys.into_iter().map(Ok);
            write_items(out, style, depth, ('{', '}'), items, |out, key| {
                match key.as_str() {
                    Some(text) => write_text(out, style, text)?,
                    None => write_text(out, style, &scalar(&key))?,
                }
                out.write_all(style.behind_key.as_bytes())?;
                write(out, style, &value.get_item(&key)?, depth + 1)
            })?;
        }
        kind => {
            return Err(Failed::Value(failed(&format!(
                "tojson: a value that is {kind} has no JSON"
            ))));
        }
    }
    Ok(())
}

/// What is between two brackets.
fn write_items(
    out: &mut Bounded,
    style: &Style,
    depth: usize,
    (open, close): (char, char),
    items: impl Iterator<Item = Result<Value, Error>>,
    mut item: impl FnMut(&mut Bounded, Value) -> Result<(), Failed>,
) -> Result<(), Failed> {
    write!(out, "{open}")?;
    let new_line = |out: &mut Bounded, depth| -> io::Result<()> {
        if let Some(indent) = &style.indent {
            out.write_all(b"\n")?;
            for _ in 0..depth {
                out.write_all(indent.as_bytes())?;
            }
        }
        Ok(())
    };
    let mut any = false;
    for next in items {
        if any {
            out.write_all(style.between_items.as_bytes())?;
        }
        any = true;
        new_line(out, depth + 1)?;
        item(out, next?)?;
    }
    if any {
        new_line(out, depth)?;
    }
    write!(out, "{close}")?;
    Ok(())
}

/// A number, `true`, `false` or `null`, also as the text of a key.
fn scalar(value: &Value) -> String {
    if value.is_none() {
        return "null".to_owned();
    }
    if value.kind() == ValueKind::Bool {
        return value.is_true().to_string();
    }
    if value.is_integer() {
        return value.to_string();
    }
    match f64::try_from(value.clone()) {
        Ok(number) if number.is_nan() => "NaN".to_owned(),
        Ok(number) if number.is_infinite() && number > 0.0 => "Infinity".to_owned(),
        Ok(number) if number.is_infinite() => "-Infinity".to_owned(),
        Ok(number) => float(number),
        Err(_) => value.to_string(),
    }
}

/// A finite number as Python writes it.
pub(super) fn float(number: f64) -> String {
    // Rust's debug form has Python's bounds for exponents, and another look.
    let text = format!("{number:?}");
    match text.split_once('e') {
        Some((digits, exponent)) => {
            let exponent: i32 = exponent.parse().unwrap_or(0);
            format!("{}e{exponent:+03}", digits.trim_end_matches(".0"))
        }
        None => text,
    }
}

fn write_text(out: &mut Bounded, style: &Style, text: &str) -> io::Result<()> {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\x08' => quoted.push_str("\\b"),
            '\x0c' => quoted.push_str("\\f"),
            c if c < ' ' || (style.ascii && !c.is_ascii()) => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    quoted.push_str(&format!("\\u{unit:04x}"));
                }
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    out.write_all(quoted.as_bytes())
}
