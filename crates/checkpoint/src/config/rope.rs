//! Scaling of the rotary embeddings beyond the trained context.

use crate::Error;
use crate::json::Object;
use std::f32::consts::PI;

/// The kinds that GGUF's llama architecture can express.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum RopeScaling {
    None,
    /// Positions divided by `factor`.
    Linear {
        factor: f32,
    },
    /// YaRN: low frequencies interpolated, high ones kept, logits scaled.
    Yarn {
        factor: f32,
        original_context: u32,
        ext_factor: Option<f32>,
        attn_factor: Option<f32>,
        beta_fast: Option<f32>,
        beta_slow: Option<f32>,
    },
    /// Llama 3's: a divisor for every frequency, stored as a tensor.
    Llama3 {
        factor: f32,
        low_freq_factor: f32,
        high_freq_factor: f32,
        original_context: u32,
    },
}

/// `rope_parameters` (what transformers 5 writes) or `rope_scaling`.
fn parameters<'a>(o: &Object<'a>) -> Result<Option<Object<'a>>, Error> {
    match o.object("rope_parameters")? {
        Some(parameters) => Ok(Some(parameters)),
        None => o.object("rope_scaling"),
    }
}

/// The base of the rotary frequencies. Files that lack it mean 10,000.
pub(super) fn theta(o: &Object<'_>) -> Result<f32, Error> {
    let inner = match parameters(o)? {
        Some(parameters) => parameters.positive_f32("rope_theta")?,
        None => None,
    };
    match inner {
        Some(theta) => Ok(theta),
        None => Ok(o.positive_f32("rope_theta")?.unwrap_or(10_000.0)),
    }
}

impl RopeScaling {
    pub(super) fn parse(o: &Object<'_>) -> Result<Self, Error> {
        let Some(p) = parameters(o)? else {
            return Ok(Self::None);
        };
        let kind = match p.str("rope_type")? {
            Some(kind) => kind,
            None => match p.str("type")? {
                Some(kind) => kind,
                None if p.get("factor").is_none() && p.get("full_attention").is_none() => "default",
                None => return Err(p.error("rope_type", "missing")),
            },
        };
        let factor = || p.required("factor", p.positive_f32("factor")?);
        match kind {
            "default" => Ok(Self::None),
            "linear" => Ok(Self::Linear { factor: factor()? }),
            "yarn" => {
                for key in ["mscale", "mscale_all_dim", "truncate"] {
                    if p.get(key).is_some() {
                        return Err(p.error(key, "not supported: GGUF's llama has no such key"));
                    }
                }
                let attn_factor = match p.f32("attention_factor")? {
                    Some(factor) => Some(factor),
                    None => p.f32("attn_factor")?,
                };
                Ok(Self::Yarn {
                    factor: factor()?,
                    original_context: original_context(&p)?
                        .map_or_else(|| p.required("original_max_position_embeddings", None), Ok)?,
                    ext_factor: p.f32("extrapolation_factor")?,
                    attn_factor,
                    beta_fast: p.f32("beta_fast")?,
                    beta_slow: p.f32("beta_slow")?,
                })
            }
            "llama3" => {
                let low = p.positive_f32("low_freq_factor")?;
                let high = p.positive_f32("high_freq_factor")?;
                let (low, high) = (low.unwrap_or(1.0), high.unwrap_or(4.0));
                if low >= high {
                    let problem = format!("{low} is not below high_freq_factor, {high}");
                    return Err(p.error("low_freq_factor", problem));
                }
                let original = match original_context(&p)? {
                    Some(original) => Some(original),
                    None => original_context(o)?,
                };
                Ok(Self::Llama3 {
                    factor: p.positive_f32("factor")?.unwrap_or(8.0),
                    low_freq_factor: low,
                    high_freq_factor: high,
                    original_context: original.unwrap_or(8192),
                })
            }
            other => Err(p.error(
                "rope_type",
                format!("{other} is not supported, supported are linear, yarn and llama3"),
            )),
        }
    }

    /// What each rotary frequency is divided by, one f32 for each pair of a head: the tensor
    /// rope_freqs.weight. `None` for kinds that need no tensor.
    pub(crate) fn frequency_divisors(&self, theta: f32, head_dim: u32) -> Option<Vec<f32>> {
        let &Self::Llama3 {
            factor,
            low_freq_factor,
            high_freq_factor,
            original_context,
        } = self
        else {
            return None;
        };
        let context = original_context as f32;
        let (long, short) = (context / low_freq_factor, context / high_freq_factor);
        let divisor = |pair: u32| {
            // The power in f64, whose rounding to f32 is the same on every system's library.
            let exponent = (2 * pair) as f32 / head_dim as f32;
            let frequency = 1.0 / f64::from(theta).powf(exponent.into()) as f32;
            let wavelength = 2.0 * PI / frequency;
            if wavelength < short {
                1.0
            } else if wavelength > long {
                factor
            } else {
                let smooth =
                    (context / wavelength - low_freq_factor) / (high_freq_factor - low_freq_factor);
                1.0 / ((1.0 - smooth) / factor + smooth)
            }
        };
        Some((0..head_dim / 2).map(divisor).collect())
    }
}

fn original_context(o: &Object<'_>) -> Result<Option<u32>, Error> {
    o.size("original_max_position_embeddings", u32::MAX)
}
