//! `aeolus completions`: a completion script for a shell.

use crate::output;
use anyhow::Result;
use std::process::ExitCode;

/// Print a completion script for your shell
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Example:\n  aeolus completions bash > ~/.local/share/bash-completion/completions/aeolus"
)]
pub struct Args {
    /// The shell
    #[arg(value_enum)]
    shell: clap_complete::Shell,
}

pub fn run(args: &Args) -> Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut crate::command(), "aeolus", &mut script);
    output::print(&String::from_utf8_lossy(&script))?;
    Ok(ExitCode::SUCCESS)
}
