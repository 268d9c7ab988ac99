//! Files of a size: what is asked for, and the types that are chosen for it.

use super::evaluate::{EngineArgs, Runnable};
use crate::model::ModeArg;
use crate::options::{RecipeArgs, TargetArgs, parse_file_type};
use crate::output::{self, Align, say};
use crate::sizes;
use aeolus_checkpoint::{Checkpoint, Forecastable};
use aeolus_eval::{Cut, Windows};
use aeolus_infer::Tokenizer;
use aeolus_job::Cancel;
use aeolus_pipeline::{Format, Guide, Output};
use aeolus_quant::Cpu;
use aeolus_recipe::{FileType, PlanEntry};
use aeolus_refine::choice::{
    self, ALL_TYPES, Budget, Calibration, Checked, Frame, K_TYPES, MAX_TABLE_BYTES, Table, Unit,
};
use aeolus_report::documents::{ChosenTypes, ForecastFile};
use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// Tokens of a calibration window.
const WINDOW: usize = 512;

/// Windows from the start of the calibration text.
const WINDOWS: usize = 64;

/// With it tokens are drawn for the backward pass.
const SEED: u64 = 1;

/// How large files may be.
#[derive(Args, Clone, Debug)]
#[group(id = "sizes", multiple = true)]
pub struct SizeArgs {
    /// Choose the type of each tensor for a file of at most this size, such as 4.1GB or 3.9GiB; several
    /// with commas
    #[arg(long, value_name = "SIZE", value_delimiter = ',', value_parser = parse_size)]
    pub target_size: Vec<u64>,

    /// The same for this many bits for each weight, over the data of all tensors
    #[arg(long, value_name = "BITS", value_delimiter = ',', value_parser = parse_bits)]
    pub target_bpw: Vec<f64>,

    /// The same for the size of a file of this type
    #[arg(long, value_name = "TYPE", value_delimiter = ',', value_parser = parse_file_type)]
    pub like: Vec<FileType>,

    /// The same for this much memory, which file and KV cache share
    #[arg(long, value_name = "SIZE", value_delimiter = ',', value_parser = parse_size)]
    pub fits: Vec<u64>,
}

/// How types are chosen for a size.
#[derive(Args, Clone, Debug)]
pub struct ChoiceArgs {
    #[command(flatten)]
    pub sizes: SizeArgs,

    /// Which types are chosen from: all, or those that clients of 2023 load
    #[arg(
        long = "types",
        value_enum,
        ignore_case = true,
        requires = "sizes",
        default_value = "all"
    )]
    pub candidates: Candidates,

    /// Choose the types of the output tensor and of the embedding too (default: what the recipe gives them)
    #[arg(long, requires = "sizes")]
    pub free_output: bool,

    /// Keep what each type costs each tensor in this file, and take it from there the next time (default:
    /// NAME.sensitivity beside the outputs)
    #[arg(long, value_name = "FILE", requires = "sizes")]
    pub sensitivity: Option<PathBuf>,
}

/// Values of `--types`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Candidates {
    /// Every type.
    #[default]
    All,
    /// Q2_K to Q6_K and Q8_0.
    K,
}

/// Tokens whose KV cache `--fits` leaves memory for.
pub const DEFAULT_CONTEXT: u64 = 4096;

/// A size that is asked for, and what its file is called.
#[derive(Clone, Debug, PartialEq)]
struct Target {
    label: String,
    size: Size,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Size {
    File(u64),
    BitsPerWeight(f64),
    Like(FileType),
    Fits(u64),
}

fn parse_size(text: &str) -> Result<u64, String> {
    let split = text
        .find(|c: char| c.is_ascii_alphabetic())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let factor = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "k" | "kb" => 1e3,
        "m" | "mb" => 1e6,
        "g" | "gb" => 1e9,
        "kib" => 1024.0,
        "mib" => 1024.0 * 1024.0,
        "gib" => 1024.0 * 1024.0 * 1024.0,
        _ => return Err("expected a size such as 4.1GB, 3800MB or 3.9GiB".into()),
    };
    match number.trim().parse::<f64>() {
        Ok(number) if number > 0.0 && number * factor < 1e18 => {
            Ok((number * factor).round() as u64)
        }
        _ => Err("expected a size such as 4.1GB, 3800MB or 3.9GiB".into()),
    }
}

fn parse_bits(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(bits) if (0.5..=32.0).contains(&bits) => Ok(bits),
        _ => Err("expected bits for each weight, from 0.5 to 32".into()),
    }
}

impl SizeArgs {
    /// Whether a size is asked for.
    pub fn is_given(&self) -> bool {
        !self.targets().is_empty()
    }

    fn targets(&self) -> Vec<Target> {
        let target = |label: String, size| Target { label, size };
        let sized = |bytes: u64| output::human_bytes(bytes).replace(' ', "");
        let files = self.target_size.iter();
        let files = files.map(|bytes| target(sized(*bytes), Size::File(*bytes)));
        let bits = self.target_bpw.iter();
        let bits = bits.map(|bits| target(format!("{bits}bpw"), Size::BitsPerWeight(*bits)));
        let like = self.like.iter();
        let like = like.map(|ty| target(format!("like-{}", ty.name()), Size::Like(*ty)));
        let fits = self.fits.iter();
        let fits = fits.map(|bytes| target(format!("fits-{}", sized(*bytes)), Size::Fits(*bytes)));
        files.chain(bits).chain(like).chain(fits).collect()
    }

    /// Entries of the names that files will have: their types are not known yet.
    pub fn placeholders(&self) -> Vec<PlanEntry> {
        let targets = self.targets().into_iter();
        targets
            .map(|target| PlanEntry {
                name: Some(target.label),
                ..PlanEntry::new(FileType::Q4_K_M)
            })
            .collect()
    }
}

/// What types are chosen for.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    pub args: &'a ChoiceArgs,
    /// Tokens of the KV cache.
    pub context: u64,
    /// The text that costs are predicted over.
    pub text: &'a Path,
    pub recipe: &'a RecipeArgs,
    pub format: Format,
    pub threads: Option<u16>,
    pub quiet: bool,
}

/// Chosen files: a frontier.
pub struct Chosen {
    pub entries: Vec<PlanEntry>,
    pub outputs: Vec<Output>,
    /// What each type costs each tensor.
    pub table: Table,
}

/// What is said where there is no text to predict costs over.
pub const NEEDS_TEXT: &str = "choosing types for a size needs a text that shows what each costs: give one with \
     --calibrate";

impl<'a> Request<'a> {
    /// What a command that writes files asks for: `None` if no size is given.
    pub fn new(
        args: &'a ChoiceArgs,
        (context, text): (Option<u64>, Option<&'a Path>),
        recipe: &'a RecipeArgs,
        target: &TargetArgs,
        json: bool,
    ) -> Result<Option<Self>> {
        if !args.sizes.is_given() {
            return Ok(None);
        }
        let Some(text) = text else {
            bail!(NEEDS_TEXT);
        };
        Ok(Some(Self {
            args,
            context: context.unwrap_or(DEFAULT_CONTEXT),
            text,
            recipe,
            format: Format {
                version: target.format.gguf_version,
                endian: target.format.endian.into(),
            },
            threads: target.threads,
            quiet: target.quiet || json,
        }))
    }

    /// The types of all files. `source` is where the checkpoint was opened; what is kept of costs is in
    /// `folder` unless a file is named.
    pub fn choose(
        &self,
        (source, checkpoint): (&Path, &Checkpoint),
        folder: Option<&Path>,
        guide: Option<&Guide>,
        cancel: &Cancel,
    ) -> Result<Chosen> {
        let facts = Forecastable::from(checkpoint);
        let options = self.recipe.options()?;
        // What cannot be had is said before any work.
        let targets = self.args.sizes.targets().into_iter();
        let budgets = targets.map(|target| {
            let budget = match target.size {
                Size::File(bytes) => Budget::File(bytes),
                Size::BitsPerWeight(bits) => Budget::BitsPerWeight(bits),
                Size::Like(ty) => {
                    let like = Output::plan(&facts, ty, &options, self.format, guide)?;
                    Budget::File(like.layout().file_bytes())
                }
                Size::Fits(bytes) => Budget::File(self.beside_cache(checkpoint, bytes)?),
            };
            anyhow::Ok((target.label, budget))
        });
        let budgets: Vec<_> = budgets.collect::<Result<_>>()?;
        let table = self.table(source, checkpoint, folder, cancel)?;
        if table.unit == Unit::Share && !self.quiet {
            say(format_args!(
                "note: {} has no backward pass: types are chosen by the share of each matrix's outputs that \
                 they get wrong, and no KL divergence is predicted",
                checkpoint.name
            ));
        }
        let frame = Frame {
            facts: &facts,
            format: self.format,
            guide,
            recipe: &options,
            free_output: self.args.free_output,
        };
        let mut chosen = Chosen {
            entries: Vec::new(),
            outputs: Vec::new(),
            table,
        };
        for (label, budget) in budgets {
            let file = choice::file(&frame, &chosen.table, budget, label.clone());
            let file = file.with_context(|| label)?;
            chosen.entries.push(file.entry);
            chosen.outputs.push(file.output);
        }
        Ok(chosen)
    }

    /// What is left beside the KV cache.
    fn beside_cache(&self, checkpoint: &Checkpoint, bytes: u64) -> Result<u64> {
        let cache = aeolus_report::kv_cache_bytes(&checkpoint.metadata, self.context);
        let Some(cache) = cache else {
            bail!(
                "--fits: how large the KV cache of {} is cannot be told from its keys; --target-size takes the \
                 size of the file",
                checkpoint.name
            );
        };
        match bytes.checked_sub(cache) {
            Some(left) => Ok(left),
            None => bail!(
                "--fits: the KV cache of {} tokens takes {}, more than there is; --context takes fewer",
                self.context,
                output::human_bytes(cache)
            ),
        }
    }

    /// What each type costs each tensor: kept from before, or predicted and kept.
    fn table(
        &self,
        source: &Path,
        checkpoint: &Checkpoint,
        folder: Option<&Path>,
        cancel: &Cancel,
    ) -> Result<Table> {
        let tokenizer = Tokenizer::from_metadata(&checkpoint.metadata)?;
        let content = aeolus_eval::text::read(self.text)?;
        let windows = Windows::new(
            aeolus_eval::text::tokens(&tokenizer, &content),
            &Cut {
                n_ctx: WINDOW,
                stride: None,
                bos: aeolus_eval::text::bos(&tokenizer),
                limit: Some(WINDOWS),
            },
        )?;
        let texts: Vec<Vec<u32>> = (0..windows.len())
            .map(|window| windows.input(window))
            .collect();
        let (digest, weights) = (
            format!("{}-{}", windows.digest(), windows.len()),
            checkpoint.weights_sample(),
        );
        let types: &[_] = match self.args.candidates {
            Candidates::All => &ALL_TYPES,
            Candidates::K => &K_TYPES,
        };
        let temporary = folder.map_or_else(std::env::temp_dir, Path::to_owned);
        let calibration = Calibration {
            windows: &texts,
            digest: &digest,
            source: &weights,
            seed: SEED,
            folder: &temporary,
        };
        let in_folder =
            folder.map(|folder| folder.join(format!("{}.sensitivity", checkpoint.name)));
        let kept = self.args.sensitivity.clone().or(in_folder);
        if let Some(path) = kept.as_deref().filter(|path| path.exists()) {
            let text = aeolus_source::read_small(path, MAX_TABLE_BYTES)?;
            let text = String::from_utf8_lossy(&text);
            match choice::parse(&text, calibration, types) {
                Ok(table) => return Ok(table),
                Err(error) => say(format_args!(
                    "note: {}: {error}; costs are predicted again",
                    path.display()
                )),
            }
        }
        let engine = EngineArgs {
            mode: ModeArg::Exact,
            threads: self.threads,
            quiet: self.quiet,
        };
        let runtime = engine.runtime()?;
        let runnable = Runnable::open(source, &temporary, &engine, cancel)?;
        let model = runnable.load(&runtime)?;
        let bar = crate::progress::byte_bar(self.quiet);
        bar.set_style(crate::progress::style(
            "{bar:24} {percent}%  costs of types  {elapsed} gone, {eta} left",
        ));
        let built = runtime.install(|| {
            let cpu = Cpu::select()?;
            let built = choice::build(
                (model.transformer(), &runtime),
                cpu,
                calibration,
                types,
                &mut |step| {
                    bar.set_length(step.total as u64);
                    bar.set_position(step.done as u64);
                    match cancel.is_set() {
                        true => ControlFlow::Break(()),
                        false => ControlFlow::Continue(()),
                    }
                },
            );
            anyhow::Ok(built?)
        });
        bar.finish_and_clear();
        let (table, checked) = built?;
        if !self.quiet {
            say_checked(&checked);
        }
        if let Some(path) = kept {
            output::write_file(&path, table.to_text().as_bytes())
                .with_context(|| format!("{}: cannot be written", path.display()))?;
        }
        Ok(table)
    }
}

/// What a document says of a file's choice.
pub fn document(entry: &PlanEntry) -> ChosenTypes {
    ChosenTypes {
        label: entry.label().to_owned(),
        predicted_kld: entry.predicted,
        tensors: entry.tensors.clone(),
        costs: entry.costs.clone(),
    }
}

/// Shows what a few tensors cost, and what was predicted.
fn say_checked(checked: &[Checked]) {
    for one in checked {
        say(format_args!(
            "note: {} alone in {} was predicted to cost {:.2e}, measured {:.2e}",
            one.tensor, one.ty, one.predicted, one.measured
        ));
    }
}

/// Says where a file's measured divergence is not what was predicted; gives whether it is so.
pub fn say_if_off(entry: &PlanEntry, measured: f64, bits_per_weight: f64) -> bool {
    let Some(predicted) = entry.predicted else {
        return false;
    };
    let is_off = choice::is_off(predicted, measured, bits_per_weight);
    if is_off {
        say(format_args!(
            "warning: {}: predicted KL divergence {predicted:.5}, measured {measured:.5}: the choice of types went by \
             figures that are off by a factor of {:.1}",
            entry.label(),
            (measured / predicted).max(predicted / measured)
        ));
    }
    is_off
}

/// The frontier, and beside it those of the named file types whose tensors the table has predictions for.
pub fn forecasts(chosen: &Chosen, named: &[Output]) -> Vec<ForecastFile> {
    let files = chosen.entries.iter().zip(&chosen.outputs);
    let files = files.map(|(entry, output)| ForecastFile {
        predicted_kld: entry.predicted,
        chosen: Some(document(entry)),
        ..sizes::file(output)
    });
    let named = named.iter().filter_map(|output| {
        Some(ForecastFile {
            predicted_kld: Some(choice::predicted(&chosen.table, output)?),
            ..sizes::file(output)
        })
    });
    files.chain(named).collect()
}

/// The frontier as a table, from small to large: sizes, predictions, and which types each file has.
pub fn frontier(files: &[ForecastFile]) -> String {
    let columns = [
        ("File", Align::Left),
        ("Bits/weight", Align::Right),
        ("Size", Align::Right),
        ("Predicted KLD", Align::Right),
        ("Types", Align::Left),
    ];
    let mut files: Vec<&ForecastFile> = files.iter().collect();
    files.sort_by_key(|file| file.bytes);
    let rows = files.into_iter().map(|file| {
        let types = file.chosen.as_ref().map(|chosen| {
            let mut counts = std::collections::BTreeMap::new();
            for ty in chosen.tensors.values() {
                *counts.entry(ty.as_str()).or_insert(0) += 1;
            }
            let counts = counts.into_iter();
            counts
                .map(|(ty, count)| format!("{count} {ty}"))
                .collect::<Vec<_>>()
                .join(", ")
        });
        vec![
            file.label().to_owned(),
            format!("{:.3}", file.bits_per_weight),
            output::human_bytes(file.bytes),
            file.predicted_kld
                .map_or_else(String::new, |kld| format!("{kld:.5}")),
            types.unwrap_or_else(|| "those of the recipe".into()),
        ]
    });
    output::table(&columns, rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_bytes() {
        assert_eq!(parse_size("4.1GB"), Ok(4_100_000_000));
        assert_eq!(parse_size("4g"), Ok(4_000_000_000));
        assert_eq!(parse_size("3.5 MiB"), Ok(3_670_016));
        assert_eq!(parse_size("12345"), Ok(12_345));
        for bad in ["", "GB", "-1GB", "4TBB", "1e30GB", "nan", "4.1.2GB"] {
            assert!(parse_size(bad).unwrap_err().contains("such as"), "{bad}");
        }
        assert_eq!(parse_bits("4.5"), Ok(4.5));
        assert!(parse_bits("0").is_err() && parse_bits("nan").is_err());
    }

    #[test]
    fn files_are_called_by_their_size() {
        let sizes = SizeArgs {
            target_size: vec![4_100_000_000],
            target_bpw: vec![2.25],
            like: vec![FileType::Q4_K_M],
            fits: vec![8_000_000_000],
        };
        let entries = sizes.placeholders();
        let labels: Vec<&str> = entries.iter().map(PlanEntry::label).collect();
        assert_eq!(labels, ["4.10GB", "2.25bpw", "like-Q4_K_M", "fits-8.00GB"]);
        assert!(sizes.is_given());
    }
}
