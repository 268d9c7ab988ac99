//! `aeolus logits`: a model's raw scores, to compare with other frameworks.

use crate::hub;
use crate::model::{note_long_context, refuse_folder};
use crate::output;
use aeolus_infer::{CacheType, Model, Numeric, Runtime};
use anyhow::{Context, Result, bail};
use safetensors::{Dtype, tensor::TensorView};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Write the logits after each token of a sequence as safetensors
///
/// The file holds `ids` I64 [tokens] and `logits` F32 [tokens, vocabulary].
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Example:
  aeolus logits out/notus-mini.Q8_0.gguf --ids 1,415,2193 --out logits.safetensors")]
pub struct Args {
    /// The GGUF file
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// The tokens, as `aeolus tokenize --ids` prints them
    #[arg(long, value_name = "IDS", value_delimiter = ',', required = true)]
    ids: Vec<u32>,

    /// The file to write
    #[arg(short, long, value_name = "FILE")]
    out: PathBuf,

    /// Multiply in 8-bit integers, as `aeolus run` does, instead of in f32
    #[arg(long)]
    fast: bool,

    /// Attend only to this many last positions; 0 for all (default: as the file says)
    #[arg(long, value_name = "N")]
    sliding_window: Option<usize>,

    /// Threads (default: all cores)
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=4096))]
    threads: Option<u16>,

    /// Replace the output if it exists
    #[arg(long)]
    force: bool,
}

pub fn run(args: &Args) -> Result<ExitCode> {
    if args.out.exists() && !args.force {
        bail!(
            "{}: exists already (give --force to replace it)",
            args.out.display()
        );
    }
    let file = hub::file(&args.file, false)?;
    refuse_folder(&file)?;
    let mut model = Model::open(&file).with_context(|| format!("{}", args.file.display()))?;
    if let Some(window) = args.sliding_window {
        model.set_sliding_window(window);
    }
    let numeric = if args.fast {
        Numeric::Fast
    } else {
        Numeric::Exact
    };
    let runtime = Runtime::new(args.threads.map_or(0, usize::from), numeric)?;
    note_long_context(args.ids.len(), model.hyper().context);
    let mut cache = model.cache(args.ids.len(), CacheType::F32)?;
    let logits = runtime.forward(&model, &args.ids, &mut cache, 0..args.ids.len())?;

    // The same scores are an error of `aeolus run`.
    let is_broken = |row: &[f32]| row.iter().any(|x| x.is_nan() || *x == f32::INFINITY);
    if let Some(position) = logits.rows().position(is_broken) {
        bail!(
            "{}: a score after token {position} is NaN or infinite: the weights of the model are \
             broken; nothing was written",
            args.file.display()
        );
    }

    let ids: Vec<u8> = args
        .ids
        .iter()
        .flat_map(|id| i64::from(*id).to_le_bytes())
        .collect();
    let scores: Vec<u8> = logits
        .into_data()
        .iter()
        .flat_map(|x| x.to_le_bytes())
        .collect();
    let (tokens, vocab) = (args.ids.len(), model.vocab());
    let bytes = safetensors::serialize(
        [
            ("ids", TensorView::new(Dtype::I64, vec![tokens], &ids)?),
            (
                "logits",
                TensorView::new(Dtype::F32, vec![tokens, vocab], &scores)?,
            ),
        ],
        None,
    )?;
    write_whole(&args.out, &bytes)
        .with_context(|| format!("{}: cannot write", args.out.display()))?;
    output::print(&format!(
        "{}: logits of {tokens} tokens, vocabulary {vocab}\n",
        args.out.display()
    ))?;
    Ok(ExitCode::SUCCESS)
}

/// The file has its name only when it is whole.
fn write_whole(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    let written = std::fs::write(&partial, bytes).and_then(|()| std::fs::rename(&partial, path));
    if written.is_err() {
        let _ = std::fs::remove_file(&partial);
    }
    written
}
