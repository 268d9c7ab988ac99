//! `aeolus tokenize`: text to tokens and back, by the vocabulary in a file.

use crate::hub;
use crate::model::{note_beginning, refuse_folder, warn_of_keys};
use crate::output::{self, Align};
use aeolus_gguf::GgufFile;
use aeolus_infer::{EncodeOptions, Tokenizer};
use aeolus_report::documents::Tokenize;
use anyhow::{Context, Result};
use std::io::Read;
use std::path::PathBuf;
use std::process::ExitCode;

/// Turn text into tokens, or tokens into text
///
/// The text comes from the command line or from stdin. Adds the tokens that the file asks for: the
/// beginning-of-text token, unless the text begins with it, and at the end the one that add_eos_token
/// asks for (for training; prompts never get it).
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  aeolus tokenize out/notus-mini.Q4_K_M.gguf 'The old man'
  aeolus tokenize model.gguf 'The old man' --ids
  aeolus tokenize model.gguf --decode 1,415,2193
  aeolus tokenize model.gguf --ids < book.txt")]
pub struct Args {
    /// The GGUF file
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// The text (default: stdin)
    #[arg(value_name = "TEXT", allow_hyphen_values = true)]
    text: Option<String>,

    /// Print only the ids, on one line, separated by commas
    #[arg(long, conflicts_with = "json")]
    ids: bool,

    /// Turn these ids into text instead
    #[arg(long, value_name = "IDS", value_delimiter = ',', conflicts_with_all = ["text", "ids", "no_bos", "special"])]
    decode: Option<Vec<u32>>,

    /// Add no tokens to the text
    #[arg(long)]
    no_bos: bool,

    /// Read control tokens spelled out in the text as control tokens
    #[arg(long)]
    special: bool,

    /// Print as JSON
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> Result<ExitCode> {
    let named = || format!("{}", args.file.display());
    let path = hub::file(&args.file, args.json)?;
    refuse_folder(&path)?;
    let file = GgufFile::open(&path)?;
    let tokenizer = Tokenizer::from_metadata(file.metadata()).with_context(named)?;
    warn_of_keys(&path, &tokenizer);
    if let Some(ids) = &args.decode {
        let text = tokenizer.decode(ids)?;
        if args.json {
            output::print_json(&Tokenize {
                schema: Tokenize::SCHEMA.into(),
                text,
                ids: ids.clone(),
                pieces: None,
            })?;
        } else {
            output::print(&format!("{text}\n"))?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let text = match &args.text {
        Some(text) => text.clone(),
        None => {
            let mut text = String::new();
            std::io::stdin()
                .read_to_string(&mut text)
                .context("cannot read the text from stdin")?;
            text
        }
    };
    let mut ids = tokenizer.encode(
        &text,
        EncodeOptions {
            add_special: !args.no_bos,
            parse_special: args.special,
        },
    );
    if !args.no_bos {
        if args.special {
            note_beginning(&text, &tokenizer);
        }
        ids.extend(tokenizer.closing().filter(|end| ids.last() != Some(end)));
    }
    let pieces = &tokenizer.vocabulary().pieces;
    let piece = |id: u32| pieces.get(id as usize).map_or("", String::as_str);
    if args.json {
        output::print_json(&Tokenize {
            schema: Tokenize::SCHEMA.into(),
            text,
            pieces: Some(ids.iter().map(|id| piece(*id).to_owned()).collect()),
            ids,
        })?;
    } else if args.ids {
        let ids: Vec<String> = ids.iter().map(u32::to_string).collect();
        output::print(&format!("{}\n", ids.join(",")))?;
    } else {
        output::print(&output::table(
            &[("Id", Align::Right), ("Token", Align::Left)],
            ids.iter()
                .map(|id| vec![id.to_string(), piece(*id).escape_debug().to_string()]),
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}
