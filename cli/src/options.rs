//! Flags that several commands share. They hold values only; files open when a command runs.

use aeolus_gguf::{Endian, TensorType};
use aeolus_pipeline::Via;
use aeolus_recipe::{FileType, Vintage};
use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// What goes in.
#[derive(Args, Clone, Debug)]
pub struct SourceArgs {
    /// Checkpoint folder (config.json, safetensors, tokenizer) or a GGUF file; on the Hub
    /// hf:owner/name[@revision][/path]
    #[arg(value_name = "MODEL")]
    pub source: PathBuf,

    /// Write no tokenizer into the file (it can then be loaded, but not given text)
    #[arg(long)]
    pub no_tokenizer: bool,

    /// How a byte-level BPE tokenizer cuts a text, by GGUF's name, such as llama-bpe or qwen2 (default:
    /// as tokenizer.json describes it)
    #[arg(long, value_name = "NAME", conflicts_with = "no_tokenizer")]
    pub pre: Option<String>,

    /// Keep the block that predicts a second token, where the model has one (default: it is left out)
    #[arg(long)]
    pub mtp: bool,
}

/// How weights reach their type.
#[derive(Args, Clone, Debug)]
pub struct EncodeArgs {
    /// What the weights of quantized tensors are rounded to first: `f16`, as the published files
    /// were made (default for bf16 sources with recipe 2023-11), or `source`, nothing (default for
    /// all others)
    #[arg(long, value_enum)]
    pub via: Option<ViaArg>,

    /// Quantize tensors that are quantized already (loses quality twice)
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
    /// Whose files to make: `2023-11`, llama.cpp of the published notus table (default for models
    /// that it could convert), or `current`, today's (default for all others)
    #[arg(long, value_name = "VINTAGE", value_parser = parse_vintage)]
    pub recipe: Option<Vintage>,

    /// Type of the tensors whose name matches a regular expression, for example
    /// `'ffn_down=Q6_K'`; may be given more than once, the first match decides. Here Q3_K,
    /// Q4_K and Q5_K are block types
    #[arg(long, value_name = "REGEX=TYPE")]
    pub tensor_type: Vec<String>,

    /// Type of the output tensor (a block type)
    #[arg(long, value_name = "TYPE", value_parser = parse_tensor_type)]
    pub output_type: Option<TensorType>,

    /// Type of the token embedding (a block type)
    #[arg(long, value_name = "TYPE", value_parser = parse_tensor_type)]
    pub embedding_type: Option<TensorType>,

    /// Give every matrix the file type's main block type: no mix
    #[arg(long)]
    pub pure: bool,

    /// Fail where a row is no multiple of its type's block, instead of taking another type
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

/// What was done before.
#[derive(Args, Clone, Debug)]
pub struct PlanArgs {
    /// Make the files of this plan again, which was written beside them: to the same bytes, from the same
    /// model
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = [
            "types", "recipe", "tensor_type", "output_type", "embedding_type", "pure", "no_fallback", "via",
            "allow_requantize", "name", "gguf_version", "endian", "no_tokenizer", "pre",
            "include_weights", "exclude_weights"
        ]
    )]
    pub plan: Option<PathBuf>,
}

/// The importance matrix.
#[derive(Args, Clone, Debug)]
pub struct ImatrixArgs {
    /// Importance matrix that guides the encoders: which columns of a matrix matter how much; GGUF
    /// or .dat, as llama-imatrix writes them
    #[arg(long, value_name = "FILE")]
    pub imatrix: Option<PathBuf>,

    /// Use only the entries whose names contain this; may be given more than once
    #[arg(long, value_name = "PART", requires = "imatrix")]
    pub include_weights: Vec<String>,

    /// Leave out the entries whose names contain this; may be given more than once
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
    /// Folder for the outputs (made if missing), or for one output a name ending in .gguf
    #[arg(short, long, value_name = "PATH", default_value = ".")]
    pub out: PathBuf,

    /// Model name, in file names and as general.name (default: the source's)
    #[arg(long, value_parser = parse_name)]
    pub name: Option<String>,

    #[command(flatten)]
    pub format: FormatArgs,

    /// Replace outputs that exist
    #[arg(long)]
    pub force: bool,

    /// Threads (default: all cores)
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub threads: Option<u16>,

    /// Draw no progress bar and print no summary
    #[arg(short, long)]
    pub quiet: bool,
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
