//! Charts as SVG, drawn by plotters: size against quality, a map of tensors by layer and role,
//! types in each file, speed.
//!
//! A chart is drawn once, in placeholder colours; [`Chart::svg`] fills in those of a [`Theme`].
//! Every text's width is known from the font's own metrics, with some room for the fonts that
//! other programs take instead, so labels are placed where they do not meet.

mod bars;
mod canvas;
mod labels;
mod scale;
mod tensor_map;
mod theme;
mod tradeoff;
mod types;

pub use bars::{Bar, bars};
pub use tensor_map::{Cell, MapScale, TensorMap, tensor_map};
pub use theme::{HEAT_STEPS, SERIES, Theme};
pub use tradeoff::{Axis, Point, Tradeoff, tradeoff};
pub use types::{TypesBar, types};

/// How wide a chart is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For pages and pictures, 920 pixels.
    Wide,
    /// For phones, 360 pixels.
    Narrow,
}

impl Format {
    /// Pixels across.
    pub(crate) const fn width(self) -> i32 {
        match self {
            Self::Wide => 920,
            Self::Narrow => 360,
        }
    }
}

/// A drawn chart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chart {
    /// What it shows, for those who cannot see it.
    title: String,
    width: i32,
    height: i32,
    /// Elements in placeholder colours.
    body: String,
}

impl Chart {
    /// The chart as an SVG document. For [`Theme::Page`] it has no size and no background of its
    /// own, and colours that the page sets.
    pub fn svg(&self, theme: Theme) -> String {
        let (width, height) = (self.width, self.height);
        let title = crate::escape::html(&crate::escape::one_line(&self.title));
        let body = theme.fill_in(&self.body);
        if theme == Theme::Page {
            return format!(
                "<svg viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{title}\">\n{body}</svg>\n"
            );
        }
        let background = theme.background();
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
             viewBox=\"0 0 {width} {height}\" role=\"img\">\n<title>{title}</title>\n\
             <rect width=\"{width}\" height=\"{height}\" fill=\"{background}\"/>\n{body}</svg>\n"
        )
    }
}
