//! `aeolus publish`: a folder, as one commit of a repository on the Hub.

use crate::hub::{self, Bars, ClientArgs};
use crate::interrupt;
use crate::output::{self, say};
use aeolus_hub::{Plan, PublishRequest};
use aeolus_report::documents::{Publish, PublishOutcome, PublishedFile};
use anyhow::Result;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

/// Publish a folder of files to the Hugging Face Hub, in one commit
///
/// Everything in the folder goes: GGUF files, README.md (the model card), checksums; not hidden
/// files nor unfinished ones (.partial). The repository is created if there is none. What was
/// uploaded when a run ended early is not sent again. Prints what was sent, as --dry-run does
/// beforehand, and the commit's page.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  aeolus publish out/ user/notus-7b-v1-GGUF --dry-run
  aeolus publish out/ user/notus-7b-v1-GGUF --private
  aeolus publish out/ user/notus-7b-v1-GGUF --include '*.gguf' --message 'Add Q8_0'

The token (HF_TOKEN, or --token-file) needs the right to write.")]
pub struct Args {
    /// The folder
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,

    /// owner/name, with @BRANCH if need be, or its address on the Hub
    #[arg(value_name = "REPOSITORY")]
    repo: String,

    /// Branch to commit to; it must exist (default: main)
    #[arg(long)]
    revision: Option<String>,

    /// Make the repository private, if it has to be created
    #[arg(long)]
    private: bool,

    /// Files to publish, for example '*.gguf'; may be given more than once (default: all)
    #[arg(long, value_name = "PATTERN")]
    include: Vec<String>,

    /// Files to leave out; may be given more than once
    #[arg(long, value_name = "PATTERN")]
    exclude: Vec<String>,

    /// First line of the commit message
    #[arg(long, value_name = "TEXT")]
    message: Option<String>,

    /// Print what would be sent, and send nothing
    #[arg(long)]
    dry_run: bool,

    #[command(flatten)]
    client: ClientArgs,

    /// Print as JSON
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> Result<ExitCode> {
    let quiet = args.client.quiet || args.json;
    let hub = args.client.hub()?;
    let repo = hub::reference(&hub, &args.repo, args.revision.as_deref())?;
    let mut request = PublishRequest::new(args.folder.clone(), repo)?;
    request.files = hub::patterns(&args.include, &args.exclude)?;
    request.private = args.private;
    if let Some(message) = &args.message {
        request.summary.clone_from(message);
    }

    let started = Instant::now();
    let bars = Bars::new(quiet);
    let last = bars.farewell("aeolus: interrupted; nothing was committed");
    let _ending = interrupt::end_on_ctrl_c(last)?;
    let plan = hub.plan(&request, &bars)?;
    note(args, &plan);
    if args.dry_run {
        bars.clear();
        match args.json {
            true => output::print_json(&document(&plan, None))?,
            false => output::print(&plan.to_string())?,
        }
        return Ok(ExitCode::SUCCESS);
    }
    let result = hub.publish(&plan, &bars);
    bars.clear();
    let published = result?;
    if args.json {
        let outcome = PublishOutcome {
            commit: published.commit,
            url: published.url,
            changed: published.changed,
            uploaded_bytes: published.uploaded_bytes,
            seconds: started.elapsed().as_secs_f64(),
        };
        output::print_json(&document(&published.plan, Some(outcome)))?;
        return Ok(ExitCode::SUCCESS);
    }
    output::print(&format!("{}{}\n", published.plan, published.url))?;
    if !quiet {
        match published.changed {
            true => say(format_args!(
                "{} uploaded in {:.1} s",
                output::human_bytes(published.uploaded_bytes),
                started.elapsed().as_secs_f64(),
            )),
            false => say("nothing was committed: the repository has all of it"),
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Says what the person may have overlooked.
fn note(args: &Args, plan: &Plan) {
    if plan.create && args.include.is_empty() && plan.files.iter().all(|f| f.path != "README.md") {
        say(format_args!(
            "note: {}: no README.md: the repository's page will be empty",
            args.folder.display()
        ));
    }
    if args.private && !plan.create {
        say(format_args!(
            "note: {} exists: --private changes nothing about it",
            plan.repo
        ));
    }
}

fn document(plan: &Plan, outcome: Option<PublishOutcome>) -> Publish {
    let files = plan.files.iter().map(|file| PublishedFile {
        path: file.path.clone(),
        bytes: file.bytes,
        sha256: file.sha256.clone(),
        how: file.how.name().into(),
    });
    Publish {
        schema: Publish::SCHEMA.into(),
        repo: plan.repo.clone(),
        revision: plan.revision.clone(),
        create: plan.create,
        private: plan.private,
        summary: plan.summary.clone(),
        description: plan.description.clone(),
        folder: plan.folder.display().to_string(),
        files: files.collect(),
        outcome,
    }
}
