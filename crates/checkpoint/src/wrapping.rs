//! Tensor names that are the framework's but for what was put around the model when it was saved.
//!
//! A model that is compiled, trained on several devices, adapted or part of a larger one is saved
//! with more in front of every name; one that was loaded without its output head, with less. Where
//! the embedding's name begins is where all others begin, so that it tells what to take off.

use aeolus_arch::{Family, HfNames};
use std::borrow::Cow;
use std::collections::BTreeSet;

/// Parts of a name that stand for a wrapper, wherever they are.
const WRAPPERS: [&str; 3] = [
    "_orig_mod",
    "_fsdp_wrapped_module",
    "_checkpoint_wrapped_module",
];

/// How a checkpoint's names differ from the framework's.
#[derive(Debug)]
pub(crate) struct Wrapping {
    family: &'static Family,
    /// What stands before `embed_tokens`, `layers` and `norm`: usually the family's own.
    backbone: String,
    /// One of [`WRAPPERS`] is in the names.
    wrapper: Option<&'static str>,
}

impl Wrapping {
    /// The wrapping of these names of a model of a family.
    pub(crate) fn of<'a>(family: &'static Family, all: impl Iterator<Item = &'a str>) -> Self {
        let mut backbone = None;
        let mut wrapper = None;
        let embedding = family.hf_name("token_embd.weight").unwrap_or_default();
        let embedding = embedding.strip_prefix(family.names.backbone);
        let embedding = embedding.unwrap_or("embed_tokens.weight");
        for name in all {
            let bare = bare(name);
            if matches!(bare, Cow::Owned(_)) {
                wrapper = wrapper.or(WRAPPERS.into_iter().find(|w| name.contains(w)));
            }
            if let Some(before) = bare.strip_suffix(embedding)
                && (before.is_empty() || before.ends_with('.'))
            {
                backbone.get_or_insert_with(|| before.to_owned());
            }
        }
        Self {
            backbone: backbone.unwrap_or_else(|| family.names.backbone.into()),
            family,
            wrapper,
        }
    }

    /// The framework's name of a tensor; `None` for one that is outside of the wrapping.
    pub(crate) fn plain<'a>(&self, name: &'a str) -> Option<Cow<'a, str>> {
        let HfNames { backbone, .. } = self.family.names;
        let output = self.family.output();
        let bare = bare(name);
        let head = |at: usize| Cow::Owned(bare[at..].to_owned());
        if let Some(rest) = bare.strip_prefix(&*self.backbone) {
            return Some(match rest.starts_with(output) {
                true => head(self.backbone.len()),
                false if self.backbone == backbone => bare,
                false => Cow::Owned(format!("{backbone}{rest}")),
            });
        }
        // The head is beside the backbone, or further out.
        let at = bare.find(output)?;
        match (at, self.backbone.starts_with(&bare[..at])) {
            (0, _) => Some(bare),
            (_, true) => Some(head(at)),
            (_, false) => None,
        }
    }

    /// What to say of it, `None` where names are as usual.
    pub(crate) fn note(&self) -> Option<String> {
        let own = self.family.names.backbone;
        let outside = self.backbone.strip_suffix(own);
        // `language_model.` ends like it, and is a part of its own.
        let backbone = outside.filter(|outside| outside.is_empty() || outside.ends_with('.'));
        let wrapper = self.wrapper.map(|part| format!("{part}."));
        let prefix = match backbone {
            Some("") if wrapper.is_none() => return None,
            Some("") => String::new(),
            Some(prefix) => prefix.to_owned(),
            None if self.backbone.is_empty() => {
                return Some(format!(
                    "tensor names lack the prefix {own}, as AutoModel saves them; it was put in front"
                ));
            }
            None => self.backbone.clone(),
        };
        let parts: Vec<String> = wrapper
            .into_iter()
            .chain((!prefix.is_empty()).then_some(prefix))
            .collect();
        Some(format!(
            "tensor names have {} in them, which a wrapper around the model left there; it was \
             taken out",
            parts.join(" and ")
        ))
    }

    /// What to say of a model of images or sound, of which these names were left out.
    pub(crate) fn note_multimodal(&self, class: &str, left_out: &[&str]) -> String {
        let outer = self.backbone.split_inclusive('.').next().unwrap_or("");
        let module = |name: &&str| {
            let start = if name.starts_with(outer) {
                outer.len()
            } else {
                0
            };
            let end = name[start..].find('.').map(|end| start + end);
            name[..end.unwrap_or(name.len())].to_owned()
        };
        let modules: BTreeSet<String> = left_out.iter().map(module).collect();
        let modules = modules.into_iter().collect::<Vec<_>>().join(", ");
        let rest = match left_out.len() {
            0 => String::new(),
            1 => format!("; left out: 1 tensor ({modules})"),
            count => format!("; left out: {count} tensors ({modules})"),
        };
        format!("{class} holds a text model and more: the text model is converted{rest}")
    }

    /// Whether a tensor that the text model does not have belongs to what is around it.
    pub(crate) fn is_outside(&self, name: &str) -> bool {
        let layers = format!("{}{}", self.family.names.backbone, self.family.names.layers);
        let plain = self.plain(name);
        plain.is_none_or(|plain| {
            self.family.line_of_hf(&plain).is_none() && !plain.starts_with(&layers)
        })
    }

    /// The names are those of a model without its head.
    pub(crate) fn is_headless(&self) -> bool {
        self.backbone.is_empty()
    }
}

/// A name without the parts that stand for wrappers.
fn bare(name: &str) -> Cow<'_, str> {
    if !name.split('.').any(|part| WRAPPERS.contains(&part)) {
        return Cow::Borrowed(name);
    }
    let parts = name.split('.').filter(|part| !WRAPPERS.contains(part));
    Cow::Owned(parts.collect::<Vec<_>>().join("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: [&str; 4] = [
        "lm_head.weight",
        "model.embed_tokens.weight",
        "model.layers.0.self_attn.q_proj.weight",
        "model.norm.weight",
    ];

    /// The names with `prefix` in front, seen through their wrapping, and what is said of it.
    fn seen(all: &[String]) -> (Vec<Option<String>>, Option<String>) {
        let llama = aeolus_arch::family_of_architecture("llama").unwrap();
        let wrapping = Wrapping::of(llama, all.iter().map(String::as_str));
        let plain = all.iter().map(|name| wrapping.plain(name));
        let plain = plain.map(|name| name.map(Cow::into_owned)).collect();
        (plain, wrapping.note())
    }

    #[test]
    fn any_prefix_that_all_names_share_is_taken_off_and_named() {
        let expected = PLAIN.map(|name| Some(name.to_owned()));
        for prefix in [
            "",
            "base_model.model.",
            "_orig_mod.",
            "module.",
            "module._orig_mod.",
            "transformer.",
            "language_model.",
            "_fsdp_wrapped_module.",
        ] {
            let all = PLAIN.map(|name| format!("{prefix}{name}"));
            let (plain, note) = seen(&all);
            assert_eq!(plain, expected, "{prefix}");
            assert_eq!(note.is_none(), prefix.is_empty(), "{prefix}: {note:?}");
            for part in prefix.split('.').filter(|part| !part.is_empty()) {
                assert!(note.as_ref().unwrap().contains(part), "{prefix}: {note:?}");
            }
        }
    }

    #[test]
    fn wrappers_of_single_modules_and_backbones_of_other_names_are_seen_through() {
        let expected = PLAIN.map(|name| Some(name.to_owned()));
        for all in [
            // Only the inside is compiled.
            [
                "lm_head.weight",
                "model._orig_mod.embed_tokens.weight",
                "model._orig_mod.layers.0.self_attn.q_proj.weight",
                "model._orig_mod.norm.weight",
            ],
            [
                "lm_head.weight",
                "model.embed_tokens.weight",
                "model.layers.0._checkpoint_wrapped_module.self_attn.q_proj.weight",
                "model.norm.weight",
            ],
            // Head and layers at one level.
            [
                "lm_head.weight",
                "embed_tokens.weight",
                "layers.0.self_attn.q_proj.weight",
                "norm.weight",
            ],
            [
                "transformer.lm_head.weight",
                "transformer.embed_tokens.weight",
                "transformer.layers.0.self_attn.q_proj.weight",
                "transformer.norm.weight",
            ],
            [
                "lm_head.weight",
                "transformer.embed_tokens.weight",
                "transformer.layers.0.self_attn.q_proj.weight",
                "transformer.norm.weight",
            ],
        ] {
            let (plain, note) = seen(&all.map(str::to_owned));
            assert_eq!(plain, expected, "{all:?}");
            assert!(note.is_some(), "{all:?}");
        }
    }

    #[test]
    fn a_part_that_only_ends_like_the_backbone_is_named_whole() {
        let names = PLAIN.map(|name| match name.strip_prefix("model.") {
            Some(rest) => format!("model.language_model.{rest}"),
            None => name.to_owned(),
        });
        let (plain, note) = seen(&names);
        assert_eq!(plain, PLAIN.map(|name| Some(name.to_owned())));
        let note = note.unwrap();
        assert!(note.contains("have model.language_model. in"), "{note}");
    }

    #[test]
    fn names_outside_of_the_wrapping_have_no_plain_form() {
        let all = [
            "module.model.embed_tokens.weight",
            "model.norm.weight",
            "vision.lm_head.weight",
        ];
        let (plain, _) = seen(&all.map(str::to_owned));
        assert_eq!(plain[1..], [None, None]);
        let (plain, note) = seen(&["odd.weight".to_owned()]);
        assert_eq!((plain, note), (vec![None], None));
    }
}
