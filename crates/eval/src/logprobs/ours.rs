//! Our layout, version 1. All numbers are little-endian.
//!
//! ```text
//! offset  bytes
//! 0       8         "AEOLOGP1"
//! 8       4         n, bytes of the description
//! 12      n         the description, JSON: window layout, vocabulary, model, program's version
//! 12+n    4 * t     the text's tokens, t = the description's "tokens"
//! ...               windows, each: its rows, then 8 bytes of checksum over them
//!
//! row     8         f64  log-probability of the most probable token, nats
//!         8         f64  step, nats
//!         4         u32  most probable token
//!         3 * vocab u24  k: log-probability = top - k * step
//! ```
//!
//! A step is the range of the row's logits over 2^24 - 1: some 2e-6 nats, what an f32 logit of
//! 20 resolves. The top is chosen such that the probabilities, as decoded, sum to 1.

use super::{BaseFacts, Header, take, take_tokens};
use crate::distribution::{BaseRow, NonFinite, top};
use crate::scorer::{numeric_from_name, numeric_name};
use crate::windows::{Layout, Windows};
use aeolus_job::checksum;
use serde::{Deserialize, Serialize};

pub(super) const MAGIC: &[u8] = b"AEOLOGP1";
pub(super) const TAIL_BYTES: usize = 8;
const ROW_HEAD_BYTES: usize = 20;
const MAX_CODE: u32 = (1 << 24) - 1;
/// Longest description that is read, in bytes; one has some hundreds.
const MAX_DESCRIPTION_BYTES: usize = 64 << 10;
const SHORT: &str = "it ends within its header";

#[derive(Serialize, Deserialize)]
struct Description {
    schema: String,
    windows: Layout,
    tokens: usize,
    vocab: usize,
    vocabulary: Option<String>,
    model: Option<String>,
    numeric: Option<String>,
    program: Option<String>,
}

const SCHEMA: &str = "aeolus.log-probabilities/1";

pub(super) fn row_bytes(vocab: usize) -> Option<usize> {
    vocab.checked_mul(3)?.checked_add(ROW_HEAD_BYTES)
}

/// Everything before the first window.
pub(super) fn header(windows: &Windows, facts: &BaseFacts) -> Vec<u8> {
    let description = Description {
        schema: SCHEMA.into(),
        windows: windows.layout(),
        tokens: windows.tokens().len(),
        vocab: facts.vocab,
        vocabulary: facts.vocabulary.clone(),
        model: facts.fingerprint.clone(),
        numeric: facts.numeric.map(|n| numeric_name(n).into()),
        program: Some(env!("CARGO_PKG_VERSION").into()),
    };
    let text = serde_json::to_vec(&description).unwrap_or_default();
    let mut out = MAGIC.to_vec();
    out.extend((text.len() as u32).to_le_bytes());
    out.extend(text);
    for token in windows.tokens() {
        out.extend(token.to_le_bytes());
    }
    out
}

pub(super) fn read_header(bytes: &[u8]) -> Result<Header, String> {
    let mut rest = bytes.get(MAGIC.len()..).unwrap_or_default();
    let length = take(&mut rest).ok_or(SHORT)?;
    let length = u32::from_le_bytes(length) as usize;
    if length > MAX_DESCRIPTION_BYTES {
        return Err(format!(
            "its description has {length} bytes, at most {MAX_DESCRIPTION_BYTES} were expected"
        ));
    }
    let (text, mut rest) = rest.split_at_checked(length).ok_or(SHORT)?;
    let description: Description =
        serde_json::from_slice(text).map_err(|e| format!("its description: {e}"))?;
    if description.schema != SCHEMA {
        return Err(format!(
            "its schema is {:?}, expected {SCHEMA:?}",
            description.schema
        ));
    }
    let numeric = match description.numeric {
        Some(name) => Some(
            numeric_from_name(&name)
                .ok_or_else(|| format!("its numeric mode is {name:?}, expected exact or fast"))?,
        ),
        None => None,
    };
    let tokens = take_tokens(&mut rest, description.tokens).ok_or(SHORT)?;
    if let Some(token) = tokens.iter().find(|t| **t as usize >= description.vocab) {
        return Err(format!(
            "token {token} is out of range: the vocabulary has {} tokens",
            description.vocab
        ));
    }
    let windows = Windows::from_layout(tokens, description.windows)
        .ok_or("its description contradicts itself")?;
    Ok(Header {
        windows,
        facts: BaseFacts {
            vocab: description.vocab,
            vocabulary: description.vocabulary,
            fingerprint: description.model,
            numeric,
        },
        program: description.program,
        data_offset: bytes.len() - rest.len(),
    })
}

pub(super) fn encode_row(logits: &[f32], out: &mut [u8]) -> Result<(), NonFinite> {
    let (best, max) = top(logits)?;
    let min = logits.iter().copied().fold(max, f32::min);
    let max = f64::from(max);
    let step = (max - f64::from(min)) / f64::from(MAX_CODE);
    let (head, codes) = out.split_at_mut(ROW_HEAD_BYTES);
    let (codes, _) = codes.as_chunks_mut::<3>();
    let mut sum = 0.0;
    for (logit, code) in logits.iter().zip(codes) {
        let k = if step > 0.0 {
            ((max - f64::from(*logit)) / step).round() as u32
        } else {
            0
        };
        let k = k.min(MAX_CODE);
        sum += (-f64::from(k) * step).exp();
        let [a, b, c, _] = k.to_le_bytes();
        *code = [a, b, c];
    }
    head[..8].copy_from_slice(&(-sum.ln()).to_le_bytes());
    head[8..16].copy_from_slice(&step.to_le_bytes());
    head[16..].copy_from_slice(&(best as u32).to_le_bytes());
    Ok(())
}

pub(super) fn decode_row(
    mut bytes: &[u8],
    vocab: usize,
    out: &mut BaseRow,
) -> Result<(), &'static str> {
    let short = "its row is too short";
    let top = f64::from_le_bytes(take(&mut bytes).ok_or(short)?);
    let step = f64::from_le_bytes(take(&mut bytes).ok_or(short)?);
    out.top = u32::from_le_bytes(take(&mut bytes).ok_or(short)?) as usize;
    let sane = top.is_finite() && step.is_finite() && top <= 0.0 && step >= 0.0;
    if !sane || out.top >= vocab {
        return Err("its row holds numbers that no distribution has");
    }
    let (codes, _) = bytes.as_chunks::<3>();
    out.floor = f64::NEG_INFINITY;
    out.log_probs.clear();
    out.log_probs.extend(
        codes
            .iter()
            .map(|[a, b, c]| top - f64::from(u32::from_le_bytes([*a, *b, *c, 0])) * step),
    );
    Ok(())
}

/// Appends the checksum to a window's rows.
pub(super) fn seal(rows: &mut Vec<u8>) {
    rows.extend(checksum(rows).to_le_bytes());
}

/// A record's rows if its checksum fits.
pub(super) fn check_record(record: &[u8]) -> Option<&[u8]> {
    let (rows, sum) = record.split_last_chunk::<TAIL_BYTES>()?;
    (checksum(rows) == u64::from_le_bytes(*sum)).then_some(rows)
}
