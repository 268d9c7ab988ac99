//! Python methods that chat templates call on strings, beyond those of `minijinja-contrib`.

use minijinja::value::{Value, from_args};
use minijinja::{Error, State};
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
            let mut parts: Vec<&str> = match limit {
                Some(limit) => text.rsplitn(limit.saturating_add(1), separator).collect(),
                None => text.rsplit(separator).collect(),
            };
            parts.reverse();
            Value::from_iter(parts.into_iter().map(Value::from))
        }
        _ => return pycompat::unknown_method_callback(state, value, method, args),
    })
}

fn triple(before: &str, separator: &str, after: &str, found: bool) -> Value {
    let middle = if found { separator } else { "" };
    Value::from_iter([before, middle, after].map(Value::from))
}
