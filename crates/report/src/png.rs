//! Charts as pictures: their shapes, painted with the fonts that reports embed.

use crate::Error;
use crate::chart::{Anchor, Chart, Ink, Shape, Theme, Type};
use tiny_skia::{Color, FillRule, Paint, Path, PathBuilder, Pixmap, Rect, Stroke, Transform};
use ttf_parser::{Face, GlyphId, OutlineBuilder};

/// The charts' font, cut down to what charts need.
pub(crate) const REGULAR: &[u8] = include_bytes!("../fonts/Inter-Regular.otf");
/// The same, for what is emphasized.
pub(crate) const SEMIBOLD: &[u8] = include_bytes!("../fonts/Inter-SemiBold.otf");

/// A chart as PNG bytes, `scale` pixels for each of its own. [`Theme::Page`] counts as light.
/// Characters that the fonts lack are drawn as boxes.
///
/// # Errors
/// [`Error::Picture`] if the picture has no size, or too many pixels.
pub fn encode(chart: &Chart, theme: Theme, scale: f32) -> Result<Vec<u8>, Error> {
    let theme = match theme {
        Theme::Page => Theme::Light,
        theme => theme,
    };
    let face = |bytes| Face::parse(bytes, 0).map_err(|e| Error::Picture(e.to_string()));
    let fonts = [face(REGULAR)?, face(SEMIBOLD)?];
    let (width, height) = chart.size;
    let pixels = |length: i32| (length as f32 * scale).ceil().clamp(1.0, 16384.0) as u32;
    let mut picture = Pixmap::new(pixels(width), pixels(height))
        .ok_or_else(|| Error::Picture(format!("{width} x {height} is not a size")))?;
    picture.fill(color(theme, Ink::Paper));
    for shape in &chart.shapes {
        let (path, ink, line) = outline(shape, &fonts);
        // An empty text has no outline.
        let Some(path) = path else { continue };
        let mut paint = Paint::default();
        paint.set_color(color(theme, ink));
        let to_pixels = Transform::from_scale(scale, scale);
        match line {
            Some(line) => picture.stroke_path(&path, &paint, &line, to_pixels, None),
            None => picture.fill_path(&path, &paint, FillRule::Winding, to_pixels, None),
        }
    }
    picture
        .encode_png()
        .map_err(|e| Error::Picture(e.to_string()))
}

/// The colour of an ink in a theme that has colours of its own.
fn color(theme: Theme, ink: Ink) -> Color {
    let hex = theme.color(ink);
    let number = u32::from_str_radix(hex.trim_start_matches('#'), 16).unwrap_or(0);
    let [_, r, g, b] = number.to_be_bytes();
    Color::from_rgba8(r, g, b, 255)
}

/// A shape's outline in the chart's pixels, its ink, and how wide it is if it is a line.
fn outline(shape: &Shape, fonts: &[Face<'_>; 2]) -> (Option<Path>, Ink, Option<Stroke>) {
    let float = |n: i32| n as f32;
    match shape {
        Shape::Line { points, ink, width } => {
            let mut path = PathBuilder::new();
            for (i, (x, y)) in points.iter().enumerate() {
                match i {
                    0 => path.move_to(float(*x), float(*y)),
                    _ => path.line_to(float(*x), float(*y)),
                }
            }
            let width = float(*width);
            let stroke = Stroke {
                width,
                ..Stroke::default()
            };
            (path.finish(), *ink, Some(stroke))
        }
        Shape::Rect(rect, ink) => {
            let (x, y, width, height) = (rect.x, rect.y, rect.width, rect.height);
            let rect = Rect::from_xywh(float(x), float(y), float(width), float(height));
            (rect.map(PathBuilder::from_rect), *ink, None)
        }
        Shape::Circle { at, radius, ink } => {
            let path = PathBuilder::from_circle(float(at.0), float(at.1), float(*radius));
            (path, *ink, None)
        }
        Shape::Text { text, at, form } => {
            let face = &fonts[usize::from(form.bold)];
            (letters(text, *at, form, face), form.ink, None)
        }
    }
}

/// The outlines of a line of text, one letter after the other.
fn letters(text: &str, (x, y): (i32, i32), form: &Type, face: &Face<'_>) -> Option<Path> {
    let scale = form.em() / f32::from(face.units_per_em());
    let glyphs: Vec<(GlyphId, f32)> = text
        .chars()
        .map(|c| {
            let glyph = face.glyph_index(c).unwrap_or_default();
            let advance = face.glyph_hor_advance(glyph).unwrap_or(0);
            (glyph, f32::from(advance) * scale)
        })
        .collect();
    let width: f32 = glyphs.iter().map(|(_, advance)| advance).sum();
    let before = match form.anchor {
        Anchor::Start => 0.0,
        Anchor::Middle => width / 2.0,
        Anchor::End => width,
    };
    let mut pen = Pen {
        path: PathBuilder::new(),
        x: x as f32 - before,
        // The middle of small letters is at the position, as in the SVG.
        baseline: y as f32 + f32::from(face.x_height().unwrap_or(0)) * scale / 2.0,
        scale,
    };
    for (glyph, advance) in glyphs {
        face.outline_glyph(glyph, &mut pen);
        pen.x += advance;
    }
    pen.path.finish()
}

/// Takes a glyph's outline from the font's units, where up is positive, to the chart's pixels.
struct Pen {
    path: PathBuilder,
    x: f32,
    baseline: f32,
    scale: f32,
}

impl Pen {
    fn at(&self, x: f32, y: f32) -> (f32, f32) {
        (self.x + x * self.scale, self.baseline - y * self.scale)
    }
}

impl OutlineBuilder for Pen {
    fn move_to(&mut self, x: f32, y: f32) {
        let (x, y) = self.at(x, y);
        self.path.move_to(x, y);
    }

    fn line_to(&mut self, x: f32, y: f32) {
        let (x, y) = self.at(x, y);
        self.path.line_to(x, y);
    }

    fn quad_to(&mut self, x1: f32, y1: f32, x: f32, y: f32) {
        let ((x1, y1), (x, y)) = (self.at(x1, y1), self.at(x, y));
        self.path.quad_to(x1, y1, x, y);
    }

    fn curve_to(&mut self, x1: f32, y1: f32, x2: f32, y2: f32, x: f32, y: f32) {
        let (first, second) = (self.at(x1, y1), self.at(x2, y2));
        let (x, y) = self.at(x, y);
        self.path
            .cubic_to(first.0, first.1, second.0, second.1, x, y);
    }

    fn close(&mut self) {
        self.path.close();
    }
}
