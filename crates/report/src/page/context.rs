//! What the page's template is filled with. All text is raw here; the template escapes it.

use super::Report;
use crate::chart::Theme;
use crate::documents::Estimate;
use crate::escape::one_line;
use crate::figures::{Figure, Figures, names};
use crate::{File, RAM_OVERHEAD_BYTES, Recommended, format};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Most tensors that get a row.
const MAX_TENSORS: usize = 4000;
/// Rows of the table of worst tensors.
const WORST: usize = 15;

#[derive(Debug, Serialize)]
pub(super) struct Context {
    title: String,
    facts: Vec<(&'static str, String)>,
    forecast: bool,
    memory_context: Option<u64>,
    measured: Option<String>,
    choice: Vec<Row>,
    choice_measured: bool,
    files: Vec<Row>,
    columns: Columns,
    kld: Option<Pair>,
    perplexity: Option<Pair>,
    predicted: Option<Pair>,
    types: Pair,
    type_columns: Vec<TypeColumn>,
    type_rows: Vec<(String, Vec<String>)>,
    maps: Vec<(String, String)>,
    maps_measured: bool,
    importance: Option<Importance>,
    worst: Vec<Vec<String>>,
    tensor_rows: Vec<(String, Vec<String>)>,
    tensors_left_out: usize,
    speed: Vec<(&'static str, String)>,
    version: &'static str,
}

/// A chart in both shapes, as SVG for the page.
#[derive(Debug, Serialize)]
struct Pair {
    wide: String,
    narrow: Option<String>,
}

/// Which columns have figures.
#[derive(Debug, Default, Serialize)]
struct Columns {
    ram: bool,
    perplexity: bool,
    kld: bool,
    spread: bool,
    same_top: bool,
    rms_dp: bool,
    beaten_by: bool,
    prompt_speed: bool,
    generation_speed: bool,
}

#[derive(Clone, Debug, Default, Serialize)]
struct Row {
    name: String,
    file: String,
    recommended: bool,
    frontier: bool,
    beaten_by: Option<String>,
    bits_per_weight: String,
    size: String,
    max_ram: String,
    ram: Option<String>,
    perplexity: Option<String>,
    kld: Option<String>,
    kld_99: Option<String>,
    kld_max: Option<String>,
    same_top: Option<String>,
    rms_dp: Option<String>,
    prompt_speed: Option<String>,
    generation_speed: Option<String>,
    use_case: &'static str,
}

/// What is shown of an importance matrix.
#[derive(Debug, Serialize)]
struct Importance {
    map: String,
    texts: String,
    chunks: u32,
    chunk_tokens: u32,
    /// Tensors with experts that no token reached: the tensor, how many, of how many, which.
    unseen: Vec<(String, usize, usize, String)>,
}

#[derive(Debug, Serialize)]
struct TypeColumn {
    name: String,
    bits: String,
}

impl Context {
    pub(super) fn new(report: &Report<'_>, recommended: &Recommended, figures: &Figures) -> Self {
        let collection = report.collection;
        let names = names(&collection.files);
        let rows = rows(report, recommended, &names);
        let columns = Columns {
            ram: rows.iter().any(|r| r.ram.is_some()),
            perplexity: rows.iter().any(|r| r.perplexity.is_some()),
            kld: rows.iter().any(|r| r.kld.is_some()),
            spread: rows
                .iter()
                .any(|r| r.kld_99.is_some() || r.kld_max.is_some()),
            same_top: rows.iter().any(|r| r.same_top.is_some()),
            rms_dp: rows.iter().any(|r| r.rms_dp.is_some()),
            beaten_by: rows.iter().any(|r| r.beaten_by.is_some()),
            prompt_speed: rows.iter().any(|r| r.prompt_speed.is_some()),
            generation_speed: rows.iter().any(|r| r.generation_speed.is_some()),
        };
        let (type_columns, type_rows) = type_table(&collection.files, &names);
        let (tensor_rows, tensors_left_out) = tensor_table(report);
        Self {
            title: one_line(&collection.model.name),
            facts: facts(report),
            forecast: collection.forecast,
            memory_context: columns.ram.then(|| collection.memory_context()),
            measured: measured(report),
            choice: rows.iter().filter(|row| row.recommended).cloned().collect(),
            choice_measured: recommended.measured,
            files: rows,
            columns,
            kld: figures.kld.as_ref().map(Pair::new),
            perplexity: figures.perplexity.as_ref().map(Pair::new),
            predicted: figures.predicted.as_ref().map(Pair::new),
            types: Pair::new(&figures.types),
            type_columns,
            type_rows,
            maps: figures
                .maps
                .iter()
                .map(|(i, figure)| (names[*i].clone(), figure.chart.svg(Theme::Page)))
                .collect(),
            maps_measured: report.errors.is_some(),
            importance: importance(report, figures),
            worst: worst(report, &names),
            tensor_rows,
            tensors_left_out,
            speed: figures
                .speed
                .iter()
                .map(|figure| {
                    let heading = match figure.name.as_str() {
                        "speed-prompt" => "Reading a prompt",
                        _ => "Writing an answer",
                    };
                    (heading, figure.chart.svg(Theme::Page))
                })
                .collect(),
            version: env!("CARGO_PKG_VERSION"),
        }
    }
}

impl Pair {
    fn new(figure: &Figure) -> Self {
        Self {
            wide: figure.chart.svg(Theme::Page),
            narrow: figure.narrow.as_ref().map(|chart| chart.svg(Theme::Page)),
        }
    }
}

fn facts(report: &Report<'_>) -> Vec<(&'static str, String)> {
    let model = &report.collection.model;
    let files = &report.collection.files;
    let large = files.iter().any(|f| f.bytes >= 100_000_000);
    let mut facts = vec![("Parameters", format::count(model.weights))];
    let mut add = |name, value: Option<u64>| {
        if let Some(value) = value {
            facts.push((name, format::grouped(value)));
        }
    };
    add("Layers", model.layers);
    add("Context", model.context);
    add("Vocabulary", model.vocabulary);
    if !model.architecture.is_empty() {
        let name = model.model_type.as_ref().unwrap_or(&model.architecture);
        facts.push(("Architecture", one_line(name)));
    }
    facts.push(("Files", files.len().to_string()));
    let sizes = files.iter().map(|f| f.bytes);
    if let (Some(low), Some(high)) = (sizes.clone().min(), sizes.max()) {
        let text = match low == high {
            true => format::size(low, large),
            false => format!(
                "{} – {}",
                format::size(low, large),
                format::size(high, large)
            ),
        };
        facts.push(("Size", text));
    }
    facts
}

/// What the quality figures are from, in a sentence.
fn measured(report: &Report<'_>) -> Option<String> {
    let quality = report.quality?;
    let mut text = String::from("Measured");
    let name = one_line(quality.text_name());
    let measured = &quality.measured;
    if !name.is_empty() {
        text += &format!(" on {name}");
    }
    if let (Some(chunks), Some(context)) = (measured.chunks, measured.n_ctx) {
        text += &format!(", {chunks} chunks of {context} tokens");
    }
    text += ", against the unquantized model";
    if let Some(ppl) = measured.base.as_ref().and_then(|base| base.ppl) {
        text += &format!(", whose perplexity is {}", format::perplexity(ppl.value));
    }
    Some(text + ".")
}

fn importance(report: &Report<'_>, figures: &Figures) -> Option<Importance> {
    let (found, figure) = (report.importance?, figures.importance.as_ref()?);
    let unseen = found.tensors.iter().map(|tensor| (tensor, tensor.unseen()));
    let unseen = unseen.filter(|(_, unseen)| !unseen.is_empty());
    Some(Importance {
        map: figure.chart.svg(Theme::Page),
        texts: one_line(&found.datasets.join(", ")),
        chunks: found.chunks,
        chunk_tokens: found.chunk_tokens,
        unseen: unseen
            .map(|(tensor, unseen)| {
                let which: Vec<String> = unseen.iter().map(usize::to_string).collect();
                let name = one_line(&tensor.tensor);
                (name, unseen.len(), tensor.seen.len(), which.join(", "))
            })
            .collect(),
    })
}

fn rows(report: &Report<'_>, recommended: &Recommended, names: &[String]) -> Vec<Row> {
    let collection = report.collection;
    let large = collection.files.iter().any(|f| f.bytes >= 100_000_000);
    let kv = collection
        .model
        .kv_bytes_per_token
        .and_then(|bytes| bytes.checked_mul(collection.memory_context()));
    let row = |(i, file): (usize, &File)| {
        let quality = report
            .quality
            .and_then(|q| q.of(file))
            .cloned()
            .unwrap_or_default();
        let speed = report
            .speed
            .and_then(|s| s.of(file))
            .cloned()
            .unwrap_or_default();
        let plain = |figure: Option<Estimate>, text: &dyn Fn(f64) -> String| {
            figure.map(|f| f.value).filter(|v| v.is_finite()).map(text)
        };
        let four = |x: f64| format::significant(x, 4);
        let rate = |x: Option<f64>| {
            x.filter(|x| x.is_finite())
                .map(|x| format::significant(x, 3))
        };
        Row {
            name: names[i].clone(),
            file: one_line(&file.name),
            recommended: recommended.files[i],
            frontier: recommended.frontier[i],
            beaten_by: recommended.beaten_by[i].map(|by| names[by].clone()),
            bits_per_weight: format!("{:.3}", file.bits_per_weight()),
            size: format::size(file.bytes, large),
            max_ram: format::gigabytes(file.bytes.saturating_add(RAM_OVERHEAD_BYTES)),
            ram: kv
                .and_then(|kv| kv.checked_add(file.bytes))
                .map(|b| format::size(b, large)),
            perplexity: quality
                .ppl
                .filter(|ppl| ppl.value.is_finite())
                .map(|ppl| format::with_error(ppl, format::perplexity)),
            kld: plain(quality.kld_mean, &four),
            kld_99: quality.kld_99.map(four),
            kld_max: quality.kld_max.map(four),
            same_top: plain(quality.same_top, &format::percent),
            rms_dp: plain(quality.rms_dp, &format::percent),
            prompt_speed: rate(speed.prompt_tokens_per_second),
            generation_speed: rate(speed.generation_tokens_per_second),
            use_case: file.file_type.map_or("", |ty| ty.description()),
        }
    };
    collection.files.iter().enumerate().map(row).collect()
}

/// Tensors and share of bytes of each type in each file.
fn type_table(files: &[File], names: &[String]) -> (Vec<TypeColumn>, Vec<(String, Vec<String>)>) {
    let types: BTreeSet<_> = files
        .iter()
        .flat_map(|f| f.tensors.iter().map(|t| t.ty))
        .collect();
    let mut types: Vec<_> = types.into_iter().collect();
    types.sort_by(|a, b| a.bits_per_weight().total_cmp(&b.bits_per_weight()));
    let rows = files
        .iter()
        .zip(names)
        .map(|(file, name)| {
            let shares = file.shares();
            let total = file.tensor_bytes().max(1) as f64;
            let cell = |ty| {
                shares.get(ty).map_or_else(String::new, |share| {
                    let percent = share.bytes as f64 * 100.0 / total;
                    format!("{} · {percent:.1}%", share.tensors)
                })
            };
            (name.clone(), types.iter().map(cell).collect())
        })
        .collect();
    let columns = types
        .iter()
        .map(|ty| TypeColumn {
            name: ty.to_string(),
            bits: ty.bits_per_weight().to_string(),
        })
        .collect();
    (columns, rows)
}

/// File, tensor, type, relative error, RMSE, largest error, cosine; worst first.
fn worst(report: &Report<'_>, names: &[String]) -> Vec<Vec<String>> {
    let Some(errors) = report.errors else {
        return Vec::new();
    };
    let mut all = Vec::new();
    for (file, name) in report.collection.files.iter().zip(names) {
        for tensor in errors
            .of(file)
            .map(|e| e.tensors.as_slice())
            .unwrap_or_default()
        {
            if let Some(relative) = tensor.relative.filter(|r| r.is_finite()) {
                all.push((relative, name, tensor));
            }
        }
    }
    all.sort_by(|a, b| b.0.total_cmp(&a.0));
    let text = |x: Option<f64>, digits| x.map_or("–".into(), |x| format::significant(x, digits));
    all.into_iter()
        .take(WORST)
        .map(|(relative, name, t)| {
            vec![
                name.clone(),
                one_line(&t.name),
                one_line(&t.ty),
                format::significant(relative, 3),
                text(t.rmse, 3),
                text(t.max, 3),
                t.cosine.map_or("–".into(), |c| format!("{c:.6}")),
            ]
        })
        .collect()
}

/// For each tensor, its error or else its type in each file; and how many tensors are left out.
fn tensor_table(report: &Report<'_>) -> (Vec<(String, Vec<String>)>, usize) {
    let files = &report.collection.files;
    let mut table: BTreeMap<usize, (String, Vec<String>)> = BTreeMap::new();
    let mut order: HashMap<&str, usize> = HashMap::new();
    let mut left_out = BTreeSet::new();
    for (i, file) in files.iter().enumerate() {
        let errors: HashMap<&str, f64> = report
            .errors
            .and_then(|e| e.of(file))
            .map(|e| {
                let pairs = e.tensors.iter();
                pairs
                    .filter_map(|t| Some((t.name.as_str(), t.relative?)))
                    .collect()
            })
            .unwrap_or_default();
        for tensor in file.tensors.iter().filter(|t| t.matrix) {
            let next = order.len();
            if next >= MAX_TENSORS && !order.contains_key(tensor.name.as_str()) {
                left_out.insert(tensor.name.as_str());
                continue;
            }
            let row = *order.entry(&tensor.name).or_insert(next);
            let empty = || (one_line(&tensor.name), vec![String::new(); files.len()]);
            let (_, cells) = table.entry(row).or_insert_with(empty);
            cells[i] = match errors.get(tensor.name.as_str()) {
                Some(error) => format!("{} {}", tensor.ty, format::significant(*error, 2)),
                None => tensor.ty.to_string(),
            };
        }
    }
    (table.into_values().collect(), left_out.len())
}
