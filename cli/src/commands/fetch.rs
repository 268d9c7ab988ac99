//! `aeolus fetch`: files of a repository on the Hub, on this disk.

use crate::hub::{self, ClientArgs};
use crate::output::{self, say};
use aeolus_hub::{Selection, Target};
use aeolus_report::documents::{Fetch, FetchedFile};
use anyhow::Result;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

/// Fetch a model from the Hugging Face Hub
///
/// Without patterns, fetches what a conversion reads: configuration, tokenizer, model card and
/// safetensors. Files go into the cache that the Python client uses, or into a folder. If the run ends
/// early, finished bytes are kept and the next run fetches the rest. Prints where the files are.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  aeolus fetch argilla/notus-7b-v1
  aeolus fetch TheBloke/notus-7B-v1-GGUF --include '*Q4_K*gguf' --dir models
  aeolus fetch hf:owner/name@v1.0/config.json
  aeolus fetch hf:owner/name-GGUF:Q4_K_M
  aeolus fetch https://huggingface.co/owner/name/tree/main
  HF_TOKEN=$(cat secret) aeolus fetch owner/gated

Environment: HF_TOKEN, HF_TOKEN_PATH, HF_HOME, HF_HUB_CACHE, HF_ENDPOINT, HF_HUB_OFFLINE,
HF_HUB_DOWNLOAD_TIMEOUT, HF_HUB_DISABLE_SYMLINKS, with the Python client's meanings.")]
pub struct Args {
    /// owner/name, optionally with @REVISION and /PATH or :TYPE, or an address of the Hub
    #[arg(value_name = "REPOSITORY")]
    repo: String,

    /// Branch, tag or commit (default: main)
    #[arg(long)]
    revision: Option<String>,

    /// Pattern of files to fetch instead, for example '*.gguf'; '*' means all; may be given more than once
    #[arg(long, value_name = "PATTERN")]
    include: Vec<String>,

    /// Pattern of files to leave out; without --include, all others are fetched; may be given more than
    /// once
    #[arg(long, value_name = "PATTERN")]
    exclude: Vec<String>,

    /// Write plain files into this folder instead of the cache
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,

    /// Replace files in the folder that differ from the Hub's
    #[arg(long, requires = "dir")]
    force: bool,

    #[command(flatten)]
    client: ClientArgs,

    /// Print as JSON
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> Result<ExitCode> {
    let hub = args.client.hub()?;
    let repo = hub::reference(&hub, &args.repo, args.revision.as_deref())?;
    let selection = match (args.include.is_empty(), args.exclude.is_empty()) {
        (true, true) => Selection::conversion(),
        _ => hub::patterns(&args.include, &args.exclude)?,
    };
    let target = match &args.dir {
        None => Target::Cache,
        Some(path) => Target::Folder {
            path: path.clone(),
            overwrite: args.force,
        },
    };
    let quiet = args.client.quiet || args.json;
    let started = Instant::now();
    let fetched = hub::fetch(&hub, &repo, &selection, &target, quiet)?;
    if args.json {
        let files = fetched.files.iter().map(|file| FetchedFile {
            name: file.path.clone(),
            path: file.place.display().to_string(),
            bytes: file.bytes,
            fetched: !file.present,
        });
        output::print_json(&Fetch {
            schema: Fetch::SCHEMA.into(),
            repo: repo.id(),
            revision: fetched.repo.revision().into(),
            commit: fetched.commit.clone(),
            path: fetched.place.display().to_string(),
            seconds: started.elapsed().as_secs_f64(),
            files: files.collect(),
        })?;
        return Ok(ExitCode::SUCCESS);
    }
    if !quiet {
        say(hub::summary(&repo, &fetched, started));
    }
    output::print(&format!("{}\n", fetched.place.display()))?;
    Ok(ExitCode::SUCCESS)
}
