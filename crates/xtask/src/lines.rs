//! Lines of code for each crate: those of `src` that are neither blank nor comments alone, without tests.

use crate::sources;
use anyhow::Result;
use std::path::{Path, PathBuf};

/// Count lines of code for each crate, besides tests and comments
#[derive(clap::Args)]
pub struct Args {
    /// The workspace, such as a worktree of an earlier commit (default: this one)
    root: Option<PathBuf>,
}

pub fn run(args: &Args) -> Result<()> {
    let own = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut total = 0;
    for folder in sources::crates(&args.root.clone().unwrap_or_else(own))? {
        let files = sources::files(&folder.join("src"))?;
        let lines: usize = files.iter().map(|(_, text)| count(text)).sum();
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        println!("{lines:6}  {name}");
        total += lines;
    }
    println!("{total:6}  together");
    Ok(())
}

fn count(text: &str) -> usize {
    let lines = text.lines().map(str::trim);
    let code = lines.filter(|line| !line.is_empty() && !line.starts_with("//"));
    code.count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blank_lines_and_comments_do_not_count() {
        assert_eq!(
            count("//! Docs.\n\nfn f() {\n    // why\n    g(); // how\n}\n"),
            3
        );
    }
}
