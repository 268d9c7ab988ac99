//! From facts and results to charts.

use crate::chart::{
    Axis, Bar, Cell, Chart, Format, MapScale, Point, TensorMap, Tradeoff, TypesBar, bars,
    tensor_map, tradeoff, types,
};
use crate::documents::Figures as Quality;
use crate::{File, Recommended, Report};
use std::collections::HashMap;

/// A chart and what to call its file.
#[derive(Clone, Debug)]
pub struct Figure {
    /// `size-kld`, `types`, `errors-Q4_K_M`: letters, digits, `-`, `_` and `.`.
    pub name: String,
    /// The chart for pages and pictures.
    pub chart: Chart,
    /// The same for phones, where it has another shape.
    pub narrow: Option<Chart>,
}

/// All charts that the results allow.
#[derive(Clone, Debug)]
pub(crate) struct Figures {
    pub kld: Option<Figure>,
    pub perplexity: Option<Figure>,
    pub predicted: Option<Figure>,
    pub types: Figure,
    /// One for each file that has one: its index and its map.
    pub maps: Vec<(usize, Figure)>,
    pub importance: Option<Figure>,
    pub speed: Vec<Figure>,
}

impl Figures {
    pub fn new(report: &Report<'_>, recommended: &Recommended) -> Self {
        let names = names(&report.collection.files);
        Self {
            kld: size_against(report, &names, recommended, Loss::Kld),
            perplexity: size_against(report, &names, recommended, Loss::Perplexity),
            predicted: predicted(report),
            types: types_figure(report, &names),
            maps: maps(report, &names),
            importance: importance(report),
            speed: speed(report, &names, recommended),
        }
    }

    pub fn into_list(self) -> Vec<Figure> {
        let maps = self.maps.into_iter().map(|(_, figure)| figure);
        let first = self.kld.into_iter().chain(self.perplexity);
        first
            .chain(self.predicted)
            .chain([self.types])
            .chain(maps)
            .chain(self.importance)
            .chain(self.speed)
            .collect()
    }
}

/// What files are called in charts: their method, or their name where methods repeat.
pub(crate) fn names(files: &[File]) -> Vec<String> {
    let mut counts: HashMap<&str, u32> = HashMap::new();
    for file in files {
        *counts.entry(&file.method).or_default() += 1;
    }
    files
        .iter()
        .map(|file| match counts[file.method.as_str()] {
            1 => file.method.clone(),
            _ => file.name.trim_end_matches(".gguf").to_owned(),
        })
        .collect()
}

#[derive(Clone, Copy)]
enum Loss {
    Kld,
    Perplexity,
}

impl Loss {
    fn of(self, quality: &Quality) -> Option<f64> {
        let figure = match self {
            Self::Kld => quality.kld_mean,
            Self::Perplexity => quality.ppl,
        };
        figure.map(|f| f.value).filter(|v| v.is_finite())
    }
}

fn size_against(
    report: &Report<'_>,
    names: &[String],
    recommended: &Recommended,
    loss: Loss,
) -> Option<Figure> {
    let quality = report.quality?;
    let files = report
        .collection
        .files
        .iter()
        .zip(names)
        .zip(&recommended.files);
    let points: Vec<Point> = files
        .filter_map(|((file, name), recommended)| {
            Some(Point {
                name: name.clone(),
                bytes: file.bytes,
                loss: loss.of(quality.of(file)?)?,
                recommended: *recommended,
            })
        })
        .collect();
    if points.is_empty() {
        return None;
    }
    let model = &report.collection.model.name;
    let chart = match loss {
        Loss::Kld => Tradeoff {
            title: format!("{model}: file size against mean KL divergence from the source"),
            loss: "Mean KL divergence (nats, lower is better)".into(),
            axis: Axis::Log,
            points,
            base: None,
        },
        Loss::Perplexity => Tradeoff {
            title: format!("{model}: file size against perplexity"),
            loss: "Perplexity (lower is better)".into(),
            axis: Axis::Linear,
            points,
            base: quality
                .measured
                .base
                .as_ref()
                .and_then(|base| base.ppl)
                .map(|ppl| ppl.value)
                .filter(|ppl| ppl.is_finite())
                .map(|ppl| {
                    (
                        ppl,
                        format!("unquantized {}", crate::format::perplexity(ppl)),
                    )
                }),
        },
    };
    Some(Figure {
        name: match loss {
            Loss::Kld => "size-kld".into(),
            Loss::Perplexity => "size-perplexity".into(),
        },
        chart: tradeoff(&chart, Format::Wide),
        narrow: Some(tradeoff(&chart, Format::Narrow)),
    })
}

/// The frontier of chosen types, and named file types beside it: chosen ones stand out.
fn predicted(report: &Report<'_>) -> Option<Figure> {
    let forecast = report.predicted?;
    let points = forecast.files.iter().filter_map(|file| {
        Some(Point {
            name: file.label().to_owned(),
            bytes: file.bytes,
            loss: file.predicted_kld.filter(|kld| *kld > 0.0)?,
            recommended: file.chosen.is_some(),
        })
    });
    let chart = Tradeoff {
        title: format!(
            "{}: file size against the mean KL divergence that is predicted",
            forecast.name
        ),
        loss: "Predicted mean KL divergence (nats, lower is better)".into(),
        axis: Axis::Log,
        points: points.collect(),
        base: None,
    };
    Some(Figure {
        name: "size-predicted".into(),
        chart: tradeoff(&chart, Format::Wide),
        narrow: Some(tradeoff(&chart, Format::Narrow)),
    })
}

fn types_figure(report: &Report<'_>, names: &[String]) -> Figure {
    let files = &report.collection.files;
    let bars: Vec<TypesBar> = files
        .iter()
        .zip(names)
        .map(|(file, name)| TypesBar {
            name: name.clone(),
            bytes: file
                .shares()
                .iter()
                .map(|(ty, share)| (*ty, share.bytes))
                .collect(),
        })
        .collect();
    let title = format!(
        "{}: bytes of each block type by file",
        report.collection.model.name
    );
    Figure {
        name: "types".into(),
        chart: types(&title, &bars, Format::Wide),
        narrow: Some(types(&title, &bars, Format::Narrow)),
    }
}

/// Errors of tensors where they were measured, else bits per weight.
fn maps(report: &Report<'_>, names: &[String]) -> Vec<(usize, Figure)> {
    let measured = report.errors.is_some();
    let mut cells: Vec<(usize, Vec<Cell>)> = Vec::new();
    for (i, file) in report.collection.files.iter().enumerate() {
        let of_file: Vec<Cell> = match report.errors {
            Some(errors) => match errors.of(file) {
                Some(errors) => {
                    let matrices: HashMap<&str, bool> = file
                        .tensors
                        .iter()
                        .map(|t| (t.name.as_str(), t.matrix))
                        .collect();
                    errors
                        .tensors
                        .iter()
                        .filter(|t| matrices.get(t.name.as_str()).copied().unwrap_or(false))
                        .filter_map(|t| {
                            Some(Cell {
                                tensor: t.name.clone(),
                                value: t.relative?,
                            })
                        })
                        .collect()
                }
                None => Vec::new(),
            },
            None => file
                .tensors
                .iter()
                .filter(|t| t.matrix)
                .map(|t| Cell {
                    tensor: t.name.clone(),
                    value: t.ty.bits_per_weight(),
                })
                .collect(),
        };
        if !of_file.is_empty() {
            cells.push((i, of_file));
        }
    }
    let values = cells
        .iter()
        .flat_map(|(_, cells)| cells.iter().map(|c| c.value));
    let scale = MapScale::new(values, measured);
    let (what, unit, prefix) = if measured {
        ("relative error of each tensor", "relative error", "errors")
    } else {
        ("bits per weight of each tensor", "bits per weight", "bits")
    };
    cells
        .into_iter()
        .map(|(i, cells)| {
            let map = TensorMap {
                title: format!("{}: {what} by layer and role", names[i]),
                unit: unit.into(),
                cells,
                scale,
            };
            let figure = Figure {
                name: format!("{prefix}-{}", file_part(&names[i])),
                chart: tensor_map(&map),
                narrow: None,
            };
            (i, figure)
        })
        .collect()
}

/// How large the activations are that each tensor is multiplied with.
fn importance(report: &Report<'_>) -> Option<Figure> {
    let tensors = &report.importance?.tensors;
    let cells = tensors.iter().map(|tensor| Cell {
        tensor: tensor.tensor.clone(),
        value: tensor.mean,
    });
    let cells: Vec<Cell> = cells.collect();
    let model = &report.collection.model.name;
    let map = TensorMap {
        title: format!("{model}: mean importance of each tensor by layer and role"),
        unit: "mean square".into(),
        scale: MapScale::new(cells.iter().map(|cell| cell.value), true),
        cells,
    };
    Some(Figure {
        name: "importance".into(),
        chart: tensor_map(&map),
        narrow: None,
    })
}

fn speed(report: &Report<'_>, names: &[String], recommended: &Recommended) -> Vec<Figure> {
    let Some(speed) = report.speed else {
        return Vec::new();
    };
    let kinds = [
        ("speed-prompt", "tokens of a prompt read in a second"),
        ("speed-generation", "tokens written in a second"),
    ];
    let mut figures = Vec::new();
    for (kind, title) in kinds {
        let list: Vec<Bar> = report
            .collection
            .files
            .iter()
            .enumerate()
            .filter_map(|(i, file)| {
                let found = speed.of(file)?;
                let value = match kind {
                    "speed-prompt" => found.prompt_tokens_per_second,
                    _ => found.generation_tokens_per_second,
                };
                Some(Bar {
                    name: names[i].clone(),
                    value: value?,
                    recommended: recommended.files[i],
                })
            })
            .collect();
        if !list.is_empty() {
            let title = format!("{}: {title}", report.collection.model.name);
            figures.push(Figure {
                name: kind.into(),
                chart: bars(&title, &list),
                narrow: None,
            });
        }
    }
    figures
}

/// A name as part of a file name.
fn file_part(name: &str) -> String {
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() || "-_.".contains(c) {
            c
        } else {
            '-'
        }
    };
    name.chars().take(80).map(plain).collect()
}
