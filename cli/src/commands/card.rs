//! `aeolus card`: the model card of a set of files.

use crate::guard;
use crate::hub::{self, Headers, Needs, RemoteHeader};
use crate::options::{RecipeArgs, SourceArgs, parse_file_type};
use crate::output::{self, say};
use crate::plan;
use aeolus_checkpoint::{Forecastable, OpenOptions};
use aeolus_gguf::Metadata;
use aeolus_infer::{ChatTemplate, Message};
use aeolus_pipeline::{Format, Output};
use aeolus_recipe::{FileType, PlanFile};
use aeolus_report::{
    Card, Collection, File, HeaderFacts, Part, Prompt, Provenance, Quality, Readme, SourceCard,
    Style, folder,
};
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Write the model card of quantized files: what each is, how large, how good, how to run it
///
/// Prints Markdown with the front matter that the Hub reads. Quality columns come from
/// --quality, or from quality.json beside the files. Without a source card everything is there
/// that the files themselves say.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  aeolus card out/ > README.md
  aeolus card out/ --source notus-7b-v1 --base-model argilla/notus-7b-v1 -o out/README.md
  aeolus compare notus-7b-v1 out/ -f text.txt --json > out/quality.json && aeolus card out/
  aeolus card --forecast notus-7b-v1
  aeolus card --print-template > mine.md && aeolus card out/ --template mine.md")]
pub struct Args {
    #[command(flatten)]
    model: ModelArgs,

    /// Results of `table --json` or `compare --json` (default: quality.json beside the files)
    #[arg(long, value_name = "FILE")]
    quality: Option<PathBuf>,

    #[command(flatten)]
    card: CardArgs,

    /// Print the built-in template of a style (2026 or 2023; default: 2026) and stop
    #[arg(
        long,
        value_name = "YEAR",
        num_args = 0..=1,
        default_missing_value = "2026",
        value_parser = parse_style,
        exclusive = true
    )]
    print_template: Option<Style>,

    /// Write the card here instead of to stdout; of a card that is there, the generated parts are replaced
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,

    /// Leave out the sha256 of each file (files are read for it)
    #[arg(long, conflicts_with = "forecast")]
    no_sha256: bool,
}

/// What a card says that files do not, as `card` and `table` take it.
#[derive(clap::Args, Debug)]
pub struct CardArgs {
    /// For the model card: the original model on the Hub (default: told by the source if that lies in the
    /// Hub's cache)
    #[arg(long, value_name = "OWNER/NAME")]
    base_model: Option<String>,

    /// For the model card: where the files will be on the Hub, for links and commands
    #[arg(long, value_name = "OWNER/NAME")]
    repo: Option<String>,

    /// For the model card: who made the files (default: Aeolus)
    #[arg(long, value_name = "NAME")]
    quantized_by: Option<String>,

    /// Form of the model card: as publishers write them now, with what was measured, or as they did in 2023
    /// (default: 2026)
    #[arg(long, value_name = "YEAR", value_parser = parse_style)]
    style: Option<Style>,

    /// Use this template (minijinja) for the model card instead of a built-in one
    #[arg(long, value_name = "FILE")]
    template: Option<PathBuf>,
}

fn parse_style(text: &str) -> Result<Style, String> {
    match text {
        "2026" => Ok(Style::Y2026),
        "2023" => Ok(Style::Y2023),
        _ => Err("expected 2026 or 2023".into()),
    }
}

/// Everything that a card takes from elsewhere than the files: read, and found to be right.
pub struct Prepared {
    source_card: Option<SourceCard>,
    base_model: Option<String>,
    repo: Option<String>,
    quantized_by: Option<String>,
    style: Style,
    template: Option<String>,
    /// The original model's revision on the Hub, if it lies in the Hub's cache.
    pub revision: Option<String>,
    /// The architecture in the words of the original model's config.json.
    pub model_type: Option<String>,
}

impl CardArgs {
    /// Whether any of them was given.
    pub fn are_given(&self) -> bool {
        self.base_model.is_some()
            || self.repo.is_some()
            || self.quantized_by.is_some()
            || self.style.is_some()
            || self.template.is_some()
    }

    /// Reads the template and the original model's card.
    pub fn prepare(&self, source: Option<&Path>) -> Result<Prepared> {
        for id in self.base_model.iter().chain(&self.repo) {
            if !aeolus_report::is_repo_id(id) {
                bail!("{id:?} is not the name of a Hub repository: expected OWNER/NAME");
            }
        }
        let template = self.template.as_ref().map(|path| {
            std::fs::read_to_string(path)
                .with_context(|| format!("{}: cannot read the template", path.display()))
        });
        let source_card = match source {
            // A forecast's config.json may be named itself, or a GGUF file.
            Some(path) if path.is_file() && path.extension().is_none_or(|ext| ext != "md") => {
                path.parent().map(SourceCard::read).transpose()?.flatten()
            }
            Some(path) => SourceCard::read(path)?,
            None => None,
        };
        let base_model = self.base_model.clone();
        Ok(Prepared {
            source_card,
            base_model: base_model.or_else(|| source.and_then(aeolus_report::hub_id)),
            repo: self.repo.clone(),
            quantized_by: self.quantized_by.clone(),
            style: self.style.unwrap_or_default(),
            template: template.transpose()?,
            revision: source.and_then(aeolus_report::hub_revision),
            model_type: source.and_then(aeolus_report::model_type),
        })
    }
}

impl Prepared {
    /// What to call the original model for others: its name on the Hub, or the last part of its path.
    pub fn source_name(&self, path: &str) -> String {
        let last = || {
            Path::new(path)
                .file_name()
                .map(|name| name.to_string_lossy().into_owned())
        };
        let named = self.base_model.clone();
        named.or_else(last).unwrap_or_else(|| path.to_owned())
    }

    /// The card of these files. `repo` is where they are, if they are on the Hub.
    pub fn render(
        &self,
        collection: &Collection,
        quality: Option<&Quality>,
        provenance: Provenance,
        repo: Option<String>,
    ) -> Result<Readme> {
        let mut card = Card::new(collection);
        card.quality = quality;
        card.source = self.source_card.as_ref();
        card.base_model = self.base_model.clone();
        card.repo = self.repo.clone().or(repo);
        card.quantized_by = self.quantized_by.clone().unwrap_or(card.quantized_by);
        card.provenance = provenance;
        card.style = self.style;
        card.template = self.template.clone();
        for note in card.notes() {
            say(format_args!("note: {note}"));
        }
        Ok(Readme::generated(&card.render()?)?)
    }
}

/// Which files, as `card` and `report` take them.
#[derive(clap::Args, Debug)]
pub struct ModelArgs {
    /// Folders of GGUF files, or files; on the Hub hf:owner/name[@revision][/path], of which only
    /// headers are read
    #[arg(value_name = "PATH", required_unless_present = "forecast")]
    pub paths: Vec<PathBuf>,

    /// Files that do not exist yet, from a checkpoint's config.json, here or on the Hub
    #[arg(long, value_name = "CONFIG", conflicts_with = "paths")]
    pub forecast: Option<PathBuf>,

    /// With --forecast: which file types (default: the twelve of `aeolus table`)
    #[arg(long = "type", value_name = "TYPE", value_delimiter = ',', value_parser = parse_file_type, requires = "forecast")]
    types: Vec<FileType>,

    #[command(flatten)]
    recipe: RecipeArgs,

    /// The original model: its folder, or its README.md, here or on the Hub
    #[arg(long, value_name = "PATH")]
    pub source: Option<PathBuf>,
}

/// The files, and where each of their parts lies on this disk, if anywhere.
pub enum Files {
    Opened(Box<folder::Opened>),
    Remote(Box<Collection>),
    Forecast(Box<Collection>),
}

/// What the arguments name.
pub struct Named {
    pub files: Files,
    /// The original model's folder or file, on this disk.
    pub source: Option<PathBuf>,
    /// The repository of the files, if they are on the Hub.
    pub repo: Option<String>,
}

impl Files {
    pub fn collection(&self) -> &Collection {
        match self {
            Self::Opened(opened) => &opened.collection,
            Self::Remote(collection) | Self::Forecast(collection) => collection,
        }
    }
}

impl ModelArgs {
    /// Reads headers, or plans them.
    pub fn open(&self) -> Result<Named> {
        let place = |path: &PathBuf| hub::place(path, Needs::Configuration, false);
        let config = self.forecast.as_ref().map(place).transpose()?;
        let source = self.source.as_ref().map(place).transpose()?;
        let source = source.as_ref().or(config.as_ref());
        let source = source.map(|place| place.path.clone());
        let (mut files, repo) = match config {
            Some(config) => (Files::Forecast(Box::new(self.plan(config)?)), None),
            None => open(&self.paths)?,
        };
        let collection = match &mut files {
            Files::Opened(opened) => &mut opened.collection,
            Files::Remote(collection) | Files::Forecast(collection) => collection,
        };
        collection.model.model_type = source
            .as_ref()
            .and_then(|path| aeolus_report::model_type(path));
        Ok(Named {
            files,
            source,
            repo,
        })
    }

    fn plan(&self, config: hub::Place) -> Result<Collection> {
        let source = SourceArgs {
            source: config.path.clone(),
            no_tokenizer: false,
            pre: None,
            mtp: false,
        };
        let options = OpenOptions {
            folder_name: config.folder_name,
            ..source.open_options(None)
        };
        let facts = Forecastable::from_config(&config.path, &options)?;
        let recipe = self.recipe.options()?;
        let types = match self.types.as_slice() {
            [] => &FileType::TABLE[..],
            types => types,
        };
        let mut files = Vec::new();
        for ty in types {
            let output = Output::plan(&facts, *ty, &recipe, Format::default(), None)?;
            let layout = output.layout();
            let header = HeaderFacts {
                version: layout.version(),
                endian: layout.endian(),
                metadata: layout.metadata(),
                tensors: layout.tensors(),
                bytes: layout.file_bytes(),
            };
            let name = format!("{}.{}.gguf", facts.name, ty.name());
            files.push(File::from_header(&name, &header));
        }
        let mut collection = Collection::new(&facts.metadata, files);
        collection.model.prompt = prompt(&facts.metadata);
        collection.forecast = true;
        Ok(collection)
    }

    /// The plan of the folder that is named, if it has one alone.
    fn plan_beside(&self) -> Result<Option<(String, PlanFile)>> {
        let [folder] = self.paths.as_slice() else {
            return Ok(None);
        };
        let mut plans = plan::beside_all(folder)?;
        Ok(match plans.pop() {
            Some((path, plan)) if plans.is_empty() => {
                let name = path.file_name().unwrap_or_default();
                Some((name.to_string_lossy().into_owned(), plan))
            }
            _ => None,
        })
    }

    /// A results file: the one given, or the one of this name beside the files.
    pub fn results(&self, given: Option<&Path>, name: &str) -> Option<PathBuf> {
        if let Some(path) = given {
            return Some(path.into());
        }
        let folder = self.paths.first().filter(|path| path.is_dir())?;
        let path = folder.join(name);
        path.is_file().then(|| {
            say(format_args!("note: with {}", path.display()));
            path
        })
    }
}

/// The files, and the repository that they are in if they are on the Hub.
fn open(paths: &[PathBuf]) -> Result<(Files, Option<String>)> {
    let (mut local, mut remote, mut repo) = (Vec::new(), Vec::new(), None);
    for path in paths {
        match hub::headers(path)? {
            None => local.push(path.clone()),
            Some(Headers::Local(files)) => local.extend(files),
            Some(Headers::Remote(id, headers)) => {
                repo.get_or_insert(id);
                remote.extend(headers);
            }
        }
    }
    if remote.is_empty() {
        return Ok((Files::Opened(Box::new(open_local(&local)?)), None));
    }
    if let Some(path) = local.first() {
        bail!(
            "{}: lies on this disk and others on the Hub: name files of one place",
            path.display()
        );
    }
    Ok((Files::Remote(Box::new(collect(&remote)?)), repo))
}

/// The files that have these headers.
fn collect(remote: &[RemoteHeader]) -> Result<Collection> {
    let headers: Vec<(Vec<Part>, HeaderFacts<'_>)> = remote
        .iter()
        .map(|file| {
            let parts = file.parts.iter().map(|part| Part {
                name: part.name.clone(),
                bytes: part.bytes,
                sha256: part.sha256.clone(),
            });
            let facts = HeaderFacts {
                version: file.header.version,
                endian: file.header.endian,
                metadata: &file.header.metadata,
                tensors: &file.header.tensors,
                bytes: file.bytes,
            };
            (parts.collect(), facts)
        })
        .collect();
    let mut collection = Collection::from_headers(&headers)?;
    collection.model.prompt = remote.first().and_then(|f| prompt(&f.header.metadata));
    Ok(collection)
}

/// Files on this disk.
pub fn open_local(paths: &[PathBuf]) -> Result<folder::Opened> {
    let mut opened = folder::open(paths)?;
    let first = opened.paths.iter().flatten().next();
    if let Some(path) = first {
        let file = aeolus_gguf::GgufFile::open(path)?;
        opened.collection.model.prompt = prompt(file.metadata());
    }
    Ok(opened)
}

/// How a prompt is written, if there is a chat template that can be used. BOS is left out: the
/// programs that read prompts add it themselves.
fn prompt(metadata: &Metadata<'_>) -> Option<Prompt> {
    let source = aeolus_infer::chat::file_template(metadata, None).ok()??;
    let eos = metadata
        .u32("tokenizer.ggml.eos_token_id")
        .ok()
        .flatten()
        .and_then(|id| {
            let tokens = metadata.array("tokenizer.ggml.tokens").ok()??;
            tokens.strings()?.nth(id as usize)
        });
    let template = ChatTemplate::new(source, "", eos.unwrap_or_default()).ok()?;
    Prompt::find(|turns| {
        let turns: Vec<Message> = turns
            .iter()
            .map(|(role, content)| Message::new(*role, *content))
            .collect();
        guard::template("the model", || template.render(&turns, true)).ok()
    })
}

pub fn run(args: &Args) -> Result<ExitCode> {
    if let Some(style) = args.print_template {
        output::print(style.template())?;
        return Ok(ExitCode::SUCCESS);
    }
    let quality = args
        .model
        .results(args.quality.as_deref(), "quality.json")
        .map(|path| Quality::read(&path))
        .transpose()?;
    let Named {
        mut files,
        source,
        repo,
    } = args.model.open()?;
    let prepared = args.card.prepare(source.as_deref())?;
    match &mut files {
        Files::Opened(opened) if !args.no_sha256 => opened.add_digests()?,
        Files::Remote(collection) if args.no_sha256 => collection.forget_digests(),
        _ => {}
    }
    let provenance = Provenance {
        revision: prepared.revision.clone(),
        plan: args.model.plan_beside()?,
        imatrix_sha256: None,
    };
    let card = prepared.render(files.collection(), quality.as_ref(), provenance, repo)?;
    let Some(out) = &args.out else {
        output::print(&card.text())?;
        return Ok(ExitCode::SUCCESS);
    };
    if let Some(text) = crate::readme::updated(out, &card)? {
        output::write_file(out, text.as_bytes())
            .with_context(|| format!("{}: cannot write", out.display()))?;
        say(format_args!("wrote {}", out.display()));
    }
    Ok(ExitCode::SUCCESS)
}
