//! Numbers as text.

use crate::documents::Estimate;

/// Bytes as GB of 10^9, two decimals.
pub(crate) fn gigabytes(bytes: u64) -> String {
    format!("{:.2} GB", bytes as f64 / 1e9)
}

/// Bytes in the unit for a set of files: GB as publishers print them, MB where all are small.
pub(crate) fn size(bytes: u64, large: bool) -> String {
    if large {
        gigabytes(bytes)
    } else {
        format!("{:.2} MB", bytes as f64 / 1e6)
    }
}

/// A number of weights: `7.24 B`, `8.1 M`.
pub(crate) fn count(n: u64) -> String {
    match n {
        0..1_000 => n.to_string(),
        1_000..1_000_000 => format!("{:.1} K", n as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} M", n as f64 / 1e6),
        _ => format!("{:.2} B", n as f64 / 1e9),
    }
}

/// An integer with thousands separators.
pub(crate) fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

/// `digits` significant digits without an exponent, down to 1e-9; smaller is `0`.
pub(crate) fn significant(x: f64, digits: i32) -> String {
    if !x.is_finite() {
        return "–".into();
    }
    if x.abs() < 1e-9 {
        return "0".into();
    }
    let decimals = (digits - 1 - x.abs().log10().floor() as i32).clamp(0, 12);
    format!("{x:.*}", decimals as usize)
}

/// A perplexity: four decimals below 100, fewer above.
pub(crate) fn perplexity(x: f64) -> String {
    if !x.is_finite() {
        "–".into()
    } else if x < 100.0 {
        format!("{x:.4}")
    } else {
        significant(x, 6)
    }
}

/// A figure and its standard error, if it has one, with two digits of that. A share's is in percent, as the
/// figure is.
pub(crate) fn with_error(estimate: Estimate, text: impl Fn(f64) -> String) -> String {
    let figure = text(estimate.value);
    let Some(error) = estimate.error.filter(|error| error.is_finite()) else {
        return figure;
    };
    match figure.strip_suffix('%') {
        Some(percent) => format!("{percent} ± {}%", significant(error * 100.0, 2)),
        None => format!("{figure} ± {}", significant(error, 2)),
    }
}

/// A share as percent.
pub(crate) fn percent(share: f64) -> String {
    if share.is_finite() {
        format!("{:.2}%", share * 100.0)
    } else {
        "–".into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(gigabytes(4_368_438_976), "4.37 GB");
        assert_eq!(size(4_600_000, false), "4.60 MB");
        assert_eq!(count(7_241_732_096), "7.24 B");
        assert_eq!(count(8_130_816), "8.1 M");
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(significant(0.041_450_1, 4), "0.04145");
        assert_eq!(significant(3.3e-10, 4), "0");
        assert_eq!(significant(1234.5, 3), "1234");
        assert_eq!(perplexity(54.924_204), "54.9242");
        assert_eq!(perplexity(f64::NAN), "–");
        assert_eq!(percent(0.9012), "90.12%");
    }
}
