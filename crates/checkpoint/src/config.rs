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
    Absent, FAMILIES, Family, Field, Hyperparameters, Kind, LayerKind, Line, Presence, Recurrence,
    Required, family_of_class,
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
    /// Layers behind the others that predict further tokens, and are not kept.
    predict_layers: u32,
    /// The class of the model of images or sound around this one.
    pub(crate) multimodal: Option<String>,
    pub(crate) rope_scaling: RopeScaling,
    /// How many pairs of a head turn by each of several positions, for families that say so.
    pub(crate) rotary_sections: [i32; 4],
    /// The output projection is the embedding, and no tensor of its own.
    pub(crate) tied_embeddings: bool,
    /// The fields that declare biases, or that tensors are left out, and are true.
    declared: Vec<&'static str>,
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
        let (mut values, rope) = hyperparameters(o, class, family, limits, notes)?;
        let predict_layers = match values.remove(&Field::PredictLayers) {
            Some(arch::Value::Size(layers)) => layers,
            _ => 0,
        };
        let bounds = limits.bounds();
        let own = family.defaults.iter().filter(|(of, field, value)| {
            *of == class && value.is_none() && !values.contains_key(field)
        });
        let own: Vec<Field> = own.map(|(_, field, _)| *field).collect();
        let kinds = layer_kinds(o, family, &values)?;
        let hyper = Hyperparameters::complete(family, values, kinds, &bounds).map_err(|problem| {
            let names = family.key(problem.field).map_or(&[][..], |key| key.config);
            o.error(names.first().unwrap_or(&"top level"), problem.problem)
        });
        let mut hyper = hyper?;
        own.into_iter()
            .for_each(|field| hyper.leave_unstated(field));
        rope.scaling.check(o, hyper.rotary_dims())?;
        refuse_unsupported(o, &hyper)?;
        fields::tell_window(o, hyper.context(), class, family, notes);
        fields::tell_unused(o, family, notes);
        let mut declared: Vec<&'static str> = Vec::new();
        for line in family.tensors {
            if let Presence::Bias(Some(key)) | Presence::NotInGlobal(key) = line.presence
                && o.bool(key)? == Some(true)
            {
                declared.push(key);
            }
        }
        Ok(Self {
            hyper,
            predict_layers,
            multimodal,
            rope_scaling: rope.scaling,
            rotary_sections: rope.sections,
            tied_embeddings: o.bool("tie_word_embeddings")?.unwrap_or(family.tied),
            declared,
            dtype: ["dtype", "torch_dtype"]
                .into_iter()
                .find_map(|key| Some((key, o.get(key)?.as_str()?.to_owned()))),
            quantization: quantization(o)?,
            token_ids: token_ids(o)?,
        })
    }

    /// The same with the layers that predict further tokens.
    pub(crate) fn with_predict_layers(self, path: &Path, limits: &Limits) -> Result<Self, Error> {
        let hyper = self
            .hyper
            .with_predict_layers(self.predict_layers, &limits.bounds());
        Ok(Self {
            hyper: hyper
                .map_err(|problem| Error::key(path, "num_nextn_predict_layers", problem.problem))?,
            predict_layers: 0,
            ..self
        })
    }

    /// Whether a tensor of the framework's name is of a layer that predicts a further token and is not
    /// kept.
    pub(crate) fn predicts(&self, plain: &str) -> bool {
        let layer = self.hyper.family().layer_of_hf(plain);
        let first = self.hyper.layers();
        layer.is_some_and(|n| (first..first.saturating_add(self.predict_layers)).contains(&n))
    }

    /// Whether the file says that weights are MXFP4.
    pub(crate) fn is_mxfp4(&self) -> bool {
        self.quantization
            .as_ref()
            .is_some_and(|method| method.ends_with(": mxfp4"))
    }

    /// Whether there are biases that a field declares; those without a field are always there.
    pub(crate) fn declares_bias(&self, key: Option<&str>) -> bool {
        key.is_none_or(|key| self.declares(key))
    }

    /// Whether a field that a tensor's presence depends on is true.
    pub(crate) fn declares(&self, key: &str) -> bool {
        self.declared.contains(&key)
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
    let global_object = global_layers(o, family)?;
    for key in family.fields().filter(|key| key.field != Field::RotaryBase) {
        for name in key.config {
            let within = [
                ("rope.", &rope_object),
                ("local.", &local_object),
                ("global.", &global_object),
            ];
            let mut within = within.into_iter();
            let within =
                within.find_map(|(start, object)| Some((name.strip_prefix(start)?, object)));
            let (o, name) = match within {
                Some((name, Some(object))) => (object, name),
                Some((_, None)) => continue,
                None => (o, *name),
            };
            let is_number = key.field.kind() != Kind::Gating;
            if is_number && key.field.zero_is_none() && o.f32(name)? == Some(0.0) {
                continue;
            }
            let value = match key.field.kind() {
                Kind::Size | Kind::Count => {
                    let (min, max) = (key.field.min(), key.field.max(&bounds));
                    o.whole(name, min, max)?.map(arch::Value::Size)
                }
                Kind::Gating => gating(o, name)?.map(arch::Value::Size),
                Kind::Number if key.field == Field::YarnLogTenth => {
                    // A tenth of what the file has, as the reference computes it.
                    let weight = o
                        .positive_f32(name)?
                        .and(o.get(name))
                        .and_then(Value::as_f64);
                    weight.map(|weight| arch::Value::Number((0.1 * weight) as f32))
                }
                Kind::Number => o.positive_f32(name)?.map(arch::Value::Number),
                Kind::Flag => o.bool(name)?.map(arch::Value::Flag),
            };
            if let Some(value) = value {
                values.entry(key.field).or_insert(value);
            }
        }
    }
    // One expert is none, in a family that has dense models.
    let may_be_dense = family
        .key(Field::Experts)
        .is_some_and(|key| key.absent == Absent::Default);
    if may_be_dense && values.get(&Field::Experts) == Some(&arch::Value::Size(1)) {
        values.remove(&Field::Experts);
    }
    for (of, field, value) in family.defaults {
        if let (true, Some(value)) = (*of == class, value) {
            values.entry(*field).or_insert(*value);
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
        // What it takes from the rotated numbers is what they have.
        _ => values.contains_key(&Field::YarnLogTenth).then_some(1.0),
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

/// What `per_layer_config` says of the layers that see everything, in the newest spelling of families in
/// which these have other sizes. They are all alike, and the others are not in it.
fn global_layers<'a>(o: &Object<'a>, family: &Family) -> Result<Option<Object<'a>>, Error> {
    const KEY: &str = "per_layer_config";
    const KINDS: &str = "layer_types";
    let Some(layers) = o.object(KEY)?.filter(|_| family.reads(KEY)) else {
        return Ok(None);
    };
    let kinds = o.get(KINDS).and_then(Value::as_array);
    let kinds = o.required(KINDS, kinds)?;
    let mut first: Option<(&str, &Value)> = None;
    for (layer, sizes) in layers.iter() {
        let kind = layer.parse().ok().and_then(|n: usize| kinds.get(n));
        let is_global = kind.and_then(Value::as_str) == Some("full_attention");
        let (name, all) = *first.get_or_insert((layer, sizes));
        if !is_global || sizes != all {
            let problem = format!("another size than layer {name} is not supported in this layer");
            return Err(layers.error(layer, problem));
        }
    }
    match first {
        Some((layer, _)) => layers.object(layer),
        None => Ok(None),
    }
}

/// What config.json calls the layers that carry a state, in families that have some.
fn recurrent_kind(family: &Family) -> Option<&'static str> {
    match family.graph?.recurrence {
        Recurrence::None => None,
        Recurrence::ShortConvolution => Some("conv"),
        Recurrence::DeltaNet => Some("linear_attention"),
    }
}

/// The kinds of the layers, for families in which they differ and where the file says them: a word for
/// each layer, or the numbers of those with attention.
fn layer_kinds(
    o: &Object<'_>,
    family: &Family,
    values: &BTreeMap<Field, arch::Value>,
) -> Result<Option<Vec<LayerKind>>, Error> {
    const KINDS: &str = "layer_types";
    const ATTENDING: &str = "full_attn_idxs";
    let recurrent = recurrent_kind(family);
    let has_local = family
        .keys
        .iter()
        .any(|line| matches!(line, Line::LocalLayers));
    let local = has_local.then_some("sliding_attention");
    let count = match values.get(&Field::Layers) {
        Some(arch::Value::Size(count)) if recurrent.is_some() || has_local => *count as usize,
        _ => return Ok(None),
    };
    let list = |key: &str| match o.get(key) {
        None => Ok(None),
        Some(Value::Array(items)) => Ok(Some(items)),
        Some(other) => Err(o.error(key, format!("expected an array, found {}", describe(other)))),
    };
    if let Some(items) = list(KINDS)? {
        // A list for more layers than there are counts by its beginning, as it does for the framework.
        if items.len() < count {
            let problem = format!(
                "{} items, expected one for each of {count} layers",
                items.len()
            );
            return Err(o.error(KINDS, problem));
        }
        let kind = |item: &Value| match item.as_str() {
            Some("full_attention") => Ok(LayerKind::Global),
            Some(word) if Some(word) == local => Ok(LayerKind::Local),
            Some(word) if Some(word) == recurrent => Ok(LayerKind::Recurrent),
            _ => {
                let words = ["full_attention"].into_iter().chain(local).chain(recurrent);
                let words = words.collect::<Vec<_>>().join(" or ");
                let problem = format!("expected {words} for each layer, found {}", describe(item));
                Err(o.error(KINDS, problem))
            }
        };
        let kinds = items.iter().take(count).map(kind);
        let mut kinds = kinds.collect::<Result<Vec<_>, _>>()?;
        if let (Some(last), true) = (kinds.last_mut(), has_local) {
            // The framework makes it so.
            *last = LayerKind::Global;
        }
        return Ok(Some(kinds));
    }
    let Some(items) = list(ATTENDING)?.filter(|_| recurrent.is_some()) else {
        return Ok(None);
    };
    let mut kinds = vec![LayerKind::Recurrent; count];
    for item in items {
        let layer = item.as_u64().and_then(|n| usize::try_from(n).ok());
        let Some(kind) = layer.and_then(|layer| kinds.get_mut(layer)) else {
            let problem = format!("expected numbers below {count}, found {}", describe(item));
            return Err(o.error(ATTENDING, problem));
        };
        *kind = LayerKind::Global;
    }
    Ok(Some(kinds))
}

/// What a router's scores become: GGUF's number for config.json's word.
fn gating(o: &Object<'_>, key: &str) -> Result<Option<u32>, Error> {
    let Some(word) = o.str(key)? else {
        return Ok(None);
    };
    let known = arch::GATINGS.iter().find(|(known, ..)| *known == word);
    let known = known.filter(|(known, ..)| !known.is_empty());
    match known {
        Some((_, number, _)) => Ok(Some(*number)),
        None => {
            let problem = format!(
                "{} is not supported, supported are softmax and sigmoid",
                Brief(word)
            );
            Err(o.error(key, problem))
        }
    }
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
            Required::Factor(x) => (
                found.as_f64().is_some_and(|found| found as f32 == x as f32),
                format!("only {x} is"),
            ),
            Required::Nothing => (fields::is_off(found), "only an empty list is".to_owned()),
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
    let read = |key: &&str| hyper.family().reads(key);
    for key in fields::EXPERTS.iter().filter(|key| !read(key)) {
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
