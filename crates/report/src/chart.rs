//! Charts: size against quality, a map of tensors by layer and role, types in each file, speed.
//!
//! A chart is a list of few kinds of shapes, each with what its colour is for. [`Chart::svg`]
//! writes them in the colours of a [`Theme`], [`crate::png`] paints them.
//! Every text's width is known from the font's own metrics, with a margin for the fonts that
//! other programs take instead, so that labels do not overlap.

mod bars;
mod canvas;
mod labels;
mod scale;
mod svg;
mod tensor_map;
mod theme;
mod tradeoff;
mod types;

use canvas::Canvas;
pub(crate) use canvas::{Anchor, Shape, Type};
pub(crate) use theme::Ink;

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
#[derive(Clone, Debug, PartialEq)]
pub struct Chart {
    /// What it shows, for those who cannot see it.
    title: String,
    /// Pixels across and down.
    pub(crate) size: (i32, i32),
    /// From the lowest to the topmost.
    pub(crate) shapes: Vec<Shape>,
}

impl Chart {
    /// Draws a chart of a size.
    fn draw(title: String, (width, height): (i32, i32), paint: impl FnOnce(&mut Canvas)) -> Self {
        let mut canvas = Canvas::default();
        paint(&mut canvas);
        Self {
            title,
            size: (width.max(1), height.max(1)),
            shapes: canvas.shapes,
        }
    }
}
