//! How long things took.

use std::time::Duration;

/// Tokens computed, and the time they took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timings {
    /// Prompt tokens computed (those taken from the cache do not count).
    pub prompt_tokens: usize,
    /// Time for them.
    pub prompt_time: Duration,
    /// Tokens chosen.
    pub generated_tokens: usize,
    /// Time for computing, choosing and handing them out.
    pub generation_time: Duration,
}

impl Timings {
    /// Prompt tokens per second, `None` if there were none.
    pub fn prompt_rate(&self) -> Option<f64> {
        rate(self.prompt_tokens, self.prompt_time)
    }

    /// Generated tokens per second, `None` if there were none.
    pub fn generation_rate(&self) -> Option<f64> {
        rate(self.generated_tokens, self.generation_time)
    }
}

fn rate(tokens: usize, time: Duration) -> Option<f64> {
    (tokens > 0 && !time.is_zero()).then(|| tokens as f64 / time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_tokens_per_second() {
        let timings = Timings {
            prompt_tokens: 10,
            prompt_time: Duration::from_millis(500),
            ..Timings::default()
        };
        assert_eq!(timings.prompt_rate(), Some(20.0));
        assert_eq!(timings.generation_rate(), None);
    }
}
