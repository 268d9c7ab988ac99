//! Jinja's own filters, tests and functions that the engine does not have, or has otherwise.

use super::{budget, json, methods, text};
use minijinja::filters as builtin;
use minijinja::value::{Kwargs, Rest, Value, ValueKind, ValueOrKwargs, from_args};
use minijinja::{Environment, Error, ErrorKind, State};

pub(super) fn add(environment: &mut Environment<'_>) {
    environment.add_filter("tojson", json::to_json);
    environment.add_filter("center", center);
    environment.add_filter("default", default);
    environment.add_filter("d", default);
    environment.add_filter("e", escape);
    environment.add_filter("escape", escape);
    environment.add_filter("filesizeformat", filesizeformat);
    environment.add_filter("float", float);
    environment.add_filter("forceescape", forceescape);
    environment.add_filter("indent", indent);
    environment.add_filter("int", int);
    environment.add_filter("pprint", pprint);
    environment.add_filter("random", |_: &Value| -> Result<Value, Error> {
        Err(failed("random: a prompt is the same for the same messages"))
    });
    environment.add_filter("striptags", |text: &str| {
        minijinja_contrib::filters::striptags(text.to_owned())
    });
    environment.add_filter("truncate", truncate);
    environment.add_filter("urlencode", urlencode);
    environment.add_filter("wordcount", wordcount);
    environment.add_filter("wordwrap", wordwrap);
    environment.add_filter("xmlattr", xmlattr);
    environment.add_function("cycler", |items: Rest<Value>| {
        minijinja_contrib::globals::cycler(items.0)
    });
    environment.add_function("joiner", minijinja_contrib::globals::joiner);
    environment.add_test("callable", |value: &Value| value.kind() == ValueKind::Plain);
    environment.add_test("iterable", |value: &Value| {
        !value.is_none() && value.try_iter().is_ok()
    });
    environment.add_test("integer", |value: &Value| value.is_integer());
    // What has a length and items: a dictionary and a text do.
    environment.add_test("sequence", |value: &Value| {
        let kind = value.kind();
        value.is_undefined() || matches!(kind, ValueKind::Seq | ValueKind::Map | ValueKind::String)
    });
}

fn failed(what: &str) -> Error {
    Error::new(ErrorKind::InvalidOperation, what.to_owned())
}

/// A value as text, if the budget has room for it.
pub(super) fn text_of(state: &State, value: &Value) -> Result<String, Error> {
    let bytes = budget::text_bytes(state, value)?;
    budget::ensure(state, bytes)?;
    Ok(value.to_string())
}

/// `center(width=80)`.
fn center(
    state: &State,
    value: &Value,
    width: Option<i64>,
    options: Kwargs,
) -> Result<String, Error> {
    let width = width.or(options.get("width")?).unwrap_or(80);
    options.assert_all_used()?;
    let value = text_of(state, value)?;
    let missing = methods::missing(state, &value, width)?;
    let left = text::left_of_center(missing, width);
    Ok(text::between(&value, ' ', left, missing - left))
}

/// `default(default_value="", boolean=false)`.
fn default(
    value: &Value,
    other: Option<Value>,
    boolean: Option<Value>,
    options: Kwargs,
) -> Result<Value, Error> {
    let other = other.or(options.get("default_value")?);
    let boolean = boolean.or(options.get("boolean")?);
    options.assert_all_used()?;
    let lax = boolean.is_some_and(|boolean| boolean.is_true());
    Ok(match value.is_undefined() || (lax && !value.is_true()) {
        true => other.unwrap_or_else(|| Value::from("")),
        false => value.clone(),
    })
}

/// `int(default=0, base=10)`: the default where a value is not a number.
fn int(
    state: &State,
    value: &Value,
    default: Option<Value>,
    base: Option<u32>,
    options: Kwargs,
) -> Result<Value, Error> {
    let default = default.or(options.get("default")?);
    let default = default.unwrap_or_else(|| Value::from(0));
    let value = trimmed(value);
    let number = match value.as_str() {
        Some(text) => text.parse().ok(),
        None if value.is_integer() => None,
        None => f64::try_from(value.clone()).ok(),
    };
    // For those the engine takes some integer.
    if number.is_some_and(|number: f64| !number.is_finite()) {
        return Ok(default);
    }
    builtin::int(state, &value, Some(default), base, options)
}

/// `float(default=0.0)`.
fn float(
    state: &State,
    value: &Value,
    default: Option<Value>,
    options: Kwargs,
) -> Result<Value, Error> {
    let default = default.or(options.get("default")?);
    let default = default.unwrap_or_else(|| Value::from(0.0));
    builtin::float(state, &trimmed(value), Some(default), options)
}

/// A text that may be a number, as Python reads it: white space around it and `_` in it do not count.
fn trimmed(value: &Value) -> Value {
    match value.as_str() {
        Some(text) => Value::from(text.trim_matches(text::is_space).replace('_', "")),
        None => value.clone(),
    }
}

/// `filesizeformat(binary=false)`.
fn filesizeformat(
    state: &State,
    value: &Value,
    binary: Option<bool>,
    options: Kwargs,
) -> Result<String, Error> {
    let binary = binary.or(options.get("binary")?).unwrap_or(false);
    options.assert_all_used()?;
    let no_options = Kwargs::from_iter::<[(&str, Value); 0]>([]);
    let bytes = f64::try_from(float(state, value, None, no_options)?)?;
    let (base, units) = match binary {
        true => (
            1024.0,
            ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB"],
        ),
        false => (1000.0, ["kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"]),
    };
    if bytes == 1.0 {
        return Ok("1 Byte".to_owned());
    }
    if bytes < base {
        return Ok(format!("{} Bytes", bytes.trunc()));
    }
    let mut scaled = bytes / base;
    let mut units = units.iter().peekable();
    while let Some(unit) = units.next() {
        if scaled < base || units.peek().is_none() {
            return Ok(format!("{scaled:.1} {unit}"));
        }
        scaled /= base;
    }
    Ok(String::new())
}

/// HTML's signs as entities, also in what was escaped before.
fn forceescape(state: &State, value: &Value) -> Result<Value, Error> {
    let text = text_of(state, value)?;
    Ok(Value::from(escaped(&text)))
}

/// The same, once.
fn escape(state: &State, value: &Value) -> Result<Value, Error> {
    match value.is_safe() {
        true => Ok(value.clone()),
        false => Ok(Value::from_safe_string(escaped(&text_of(state, value)?))),
    }
}

/// `indent(width=4, first=false, blank=false)`; the width may be a text.
fn indent(state: &State, value: &Value, args: Rest<ValueOrKwargs>) -> Result<String, Error> {
    let args = args.into_values();
    let (width, first, blank, options): (Option<Value>, Option<bool>, Option<bool>, Kwargs) =
        from_args(&args)?;
    let width = width.or(options.get("width")?);
    let first = first.or(options.get("first")?).unwrap_or(false);
    let blank = blank.or(options.get("blank")?).unwrap_or(false);
    options.assert_all_used()?;
    let value = text_of(state, value)?;
    let lines = value.matches('\n').count() + 1;
    let bytes = |each: usize| value.len().saturating_add(lines.saturating_mul(each));
    let space = match &width {
        Some(width) if width.as_str().is_some() => width.to_string(),
        Some(width) => {
            let spaces = usize::try_from(i64::try_from(width.clone())?).unwrap_or(0);
            budget::ensure(state, bytes(spaces))?;
            " ".repeat(spaces)
        }
        None => " ".repeat(4),
    };
    budget::ensure(state, bytes(space.len()))?;
    let mut out = String::new();
    for (i, line) in value.split('\n').enumerate() {
        if i > 0 {
            out.push('\n');
        }
        // An empty last line is none: the text ends before it.
        if (i == 0 && first) || (i > 0 && (blank || !line.is_empty())) {
            out += &space;
        }
        out += line;
    }
    Ok(out)
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// A value as Python's `repr` writes it, in one line.
pub(super) fn pprint(state: &State, value: &Value) -> Result<String, Error> {
    let listed = text_of(state, &Value::from(vec![value.clone()]))?;
    let inside = listed
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'));
    Ok(inside.unwrap_or(&listed).to_owned())
}

/// `truncate(length=255, killwords=false, end="...", leeway=5)`.
fn truncate(state: &State, value: &Value, args: Rest<ValueOrKwargs>) -> Result<String, Error> {
    let args = args.into_values();
    let (length, killwords, end, leeway, options): (
        Option<i64>,
        Option<bool>,
        Option<&str>,
        Option<i64>,
        Kwargs,
    ) = from_args(&args)?;
    let length = length.or(options.get("length")?).unwrap_or(255);
    let killwords = killwords.or(options.get("killwords")?).unwrap_or(false);
    let end = end.or(options.get("end")?).unwrap_or("...");
    let leeway = leeway.or(options.get("leeway")?).unwrap_or(5);
    options.assert_all_used()?;
    let kept = length.saturating_sub(i64::try_from(end.chars().count()).unwrap_or(i64::MAX));
    let kept = usize::try_from(kept).map_err(|_| {
        failed(&format!(
            "truncate: a length of {length} is too short for its end"
        ))
    })?;
    let leeway = usize::try_from(leeway).map_err(|_| failed("truncate: a negative leeway"))?;
    let text = text_of(state, value)?;
    let most = usize::try_from(length).unwrap_or(0).saturating_add(leeway);
    if text.chars().count() <= most {
        return Ok(text);
    }
    let mut part = text
        .char_indices()
        .nth(kept)
        .map_or(text.as_str(), |(at, _)| &text[..at]);
    if !killwords && let Some((words, _)) = part.rsplit_once(' ') {
        part = words;
    }
    Ok(format!("{part}{end}"))
}

/// A text for a URL; pairs as a query.
fn urlencode(state: &State, value: &Value) -> Result<String, Error> {
    if value.as_str().is_some() || !matches!(value.kind(), ValueKind::Map | ValueKind::Seq) {
        return Ok(percent_encoded(&text_of(state, value)?, true));
    }
    let mut out = String::new();
    let is_map = value.kind() == ValueKind::Map;
    for item in value.try_iter()? {
        let (key, value) = match is_map {
            true => (item.clone(), value.get_item(&item)?),
            false => (item.get_item_by_index(0)?, item.get_item_by_index(1)?),
        };
        let pair = [text_of(state, &key)?, text_of(state, &value)?];
        let pair = pair.map(|part| percent_encoded(&part, false).replace("%20", "+"));
        if !out.is_empty() {
            out.push('&');
        }
        out += &pair.join("=");
        budget::ensure(state, out.len())?;
    }
    Ok(out)
}

fn percent_encoded(text: &str, slashes: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            b'/' if slashes => out.push('/'),
            byte if byte.is_ascii_alphanumeric() => out.push(char::from(byte)),
            byte => out += &format!("%{byte:02X}"),
        }
    }
    out
}

/// Runs of letters, digits and `_`.
fn wordcount(state: &State, value: &Value) -> Result<usize, Error> {
    let text = text_of(state, value)?;
    let words = text.split(|c: char| !(c.is_alphanumeric() || c == '_'));
    Ok(words.filter(|word| !word.is_empty()).count())
}

/// `wordwrap(width=79, break_long_words=true, wrapstring="\n", break_on_hyphens=true)`.
fn wordwrap(state: &State, value: &Value, args: Rest<ValueOrKwargs>) -> Result<String, Error> {
    let args = args.into_values();
    let (width, break_long, wrap, hyphens, options): (
        Option<i64>,
        Option<bool>,
        Option<&str>,
        Option<bool>,
        Kwargs,
    ) = from_args(&args)?;
    let width = width.or(options.get("width")?).unwrap_or(79);
    let break_long = break_long
        .or(options.get("break_long_words")?)
        .unwrap_or(true);
    let wrap = wrap.or(options.get("wrapstring")?).unwrap_or("\n");
    let hyphens = hyphens.or(options.get("break_on_hyphens")?).unwrap_or(true);
    options.assert_all_used()?;
    let width = usize::try_from(width).ok().filter(|width| *width > 0);
    let width = width.ok_or_else(|| failed("wordwrap: the width has to be positive"))?;
    let text = text_of(state, value)?;
    // No line end is put where there is no character.
    let most = text.chars().count().saturating_mul(wrap.len());
    budget::ensure(state, text.len().saturating_add(most))?;
    let wrapped = text::lines(&text, false).map(|line| {
        let lines = text::wrapped(line, width, break_long, hyphens);
        lines.join(wrap)
    });
    Ok(wrapped.collect::<Vec<_>>().join(wrap))
}

/// `xmlattr(autospace=true)`: a dictionary as attributes, without those that are none.
fn xmlattr(
    state: &State,
    value: &Value,
    autospace: Option<bool>,
    options: Kwargs,
) -> Result<Value, Error> {
    let autospace = autospace.or(options.get("autospace")?).unwrap_or(true);
    options.assert_all_used()?;
    let mut out = String::new();
    for key in value.try_iter()? {
        let attribute = value.get_item(&key)?;
        if attribute.is_none() || attribute.is_undefined() {
            continue;
        }
        let name = text_of(state, &key)?;
        if name.contains(|c: char| c.is_whitespace() || "/>=".contains(c)) {
            return Err(failed(&format!(
                "xmlattr: {name:?} is not the name of an attribute"
            )));
        }
        if autospace || !out.is_empty() {
            out.push(' ');
        }
        let attribute = escaped(&text_of(state, &attribute)?);
        out += &format!("{}=\"{attribute}\"", escaped(&name));
        budget::ensure(state, out.len())?;
    }
    Ok(Value::from(out))
}
