//! Files against the `SHA256SUMS` beside them.

use super::evaluate;
use crate::output::{self, Align, say};
use crate::progress;
use aeolus_job::Cancel;
use aeolus_pipeline::{Error, SUMS, Sums};
use anyhow::{Context, Result, bail};
use rayon::prelude::*;
use serde_json::json;
use sha2::{Digest, Sha256};
use std::collections::{HashMap, HashSet};
use std::path::{Component, Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

/// A file and what its list says of it.
struct Row {
    path: PathBuf,
    listed: Option<String>,
    /// `None` for a file that is not there, or not listed.
    found: Option<String>,
}

impl Row {
    fn problem(&self) -> Option<String> {
        match (&self.listed, &self.found) {
            (None, _) => Some(format!("is not in {SUMS}")),
            (Some(_), None) => Some(format!("is in {SUMS}, and missing")),
            (Some(listed), Some(found)) if listed != found => {
                Some(format!("has the sha256 {found}, {SUMS} has {listed}"))
            }
            _ => None,
        }
    }
}

/// Checks all files that the lists of folders have, and that their GGUF files are in it; of files
/// that are named, only these.
pub fn verify(paths: &[PathBuf], quiet: bool, json: bool, cancel: &Cancel) -> Result<ExitCode> {
    let started = Instant::now();
    let mut rows = collect(paths)?;
    let bar = progress::byte_bar(quiet || json);
    let there = rows.iter().filter(|row| row.listed.is_some());
    bar.set_length(there.map(|row| bytes(&row.path)).sum());
    let hashed = rows.par_iter_mut().try_for_each(|row| {
        if row.listed.is_some() && row.path.is_file() {
            row.found = Some(hash(&row.path, &|n| bar.inc(n), cancel)?);
        }
        Ok::<_, anyhow::Error>(())
    });
    bar.finish_and_clear();
    hashed?;
    let problems = rows.iter().filter(|row| row.problem().is_some()).count();
    if json {
        output::print_json(&json!({
            "schema": "aeolus.verify-sums/1",
            "right": problems == 0,
            "seconds": started.elapsed().as_secs_f64(),
            "files": rows
                .iter()
                .map(|row| json!({
                    "path": row.path.display().to_string(),
                    "listed": row.listed,
                    "sha256": row.found,
                    "problem": row.problem(),
                }))
                .collect::<Vec<_>>(),
        }))?;
    } else {
        let columns = [("File", Align::Left), ("sha256", Align::Left)];
        output::print(&output::table(
            &columns,
            rows.iter().map(|row| {
                let word = row.problem().map_or("ok", |_| "WRONG");
                vec![shown(&row.path), word.to_owned()]
            }),
        ))?;
        for row in &rows {
            if let Some(problem) = row.problem() {
                output::print(&format!("{}: {problem}\n", shown(&row.path)))?;
            }
        }
        if !quiet {
            let verdict = match problems {
                0 => format!("all files are as {SUMS} has them"),
                1 => format!("1 of {} is not", output::count(rows.len(), "file")),
                n => format!("{n} of {} files are not", rows.len()),
            };
            let seconds = started.elapsed().as_secs_f64();
            say(format_args!("{verdict}; {seconds:.1} s"));
        }
    }
    Ok(match problems {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::from(1),
    })
}

/// The problem of a file with the list beside it, if it is listed there.
pub fn problem(path: &Path, cancel: &Cancel) -> Result<Option<String>> {
    let (folder, name) = split(path)?;
    let Some(sums) = Sums::read(folder)? else {
        return Ok(None);
    };
    check_names(folder, &sums)?;
    let Some(listed) = sums.get(&name) else {
        return Ok(None);
    };
    let row = Row {
        path: path.into(),
        listed: Some(listed.to_owned()),
        found: Some(hash(path, &|_| (), cancel)?),
    };
    Ok(row.problem())
}

/// Refuses files beside which there is a list that cannot be used.
pub fn check_beside(files: &[PathBuf]) -> Result<()> {
    let mut seen = HashSet::new();
    for file in files {
        let (folder, _) = split(file)?;
        if seen.insert(folder)
            && let Some(sums) = Sums::read(folder)?
        {
            check_names(folder, &sums)?;
        }
    }
    Ok(())
}

/// Refuses a list that leads out of its folder or contradicts itself: it may be a stranger's.
fn check_names(folder: &Path, sums: &Sums) -> Result<()> {
    let list = folder.join(SUMS);
    // By path, as they are looked for: `a//b` and `a/./b` are one file.
    let mut digests: HashMap<PathBuf, &str> = HashMap::new();
    for sum in sums.iter() {
        let inside = |part: Component<'_>| matches!(part, Component::Normal(_) | Component::CurDir);
        if !Path::new(&sum.name).components().all(inside) {
            bail!(
                "{}: names {:?}, which is not in its folder; such lists are not followed",
                list.display(),
                sum.name
            );
        }
        let before = digests.insert(folder.join(&sum.name), &sum.sha256);
        if before.is_some_and(|before| before != sum.sha256) {
            bail!(
                "{}: names {:?} twice, with different digests",
                list.display(),
                sum.name
            );
        }
    }
    Ok(())
}

/// A path whose name comes from a list, for a terminal.
fn shown(path: &Path) -> String {
    let text = path.display().to_string();
    match text.contains(char::is_control) {
        true => text.escape_debug().to_string(),
        false => text,
    }
}

fn collect(paths: &[PathBuf]) -> Result<Vec<Row>> {
    let list = |folder: &Path| match Sums::read(folder)? {
        Some(sums) => {
            check_names(folder, &sums)?;
            Ok(sums)
        }
        None => bail!(
            "{}: has no {SUMS}; with --against SOURCE every byte is recomputed",
            folder.display()
        ),
    };
    let mut rows: Vec<Row> = Vec::new();
    let mut seen: HashSet<PathBuf> = HashSet::new();
    let mut add = |path: PathBuf, listed: Option<&str>| {
        if seen.insert(path.clone()) {
            rows.push(Row {
                path,
                listed: listed.map(str::to_owned),
                found: None,
            });
        }
    };
    for path in paths {
        if path.is_dir() {
            let sums = list(path)?;
            if sums.odd_lines() > 0 {
                let (list, odd) = (path.join(SUMS), sums.odd_lines());
                let list = list.display();
                say(format_args!(
                    "warning: {list}: {odd} lines are no digests, nothing is checked by them"
                ));
            }
            sums.iter()
                .for_each(|sum| add(path.join(&sum.name), Some(&sum.sha256)));
            // A folder without any is no mistake here: the list says what has to be there.
            let files = evaluate::gguf_files(std::slice::from_ref(path), true).unwrap_or_default();
            files.into_iter().for_each(|file| add(file, None));
        } else {
            let (folder, name) = split(path)?;
            add(path.clone(), list(folder)?.get(&name));
        }
    }
    if rows.is_empty() {
        bail!("{}: its {SUMS} lists nothing", paths[0].display());
    }
    Ok(rows)
}

fn split(path: &Path) -> Result<(&Path, String)> {
    let name = path.file_name().and_then(|name| name.to_str());
    let name = name.with_context(|| format!("{}: is not the name of a file", path.display()))?;
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    Ok((folder, name.to_owned()))
}

fn bytes(path: &Path) -> u64 {
    path.metadata().map_or(0, |meta| meta.len())
}

fn hash(path: &Path, done: &(dyn Fn(u64) + Sync), cancel: &Cancel) -> Result<String> {
    let mut hash = Sha256::new();
    aeolus_source::read_pieces(path, |piece| {
        if cancel.is_set() {
            return Err(anyhow::Error::from(Error::Cancelled));
        }
        hash.update(piece);
        done(piece.len() as u64);
        Ok(())
    })?;
    Ok(aeolus_source::hex(&hash.finalize()))
}
