//! What an importance matrix looks like, in a few numbers for each tensor.
//!
//! Definitions are those of `llama-imatrix --show-statistics`. Importance means mean squares of
//! activations; matrices that saw nothing are left out.

use crate::{Entry, Imatrix};
use serde::{Deserialize, Serialize};

/// Importance above this counts as active.
const ACTIVE: f64 = 1e-5;

/// The importance of one tensor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct TensorStatistics {
    /// The weight's GGUF name.
    pub tensor: String,
    /// The layer in its name.
    pub layer: Option<u32>,
    /// The name within a layer, without `.weight`: `ffn_down`.
    pub part: String,
    /// Values: columns times matrices that saw something.
    pub values: usize,
    /// Sum of the importance of all values.
    pub sum: f64,
    /// The least important value.
    pub min: f64,
    /// The most important one.
    pub max: f64,
    /// Their mean.
    pub mean: f64,
    /// Their standard deviation.
    pub deviation: f64,
    /// Share of values above 1e-5.
    pub active: f64,
    /// Entropy of the importance taken for probabilities, in bits.
    pub entropy: f64,
    /// The entropy as a share of its most, which equal importance would have.
    pub evenness: f64,
    /// Share of values more than a standard deviation above the mean.
    pub outliers: f64,
    /// Cosine similarity with the sums of the same part one layer before.
    pub similarity: Option<f64>,
    /// Activations that each of its matrices (experts) saw. (Chunks in a file of the older format, which has
    /// one number for all.)
    pub seen: Vec<f64>,
}

impl TensorStatistics {
    /// The matrices that saw nothing: experts that no token was routed to.
    pub fn unseen(&self) -> Vec<usize> {
        let seen = self.seen.iter().enumerate();
        seen.filter(|(_, seen)| **seen == 0.0)
            .map(|(i, _)| i)
            .collect()
    }
}

/// What `aeolus imatrix --json` prints.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Document {
    /// [`SCHEMA`](Self::SCHEMA).
    pub schema: String,
    /// The file that was written, if one was.
    pub path: Option<String>,
    /// Its digest, in hex.
    pub sha256: Option<String>,
    /// The texts.
    pub datasets: Vec<String>,
    /// Chunks of text that were read.
    pub chunks: u32,
    /// Tokens of a chunk.
    pub chunk_tokens: u32,
    /// How long it took.
    pub seconds: f64,
    /// By part, then from large sums to small ones.
    pub tensors: Vec<TensorStatistics>,
    /// The averages of each layer.
    pub layers: Vec<LayerStatistics>,
}

impl Document {
    /// The name and version of the document's form.
    pub const SCHEMA: &str = "aeolus.imatrix/1";

    /// The document about an importance matrix that is not written, and took no time.
    pub fn new(imatrix: &Imatrix) -> Self {
        let tensors = imatrix.statistics();
        Self {
            schema: Self::SCHEMA.into(),
            path: None,
            sha256: None,
            datasets: imatrix.datasets.clone(),
            chunks: imatrix.chunks,
            chunk_tokens: imatrix.chunk_tokens,
            seconds: 0.0,
            layers: layer_statistics(&tensors),
            tensors,
        }
    }
}

/// The averages of a layer, by the values of its tensors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct LayerStatistics {
    /// The layer.
    pub layer: u32,
    /// Mean of the tensors' sums.
    pub sum: f64,
    /// Share of outliers.
    pub outliers: f64,
    /// Mean of the similarities; tensors without one count as 0.
    pub similarity: f64,
}

impl Imatrix {
    /// The statistics of all tensors that saw something: by part, then from large sums to small ones.
    pub fn statistics(&self) -> Vec<TensorStatistics> {
        let mut all: Vec<TensorStatistics> = self
            .entries()
            .filter_map(|(name, entry)| self.of(name, entry))
            .collect();
        all.sort_by(|a, b| a.part.cmp(&b.part).then(b.sum.total_cmp(&a.sum)));
        all
    }

    fn of(&self, name: &str, entry: &Entry) -> Option<TensorStatistics> {
        let rows = entry.sums().chunks_exact(entry.cols());
        let seen = rows.zip(entry.counts()).filter(|(_, count)| **count > 0.0);
        let importance: Vec<f64> = seen
            .flat_map(|(row, count)| row.iter().map(move |sum| f64::from(sum / count)))
            .collect();
        if importance.is_empty() {
            return None;
        }
        let n = importance.len() as f64;
        let sum: f64 = importance.iter().sum();
        let mean = sum / n;
        let squares: f64 = importance.iter().map(|x| x * x).sum();
        let deviation = (squares / n - mean * mean).max(0.0).sqrt();
        let entropy: f64 = importance
            .iter()
            .map(|x| x / sum)
            .filter(|p| *p > 0.0)
            .map(|p| -p * p.log2())
            .sum();
        let share =
            |is: &dyn Fn(&f64) -> bool| importance.iter().filter(|x| is(x)).count() as f64 / n;
        let (layer, part) = layer_and_part(name);
        Some(TensorStatistics {
            tensor: name.to_owned(),
            layer,
            part: part.to_owned(),
            values: importance.len(),
            sum,
            min: importance.iter().copied().fold(f64::INFINITY, f64::min),
            max: importance.iter().copied().fold(0.0, f64::max),
            mean,
            deviation,
            active: share(&|x| *x > ACTIVE),
            entropy,
            evenness: match importance.len() {
                1 => 1.0,
                _ => entropy / n.log2(),
            },
            outliers: share(&|x| *x > mean + deviation && deviation > 0.0),
            similarity: self.before(name).map(|before| cosine(entry, before)),
            seen: entry
                .counts()
                .iter()
                .map(|count| f64::from(*count))
                .collect(),
        })
    }

    /// The entry of the same part one layer before.
    fn before(&self, name: &str) -> Option<&Entry> {
        let (layer, _) = layer_and_part(name);
        let layer = layer?;
        let rest = name.strip_prefix(&format!("blk.{layer}."))?;
        let before = format!("blk.{}.{rest}", layer.checked_sub(1)?);
        self.get(&before).map(|entry| &**entry)
    }
}

/// The averages of each layer.
pub fn layer_statistics(tensors: &[TensorStatistics]) -> Vec<LayerStatistics> {
    let mut layers: Vec<u32> = tensors.iter().filter_map(|t| t.layer).collect();
    layers.sort_unstable();
    layers.dedup();
    let average = |layer: u32, of: &dyn Fn(&TensorStatistics) -> f64| {
        let those = || tensors.iter().filter(|t| t.layer == Some(layer));
        let values: usize = those().map(|t| t.values).sum();
        let weighted: f64 = those().map(|t| t.values as f64 * of(t)).sum();
        weighted / values as f64
    };
    let of = |layer| LayerStatistics {
        layer,
        sum: average(layer, &|t| t.sum),
        outliers: average(layer, &|t| t.outliers),
        similarity: average(layer, &|t| t.similarity.unwrap_or(0.0)),
    };
    layers.into_iter().map(of).collect()
}

/// The layer in a name, and the part of it: `(Some(3), "ffn_down")` of `blk.3.ffn_down.weight`.
fn layer_and_part(name: &str) -> (Option<u32>, &str) {
    let in_layer = name
        .strip_prefix("blk.")
        .and_then(|rest| rest.split_once('.'));
    let layer = in_layer.and_then(|(layer, _)| layer.parse().ok());
    let part = match (layer, in_layer) {
        (Some(_), Some((_, part))) => part,
        _ => name,
    };
    (layer, part.strip_suffix(".weight").unwrap_or(part))
}

/// Cosine of the angle between the sums of two entries; 0 if one has none, or another length.
fn cosine(a: &Entry, b: &Entry) -> f64 {
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        let products = a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b));
        products.sum()
    };
    let (a, b) = (a.sums(), b.sums());
    let lengths = (dot(a, a) * dot(b, b)).sqrt();
    match a.len() == b.len() && lengths > 0.0 {
        true => dot(a, b) / lengths,
        false => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_in_docs_is_that_of_the_type() {
        let settings = schemars::generate::SchemaSettings::draft2020_12().for_serialize();
        let generator = schemars::SchemaGenerator::new(settings);
        let schema = generator.into_root_schema_for::<Document>();
        let mut schema = serde_json::to_value(schema).unwrap();
        schema["title"] = Document::SCHEMA.into();
        schema["properties"]["schema"]["const"] = Document::SCHEMA.into();
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../docs/schemas/aeolus.imatrix-1.json");
        let text = format!("{schema:#}\n");
        if std::env::var_os("AEOLUS_BLESS").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            found == text,
            "not what the type says; AEOLUS_BLESS=1 writes it"
        );
    }
}
