//! Files against the `SHA256SUMS` beside them.

use crate::output::{self, Align, say};
use crate::progress;
use aeolus_job::Cancel;
use aeolus_pipeline::{Listed, SUMS, Sums};
use aeolus_report::documents::{ListedFile, VerifySums};
use anyhow::Result;
use rayon::prelude::*;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

/// Checks all files that the lists of folders have, and that their GGUF files are in it; of files
/// that are named, only these.
pub fn verify(paths: &[PathBuf], quiet: bool, json: bool, cancel: &Cancel) -> Result<ExitCode> {
    let started = Instant::now();
    let mut rows = Listed::collect(paths)?;
    for folder in paths.iter().filter(|path| path.is_dir()) {
        let odd = Sums::read(folder)?.map_or(0, |sums| sums.odd_lines());
        if odd > 0 {
            let list = folder.join(SUMS);
            let list = list.display();
            say(format_args!(
                "warning: {list}: {odd} lines are not digests and are ignored"
            ));
        }
    }
    let bar = progress::byte_bar(quiet || json);
    bar.set_length(rows.iter().map(Listed::bytes).sum());
    let hashed = rows
        .par_iter_mut()
        .try_for_each(|row| row.hash(&|n| bar.inc(n), cancel));
    bar.finish_and_clear();
    hashed?;
    let problems = rows.iter().filter(|row| row.problem().is_some()).count();
    if json {
        let file = |row: &Listed| ListedFile {
            path: row.path.display().to_string(),
            listed: row.listed.clone(),
            sha256: row.found.clone(),
            problem: row.problem(),
        };
        output::print_json(&VerifySums {
            schema: VerifySums::SCHEMA.into(),
            right: problems == 0,
            seconds: started.elapsed().as_secs_f64(),
            files: rows.iter().map(file).collect(),
        })?;
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

/// A path whose name comes from a list, for a terminal.
fn shown(path: &Path) -> String {
    let text = path.display().to_string();
    match text.contains(char::is_control) {
        true => text.escape_debug().to_string(),
        false => text,
    }
}
