//! `aeolus report`: charts and tables of a set of files, as one page or as pictures.

use super::card::ModelArgs;
use crate::output::{self, say};
use aeolus_report::chart::Theme;
use aeolus_report::documents::Forecast;
use aeolus_report::{Quality, Report, Speed, TensorErrors, png};
use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use std::path::PathBuf;
use std::process::ExitCode;

/// Make a page of charts and tables: size against quality, errors of each tensor, types, importance, speed
///
/// The page is one file that loads nothing and runs no scripts. What was measured comes from the
/// JSON of other commands, given with flags or found beside the files as quality.json, errors.json,
/// speed.json, imatrix.json and forecast.json; what was not measured is left out.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  aeolus compare notus-7b-v1 out/ -f text.txt --json > out/quality.json
  aeolus errors out/ --against notus-7b-v1 --json > out/errors.json
  aeolus report out/ --html out/report.html
  aeolus report out/ --svg charts/ --png charts/ --theme dark
  aeolus report --forecast notus-7b-v1 --html forecast.html
  aeolus forecast notus-7b-v1 --target-bpw 2,3,4,5,6 --calibrate text.txt --json > frontier.json
  aeolus report --forecast notus-7b-v1 --predicted frontier.json --html frontier.html")]
#[command(group = clap::ArgGroup::new("target").args(["html", "svg", "png"]).required(true).multiple(true))]
pub struct Args {
    #[command(flatten)]
    model: ModelArgs,

    /// Write the page here
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,

    /// Write each chart as SVG into this folder
    #[arg(long, value_name = "FOLDER")]
    svg: Option<PathBuf>,

    /// Write each chart as PNG, at twice its size, into this folder
    #[arg(long, value_name = "FOLDER")]
    png: Option<PathBuf>,

    /// Colours of --svg and --png
    #[arg(long, value_enum, default_value = "light")]
    theme: ThemeArg,

    /// Results of `table --json` or `compare --json`
    #[arg(long, value_name = "FILE")]
    quality: Option<PathBuf>,

    /// Results of `errors --json`
    #[arg(long, value_name = "FILE")]
    errors: Option<PathBuf>,

    /// Results of `run --json`, one or several after each other
    #[arg(long, value_name = "FILE")]
    speed: Option<PathBuf>,

    /// Results of `imatrix --json`
    #[arg(long, value_name = "FILE")]
    imatrix: Option<PathBuf>,

    /// Results of `forecast --json` for sizes: the frontier of chosen types against named ones
    #[arg(long, value_name = "FILE")]
    predicted: Option<PathBuf>,

    /// Replace files that exist
    #[arg(long)]
    force: bool,
}

/// Values of `--theme`.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum ThemeArg {
    /// Dark on white.
    Light,
    /// Light on near-black.
    Dark,
}

pub fn run(args: &Args) -> Result<ExitCode> {
    let results = |given: &Option<PathBuf>, name| args.model.results(given.as_deref(), name);
    let quality = results(&args.quality, "quality.json")
        .map(|path| Quality::read(&path))
        .transpose()?;
    let errors = results(&args.errors, "errors.json")
        .map(|path| TensorErrors::read(&path))
        .transpose()?;
    let speed = results(&args.speed, "speed.json")
        .map(|path| Speed::read(&path))
        .transpose()?;
    let importance = results(&args.imatrix, "imatrix.json")
        .map(|path| aeolus_report::read_importance(&path))
        .transpose()?;
    let predicted = results(&args.predicted, "forecast.json")
        .map(|path| Forecast::read_predicted(&path))
        .transpose()?;
    let files = args.model.open()?.files;
    let mut report = Report::new(files.collection());
    report.quality = quality.as_ref();
    report.errors = errors.as_ref();
    report.speed = speed.as_ref();
    report.importance = importance.as_ref();
    report.predicted = predicted.as_ref();

    let mut outputs: Vec<(PathBuf, Vec<u8>)> = Vec::new();
    if let Some(path) = &args.html {
        outputs.push((path.clone(), report.page()?.into_bytes()));
    }
    let theme = match args.theme {
        ThemeArg::Light => Theme::Light,
        ThemeArg::Dark => Theme::Dark,
    };
    for figure in report.figures() {
        if let Some(folder) = &args.svg {
            let svg = figure.chart.svg(theme).into_bytes();
            outputs.push((folder.join(format!("{}.svg", figure.name)), svg));
        }
        if let Some(folder) = &args.png {
            let png = png::encode(&figure.chart, theme, 2.0)?;
            outputs.push((folder.join(format!("{}.png", figure.name)), png));
        }
    }
    if let Some((path, _)) = outputs
        .iter()
        .find(|(path, _)| !args.force && path.exists())
    {
        bail!("{}: exists already; --force replaces it", path.display());
    }
    for (path, bytes) in &outputs {
        output::write_file(path, bytes)
            .with_context(|| format!("{}: cannot write", path.display()))?;
    }
    say(format_args!("wrote {}", written(&outputs)));
    Ok(ExitCode::SUCCESS)
}

/// `out/report.html and 14 charts`.
fn written(outputs: &[(PathBuf, Vec<u8>)]) -> String {
    match outputs {
        [(path, _)] => path.display().to_string(),
        [(path, _), rest @ ..] => format!("{} and {} more", path.display(), rest.len()),
        [] => "nothing".into(),
    }
}
