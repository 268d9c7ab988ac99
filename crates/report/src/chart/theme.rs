//! Colours: placeholders while drawing, then those of a theme.

use plotters::style::RGBColor;

/// Steps of the ramp that maps numbers to colours.
pub const HEAT_STEPS: usize = 9;
/// Colours of categories.
pub const SERIES: usize = 10;

/// Where a chart's colours come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Theme {
    /// Dark on white.
    Light,
    /// Light on near-black.
    Dark,
    /// CSS variables of the report page, which follow the reader's choice.
    Page,
}

/// What a colour is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ink {
    /// Text.
    Text,
    /// Text that is less important, axes.
    Muted,
    /// Grid lines.
    Grid,
    /// The data.
    Accent,
    /// What is recommended.
    Strong,
    /// What is beside the point: beaten files, the reference line.
    Faint,
    /// The page behind everything.
    Paper,
    /// A step of the ramp, low to high.
    Heat(usize),
    /// A category.
    Series(usize),
}

const PLAIN: [Ink; 7] = [
    Ink::Text,
    Ink::Muted,
    Ink::Grid,
    Ink::Accent,
    Ink::Strong,
    Ink::Faint,
    Ink::Paper,
];
const NAMES: [&str; 7] = [
    "text", "muted", "grid", "accent", "strong", "faint", "paper",
];
const LIGHT: [&str; 7] = [
    "#1b1f27", "#5c6675", "#e3e7ed", "#3a6fd8", "#c2410c", "#9aa4b2", "#ffffff",
];
const DARK: [&str; 7] = [
    "#e8ebf0", "#98a2b3", "#2a313c", "#7aa7ff", "#ff9d5c", "#667082", "#12161c",
];
const HEAT_LIGHT: [&str; HEAT_STEPS] = [
    "#f3f0e4", "#e6e4c0", "#cfdca0", "#a9cf93", "#78bd92", "#479f95", "#2a7c92", "#205884",
    "#1b3065",
];
const HEAT_DARK: [&str; HEAT_STEPS] = [
    "#1c2640", "#1e3d66", "#1d597c", "#257688", "#3f948b", "#68b088", "#9bc98a", "#d0df9c",
    "#fbf4c8",
];
const SERIES_LIGHT: [&str; SERIES] = [
    "#7b3294", "#3a6fd8", "#1d9a8a", "#7fae3c", "#d9a514", "#e0712b", "#c2395b", "#8a6d5a",
    "#5d6b80", "#a9b2bf",
];
const SERIES_DARK: [&str; SERIES] = [
    "#b57bd0", "#7aa7ff", "#4cc7b6", "#a6d35f", "#f0c64a", "#ff9d5c", "#f0708f", "#c2a48f",
    "#93a1b8", "#566173",
];

impl Ink {
    /// The number of its placeholder.
    fn number(self) -> u8 {
        match self {
            Self::Heat(step) => 0x20 + step.min(HEAT_STEPS - 1) as u8,
            Self::Series(i) => 0x40 + (i % SERIES) as u8,
            plain => PLAIN.iter().position(|ink| *ink == plain).unwrap_or(0) as u8,
        }
    }

    /// The colour to draw with: no theme has it.
    pub(crate) fn placeholder(self) -> RGBColor {
        RGBColor(1, 2, self.number())
    }

    fn all() -> impl Iterator<Item = Self> {
        PLAIN
            .into_iter()
            .chain((0..HEAT_STEPS).map(Self::Heat))
            .chain((0..SERIES).map(Self::Series))
    }

    /// Its CSS variable.
    fn variable(self) -> String {
        match self {
            Self::Heat(step) => format!("--heat-{step}"),
            Self::Series(i) => format!("--series-{i}"),
            plain => format!("--{}", NAMES[usize::from(plain.number())]),
        }
    }
}

impl Theme {
    /// The colour that the page replaces by its own.
    fn color(self, ink: Ink) -> String {
        let number = usize::from(ink.number());
        let (plain, heat, series) = match self {
            Self::Light => (LIGHT, HEAT_LIGHT, SERIES_LIGHT),
            Self::Dark => (DARK, HEAT_DARK, SERIES_DARK),
            Self::Page => return format!("var({})", ink.variable()),
        };
        match ink {
            Ink::Heat(_) => heat[number - 0x20],
            Ink::Series(_) => series[number - 0x40],
            _ => plain[number],
        }
        .into()
    }

    pub(super) fn background(self) -> String {
        self.color(Ink::Paper)
    }

    /// Replaces placeholders. Only whole attribute values are: text cannot hold the quotes.
    pub(super) fn fill_in(self, svg: &str) -> String {
        let mut out = svg.to_owned();
        for ink in Ink::all() {
            let placeholder = format!("\"#0102{:02X}\"", ink.number());
            if out.contains(&placeholder) {
                out = out.replace(&placeholder, &format!("\"{}\"", self.color(ink)));
            }
        }
        out
    }

    /// The colours as CSS declarations of the variables that [`Theme::Page`] refers to.
    pub(crate) fn variables(self) -> String {
        Ink::all()
            .map(|ink| format!("{}:{};", ink.variable(), self.color(ink)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_ink_has_its_own_placeholder_and_colour() {
        for theme in [Theme::Light, Theme::Dark, Theme::Page] {
            for ink in Ink::all() {
                let RGBColor(r, g, b) = ink.placeholder();
                let svg =
                    format!("<a fill=\"#{r:02X}{g:02X}{b:02X}\">#010200 &quot;#010200&quot;</a>");
                let filled = theme.fill_in(&svg);
                assert_eq!(
                    filled,
                    format!(
                        "<a fill=\"{}\">#010200 &quot;#010200&quot;</a>",
                        theme.color(ink)
                    )
                );
            }
        }
        assert!(Theme::Dark.variables().contains("--heat-0:#1c2640;"));
    }
}
