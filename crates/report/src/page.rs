//! The report: one HTML page that needs nothing else.

mod context;

use crate::chart::Theme;
use crate::documents::Forecast;
use crate::figures::{Figure, Figures};
use crate::{Collection, Error, Quality, Speed, TensorErrors, png, recommend};
use aeolus_imatrix::Document;
use base64::Engine;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Serde, Value};
use minijinja::{Environment, UndefinedBehavior, context};

const TEMPLATE: &str = include_str!("../templates/report.html");
const STYLE: &str = include_str!("../templates/report.css");
/// The name decides how values are escaped.
const NAME: &str = "report.html";

/// A report to be made. Everything but the collection may be missing.
#[derive(Clone, Copy, Debug)]
pub struct Report<'a> {
    /// The files.
    pub collection: &'a Collection,
    /// What was measured of them.
    pub quality: Option<&'a Quality>,
    /// How far each tensor is from its source.
    pub errors: Option<&'a TensorErrors>,
    /// How fast they run.
    pub speed: Option<&'a Speed>,
    /// The importance matrix that guided them.
    pub importance: Option<&'a Document>,
    /// What files of other sizes are predicted to cost.
    pub predicted: Option<&'a Forecast>,
}

impl<'a> Report<'a> {
    /// A report from the files alone.
    pub fn new(collection: &'a Collection) -> Self {
        Self {
            collection,
            quality: None,
            errors: None,
            speed: None,
            importance: None,
            predicted: None,
        }
    }

    /// The charts.
    pub fn figures(&self) -> Vec<Figure> {
        let recommended = recommend(self.collection, self.quality);
        Figures::new(self, &recommended).into_list()
    }

    /// The page: charts and tables, fonts and styles in one HTML document that loads nothing,
    /// runs nothing, and follows the reader's choice of light or dark.
    ///
    /// # Errors
    /// [`Error::Template`] if the built-in template fails.
    pub fn page(&self) -> Result<String, Error> {
        let recommended = recommend(self.collection, self.quality);
        let figures = Figures::new(self, &recommended);
        let mut environment = Environment::new();
        let failed = |error: minijinja::Error| Error::template(&error);
        let syntax = SyntaxConfig::builder()
            .trim_blocks(true)
            .lstrip_blocks(true)
            .build();
        environment.set_syntax(syntax.map_err(failed)?);
        environment.set_undefined_behavior(UndefinedBehavior::SemiStrict);
        environment.add_template(NAME, TEMPLATE).map_err(failed)?;
        let page = Value::from(Serde(context::Context::new(self, &recommended, &figures)));
        let template = environment.get_template(NAME).map_err(failed)?;
        template
            .render(context! { style => Value::from_safe_string(style()), ..page })
            .map_err(failed)
    }
}

/// The style sheet with the colours of the charts and the fonts in it.
fn style() -> String {
    let font = |bytes: &[u8]| base64::engine::general_purpose::STANDARD.encode(bytes);
    let print = Theme::Light.variables().replace(';', "!important;");
    STYLE
        .replace("/*light!*/", &print)
        .replace("/*light*/", &Theme::Light.variables())
        .replace("/*dark*/", &Theme::Dark.variables())
        .replace("/*regular*/", &font(png::REGULAR))
        .replace("/*semibold*/", &font(png::SEMIBOLD))
}
