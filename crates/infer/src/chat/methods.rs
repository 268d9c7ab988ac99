//! Python's methods of strings, lists and dictionaries, as chat templates call them. What
//! `minijinja-contrib` has is taken from there.

use super::budget;
use super::text;
use minijinja::value::{Kwargs, Value, ValueKind, from_args};
use minijinja::{Error, ErrorKind, State};
use minijinja_contrib::pycompat;

/// Called for every method that Jinja itself does not know.
pub(super) fn call(
    state: &mut State,
    value: &Value,
    method: &str,
    args: &[Value],
) -> Result<Value, Error> {
    let found = match (value.as_str(), value.kind()) {
        (Some(text), _) => on_text(state, text, method, args)?,
        (None, ValueKind::Seq) => on_list(value, method, args)?,
        (None, ValueKind::Map) if method == "copy" => Some(value.clone()),
        _ => None,
    };
    match found {
        Some(found) => Ok(found),
        None => pycompat::unknown_method_callback(state, value, method, args),
    }
}

/// A list cannot be changed, so its copy is itself.
fn on_list(value: &Value, method: &str, args: &[Value]) -> Result<Option<Value>, Error> {
    match method {
        "copy" => Ok(Some(value.clone())),
        "index" => {
            let (wanted,): (&Value,) = from_args(args)?;
            let mut items = value.try_iter()?;
            let found = items.position(|item| item == *wanted);
            found
                .map(|place| Some(Value::from(place)))
                .ok_or_else(|| failed("index: the list does not hold this value"))
        }
        _ => Ok(None),
    }
}

/// What a method was given, by place or by name.
struct Given<'a> {
    placed: &'a [Value],
    named: Kwargs,
}

impl<'a> Given<'a> {
    /// At most `most` of them by place.
    fn new(method: &str, args: &'a [Value], most: usize) -> Result<Self, Error> {
        let (placed, named): (&[Value], Kwargs) = from_args(args)?;
        if placed.len() > most {
            return Err(failed(&format!(
                "{method} takes at most {most} arguments, found {}",
                placed.len()
            )));
        }
        Ok(Self { placed, named })
    }

    /// `None` if it is not given, or `none` is.
    fn value(&self, place: usize, name: &str) -> Result<Option<Value>, Error> {
        let value = match self.placed.get(place) {
            Some(value) => Some(value.clone()),
            None => self.named.get::<Option<Value>>(name)?,
        };
        Ok(value.filter(|value| !value.is_none()))
    }

    fn number(&self, place: usize, name: &str) -> Result<Option<i64>, Error> {
        self.value(place, name)?.map(i64::try_from).transpose()
    }

    /// A text that may be left out.
    fn text(&self, place: usize, name: &str) -> Result<Option<String>, Error> {
        let Some(value) = self.value(place, name)? else {
            return Ok(None);
        };
        let text = value.as_str().map(str::to_owned);
        let found = || failed(&format!("expected a string, found {}", value.kind()));
        text.map(Some).ok_or_else(found)
    }

    fn needed(&self, place: usize, name: &str) -> Result<String, Error> {
        let missing = || failed(&format!("the argument {name} is missing"));
        self.text(place, name)?.ok_or_else(missing)
    }

    /// The part of `text` that the arguments from `place` on (`start`, `end`) name.
    fn part<'t>(&self, place: usize, text: &'t str) -> Result<Option<text::Part<'t>>, Error> {
        let start = self.number(place, "start")?;
        let end = self.number(place + 1, "end")?;
        Ok(text::part(text, start, end))
    }
}

/// `None` for a method that is not here.
#[allow(clippy::too_many_lines, reason = "a list of methods")]
fn on_text(
    state: &mut State,
    text: &str,
    method: &str,
    args: &[Value],
) -> Result<Option<Value>, Error> {
    let given = |most| Given::new(method, args, most);
    let all = |test: fn(char) -> bool| {
        given(0)?;
        Ok::<_, Error>(Value::from(!text.is_empty() && text.chars().all(test)))
    };
    Ok(Some(match method {
        "removeprefix" => {
            let prefix = given(1)?.needed(0, "prefix")?;
            Value::from(text.strip_prefix(prefix.as_str()).unwrap_or(text))
        }
        "removesuffix" => {
            let suffix = given(1)?.needed(0, "suffix")?;
            Value::from(text.strip_suffix(suffix.as_str()).unwrap_or(text))
        }
        "partition" => {
            let separator = &separator(given(1)?.needed(0, "sep")?)?;
            match text.split_once(separator) {
                Some((before, after)) => triple(before, separator, after),
                None => triple(text, "", ""),
            }
        }
        "rpartition" => {
            let separator = &separator(given(1)?.needed(0, "sep")?)?;
            match text.rsplit_once(separator) {
                Some((before, after)) => triple(before, separator, after),
                None => triple("", "", text),
            }
        }
        "split" | "rsplit" => {
            let given = given(2)?;
            let by = given.text(0, "sep")?.map(separator).transpose()?;
            let most = given.number(1, "maxsplit")?;
            let most = most.and_then(|most| usize::try_from(most).ok());
            budget::charge_items(state, text::pieces(text, by.as_deref(), most))?;
            let parts = match (method, by) {
                ("split", Some(by)) => text::split_by(text, &by, most),
                (_, Some(by)) => text::rsplit_by(text, &by, most),
                ("split", None) => text::split_words(text, most),
                (_, None) => text::rsplit_words(text, most),
            };
            Value::from_iter(parts.into_iter().map(Value::from))
        }
        "splitlines" => {
            let keep = given(1)?.value(0, "keepends")?;
            let lines = text::lines(text, keep.is_some_and(|keep| keep.is_true()));
            budget::charge_items(state, lines.clone().count())?;
            Value::from_iter(lines.map(Value::from))
        }
        "find" | "rfind" | "index" | "rindex" => {
            let given = given(3)?;
            let wanted = given.needed(0, "sub")?;
            let found = given.part(1, text)?.and_then(|part| {
                let place = match method {
                    "find" | "index" => part.text.find(&wanted),
                    _ => part.text.rfind(&wanted),
                };
                place.map(|at| part.before + part.text[..at].chars().count())
            });
            match found {
                Some(place) => Value::from(place),
                None if method.ends_with("find") => Value::from(-1),
                None => return Err(failed(&format!("{method}: substring not found"))),
            }
        }
        "count" => {
            let given = given(3)?;
            let wanted = given.needed(0, "sub")?;
            let part = given.part(1, text)?;
            Value::from(part.map_or(0, |part| part.text.matches(&wanted).count()))
        }
        "startswith" | "endswith" => {
            let given = given(3)?;
            let missing = || failed(&format!("{method}: an argument is missing"));
            let wanted = given.value(0, "prefix")?.ok_or_else(missing)?;
            let Some(part) = given.part(1, text)? else {
                return Ok(Some(Value::from(false)));
            };
            // Of a part, the rest is as for the whole.
            let whole = Value::from(part.text);
            return pycompat::unknown_method_callback(state, &whole, method, &[wanted]).map(Some);
        }
        "center" | "ljust" | "rjust" => {
            let given = given(2)?;
            let width = given.number(0, "width")?;
            let width = width.ok_or_else(|| failed("the argument width is missing"))?;
            let fill = given.text(1, "fillchar")?.unwrap_or(" ".to_owned());
            let mut fills = fill.chars();
            let (Some(fill), None) = (fills.next(), fills.next()) else {
                return Err(failed("the fill character must be exactly one character"));
            };
            let missing = missing(state, text, width)?;
            let left = match method {
                "center" => text::left_of_center(missing, width),
                "ljust" => 0,
                _ => missing,
            };
            Value::from(text::between(text, fill, left, missing - left))
        }
        "zfill" => {
            let width = given(1)?.number(0, "width")?;
            let width = width.ok_or_else(|| failed("the argument width is missing"))?;
            let missing = missing(state, text, width)?;
            let sign = usize::from(text.starts_with(['+', '-']));
            let digits = text::between(&text[sign..], '0', missing, 0);
            Value::from(format!("{}{digits}", &text[..sign]))
        }
        "expandtabs" => {
            let size = given(1)?.number(0, "tabsize")?.unwrap_or(8);
            let size = usize::try_from(size).unwrap_or(0);
            let spaces = text.matches('\t').count().saturating_mul(size);
            budget::ensure(state, text.len().saturating_add(spaces))?;
            Value::from(text::without_tabs(text, size))
        }
        "casefold" => {
            given(0)?;
            Value::from(text::casefold(text))
        }
        "swapcase" => {
            given(0)?;
            Value::from(text::swapcase(text))
        }
        "title" => {
            given(0)?;
            Value::from(text::title(text))
        }
        "istitle" => {
            given(0)?;
            Value::from(text::is_title(text))
        }
        "isdecimal" => all(text::is_decimal)?,
        "isdigit" => all(text::is_digit)?,
        "isnumeric" => all(char::is_numeric)?,
        "isprintable" => {
            given(0)?;
            Value::from(!text.chars().any(|c| c.is_control()))
        }
        "isidentifier" => {
            given(0)?;
            let begins = |c: char| c.is_alphabetic() || c == '_';
            let fits =
                text.starts_with(begins) && text.chars().all(|c| begins(c) || text::is_decimal(c));
            Value::from(fits)
        }
        "format" => {
            refuse_wide_keys(text)?;
            let bytes = formatted_bytes(state, text, args)?;
            budget::ensure(state, bytes)?;
            return Ok(None);
        }
        "format_map" => {
            let (map,): (Value,) = from_args(args)?;
            let named = [Value::from(keywords(&map)?)];
            return call(state, &Value::from(text), "format", &named).map(Some);
        }
        _ => return Ok(None),
    }))
}

fn failed(what: &str) -> Error {
    Error::new(ErrorKind::InvalidOperation, what.to_owned())
}

fn separator(text: String) -> Result<String, Error> {
    match text.is_empty() {
        true => Err(failed("empty separator")),
        false => Ok(text),
    }
}

fn triple(before: &str, separator: &str, after: &str) -> Value {
    Value::from(minijinja::value::Tuple::from(
        [before, separator, after].map(Value::from),
    ))
}

/// Characters that a text has too few for a width, if the budget has room for them.
pub(super) fn missing(state: &State, text: &str, width: i64) -> Result<usize, Error> {
    let width = usize::try_from(width).unwrap_or(0);
    let missing = width.saturating_sub(text.chars().count());
    // A character that fills takes up to four bytes.
    budget::ensure(state, text.len().saturating_add(missing.saturating_mul(4)))?;
    Ok(missing)
}

/// A dictionary as arguments by name.
pub(super) fn keywords(map: &Value) -> Result<Kwargs, Error> {
    let pairs = map.try_iter()?.map(|key| {
        let name = key.as_str().map(str::to_owned);
        let name = name.ok_or_else(|| failed("the name of an argument is not a string"))?;
        Ok((name, map.get_item(&key)?))
    });
    pairs.collect()
}

/// Refuses keys of fields that are not ASCII: the engine takes them byte by byte, and ends the
/// program in the middle of a character. A field begins with a brace (two stand for one), and a key
/// lies between brackets.
fn refuse_wide_keys(text: &str) -> Result<(), Error> {
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '{' || chars.next_if_eq(&'{').is_some() {
            continue;
        }
        let mut in_key = false;
        // A name may stand before the key, and another key follow it.
        for c in chars.by_ref() {
            match in_key {
                false if c == '[' => in_key = true,
                true if c == ']' => in_key = false,
                true if !c.is_ascii() => {
                    return Err(failed("a field's key that is not ASCII is not supported"));
                }
                false if "}:!".contains(c) => break,
                _ => {}
            }
        }
    }
    Ok(())
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
