//! The crates' code, tests left out.

use anyhow::{Context, Result};
use regex::Regex;
use std::path::{Path, PathBuf};

/// The folders of the workspace's crates, sorted.
pub fn crates(root: &Path) -> Result<Vec<PathBuf>> {
    let mut crates = vec![root.join("cli")];
    for entry in std::fs::read_dir(root.join("crates"))? {
        crates.push(entry?.path());
    }
    crates.sort();
    Ok(crates)
}

/// The files of a `src` folder with their text up to the tests at its foot. `tests.rs` and folders
/// `tests` are left out.
pub fn files(src: &Path) -> Result<Vec<(PathBuf, String)>> {
    let tests = Regex::new(r"(?m)^#\[cfg\((?:all\()?test[^\n]*\n(?:#\[[^\n]*\n)*mod \w+ \{")?;
    let mut files = Vec::new();
    let mut folders = vec![src.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let path = entry?.path();
            if path.file_stem().is_some_and(|stem| stem == "tests") {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let mut text = std::fs::read_to_string(&path)?;
                if let Some(found) = tests.find(&text) {
                    text.truncate(found.start());
                }
                files.push((path, text));
            }
        }
    }
    files.sort();
    Ok(files)
}
