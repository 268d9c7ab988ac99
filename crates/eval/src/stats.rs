//! Means with error bars, and quantiles.

use aeolus_job::Figure;
use serde::Serialize;

/// A figure and one standard error of it.
///
/// The error is that of a mean over independent positions, carried through the figure's formula:
/// it says how much another text of the same kind could move the figure, not how exactly this
/// one was computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Estimate {
    /// The figure.
    pub value: f64,
    /// One standard error.
    pub error: f64,
}

impl Estimate {
    pub(crate) fn figure(self, of: fn(f64, f64) -> Figure) -> Figure {
        of(self.value, self.error)
    }
}

/// Mean of `count` numbers from their sum and the sum of their squares.
pub(crate) fn mean(sum: f64, sum_of_squares: f64, count: u64) -> Estimate {
    let value = sum / count as f64;
    Estimate {
        value,
        error: covariance_of_means(sum, sum, sum_of_squares, count).sqrt(),
    }
}

/// Covariance of the means of two numbers known at the same `count` positions; 0 for fewer than
/// two positions, never below 0 for a number with itself.
pub(crate) fn covariance_of_means(sum_a: f64, sum_b: f64, sum_ab: f64, count: u64) -> f64 {
    if count < 2 {
        return 0.0;
    }
    let n = count as f64;
    let covariance = (sum_ab / n - sum_a / n * (sum_b / n)) / (n - 1.0);
    if sum_a == sum_b {
        covariance.max(0.0)
    } else {
        covariance
    }
}

/// A share of `hits` among `count`, with the error of a binomial distribution.
pub(crate) fn share(hits: u64, count: u64) -> Estimate {
    let value = hits as f64 / count as f64;
    let error = if count < 2 {
        0.0
    } else {
        (value * (1.0 - value) / (count - 1) as f64).sqrt()
    };
    Estimate { value, error }
}

/// `exp` of an estimate: of a mean of logarithms.
pub(crate) fn exp(log: Estimate) -> Estimate {
    let value = log.value.exp();
    Estimate {
        value,
        error: value * log.error,
    }
}

/// The `q` quantile (0 to 1) of numbers in rising order: linear between the two that lie around
/// position `q * (n - 1)`, as numpy and llama-perplexity have it.
pub(crate) fn quantile(sorted: &[f32], q: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else {
        return f64::NAN;
    };
    let place = q.clamp(0.0, 1.0) * last as f64;
    let below = place.floor() as usize;
    let part = place - below as f64;
    let (a, b) = (sorted[below], sorted[(below + 1).min(last)]);
    f64::from(a) + part * (f64::from(b) - f64::from(a))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mean_has_the_error_of_its_sample() {
        // 1, 2, 3, 4: mean 2.5, mean square 7.5, variance 1.25, over n - 1 = 3.
        let found = mean(10.0, 30.0, 4);
        assert_eq!(found.value, 2.5);
        assert!((found.error - (1.25f64 / 3.0).sqrt()).abs() < 1e-15);
        assert_eq!(mean(5.0, 25.0, 1).error, 0.0);
        // 0.1 three times: rounding must not make a negative variance.
        assert!(mean(0.1 + 0.1 + 0.1, 3.0 * 0.1 * 0.1, 3).error >= 0.0);
        let share = share(3, 4);
        assert_eq!((share.value, share.error), (0.75, 0.25));
        let ppl = exp(Estimate {
            value: 2.0f64.ln(),
            error: 0.1,
        });
        assert!((ppl.value - 2.0).abs() < 1e-15 && (ppl.error - 0.2).abs() < 1e-15);
    }

    #[test]
    fn numbers_that_move_together_have_covariance() {
        // (1, 10), (2, 20), (3, 30): covariance 20/3 over the sample, over n - 1 for the means.
        let found = covariance_of_means(6.0, 60.0, 140.0, 3);
        assert!((found - 20.0 / 3.0 / 2.0).abs() < 1e-12);
        let opposite = covariance_of_means(6.0, 60.0, 100.0, 3);
        assert!((opposite + 20.0 / 3.0 / 2.0).abs() < 1e-12);
    }

    #[test]
    fn quantiles_are_linear_between_neighbours() {
        let values = [1.0, 2.0, 4.0, 8.0];
        assert_eq!(quantile(&values, 0.0), 1.0);
        assert_eq!(quantile(&values, 0.5), 3.0);
        assert!((quantile(&values, 0.9) - (4.0 + 0.7 * 4.0)).abs() < 1e-12);
        assert_eq!(quantile(&values, 1.0), 8.0);
        assert_eq!(quantile(&[7.0], 0.99), 7.0);
        assert!(quantile(&[], 0.5).is_nan());
    }
}
