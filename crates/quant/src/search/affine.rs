//! Scale and minimum of a sub-block whose values are `scale * q - min`, `q` unsigned.
//! Used by Q2_K, Q4_K and Q5_K, and with a guide by Q4_1 and Q5_1; in ggml the search is called
//! `make_qkx2_quants`, with a guide `make_qkx3_quants`.
//!
//! Start from the plain choice (smallest value to 0, largest to `q_max`). Then try a row of
//! rounding steps around it; for each, the quants give a weighted least squares problem for scale
//! and minimum with a closed solution, and the solution with the smallest weighted error stays.

use super::nearest_int;

/// Constants of a search.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AffineSearch {
    /// Largest quant: 3, 15 or 31.
    pub(crate) q_max: u8,
    /// First candidate: the range is divided in `q_max + first` steps.
    pub(crate) first: f32,
    /// Distance between candidates, in steps.
    pub(crate) delta: f32,
    /// Number of candidates.
    pub(crate) candidates: u8,
    /// Weigh absolute instead of squared errors.
    pub(crate) absolute: bool,
}

/// What a search finds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Affine {
    pub(crate) scale: f32,
    /// Subtracted from `scale * q`; the values' minimum with its sign turned, so mostly >= 0.
    pub(crate) min: f32,
}

impl AffineSearch {
    /// The search when there is a guide: more candidates, closer to each other.
    pub(crate) const fn guided(q_max: u8) -> Self {
        Self {
            q_max,
            first: -0.9,
            delta: 0.05,
            candidates: 37,
            absolute: false,
        }
    }

    /// Steps in the range of the values for a candidate.
    #[inline(always)]
    pub(crate) fn steps(&self, candidate: u8) -> f32 {
        self.first + self.delta * f32::from(candidate) + f32::from(self.q_max)
    }

    /// Finds scale and minimum of `x` under `weights`, and the quants that belong to them.
    ///
    /// All sums run in the order of the elements.
    pub(crate) fn fit<const N: usize>(
        &self,
        x: &[f32; N],
        weights: &[f32; N],
        quants: &mut [u8; N],
    ) -> Affine {
        let q_max = i32::from(self.q_max);
        let (mut min, mut max) = (x[0], x[0]);
        let mut sum_w = weights[0];
        let mut sum_x = sum_w * x[0];
        for i in 1..N {
            if x[i] < min {
                min = x[i];
            }
            if x[i] > max {
                max = x[i];
            }
            sum_w += weights[i];
            sum_x += weights[i] * x[i];
        }
        if min > 0.0 {
            min = 0.0;
        }
        if max == min {
            quants.fill(0);
            return Affine {
                scale: 0.0,
                min: -min,
            };
        }

        let inverse = f32::from(self.q_max) / (max - min);
        let mut scale = 1.0 / inverse;
        let mut best_error = 0.0;
        for i in 0..N {
            quants[i] = nearest_int(inverse * (x[i] - min)).clamp(0, q_max) as u8;
            let diff = scale * f32::from(quants[i]) + min - x[i];
            best_error += weights[i] * self.deviation(diff);
        }

        let mut trial = [0u8; N];
        for candidate in 0..self.candidates {
            // The minimum of the best solution so far takes part in the next trial.
            let inverse = self.steps(candidate) / (max - min);
            let (mut sum_l, mut sum_l2, mut sum_xl) = (0.0f32, 0.0f32, 0.0f32);
            for i in 0..N {
                let q = nearest_int(inverse * (x[i] - min)).clamp(0, q_max);
                trial[i] = q as u8;
                let (w, l) = (weights[i], q as f32);
                sum_l += w * l;
                sum_l2 += w * l * l;
                sum_xl += w * l * x[i];
            }
            let determinant = sum_w * sum_l2 - sum_l * sum_l;
            if determinant > 0.0 {
                let mut this_scale = (sum_w * sum_xl - sum_x * sum_l) / determinant;
                let mut this_min = (sum_l2 * sum_x - sum_l * sum_xl) / determinant;
                if this_min > 0.0 {
                    this_min = 0.0;
                    this_scale = sum_xl / sum_l2;
                }
                let mut error = 0.0;
                for i in 0..N {
                    let diff = this_scale * f32::from(trial[i]) + this_min - x[i];
                    error += weights[i] * self.deviation(diff);
                }
                if error < best_error {
                    *quants = trial;
                    best_error = error;
                    scale = this_scale;
                    min = this_min;
                }
            }
        }
        Affine { scale, min: -min }
    }

    #[inline(always)]
    fn deviation(&self, diff: f32) -> f32 {
        if self.absolute {
            diff.abs()
        } else {
            diff * diff
        }
    }
}
