//! What a card's template may use. `docs/card.md` describes every field.

use super::{Card, is_repo_id};
use crate::documents::{Estimate, Figures};
use crate::escape::one_line;
use crate::recommend::choose;
use crate::{File, RAM_OVERHEAD_BYTES, format, methods, recommend};
use aeolus_gguf::Endian;
use serde::Serialize;
use std::collections::BTreeSet;

/// The variables of the template, but for `front_matter` and `original_card`.
#[derive(Debug, Serialize)]
pub(super) struct Context<'a> {
    model: Model<'a>,
    files: Vec<FileRow<'a>>,
    /// The file that commands take as their example.
    example: Example<'a>,
    prompt: Option<Prompt<'a>>,
    quality: Option<QualityFacts>,
    /// Which file to take with so much memory, least memory first.
    choices: Vec<Choice<'a>>,
    provenance: Provenance<'a>,
    /// Block types of all files, smallest first.
    methods: Vec<Method>,
    gguf: Gguf,
    /// Tokens that memory figures are for.
    memory_context: u64,
    forecast: bool,
    /// Whether there is a file that llama.cpp generates text with.
    runs: bool,
    /// What it, or some of the files, cannot do, and why.
    notes: Vec<String>,
    quantized_by: &'a str,
    /// Given, or the usual one; `repo_known` tells.
    repo: String,
    repo_known: bool,
    aeolus_version: &'static str,
}

#[derive(Debug, Serialize)]
struct Model<'a> {
    name: &'a str,
    creator: Option<&'a str>,
    id: Option<&'a str>,
    url: Option<String>,
    architecture: &'a str,
    holds: Option<&'static str>,
    weights: u64,
    parameters: String,
    layers: Option<u64>,
    context: Option<u64>,
    vocabulary: Option<u64>,
}

#[derive(Clone, Debug, Serialize)]
struct FileRow<'a> {
    name: &'a str,
    url: Option<String>,
    method: &'a str,
    bits: Option<u32>,
    bits_per_weight: String,
    bytes: u64,
    size: String,
    max_ram: String,
    ram: Option<String>,
    use_case: &'a str,
    recommended: bool,
    perplexity: Option<String>,
    kld: Option<String>,
    same_top: Option<String>,
    /// The figures with one standard error.
    perplexity_error: Option<String>,
    kld_error: Option<String>,
    same_top_error: Option<String>,
    kld_999: Option<String>,
    /// The method of the best file that is no larger and better.
    beaten_by: Option<&'a str>,
    parts: Vec<Part<'a>>,
    types: String,
}

#[derive(Clone, Debug, Serialize)]
struct Part<'a> {
    name: &'a str,
    size: String,
    sha256: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct Example<'a> {
    file: &'a str,
    method: &'a str,
    /// A pattern that matches the example and files like it.
    pattern: String,
    context: u64,
    /// Text that ends an answer, for libraries that do not know it.
    stop: Vec<&'static str>,
}

/// The best file for some memory.
#[derive(Debug, Serialize)]
struct Choice<'a> {
    /// `8 GB`, `8 to 12 GB`.
    memory: String,
    /// None fits.
    file: Option<FileRow<'a>>,
}

#[derive(Debug, Default, Serialize)]
struct Provenance<'a> {
    /// There is something to say.
    known: bool,
    revision: Option<&'a str>,
    weights: Option<&'a str>,
    imatrix: Option<ImatrixFacts<'a>>,
    /// The vintages of the files' recipes.
    recipes: Vec<&'a str>,
    via: Option<&'a str>,
    /// The plan's file name.
    plan: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct ImatrixFacts<'a> {
    file: &'a str,
    importance: &'a str,
    sha256: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct Prompt<'a> {
    name: Option<&'a str>,
    template: &'a str,
    system: bool,
    /// With line ends and backslashes as escapes, for `-e`.
    escaped: String,
    /// With all other braces doubled, for Python's `format`.
    format: String,
}

#[derive(Debug, Serialize)]
struct QualityFacts {
    text: String,
    text_sha256: Option<String>,
    mode: Option<String>,
    chunks: Option<u64>,
    context: Option<u64>,
    base_perplexity: Option<String>,
    /// Which columns have figures.
    perplexity: bool,
    kld: bool,
    kld_999: bool,
    same_top: bool,
}

#[derive(Debug, Serialize)]
struct Method {
    #[serde(rename = "type")]
    ty: String,
    bits_per_weight: String,
    description: &'static str,
}

#[derive(Debug, Serialize)]
struct Gguf {
    version: u32,
    big_endian: bool,
    /// The day from which llama.cpp reads the container.
    since: &'static str,
}

impl<'a> Context<'a> {
    pub(super) fn new(card: &'a Card<'_>) -> Self {
        let collection = card.collection;
        let large = collection.files.iter().any(|f| f.bytes >= 100_000_000);
        let recommended = recommend(collection, card.quality);
        let repo_known = card.repo.as_deref().is_some_and(is_repo_id);
        let repo = match &card.repo {
            Some(repo) if repo_known => repo.clone(),
            _ => format!("USER/{}-GGUF", plain_name(&collection.model.name)),
        };
        let kv = collection
            .model
            .kv_bytes_per_token
            .and_then(|bytes| bytes.checked_mul(collection.memory_context()));
        let mut files: Vec<FileRow<'_>> = collection
            .files
            .iter()
            .zip(&recommended.files)
            .map(|(file, recommended)| FileRow {
                url: repo_known.then(|| url(&repo, &file.name)).flatten(),
                perplexity: figure(card, file, |q| q.ppl).map(format::perplexity),
                kld: figure(card, file, |q| q.kld_mean).map(|x| format::significant(x, 4)),
                same_top: figure(card, file, |q| q.same_top).map(format::percent),
                perplexity_error: with_error(card, file, |q| q.ppl, format::perplexity),
                kld_error: with_error(card, file, |q| q.kld_mean, |x| format::significant(x, 4)),
                same_top_error: with_error(card, file, |q| q.same_top, format::percent),
                kld_999: card
                    .quality
                    .and_then(|q| q.of(file)?.kld_999)
                    .map(|x| format::significant(x, 3)),
                ram: kv
                    .and_then(|kv| kv.checked_add(file.bytes))
                    .map(|bytes| format::size(bytes, large)),
                ..row(file, *recommended, large)
            })
            .collect();
        for (row, by) in files.iter_mut().zip(&recommended.beaten_by) {
            row.beaten_by = by.map(|by| collection.files[by].method.as_str());
        }
        Self {
            choices: choices(card, &files),
            provenance: provenance(card),
            example: example(card, &recommended.files),
            quality: quality(card, &files),
            model: model(card),
            prompt: collection.model.prompt.as_ref().map(|prompt| Prompt {
                name: prompt.name,
                template: &prompt.template,
                system: prompt.system,
                escaped: prompt.template.replace('\\', "\\\\").replace('\n', "\\n"),
                format: doubled_braces(&prompt.template),
            }),
            methods: block_methods(&collection.files),
            gguf: gguf(&collection.files),
            memory_context: collection.memory_context(),
            forecast: collection.forecast,
            runs: collection.model.generates_text
                && collection.files.iter().any(|f| f.foreign_type().is_none()),
            notes: card.notes(),
            quantized_by: &card.quantized_by,
            files,
            repo,
            repo_known,
            aeolus_version: env!("CARGO_PKG_VERSION"),
        }
    }
}

fn model<'a>(card: &'a Card<'_>) -> Model<'a> {
    let model = &card.collection.model;
    let id = card.base_model_id();
    let stated = card.source.and_then(|s| s.get("model_creator")?.as_text());
    Model {
        name: &model.name,
        creator: stated.or(id.and_then(|id| id.split('/').next())),
        id,
        url: id.map(|id| format!("https://huggingface.co/{id}")),
        architecture: model.model_type.as_deref().unwrap_or(&model.architecture),
        holds: model.holds,
        weights: model.weights,
        parameters: format::count(model.weights),
        layers: model.layers,
        context: model.context,
        vocabulary: model.vocabulary,
    }
}

fn row(file: &File, recommended: bool, large: bool) -> FileRow<'_> {
    let types: Vec<String> = file
        .shares()
        .iter()
        .map(|(ty, share)| format!("{} {ty}", share.tensors))
        .collect();
    FileRow {
        name: &file.name,
        url: None,
        method: &file.method,
        bits: file.bits(),
        bits_per_weight: format!("{:.3}", file.bits_per_weight()),
        bytes: file.bytes,
        size: format::size(file.bytes, large),
        max_ram: format::gigabytes(file.bytes.saturating_add(RAM_OVERHEAD_BYTES)),
        ram: None,
        use_case: file.file_type.map_or("", |ty| ty.description()),
        recommended,
        perplexity: None,
        kld: None,
        same_top: None,
        perplexity_error: None,
        kld_error: None,
        same_top_error: None,
        kld_999: None,
        beaten_by: None,
        parts: file
            .parts
            .iter()
            .map(|part| Part {
                name: &part.name,
                size: format::size(part.bytes, large),
                sha256: part.sha256.as_deref(),
            })
            .collect(),
        types: types.join(", "),
    }
}

/// A measured figure of a file, if it is a number.
fn figure(card: &Card<'_>, file: &File, get: impl Fn(&Figures) -> Option<Estimate>) -> Option<f64> {
    let value = get(card.quality?.of(file)?)?.value;
    value.is_finite().then_some(value)
}

/// A figure and its standard error, both as text.
fn with_error(
    card: &Card<'_>,
    file: &File,
    get: impl Fn(&Figures) -> Option<Estimate>,
    text: impl Fn(f64) -> String,
) -> Option<String> {
    let estimate = get(card.quality?.of(file)?)?;
    estimate
        .value
        .is_finite()
        .then(|| format::with_error(estimate, text))
}

fn choices<'a>(card: &Card<'_>, files: &[FileRow<'a>]) -> Vec<Choice<'a>> {
    let choices = choose(card.collection, card.quality).into_iter();
    choices
        .map(|choice| Choice {
            memory: choice.memory_text(),
            file: choice.file.map(|file| files[file].clone()),
        })
        .collect()
}

fn provenance<'a>(card: &'a Card<'_>) -> Provenance<'a> {
    let given = &card.provenance;
    let mut found = Provenance {
        revision: given.revision.as_deref(),
        ..Provenance::default()
    };
    if let Some((name, plan)) = &given.plan {
        let recipes: BTreeSet<&str> = plan
            .files
            .iter()
            .filter_map(|file| file.recipe.as_deref())
            .collect();
        found.plan = Some(name);
        found.weights = plan.source.as_ref().map(|source| source.weights.as_str());
        found.recipes = recipes.into_iter().collect();
        found.via = plan.via.as_deref();
        found.imatrix = plan.imatrix.as_ref().map(|imatrix| ImatrixFacts {
            file: &imatrix.file,
            importance: &imatrix.importance,
            sha256: given.imatrix_sha256.as_deref(),
        });
    }
    found.known = found.plan.is_some() || found.revision.is_some();
    found
}

fn quality(card: &Card<'_>, files: &[FileRow<'_>]) -> Option<QualityFacts> {
    let quality = card.quality?;
    let measured = &quality.measured;
    let facts = QualityFacts {
        text: one_line(quality.text_name()),
        text_sha256: measured.text_sha256.clone(),
        mode: measured.mode.clone(),
        chunks: measured.chunks,
        context: measured.n_ctx,
        base_perplexity: measured
            .base
            .as_ref()
            .and_then(|base| base.ppl)
            .map(|ppl| format::perplexity(ppl.value)),
        perplexity: files.iter().any(|f| f.perplexity.is_some()),
        kld: files.iter().any(|f| f.kld.is_some()),
        kld_999: files.iter().any(|f| f.kld_999.is_some()),
        same_top: files.iter().any(|f| f.same_top.is_some()),
    };
    (facts.perplexity || facts.kld || facts.same_top).then_some(facts)
}

fn example<'a>(card: &'a Card<'_>, recommended: &[bool]) -> Example<'a> {
    let files = &card.collection.files;
    let chosen = files
        .iter()
        .zip(recommended)
        .find(|(_, r)| **r)
        .map(|(file, _)| file);
    let readable = || files.iter().find(|file| file.foreign_type().is_none());
    let file = chosen.or_else(readable).or(files.first());
    let method = file.map_or("GGUF", |file| file.method.as_str());
    let family = method
        .trim_end_matches("_S")
        .trim_end_matches("_M")
        .trim_end_matches("_L");
    let text = card
        .collection
        .model
        .prompt
        .as_ref()
        .map_or("", |p| p.template.as_str());
    let marks = [
        "</s>",
        "<|im_end|>",
        "<|eot_id|>",
        "<end_of_turn>",
        "<|end|>",
    ];
    Example {
        file: file.map_or("model.gguf", |file| file.name.as_str()),
        method,
        pattern: format!("*{family}*gguf"),
        context: card.collection.memory_context(),
        stop: marks
            .into_iter()
            .filter(|mark| text.contains(mark))
            .collect(),
    }
}

fn block_methods(files: &[File]) -> Vec<Method> {
    let types: BTreeSet<_> = files
        .iter()
        .flat_map(|file| file.tensors.iter().map(|t| t.ty))
        .collect();
    let mut types: Vec<_> = types.into_iter().collect();
    types.sort_by(|a, b| a.bits_per_weight().total_cmp(&b.bits_per_weight()));
    types
        .into_iter()
        .map(|ty| Method {
            ty: ty.to_string(),
            bits_per_weight: ty.bits_per_weight().to_string(),
            description: methods::description(ty),
        })
        .collect()
}

fn gguf(files: &[File]) -> Gguf {
    let version = files.iter().map(|file| file.version).max().unwrap_or(2);
    Gguf {
        version,
        big_endian: files.iter().any(|file| file.endian == Endian::Big),
        since: match version {
            ..=1 => "21 August 2023",
            2 => "27 August 2023",
            _ => "20 October 2023",
        },
    }
}

/// The address of a file in a repository, if its name can stand in one as it is.
fn url(repo: &str, name: &str) -> Option<String> {
    let plain = name
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    plain.then(|| format!("https://huggingface.co/{repo}/blob/main/{name}"))
}

/// A model's name as part of a repository's.
fn plain_name(name: &str) -> String {
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() || "-_.".contains(c) {
            c
        } else {
            '-'
        }
    };
    let name: String = name.chars().take(80).map(plain).collect();
    let name = name.trim_matches(['-', '.']).to_owned();
    if name.is_empty() {
        "model".into()
    } else {
        name
    }
}

fn doubled_braces(template: &str) -> String {
    template
        .replace('{', "{{")
        .replace('}', "}}")
        .replace("{{prompt}}", "{prompt}")
        .replace("{{system_message}}", "{system_message}")
}
