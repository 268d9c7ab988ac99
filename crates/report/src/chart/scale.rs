//! From numbers to pixels, and round numbers for the ticks.

/// An axis: a range of numbers over a range of pixels.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    low: f64,
    high: f64,
    pixels: (i32, i32),
    log: bool,
}

impl Scale {
    /// A linear axis with a margin beyond the numbers.
    pub fn linear(values: impl Iterator<Item = f64>, pixels: (i32, i32)) -> Self {
        let (mut low, mut high) = range(values);
        let margin = ((high - low) * 0.08).max(high.abs() * 1e-6).max(1e-12);
        // Sizes do not go below nothing.
        low = if low >= 0.0 {
            (low - margin).max(0.0)
        } else {
            low - margin
        };
        high += margin;
        Self {
            low,
            high,
            pixels,
            log: false,
        }
    }

    /// A logarithmic axis; what is not positive lies at the lower end.
    pub fn log(values: impl Iterator<Item = f64>, pixels: (i32, i32)) -> Self {
        let (low, high) = range(values.filter(|v| *v > 0.0).map(f64::log10));
        let margin = ((high - low) * 0.08).max(0.08);
        Self {
            low: low - margin,
            high: high + margin,
            pixels,
            log: true,
        }
    }

    /// The pixel of a number.
    pub fn at(&self, value: f64) -> i32 {
        let value = match (self.log, value > 0.0) {
            (true, true) => value.log10(),
            (true, false) => self.low,
            (false, _) => value,
        };
        let part = ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0);
        let (from, to) = (f64::from(self.pixels.0), f64::from(self.pixels.1));
        (from + part * (to - from)).round() as i32
    }

    /// Round numbers on the axis, at most about `most`.
    pub fn ticks(&self, most: usize) -> Vec<f64> {
        if self.log {
            return self.log_ticks(most);
        }
        let step = round_step((self.high - self.low) / most.max(1) as f64);
        let first = (self.low / step).ceil();
        (0..200)
            .map(|i| (first + f64::from(i)) * step)
            .take_while(|tick| *tick <= self.high)
            .collect()
    }

    fn log_ticks(&self, most: usize) -> Vec<f64> {
        let decades = self.low.floor() as i32..=self.high.ceil() as i32;
        let ticks = |factors: &[f64], every: usize| -> Vec<f64> {
            decades
                .clone()
                .step_by(every)
                .flat_map(|e| factors.iter().map(move |f| f * 10f64.powi(e)))
                .filter(|tick| (self.low..=self.high).contains(&tick.log10()))
                .collect()
        };
        let choices: [(&[f64], usize); 6] = [
            (&[1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0], 1),
            (&[1.0, 2.0, 5.0], 1),
            (&[1.0, 3.0], 1),
            (&[1.0], 1),
            (&[1.0], 2),
            (&[1.0], 4),
        ];
        let all = choices
            .iter()
            .map(|(factors, every)| ticks(factors, *every));
        all.into_iter()
            .find(|ticks| ticks.len() <= most)
            .unwrap_or_default()
    }
}

/// Smallest and largest of finite numbers; 0 to 1 if there is none.
fn range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let mut range: Option<(f64, f64)> = None;
    for value in values.filter(|v| v.is_finite()) {
        range = Some(range.map_or((value, value), |(l, h)| (l.min(value), h.max(value))));
    }
    range.unwrap_or((0.0, 1.0))
}

/// 1, 2 or 5 times a power of ten, at least `step`.
fn round_step(step: f64) -> f64 {
    let power = 10f64.powf(step.max(1e-300).log10().floor());
    let factor = [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .find(|f| f * power >= step);
    factor.unwrap_or(10.0) * power
}

/// A tick's text, with the decimals that tell it from its neighbour.
pub(crate) fn tick_text(tick: f64, ticks: &[f64]) -> String {
    let step = ticks
        .windows(2)
        .map(|w| w[1] - w[0])
        .fold(f64::INFINITY, f64::min);
    let step = if step.is_finite() { step } else { tick.abs() };
    let decimals = (-step.max(1e-12).log10() - 1e-9).ceil().clamp(0.0, 9.0) as usize;
    format!("{tick:.decimals$}")
}

/// A tick's text on a logarithmic axis: as few digits as it has.
pub(crate) fn log_tick_text(tick: f64) -> String {
    let exponent = tick.log10().floor() as i32;
    if (-4..5).contains(&exponent) {
        let text = format!("{tick:.*}", (1 - exponent).max(0) as usize);
        let text = if text.contains('.') {
            text.trim_end_matches('0').trim_end_matches('.')
        } else {
            &text
        };
        return text.into();
    }
    let factor = tick / 10f64.powi(exponent);
    format!("{factor:.0}e{exponent}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_inside() {
        let scale = Scale::linear([3.08, 7.7].into_iter(), (0, 100));
        assert_eq!(scale.ticks(6), [3.0, 4.0, 5.0, 6.0, 7.0, 8.0]);
        let scale = Scale::log([4.8e-5, 0.0414].into_iter(), (100, 0));
        assert_eq!(scale.ticks(5), [1e-4, 1e-3, 1e-2]);
        assert!(scale.ticks(12).len() > 5);
        assert!(scale.at(0.0414) < scale.at(4.8e-5));
        assert_eq!(scale.at(0.0), 100);
        for odd in [
            vec![],
            vec![5.0],
            vec![0.0, 0.0],
            vec![f64::NAN],
            vec![-1.0, 1.0],
        ] {
            let scale = Scale::linear(odd.iter().copied(), (0, 100));
            assert!(scale.ticks(5).len() < 20);
            let scale = Scale::log(odd.into_iter(), (0, 100));
            assert!(scale.ticks(5).len() < 20);
        }
    }

    #[test]
    fn tick_texts_are_short() {
        assert_eq!(tick_text(55.0, &[54.5, 55.0]), "55.0");
        assert_eq!(tick_text(4.0, &[2.0, 4.0]), "4");
        assert_eq!(log_tick_text(0.001), "0.001");
        assert_eq!(log_tick_text(0.05), "0.05");
        assert_eq!(log_tick_text(1e-7), "1e-7");
        assert_eq!(log_tick_text(20.0), "20");
    }
}
