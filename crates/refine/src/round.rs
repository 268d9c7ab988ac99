//! What rounding a few columns is given, and what it gives.

use aeolus_quant::Isa;

/// Scale and minimum that columns are rounded under, for each row.
#[derive(Clone, Copy)]
pub(crate) struct Under<F> {
    pub scale: F,
    pub min: F,
    /// The reciprocal of the scale, 0 for a scale of 0.
    pub inverse: F,
}

/// Columns that are due.
pub(crate) struct Due<'a, F, const N: usize> {
    pub weights: &'a [F; N],
    /// What errors before them make of them.
    pub carried: &'a [F; N],
    /// Rows of the factor from their diagonals on, at least to the last of the columns.
    pub factor: &'a [&'a [f32]],
    pub under: Under<F>,
}

/// Columns rounded.
pub(crate) struct Rounded<F, const N: usize> {
    pub codes: [F; N],
    /// `w - q`
    pub errors: [F; N],
    /// `z`
    pub entries: [F; N],
}

/// Rounds `N` columns at a time so that the sum of the squares of their entries is small.
pub(crate) trait Round<S: Isa, const N: usize>: Copy {
    /// Rounds.
    fn round(self, isa: S, due: &Due<'_, S::F, N>) -> Rounded<S::F, N>;
}
