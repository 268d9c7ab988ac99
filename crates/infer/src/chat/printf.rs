//! Python's formatting with `%`: `"%-5s|%03d" % (a, b)`, and the filter `format`.

use super::{budget, filters};
use minijinja::value::{Rest, Value, ValueKind, ValueOrKwargs, from_args};
use minijinja::{Error, ErrorKind, State};

/// The filter `format`, as in `"%(name)s" | format(name="x")`.
pub(super) fn format_filter(
    state: &mut State,
    text: &Value,
    args: Rest<ValueOrKwargs>,
) -> Result<Value, Error> {
    printf(state, text, &args.into_values())
}

/// A text with its fields filled: by name where there is one argument that is a dictionary, else in
/// their order. Each field by itself is the engine's work, which asks for the budget first.
pub(super) fn printf(state: &mut State, text: &Value, args: &[Value]) -> Result<Value, Error> {
    let Some(format) = text.as_str() else {
        return Err(failed(format!(
            "expected a string to format, found {}",
            text.kind()
        )));
    };
    let names = args
        .first()
        .filter(|arg| args.len() == 1 && arg.kind() == ValueKind::Map);
    let mut left = args.iter();
    let mut next = || {
        let missing = || failed("not enough arguments for the format string".to_owned());
        left.next().cloned().ok_or_else(missing)
    };
    let mut by_name = false;
    let mut out = String::new();
    let mut rest = format;
    while let Some((before, field)) = rest.split_once('%') {
        out += before;
        let mut field = field;
        let mut key = None;
        if let Some((name, after)) = field.strip_prefix('(').and_then(|f| f.split_once(')')) {
            (key, field) = (Some(name), after);
        }
        let mut spec = String::from("%");
        let mut kind = None;
        let mut chars = field.char_indices();
        for (at, c) in chars.by_ref() {
            match c {
                '*' => {
                    let width = i64::try_from(next()?)?;
                    spec += &width.to_string();
                }
                '-' | '+' | ' ' | '#' | '.' | '0'..='9' => spec.push(c),
                // Lengths, which mean nothing.
                'h' | 'l' | 'L' => {}
                c => {
                    kind = Some(c);
                    rest = &field[at + c.len_utf8()..];
                    break;
                }
            }
        }
        let kind = kind.ok_or_else(|| failed("incomplete format".to_owned()))?;
        if kind == '%' {
            out.push('%');
            continue;
        }
        let value = match (key, names) {
            (Some(key), Some(names)) => {
                by_name = true;
                let value = names.get_item(&Value::from(key))?;
                if value.is_undefined() {
                    return Err(failed(format!("no argument is named {key:?}")));
                }
                value
            }
            (Some(_), None) => {
                return Err(failed("a format with names needs a dictionary".to_owned()));
            }
            (None, _) => next()?,
        };
        let (kind, value) = match kind {
            'd' | 'i' | 'u' => ('d', whole(value)),
            'r' | 'a' => ('s', Value::from(filters::pprint(state, &value)?)),
            kind => (kind, value),
        };
        if !value.is_number() {
            // The engine makes its text before it asks.
            let bytes = budget::text_bytes(state, &value)?;
            budget::ensure(state, out.len().saturating_add(bytes))?;
        }
        spec.push(kind);
        let value = [value];
        let (value,): (Rest<ValueOrKwargs>,) = from_args(&value)?;
        let filled = minijinja::filters::format(state, &Value::from(spec), value)?;
        out += filled.as_str().unwrap_or_default();
        budget::ensure(state, out.len())?;
    }
    out += rest;
    if names.is_none() && !by_name && left.next().is_some() {
        return Err(failed(
            "not all arguments are used by the format string".to_owned(),
        ));
    }
    Ok(Value::from(out))
}

/// A float without its fraction.
fn whole(value: Value) -> Value {
    match f64::try_from(value.clone()) {
        Ok(number) if value.is_number() && !value.is_integer() && number.is_finite() => {
            Value::from(number as i128)
        }
        _ => value,
    }
}

fn failed(what: String) -> Error {
    Error::new(ErrorKind::InvalidOperation, what)
}
