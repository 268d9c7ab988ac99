//! The `aeolus` program. What it does is in the library beside it.

#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    aeolus_cli::main(std::env::args_os())
}
