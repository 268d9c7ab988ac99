//! Numbers side by side: one bar each.

use super::canvas::{Anchor, Rect, Type, fitted, text_width};
use super::theme::Ink;
use super::{Chart, Format};
use crate::format;

/// One bar.
#[derive(Clone, Debug)]
pub struct Bar {
    /// What to call it.
    pub name: String,
    /// Its length; not below 0.
    pub value: f64,
    /// It is one to take.
    pub recommended: bool,
}

const FONT: i32 = 12;
const LINE: i32 = 22;

/// Draws the bars with their numbers, at the width of a phone.
pub fn bars(title: &str, bars: &[Bar]) -> Chart {
    let bars: Vec<&Bar> = bars
        .iter()
        .filter(|b| b.value.is_finite() && b.value >= 0.0)
        .collect();
    let width = Format::Narrow.width();
    let size = (width, bars.len() as i32 * LINE + 4);
    Chart::draw(title.into(), size, |canvas| {
        let most = bars.iter().map(|b| b.value).fold(0.0, f64::max).max(1e-12);
        let names: Vec<String> = bars
            .iter()
            .map(|b| fitted(&b.name, FONT, width / 3))
            .collect();
        let texts: Vec<String> = bars
            .iter()
            .map(|b| format::significant(b.value, 3))
            .collect();
        let widest =
            |texts: &[String]| texts.iter().map(|t| text_width(t, FONT)).max().unwrap_or(0);
        let left = widest(&names) + 10;
        let length = f64::from(width - left - widest(&texts) - 12);
        for (i, bar) in bars.iter().enumerate() {
            let middle = 2 + i as i32 * LINE + LINE / 2;
            let end = left + (bar.value / most * length).round() as i32;
            let ink = if bar.recommended {
                Ink::Strong
            } else {
                Ink::Accent
            };
            canvas.text(
                &names[i],
                (left - 8, middle),
                Type::new(FONT, Ink::Text, Anchor::End),
            );
            let rect = Rect {
                x: left,
                y: middle - 7,
                width: (end - left).max(1),
                height: 14,
            };
            canvas.rect(rect, ink);
            canvas.text(
                &texts[i],
                (end + 6, middle),
                Type::new(FONT, Ink::Muted, Anchor::Start),
            );
        }
    })
}
