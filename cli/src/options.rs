//! Flags that several commands share. They hold values only; files open when a command runs.

use aeolus_checkpoint::{OpenOptions, TokenizerMode};
use aeolus_gguf::{Endian, TensorType, is_named_gguf};
use aeolus_pipeline::Via;
use aeolus_recipe::{FileType, Vintage};
use clap::{Args, ValueEnum};
use std::path::{Path, PathBuf};

/// What goes in.
#[derive(Args, Clone, Debug)]
pub struct SourceArgs {
    /// Checkpoint folder (config.json, safetensors, tokenizer) or a GGUF file; on the Hub
    /// hf:owner/name[@revision][/path]
    #[arg(value_name = "MODEL")]
    pub source: PathBuf,

    /// Write no tokenizer into the file, which can then be loaded but not given text
    #[arg(long)]
    pub no_tokenizer: bool,

    /// Pre-tokenizer of a byte-level BPE tokenizer, by its name in GGUF, such as llama-bpe or qwen2
    /// (default: the one that tokenizer.json describes)
    #[arg(long, value_name = "NAME", conflicts_with = "no_tokenizer")]
    pub pre: Option<String>,

    /// Keep the block that predicts a second token, if the model has one (default: leave it out)
    #[arg(long)]
    pub mtp: bool,
}

impl SourceArgs {
    /// How the source is opened, under another name if one is given.
    pub fn open_options(&self, name: Option<String>) -> OpenOptions {
        OpenOptions {
            tokenizer: match self.no_tokenizer {
                true => TokenizerMode::Skip,
                false => TokenizerMode::Required,
            },
            name,
            pre: self.pre.clone(),
            predict_layers: self.mtp,
            ..OpenOptions::default()
        }
    }
}

/// How weights reach their type.
#[derive(Args, Clone, Debug)]
pub struct EncodeArgs {
    /// Round the weights of quantized tensors first: `f16` rounds to f16, as for the published files
    /// (default for bf16 sources with recipe 2023-11); `source` does not round (default for all
    /// others)
    #[arg(long, value_enum)]
    pub via: Option<ViaArg>,

    /// Quantize tensors that are already quantized, which loses quality twice
    #[arg(long)]
    pub allow_requantize: bool,
}

/// Values of `--via`.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum ViaArg {
    /// Through f16.
    F16,
    /// Straight from the source.
    Source,
}

impl From<ViaArg> for Via {
    fn from(arg: ViaArg) -> Self {
        match arg {
            ViaArg::F16 => Via::F16,
            ViaArg::Source => Via::Source,
        }
    }
}

/// Which tensor gets which type.
#[derive(Args, Debug, PartialEq)]
pub struct RecipeArgs {
    /// Vintage of the mixes of types: `2023-11` is llama.cpp of the published notus table (default for
    /// models that it could convert), `current` is today's (default for all others)
    #[arg(long, value_name = "VINTAGE", value_parser = parse_vintage)]
    pub recipe: Option<Vintage>,

    /// Block type of the tensors whose names match a regular expression, for example
    /// `'ffn_down=Q6_K'`; may be given more than once, and the first match decides
    #[arg(long, value_name = "REGEX=TYPE")]
    pub tensor_type: Vec<String>,

    /// Block type of the output tensor
    #[arg(long, value_name = "TYPE", value_parser = parse_tensor_type)]
    pub output_type: Option<TensorType>,

    /// Block type of the token embedding
    #[arg(long, value_name = "TYPE", value_parser = parse_tensor_type)]
    pub embedding_type: Option<TensorType>,

    /// Give every matrix the file type's main block type instead of a mix
    #[arg(long)]
    pub pure: bool,

    /// Fail where a row is not a multiple of its type's block, instead of falling back to another type
    #[arg(long)]
    pub no_fallback: bool,
}

impl Default for RecipeArgs {
    /// What is taken if no flag is given.
    fn default() -> Self {
        Self {
            recipe: None,
            tensor_type: Vec::new(),
            output_type: None,
            embedding_type: None,
            pure: false,
            no_fallback: false,
        }
    }
}

impl RecipeArgs {
    /// The recipe's options.
    pub fn options(&self) -> Result<aeolus_recipe::Options, aeolus_recipe::Error> {
        let rules = self.tensor_type.iter();
        let rules = rules.map(|rule| aeolus_recipe::parse_tensor_rule(rule));
        Ok(aeolus_recipe::Options {
            vintage: self.recipe,
            tensor_types: rules.collect::<Result<_, _>>()?,
            output_type: self.output_type,
            embedding_type: self.embedding_type,
            pure: self.pure,
            no_fallback: self.no_fallback,
            ..aeolus_recipe::Options::default()
        })
    }
}

/// What was done before.
#[derive(Args, Clone, Debug)]
pub struct PlanArgs {
    /// Make the files of this plan again, from the same model and with the same bytes
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = [
            "types", "recipe", "tensor_type", "output_type", "embedding_type", "pure", "no_fallback", "via",
            "allow_requantize", "name", "gguf_version", "endian", "no_tokenizer", "pre",
            "include_weights", "exclude_weights", "sizes"
        ]
    )]
    pub plan: Option<PathBuf>,
}

/// The importance matrix.
#[derive(Args, Clone, Debug)]
pub struct ImatrixArgs {
    /// Importance matrix that guides the encoders, in llama-imatrix's GGUF or .dat format
    #[arg(long, value_name = "FILE")]
    pub imatrix: Option<PathBuf>,

    /// Use only entries whose names contain this text; may be given more than once
    #[arg(long, value_name = "PART", requires = "imatrix")]
    pub include_weights: Vec<String>,

    /// Leave out entries whose names contain this text; may be given more than once
    #[arg(
        long,
        value_name = "PART",
        requires = "imatrix",
        conflicts_with = "include_weights"
    )]
    pub exclude_weights: Vec<String>,
}

/// Where outputs go and in which form.
#[derive(Args, Clone, Debug)]
pub struct TargetArgs {
    /// Folder for the outputs, created if missing; for a single output also a file name ending in .gguf
    #[arg(short, long, value_name = "PATH", default_value = ".")]
    pub out: PathBuf,

    /// Model name, used in file names and written as general.name (default: the source's)
    #[arg(long, value_parser = parse_name)]
    pub name: Option<String>,

    #[command(flatten)]
    pub format: FormatArgs,

    /// Replace existing outputs
    #[arg(long)]
    pub force: bool,

    /// Threads (default: all cores)
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub threads: Option<u16>,

    /// Draw no progress bar and print no summary
    #[arg(short, long)]
    pub quiet: bool,
}

impl TargetArgs {
    /// The folder of outputs: the one that is named, or where the one file goes.
    pub fn folder(&self) -> &Path {
        match is_named_gguf(&self.out) {
            false => &self.out,
            true => aeolus_job::folder_of(&self.out),
        }
    }
}

/// The container.
#[derive(Args, Clone, Debug)]
pub struct FormatArgs {
    /// GGUF version to write
    #[arg(long, value_name = "VERSION", default_value_t = 2, value_parser = clap::value_parser!(u32).range(2..=3))]
    pub gguf_version: u32,

    /// Byte order; big needs --gguf-version 3
    #[arg(long, value_enum, default_value = "little")]
    pub endian: EndianArg,
}

/// Values of `--endian`.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum EndianArg {
    /// Little-endian, what nearly every machine runs.
    Little,
    /// Big-endian.
    Big,
}

impl From<EndianArg> for Endian {
    fn from(arg: EndianArg) -> Self {
        match arg {
            EndianArg::Little => Endian::Little,
            EndianArg::Big => Endian::Big,
        }
    }
}

/// Help for `--type`, with the file types that can be written.
pub fn file_types_help(what: &str) -> String {
    let names: Vec<&str> = FileType::all().map(FileType::name).collect();
    format!("{what}. Of {}", names.join(", "))
}

/// A file type in any letter case.
pub fn parse_file_type(text: &str) -> Result<FileType, String> {
    FileType::parse(text).map_err(|e| e.to_string())
}

fn parse_vintage(text: &str) -> Result<Vintage, String> {
    Vintage::parse(text).map_err(|e| e.to_string())
}

fn parse_tensor_type(text: &str) -> Result<TensorType, String> {
    aeolus_recipe::parse_tensor_type(text).map_err(|e| e.to_string())
}

/// A name that file names can start with.
pub fn parse_name(text: &str) -> Result<String, String> {
    aeolus_checkpoint::check_name(text).map_err(|e| e.to_string())?;
    Ok(text.into())
}
