//! The layout of llama-perplexity's `--kl-divergence-base` files. All numbers are little-endian.
//!
//! ```text
//! offset  bytes
//! 0       8         "_logits_"
//! 8       4         u32  n_ctx
//! 12      4         i32  vocab
//! 16      4         i32  chunks
//! 20      4 * t     i32  the text's tokens, t = n_ctx * chunks, before BOS replaces any
//! ...               chunks, each: n_ctx - 1 - n_ctx/2 rows
//!
//! row     4         f32  step, nats
//!         4         f32  lowest log-probability that is told apart, nats
//!         2 * vocab u16  k: log-probability = lowest + k * step
//!         0 or 2         padding to an even number of 16-bit words
//! ```
//!
//! The lowest is at most 16 nats below the highest logit; what is lower has k = 0. The peer does
//! not count tokens at or below -16 nats, and neither do we when reading.

use super::{BaseFacts, Header, take, take_tokens};
use crate::distribution::{BaseRow, NonFinite, top};
use crate::windows::{Layout, Windows};

pub(super) const MAGIC: &[u8] = b"_logits_";
const ROW_HEAD_BYTES: usize = 8;
/// Nats below the highest logit that are told apart; and log-probabilities that count.
const RANGE: f32 = 16.0;

pub(super) fn row_bytes(vocab: usize) -> Option<usize> {
    vocab
        .checked_next_multiple_of(2)?
        .checked_mul(2)?
        .checked_add(ROW_HEAD_BYTES)
}

/// Everything before the first window; `None` for windows that the layout cannot express.
pub(super) fn header(windows: &Windows, vocab: usize) -> Option<Vec<u8>> {
    if windows.is_strided() {
        return None;
    }
    let numbers = [windows.n_ctx(), vocab, windows.len()];
    let mut out = MAGIC.to_vec();
    for number in numbers {
        out.extend(i32::try_from(number).ok()?.to_le_bytes());
    }
    for token in windows.tokens() {
        out.extend(i32::try_from(*token).ok()?.to_le_bytes());
    }
    Some(out)
}

pub(super) fn read_header(bytes: &[u8], bos: Option<u32>) -> Result<Header, String> {
    let mut rest = bytes.get(MAGIC.len()..).unwrap_or_default();
    let mut number = |what: &str| -> Result<usize, String> {
        let found = take(&mut rest).ok_or("it ends within its header")?;
        let found = i32::from_le_bytes(found);
        match usize::try_from(found) {
            Ok(n) if n > 0 => Ok(n),
            _ => Err(format!("its {what} is {found}, expected at least 1")),
        }
    };
    let (n_ctx, vocab, count) = (number("n_ctx")?, number("vocabulary")?, number("chunks")?);
    let tokens = n_ctx
        .checked_mul(count)
        .and_then(|n| take_tokens(&mut rest, n))
        .ok_or_else(|| format!("it ends within the tokens of its {count} chunks of {n_ctx}"))?;
    if let Some(token) = tokens.iter().find(|t| **t as usize >= vocab) {
        return Err(format!(
            "token {token} is out of range: the vocabulary has {vocab} tokens"
        ));
    }
    let layout = Layout {
        n_ctx,
        advance: n_ctx,
        first: n_ctx / 2,
        bos,
        count,
    };
    let windows = Windows::from_layout(tokens, layout)
        .ok_or_else(|| format!("chunks of {n_ctx} tokens leave nothing to score"))?;
    Ok(Header {
        windows,
        facts: BaseFacts {
            vocab,
            vocabulary: None,
            fingerprint: None,
            numeric: None,
        },
        program: None,
        data_offset: bytes.len() - rest.len(),
    })
}

pub(super) fn encode_row(logits: &[f32], out: &mut [u8]) -> Result<(), NonFinite> {
    let (_, max) = top(logits)?;
    let min = logits.iter().copied().fold(max, f32::min).max(max - RANGE);
    let sum: f64 = logits.iter().map(|l| f64::from(l - max).exp()).sum();
    let lowest = min - max - sum.ln() as f32;
    let step = (max - min) / 65535.0;
    out.fill(0);
    let (head, codes) = out.split_at_mut(ROW_HEAD_BYTES);
    head[..4].copy_from_slice(&step.to_le_bytes());
    head[4..].copy_from_slice(&lowest.to_le_bytes());
    if step > 0.0 {
        let inverse = 1.0 / step;
        let (codes, _) = codes.as_chunks_mut::<2>();
        for (logit, code) in logits.iter().zip(codes) {
            let k = (inverse * (logit - min)).round_ties_even().max(0.0);
            *code = (k as u16).to_le_bytes();
        }
    }
    Ok(())
}

pub(super) fn decode_row(
    mut bytes: &[u8],
    vocab: usize,
    out: &mut BaseRow,
) -> Result<(), &'static str> {
    let short = "its row is too short";
    let step = f32::from_le_bytes(take(&mut bytes).ok_or(short)?);
    let lowest = f32::from_le_bytes(take(&mut bytes).ok_or(short)?);
    if !step.is_finite() || !lowest.is_finite() || step < 0.0 {
        return Err("its row holds numbers that no distribution has");
    }
    let (codes, _) = bytes.as_chunks::<2>();
    let codes = codes.get(..vocab).ok_or(short)?;
    out.log_probs.clear();
    let mut best = (0, f32::NEG_INFINITY);
    for (token, code) in codes.iter().enumerate() {
        // In f32, as the peer computes it.
        let log_prob = step * f32::from(u16::from_le_bytes(*code)) + lowest;
        if log_prob > best.1 {
            best = (token, log_prob);
        }
        out.log_probs.push(f64::from(log_prob));
    }
    out.top = best.0;
    out.floor = f64::from(-RANGE);
    Ok(())
}
