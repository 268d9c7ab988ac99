//! The chat template: how a list of messages becomes one text.

use crate::Error;
use crate::files::Folder;
use crate::json::{Object, describe};
use crate::notes::Notes;
use aeolus_gguf::{Array, Metadata};
use serde_json::Value;

/// Templates of one tokenizer, far more than any has: each becomes a key, and each key is compared
/// with all others.
const MAX_TEMPLATES: usize = 256;

/// One template, or several by name.
#[derive(Debug, PartialEq)]
pub(super) enum ChatTemplate {
    One(String),
    Named(Vec<(String, String)>),
}

impl ChatTemplate {
    /// From chat_template.jinja, else tokenizer_config.json, else chat_template.json. An empty one
    /// counts as none.
    pub(super) fn read(
        folder: &Folder<'_>,
        config: Option<&Object<'_>>,
        notes: &Notes,
    ) -> Result<Option<Self>, Error> {
        const JINJA: &str = "chat_template.jinja";
        const MORE: &str = "additional_chat_templates";
        let limit = folder.limits.tokenizer_config_bytes;
        let more = folder.path.join(MORE);
        if more.is_dir() {
            notes.add(&more, "the templates in it are not read");
        }
        let of_file = folder.text(JINJA, limit)?.map(|text| {
            let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
            Self::One(text.into())
        });
        let of_file = of_file.filter(Self::has_text);
        let of_config = config.map(Self::from_object).transpose()?.flatten();
        match (of_file, of_config) {
            (Some(file), config) => {
                if config.is_some_and(|config| config != file) {
                    let message = "it is not the chat_template of tokenizer_config.json; this file \
                                   is taken, as transformers does";
                    notes.add(&folder.path.join(JINJA), message);
                }
                return Ok(Some(file));
            }
            (None, Some(config)) => return Ok(Some(config)),
            (None, None) => {}
        }
        let (path, value) = folder.value("chat_template.json", limit)?;
        match value {
            Some(value) => Self::from_object(&Object::new(&path, &value)?),
            None => Ok(None),
        }
    }

    fn has_text(&self) -> bool {
        match self {
            Self::One(text) => !text.trim().is_empty(),
            Self::Named(named) => !named.is_empty(),
        }
    }

    /// The template of a key, `None` for an empty one.
    fn from_object(o: &Object<'_>) -> Result<Option<Self>, Error> {
        const KEY: &str = "chat_template";
        let template = match o.get(KEY) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(Self::One(text.clone()))),
            Some(Value::Array(items)) if items.len() > MAX_TEMPLATES => {
                let found = items.len();
                Err(o.error(
                    KEY,
                    format!("expected at most {MAX_TEMPLATES} templates, found {found}"),
                ))
            }
            Some(Value::Array(items)) => {
                let named = items.iter().map(|item| {
                    let name = item.get("name").and_then(Value::as_str)?;
                    let template = item.get("template").and_then(Value::as_str)?;
                    Some((name.to_owned(), template.to_owned()))
                });
                let named: Option<Vec<_>> = named.collect();
                named.map(Self::Named).map(Some).ok_or_else(|| {
                    o.error(KEY, "expected items with the strings name and template")
                })
            }
            Some(other) => {
                let problem = format!("expected a string or an array, found {}", describe(other));
                Err(o.error(KEY, problem))
            }
        };
        Ok(template?.filter(Self::has_text))
    }

    /// Writes the template as GGUF keys: the default one as `tokenizer.chat_template`, others
    /// as `tokenizer.chat_template.NAME`, with their names in `tokenizer.chat_templates`. In
    /// names everything but ASCII letters and digits becomes `_`.
    pub(super) fn write(self, metadata: &mut Metadata<'static>) {
        const KEY: &str = "tokenizer.chat_template";
        let named = match self {
            Self::One(text) => {
                metadata.insert(KEY, aeolus_gguf::Value::String(text.into()));
                return;
            }
            Self::Named(named) => named,
        };
        let (mut names, mut default) = (Vec::new(), None);
        for (name, template) in named {
            let name = name.replace(|c: char| !c.is_ascii_alphanumeric(), "_");
            let template = aeolus_gguf::Value::String(template.into());
            if name == "default" {
                default = Some(template);
            } else if !name.is_empty() {
                metadata.insert(format!("{KEY}.{name}"), template);
                if !names.contains(&name) {
                    names.push(name);
                }
            }
        }
        if !names.is_empty() {
            metadata.insert("tokenizer.chat_templates", Array::from_strings(&names));
        }
        if let Some(template) = default {
            metadata.insert(KEY, template);
        }
    }
}
