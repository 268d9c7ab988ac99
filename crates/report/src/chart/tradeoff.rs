//! Size against a loss: the curve that choosing a file is about.

use super::canvas::{Anchor, Canvas, Rect, Type, fitted, text_width};
use super::labels::{self, Label, Surroundings};
use super::scale::{Scale, log_tick_text, tick_text};
use super::theme::Ink;
use super::{Chart, Format};
use crate::recommend::frontier;

/// One file.
#[derive(Clone, Debug)]
pub struct Point {
    /// What to call it: `Q4_K_M`.
    pub name: String,
    /// Bytes.
    pub bytes: u64,
    /// The loss: lower is better.
    pub loss: f64,
    /// It is one to take.
    pub recommended: bool,
}

/// How the loss is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Axis {
    /// Evenly.
    Linear,
    /// By its logarithm.
    Log,
}

/// The chart to draw.
#[derive(Clone, Debug)]
pub struct Tradeoff {
    /// What it shows in a sentence.
    pub title: String,
    /// What the loss is: `Mean KL divergence (nats)`.
    pub loss: String,
    /// How it is drawn.
    pub axis: Axis,
    /// The files.
    pub points: Vec<Point>,
    /// The unquantized model's loss and its name, as a line.
    pub base: Option<(f64, String)>,
}

const RADIUS: i32 = 5;
const FONT: i32 = 13;
const SMALL: i32 = 12;

/// Draws it. Points whose loss is not a number are left out.
pub fn tradeoff(chart: &Tradeoff, format: Format) -> Chart {
    let size = match format {
        Format::Wide => (format.width(), 470),
        Format::Narrow => (format.width(), 400),
    };
    Chart::draw(chart.title.clone(), size, |canvas| {
        paint(canvas, chart, size, format)
    })
}

fn paint(canvas: &mut Canvas, chart: &Tradeoff, (width, height): (i32, i32), format: Format) {
    let points: Vec<&Point> = chart.points.iter().filter(|p| p.loss.is_finite()).collect();
    let unit = if points.iter().any(|p| p.bytes >= 100_000_000) {
        1e9
    } else {
        1e6
    };
    let base = chart.base.as_ref().filter(|(loss, _)| loss.is_finite());
    let losses = || {
        points
            .iter()
            .map(|p| p.loss)
            .chain(base.map(|(loss, _)| *loss))
    };

    // The frame's left side depends on the widest tick, its ticks on the frame's height.
    let (top, bottom) = (34, height - 46);
    let y = match chart.axis {
        Axis::Linear => Scale::linear(losses(), (bottom, top)),
        Axis::Log => Scale::log(losses(), (bottom, top)),
    };
    let y_ticks = y.ticks(7);
    let y_texts: Vec<String> = y_ticks
        .iter()
        .map(|tick| match chart.axis {
            Axis::Linear => tick_text(*tick, &y_ticks),
            Axis::Log => log_tick_text(*tick),
        })
        .collect();
    let widest = y_texts
        .iter()
        .map(|t| text_width(t, SMALL))
        .max()
        .unwrap_or(0);
    let (left, right) = (widest + 14, width - 12);
    let sizes = points.iter().map(|p| p.bytes as f64 / unit);
    let x = Scale::linear(sizes, (left, right));

    for (tick, text) in y_ticks.iter().zip(&y_texts) {
        let at = y.at(*tick);
        if at > bottom - 6 {
            // It would lie on the axis.
            continue;
        }
        canvas.line(&[(left, at), (right, at)], Ink::Grid, 1);
        canvas.text(
            text,
            (left - 8, at),
            Type::new(SMALL, Ink::Muted, Anchor::End),
        );
    }
    let x_ticks = x.ticks(match format {
        Format::Wide => 9,
        Format::Narrow => 5,
    });
    for tick in &x_ticks {
        let at = x.at(*tick);
        canvas.line(&[(at, bottom), (at, bottom + 5)], Ink::Muted, 1);
        let text = tick_text(*tick, &x_ticks);
        // The last one must not leave the picture.
        if at + text_width(&text, SMALL) / 2 <= width && at - text_width(&text, SMALL) / 2 >= 0 {
            canvas.text(
                &text,
                (at, bottom + 15),
                Type::new(SMALL, Ink::Muted, Anchor::Middle),
            );
        }
    }
    canvas.line(&[(left, bottom), (right, bottom)], Ink::Muted, 1);
    let title = Type::new(FONT, Ink::Muted, Anchor::Start);
    canvas.text(&fitted(&chart.loss, FONT, width - 8), (2, 12), title);
    let size_title = format!("File size ({})", if unit == 1e9 { "GB" } else { "MB" });
    let end = Type::new(FONT, Ink::Muted, Anchor::End);
    canvas.text(&size_title, (right, height - 10), end);

    let frame = Rect {
        x: left + 2,
        y: top - 12,
        width: right - left - 2,
        height: bottom - top + 8,
    };
    let pairs: Vec<_> = points
        .iter()
        .map(|p| Some((p.bytes as f64, p.loss)))
        .collect();
    let best = frontier(&pairs);
    let position = |p: &Point| (x.at(p.bytes as f64 / unit), y.at(p.loss));
    let mut line: Vec<(i32, i32)> = points
        .iter()
        .zip(&best)
        .filter(|(_, b)| **b)
        .map(|(p, _)| position(p))
        .collect();
    line.sort_unstable();
    let mut taken = Vec::new();
    if let Some((loss, name)) = base {
        let at = y.at(*loss);
        canvas.dashes((left, right), at, Ink::Faint);
        taken.push(Rect {
            x: left,
            y: at - 1,
            width: right - left,
            height: 2,
        });
        let name = fitted(name, SMALL, frame.width - 16);
        let marks: Vec<(i32, i32)> = points.iter().map(|p| position(p)).collect();
        // If the name is too long, its first word alone.
        let short = name.split(' ').next().unwrap_or(&name);
        for name in [&name, short] {
            if let Some(text) = beside_line(name, at, &frame, &marks, &line) {
                let form = Type::new(SMALL, Ink::Muted, Anchor::Start);
                canvas.text(name, (text.x, text.y + text.height / 2), form);
                taken.push(text);
                break;
            }
        }
    }

    if line.len() > 1 {
        canvas.line(&line, Ink::Accent, 2);
    }
    let names: Vec<String> = points
        .iter()
        .map(|p| fitted(&p.name, FONT, frame.width / 3))
        .collect();
    let wanted: Vec<Label> = points
        .iter()
        .zip(&names)
        .map(|(p, name)| Label {
            at: position(p),
            width: text_width(name, FONT),
            height: FONT + 3,
        })
        .collect();
    let around = Surroundings {
        frame,
        radius: RADIUS,
        taken: &taken,
        line: &line,
    };
    let positions = labels::arrange(&wanted, &around);
    // Leaders lie under the marks, names above all.
    for (label, position) in wanted.iter().zip(&positions) {
        if let Some(leader) = position.and_then(|position| labels::leader(label, &position)) {
            canvas.line(&leader, Ink::Faint, 1);
        }
    }
    for (p, best) in points.iter().zip(&best) {
        let at = position(p);
        canvas.circle(at, RADIUS + 2, Ink::Paper);
        match (p.recommended, *best) {
            (true, _) => {
                canvas.circle(at, RADIUS + 2, Ink::Strong);
                canvas.circle(at, RADIUS - 2, Ink::Paper);
            }
            (false, true) => canvas.circle(at, RADIUS, Ink::Accent),
            (false, false) => canvas.circle(at, RADIUS - 1, Ink::Faint),
        }
    }
    for ((p, name), rect) in points.iter().zip(&names).zip(&positions) {
        let Some(rect) = rect else { continue };
        let ink = if p.recommended {
            Ink::Strong
        } else {
            Ink::Text
        };
        let mut form = Type::new(FONT, ink, Anchor::Middle);
        form.bold = p.recommended;
        canvas.text(
            name,
            (rect.x + rect.width / 2, rect.y + rect.height / 2),
            form,
        );
    }
}

/// A position for the name of a line across the chart: above or below it, at either end or between,
/// where neither points nor the frontier are.
fn beside_line(
    name: &str,
    y: i32,
    frame: &Rect,
    marks: &[(i32, i32)],
    frontier: &[(i32, i32)],
) -> Option<Rect> {
    let width = text_width(name, SMALL);
    let space = frame.width - width - 8;
    [0, 8, 4, 2, 6, 1, 7, 3, 5]
        .into_iter()
        .map(|part| frame.x + 4 + space * part / 8)
        .flat_map(|x| [(x, y - 18), (x, y + 3)])
        .map(|(x, y)| Rect {
            x,
            y,
            width,
            height: 15,
        })
        .find(|rect| {
            let clear = rect.grown(RADIUS + 3);
            let free = |(x, y): &(i32, i32)| {
                !clear.intersects(&Rect {
                    x: *x,
                    y: *y,
                    width: 1,
                    height: 1,
                })
            };
            frame.contains(rect) && marks.iter().all(free) && !labels::crosses(rect, frontier)
        })
}
