//! The metadata and tensors of a GGUF file as Python values.

use crate::raise;
use aeolus_gguf::{GgufFile, Value};
use pyo3::IntoPyObjectExt;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use std::path::PathBuf;

/// Name, type, shape with the row length last, file, offset in it and bytes of a tensor.
type Tensor = (String, String, Vec<u64>, PathBuf, usize, usize);

/// Version, byte order, metadata and tensors of a file.
#[pyfunction]
pub(crate) fn read_header<'py>(
    py: Python<'py>,
    path: PathBuf,
) -> PyResult<(u32, &'static str, Bound<'py, PyDict>, Vec<Tensor>)> {
    let file = py.detach(|| GgufFile::open(&path)).map_err(raise)?;
    let metadata = PyDict::new(py);
    for (key, found) in file.metadata().iter() {
        metadata.set_item(key, value(py, found)?)?;
    }
    let tensors = file.tensors().iter().map(|tensor| {
        let place = file.place(tensor);
        (
            tensor.name.clone(),
            tensor.ty.to_string(),
            tensor.shape.to_hf(),
            file.maps()[place.shard].path().to_path_buf(),
            place.range.start,
            place.range.len(),
        )
    });
    let header = file.header();
    Ok((
        header.version,
        header.endian.name(),
        metadata,
        tensors.collect(),
    ))
}

fn value<'py>(py: Python<'py>, found: &Value<'_>) -> PyResult<Bound<'py, PyAny>> {
    match found {
        Value::String(text) => text.into_bound_py_any(py),
        Value::Bool(b) => b.into_bound_py_any(py),
        Value::Array(array) => {
            let items = array.iter().map(|item| value(py, &item));
            let items: Vec<Bound<'_, PyAny>> = items.collect::<PyResult<_>>()?;
            PyList::new(py, items)?.into_bound_py_any(py)
        }
        number => match (number.as_integer(), number.as_float()) {
            (Some(integer), _) => match (i64::try_from(integer), u64::try_from(integer)) {
                (Ok(integer), _) => integer.into_bound_py_any(py),
                (_, Ok(integer)) => integer.into_bound_py_any(py),
                _ => py.None().into_bound_py_any(py),
            },
            (None, Some(float)) => float.into_bound_py_any(py),
            (None, None) => py.None().into_bound_py_any(py),
        },
    }
}
