//! A text's tokens cut into windows, and which of their predictions are scored.
//!
//! The cuts are those of llama-perplexity, so that figures can be set side by side:
//!
//! ```text
//! chunked   |<--- n_ctx --->|<--- n_ctx --->|      windows side by side; the first token of each
//!           B.......sssssss B.......sssssss        is replaced by BOS; the second half is scored
//!
//! strided   |<--- n_ctx --->|                      windows overlap; nothing is replaced; the
//!           ............sss                        last `stride` predictions of each are scored
//!               |<--- n_ctx --->|
//!               ............sss
//! ```
//!
//! Position `i` of a window predicts token `i + 1`. Chunked, positions `n_ctx/2 .. n_ctx - 1` are
//! scored: 255 of a window of 512, since the last one predicts a token of the next window.

use crate::Error;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::ops::Range;

/// How a text is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Tokens of a window.
    pub n_ctx: usize,
    /// `None`: windows side by side. `Some(n)`: a window every `n` tokens.
    pub stride: Option<usize>,
    /// What the first token of each window becomes where windows lie side by side; `None` for
    /// models that are not given one.
    pub bos: Option<u32>,
    /// At most this many windows from the start of the text; `None` means all.
    pub limit: Option<usize>,
}

/// The windows of one text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Windows {
    tokens: Vec<u32>,
    layout: Layout,
    available: usize,
}

/// The numbers behind [`Windows`], as they are kept in files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Layout {
    /// Tokens of a window.
    pub n_ctx: usize,
    /// Tokens from the start of one window to the start of the next.
    pub advance: usize,
    /// First scored position.
    pub first: usize,
    /// Replaces the first token.
    pub bos: Option<u32>,
    /// Number of windows.
    pub count: usize,
}

impl Windows {
    /// Cuts `tokens`, the whole text with the special tokens that the model wants around it.
    ///
    /// # Errors
    /// [`Error::Cut`] for a window or stride that leaves nothing to score, [`Error::EmptyText`],
    /// [`Error::ShortText`] if the text does not fill one window.
    pub fn new(tokens: Vec<u32>, cut: &Cut) -> Result<Self, Error> {
        let n_ctx = cut.n_ctx;
        let cut_error = |problem: String| Err(Error::Cut { problem });
        if !(4..=1 << 24).contains(&n_ctx) {
            return cut_error(format!(
                "a window of {n_ctx} tokens, expected from 4 to 16777216"
            ));
        }
        if cut.limit == Some(0) {
            return cut_error("0 windows, expected at least 1".into());
        }
        // BOS alone is no text.
        if tokens.len() <= usize::from(cut.bos.is_some()) {
            return Err(Error::EmptyText);
        }
        if tokens.len() < n_ctx {
            return Err(Error::ShortText {
                tokens: tokens.len(),
                needed: n_ctx,
            });
        }
        let (advance, first, available) = match cut.stride {
            None => (n_ctx, n_ctx / 2, tokens.len() / n_ctx),
            Some(stride) if (1..n_ctx).contains(&stride) => {
                let available = (tokens.len() - n_ctx).div_ceil(stride).max(1);
                (stride, n_ctx - stride - 1, available)
            }
            Some(stride) => {
                return cut_error(format!(
                    "a stride of {stride} tokens, expected from 1 to {}, one less than the window",
                    n_ctx - 1
                ));
            }
        };
        let count = available.min(cut.limit.unwrap_or(usize::MAX));
        Ok(Self {
            tokens,
            layout: Layout {
                n_ctx,
                advance,
                first,
                bos: cut.bos.filter(|_| cut.stride.is_none()),
                count,
            },
            available,
        })
    }

    /// Windows from a file's numbers; `None` if they contradict each other.
    pub(crate) fn from_layout(tokens: Vec<u32>, layout: Layout) -> Option<Self> {
        let Layout {
            n_ctx,
            advance,
            first,
            count,
            ..
        } = layout;
        let last_start = count.checked_sub(1)?.checked_mul(advance)?;
        let fits = last_start.checked_add(n_ctx)? <= tokens.len();
        let scores = first < n_ctx.saturating_sub(1);
        (fits && (1..=n_ctx).contains(&advance) && scores).then_some(Self {
            tokens,
            layout,
            available: count,
        })
    }

    /// The first `limit` windows.
    pub(crate) fn first(mut self, limit: usize) -> Self {
        self.layout.count = self.layout.count.min(limit.max(1));
        self
    }

    /// Some of them, as if the text were no longer.
    pub(crate) fn part(&self, windows: Range<usize>) -> Self {
        let start = windows.start * self.layout.advance;
        let tokens = self.clone().first(windows.end).tokens()[start..].to_vec();
        let layout = Layout {
            count: windows.len(),
            ..self.layout
        };
        Self {
            tokens,
            layout,
            available: windows.len(),
        }
    }

    pub(crate) fn layout(&self) -> Layout {
        self.layout
    }

    /// Number of windows.
    pub fn len(&self) -> usize {
        self.layout.count
    }

    /// Never: a text without a window is an error.
    pub fn is_empty(&self) -> bool {
        self.layout.count == 0
    }

    /// Windows that the whole text would give.
    pub fn available(&self) -> usize {
        self.available
    }

    /// Tokens of a window.
    pub fn n_ctx(&self) -> usize {
        self.layout.n_ctx
    }

    /// Whether windows overlap.
    pub fn is_strided(&self) -> bool {
        self.layout.advance != self.layout.n_ctx
    }

    /// The tokens that the windows reach: `[(len - 1) * advance + n_ctx]`, as in the text.
    pub fn tokens(&self) -> &[u32] {
        let end = (self.layout.count - 1) * self.layout.advance + self.layout.n_ctx;
        &self.tokens[..end]
    }

    /// The positions of a window whose predictions are scored.
    pub fn scored(&self) -> Range<usize> {
        let end = match self.layout.advance == self.layout.n_ctx {
            true => self.layout.n_ctx - 1,
            false => self.layout.first + self.layout.advance,
        };
        self.layout.first..end.min(self.layout.n_ctx - 1)
    }

    /// What the model reads: `[n_ctx]`.
    ///
    /// # Panics
    /// If there is no such window.
    pub fn input(&self, window: usize) -> Vec<u32> {
        let mut tokens = self.window(window).to_vec();
        if let Some(bos) = self.layout.bos {
            tokens[0] = bos;
        }
        tokens
    }

    /// The tokens that the scored positions should predict, one for each of
    /// [`scored`](Self::scored).
    ///
    /// # Panics
    /// If there is no such window.
    pub fn targets(&self, window: usize) -> &[u32] {
        let scored = self.scored();
        &self.window(window)[scored.start + 1..scored.end + 1]
    }

    fn window(&self, window: usize) -> &[u32] {
        assert!(window < self.layout.count, "window {window}");
        let start = window * self.layout.advance;
        &self.tokens[start..start + self.layout.n_ctx]
    }

    /// What identifies text and cut, whatever the number of windows: results for a window are
    /// results for the same window of any run with this digest.
    pub fn digest(&self) -> String {
        let mut hash = Sha256::new();
        let layout = Layout {
            count: 0,
            ..self.layout
        };
        hash.update(format!("{layout:?}"));
        for token in &self.tokens {
            hash.update(token.to_le_bytes());
        }
        aeolus_source::hex(&hash.finalize())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(n_ctx: usize, stride: Option<usize>) -> Cut {
        Cut {
            n_ctx,
            stride,
            bos: Some(1),
            limit: None,
        }
    }

    fn text(tokens: u32) -> Vec<u32> {
        (100..100 + tokens).collect()
    }

    #[test]
    fn chunks_lie_side_by_side_and_their_second_half_is_scored() {
        let windows = Windows::new(text(26), &cut(8, None)).unwrap();
        assert_eq!((windows.len(), windows.available()), (3, 3));
        assert_eq!(windows.scored(), 4..7);
        assert_eq!(
            windows.input(1),
            [1, 109, 110, 111, 112, 113, 114, 115],
            "the first token is BOS"
        );
        assert_eq!(windows.targets(1), [113, 114, 115]);
        assert_eq!(windows.tokens().len(), 24);
        let usual = Windows::new(text(1100), &cut(512, None)).unwrap();
        assert_eq!(usual.scored(), 256..511);
        assert_eq!(usual.scored().len(), 255);
    }

    #[test]
    fn strided_windows_overlap_and_score_every_token_once() {
        let windows = Windows::new(text(24), &cut(8, Some(3))).unwrap();
        assert_eq!(windows.len(), 6);
        assert_eq!(windows.scored(), 4..7);
        assert_eq!(windows.input(2)[0], 106, "nothing is replaced");
        let targets: Vec<u32> = (0..6).flat_map(|w| windows.targets(w).to_vec()).collect();
        assert_eq!(targets, (105..123).collect::<Vec<u32>>());
        let whole = Windows::new(text(9), &cut(8, Some(7))).unwrap();
        assert_eq!(whole.scored(), 0..7);
    }

    #[test]
    fn a_limit_takes_the_first_windows_and_keeps_the_digest() {
        let all = Windows::new(text(64), &cut(8, None)).unwrap();
        let some = Windows::new(
            text(64),
            &Cut {
                limit: Some(3),
                ..cut(8, None)
            },
        )
        .unwrap();
        assert_eq!((some.len(), some.available()), (3, 8));
        assert_eq!(some.input(2), all.input(2));
        assert_eq!(some.digest(), all.digest());
        let other = Windows::new(text(64), &cut(16, None)).unwrap();
        assert_ne!(other.digest(), all.digest());
        let mut changed = text(64);
        changed[63] += 1;
        let changed = Windows::new(changed, &cut(8, None)).unwrap();
        assert_ne!(changed.digest(), all.digest());
    }

    #[test]
    fn a_part_has_the_same_windows_and_no_more_tokens() {
        for stride in [None, Some(3)] {
            let all = Windows::new(text(64), &cut(8, stride)).unwrap();
            let part = all.part(2..5);
            assert_eq!((part.len(), part.scored()), (3, all.scored()));
            for w in 0..3 {
                assert_eq!(part.input(w), all.input(w + 2));
                assert_eq!(part.targets(w), all.targets(w + 2));
            }
            assert_eq!(part.tokens().len(), part.tokens.len());
        }
    }

    #[test]
    fn texts_that_cannot_be_scored_say_why() {
        let message =
            |tokens: u32, cut: Cut| Windows::new(text(tokens), &cut).unwrap_err().to_string();
        assert!(message(0, cut(8, None)).contains("the text is empty"));
        assert!(message(1, cut(8, None)).contains("the text is empty"));
        let short = message(7, cut(8, None));
        assert!(short.contains('7') && short.contains('8'), "{short}");
        assert!(message(99, cut(3, None)).contains("window of 3"));
        assert!(message(99, cut(8, Some(0))).contains("stride of 0"));
        assert!(message(99, cut(8, Some(8))).contains("stride of 8"));
        let none = Cut {
            limit: Some(0),
            ..cut(8, None)
        };
        assert!(message(99, none).contains("0 windows"));
    }

    #[test]
    fn numbers_from_a_file_are_checked() {
        let layout = Windows::new(text(24), &cut(8, None)).unwrap().layout();
        assert!(Windows::from_layout(text(24), layout).is_some());
        assert!(Windows::from_layout(text(23), layout).is_none());
        let bad = [
            Layout { count: 0, ..layout },
            Layout {
                count: usize::MAX,
                ..layout
            },
            Layout {
                advance: 0,
                ..layout
            },
            Layout { first: 7, ..layout },
            Layout { n_ctx: 0, ..layout },
        ];
        for layout in bad {
            assert!(
                Windows::from_layout(text(24), layout).is_none(),
                "{layout:?}"
            );
        }
    }
}
