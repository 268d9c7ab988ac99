//! Models of images or sound around a text model: the text model is what is read.
//!
//! Their config.json has the text model's own configuration in an object. What that object does not
//! say, the keys around it may, and else the default of the text model's class. The class is told by
//! the object's `model_type`, which is the beginning of the class's name in other letters.

use crate::Error;
use crate::error::Brief;
use crate::json::Object;
use aeolus_arch::FAMILIES;
use serde_json::Value;

const TEXT: &str = "text_config";

/// Classes whose text model computes something else than the class that it names.
const OTHERWISE: [(&str, &str); 1] = [(
    "PaliGemmaForConditionalGeneration",
    "attention to a prompt in both directions",
)];

/// The configuration and the class of the text model inside a model of a class that no family has.
/// `None` where there is none inside.
pub(super) fn text_model<'a>(
    o: &Object<'a>,
    class: &str,
) -> Result<Option<(Object<'a>, &'static str)>, Error> {
    let Some(text) = o.over(TEXT)? else {
        return Ok(None);
    };
    let found = Brief(class);
    if let Some((_, what)) = OTHERWISE.iter().find(|(other, _)| *other == class) {
        let problem = format!("{found} is not supported: no GGUF architecture has {what}");
        return Err(o.error("architectures", problem));
    }
    // transformers writes the keys that differ from the defaults, the kind of the text model among
    // them in all but the oldest files.
    let inner = o.get(TEXT).unwrap_or(&Value::Null);
    let stated = inner.get("architectures").and_then(|names| names.get(0));
    let kind = inner.get("model_type").and_then(Value::as_str);
    let inside = stated.and_then(Value::as_str).and_then(known_class);
    if let Some(inside) = inside.or_else(|| class_of_type(kind?)) {
        return Ok(Some((text, inside)));
    }
    let problem = match kind {
        Some(kind) => format!("{} is not supported, nor is {found} around it", Brief(kind)),
        None => format!("missing: it says what the text model of {found} is"),
    };
    Err(text.error("model_type", problem))
}

fn classes() -> impl Iterator<Item = &'static str> {
    FAMILIES.iter().flat_map(|family| family.classes).copied()
}

fn known_class(class: &str) -> Option<&'static str> {
    classes().find(|known| *known == class)
}

/// The class of a `model_type`.
fn class_of_type(kind: &str) -> Option<&'static str> {
    classes().find(|class| type_is_of_class(kind, class))
}

/// Whether a `model_type` is that of a class: `gemma3_text` and `gemma3` of Gemma3ForCausalLM.
pub(super) fn type_is_of_class(kind: &str, class: &str) -> bool {
    let letters = |name: &str| name.replace(['_', '-'], "").to_ascii_lowercase();
    let class = class.trim_end_matches("ForCausalLM");
    letters(kind.trim_end_matches("_text")) == letters(class)
}
