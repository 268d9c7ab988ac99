//! Rotary embeddings: their base, and their scaling beyond the trained context.
//!
//! What the keys mean is what transformers 5 computes from them.

use crate::error::Brief;
use crate::json::{Object, describe};
use crate::notes::Notes;
use crate::{Error, json};
use aeolus_arch::{Family, Field, Line};
use std::f32::consts::PI;

/// The kinds that GGUF can express.
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
        /// Factor of the rotated numbers, as the file has it.
        attention_factor: Option<f32>,
        /// The same where it is not the usual 0.1 ln(factor) + 1: a multiple of that.
        attn_factor: Option<f32>,
        beta_fast: Option<f32>,
        beta_slow: Option<f32>,
        /// The ends of the ramp between kept and divided frequencies are rounded to whole pairs.
        truncate: bool,
    },
    /// Llama 3's: a divisor for every frequency, stored as a tensor.
    Llama3 {
        factor: f32,
        low_freq_factor: f32,
        high_freq_factor: f32,
        original_context: u32,
    },
    /// Gemma 4's: of the wavelengths for whole heads, the first ones turn and the others do not. Stored
    /// as a tensor of divisors.
    Proportional {
        /// The part of a head that turns.
        part: f32,
    },
    /// LongRoPE: divisors for contexts up to the original one and for longer ones, stored as two
    /// tensors.
    Long {
        short: Vec<f32>,
        long: Vec<f32>,
        /// Factor of the rotated numbers.
        attention_factor: f32,
    },
}

/// All that config.json says about rotary embeddings.
#[derive(Debug)]
pub(super) struct Rope {
    /// The base of the frequencies.
    pub(super) theta: f32,
    pub(super) scaling: RopeScaling,
    /// How many pairs turn by each of several positions.
    pub(super) sections: [i32; 4],
}

/// The part of a head that turns in layers that see everything, where Gemma 4's class is not told.
const PROPORTIONAL_PART: f32 = 0.25;

/// A divisor with which nothing turns.
const NO_TURN: f32 = 1e30;

/// The sections of Qwen 3.5, where its class is not told.
const SECTIONS: [i32; 4] = [11, 11, 10, 0];

/// Names of what GGUF stores as tensors.
const ROPE_FREQS: &str = "rope_freqs.weight";
const FACTORS_LONG: &str = "rope_factors_long.weight";
const FACTORS_SHORT: &str = "rope_factors_short.weight";
/// All of them: each has a number for every pair that turns.
pub(crate) const DIVISORS: [&str; 3] = [FACTORS_LONG, FACTORS_SHORT, ROPE_FREQS];

/// Objects within `rope_parameters` for the two kinds of layers, where these differ.
const GLOBAL: &str = "full_attention";
const LOCAL: &str = "sliding_attention";

/// The names of the two objects, `rope_parameters` being what transformers 5 writes.
const SCALING: &str = "rope_scaling";
const PARAMETERS: &str = "rope_parameters";
const ORIGINAL: &str = "original_max_position_embeddings";

/// What the record of the model's family and the other keys say.
pub(super) struct About {
    pub(super) family: &'static Family,
    /// Positions that the model is for.
    pub(super) context: u32,
    /// The base of the frequencies where no key gives one.
    pub(super) base: f32,
    /// What the file says by a key of its own, so that the magnitude is told without it.
    pub(super) log_multiplier: Option<f32>,
}

/// The objects of the file: the older and the newer one, of the layers that see everything.
struct Objects<'a> {
    scaling: Option<Object<'a>>,
    parameters: Option<Object<'a>>,
}

impl<'a> Objects<'a> {
    fn of(o: &Object<'a>, family: &Family) -> Result<Self, Error> {
        let global = |object: Option<Object<'a>>| match object {
            Some(object) if has_local_base(family) => {
                Ok::<_, Error>(Some(object.object(GLOBAL)?.unwrap_or(object)))
            }
            object => Ok(object),
        };
        let scaling = o.object(SCALING)?.filter(|p| p.iter().next().is_some());
        Ok(Self {
            scaling: global(scaling)?,
            parameters: global(o.object(PARAMETERS)?)?,
        })
    }
}

/// The object that counts: the older one, where both are there and it says anything.
pub(super) fn object<'a>(o: &Object<'a>, family: &Family) -> Result<Option<Object<'a>>, Error> {
    let objects = Objects::of(o, family)?;
    Ok(objects.scaling.or(objects.parameters))
}

/// The object of local layers, where these have their own. They are never scaled.
pub(super) fn local_object<'a>(
    o: &Object<'a>,
    family: &Family,
) -> Result<Option<Object<'a>>, Error> {
    let Some(parameters) = o.object(PARAMETERS)?.filter(|_| has_local_base(family)) else {
        return Ok(None);
    };
    let local = parameters.object(LOCAL)?;
    if let Some(local) = &local
        && kind(local)? != "default"
    {
        let problem = "rotary scaling in layers with a window is not supported";
        return Err(local.error("rope_type", problem));
    }
    Ok(local)
}

fn has_local_base(family: &Family) -> bool {
    family.key(Field::LocalRotaryBase).is_some()
}

/// Whether heads of layers that see everything turn in part, by wavelengths of whole heads.
fn is_proportional(family: &Family) -> bool {
    family.key(Field::LocalRotaryDims).is_some()
}

fn has_sections(family: &Family) -> bool {
    family
        .keys
        .iter()
        .any(|line| matches!(line, Line::RotarySections))
}

/// How many pairs turn by each of several positions: up to four numbers.
fn sections(p: Option<&Object<'_>>) -> Result<[i32; 4], Error> {
    const KEY: &str = "mrope_section";
    let Some((p, value)) = p.and_then(|p| Some((p, p.get(KEY)?))) else {
        return Ok(SECTIONS);
    };
    let mut sections = [0; 4];
    let items = value.as_array().map_or(&[][..], Vec::as_slice);
    let number = |item: &serde_json::Value| i32::try_from(item.as_u64()?).ok();
    let numbers: Option<Vec<i32>> = items.iter().map(number).collect();
    match numbers.filter(|numbers| (1..=4).contains(&numbers.len())) {
        Some(numbers) => {
            sections[..numbers.len()].copy_from_slice(&numbers);
            Ok(sections)
        }
        None => Err(p.error(
            KEY,
            format!("expected up to 4 whole numbers, found {}", describe(value)),
        )),
    }
}

/// Keys that every kind may have: read for all kinds, or without effect.
const ANY_KIND: [&str; 6] = [
    "rope_type",
    "type",
    "rope_theta",
    "partial_rotary_factor",
    ORIGINAL,
    "finetuned",
];

/// About sections, which are refused in families without them. Whether they lie one behind the other
/// or take turns makes no difference to a text, whose positions are the same in all of them.
const SECTION_KEYS: [&str; 2] = ["mrope_section", "mrope_interleaved"];

impl Rope {
    /// Reads the keys.
    pub(super) fn parse(o: &Object<'_>, about: &About, notes: &Notes) -> Result<Self, Error> {
        let base = about.base;
        whole_heads(o, about.family)?;
        let Objects {
            scaling,
            parameters,
        } = Objects::of(o, about.family)?;
        let outside = o.positive_f32("rope_theta")?;
        // Where both are there, rope_scaling is the one that counts, its base included.
        let p = scaling.as_ref().or(parameters.as_ref());
        let sections = sections(p.filter(|_| has_sections(about.family)))?;
        let Some(p) = p else {
            return Ok(Self {
                theta: outside.unwrap_or(base),
                scaling: match is_proportional(about.family) {
                    true => RopeScaling::Proportional {
                        part: PROPORTIONAL_PART,
                    },
                    false => RopeScaling::None,
                },
                sections,
            });
        };
        let inside = p.positive_f32("rope_theta")?;
        let theta = inside.or(outside).unwrap_or(base);
        if let (Some(_), Some(outside)) = (inside, outside.filter(|outside| *outside != theta)) {
            let message = format!("{outside} is not used, the one inside, {theta}, counts");
            o.note(notes, "rope_theta", message);
        }
        if let (Some(p), Some(parameters)) = (&scaling, &parameters) {
            overruled(p, parameters, theta, notes)?;
        }
        Ok(Self {
            theta,
            scaling: RopeScaling::parse(o, p, about, notes)?,
            sections,
        })
    }
}

/// Notes the keys of `rope_parameters` that `rope_scaling` replaces with other values.
fn overruled(
    scaling: &Object<'_>,
    parameters: &Object<'_>,
    theta: f32,
    notes: &Notes,
) -> Result<(), Error> {
    for (key, value) in parameters.iter() {
        let same = match key {
            "rope_theta" => parameters.f32(key)? == Some(theta),
            "rope_type" | "type" => value == "default" || kind(scaling)? == *value,
            _ => scaling.get(key) == Some(value),
        };
        if !same && !value.is_null() {
            let used = match key {
                "rope_theta" => format!(", the base of the rotation is {theta}"),
                _ => String::new(),
            };
            let value = describe(value);
            let message = format!(
                "{value} is not used: where {SCALING} is there too, it counts alone, as it does \
                 in transformers{used}"
            );
            parameters.note(notes, &Brief(key).to_string(), message);
        }
    }
    Ok(())
}

/// Refuses models that rotate a part of each head, where the family's do not.
fn whole_heads(o: &Object<'_>, family: &Family) -> Result<(), Error> {
    let key = "partial_rotary_factor";
    if family.key(Field::RotaryFraction).is_some() {
        return Ok(());
    }
    match o.f32(key)?.filter(|part| *part != 1.0) {
        None => Ok(()),
        Some(part) => {
            let problem = format!("{part} is not supported, only whole heads (1) are");
            Err(o.error(key, problem))
        }
    }
}

/// What the scaling is called.
fn kind<'a>(p: &Object<'a>) -> Result<&'a str, Error> {
    let (new, old) = (p.str("rope_type")?, p.str("type")?);
    match new.or(old) {
        Some(kind) => Ok(kind),
        None if p.get("factor").is_none() => Ok("default"),
        None => Err(p.error("rope_type", "missing")),
    }
}

impl RopeScaling {
    /// Reads the object `p` of the file `o`.
    fn parse(o: &Object<'_>, p: &Object<'_>, about: &About, notes: &Notes) -> Result<Self, Error> {
        let context = about.context;
        if let Some((key, _)) = p.iter().find(|(_, value)| value.is_object()) {
            let problem = "rotary embeddings that differ between layers are not supported";
            return Err(p.error(key, problem));
        }
        if p.get("mrope_section").is_some() && !has_sections(about.family) {
            let problem = "positions of several dimensions (mrope) are not supported";
            return Err(p.error("mrope_section", problem));
        }
        let name = kind(p)?;
        if name != "proportional" {
            whole_heads(p, about.family)?;
        }
        if let Some(old) = p.str("type")?.filter(|old| *old != name) {
            let message = format!("{old} is not used, rope_type says {name}");
            p.note(notes, "type", message);
        }
        let factor = || p.required("factor", p.positive_f32("factor")?);
        let (scaling, keys): (_, &[&str]) = match name {
            "default" => (Self::None, &[]),
            "linear" => (Self::Linear { factor: factor()? }, &["factor"]),
            "dynamic" => {
                let message = format!(
                    "dynamic scaling cannot be written to a GGUF file: up to {context} positions \
                     the model is the same without it, beyond them it is not"
                );
                p.note(notes, "rope_type", message);
                (Self::None, &["factor"])
            }
            "yarn" => (
                Self::yarn(o, p, about, notes)?,
                &[
                    "factor",
                    "attention_factor",
                    "beta_fast",
                    "beta_slow",
                    "mscale",
                    "mscale_all_dim",
                    "truncate",
                    "extrapolation_factor",
                ],
            ),
            "proportional" if is_proportional(about.family) => {
                let part = p.positive_f32("partial_rotary_factor")?;
                let part = part.unwrap_or(PROPORTIONAL_PART);
                if part > 1.0 {
                    let problem = format!("{part} is more than whole heads");
                    return Err(p.error("partial_rotary_factor", problem));
                }
                (Self::Proportional { part }, &[])
            }
            "longrope" | "su" if about.family.key(Field::OriginalContext).is_some() => (
                Self::long(o, p, about, notes)?,
                &["factor", "attention_factor", "short_factor", "long_factor"],
            ),
            "llama3" => (
                Self::llama3(o, p, notes)?,
                &["factor", "low_freq_factor", "high_freq_factor"],
            ),
            other => {
                return Err(p.error(
                    "rope_type",
                    format!(
                        "{} is not supported, supported are default, linear, dynamic, yarn and \
                         llama3",
                        Brief(other)
                    ),
                ));
            }
        };
        let unused = p.iter().filter(|(key, value)| {
            let known = keys.contains(key)
                || ANY_KIND.contains(key)
                || SECTION_KEYS.contains(key)
                || about.family.reads(&format!("rope.{key}"));
            // Factors of 1 change nothing.
            !known && !value.is_null() && value.as_f64() != Some(1.0)
        });
        if let Some(names) = json::names(unused) {
            let message = format!("not used: scaling of the kind {name} does not have these keys");
            p.note(notes, &names, message);
        }
        Ok(scaling)
    }

    fn yarn(o: &Object<'_>, p: &Object<'_>, about: &About, notes: &Notes) -> Result<Self, Error> {
        let context = about.context;
        let original = original_context(o, p, notes)?;
        let factor = match (p.positive_f32("factor")?, original) {
            (Some(factor), _) => factor,
            (None, Some(original)) => context as f32 / original as f32,
            (None, None) => return Err(p.error("factor", "missing")),
        };
        // The factor of the rotated numbers that 1, or another weight of the logarithm, gives.
        let magnitude = |weight: f64| {
            let factor = f64::from(factor);
            if factor > 1.0 {
                0.1 * weight * factor.ln() + 1.0
            } else {
                1.0
            }
        };
        let attention_factor = p.positive_f32("attention_factor")?;
        let given = |key| Ok::<_, Error>(p.f32(key)?.filter(|x| *x != 0.0).map(f64::from));
        let pair = given("mscale")?.zip(given("mscale_all_dim")?);
        let total = match (attention_factor, pair) {
            (Some(factor), _) => Some(f64::from(factor)),
            (None, Some((over, under))) => Some(magnitude(over) / magnitude(under)),
            (None, None) => None,
        };
        let attn_factor = match (total, about.log_multiplier) {
            (None, None) => None,
            (total, weight) => {
                let weight = weight.map_or(0.0, f64::from);
                let told = magnitude(1.0) / magnitude(weight);
                let factor = total.unwrap_or(magnitude(1.0)) / told;
                // What the other key says already needs no key.
                (weight == 0.0 || (factor - 1.0).abs() > 1e-6).then_some(factor as f32)
            }
        };
        if let Some(factor) = attn_factor.filter(|factor| !factor.is_finite() || *factor <= 0.0) {
            let problem = format!("{factor} times the usual magnitude, expected a number above 0");
            return Err(p.error("mscale", problem));
        }
        let ext_factor = p.f32("extrapolation_factor")?;
        if let Some(factor) = ext_factor.filter(|factor| *factor != 1.0) {
            let message =
                format!("{factor} is written, but neither transformers nor GGUF's readers use it");
            p.note(notes, "extrapolation_factor", message);
        }
        // 0 means the usual value.
        let beta = |key| match p.f32(key)? {
            Some(0.0) => Ok(None),
            _ => p.positive_f32(key),
        };
        let (beta_fast, beta_slow) = (beta("beta_fast")?, beta("beta_slow")?);
        let (fast, slow) = (beta_fast.unwrap_or(32.0), beta_slow.unwrap_or(1.0));
        if fast < slow {
            let problem = format!("{fast} is below beta_slow, {slow}");
            return Err(p.error("beta_fast", problem));
        }
        Ok(Self::Yarn {
            factor,
            original_context: original.unwrap_or(context),
            ext_factor,
            attention_factor,
            attn_factor,
            beta_fast,
            beta_slow,
            truncate: p.bool("truncate")?.unwrap_or(true),
        })
    }

    fn long(o: &Object<'_>, p: &Object<'_>, about: &About, notes: &Notes) -> Result<Self, Error> {
        let list = |key| p.required(key, p.positive_f32s(key)?);
        let original = original_context(o, p, notes)?.unwrap_or(about.context);
        let stretch = f64::from(about.context) / f64::from(original);
        let usual = match stretch > 1.0 {
            true => (1.0 + stretch.ln() / f64::from(original).ln()).sqrt(),
            false => 1.0,
        };
        Ok(Self::Long {
            short: list("short_factor")?,
            long: list("long_factor")?,
            attention_factor: p.positive_f32("attention_factor")?.unwrap_or(usual as f32),
        })
    }

    fn llama3(o: &Object<'_>, p: &Object<'_>, notes: &Notes) -> Result<Self, Error> {
        let low = p.positive_f32("low_freq_factor")?.unwrap_or(1.0);
        let high = p.positive_f32("high_freq_factor")?.unwrap_or(4.0);
        if low >= high {
            let problem = format!("{low} is not below high_freq_factor, {high}");
            return Err(p.error("low_freq_factor", problem));
        }
        Ok(Self::Llama3 {
            factor: p.positive_f32("factor")?.unwrap_or(8.0),
            low_freq_factor: low,
            high_freq_factor: high,
            original_context: original_context(o, p, notes)?.unwrap_or(8192),
        })
    }

    /// What rotary frequencies are divided by, where tensors say it: names, and one f32 for each of
    /// the pairs of a head that turn.
    pub(crate) fn divisors(&self, theta: f32, rotary_dims: u32) -> Vec<(&'static str, Vec<f32>)> {
        match self {
            Self::Long { short, long, .. } => {
                vec![(FACTORS_LONG, long.clone()), (FACTORS_SHORT, short.clone())]
            }
            Self::Proportional { part } => {
                let pairs = rotary_dims as usize / 2;
                let turning = (f64::from(rotary_dims) * f64::from(*part) / 2.0) as usize;
                let mut divisors = vec![1.0; turning.min(pairs)];
                divisors.resize(pairs, NO_TURN);
                vec![(ROPE_FREQS, divisors)]
            }
            _ => {
                let divisors = self.frequency_divisors(theta, rotary_dims);
                divisors.map(|d| (ROPE_FREQS, d)).into_iter().collect()
            }
        }
    }

    /// Checks that there are as many divisors as a head has pairs that turn.
    pub(super) fn check(&self, o: &Object<'_>, rotary_dims: u32) -> Result<(), Error> {
        let Self::Long { short, long, .. } = self else {
            return Ok(());
        };
        for (key, list) in [("short_factor", short), ("long_factor", long)] {
            let (found, pairs) = (list.len(), rotary_dims / 2);
            if found != pairs as usize {
                let problem = format!("{found} numbers, expected one for each of {pairs} pairs");
                return Err(o.error(key, problem));
            }
        }
        Ok(())
    }

    /// What each rotary frequency is divided by, one f32 for each pair of a head. `None` for kinds
    /// other than Llama 3's.
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
            // A number divided by a tensor is the number times the reciprocal, where the reference
            // computes this.
            let wavelength = frequency.recip() * (2.0 * PI);
            if wavelength < short {
                1.0
            } else if wavelength > long {
                factor
            } else {
                let turns = wavelength.recip() * context;
                let smooth = (turns - low_freq_factor) / (high_freq_factor - low_freq_factor);
                1.0 / ((1.0 - smooth) / factor + smooth)
            }
        };
        Some((0..head_dim / 2).map(divisor).collect())
    }
}

/// The context that the model had before it was extended. Beside the object it counts more than
/// inside.
fn original_context(o: &Object<'_>, p: &Object<'_>, notes: &Notes) -> Result<Option<u32>, Error> {
    let (outside, inside) = (o.size(ORIGINAL, u32::MAX)?, p.size(ORIGINAL, u32::MAX)?);
    if let (Some(outside), Some(inside)) = (outside, inside)
        && outside != inside
    {
        let message = format!("{inside} is not used, {outside} beside the object counts");
        p.note(notes, ORIGINAL, message);
    }
    Ok(outside.or(inside))
}
