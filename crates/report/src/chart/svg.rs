//! Charts as SVG documents.

use super::canvas::{Anchor, Shape};
use super::theme::Ink;
use super::{Chart, Theme};
use crate::escape::{html, one_line};

/// The font of charts, and what stands in for it.
const FONTS: &str = "Inter, system-ui, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif";

impl Chart {
    /// The chart as an SVG document. For [`Theme::Page`] it has no size and no background of its
    /// own, and colours that the page sets.
    pub fn svg(&self, theme: Theme) -> String {
        let (width, height) = self.size;
        let title = html(&one_line(&self.title));
        let mut svg = match theme {
            Theme::Page => format!(
                "<svg viewBox=\"0 0 {width} {height}\" font-family=\"{FONTS}\" role=\"img\" \
                 aria-label=\"{title}\">\n"
            ),
            Theme::Light | Theme::Dark => format!(
                "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
                 viewBox=\"0 0 {width} {height}\" font-family=\"{FONTS}\" role=\"img\">\n\
                 <title>{title}</title>\n\
                 <rect width=\"{width}\" height=\"{height}\" fill=\"{}\"/>\n",
                theme.color(Ink::Paper)
            ),
        };
        for shape in &self.shapes {
            svg += &element(shape, theme);
            svg.push('\n');
        }
        svg + "</svg>\n"
    }
}

fn element(shape: &Shape, theme: Theme) -> String {
    match shape {
        Shape::Line { points, ink, width } => {
            let points: Vec<String> = points.iter().map(|(x, y)| format!("{x},{y}")).collect();
            format!(
                "<polyline points=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"{width}\"/>",
                points.join(" "),
                theme.color(*ink)
            )
        }
        Shape::Rect(rect, ink) => format!(
            "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" fill=\"{}\"/>",
            rect.x,
            rect.y,
            rect.width,
            rect.height,
            theme.color(*ink)
        ),
        Shape::Circle { at, radius, ink } => format!(
            "<circle cx=\"{}\" cy=\"{}\" r=\"{radius}\" fill=\"{}\"/>",
            at.0,
            at.1,
            theme.color(*ink)
        ),
        Shape::Text { text, at, form } => {
            let mut attributes = format!(
                "x=\"{}\" y=\"{}\" dy=\"0.5ex\" font-size=\"{:.2}\" fill=\"{}\"",
                at.0,
                at.1,
                form.em(),
                theme.color(form.ink)
            );
            match form.anchor {
                Anchor::Start => {}
                Anchor::Middle => attributes += " text-anchor=\"middle\"",
                Anchor::End => attributes += " text-anchor=\"end\"",
            }
            if form.bold {
                attributes += " font-weight=\"bold\"";
            }
            format!("<text {attributes}>{}</text>", html(text))
        }
    }
}
