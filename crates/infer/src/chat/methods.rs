//! Python methods that chat templates call on strings, beyond those of `minijinja-contrib`.

use super::budget;
use minijinja::value::{Rest, Value, ValueOrKwargs, from_args};
use minijinja::{Error, ErrorKind, State};
use minijinja_contrib::pycompat;

/// Called for every method that Jinja itself does not know.
pub(super) fn call(
    state: &mut State,
    value: &Value,
    method: &str,
    args: &[Value],
) -> Result<Value, Error> {
    let Some(text) = value.as_str() else {
        return pycompat::unknown_method_callback(state, value, method, args);
    };
    Ok(match method {
        "removeprefix" => {
            let (prefix,): (&str,) = from_args(args)?;
            Value::from(text.strip_prefix(prefix).unwrap_or(text))
        }
        "removesuffix" => {
            let (suffix,): (&str,) = from_args(args)?;
            Value::from(text.strip_suffix(suffix).unwrap_or(text))
        }
        "partition" => {
            let (separator,): (&str,) = from_args(args)?;
            let (before, after) = text.split_once(separator).unwrap_or((text, ""));
            triple(before, separator, after, text.contains(separator))
        }
        "rpartition" => {
            let (separator,): (&str,) = from_args(args)?;
            match text.rsplit_once(separator) {
                Some((before, after)) => triple(before, separator, after, true),
                None => triple("", "", text, false),
            }
        }
        "rsplit" => {
            let (separator, limit): (&str, Option<usize>) = from_args(args)?;
            budget::charge_items(state, pieces(text, Some(separator), limit))?;
            let mut parts: Vec<&str> = match limit {
                Some(limit) => text.rsplitn(limit.saturating_add(1), separator).collect(),
                None => text.rsplit(separator).collect(),
            };
            parts.reverse();
            Value::from_iter(parts.into_iter().map(Value::from))
        }
        "split" => {
            let separator = args.first().and_then(Value::as_str);
            let limit = args.get(1).and_then(Value::as_usize);
            budget::charge_items(state, pieces(text, separator, limit))?;
            return pycompat::unknown_method_callback(state, value, method, args);
        }
        "splitlines" => {
            budget::charge_items(state, text.lines().count())?;
            return pycompat::unknown_method_callback(state, value, method, args);
        }
        "format" => {
            refuse_wide_keys(text, '{', '[', ']')?;
            let bytes = formatted_bytes(state, text, args)?;
            budget::ensure(state, bytes)?;
            return pycompat::unknown_method_callback(state, value, method, args);
        }
        _ => return pycompat::unknown_method_callback(state, value, method, args),
    })
}

/// The filter `format`, as in `"%(name)s" | format(name="x")`.
pub(super) fn format_filter(
    state: &mut State,
    text: &Value,
    args: Rest<ValueOrKwargs>,
) -> Result<Value, Error> {
    if let Some(text) = text.as_str() {
        refuse_wide_keys(text, '%', '(', ')')?;
    }
    minijinja::filters::format(state, text, args)
}

/// Refuses keys of fields that are not ASCII: the engine takes them byte by byte, and ends the
/// program in the middle of a character. A field begins with `sign` (twice, it stands for itself),
/// and a key lies between `open` and `close`.
fn refuse_wide_keys(text: &str, sign: char, open: char, close: char) -> Result<(), Error> {
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c != sign || chars.next_if_eq(&sign).is_some() {
            continue;
        }
        let mut in_key = false;
        // In braces a name may stand before the key, and another key follow it.
        for c in chars.by_ref() {
            match in_key {
                false if c == open => in_key = true,
                true if c == close => in_key = false,
                true if !c.is_ascii() => {
                    return Err(Error::new(
                        ErrorKind::InvalidOperation,
                        "a field's key that is not ASCII is not supported",
                    ));
                }
                false if sign == '%' || "}:!".contains(c) => break,
                _ => {}
            }
        }
    }
    Ok(())
}

/// Pieces that a text is cut into, at most.
fn pieces(text: &str, separator: Option<&str>, limit: Option<usize>) -> usize {
    let cuts = match separator {
        Some(separator) => text.matches(separator).count(),
        None => text.split_whitespace().count(),
    };
    cuts.min(limit.unwrap_or(usize::MAX)).saturating_add(1)
}

/// Bytes that `str.format` makes, at most: the text, the widths and precisions that it asks for, and
/// the longest argument in each field.
fn formatted_bytes(state: &State, text: &str, args: &[Value]) -> Result<usize, Error> {
    let numbers = text.split(|c: char| !c.is_ascii_digit());
    let widths = numbers.fold(0, |sum: usize, digits| {
        let width = match digits {
            "" => 0,
            digits => digits.parse().unwrap_or(usize::MAX),
        };
        // A character that fills takes up to four bytes.
        sum.saturating_add(width.saturating_mul(4))
    });
    let fields = text.matches('{').count();
    let mut longest = 0;
    for arg in args {
        longest = longest.max(budget::text_bytes(state, arg)?);
    }
    Ok(text
        .len()
        .saturating_add(widths)
        .saturating_add(fields.saturating_mul(longest)))
}

fn triple(before: &str, separator: &str, after: &str, found: bool) -> Value {
    let middle = if found { separator } else { "" };
    Value::from_iter([before, middle, after].map(Value::from))
}
