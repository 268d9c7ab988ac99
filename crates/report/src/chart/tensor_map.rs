//! A map of a file's tensors: layers across, roles down, a number as colour.

use super::canvas::{Anchor, Canvas, Rect, Type, fitted, text_width};
use super::theme::{HEAT_STEPS, Ink};
use super::{Chart, Format};
use crate::format;
use std::collections::BTreeMap;

/// Most roles and layers that are shown; no known model has more.
const MAX_ROLES: usize = 24;
const MAX_LAYERS: u64 = 512;
/// Roles in the order of the model, before any others.
const ROLES: [&str; 9] = [
    "token_embd",
    "attn_q",
    "attn_k",
    "attn_v",
    "attn_output",
    "ffn_gate",
    "ffn_up",
    "ffn_down",
    "output",
];

/// One tensor's number.
#[derive(Clone, Debug)]
pub struct Cell {
    /// GGUF name: `blk.3.attn_q.weight`.
    pub tensor: String,
    /// The number.
    pub value: f64,
}

/// Which numbers get which colours; the same for all files of a page.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MapScale {
    low: f64,
    high: f64,
    log: bool,
}

impl MapScale {
    /// A scale over all numbers; a logarithmic one passes over what is not positive.
    pub fn new(values: impl Iterator<Item = f64>, log: bool) -> Self {
        let mut scale = Self {
            low: f64::INFINITY,
            high: f64::NEG_INFINITY,
            log,
        };
        for value in values.filter(|v| v.is_finite() && (!log || *v > 0.0)) {
            scale.low = scale.low.min(value);
            scale.high = scale.high.max(value);
        }
        if scale.low > scale.high {
            (scale.low, scale.high) = (1.0, 1.0);
        }
        scale
    }

    /// The step of a number: 0 is the lowest.
    pub(crate) fn step(&self, value: f64) -> usize {
        let scaled = |x: f64| if self.log { x.max(1e-300).ln() } else { x };
        let (low, high) = (scaled(self.low), scaled(self.high));
        if high <= low {
            return HEAT_STEPS / 2;
        }
        let part = (scaled(value) - low) / (high - low);
        ((part * HEAT_STEPS as f64) as usize).min(HEAT_STEPS - 1)
    }

    /// Its ends in words.
    pub(crate) fn ends(&self) -> (String, String) {
        let text = |x: f64| format::significant(x, if self.log { 2 } else { 3 });
        (text(self.low), text(self.high))
    }
}

/// The map to draw.
#[derive(Clone, Debug)]
pub struct TensorMap {
    /// What it shows in a sentence.
    pub title: String,
    /// What the numbers are, for the legend: `relative error`.
    pub unit: String,
    /// The tensors.
    pub cells: Vec<Cell>,
    /// The colours.
    pub scale: MapScale,
}

/// `blk.7.attn_v.weight` is layer 7 and `attn_v`.
pub(crate) fn role_and_layer(tensor: &str) -> (&str, Option<u64>) {
    let name = tensor.strip_suffix(".weight").unwrap_or(tensor);
    let in_layer = name.strip_prefix("blk.").and_then(|rest| {
        let (number, role) = rest.split_once('.')?;
        Some((role, number.parse().ok()?))
    });
    match in_layer {
        Some((role, layer)) => (role, Some(layer)),
        None => (name, None),
    }
}

/// A number and its layer, if it belongs to one.
type Placed = (Option<u64>, f64);
/// A role and its numbers.
type Row<'a> = (&'a str, Vec<Placed>);

const LINE: i32 = 18;
const FONT: i32 = 12;
const LEFT: i32 = 98;

/// Draws it, at the width of a phone.
pub fn tensor_map(map: &TensorMap) -> Chart {
    let mut rows: BTreeMap<(usize, &str), Vec<Placed>> = BTreeMap::new();
    let mut layers = 0;
    for cell in map.cells.iter().filter(|c| c.value.is_finite()) {
        let (role, layer) = role_and_layer(&cell.tensor);
        if layer.is_some_and(|l| l >= MAX_LAYERS) {
            continue;
        }
        layers = layers.max(layer.map_or(0, |l| l + 1));
        let rank = ROLES.iter().position(|r| *r == role).unwrap_or(ROLES.len());
        rows.entry((rank, role))
            .or_default()
            .push((layer, cell.value));
    }
    let rows: Vec<Row<'_>> = rows
        .into_iter()
        .take(MAX_ROLES)
        .map(|((_, role), cells)| (role, cells))
        .collect();
    let height = 8 + rows.len() as i32 * LINE + 20 + 28;
    let size = (Format::Narrow.width(), height);
    Chart::draw(map.title.clone(), size, |canvas| {
        paint(canvas, map, &rows, layers as i32)
    })
}

fn paint(canvas: &mut Canvas, map: &TensorMap, rows: &[Row<'_>], layers: i32) {
    let right = Format::Narrow.width() - 4;
    let column = |layer: i32| LEFT + (right - LEFT) * layer / layers.max(1);
    // Thin gaps between cells, where cells are wide enough.
    let gap = i32::from((right - LEFT) / layers.max(1) >= 4);
    let muted = Type::new(FONT, Ink::Muted, Anchor::Start);
    for (i, (role, cells)) in rows.iter().enumerate() {
        let top = 8 + i as i32 * LINE;
        let name = fitted(role, FONT, LEFT - 8);
        let form = Type {
            anchor: Anchor::End,
            ..muted
        };
        canvas.text(&name, (LEFT - 6, top + LINE / 2), form);
        for (layer, value) in cells {
            let ink = Ink::Heat(map.scale.step(*value));
            let (x, width) = match layer {
                Some(layer) => {
                    let layer = *layer as i32;
                    (
                        column(layer),
                        (column(layer + 1) - column(layer) - gap).max(1),
                    )
                }
                None => (LEFT, 28),
            };
            canvas.rect(
                Rect {
                    x,
                    y: top + 1,
                    width,
                    height: LINE - 2,
                },
                ink,
            );
            if layer.is_none() {
                let text = format::significant(*value, 3);
                canvas.text(&text, (LEFT + 34, top + LINE / 2), muted);
            }
        }
    }
    let below = 8 + rows.len() as i32 * LINE + 9;
    if layers > 0 {
        let every = (1..)
            .map(|i| if i == 1 { 1 } else { (i - 1) * 4 })
            .find(|every| layers / every <= 9);
        let every = every.unwrap_or(layers);
        for layer in (0..layers).step_by(every as usize) {
            let at = (column(layer) + column(layer + 1)) / 2;
            let form = Type {
                anchor: Anchor::Middle,
                ..muted
            };
            canvas.text(&layer.to_string(), (at, below), form);
        }
        canvas.text(
            "layer",
            (LEFT - 6, below),
            Type {
                anchor: Anchor::End,
                ..muted
            },
        );
    }
    legend(canvas, map, below + 22)
}

/// The ramp with its ends.
fn legend(canvas: &mut Canvas, map: &TensorMap, y: i32) {
    let muted = Type::new(FONT, Ink::Muted, Anchor::Start);
    let (low, high) = map.scale.ends();
    let unit = fitted(&map.unit, FONT, 120);
    canvas.text(&unit, (2, y), muted);
    let mut x = 2 + text_width(&unit, FONT) + 12;
    canvas.text(&low, (x, y), muted);
    x += text_width(&low, FONT) + 4;
    for step in 0..HEAT_STEPS {
        let rect = Rect {
            x: x + step as i32 * 12,
            y: y - 6,
            width: 12,
            height: 12,
        };
        canvas.rect(rect, Ink::Heat(step));
    }
    x += HEAT_STEPS as i32 * 12 + 5;
    canvas.text(&high, (x, y), muted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_role_and_layer() {
        assert_eq!(role_and_layer("blk.12.attn_q.weight"), ("attn_q", Some(12)));
        assert_eq!(role_and_layer("token_embd.weight"), ("token_embd", None));
        assert_eq!(role_and_layer("blk.x.y"), ("blk.x.y", None));
        assert_eq!(role_and_layer(""), ("", None));
    }

    #[test]
    fn steps_cover_the_range() {
        let scale = MapScale::new([0.001, 0.1, f64::NAN, 0.0].into_iter(), true);
        assert_eq!(scale.step(0.001), 0);
        assert_eq!(scale.step(0.01), HEAT_STEPS / 2);
        assert_eq!(scale.step(0.1), HEAT_STEPS - 1);
        assert_eq!(scale.step(0.0), 0);
        assert_eq!(
            MapScale::new([].into_iter(), true).step(3.0),
            HEAT_STEPS / 2
        );
    }

    #[test]
    fn hostile_names_do_not_grow_the_map() {
        let mut cells: Vec<Cell> = (0..5000)
            .map(|i| Cell {
                tensor: format!("blk.{i}.role{i}.weight"),
                value: 1.0,
            })
            .collect();
        cells.push(Cell {
            tensor: format!("blk.{}.x", u64::MAX),
            value: 1.0,
        });
        let map = TensorMap {
            title: String::new(),
            unit: String::new(),
            scale: MapScale::new(cells.iter().map(|c| c.value), false),
            cells,
        };
        let chart = tensor_map(&map);
        assert!(chart.size.1 < 600 && chart.svg(crate::chart::Theme::Light).len() < 100_000);
    }
}
