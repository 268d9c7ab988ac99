//! The model card: front matter, context of the template, rendering.

mod context;
mod front_matter;

use crate::readme::without_marks;
use crate::{Collection, Error, Quality, SourceCard, escape, yaml};
use aeolus_recipe::PlanFile;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Serde, Value};
use minijinja::{AutoEscape, Environment, Output, State, UndefinedBehavior, context};

/// Which of the built-in templates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Style {
    /// What was measured, which file to choose and where everything came from; parts are marked, so that
    /// they can be [updated](crate::Readme).
    #[default]
    Y2026,
    /// The form that publishers used in late 2023.
    Y2023,
}

impl Style {
    /// The template, to start one's own from. `docs/card.md` lists what it may use.
    pub fn template(self) -> &'static str {
        match self {
            Self::Y2026 => include_str!("../templates/card.md"),
            Self::Y2023 => include_str!("../templates/card-2023.md"),
        }
    }
}

/// Where files came from.
#[derive(Clone, Debug, Default)]
pub struct Provenance {
    /// The revision of the original model on the Hub.
    pub revision: Option<String>,
    /// The plan of the files, and what its file is called.
    pub plan: Option<(String, PlanFile)>,
    /// SHA-256 of the importance matrix's file in hex, if it is known.
    pub imatrix_sha256: Option<String>,
}

/// How the environment's errors call the template.
const NAME: &str = "card.md";

/// A model card to be made. Everything but the collection may be missing.
#[derive(Clone, Debug)]
pub struct Card<'a> {
    /// The files.
    pub collection: &'a Collection,
    /// What was measured of them.
    pub quality: Option<&'a Quality>,
    /// The original model's card.
    pub source: Option<&'a SourceCard>,
    /// The original model on the Hub, `argilla/notus-7b-v1`.
    pub base_model: Option<String>,
    /// Who made the files.
    pub quantized_by: String,
    /// Where the files will be on the Hub, `someone/notus-7b-v1-GGUF`.
    pub repo: Option<String>,
    /// Where the files came from.
    pub provenance: Provenance,
    /// Which built-in template.
    pub style: Style,
    /// A template instead of the built-in ones.
    pub template: Option<String>,
}

impl<'a> Card<'a> {
    /// A card from the files alone.
    pub fn new(collection: &'a Collection) -> Self {
        Self {
            collection,
            quality: None,
            source: None,
            base_model: None,
            quantized_by: "Aeolus".into(),
            repo: None,
            provenance: Provenance::default(),
            style: Style::default(),
            template: None,
        }
    }

    /// The card: Markdown with front matter.
    ///
    /// # Errors
    /// [`Error::Template`] if the template has a mistake or asks for what is not there.
    pub fn render(&self) -> Result<String, Error> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::SemiStrict);
        let failed = |error: minijinja::Error| Error::template(&error);
        let syntax = SyntaxConfig::builder()
            .trim_blocks(true)
            .lstrip_blocks(true)
            .build();
        environment.set_syntax(syntax.map_err(failed)?);
        environment.set_auto_escape_callback(|_| AutoEscape::Custom("markdown".into()));
        environment.set_formatter(format_value);
        environment.add_filter("code", |text: &str| safe(escape::code(text)));
        environment.add_filter("shell", |text: &str| safe(escape::shell(text)));
        environment.add_filter("python", |text: &str| safe(escape::python(text)));
        environment.add_filter("url", |text: &str| safe(escape::url(text)));
        environment.add_filter("yaml", |text: &str| safe(yaml::quote(text)));
        environment.add_filter("unbroken", |text: &str| safe(unbroken(text)));
        environment.add_filter("fence", |text: &str, language: Option<&str>| {
            safe(escape::fence(
                text.trim_matches('\n'),
                language.unwrap_or(""),
            ))
        });
        let source = self.template.as_deref();
        let source = source.unwrap_or(self.style.template());
        environment.add_template(NAME, source).map_err(failed)?;
        let template = environment.get_template(NAME).map_err(failed)?;
        let card = Value::from(Serde(context::Context::new(self)));
        let front_matter = yaml::write(&front_matter::entries(self));
        let original = self
            .source
            .map(|s| without_marks(&escape::foreign_document(&s.body)));
        let text = template
            .render(context! {
                front_matter => safe(front_matter),
                original_card => original.filter(|text| !text.is_empty()).map(safe),
                ..card
            })
            .map_err(failed)?;
        Ok(squeeze(&text))
    }

    /// What keeps the card from saying that the files, or some of them, run as models of text.
    pub fn notes(&self) -> Vec<String> {
        let model = &self.collection.model;
        if let Some(what) = model.holds {
            return vec![format!("the files hold {what}, not a model")];
        }
        let files = self.collection.files.iter();
        let mut notes: Vec<String> = files
            .filter_map(|file| {
                let ty = file.foreign_type()?;
                Some(format!(
                    "llama.cpp cannot read {}: ggml does not have its tensor {ty}",
                    escape::one_line(&file.name)
                ))
            })
            .collect();
        if !model.generates_text {
            notes.push(match model.architecture.as_str() {
                "" => "the metadata does not describe a model that generates text".into(),
                name => format!(
                    "the metadata does not describe a model that generates text: its architecture \
                     is {}",
                    escape::one_line(name)
                ),
            });
        }
        notes
    }

    /// The original model's id, if it is one that the Hub could have.
    fn base_model_id(&self) -> Option<&str> {
        self.base_model.as_deref().filter(|id| is_repo_id(id))
    }
}

/// `owner/name` as the Hub has them.
pub fn is_repo_id(id: &str) -> bool {
    let part = |part: &str| {
        !part.is_empty()
            && part.len() <= 96
            && !part.starts_with(['.', '-'])
            && part
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
    };
    id.split_once('/')
        .is_some_and(|(owner, name)| part(owner) && part(name))
}

/// A figure that cells of a narrow table break before its error only.
fn unbroken(figure: &str) -> String {
    let text = escape::markdown(figure);
    text.replace(' ', "\u{a0}").replace("\u{a0}±", " ±")
}

fn safe(text: String) -> Value {
    Value::from_safe_string(text)
}

/// Every value is escaped as Markdown text unless a filter has made it safe.
fn format_value(
    out: &mut Output<'_>,
    state: &mut State<'_, '_>,
    value: &Value,
) -> Result<(), minijinja::Error> {
    if value.is_undefined() {
        return Err(minijinja::ErrorKind::UndefinedError.into());
    }
    if *state.auto_escape() == AutoEscape::None || value.is_safe() {
        write!(out, "{value}")?;
    } else {
        out.write_str(&escape::markdown(&value.to_string()))?;
    }
    Ok(())
}

/// At most one empty line in a row outside of code blocks, and one line end at the end.
fn squeeze(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut empty = 0;
    let mut fence: Option<usize> = None;
    for line in text.lines() {
        let ticks = line.chars().take_while(|c| *c == '`').count();
        match fence {
            None if ticks >= 3 => fence = Some(ticks),
            Some(open) if ticks >= open && line.trim_end().len() == ticks => fence = None,
            _ => {}
        }
        empty = if line.trim().is_empty() { empty + 1 } else { 0 };
        if fence.is_some() || empty < 2 {
            out.push_str(if empty > 0 && fence.is_none() {
                ""
            } else {
                line
            });
            out.push('\n');
        }
    }
    out.truncate(out.trim_end().len());
    out.push('\n');
    out
}
