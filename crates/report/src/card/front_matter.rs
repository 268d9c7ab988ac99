//! The YAML block that the Hub reads: what the model is, from what, by whom, under which licence.

use super::Card;
use crate::yaml::Yaml;

/// Keys of the source's front matter that hold for its quantizations too.
const COPIED: [&str; 5] = [
    "datasets",
    "language",
    "license",
    "license_link",
    "license_name",
];
/// Most entries of a list that are copied.
const MAX_LIST: usize = 100;

/// The entries, in alphabetical order.
pub(super) fn entries(card: &Card<'_>) -> Vec<(String, Yaml)> {
    let model = &card.collection.model;
    let source = |key: &str| card.source.and_then(|s| s.get(key));
    let mut entries: Vec<(String, Yaml)> = Vec::new();
    let mut add = |key: &str, value: Option<Yaml>| {
        if let Some(value) = value.filter(|v| *v != text("") && *v != Yaml::List(Vec::new())) {
            entries.push((key.into(), value));
        }
    };

    match card.base_model_id() {
        Some(id) => {
            add("base_model", Some(text(id)));
            let quantized = model.holds.is_none().then(|| text("quantized"));
            add("base_model_relation", quantized);
        }
        // Not this model but the one it was made from: better than no trace of it.
        None => add("base_model", source("base_model").cloned()),
    }
    for key in COPIED {
        add(key, source(key).cloned().map(bounded));
    }
    if source("license").is_none() {
        add("license", model.license.as_deref().map(text));
    }
    if source("language").is_none() {
        add(
            "language",
            Some(list(model.languages.iter().map(String::as_str))),
        );
    }
    add("inference", Some(Yaml::Bool(false)));
    add("library_name", Some(text("gguf")));
    let owner = card.base_model_id().and_then(|id| id.split('/').next());
    add(
        "model_creator",
        source("model_creator").cloned().or(owner.map(text)),
    );
    add("model_name", Some(text(&model.name)));
    let model_type = model.model_type.as_deref().unwrap_or(&model.architecture);
    add("model_type", Some(text(model_type)));
    // What belongs to a model does not do what the model does.
    if model.holds.is_none() {
        let ours = model.generates_text.then(|| text("text-generation"));
        add("pipeline_tag", source("pipeline_tag").cloned().or(ours));
    }
    add(
        "prompt_template",
        model.prompt.as_ref().map(|p| text(&p.template)),
    );
    add("quantized_by", Some(text(&card.quantized_by)));
    let ours: &[&str] = match model.holds {
        None => &["gguf", "quantized"],
        Some(_) => &["gguf"],
    };
    add("tags", Some(tags(source("tags"), ours)));
    entries.sort_by(|a, b| a.0.cmp(&b.0));
    entries
}

/// The source's tags and ours, each once.
fn tags<'a>(source: Option<&'a Yaml>, ours: &[&'a str]) -> Yaml {
    let mut tags: Vec<&'a str> = source.map(Yaml::texts).unwrap_or_default();
    tags.truncate(MAX_LIST);
    tags.retain(|tag| !tag.is_empty());
    for &own in ours {
        if !tags.iter().any(|tag| tag.eq_ignore_ascii_case(own)) {
            tags.push(own);
        }
    }
    list(tags.into_iter())
}

fn bounded(value: Yaml) -> Yaml {
    match value {
        Yaml::List(mut items) => {
            items.truncate(MAX_LIST);
            Yaml::List(items)
        }
        other => other,
    }
}

fn text(text: &str) -> Yaml {
    Yaml::Text(text.into())
}

fn list<'a>(items: impl Iterator<Item = &'a str>) -> Yaml {
    Yaml::List(items.map(text).collect())
}
