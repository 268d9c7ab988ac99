//! What charts are drawn with: few shapes, in pixels from the upper left corner.

use super::theme::Ink;

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
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Type {
    /// The height of a line in pixels; see [`Type::em`].
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

    /// The font's size in pixels: its lines are 1.24 times as high.
    pub fn em(&self) -> f32 {
        self.size as f32 / 1.24
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

/// Something drawn.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Shape {
    Line {
        points: Vec<(i32, i32)>,
        ink: Ink,
        width: i32,
    },
    Rect(Rect, Ink),
    Circle {
        at: (i32, i32),
        radius: i32,
        ink: Ink,
    },
    Text {
        text: String,
        at: (i32, i32),
        form: Type,
    },
}

/// A drawing in progress: its shapes, from the lowest to the topmost.
#[derive(Default)]
pub(crate) struct Canvas {
    pub shapes: Vec<Shape>,
}

impl Canvas {
    pub fn line(&mut self, points: &[(i32, i32)], ink: Ink, width: i32) {
        let points = points.to_vec();
        self.shapes.push(Shape::Line { points, ink, width });
    }

    /// A line of short strokes along x.
    pub fn dashes(&mut self, x: (i32, i32), y: i32, ink: Ink) {
        for from in (x.0..x.1).step_by(11) {
            self.line(&[(from, y), ((from + 6).min(x.1), y)], ink, 1);
        }
    }

    pub fn rect(&mut self, rect: Rect, ink: Ink) {
        self.shapes.push(Shape::Rect(rect, ink));
    }

    pub fn circle(&mut self, at: (i32, i32), radius: i32, ink: Ink) {
        self.shapes.push(Shape::Circle { at, radius, ink });
    }

    pub fn text(&mut self, text: &str, at: (i32, i32), form: Type) {
        let text = text.to_owned();
        self.shapes.push(Shape::Text { text, at, form });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_are_no_less_than_the_fonts() {
        for bytes in [crate::png::REGULAR, crate::png::SEMIBOLD] {
            let face = ttf_parser::Face::parse(bytes, 0).unwrap();
            for text in [
                "Q4_K_M",
                "0.0412",
                "attn_output",
                "MMWW@%",
                "fill iii",
                "54.92",
                "–×·",
            ] {
                let glyphs = text.chars().map(|c| face.glyph_index(c).unwrap());
                let units: u16 = glyphs.map(|g| face.glyph_hor_advance(g).unwrap()).sum();
                let width = 100.0 * f32::from(units) / f32::from(face.units_per_em());
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
