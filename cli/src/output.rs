//! What reaches stdout: data, as a table for people or as JSON for programs.

use anyhow::{Context, Result};
use comfy_table::{CellAlignment, ContentArrangement, LineStyle, Table, presets};
use std::collections::BTreeSet;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Writes `text` to stdout. A reader that went away has what it wanted: that is no error, and
/// the command goes on to its own exit code.
pub fn print(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => other.context("cannot write to stdout"),
    }
}

/// Writes a line to stderr, where talk goes; nobody may be listening.
pub fn say(line: impl std::fmt::Display) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Says a line that several parts of a command may find out, only once.
pub fn say_once(line: String) {
    static SAID: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let mut said = SAID.lock().unwrap_or_else(PoisonError::into_inner);
    if !said.contains(&line) {
        say(&line);
        said.insert(line);
    }
}

/// Says what a checkpoint's reader should know, each once, though a command may open its source again to
/// measure it.
pub fn say_notes(notes: &[String]) {
    for note in notes {
        say_once(format!("warning: {note}"));
    }
}

/// Writes one JSON document and a line end.
pub fn print_json(document: &impl serde::Serialize) -> Result<()> {
    print(&json(document)?)
}

/// A JSON document and a line end.
pub fn json(document: &impl serde::Serialize) -> Result<String> {
    let text = serde_json::to_string_pretty(document).context("cannot be written as JSON")?;
    Ok(text + "\n")
}

/// Writes a file that has its name when it is whole.
pub fn write_file(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    if let Some(folder) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder)?;
    }
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    let written = std::fs::File::create(&partial)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| std::fs::rename(&partial, path));
    if written.is_err() {
        let _ = std::fs::remove_file(&partial);
    }
    written
}

/// How a column is set.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// A table in the project's one look: ruled on a terminal, plain columns in a pipe.
pub fn table(columns: &[(&str, Align)], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    if std::io::stdout().is_terminal() {
        table
            .load_style(
                presets::NOTHING.header_separator(LineStyle::none().fill('─').junction('─')),
            )
            .set_content_arrangement(ContentArrangement::Dynamic);
        if let Some((terminal_size::Width(width), _)) = terminal_size::terminal_size() {
            table.set_width(width);
        }
    } else {
        table.load_style(presets::NOTHING);
    }
    table.set_header(columns.iter().map(|(name, _)| *name));
    for row in rows {
        table.add_row(row);
    }
    for (i, (_, align)) in columns.iter().enumerate() {
        if let Some(column) = table.column_mut(i) {
            column.set_padding((0, 2)).set_cell_alignment(match align {
                Align::Left => CellAlignment::Left,
                Align::Right => CellAlignment::Right,
            });
        }
    }
    let text = table.to_string();
    // No trailing blanks: the output is for diff, too.
    text.lines()
        .map(|l| format!("{}\n", l.trim_end()))
        .collect()
}

/// Bytes as publishers print them: GB of 10^9, two decimals.
pub fn gigabytes(bytes: u64) -> String {
    format!("{:.2}", bytes as f64 / 1e9)
}

/// Bytes with the unit that fits.
pub fn human_bytes(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.2} GB", bytes as f64 / 1e9),
    }
}

/// A number of things: `1 file`, `2 files`.
pub fn count(n: usize, thing: &str) -> String {
    let plural = if n == 1 { "" } else { "s" };
    format!("{n} {thing}{plural}")
}

/// An integer with thousands separators.
pub fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(gigabytes(4_368_438_976), "4.37");
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(7_241_732_096), "7,241,732,096");
        assert_eq!(grouped(999), "999");
        assert_eq!(human_bytes(999), "999 B");
        assert_eq!(human_bytes(8_121_344), "8.1 MB");
    }
}
