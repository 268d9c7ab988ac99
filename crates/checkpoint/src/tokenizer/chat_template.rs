//! The chat template: how a list of messages becomes one text.

use crate::Error;
use crate::files::Folder;
use crate::json::{Object, describe};
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
    /// From tokenizer_config.json, else chat_template.jinja, else chat_template.json.
    pub(super) fn read(
        folder: &Folder<'_>,
        config: Option<&Object<'_>>,
    ) -> Result<Option<Self>, Error> {
        let limit = folder.limits.tokenizer_config_bytes;
        if let Some(config) = config
            && let Some(template) = Self::from_object(config)?
        {
            return Ok(Some(template));
        }
        if let Some(text) = folder.text("chat_template.jinja", limit)? {
            return Ok(Some(Self::One(text)));
        }
        let (path, value) = folder.value("chat_template.json", limit)?;
        match value {
            Some(value) => Self::from_object(&Object::new(&path, &value)?),
            None => Ok(None),
        }
    }

    fn from_object(o: &Object<'_>) -> Result<Option<Self>, Error> {
        const KEY: &str = "chat_template";
        match o.get(KEY) {
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
        }
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
