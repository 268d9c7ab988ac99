//! The Python package `aeolus-gguf`: the program, and what of the library is of use from Python.
//!
//! - `main`: all of the `aeolus` command, for the package's console scripts.
//! - `codec`: encodes and decodes rows of weights of every type.
//! - `header`: metadata and tensors of a GGUF file. The weights themselves are mapped by numpy.
//! - `model`: makes the files of a model, with a callback for progress.
//!
//! The module that users import is Python, in `python/aeolus`; it turns arrays into buffers and back, and
//! has the documentation. This extension, `aeolus._native`, is built against the stable ABI of Python 3.11, the
//! first with the buffer protocol: one file for that version and all later ones.
//!
//! An error of the library is an `aeolus.Error` with the same paragraph that the program prints. Python's global
//! lock is not held while anything is computed.
//!
//! # Unsafe code
//!
//! What pyo3's macros expand to is unsafe code, so this crate may have some; it writes none itself.

#![deny(unsafe_code)]

mod codec;
mod header;
mod model;

use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use std::ffi::OsString;
use std::process::ExitCode;

#[allow(unsafe_code, reason = "what pyo3's macro expands to")]
mod exception {
    use super::PyException;
    pyo3::create_exception!(
        aeolus,
        Error,
        PyException,
        "What went wrong: what happened, where, and what to do, in one paragraph."
    );
}

pub(crate) use exception::Error;

/// An error of the library as an exception, with its causes in one paragraph.
pub(crate) fn raise(error: impl Into<anyhow::Error>) -> PyErr {
    Error::new_err(aeolus_cli::paragraph(&error.into()))
}

/// Runs the program with these arguments, the first of which is its name, and gives its exit code.
#[pyfunction]
fn main(py: Python<'_>, args: Vec<OsString>) -> u8 {
    let code = py.detach(|| aeolus_cli::main(args));
    // The standard library compares exit codes and does not tell them.
    let mut codes = 0..=u8::MAX;
    codes
        .find(|number| ExitCode::from(*number) == code)
        .unwrap_or(2)
}

#[pymodule]
#[pyo3(name = "_native")]
fn native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add("Error", module.py().get_type::<Error>())?;
    module.add_function(wrap_pyfunction!(main, module)?)?;
    module.add_function(wrap_pyfunction!(codec::types, module)?)?;
    module.add_function(wrap_pyfunction!(codec::row_bytes, module)?)?;
    module.add_function(wrap_pyfunction!(codec::encode, module)?)?;
    module.add_function(wrap_pyfunction!(codec::decode, module)?)?;
    module.add_function(wrap_pyfunction!(header::read_header, module)?)?;
    module.add_function(wrap_pyfunction!(model::quantize_model, module)?)?;
    Ok(())
}
