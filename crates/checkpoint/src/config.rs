//! config.json of a Hugging Face checkpoint, read and checked.

mod fields;
mod multimodal;
mod rope;

pub(crate) use rope::{DIVISORS, RopeScaling};

use crate::error::Brief;
use crate::json::{Object, describe};
use crate::notes::Notes;
use crate::{Error, Limits, files};
use aeolus_arch as arch;
use aeolus_arch::{
    Absent, FAMILIES, Family, Field, Hyperparameters, Kind, Presence, Required, family_of_class,
};
use aeolus_gguf::TensorType;
use rope::Rope;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// All that config.json says about a model.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) hyper: Hyperparameters,
    /// The class of the model of images or sound around this one.
    pub(crate) multimodal: Option<String>,
    pub(crate) rope_scaling: RopeScaling,
    /// The output projection is the embedding, and no tensor of its own.
    pub(crate) tied_embeddings: bool,
    /// The fields that declare biases and are true.
    biases: Vec<&'static str>,
    /// `dtype` or `torch_dtype` with its value: what the weights are said to be.
    dtype: Option<(&'static str, String)>,
    /// How the weights are quantized, if the file says that they are. Files of models that were
    /// merged into unquantized weights often still say it.
    pub(crate) quantization: Option<String>,
    /// Special token ids, `(bos, 1)`: those that are whole numbers.
    pub(crate) token_ids: Vec<(&'static str, u32)>,
}

/// The kinds of special tokens that have a key `<kind>_token_id`.
pub(crate) const TOKEN_KINDS: [&str; 7] = ["bos", "eos", "unk", "sep", "pad", "cls", "mask"];

impl Config {
    /// Reads config.json.
    pub(crate) fn read(path: &Path, limits: &Limits, notes: &Notes) -> Result<Self, Error> {
        let value: Value =
            files::read_value(path, limits.config_bytes, limits)?.ok_or_else(|| {
                Error::NotACheckpoint {
                    path: path.into(),
                    problem: "no such file: a checkpoint folder holds config.json".into(),
                }
            })?;
        Self::parse(&Object::new(path, &value)?, limits, notes)
    }

    pub(crate) fn parse(o: &Object<'_>, limits: &Limits, notes: &Notes) -> Result<Self, Error> {
        let named = architecture(o)?;
        let inside = match family_of_class(named) {
            Some(_) => None,
            None => multimodal::text_model(o, named)?,
        };
        let multimodal = inside.is_some().then(|| named.to_owned());
        let (o, class) = match &inside {
            Some((text, class)) => (text, *class),
            None => (o, named),
        };
        let Some(family) = family_of_class(class) else {
            return Err(o.error("architectures", why_unknown(class)));
        };
        tell_model_type(o, class, notes);
        let (values, rope) = hyperparameters(o, class, family, limits, notes)?;
        let bounds = limits.bounds();
        let hyper = Hyperparameters::complete(family, values, &bounds).map_err(|problem| {
            let names = family.key(problem.field).map_or(&[][..], |key| key.config);
            o.error(names.first().unwrap_or(&"top level"), problem.problem)
        })?;
        rope.scaling.check(o, hyper.rotary_dims())?;
        refuse_unsupported(o, &hyper)?;
        fields::tell_window(o, hyper.context(), class, family, notes);
        fields::tell_unused(o, family, notes);
        let mut biases: Vec<&'static str> = Vec::new();
        for line in family.tensors {
            if let Presence::Bias(Some(key)) = line.presence
                && o.bool(key)? == Some(true)
            {
                biases.push(key);
            }
        }
        Ok(Self {
            hyper,
            multimodal,
            rope_scaling: rope.scaling,
            tied_embeddings: o.bool("tie_word_embeddings")?.unwrap_or(family.tied),
            biases,
            dtype: ["dtype", "torch_dtype"]
                .into_iter()
                .find_map(|key| Some((key, o.get(key)?.as_str()?.to_owned()))),
            quantization: quantization(o)?,
            token_ids: token_ids(o)?,
        })
    }

    /// Whether there are biases that a field declares; those without a field are always there.
    pub(crate) fn declares_bias(&self, key: Option<&str>) -> bool {
        key.is_none_or(|key| self.biases.contains(&key))
    }

    /// The type that the weights are said to have, for a forecast without them: where they are
    /// there, their own types count. F32 where nothing is said or the word names no type that is
    /// read, which becomes a note unless it is `auto`.
    pub(crate) fn source_type(&self, path: &Path, notes: &Notes) -> TensorType {
        let Some((key, name)) = &self.dtype else {
            return TensorType::F32;
        };
        let name = name.trim().to_ascii_lowercase();
        match name.strip_prefix("torch.").unwrap_or(&name) {
            // Weights of 64 bits are rounded to 32.
            "float32" | "fp32" | "float" | "float64" | "fp64" | "double" | "auto" => {
                TensorType::F32
            }
            "float16" | "fp16" | "half" => TensorType::F16,
            "bfloat16" | "bf16" => TensorType::BF16,
            other => {
                let kind = match other.starts_with("float8") {
                    true => {
                        "a floating-point type of 8 bits (fp8), which is not read: the \
                             original weights of 16 bits are needed"
                    }
                    false => "not a type of weights that is read",
                };
                let other = Brief(other);
                notes.add(path, format_args!("{key}: {other} is {kind}"));
                TensorType::F32
            }
        }
    }
}

/// The one architecture that the file names.
fn architecture<'a>(o: &Object<'a>) -> Result<&'a str, Error> {
    const KEY: &str = "architectures";
    let value = o.required(KEY, o.get(KEY))?;
    let names = value.as_array().map(Vec::as_slice);
    match names {
        Some([Value::String(name)]) => Ok(name),
        _ => Err(o.error(
            KEY,
            format!("expected an array of one string, found {}", describe(value)),
        )),
    }
}

/// What a class is that no family knows.
fn why_unknown(class: &str) -> String {
    const CAUSAL: &str = "ForCausalLM";
    let found = Brief(class);
    let is_known = |class: &str| family_of_class(class).is_some();
    let is_of = |end: &str| {
        let model = class.strip_suffix(end);
        model.is_some_and(|model| is_known(&format!("{model}{CAUSAL}")))
    };
    if is_of("Model") {
        return format!(
            "{found}: saved without its output head (AutoModel). Load the model it was made from \
             with AutoModelForCausalLM, put these weights in, and save that"
        );
    }
    if is_of("ForSequenceClassification") {
        return format!(
            "{found} is a classifier, not a text model: only text models are supported"
        );
    }
    if class.starts_with("PeftModel") {
        return format!(
            "{found} is a model with an adapter: merge the adapter first (merge_and_unload, then \
             save_pretrained) and convert that folder"
        );
    }
    if let Some(inner) = class.strip_prefix("FSDP").filter(|inner| is_known(inner)) {
        return format!(
            "{found} is the name of a wrapper for training (FSDP) around {inner}: write {inner} \
             there instead"
        );
    }
    let known = FAMILIES.iter().flat_map(|family| family.classes);
    let known = known.copied().collect::<Vec<_>>().join(", ");
    format!("{found} is not supported, supported are {known}")
}

/// Notes a `model_type` that is not that of the class.
fn tell_model_type(o: &Object<'_>, class: &str, notes: &Notes) {
    const KEY: &str = "model_type";
    let found = o.get(KEY).and_then(Value::as_str);
    if let Some(found) = found.filter(|found| !multimodal::type_is_of_class(found, class)) {
        let message = format!(
            "{} contradicts architectures: the model is read as {class}",
            Brief(found)
        );
        o.note(notes, KEY, message);
    }
}

/// The hyperparameters that the file states, and the rotary embedding, which has fields of its own.
fn hyperparameters(
    o: &Object<'_>,
    class: &str,
    family: &'static Family,
    limits: &Limits,
    notes: &Notes,
) -> Result<(BTreeMap<Field, arch::Value>, Rope), Error> {
    let bounds = limits.bounds();
    let mut values = BTreeMap::new();
    let rope_object = rope::object(o, family)?;
    let local_object = rope::local_object(o, family)?;
    for key in family.fields().filter(|key| key.field != Field::RotaryBase) {
        for name in key.config {
            let within = [("rope.", &rope_object), ("local.", &local_object)];
            let mut within = within.into_iter();
            let within =
                within.find_map(|(start, object)| Some((name.strip_prefix(start)?, object)));
            let (o, name) = match within {
                Some((name, Some(object))) => (object, name),
                Some((_, None)) => continue,
                None => (o, *name),
            };
            if key.field.zero_is_none() && o.f32(name)? == Some(0.0) {
                continue;
            }
            let value = match key.field.kind() {
                Kind::Size => o.size(name, key.field.max(&bounds))?.map(arch::Value::Size),
                Kind::Number => o.positive_f32(name)?.map(arch::Value::Number),
                Kind::Flag => o.bool(name)?.map(arch::Value::Flag),
            };
            if let Some(value) = value {
                values.entry(key.field).or_insert(value);
            }
        }
    }
    for (of, name) in family.explicit {
        if *of == class && o.get(name).is_none() {
            return Err(o.error(name, "missing"));
        }
    }
    let base = family.key(Field::RotaryBase).map(|key| key.absent);
    let base = match base {
        Some(Absent::Is(base)) => base as f32,
        _ => 10_000.0,
    };
    let stated = values.get(&Field::Context);
    let context = match (stated, family.key(Field::Context).map(|key| key.absent)) {
        (Some(arch::Value::Size(context)), _) => *context,
        (_, Some(Absent::Is(context))) => context as u32,
        _ => return Err(o.error("max_position_embeddings", "missing")),
    };
    let log_multiplier = match values.get(&Field::YarnLogMultiplier) {
        Some(arch::Value::Number(weight)) => Some(*weight),
        _ => None,
    };
    let about = rope::About {
        family,
        context,
        base,
        log_multiplier,
    };
    let rope = Rope::parse(o, &about, notes)?;
    values.insert(Field::RotaryBase, arch::Value::Number(rope.theta));
    Ok((values, rope))
}

/// Refuses what would give a file that loads and computes something else.
fn refuse_unsupported(o: &Object<'_>, hyper: &Hyperparameters) -> Result<(), Error> {
    for require in hyper.family().requires {
        let key = require.config;
        let Some(found) = o.get(key) else {
            continue;
        };
        let (is_right, expected) = match require.values {
            Required::Words(words) => {
                let word = o.str(key)?.unwrap_or_default();
                (words.contains(&word), format!("only {} is", words[0]))
            }
            Required::Flag(flag) => (found.as_bool() == Some(flag), format!("only {flag} is")),
            Required::Number(n) => (found.as_u64() == Some(n), format!("only {n} is")),
            Required::WindowLayers => (
                window_layers(found, hyper),
                "only the family's own layers with a window are".to_owned(),
            ),
            Required::QueryScale => {
                let scale = hyper.family().graph.map(|graph| graph.query_scale);
                let divisor = scale.map_or(1.0, |scale| hyper.query_divisor(scale));
                let is_right = found.as_f64() == Some(divisor.into());
                (
                    is_right,
                    format!("only {divisor} is for models of such a shape"),
                )
            }
            Required::RotaryLayers => (
                rotary_layers(found, hyper),
                "only the family's own layers without rotation are".to_owned(),
            ),
        };
        if !is_right {
            let problem = format!("{} is not supported, {expected}", describe(found));
            return Err(o.error(key, problem));
        }
    }
    for key in fields::EXPERTS {
        if let Some(experts) = o.get(key).filter(|n| n.as_f64().is_none_or(|n| n > 1.0)) {
            let found = describe(experts);
            let problem = format!("{found}: mixtures of experts are not supported");
            return Err(o.error(key, problem));
        }
    }
    Ok(())
}

/// Whether a list has 1 for every layer that rotates and 0 for every other. A list for more layers
/// than there are counts by its beginning, as it does for the framework.
fn rotary_layers(list: &Value, hyper: &Hyperparameters) -> bool {
    let (Some(list), Some(graph)) = (list.as_array(), hyper.family().graph) else {
        return false;
    };
    list.len() >= hyper.layers() as usize
        && list
            .iter()
            .take(hyper.layers() as usize)
            .enumerate()
            .all(|(layer, rotates)| {
                let rotates = rotates.as_u64().or(rotates.as_bool().map(u64::from));
                rotates == Some(graph.rotary_layers.contains(layer).into())
            })
}

/// Whether a list names the kinds of layers that the family has, as [`rotary_layers`] does.
fn window_layers(list: &Value, hyper: &Hyperparameters) -> bool {
    let (Some(list), Some(graph)) = (list.as_array(), hyper.family().graph) else {
        return false;
    };
    let count = hyper.layers() as usize;
    list.len() >= count
        && list.iter().take(count).enumerate().all(|(layer, kind)| {
            kind.as_str()
                == Some(match graph.window_layers.contains(layer) {
                    true => "sliding_attention",
                    false => "full_attention",
                })
        })
}

/// The method that the blocks about quantization name: transformers', and others'. A block in which
/// everything is off counts as absent.
fn quantization(o: &Object<'_>) -> Result<Option<String>, Error> {
    for key in ["quantization_config", "quantization", "compression_config"] {
        let Some(block) = o.get(key).filter(|block| !fields::is_off(block)) else {
            continue;
        };
        let method = block.get("quant_method").and_then(Value::as_str);
        return Ok(Some(match method {
            Some(method) => format!("{key}: {method}"),
            None => key.into(),
        }));
    }
    Ok(None)
}

/// The `<kind>_token_id` keys. A list (several end tokens) is passed over, since GGUF holds one;
/// so are negative numbers, with which some files say "none" (-1, -100).
fn token_ids(o: &Object<'_>) -> Result<Vec<(&'static str, u32)>, Error> {
    let mut ids = Vec::new();
    for kind in TOKEN_KINDS {
        let key = format!("{kind}_token_id");
        match o.get(&key) {
            None | Some(Value::Array(_)) => {}
            Some(value) if value.as_i64().is_some_and(i64::is_negative) => {}
            Some(value) => match value.as_u64().and_then(|id| u32::try_from(id).ok()) {
                Some(id) => ids.push((kind, id)),
                None => {
                    let found = describe(value);
                    return Err(o.error(&key, format!("expected a token id, found {found}")));
                }
            },
        }
    }
    Ok(ids)
}

#[cfg(test)]
mod tests;
