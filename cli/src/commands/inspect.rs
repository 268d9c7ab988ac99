//! `aeolus inspect`: what is in a GGUF file.

mod json;
mod view;

use crate::output::{self, Align};
use aeolus_gguf::{TensorInfo, TensorType, Value};
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::io::{self, BufWriter, Write};
use std::iter;
use std::path::PathBuf;
use std::process::ExitCode;
use view::View;

/// Show the metadata, tensors and types of a GGUF file
///
/// Reads only the header, so large files take no longer than small ones; of a file on the Hub, a few
/// MB are read. Name any part of a split file.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  aeolus inspect out/notus-mini.Q4_K_M.gguf
  aeolus inspect model.gguf --tensors
  aeolus inspect model.gguf --keys | grep rope
  aeolus inspect model.gguf --json | jq '.types'
  aeolus inspect hf:TheBloke/notus-7B-v1-GGUF/notus-7b-v1.Q4_K_M.gguf")]
pub struct Args {
    /// The file; on the Hub hf:owner/name[@revision]/FILE
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// List every tensor: name, type, shape (row length first), bytes, offset in the data section
    #[arg(long)]
    tensors: bool,

    /// List every metadata key with its whole value, one per line
    #[arg(long)]
    keys: bool,

    /// Print everything as JSON
    #[arg(long, conflicts_with_all = ["tensors", "keys"])]
    json: bool,
}

/// Characters of a key or a value in the overview.
const OVERVIEW_CHARS: usize = 60;
/// Characters of a tensor's name in the list; in use are 64 at most.
const NAME_CHARS: usize = 100;

pub fn run(args: &Args) -> Result<ExitCode> {
    let file = View::open(&args.file)?;
    let mut out = BufWriter::with_capacity(1 << 16, io::stdout().lock());
    match write(&mut out, &file, args).and_then(|()| out.flush()) {
        // A reader that went away has what it wanted.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        written => written.context("cannot write to stdout")?,
    }
    Ok(ExitCode::SUCCESS)
}

fn write(out: &mut impl Write, file: &View, args: &Args) -> io::Result<()> {
    if args.json {
        return json::write(out, file, &args.file);
    }
    if args.keys {
        write_keys(out, file)?;
    }
    if args.tensors {
        out.write_all(tensor_table(file).as_bytes())?;
    }
    if !args.keys && !args.tensors {
        write_overview(out, file, args)?;
    }
    Ok(())
}

/// Tensors, weights and bytes of one type.
#[derive(Default)]
struct Share {
    tensors: u64,
    weights: u64,
    bytes: u64,
    /// Tensors of a size that only the offsets tell.
    measured: u64,
}

struct Shares {
    by_type: BTreeMap<TensorType, Share>,
}

impl Shares {
    fn of(file: &View) -> Self {
        let mut by_type: BTreeMap<_, Share> = BTreeMap::new();
        for tensor in file.tensors() {
            let share = by_type.entry(tensor.ty).or_default();
            share.tensors += 1;
            share.weights += tensor.shape.elems();
            share.bytes += tensor.bytes();
            share.measured += u64::from(tensor.measured.is_some());
        }
        Self { by_type }
    }

    fn weights(&self) -> u64 {
        self.by_type.values().map(|share| share.weights).sum()
    }

    fn bytes(&self) -> u64 {
        self.by_type.values().map(|share| share.bytes).sum()
    }

    fn measured(&self) -> u64 {
        self.by_type.values().map(|share| share.measured).sum()
    }

    fn bits_per_weight(&self) -> f64 {
        match self.weights() {
            0 => 0.0,
            weights => self.bytes() as f64 * 8.0 / weights as f64,
        }
    }
}

fn write_overview(out: &mut impl Write, file: &View, args: &Args) -> io::Result<()> {
    let header = file.header();
    let shares = Shares::of(file);
    let bytes = shares.bytes();
    let parts = match file.parts() {
        1 => String::new(),
        n => format!(" in {n} parts"),
    };
    writeln!(out, "{}", args.file.display())?;
    writeln!(
        out,
        "GGUF version {}, {}-endian, {} bytes ({}){parts}",
        header.version,
        header.endian,
        output::grouped(file.file_bytes()),
        output::human_bytes(file.file_bytes()),
    )?;
    writeln!(
        out,
        "{}, {} {}, {}{:.3} bits per weight\n",
        output::count(file.tensors().len(), "tensor"),
        output::grouped(shares.weights()),
        if shares.weights() == 1 {
            "weight"
        } else {
            "weights"
        },
        if shares.measured() > 0 {
            "at most "
        } else {
            ""
        },
        shares.bits_per_weight(),
    )?;
    let keys = output::table(
        &[
            ("Key", Align::Left),
            ("Type", Align::Left),
            ("Value", Align::Left),
        ],
        file.metadata().iter().map(|(key, value)| {
            vec![
                cut(key.escape_debug(), OVERVIEW_CHARS),
                type_name(value),
                short(value),
            ]
        }),
    );
    let types = output::table(
        &[
            ("Type", Align::Left),
            ("Tensors", Align::Right),
            ("Weights", Align::Right),
            ("Bits/weight", Align::Right),
            ("Size", Align::Right),
            ("Share", Align::Right),
        ],
        shares.by_type.iter().map(|(ty, share)| {
            vec![
                ty.to_string(),
                share.tensors.to_string(),
                output::grouped(share.weights),
                match share.measured {
                    0 => format!("{:.3}", ty.bits_per_weight()),
                    _ => "unknown".into(),
                },
                output::human_bytes(share.bytes),
                format!("{:.1}%", share.bytes as f64 * 100.0 / bytes.max(1) as f64),
            ]
        }),
    );
    write!(out, "{keys}\n{types}")?;
    write_notes(out, file, &shares)
}

/// What the figures leave out.
fn write_notes(out: &mut impl Write, file: &View, shares: &Shares) -> io::Result<()> {
    let count = |test: fn(&TensorInfo) -> bool| file.tensors().iter().filter(|t| test(t)).count();
    let foreign = count(|t| t.ty.is_foreign());
    if foreign > 0 {
        writeln!(
            out,
            "\n{foreign} of the tensors {} shown, and cannot be run or converted here",
            match foreign {
                1 => "has a type that ggml does not have: it is",
                _ => "have types that ggml does not have: they are",
            }
        )?;
    }
    if shares.measured() > 0 {
        writeln!(
            out,
            "\nthe size of {} of them is the distance to the next tensor or the end of the file: \
             the layout of their type is not known, or does not fit",
            shares.measured()
        )?;
    }
    let empty = count(|t| t.shape.is_empty());
    if empty > 0 {
        writeln!(
            out,
            "\n{empty} of the tensors {} empty: a dimension is 0",
            if empty == 1 { "is" } else { "are" }
        )?;
    }
    Ok(())
}

fn tensor_table(file: &View) -> String {
    output::table(
        &[
            ("Tensor", Align::Left),
            ("Type", Align::Left),
            ("Shape", Align::Left),
            ("Bytes", Align::Right),
            ("Offset", Align::Right),
        ],
        file.tensors().iter().map(|t| {
            vec![
                cut(t.name.escape_debug(), NAME_CHARS),
                t.ty.to_string(),
                t.shape.to_string(),
                match t.measured {
                    Some(bytes) => format!("at most {bytes}"),
                    None => t.bytes().to_string(),
                },
                t.offset.to_string(),
            ]
        }),
    )
}

/// `ARRAY[STRING]` for arrays.
fn type_name(value: &Value<'_>) -> String {
    match value {
        Value::Array(array) => format!("ARRAY[{}]", array.element_type()),
        other => other.value_type().to_string(),
    }
}

/// Every key with its whole value, one a line. Values are written as they are decoded: all
/// items of a header as text would take many times its size.
fn write_keys(out: &mut impl Write, file: &View) -> io::Result<()> {
    for (key, value) in file.metadata().iter() {
        write!(out, "{} {} = ", key.escape_debug(), type_name(value))?;
        write_value(out, value)?;
        writeln!(out)?;
    }
    Ok(())
}

/// Writes a value as text. Text from files is escaped: it could hold line ends or terminal
/// codes.
fn write_value(out: &mut impl Write, value: &Value<'_>) -> io::Result<()> {
    match value {
        Value::String(text) => write!(out, "\"{}\"", text.escape_debug()),
        Value::Bool(b) => write!(out, "{b}"),
        Value::F32(x) => write!(out, "{x}"),
        Value::F64(x) => write!(out, "{x}"),
        Value::U64(n) => write!(out, "{n}"),
        Value::Array(array) => {
            out.write_all(b"[")?;
            for (i, item) in array.iter().enumerate() {
                if i > 0 {
                    out.write_all(b", ")?;
                }
                write_value(out, &item)?;
            }
            out.write_all(b"]")
        }
        other => match other.as_integer().map(i64::try_from) {
            Some(Ok(n)) => write!(out, "{n}"),
            _ => Ok(()),
        },
    }
}

/// A value that fits a line.
fn short(value: &Value<'_>) -> String {
    match value {
        Value::Array(array) => {
            let head: Vec<String> = array.iter().take(6).map(|item| short(&item)).collect();
            let more = if array.len() > head.len() {
                ", ..."
            } else {
                ""
            };
            let text = format!("{} x [{}{more}]", array.len(), head.join(", "));
            cut(text.chars(), OVERVIEW_CHARS)
        }
        Value::String(text) => {
            let quote = || iter::once('"');
            cut(
                quote().chain(text.escape_debug()).chain(quote()),
                OVERVIEW_CHARS,
            )
        }
        number => {
            let mut text = Vec::new();
            let _ = write_value(&mut text, number);
            cut(String::from_utf8_lossy(&text).chars(), OVERVIEW_CHARS)
        }
    }
}

/// At most `limit` characters; the last three of a text that is cut are dots. No more of a long
/// text is looked at.
fn cut(chars: impl Iterator<Item = char>, limit: usize) -> String {
    let mut text: Vec<char> = chars.take(limit + 1).collect();
    if text.len() > limit {
        text.truncate(limit - 3);
        text.extend("...".chars());
    }
    text.into_iter().collect()
}
