//! `aeolus man`: the manual page.

use crate::output;
use anyhow::{Context, Result};
use std::path::PathBuf;
use std::process::ExitCode;

/// Print the manual page, or write one page per command into a folder
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Examples:\n  aeolus man | man -l -\n  aeolus man --dir ~/.local/share/man/man1"
)]
pub struct Args {
    /// Write aeolus.1 and a page for each command here
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,
}

pub fn run(args: &Args) -> Result<ExitCode> {
    match &args.dir {
        Some(folder) => {
            std::fs::create_dir_all(folder)
                .and_then(|()| clap_mangen::generate_to(crate::command(), folder))
                .with_context(|| format!("{}: cannot write manual pages", folder.display()))?;
        }
        None => {
            let mut page = Vec::new();
            clap_mangen::Man::new(crate::command())
                .render(&mut page)
                .context("cannot make the manual page")?;
            output::print(&String::from_utf8_lossy(&page))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
