//! Plans and sets: which files a command makes, where it is said, and what is said of them afterwards.

use crate::options::{EncodeArgs, ImatrixArgs, RecipeArgs, SourceArgs, TargetArgs, ViaArg};
use crate::output::say;
use aeolus_gguf::Endian;
use aeolus_pipeline::{Guide, Output, Written};
use aeolus_recipe::{
    Fallback, FileType, MAX_PLAN_BYTES, PlanEntry, PlanFile, PlanImatrix, PlanRefine, PlanSource,
    PlannedTensor,
};
use aeolus_source::{hex, read_small};
use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use std::path::{Path, PathBuf};

/// The end of a plan's name.
const SUFFIX: &str = ".plan.toml";

/// The first line of a plan that is written.
const HEAD: &str = "# How these files were made. The same files again: aeolus table MODEL --plan THIS_FILE -o FOLDER\n\n";

/// Reads a plan, or a user's set.
pub fn read(path: &Path) -> Result<PlanFile> {
    let name = || path.display().to_string();
    let text = String::from_utf8(read_small(path, MAX_PLAN_BYTES)?);
    let text = text
        .ok()
        .with_context(|| format!("{}: is not text", path.display()))?;
    PlanFile::parse(&text).with_context(name)
}

/// The files of the types that are named, once each.
pub fn entries(types: &[FileType], recipe: Option<&RecipeArgs>) -> Vec<PlanEntry> {
    let mut entries: Vec<PlanEntry> = Vec::new();
    for ty in types {
        if entries.iter().all(|entry| entry.file_type != ty.name()) {
            entries.push(with_flags(PlanEntry::new(*ty), recipe));
        }
    }
    entries
}

/// The files of a set: one that has a name, or one in a file.
pub fn set(name: &str, recipe: &RecipeArgs) -> Result<PlanFile> {
    let path = Path::new(name);
    let known = PlanFile::set_names().any(|known| known == name);
    let mut set = match known || !path.exists() {
        true => PlanFile::named_set(name)?,
        false => PlanFile {
            set: Some(name.to_owned()),
            ..read(path)?
        },
    };
    // What belongs to one run only: a set that has it is a plan.
    let of_a_run = [
        ("source", set.source.is_some()),
        ("imatrix", set.imatrix.is_some()),
        ("refine", set.refine.is_some()),
        ("name", set.name.is_some()),
        ("gguf_version", set.gguf_version.is_some()),
        ("endian", set.endian.is_some()),
        ("no_tokenizer", set.no_tokenizer),
        ("mtp", set.mtp),
        ("pre", set.pre.is_some()),
        ("allow_requantize", set.allow_requantize),
    ];
    if let Some((key, _)) = of_a_run.iter().find(|(_, there)| *there) {
        bail!("{name}: has {key:?}, which a plan has and a set has not: --plan repeats a plan");
    }
    set.files = std::mem::take(&mut set.files)
        .into_iter()
        .map(|entry| with_flags(entry, Some(recipe)))
        .collect();
    Ok(set)
}

/// What flags say goes before what a set says.
fn with_flags(entry: PlanEntry, recipe: Option<&RecipeArgs>) -> PlanEntry {
    let Some(args) = recipe else {
        return entry;
    };
    let name = |ty: Option<aeolus_gguf::TensorType>| ty.map(|ty| ty.name().to_owned());
    PlanEntry {
        recipe: args.recipe.map(|v| v.name().to_owned()).or(entry.recipe),
        tensor_types: [&args.tensor_type[..], &entry.tensor_types].concat(),
        output_type: name(args.output_type).or(entry.output_type),
        embedding_type: name(args.embedding_type).or(entry.embedding_type),
        pure: args.pure || entry.pure,
        no_fallback: args.no_fallback || entry.no_fallback,
        ..entry
    }
}

/// How a set's weights are rounded first, unless a flag says it.
pub fn via(set: &PlanFile, given: Option<ViaArg>) -> Result<Option<ViaArg>> {
    let of_set = set.via.as_deref().map(|via| ViaArg::from_str(via, false));
    let of_set = of_set.transpose();
    let of_set = of_set.map_err(|_| anyhow::anyhow!("via: expected \"f16\" or \"source\""))?;
    Ok(given.or(of_set))
}

/// A plan that is repeated, as the arguments that it stands for.
pub struct Repeated {
    pub plan: PlanFile,
    pub source: SourceArgs,
    pub encode: EncodeArgs,
    pub imatrix: ImatrixArgs,
    pub target: TargetArgs,
}

/// Reads a plan, and puts what it says in the place of flags that were not given.
pub fn repeated(
    path: &Path,
    source: &SourceArgs,
    imatrix: &ImatrixArgs,
    target: &TargetArgs,
) -> Result<Repeated> {
    let plan = read(path)?;
    let name = path.display();
    if plan.source.is_none() {
        bail!("{name}: is a set, since it has no [source]: --set makes its files");
    }
    let via = via(&plan, None).with_context(|| name.to_string())?;
    let mut target = target.clone();
    target.name.clone_from(&plan.name);
    if let Some(name) = &plan.name {
        aeolus_checkpoint::check_name(name)?;
    }
    target.format.gguf_version = match plan.gguf_version {
        Some(version @ (2 | 3)) => version,
        None => 2,
        Some(other) => bail!("{name}: gguf_version: expected 2 or 3, found {other}"),
    };
    if let Some(endian) = &plan.endian {
        let endian = ValueEnum::from_str(endian, false);
        target.format.endian =
            endian.map_err(|problem| anyhow::anyhow!("{name}: endian: {problem}"))?;
    }
    let matrix = match (&plan.imatrix, &imatrix.imatrix) {
        (Some(_), Some(given)) => Some(given.clone()),
        (Some(planned), None) => Some(beside(path, &planned.file)?),
        (None, Some(_)) => {
            bail!("{name}: was made without an importance matrix, and --imatrix gives one")
        }
        (None, None) => None,
    };
    let parts = |of: fn(&PlanImatrix) -> &Vec<String>| plan.imatrix.as_ref().map(of).cloned();
    Ok(Repeated {
        source: SourceArgs {
            source: source.source.clone(),
            no_tokenizer: plan.no_tokenizer,
            mtp: plan.mtp,
            pre: plan.pre.clone(),
        },
        encode: EncodeArgs {
            via,
            allow_requantize: plan.allow_requantize,
        },
        imatrix: ImatrixArgs {
            imatrix: matrix,
            include_weights: parts(|i| &i.include_weights).unwrap_or_default(),
            exclude_weights: parts(|i| &i.exclude_weights).unwrap_or_default(),
        },
        target,
        plan,
    })
}

/// The importance matrix that a plan names: the file of that name beside the plan, or where the plan says.
fn beside(plan: &Path, file: &str) -> Result<PathBuf> {
    let file = Path::new(file);
    let folder = plan.parent().unwrap_or(Path::new(""));
    let beside = folder.join(file.file_name().unwrap_or(file.as_os_str()));
    match [beside.as_path(), file]
        .into_iter()
        .find(|path| path.exists())
    {
        Some(path) => Ok(path.to_path_buf()),
        None => bail!(
            "{}: there is no {} beside it, which guided its files: give it with --imatrix",
            plan.display(),
            file.display()
        ),
    }
}

/// What a run says of itself in its plan.
pub struct Run<'a> {
    pub source: &'a SourceArgs,
    pub encode: Option<&'a EncodeArgs>,
    pub imatrix: Option<&'a ImatrixArgs>,
    pub target: &'a TargetArgs,
    pub set: Option<&'a str>,
    pub entries: &'a [PlanEntry],
    pub guide: Option<&'a Guide>,
    /// The digest of the text that the guide was collected over, where that is known.
    pub calibration: Option<&'a str>,
    pub refine: Option<PlanRefine>,
    /// The name of the source's folder, if it is one.
    pub folder: Option<&'a str>,
    /// [`weights_sample`](aeolus_checkpoint::Checkpoint::weights_sample).
    pub weights: &'a str,
}

impl Run<'_> {
    /// The plan of its outputs.
    pub fn plan(&self, outputs: &[(PathBuf, Output)], written: &[Written]) -> PlanFile {
        let files = self.entries.iter().zip(outputs).zip(written);
        let files = files.map(|((entry, (path, output)), written)| PlanEntry {
            file: path.file_name().and_then(|n| n.to_str()).map(str::to_owned),
            sha256: written.sha256.clone(),
            ..entry.made(output.types())
        });
        let format = &self.target.format;
        let is_big = Endian::from(format.endian) == Endian::Big;
        let via = self.encode.and_then(|encode| encode.via);
        let via = via.and_then(|via| via.to_possible_value());
        PlanFile {
            program: Some(env!("CARGO_PKG_VERSION").into()),
            set: self.set.map(str::to_owned),
            name: self.target.name.clone(),
            via: via.map(|via| via.get_name().to_owned()),
            allow_requantize: self.encode.is_some_and(|encode| encode.allow_requantize),
            gguf_version: Some(format.gguf_version).filter(|version| *version != 2),
            endian: is_big.then(|| "big".into()),
            no_tokenizer: self.source.no_tokenizer,
            mtp: self.source.mtp,
            pre: self.source.pre.clone(),
            source: Some(PlanSource {
                folder: self.folder.map(str::to_owned),
                weights: self.weights.to_owned(),
            }),
            imatrix: self.guide.map(|guide| PlanImatrix {
                file: guide.file().to_owned(),
                importance: hex(guide.sha256()),
                calibration: self.calibration.map(str::to_owned),
                include_weights: self
                    .imatrix
                    .map_or_else(Vec::new, |i| i.include_weights.clone()),
                exclude_weights: self
                    .imatrix
                    .map_or_else(Vec::new, |i| i.exclude_weights.clone()),
            }),
            refine: self.refine.clone(),
            ..PlanFile::new(files.collect())
        }
    }
}

/// Where the plan of all outputs of a model goes, beside the first of them.
pub fn path_of_all(first: &Path, model: &str) -> PathBuf {
    first.with_file_name(format!("{model}{SUFFIX}"))
}

/// The plans of a folder, with their paths; those that cannot be read are left out. None if there is no
/// folder.
pub fn beside_all(folder: &Path) -> Result<Vec<(PathBuf, PlanFile)>> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let named = || format!("{}: cannot read the folder", folder.display());
    let mut plans = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(named)? {
        let path = entry.with_context(named)?.path();
        let is_plan = path.to_str().is_some_and(|name| name.ends_with(SUFFIX));
        if let Some(plan) = is_plan.then(|| read(&path).ok()).flatten() {
            plans.push((path, plan));
        }
    }
    plans.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(plans)
}

/// A plan with what the plan at `path` has of files that are still there, if that is of the same run.
pub fn added_to(path: &Path, plan: &PlanFile) -> PlanFile {
    let Some(mut old) = path.exists().then(|| read(path).ok()).flatten() else {
        return plan.clone();
    };
    let is_there = |file: &String| path.with_file_name(file).exists();
    old.files
        .retain(|entry| entry.file.as_ref().is_some_and(is_there));
    old.with(plan).unwrap_or_else(|| plan.clone())
}

/// Where the plan of one output goes: `a.Q4_K_M.gguf` has `a.Q4_K_M.plan.toml`.
pub fn path_of(output: &Path) -> PathBuf {
    let stem = output.file_stem().unwrap_or_default();
    let mut name = stem.to_owned();
    name.push(SUFFIX);
    output.with_file_name(name)
}

/// Writes a plan beside what it made. The plan of a run of another kind, that of another model or importance
/// matrix, keeps its name unless it is to be `replaced`; this one gets a number then. Gives the path.
pub fn write(plan: &PlanFile, path: PathBuf, replaced: bool) -> Result<PathBuf> {
    let replaced = replaced || read(&path).is_ok_and(|old| old.with(plan).is_some());
    let text = format!("{HEAD}{}", plan.to_toml()?);
    let is_other = |path: &Path| {
        let found = std::fs::read(path);
        path.exists() && found.is_ok_and(|found| found != text.as_bytes())
    };
    let mut free = path.clone();
    let mut number = 2;
    while !replaced && is_other(&free) {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let stem = name.strip_suffix(SUFFIX).unwrap_or(&name);
        free = path.with_file_name(format!("{stem}-{number}{SUFFIX}"));
        number += 1;
    }
    if std::fs::read(&free).is_ok_and(|found| found == text.as_bytes()) {
        return Ok(free);
    }
    crate::output::write_file(&free, text.as_bytes())
        .with_context(|| format!("{}: cannot write", free.display()))?;
    Ok(free)
}

/// Says which tensors get another type than their recipe wants, before any work: one line for
/// each pair of types in a file.
pub fn say_fallbacks(outputs: &[Output]) {
    for output in outputs {
        let mut groups: Vec<(&PlannedTensor, &Fallback, usize)> = Vec::new();
        for (tensor, fallback) in output.types().fallbacks() {
            let same = |(t, f, _): &&mut (&PlannedTensor, &Fallback, usize)| {
                (t.ty, f.wanted) == (tensor.ty, fallback.wanted)
            };
            match groups.iter_mut().find(same) {
                Some((_, _, count)) => *count += 1,
                None => groups.push((tensor, fallback, 1)),
            }
        }
        for (tensor, fallback, count) in groups {
            let more = match count - 1 {
                0 => String::new(),
                n => format!(" and {n} more"),
            };
            say(format_args!(
                "note: {}: {}{more}: {} instead of {} ({})",
                output.file_type().name(),
                tensor.name,
                tensor.ty,
                fallback.wanted,
                fallback.reason
            ));
        }
    }
}
