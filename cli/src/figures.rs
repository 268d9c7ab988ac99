//! How figures of quality are printed: cells of tables, JSON, comma-separated values.

use crate::commands::CutArgs;
use crate::model::ModeArg;
use crate::output::{self, Align};
use aeolus_eval::{Comparison, Divergence, Estimate};
use aeolus_report::documents::{self, Figures, Measured};
use anyhow::Result;
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::path::Path;

/// A figure and its error, with as many decimals as asked for.
pub fn plus_minus(estimate: Estimate, decimals: usize) -> String {
    format!(
        "{:.decimals$} ± {:.decimals$}",
        estimate.value, estimate.error
    )
}

/// A divergence in nats: six decimals, or powers of ten where those would be zeros.
pub fn nats(value: f64) -> String {
    if value != 0.0 && value.abs() < 1e-5 {
        format!("{value:.2e}")
    } else {
        format!("{value:.6}")
    }
}

fn percent(estimate: Estimate) -> String {
    format!(
        "{:.2} ± {:.2}%",
        100.0 * estimate.value,
        100.0 * estimate.error
    )
}

/// The columns of quality, after the caller's.
pub const COLUMNS: [(&str, Align); 8] = [
    ("PPL", Align::Right),
    ("PPL ratio", Align::Right),
    ("KLD mean", Align::Right),
    ("median", Align::Right),
    ("99%", Align::Right),
    ("max", Align::Right),
    ("Same top", Align::Right),
    ("RMS dp", Align::Right),
];

/// One file's cells for them.
pub fn cells(d: &Divergence) -> [String; 8] {
    [
        plus_minus(d.ppl, 4),
        plus_minus(d.ppl_ratio, 5),
        format!("{} ± {}", nats(d.kld.value), nats(d.kld.error)),
        nats(d.kld_median),
        nats(d.kld_99),
        nats(d.kld_max),
        percent(d.same_top),
        percent(d.rms_dp),
    ]
}

/// Which of the others beats each file: the nearest to the base of those that are no larger and nearer, or
/// smaller and as near. Files that were not measured are out of the question.
pub fn beaten_by(bytes: &[Option<u64>], comparison: &Comparison) -> Vec<Option<usize>> {
    let points = bytes.iter().zip(&comparison.files);
    let points: Vec<Option<(f64, f64)>> = points
        .map(|(bytes, result)| Some(((*bytes)? as f64, result.as_ref().ok()?.kld.value)))
        .collect();
    aeolus_report::beaten_by(&points)
}

/// The base's perplexity, from any file's result.
pub fn base_ppl(comparison: &Comparison) -> Option<Estimate> {
    let mut results = comparison.files.iter().flatten();
    results.next().map(|d| d.ppl_base)
}

/// What a comparison's figures are of, as documents have it; `text` is its path and what is in it.
pub fn measured(
    comparison: &Comparison,
    mode: ModeArg,
    cut: &CutArgs,
    text: Option<(&Path, &str)>,
) -> Measured {
    Measured {
        text: text.map(|(path, _)| path.display().to_string()),
        text_sha256: text.map(|(_, text)| text_sha256(text)),
        n_ctx: Some(comparison.n_ctx as u64),
        stride: cut.stride().map(|stride| stride as u64),
        chunks: Some(comparison.windows as u64),
        chunks_available: Some(comparison.available as u64),
        stopped: Some(comparison.stopped.name().into()),
        mode: Some(aeolus_eval::numeric_name(mode.into()).into()),
        base: Some(documents::Base {
            path: comparison.base.clone(),
            ppl: base_ppl(comparison).map(estimate),
        }),
    }
}

/// The digest of a text, in hex.
pub fn text_sha256(text: &str) -> String {
    aeolus_source::hex(&Sha256::digest(text.as_bytes()))
}

/// An estimate, as documents have it.
pub fn estimate(found: Estimate) -> documents::Estimate {
    documents::Estimate {
        value: found.value,
        error: Some(found.error),
    }
}

/// A file's figures, as documents have them.
pub fn of(d: &Divergence) -> Figures {
    Figures {
        kld_mean: Some(estimate(d.kld)),
        kld_median: Some(d.kld_median),
        kld_90: Some(d.kld_90),
        kld_99: Some(d.kld_99),
        kld_999: Some(d.kld_999),
        kld_max: Some(d.kld_max),
        same_top: Some(estimate(d.same_top)),
        mean_dp: Some(estimate(d.mean_dp)),
        rms_dp: Some(estimate(d.rms_dp)),
        ppl: Some(estimate(d.ppl)),
        ppl_base: Some(estimate(d.ppl_base)),
        ppl_ratio: Some(estimate(d.ppl_ratio)),
        bits_per_byte: d.bits_per_byte.map(estimate),
        tokens: Some(d.tokens),
        windows: Some(d.windows as u64),
    }
}

/// The errors of a file's tensors, as documents have them.
pub fn tensor_errors(errors: &[aeolus_eval::TensorError]) -> Vec<documents::TensorError> {
    let error = |e: &aeolus_eval::TensorError| documents::TensorError {
        name: e.tensor.clone(),
        ty: e.ty.name().into(),
        weights: Some(e.weights),
        rmse: Some(e.rmse),
        max: Some(e.max),
        relative: Some(e.relative),
        cosine: Some(e.cosine),
    };
    errors.iter().map(error).collect()
}

/// Comma-separated values: a head, then rows.
pub fn print_csv(head: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> Result<()> {
    let quoted = |field: &str| {
        if field.contains([',', '"', '\n', '\r']) {
            format!("\"{}\"", field.replace('"', "\"\""))
        } else {
            field.to_owned()
        }
    };
    let mut text = format!("{}\n", head.join(","));
    for row in rows {
        let fields: Vec<String> = row.iter().map(|field| quoted(field)).collect();
        text += &fields.join(",");
        text.push('\n');
    }
    output::print(&text)
}

/// The CSV of JSON rows: fields of each row, then the figures of its `quality`, empty where it has
/// none.
pub fn print_rows_csv(fields: &[&str], rows: &[impl Serialize]) -> Result<()> {
    let rows = rows.iter().map(serde_json::to_value);
    let rows: Vec<Value> = rows.collect::<Result<_, _>>()?;
    let measured = rows.iter().find_map(|row| row["quality"].as_object());
    let figures = match measured {
        Some(quality) => flatten(&Value::Object(quality.clone())).0,
        None => Vec::new(),
    };
    let cell = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        Value::Array(items) => {
            let texts = items.iter().map(|i| i.as_str().unwrap_or_default());
            texts.collect::<Vec<_>>().join("; ")
        }
        other => other.to_string(),
    };
    let lines = rows.iter().map(|row| {
        let mut line: Vec<String> = fields.iter().map(|field| cell(&row[*field])).collect();
        match row["quality"].is_object() {
            true => line.extend(flatten(&row["quality"]).1),
            false => line.extend(figures.iter().map(|_| String::new())),
        }
        line
    });
    let mut head = fields.to_vec();
    head.extend(figures.iter().map(String::as_str));
    print_csv(&head, lines)
}

/// One line about a comparison's base and text.
pub fn base_line(measured: &Measured) -> Option<String> {
    let base = measured.base.as_ref()?;
    let ppl = base.ppl?;
    Some(format!(
        "base {}: PPL {:.4} ± {:.4}; divergences in nats; {} windows of {} tokens",
        base.path,
        ppl.value,
        ppl.error.unwrap_or(f64::NAN),
        measured.chunks?,
        measured.n_ctx?,
    ))
}

/// Head and values of one flat JSON object's numbers: estimates give two columns, the second
/// with `_error` behind its name.
pub fn flatten(value: &Value) -> (Vec<String>, Vec<String>) {
    let mut flat = (Vec::new(), Vec::new());
    let mut add = |name: String, value: &Value| {
        flat.0.push(name);
        flat.1.push(match value {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        });
    };
    for (name, value) in value.as_object().into_iter().flatten() {
        match (value.get("value"), value.get("error")) {
            (Some(figure), Some(error)) => {
                add(name.clone(), figure);
                add(format!("{name}_error"), error);
            }
            _ => add(name.clone(), value),
        }
    }
    flat
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_read_well() {
        let estimate = Estimate {
            value: 54.92420,
            error: 1.20913,
        };
        assert_eq!(plus_minus(estimate, 4), "54.9242 ± 1.2091");
        assert_eq!(nats(0.003428), "0.003428");
        assert_eq!(nats(3.3e-10), "3.30e-10");
        assert_eq!(nats(0.0), "0.000000");
    }

    #[test]
    fn estimates_become_two_columns() {
        let value = serde_json::json!({ "a": { "value": 1.5, "error": 0.5 }, "b": 3, "c": null });
        let (head, row) = flatten(&value);
        assert_eq!(head, ["a", "a_error", "b", "c"]);
        assert_eq!(row, ["1.5", "0.5", "3", ""]);
    }
}
