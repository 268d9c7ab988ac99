//! Charts as pictures.

use crate::Error;
use crate::chart::{Chart, Theme};
use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{Options, Tree, fontdb};
use std::sync::{Arc, LazyLock};

/// The charts' font, cut down to what charts need.
pub(crate) const REGULAR: &[u8] = include_bytes!("../fonts/Inter-Regular.otf");
/// The same, for what is emphasized.
pub(crate) const SEMIBOLD: &[u8] = include_bytes!("../fonts/Inter-SemiBold.otf");

/// The charts' font, and the system's for characters that it lacks.
static FONTS: LazyLock<Arc<fontdb::Database>> = LazyLock::new(|| {
    let mut fonts = fontdb::Database::new();
    fonts.load_font_data(REGULAR.to_vec());
    fonts.load_font_data(SEMIBOLD.to_vec());
    fonts.load_system_fonts();
    Arc::new(fonts)
});

/// A chart as PNG bytes, `scale` pixels for each of its own. [`Theme::Page`] counts as light.
///
/// # Errors
/// [`Error::Chart`] if the picture cannot be made.
pub fn encode(chart: &Chart, theme: Theme, scale: f32) -> Result<Vec<u8>, Error> {
    let error = |problem: String| Error::Chart {
        chart: "a PNG",
        problem,
    };
    let theme = if theme == Theme::Page {
        Theme::Light
    } else {
        theme
    };
    let options = Options {
        fontdb: FONTS.clone(),
        font_family: "Inter".into(),
        ..Options::default()
    };
    let tree = Tree::from_str(&chart.svg(theme), &options).map_err(|e| error(e.to_string()))?;
    let size = tree.size();
    let pixels = |length: f32| (length * scale).ceil().clamp(1.0, 16384.0) as u32;
    let mut picture = Pixmap::new(pixels(size.width()), pixels(size.height()))
        .ok_or_else(|| error("it has no size".into()))?;
    resvg::render(
        &tree,
        Transform::from_scale(scale, scale),
        &mut picture.as_mut(),
    );
    picture.encode_png().map_err(|e| error(e.to_string()))
}
