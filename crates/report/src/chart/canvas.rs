//! What charts are drawn with: few shapes, in pixels from the upper left corner.

use super::Chart;
use super::theme::Ink;
use crate::Error;
use plotters::backend::SVGBackend;
use plotters::coord::Shift;
use plotters::drawing::{DrawingArea, IntoDrawingArea};
use plotters::element::{Circle, EmptyElement, PathElement, Rectangle, Text};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, FontStyle, IntoFont, ShapeStyle, TextStyle};

/// The font of charts, and what stands in for it.
pub(crate) const FONTS: &str =
    "Inter, system-ui, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif";

/// A rectangle in pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rect {
    pub x: i32,
    pub y: i32,
    pub width: i32,
    pub height: i32,
}

impl Rect {
    pub fn right(&self) -> i32 {
        self.x + self.width
    }

    pub fn bottom(&self) -> i32 {
        self.y + self.height
    }

    pub fn intersects(&self, other: &Self) -> bool {
        self.x < other.right()
            && other.x < self.right()
            && self.y < other.bottom()
            && other.y < self.bottom()
    }

    pub fn contains(&self, other: &Self) -> bool {
        self.x <= other.x
            && self.y <= other.y
            && other.right() <= self.right()
            && other.bottom() <= self.bottom()
    }

    /// Larger by `by` on every side.
    pub fn grown(&self, by: i32) -> Self {
        Self {
            x: self.x - by,
            y: self.y - by,
            width: self.width + 2 * by,
            height: self.height + 2 * by,
        }
    }
}

/// Where a text's position is in it, across; down it is always the middle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Anchor {
    Start,
    Middle,
    End,
}

/// How a text looks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Type {
    pub size: i32,
    pub bold: bool,
    pub ink: Ink,
    pub anchor: Anchor,
}

impl Type {
    pub const fn new(size: i32, ink: Ink, anchor: Anchor) -> Self {
        Self {
            size,
            bold: false,
            ink,
            anchor,
        }
    }
}

/// The width of a line of text, in pixels: that of the chart's font, and a tenth for others.
pub(crate) fn text_width(text: &str, size: i32) -> i32 {
    // In hundredths of the size, SemiBold; letters of other scripts are as wide as high.
    let width: i32 = text
        .chars()
        .map(|c| match c {
            'i' | 'j' | 'l' | '.' | ',' | ':' | ';' | '\'' | '|' | '!' | ' ' | 'I' => 30,
            'f' | 't' | 'r' | '(' | ')' | '[' | ']' | '/' | '-' => 42,
            'm' | 'w' | 'M' | 'W' | '@' | '%' => 95,
            'A'..='Z' | '_' | '+' | '=' | '<' | '>' | '&' => 72,
            c if c.is_ascii() => 65,
            '–' | '×' | '→' | '·' => 65,
            _ => 100,
        })
        .sum();
    (width * size * 11 + 999) / 1000
}

/// A text cut so that it is at most `width` wide.
pub(crate) fn fitted(text: &str, size: i32, width: i32) -> String {
    let text = crate::escape::one_line(text);
    if text_width(&text, size) <= width {
        return text;
    }
    let mut cut = String::new();
    for c in text.chars() {
        if text_width(&cut, size) + text_width(&c.to_string(), size) + size > width {
            break;
        }
        cut.push(c);
    }
    cut + "…"
}

type Drawn<T> = Result<T, String>;

/// A drawing in progress.
pub(crate) struct Canvas<'a> {
    area: DrawingArea<SVGBackend<'a>, Shift>,
}

/// Draws a chart of a size.
pub(crate) fn draw(
    chart: &'static str,
    title: String,
    (width, height): (i32, i32),
    paint: impl FnOnce(&Canvas<'_>) -> Drawn<()>,
) -> Result<Chart, Error> {
    let mut svg = String::new();
    let size = (width.max(1) as u32, height.max(1) as u32);
    let drawn = {
        let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        let canvas = Canvas { area };
        paint(&canvas).and_then(|()| canvas.area.present().map_err(|e| e.to_string()))
    };
    drawn.map_err(|problem| Error::Chart { chart, problem })?;
    // Only the elements: each use has a head of its own.
    let body = svg
        .split_once(">\n")
        .and_then(|(_, rest)| rest.trim_end().strip_suffix("</svg>"))
        .unwrap_or_default()
        .to_owned();
    Ok(Chart {
        title,
        width,
        height,
        body,
    })
}

impl Canvas<'_> {
    pub fn line(&self, points: &[(i32, i32)], ink: Ink, width: u32) -> Drawn<()> {
        let style = ShapeStyle::from(&ink.placeholder()).stroke_width(width);
        self.area
            .draw(&PathElement::new(points.to_vec(), style))
            .map_err(|e| e.to_string())
    }

    /// A line of short strokes along x.
    pub fn dashes(&self, x: (i32, i32), y: i32, ink: Ink) -> Drawn<()> {
        let mut from = x.0;
        while from < x.1 {
            self.line(&[(from, y), ((from + 6).min(x.1), y)], ink, 1)?;
            from += 11;
        }
        Ok(())
    }

    pub fn rect(&self, rect: Rect, ink: Ink) -> Drawn<()> {
        let corners = [(rect.x, rect.y), (rect.right(), rect.bottom())];
        let style = ink.placeholder().filled();
        self.area
            .draw(&Rectangle::new(corners, style))
            .map_err(|e| e.to_string())
    }

    pub fn circle(&self, at: (i32, i32), radius: i32, ink: Ink) -> Drawn<()> {
        let style = ink.placeholder().filled();
        self.area
            .draw(&Circle::new(at, radius, style))
            .map_err(|e| e.to_string())
    }

    pub fn text(&self, text: &str, at: (i32, i32), form: Type) -> Drawn<()> {
        let horizontal = match form.anchor {
            Anchor::Start => HPos::Left,
            Anchor::Middle => HPos::Center,
            Anchor::End => HPos::Right,
        };
        let mut font = (FONTS, form.size).into_font();
        if form.bold {
            font = font.style(FontStyle::Bold);
        }
        let color = form.ink.placeholder();
        let style = TextStyle::from(font)
            .color(&color)
            .pos(Pos::new(horizontal, VPos::Center));
        self.area
            .draw(&(EmptyElement::at(at) + Text::new(text.to_owned(), (0, 0), style)))
            .map_err(|e| e.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_are_no_less_than_the_fonts() {
        let face = |bytes: &'static [u8]| {
            let mut fonts = resvg::usvg::fontdb::Database::new();
            fonts.load_font_data(bytes.to_vec());
            fonts
        };
        for bytes in [crate::png::REGULAR, crate::png::SEMIBOLD] {
            let options = resvg::usvg::Options {
                fontdb: std::sync::Arc::new(face(bytes)),
                ..Default::default()
            };
            for text in [
                "Q4_K_M",
                "0.0412",
                "attn_output",
                "MMWW@%",
                "fill iii",
                "54.92",
                "–×·",
            ] {
                let svg = format!(
                    "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"900\" height=\"100\"><text x=\"0\" y=\"50\" font-family=\"Inter\" font-size=\"100\">{text}</text></svg>"
                );
                let tree = resvg::usvg::Tree::from_str(&svg, &options).unwrap();
                let width = tree.root().abs_bounding_box().width();
                let estimate = text_width(text, 100) as f32;
                assert!(
                    width > 0.0 && estimate >= width * 1.02,
                    "{text}: {estimate} for {width}"
                );
                assert!(estimate < width * 1.6, "{text}: {estimate} for {width}");
            }
        }
    }

    #[test]
    fn long_text_is_cut() {
        assert_eq!(fitted("Q4_K_M", 12, 100), "Q4_K_M");
        let cut = fitted(&"W".repeat(100), 12, 100);
        assert!(cut.ends_with('…') && text_width(&cut, 12) <= 100, "{cut}");
    }
}
