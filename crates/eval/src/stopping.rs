//! When a comparison has read enough of its text.
//!
//! A comparison is made to say how far files are from their base and which of them is nearer. It has
//! read enough when it can say so:
//!
//! - **known**: the standard error of every file's mean divergence is below 3% of that mean, or below
//!   1e-8 nats, which is what the rounding of `precise` mode costs and less than any format's divergence;
//! - **ordered**: of two files or more, each is apart from its neighbour in the order of mean divergence
//!   by at least 4 standard errors of their difference. Both read the same positions, so the difference
//!   is taken at each of them and has a far smaller error than the two means. Errors over positions are
//!   too small by a factor of up to 2 where passages of a text differ (positions of one window resemble
//!   each other), which is why 4 are asked for and not 2. Files that are the same to within 1e-8 nats are
//!   not put in order.
//!
//! Either will do. Windows are read from the start of the text in batches: every file reads a batch
//! before any reads the next, so that all are compared over the same windows. The first batch has 4.
//! After each one the rule gives the factor by which the windows at hand fall short, errors falling as
//! the root of their number, and the next batch goes as far as that, but no further than twice the
//! windows at hand, since an error is an estimate, too: few batches, each of which opens every model
//! again, and few windows more than needed. The ends of batches are multiples of 4. They follow from the
//! results alone, so that neither the number of threads nor an interruption changes which windows are
//! read.

use crate::stats::{self, Estimate};

/// A standard error below this part of the mean makes the mean known.
pub const KNOWN: f64 = 0.03;
/// Standard errors of their difference that two files must be apart.
pub const APART: f64 = 4.0;
/// Nats that no figure shows.
const NOTHING: f64 = 1e-8;
/// Windows of the first batch; the ends of the others are multiples of it.
const BATCH: usize = 4;

/// Why a comparison read no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// So many windows were asked for, or all.
    Asked,
    /// Every mean divergence has a standard error below [`KNOWN`] of it.
    Known,
    /// The order of the files is settled.
    Ordered,
    /// The most windows that are read without being asked for.
    Limit,
    /// The text, or the base's file, has no more.
    End,
}

impl Stopped {
    /// Its name in documents.
    pub fn name(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::Known => "known",
            Self::Ordered => "ordered",
            Self::Limit => "limit",
            Self::End => "end",
        }
    }
}

/// What is known of one file.
#[derive(Clone, Debug)]
pub(crate) struct Positions {
    /// Its mean divergence.
    pub mean: Estimate,
    /// The divergence at each scored position, the same ones for all files.
    pub klds: Vec<f32>,
}

/// What there is to read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Supply {
    /// Windows at most.
    pub count: usize,
    /// Whether the text has no more.
    pub is_all: bool,
    /// Whether to stop when it is known; otherwise all are read.
    pub until_known: bool,
}

/// What comes after `taken` windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Nothing.
    Stop(Stopped),
    /// The windows up to this one.
    UpTo(usize),
}

impl Supply {
    /// What to do after `taken` windows, of which these are the results.
    pub(crate) fn next(&self, taken: usize, files: &[Positions]) -> Next {
        if !self.until_known {
            return match taken < self.count {
                true => Next::UpTo(self.count),
                false => Next::Stop(Stopped::Asked),
            };
        }
        if taken == 0 {
            return Next::UpTo(BATCH.min(self.count));
        }
        let (known, ordered) = (known_at(files), ordered_at(files));
        match taken < self.count {
            _ if known <= 1.0 => Next::Stop(Stopped::Known),
            _ if ordered <= 1.0 => Next::Stop(Stopped::Ordered),
            true => {
                let wanted = self.expected(taken, files).min(2 * taken);
                let wanted = wanted.max(taken + 1).next_multiple_of(BATCH);
                Next::UpTo(wanted.min(self.count))
            }
            false if self.is_all => Next::Stop(Stopped::End),
            false => Next::Stop(Stopped::Limit),
        }
    }

    /// How many windows will have been read in the end, as it looks after `taken` of them (at least 1).
    pub(crate) fn expected(&self, taken: usize, files: &[Positions]) -> usize {
        if !self.until_known {
            return self.count;
        }
        let factor = known_at(files).min(ordered_at(files)).max(1.0);
        // A cast of what is not finite or too large gives the largest number.
        ((taken as f64 * factor).ceil() as usize).clamp(taken, self.count.max(taken))
    }
}

/// How many times as many windows make every mean known: at most 1 if they are.
fn known_at(files: &[Positions]) -> f64 {
    let factor =
        |file: &Positions| square(file.mean.error / (KNOWN * file.mean.value).max(NOTHING));
    files.iter().map(factor).fold(0.0, f64::max)
}

/// How many times as many windows settle the order; infinite for fewer than two files.
fn ordered_at(files: &[Positions]) -> f64 {
    if files.len() < 2 {
        return f64::INFINITY;
    }
    let mut order: Vec<&Positions> = files.iter().collect();
    order.sort_by(|a, b| a.mean.value.total_cmp(&b.mean.value));
    let factor = |pair: &[&Positions]| {
        let difference = difference(&pair[0].klds, &pair[1].klds);
        square(APART * difference.error / difference.value.abs().max(NOTHING))
    };
    order.windows(2).map(factor).fold(0.0, f64::max)
}

/// Mean of the differences at each position.
fn difference(a: &[f32], b: &[f32]) -> Estimate {
    let (mut sum, mut squares) = (0.0, 0.0);
    for (a, b) in a.iter().zip(b) {
        let d = f64::from(*b) - f64::from(*a);
        sum += d;
        squares += d * d;
    }
    stats::mean(sum, squares, a.len().min(b.len()) as u64)
}

fn square(x: f64) -> f64 {
    x * x
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADAPTIVE: Supply = Supply {
        count: 64,
        is_all: false,
        until_known: true,
    };

    /// A file whose divergences are `mean` once, and then `spread` above and below it in turn.
    fn file(mean: f32, spread: f32, positions: usize) -> Positions {
        let sign = |i: usize| match i {
            0 => 0.0,
            i if i % 2 == 0 => 1.0,
            _ => -1.0,
        };
        let klds = (0..positions).map(|i| mean + sign(i) * spread);
        let klds: Vec<f32> = klds.collect();
        let sum = klds.iter().copied().map(f64::from).sum();
        let squares = klds.iter().copied().map(f64::from).map(square).sum();
        Positions {
            mean: stats::mean(sum, squares, klds.len() as u64),
            klds,
        }
    }

    #[test]
    fn a_fixed_number_of_windows_is_one_batch() {
        let supply = Supply {
            count: 7,
            is_all: false,
            until_known: false,
        };
        assert_eq!(supply.next(0, &[]), Next::UpTo(7));
        // However little is known.
        assert_eq!(
            supply.next(7, &[file(1.0, 1.0, 4)]),
            Next::Stop(Stopped::Asked)
        );
        assert_eq!(supply.expected(7, &[file(1.0, 1.0, 4)]), 7);
    }

    #[test]
    fn a_known_mean_stops_and_an_unknown_one_says_how_far_to_read() {
        assert_eq!(ADAPTIVE.next(0, &[]), Next::UpTo(4));
        // Standard error of n positions: spread / sqrt(n - 1).
        let at = |spread| ADAPTIVE.next(4, &[file(1.0, spread, 1025)]);
        assert_eq!(at(0.9), Next::Stop(Stopped::Known));
        // 0.0375 of the mean: 1.5625 times as many, 6.25 windows.
        assert_eq!(at(1.2), Next::UpTo(8));
        // 0.06: 16 windows would do, if the error is right; so twice as many first.
        assert_eq!(at(1.92), Next::UpTo(8));
        assert_eq!(ADAPTIVE.expected(4, &[file(1.0, 1.91, 1025)]), 16);
        assert_eq!(ADAPTIVE.next(16, &[file(1.0, 1.91, 1025)]), Next::UpTo(32));
        // The worst of the files decides.
        let files = [file(1.0, 0.1, 1025), file(1.0, 1.2, 1025)];
        assert_eq!(known_at(&files), known_at(&files[1..]));
    }

    #[test]
    fn what_there_is_to_read_ends() {
        let unknown = [file(1.0, 9.0, 101)];
        assert_eq!(ADAPTIVE.next(40, &unknown), Next::UpTo(64));
        assert_eq!(ADAPTIVE.next(64, &unknown), Next::Stop(Stopped::Limit));
        let short = Supply {
            count: 3,
            is_all: true,
            ..ADAPTIVE
        };
        assert_eq!(short.next(0, &[]), Next::UpTo(3));
        assert_eq!(short.next(3, &unknown), Next::Stop(Stopped::End));
        assert_eq!(
            short.next(3, &[file(1.0, 0.0, 9)]),
            Next::Stop(Stopped::Known)
        );
    }

    #[test]
    fn files_that_are_apart_at_every_position_are_in_order() {
        // Both means are badly known, their difference is not.
        let files = [file(1.0, 0.9, 101), file(1.1, 0.95, 101)];
        assert!(known_at(&files) > 1.0);
        // 0.1 with an error of 0.05 / 10: 20 standard errors.
        assert!(
            (ordered_at(&files) - 0.04).abs() < 1e-3,
            "{}",
            ordered_at(&files)
        );
        assert_eq!(ADAPTIVE.next(4, &files), Next::Stop(Stopped::Ordered));
        // One file has no order.
        assert!(matches!(ADAPTIVE.next(4, &files[..1]), Next::UpTo(_)));
        // The nearest pair decides, wherever it stands: 0.01 with an error of 0.005.
        let files = [&files[..], &[file(1.11, 1.0, 101)]].concat();
        assert!(
            (ordered_at(&files) - 4.0).abs() < 0.05,
            "{}",
            ordered_at(&files)
        );
        assert_eq!(ADAPTIVE.expected(4, &files), 16);
        assert_eq!(ADAPTIVE.next(4, &files), Next::UpTo(8));
    }

    #[test]
    fn what_is_the_same_needs_no_order_and_what_is_nothing_is_known() {
        let same = [
            file(1.0, 0.9, 101),
            file(1.0, 0.9, 101),
            file(9.0, 0.9, 101),
        ];
        assert_eq!(ADAPTIVE.next(4, &same), Next::Stop(Stopped::Ordered));
        // A base with itself: rounding, of either sign.
        for mean in [0.0, 1e-13, -1e-13] {
            let itself = [file(mean, 1e-12, 101)];
            assert_eq!(ADAPTIVE.next(4, &itself), Next::Stop(Stopped::Known));
        }
        // Every file was damaged: there is nothing to find out.
        assert_eq!(ADAPTIVE.next(4, &[]), Next::Stop(Stopped::Known));
    }
}
