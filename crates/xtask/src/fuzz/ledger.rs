//! What every slice of a target's fuzzing took, kept so that a long run can be made in sittings.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

/// One run of a target's program.
#[derive(Clone, Debug, PartialEq)]
pub struct Slice {
    /// SHA-256 of the program: another one means that the target, something that it is built of, or
    /// the compiler is another.
    pub build: String,
    /// Processor time of the program, user's and system's.
    pub seconds: f64,
    pub executions: u64,
    pub megabytes: u64,
    /// Inputs that it left in the crashes' folder.
    pub findings: u64,
    /// Inputs at which the program ended itself, as its watch has it.
    pub ended: u64,
}

/// The slices of one target, in the order in which they were run.
pub struct Ledger {
    path: PathBuf,
    slices: Vec<Slice>,
}

/// Sums of slices.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Total {
    pub seconds: f64,
    pub executions: u64,
    pub megabytes: u64,
    pub findings: u64,
    pub ended: u64,
}

impl Total {
    fn of<'a>(slices: impl IntoIterator<Item = &'a Slice>) -> Self {
        slices.into_iter().fold(Self::default(), |sum, slice| Self {
            seconds: sum.seconds + slice.seconds,
            executions: sum.executions + slice.executions,
            megabytes: sum.megabytes.max(slice.megabytes),
            findings: sum.findings + slice.findings,
            ended: sum.ended + slice.ended,
        })
    }

    pub fn per_second(&self) -> f64 {
        if self.seconds > 0.0 {
            self.executions as f64 / self.seconds
        } else {
            0.0
        }
    }
}

impl Ledger {
    /// The ledger in a file, which need not exist yet.
    ///
    /// # Errors
    /// If the file cannot be read or is no ledger: a damaged one must not pass for a new one.
    pub fn open(path: &Path) -> Result<Self> {
        let slices = match std::fs::read(path) {
            Ok(bytes) => parse(&bytes).with_context(|| format!("{}: no ledger", path.display()))?,
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error).with_context(|| path.display().to_string()),
        };
        Ok(Self {
            path: path.into(),
            slices,
        })
    }

    /// Adds a slice and writes the file anew.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn add(&mut self, slice: Slice) -> Result<()> {
        self.slices.push(slice);
        let all: Vec<Value> = self.slices.iter().map(to_json).collect();
        let lines: Vec<String> = all.iter().map(Value::to_string).collect();
        let text = format!("[\n{}\n]\n", lines.join(",\n"));
        let partial = self.path.with_extension("partial");
        std::fs::write(&partial, text)?;
        std::fs::rename(&partial, &self.path)?;
        Ok(())
    }

    /// Everything ever run.
    pub fn total(&self) -> Total {
        Total::of(&self.slices)
    }

    /// What was run after the last slice with a finding; everything if there was none.
    pub fn since_finding(&self) -> Total {
        let last = self.slices.iter().rposition(|slice| slice.findings > 0);
        Total::of(&self.slices[last.map_or(0, |at| at + 1)..])
    }

    /// What was run of one program.
    pub fn of_build(&self, build: &str) -> Total {
        Total::of(self.slices.iter().filter(|slice| slice.build == build))
    }
}

fn to_json(slice: &Slice) -> Value {
    json!({
        "build": slice.build,
        "seconds": slice.seconds,
        "executions": slice.executions,
        "megabytes": slice.megabytes,
        "findings": slice.findings,
        "ended": slice.ended,
    })
}

fn parse(bytes: &[u8]) -> Result<Vec<Slice>> {
    let value: Value = serde_json::from_slice(bytes)?;
    let all = value.as_array().context("not a list")?;
    let slice = |value: &Value| {
        let number = |key| value.get(key)?.as_u64();
        Some(Slice {
            build: value.get("build")?.as_str()?.to_owned(),
            seconds: value.get("seconds")?.as_f64()?,
            executions: number("executions")?,
            megabytes: number("megabytes")?,
            findings: number("findings")?,
            // Not in ledgers from before there was a watch.
            ended: value.get("ended").map_or(Some(0), Value::as_u64)?,
        })
    };
    let slices: Option<Vec<Slice>> = all.iter().map(slice).collect();
    slices.context("an entry that is no slice")
}

/// What a program is told apart by. It is read piece by piece: what this process holds would count
/// as the peak of those that it starts.
///
/// # Errors
/// If the program cannot be read.
pub fn build_of(program: &Path) -> Result<String> {
    let named = || program.display().to_string();
    let mut file = File::open(program).with_context(named)?;
    let (mut hasher, mut piece) = (Sha256::new(), vec![0; 1 << 16]);
    loop {
        match file.read(&mut piece).with_context(named)? {
            0 => break,
            n => hasher.update(&piece[..n]),
        }
    }
    let digest = hasher.finalize();
    Ok(digest.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slice(build: &str, seconds: f64, findings: u64) -> Slice {
        Slice {
            build: build.into(),
            seconds,
            executions: 100,
            megabytes: seconds as u64,
            findings,
            ended: findings,
        }
    }

    #[test]
    fn what_is_added_is_there_when_opened_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("header.json");
        let mut ledger = Ledger::open(&path).unwrap();
        assert_eq!(ledger.total(), Total::default());
        assert_eq!(ledger.total().per_second(), 0.0);
        ledger.add(slice("a", 1.5, 0)).unwrap();
        ledger.add(slice("a", 8.25, 1)).unwrap();
        ledger.add(slice("b", 2.0, 0)).unwrap();

        let again = Ledger::open(&path).unwrap();
        assert_eq!(again.slices, ledger.slices);
        let total = again.total();
        assert_eq!((total.seconds, total.executions), (11.75, 300));
        assert_eq!((total.megabytes, total.findings, total.ended), (8, 1, 1));
        assert_eq!(again.since_finding().seconds, 2.0);
        assert_eq!(again.of_build("a").seconds, 9.75);
        assert_eq!(again.of_build("c"), Total::default());
    }

    #[test]
    fn a_damaged_ledger_is_no_new_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("header.json");
        for damaged in ["", "{}", "[{}]", "[{\"build\": \"a\", \"seconds\": \"1\"}]"] {
            std::fs::write(&path, damaged).unwrap();
            assert!(Ledger::open(&path).is_err(), "{damaged}");
        }
        // One from before inputs could end the program is whole.
        let before = r#"[{"build":"a","seconds":1.5,"executions":2,"megabytes":3,"findings":0"#;
        for (rest, is_whole) in [
            ("}]", true),
            (r#","ended":2}]"#, true),
            (r#","ended":""}]"#, false),
        ] {
            std::fs::write(&path, [before, rest].concat()).unwrap();
            assert_eq!(Ledger::open(&path).is_ok(), is_whole, "{rest}");
        }
    }
}
