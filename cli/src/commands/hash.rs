//! `aeolus hash`: digests of a file and its tensors, or what differs between two files.

use crate::hub;
use crate::output::{self, Align};
use aeolus_gguf::{Difference, Endian, GgufFile};
use aeolus_report::documents::{
    self, Containers, Differing, Hash, HashCompare, HashedFile, HashedTensor,
};
use aeolus_source::hex;
use anyhow::Result;
use rayon::prelude::*;
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Print sha256 digests of a file and its tensors, or compare two files
///
/// With one file, prints the sha256 of each tensor's raw bytes and of the whole file. With two, prints
/// every key, type, shape and tensor that differs, and the exit code is 1 if any does. Version, byte
/// order, alignment and parts are printed but do not count as differences: numbers are compared, in
/// the first file's byte order.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  aeolus hash out/notus-mini.Q4_K_M.gguf
  aeolus hash ours.gguf theirs.gguf && echo the same")]
pub struct Args {
    /// GGUF file
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// GGUF file to compare it with
    #[arg(value_name = "OTHER")]
    other: Option<PathBuf>,

    /// Print as JSON
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> Result<ExitCode> {
    let open = |arg: &Path| Ok::<_, anyhow::Error>(GgufFile::open(&hub::file(arg, args.json)?)?);
    let file = open(&args.file)?;
    match &args.other {
        None => digests(&file, args),
        Some(other) => compare(&file, &open(other)?, other, args),
    }
}

fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn digests(file: &GgufFile, args: &Args) -> Result<ExitCode> {
    let (files, tensors) = rayon::join(
        || -> Vec<(String, String)> {
            file.maps()
                .par_iter()
                .map(|map| (map.path().display().to_string(), sha256(map.bytes())))
                .collect()
        },
        || -> Vec<String> {
            file.tensors()
                .par_iter()
                .map(|t| sha256(file.tensor_bytes(t)))
                .collect()
        },
    );
    if args.json {
        let tensors = file.tensors().iter().zip(tensors);
        output::print_json(&Hash {
            schema: Hash::SCHEMA.into(),
            files: files
                .into_iter()
                .map(|(path, sha256)| HashedFile { path, sha256 })
                .collect(),
            tensors: tensors
                .map(|(t, sha256)| HashedTensor {
                    name: t.name.clone(),
                    ty: t.ty.to_string(),
                    shape: t.shape.dims().to_vec(),
                    bytes: t.bytes(),
                    sha256,
                })
                .collect(),
        })?;
        return Ok(ExitCode::SUCCESS);
    }
    let rows = file
        .tensors()
        .iter()
        .zip(&tensors)
        .map(|(t, sha)| {
            (
                sha.clone(),
                t.ty.to_string(),
                t.name.escape_debug().to_string(),
            )
        })
        .chain(
            files
                .iter()
                .map(|(path, sha)| (sha.clone(), "file".into(), path.clone())),
        )
        .map(|(sha, ty, name)| vec![sha, ty, name]);
    output::print(&output::table(
        &[
            ("sha256", Align::Left),
            ("Type", Align::Left),
            ("Name", Align::Left),
        ],
        rows,
    ))?;
    Ok(ExitCode::SUCCESS)
}

fn compare(a: &GgufFile, b: &GgufFile, other: &Path, args: &Args) -> Result<ExitCode> {
    let differences = aeolus_gguf::differences(a, b);
    if args.json {
        let containers = [a, b].map(Container::of);
        output::print_json(&HashCompare {
            schema: HashCompare::SCHEMA.into(),
            a: args.file.display().to_string(),
            b: other.display().to_string(),
            equal: differences.is_empty(),
            container: Containers {
                equal: containers[0] == containers[1],
                a: containers[0].document(),
                b: containers[1].document(),
            },
            differences: differences
                .iter()
                .map(|d| Differing {
                    kind: d.kind().into(),
                    name: d.name().into(),
                    text: d.to_string(),
                })
                .collect(),
        })?;
    } else {
        output::print(&report(a, b, &differences))?;
    }
    Ok(if differences.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(1)
    })
}

/// What differs, a line each, and what it comes to.
fn report(a: &GgufFile, b: &GgufFile, differences: &[Difference]) -> String {
    let mut text = String::new();
    for difference in differences {
        let _ = writeln!(text, "{difference}");
    }
    if differences.is_empty() {
        let _ = writeln!(
            text,
            "the same keys and tensors: {} and {} agree in types, shapes and bytes",
            output::count(a.metadata().len(), "key"),
            output::count(a.tensors().len(), "tensor")
        );
    } else {
        let count = |kind| differences.iter().filter(|d| d.kind() == kind).count();
        let _ = writeln!(
            text,
            "{} {}: {} in metadata, {} in tensors",
            differences.len(),
            match differences.len() {
                1 => "difference",
                _ => "differences",
            },
            count(Difference::METADATA),
            count(Difference::TENSOR),
        );
    }
    let facts = Container::of(a).differences(&Container::of(b));
    if !facts.is_empty() {
        let _ = writeln!(text, "the containers differ: {}", facts.join("; "));
    }
    text
}

/// How a file holds its keys and tensors.
#[derive(PartialEq)]
struct Container {
    version: u32,
    endian: Endian,
    alignment: u32,
    parts: usize,
}

impl Container {
    fn of(file: &GgufFile) -> Self {
        let header = file.header();
        Self {
            version: header.version,
            endian: header.endian,
            alignment: header.alignment,
            parts: file.maps().len(),
        }
    }

    fn document(&self) -> documents::Container {
        documents::Container {
            version: self.version,
            endian: self.endian.name().into(),
            alignment: self.alignment.into(),
            parts: self.parts as u64,
        }
    }

    fn differences(&self, other: &Self) -> Vec<String> {
        let mut facts = Vec::new();
        let mut fact = |name: &str, a: String, b: String| {
            if a != b {
                facts.push(format!("{name} {a} in A, {b} in B"));
            }
        };
        fact(
            "version",
            self.version.to_string(),
            other.version.to_string(),
        );
        fact(
            "byte order",
            format!("{}-endian", self.endian),
            format!("{}-endian", other.endian),
        );
        fact(
            "alignment",
            self.alignment.to_string(),
            other.alignment.to_string(),
        );
        fact("parts", self.parts.to_string(), other.parts.to_string());
        facts
    }
}
