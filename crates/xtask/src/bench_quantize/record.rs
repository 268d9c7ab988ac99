//! What was measured, kept in a file: a run over hours that is interrupted goes on, and parts can
//! be measured one after the other. The file's first line says under which conditions; runs under
//! others do not mix with them.

use crate::measure::{Cost, median};
use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// One run of one program.
#[derive(Clone, Debug)]
struct Entry {
    what: String,
    cost: Cost,
}

/// All runs so far.
#[derive(Debug)]
pub struct Record {
    file: Option<PathBuf>,
    entries: Vec<Entry>,
}

impl Record {
    /// Reads what `file` has, if it is there; without a file nothing is kept.
    ///
    /// # Errors
    /// A file of runs under other `conditions`, or of something else.
    pub fn open(file: Option<&Path>, conditions: &Value) -> Result<Self> {
        let mut entries = Vec::new();
        if let Some(path) = file.filter(|path| path.exists()) {
            let text = std::fs::read_to_string(path)?;
            let mut lines = text.lines();
            let first = lines
                .next()
                .and_then(|line| serde_json::from_str(line).ok());
            anyhow::ensure!(
                first.as_ref() == Some(conditions),
                "{}: measured under {}, and not under {conditions}",
                path.display(),
                first.unwrap_or_default()
            );
            for line in lines {
                let entry = serde_json::from_str(line).ok().and_then(|v| parse(&v));
                entries.push(entry.with_context(|| format!("{}: {line}", path.display()))?);
            }
        } else if let Some(path) = file {
            std::fs::write(path, format!("{conditions}\n"))?;
        }
        Ok(Self {
            file: file.map(Path::to_owned),
            entries,
        })
    }

    /// How often this was measured.
    pub fn count(&self, what: &str) -> usize {
        self.entries.iter().filter(|e| e.what == what).count()
    }

    /// Adds a run.
    pub fn add(&mut self, what: &str, cost: Cost) -> Result<()> {
        if let Some(path) = &self.file {
            let line = json!({
                "what": what,
                "seconds": cost.time.as_secs_f64(),
                "anonymous": cost.anonymous,
                "resident": cost.resident,
            });
            let mut file = std::fs::OpenOptions::new().append(true).open(path)?;
            writeln!(file, "{line}")?;
        }
        self.entries.push(Entry {
            what: what.to_owned(),
            cost,
        });
        Ok(())
    }

    /// The run in the middle.
    pub fn median(&self, what: &str) -> Option<Cost> {
        let all = self.entries.iter().filter(|e| e.what == what);
        median(all.map(|e| e.cost).collect())
    }

    /// Seconds of every run, in their order.
    pub fn seconds(&self, what: &str) -> String {
        let all = self.entries.iter().filter(|e| e.what == what);
        let all: Vec<String> = all
            .map(|e| format!("{:.2}", e.cost.time.as_secs_f64()))
            .collect();
        all.join(" ")
    }
}

fn parse(line: &Value) -> Option<Entry> {
    Some(Entry {
        what: line.get("what")?.as_str()?.to_owned(),
        cost: Cost {
            time: Duration::try_from_secs_f64(line.get("seconds")?.as_f64()?).ok()?,
            anonymous: line.get("anonymous")?.as_u64()?,
            resident: line.get("resident")?.as_u64()?,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_recorded_is_there_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("record");
        let cost = |millis| Cost {
            time: Duration::from_millis(millis),
            anonymous: millis,
            resident: 2,
        };
        let conditions = json!({ "commit": "c0ffee" });
        let open = || Record::open(Some(&path), &conditions);
        let mut record = open().unwrap();
        for millis in [30, 10, 20] {
            record.add("a", cost(millis)).unwrap();
        }
        record.add("b", cost(1)).unwrap();
        let again = open().unwrap();
        assert_eq!(
            (again.count("a"), again.count("b"), again.count("c")),
            (3, 1, 0)
        );
        assert_eq!(again.median("a").unwrap().time.as_millis(), 20);
        assert_eq!(again.median("a").unwrap().anonymous, 30);
        assert_eq!(again.seconds("a"), "0.03 0.01 0.02");
        assert!(again.median("c").is_none());
        let other = Record::open(Some(&path), &json!({ "commit": "bad" }));
        assert!(other.unwrap_err().to_string().contains("c0ffee"));
        std::fs::write(&path, format!("{conditions}\n{{}}\n")).unwrap();
        assert!(open().is_err());
    }
}
