//! Colours: what each is for, and what it is in a theme.

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

/// The colours that stand alone, with the names of their CSS variables.
const PLAIN: [(Ink, &str); 7] = [
    (Ink::Text, "text"),
    (Ink::Muted, "muted"),
    (Ink::Grid, "grid"),
    (Ink::Accent, "accent"),
    (Ink::Strong, "strong"),
    (Ink::Faint, "faint"),
    (Ink::Paper, "paper"),
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
    fn all() -> impl Iterator<Item = Self> {
        PLAIN
            .into_iter()
            .map(|(ink, _)| ink)
            .chain((0..HEAT_STEPS).map(Self::Heat))
            .chain((0..SERIES).map(Self::Series))
    }

    /// Its CSS variable.
    fn variable(self) -> String {
        match self {
            Self::Heat(step) => format!("--heat-{}", step.min(HEAT_STEPS - 1)),
            Self::Series(i) => format!("--series-{}", i % SERIES),
            plain => format!("--{}", PLAIN[plain.index()].1),
        }
    }

    /// Where a colour that stands alone is in the lists of them.
    fn index(self) -> usize {
        PLAIN.iter().position(|(ink, _)| *ink == self).unwrap_or(0)
    }
}

impl Theme {
    /// The colour, as an attribute of SVG has it.
    pub(crate) fn color(self, ink: Ink) -> String {
        let (plain, heat, series) = match self {
            Self::Light => (LIGHT, HEAT_LIGHT, SERIES_LIGHT),
            Self::Dark => (DARK, HEAT_DARK, SERIES_DARK),
            Self::Page => return format!("var({})", ink.variable()),
        };
        let color = match ink {
            Ink::Heat(step) => heat[step.min(HEAT_STEPS - 1)],
            Ink::Series(i) => series[i % SERIES],
            ink => plain[ink.index()],
        };
        color.into()
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
    use std::collections::HashSet;

    #[test]
    fn every_ink_has_its_own_variable_and_colour() {
        let variables: HashSet<String> = Ink::all().map(Ink::variable).collect();
        assert_eq!(variables.len(), Ink::all().count());
        for (light, dark) in Ink::all().map(|i| (Theme::Light.color(i), Theme::Dark.color(i))) {
            assert_ne!(light, dark);
        }
        assert!(Theme::Dark.variables().contains("--heat-0:#1c2640;"));
        assert_eq!(Theme::Page.color(Ink::Heat(100)), "var(--heat-8)");
    }
}
