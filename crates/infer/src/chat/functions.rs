//! Functions and filters that chat templates expect beside Jinja's own.

use super::budget::Bounded;
use minijinja::value::{Kwargs, Value};
use minijinja::{Error, ErrorKind, State};
use serde::Serialize;
use serde_json::ser::{Formatter, PrettyFormatter, Serializer};

/// `raise_exception(text)`: the template refuses the conversation.
pub(super) fn raise_exception(text: &str) -> Result<Value, Error> {
    Err(Error::new(ErrorKind::InvalidOperation, text.to_owned()))
}

/// Python's `json.dumps(value, ensure_ascii=False)`: a space after `,` and `:`, no HTML escapes.
pub(super) fn to_json(state: &State, value: Value, options: Kwargs) -> Result<String, Error> {
    let indent: Option<usize> = options.get("indent")?;
    // Accepted as in Python; text is never escaped to ASCII here.
    let _ascii: Option<bool> = options.get("ensure_ascii")?;
    options.assert_all_used()?;
    match indent {
        Some(indent) => {
            let spaces = " ".repeat(indent.min(16));
            dump(
                state,
                &value,
                PrettyFormatter::with_indent(spaces.as_bytes()),
            )
        }
        None => dump(state, &value, PythonFormatter),
    }
}

fn dump(state: &State, value: &Value, formatter: impl Formatter) -> Result<String, Error> {
    let failed = |source: serde_json::Error| match source.io_error_kind() {
        // Lists that hold one list many times are longer than anything that made them.
        Some(_) => Error::from(ErrorKind::OutOfFuel),
        None => {
            let kind = ErrorKind::InvalidOperation;
            Error::new(kind, "cannot serialize to JSON").with_source(source)
        }
    };
    let mut serializer = Serializer::with_formatter(Bounded::new(state), formatter);
    value.serialize(&mut serializer).map_err(failed)?;
    let bytes = serializer.into_inner().into_bytes();
    String::from_utf8(bytes)
        .map_err(|_| Error::new(ErrorKind::InvalidOperation, "JSON that is no UTF-8"))
}

struct PythonFormatter;

impl Formatter for PythonFormatter {
    fn begin_array_value<W: ?Sized + std::io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> std::io::Result<()> {
        writer.write_all(if first { b"" } else { b", " })
    }
    fn begin_object_key<W: ?Sized + std::io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> std::io::Result<()> {
        writer.write_all(if first { b"" } else { b", " })
    }
    fn begin_object_value<W: ?Sized + std::io::Write>(
        &mut self,
        writer: &mut W,
    ) -> std::io::Result<()> {
        writer.write_all(b": ")
    }
}

/// How many words and signs a text has.
pub(super) fn tokens(source: &str) -> usize {
    let (mut count, mut in_word) = (0, false);
    for byte in source.bytes() {
        let is_word = byte.is_ascii_alphanumeric() || byte == b'_' || !byte.is_ascii();
        if (is_word && !in_word) || !(is_word || byte.is_ascii_whitespace()) {
            count += 1;
        }
        in_word = is_word;
    }
    count
}

/// `{% generation %}` marks what a trainer learns from; to render, it is a block that always
/// shows. It becomes an `if` with the same white-space marks.
pub(super) fn without_generation_tags(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    // A tag ends behind its beginning: in `{%}` the two would share a sign.
    while let Some((before, begun)) = rest.split_once("{%") {
        let Some((inside, after)) = begun.split_once("%}") else {
            break;
        };
        out.extend([before, "{%"]);
        match inside.trim_matches(|c: char| c.is_whitespace() || c == '-' || c == '+') {
            "generation" => out.push_str(&inside.replacen("generation", "if true", 1)),
            "endgeneration" => out.push_str(&inside.replacen("endgeneration", "endif", 1)),
            _ => out.push_str(inside),
        }
        out.push_str("%}");
        rest = after;
    }
    out.push_str(rest);
    out
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
/// The day of 1970-01-01 first.
const WEEKDAYS: [&str; 7] = [
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
];

/// Date and time of `seconds` since 1970 (UTC) in C's `strftime` notation; a directive that
/// templates do not use is an error.
pub(super) fn strftime(format: &str, seconds: u64) -> Result<String, Error> {
    let (days, second_of_day) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil_from_days(days);
    let (hour, minute, second) = (
        second_of_day / 3600,
        second_of_day / 60 % 60,
        second_of_day % 60,
    );
    let month_name = MONTHS[(month - 1) as usize];
    let weekday = WEEKDAYS[(days % 7) as usize];
    let mut out = String::new();
    let mut chars = format.chars();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut directive = chars.next();
        // GNU's `%-d`: no padding.
        let padded = directive != Some('-');
        if !padded {
            directive = chars.next();
        }
        let two = |n: u64| {
            if padded {
                format!("{n:02}")
            } else {
                n.to_string()
            }
        };
        out += &match directive {
            Some('Y') => year.to_string(),
            Some('y') => two(year % 100),
            Some('m') => two(month),
            Some('d') => two(day),
            Some('H') => two(hour),
            Some('I') => two((hour + 11) % 12 + 1),
            Some('M') => two(minute),
            Some('S') => two(second),
            Some('p') => (if hour < 12 { "AM" } else { "PM" }).to_owned(),
            Some('B') => month_name.to_owned(),
            Some('b') => month_name[..3].to_owned(),
            Some('A') => weekday.to_owned(),
            Some('a') => weekday[..3].to_owned(),
            Some('%') => "%".to_owned(),
            other => {
                return Err(Error::new(
                    ErrorKind::InvalidOperation,
                    format!("strftime_now: unknown directive %{}", other.unwrap_or(' ')),
                ));
            }
        };
    }
    Ok(out)
}

/// Year, month (1-12) and day (1-31) of a day counted from 1970-01-01, in the Gregorian calendar.
fn civil_from_days(days: u64) -> (u64, u64, u64) {
    // Years run from March, so that the leap day is the last of its year; eras have 400 years.
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}
