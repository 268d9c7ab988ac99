//! How rotary positions are stretched, and the keys that say so.

use super::keys::Keys;
use crate::error::{Error, Result};

/// How wavelengths are stretched so that a longer context looks like the trained one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RopeScaling {
    /// Not at all.
    None,
    /// Every position divided by the factor.
    Linear {
        /// How many times longer the context is.
        factor: f32,
    },
    /// YaRN: long wavelengths divided by the factor, short ones kept, and the rotated numbers
    /// made a little larger.
    Yarn {
        /// How many times longer the context is.
        factor: f32,
        /// The context the model was trained for before.
        original_context: f32,
        /// Times that the rotated numbers are larger, beside what the factor gives.
        attention_factor: f32,
        /// Wavelengths with more turns than this in the original context are kept.
        beta_fast: f32,
        /// Wavelengths with fewer turns than this are divided in full.
        beta_slow: f32,
        /// The ends of the ramp between the two are rounded to whole pairs.
        truncate: bool,
    },
    /// LongRoPE: the file has two sets of divisors, one for contexts up to the original one and one
    /// for longer ones, and the rotated numbers are made larger.
    Long {
        /// The context the model was trained for before.
        original_context: usize,
        /// Times that the rotated numbers are larger, in any context.
        attention_factor: f32,
    },
}

/// A key of our own: false where the ends of YaRN's ramp are not rounded. Other readers round them.
const YARN_TRUNCATE: &str = "aeolus.yarn_truncate";

impl RopeScaling {
    /// `log_multiplier` is the weight of the logarithm that YaRN's magnitude is divided by.
    pub(super) fn from_metadata(keys: &Keys<'_>, log_multiplier: Option<f32>) -> Result<Self> {
        let factor = keys.float("rope.scaling.factor", f32::MIN_POSITIVE)?;
        // Files of 2023 had one key of their own.
        let old = keys.float("rope.scale_linear", f32::MIN_POSITIVE)?;
        let original = keys.count("rope.scaling.original_context_length")?;
        let attention_factor = keys.float("rope.scaling.attn_factor", 0.0)?;
        let context = keys.count("context_length")?;
        let long = || Self::Long {
            original_context: original.or(context).unwrap_or(usize::MAX),
            attention_factor: attention_factor.unwrap_or(1.0),
        };
        Ok(match keys.text("rope.scaling.type")? {
            None => match old.or(factor) {
                Some(factor) if factor != 1.0 => Self::Linear { factor },
                // The reference names no type for LongRoPE.
                _ if original.is_some() || attention_factor.is_some() => long(),
                _ => Self::None,
            },
            Some("longrope") => long(),
            Some("none") => Self::None,
            Some("linear") => Self::Linear {
                factor: factor.unwrap_or(1.0),
            },
            Some("yarn") => {
                let Some(original) = original.or(context) else {
                    return Err(Error::MissingKey {
                        key: keys.name("rope.scaling.original_context_length"),
                        needed_for: "YaRN",
                    });
                };
                let or = |key, default| Ok::<_, Error>(keys.float(key, 0.0)?.unwrap_or(default));
                let factor = factor.unwrap_or(1.0);
                // The reference converter writes the whole magnitude under this key; the other
                // one is a multiple of the usual magnitude, and counts where both are there.
                let whole = keys.float("rope.scaling.yarn_attn_factor", 0.0)?;
                let multiple = whole.map_or(1.0, |whole| whole / yarn_magnitude(factor, 1.0));
                let divisor = log_multiplier.map_or(1.0, |weight| yarn_magnitude(factor, weight));
                Self::Yarn {
                    factor,
                    original_context: original as f32,
                    attention_factor: attention_factor.unwrap_or(multiple) / divisor,
                    beta_fast: or("rope.scaling.yarn_beta_fast", 32.0)?,
                    beta_slow: or("rope.scaling.yarn_beta_slow", 1.0)?,
                    truncate: keys.flag(YARN_TRUNCATE)?.unwrap_or(true),
                }
            }
            Some(other) => {
                return Err(Error::Unsupported {
                    what: "rope scaling",
                    found: other.to_owned(),
                    supported: "none, linear, yarn, longrope".into(),
                });
            }
        })
    }
}

/// How much larger YaRN makes the rotated numbers of a context that is `factor` times longer: the
/// usual `weight` of the logarithm is 1.
pub(super) fn yarn_magnitude(factor: f32, weight: f32) -> f32 {
    1.0 + 0.1 * weight * factor.max(1.0).ln()
}
