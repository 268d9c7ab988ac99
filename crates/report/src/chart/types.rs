//! What each file is made of: bytes by block type, as stacked bars.

use super::canvas::{Anchor, Canvas, Rect, Type, fitted, text_width};
use super::theme::Ink;
use super::{Chart, Format};
use crate::format;
use aeolus_gguf::TensorType;
use std::collections::{BTreeMap, BTreeSet};

/// One file.
#[derive(Clone, Debug)]
pub struct TypesBar {
    /// What to call it.
    pub name: String,
    /// Bytes of each type.
    pub bytes: BTreeMap<TensorType, u64>,
}

const FONT: i32 = 12;
const LINE: i32 = 24;

/// Draws the bars, all at one scale.
pub fn types(title: &str, files: &[TypesBar], format: Format) -> Chart {
    let all: BTreeSet<TensorType> = files.iter().flat_map(|f| f.bytes.keys().copied()).collect();
    let mut types: Vec<TensorType> = all.into_iter().collect();
    types.sort_by(|a, b| a.bits_per_weight().total_cmp(&b.bits_per_weight()));
    let legend = legend(&types, format.width());
    let lines = legend.last().map_or(0, |(_, _, line)| line + 1);
    let size = (
        format.width(),
        lines * 20 + 12 + files.len() as i32 * LINE + 4,
    );
    Chart::draw(title.into(), size, |canvas| {
        for (i, x, line) in &legend {
            let y = line * 20 + 10;
            canvas.rect(
                Rect {
                    x: *x,
                    y: y - 6,
                    width: 12,
                    height: 12,
                },
                color(&types, types[*i]),
            );
            let form = Type::new(FONT, Ink::Muted, Anchor::Start);
            canvas.text(&types[*i].to_string(), (x + 17, y), form);
        }
        paint(canvas, &types, files, lines * 20 + 12, format.width())
    })
}

fn color(types: &[TensorType], ty: TensorType) -> Ink {
    Ink::Series(types.iter().position(|t| *t == ty).unwrap_or(0))
}

/// Where each type's entry goes: index, x, line.
fn legend(types: &[TensorType], width: i32) -> Vec<(usize, i32, i32)> {
    let (mut x, mut line) = (2, 0);
    let mut entries = Vec::new();
    for (i, ty) in types.iter().enumerate() {
        let entry = 17 + text_width(&ty.to_string(), FONT) + 12;
        if x + entry > width && x > 2 {
            (x, line) = (2, line + 1);
        }
        entries.push((i, x, line));
        x += entry;
    }
    entries
}

fn paint(canvas: &mut Canvas, types: &[TensorType], files: &[TypesBar], top: i32, width: i32) {
    let total = |file: &TypesBar| file.bytes.values().sum::<u64>();
    let most = files.iter().map(total).max().unwrap_or(0).max(1);
    let large = most >= 100_000_000;
    let names: Vec<String> = files
        .iter()
        .map(|f| fitted(&f.name, FONT, width / 4))
        .collect();
    let sizes: Vec<String> = files
        .iter()
        .map(|f| format::size(total(f), large))
        .collect();
    let widest = |texts: &[String]| texts.iter().map(|t| text_width(t, FONT)).max().unwrap_or(0);
    let left = widest(&names) + 10;
    let length = f64::from(width - left - widest(&sizes) - 12);
    let at = |bytes: u64| left + (bytes as f64 / most as f64 * length).round() as i32;
    for (i, file) in files.iter().enumerate() {
        let y = top + i as i32 * LINE;
        let middle = y + LINE / 2;
        let name = Type::new(FONT, Ink::Text, Anchor::End);
        canvas.text(&names[i], (left - 8, middle), name);
        let mut sum = 0u64;
        for ty in types {
            let Some(bytes) = file.bytes.get(ty) else {
                continue;
            };
            let (from, to) = (at(sum), at(sum.saturating_add(*bytes)));
            sum = sum.saturating_add(*bytes);
            if to > from {
                let rect = Rect {
                    x: from,
                    y: y + 4,
                    width: to - from,
                    height: LINE - 8,
                };
                canvas.rect(rect, color(types, *ty));
            }
        }
        let size = Type::new(FONT, Ink::Muted, Anchor::Start);
        canvas.text(&sizes[i], (at(sum) + 6, middle), size);
    }
}
