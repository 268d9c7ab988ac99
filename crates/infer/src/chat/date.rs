//! Dates as C's `strftime` writes them, for the function `strftime_now`.

use minijinja::{Error, ErrorKind};

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
const WEEKDAYS: [&str; 7] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];

/// A moment in UTC, in the Gregorian calendar.
struct Moment {
    /// Seconds since 1970.
    seconds: u64,
    micros: u32,
    year: u64,
    /// 1 to 12.
    month: u64,
    /// 1 to 31.
    day: u64,
    /// 0 for January 1st.
    day_of_year: u64,
    /// 0 for Sunday.
    weekday: u64,
    hour: u64,
    minute: u64,
    second: u64,
}

/// How a number or a name is written: GNU's flags behind the `%`.
#[derive(Clone, Copy)]
enum Flag {
    /// `-`: a number without leading zeros.
    Unpadded,
    /// `_`: spaces for zeros.
    Spaces,
    /// `0`: zeros for spaces.
    Zeros,
    /// `^`: capitals.
    Upper,
    /// `#`: the other case.
    Swapped,
}

/// `seconds` since 1970 and `micros` (UTC) by `format`, in the C locale. Names of time zones are
/// empty, as for a time that has none. A directive that C does not have stays as it is.
///
/// # Errors
/// A directive with a width, which is not supported.
pub(super) fn strftime(format: &str, seconds: u64, micros: u32) -> Result<String, Error> {
    let moment = Moment::new(seconds, micros);
    let mut out = String::new();
    moment.write(format, &mut out)?;
    Ok(out)
}

impl Moment {
    fn new(seconds: u64, micros: u32) -> Self {
        let (days, rest) = (seconds / 86_400, seconds % 86_400);
        let (year, month, day) = civil_from_days(days);
        Self {
            seconds,
            micros,
            year,
            month,
            day,
            day_of_year: days - days_before_year(year),
            weekday: (days + 4) % 7,
            hour: rest / 3600,
            minute: rest / 60 % 60,
            second: rest % 60,
        }
    }

    fn write(&self, format: &str, out: &mut String) -> Result<(), Error> {
        let mut chars = format.chars();
        loop {
            let begun = chars.as_str();
            let Some(c) = chars.next() else {
                return Ok(());
            };
            if c != '%' {
                out.push(c);
                continue;
            }
            let mut directive = chars.next();
            let mut flag = None;
            loop {
                flag = Some(match directive {
                    Some('-') => Flag::Unpadded,
                    Some('_') => Flag::Spaces,
                    Some('0') => Flag::Zeros,
                    Some('^') => Flag::Upper,
                    Some('#') => Flag::Swapped,
                    _ => break,
                });
                directive = chars.next();
            }
            // Other spellings of the same, which the C locale does not have.
            if matches!(directive, Some('E' | 'O')) {
                directive = chars.next();
            }
            let written = &begun[..begun.len() - chars.as_str().len()];
            self.directive(directive, flag, written, out)?;
        }
    }

    /// One directive, which is `written` so in the format.
    fn directive(
        &self,
        directive: Option<char>,
        flag: Option<Flag>,
        written: &str,
        out: &mut String,
    ) -> Result<(), Error> {
        let month = MONTHS[(self.month - 1) as usize];
        let weekday = WEEKDAYS[self.weekday as usize];
        let hour_12 = (self.hour + 11) % 12 + 1;
        // The week of the year whose first one has its first Sunday, or Monday.
        let week = |weekday: u64| (self.day_of_year + 7 - weekday) / 7;
        let from_monday = (self.weekday + 6) % 7;
        let number = |width: usize, fill: char, n: u64| match (flag, fill) {
            (Some(Flag::Unpadded), _) => n.to_string(),
            (Some(Flag::Spaces), _) | (None | Some(Flag::Upper | Flag::Swapped), ' ') => {
                format!("{n:width$}")
            }
            _ => format!("{n:0width$}"),
        };
        let two = |n| number(2, '0', n);
        let name = |text: &str| match flag {
            Some(Flag::Upper | Flag::Swapped) => text.to_uppercase(),
            _ => text.to_owned(),
        };
        *out += &match directive {
            Some('a') => name(&weekday[..3]),
            Some('A') => name(weekday),
            Some('b' | 'h') => name(&month[..3]),
            Some('B') => name(month),
            Some('c') => return self.write("%a %b %e %H:%M:%S %Y", out),
            Some('C') => two(self.year / 100),
            Some('d') => two(self.day),
            Some('D' | 'x') => return self.write("%m/%d/%y", out),
            Some('e') => number(2, ' ', self.day),
            Some('f') => format!("{:06}", self.micros),
            Some('F') => return self.write("%Y-%m-%d", out),
            Some('g') => two(self.iso_week().0 % 100),
            Some('G') => self.iso_week().0.to_string(),
            Some('H') => two(self.hour),
            Some('I') => two(hour_12),
            Some('j') => number(3, '0', self.day_of_year + 1),
            Some('k') => number(2, ' ', self.hour),
            Some('l') => number(2, ' ', hour_12),
            Some('m') => two(self.month),
            Some('M') => two(self.minute),
            Some('n') => "\n".to_owned(),
            Some('p') => match (self.hour < 12, flag) {
                (true, Some(Flag::Swapped)) => "am".to_owned(),
                (false, Some(Flag::Swapped)) => "pm".to_owned(),
                (true, _) => "AM".to_owned(),
                (false, _) => "PM".to_owned(),
            },
            Some('P') => (if self.hour < 12 { "am" } else { "pm" }).to_owned(),
            Some('r') => return self.write("%I:%M:%S %p", out),
            Some('R') => return self.write("%H:%M", out),
            Some('s') => self.seconds.to_string(),
            Some('S') => two(self.second),
            Some('t') => "\t".to_owned(),
            Some('T' | 'X') => return self.write("%H:%M:%S", out),
            Some('u') => (from_monday + 1).to_string(),
            Some('U') => two(week(self.weekday)),
            Some('V') => two(self.iso_week().1),
            Some('w') => self.weekday.to_string(),
            Some('W') => two(week(from_monday)),
            Some('y') => two(self.year % 100),
            Some('Y') => self.year.to_string(),
            Some('z' | 'Z') => String::new(),
            Some('%') => "%".to_owned(),
            Some('1'..='9') => {
                return Err(Error::new(
                    ErrorKind::InvalidOperation,
                    format!("strftime_now: found {written}, but widths are not supported"),
                ));
            }
            _ => written.to_owned(),
        };
        Ok(())
    }

    /// Year and week of ISO 8601: weeks begin on Monday and belong to the year of their Thursday.
    fn iso_week(&self) -> (u64, u64) {
        let thursday = self.seconds / 86_400 + 3 - (self.weekday + 6) % 7;
        let year = civil_from_days(thursday).0;
        (year, (thursday - days_before_year(year)) / 7 + 1)
    }
}

/// Days from 1970-01-01 to the first of `year`, which is 1970 or later.
fn days_before_year(year: u64) -> u64 {
    let leap_days = |years: u64| years / 4 - years / 100 + years / 400;
    (year - 1970) * 365 + leap_days(year - 1) - leap_days(1969)
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
