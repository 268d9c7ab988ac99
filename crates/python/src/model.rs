//! The files of a model, as `aeolus table` makes them.

use crate::{Error, raise};
use aeolus_checkpoint::{Checkpoint, Forecastable, OpenOptions};
use aeolus_imatrix::Imatrix;
use aeolus_job::{Cancel, Event, Progress};
use aeolus_pipeline::{Format, Guide, Options, Output, Via, Written};
use aeolus_recipe::{FileType, Vintage};
use pyo3::prelude::*;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How often signals of Python are looked for while a model is made.
const SIGNALS_EVERY: Duration = Duration::from_millis(100);

/// What is asked for, once its words have a meaning.
struct Request {
    source: PathBuf,
    out: PathBuf,
    types: Vec<FileType>,
    imatrix: Option<PathBuf>,
    recipe: Option<Vintage>,
    options: Options,
}

/// Path, bytes and SHA-256 of a file that was made.
type Made = (PathBuf, u64, Option<String>);

/// Makes the files of a model in one pass over its weights.
#[pyfunction]
#[pyo3(signature = (source, out, types, imatrix=None, recipe=None, via=None, threads=0, force=false, progress=None))]
#[allow(
    clippy::too_many_arguments,
    reason = "they are the keywords of the Python function"
)]
pub(crate) fn quantize_model(
    py: Python<'_>,
    source: PathBuf,
    out: PathBuf,
    types: Vec<String>,
    imatrix: Option<PathBuf>,
    recipe: Option<&str>,
    via: Option<&str>,
    threads: usize,
    force: bool,
    progress: Option<Py<PyAny>>,
) -> PyResult<Vec<Made>> {
    let types = types.iter().map(|name| FileType::parse(name));
    let via = match via {
        None => None,
        Some("f16") => Some(Via::F16),
        Some("source") => Some(Via::Source),
        Some(other) => {
            let message = format!("via: expected \"f16\" or \"source\", found {other:?}");
            return Err(Error::new_err(message));
        }
    };
    let request = Request {
        source,
        out,
        types: types.collect::<Result<_, _>>().map_err(raise)?,
        imatrix,
        recipe: recipe.map(Vintage::parse).transpose().map_err(raise)?,
        options: Options {
            threads,
            via,
            force,
            allow_requantize: false,
            scratch: false,
            errors: false,
        },
    };
    let told = Told::new(progress);
    // Python runs handlers of signals in its main thread only, which must come by to do it.
    let made = std::thread::scope(|scope| {
        let work = scope.spawn(|| make(&request, &told));
        py.detach(|| {
            while !work.is_finished() {
                std::thread::sleep(SIGNALS_EVERY);
                if let Err(error) = Python::attach(|py| py.check_signals()) {
                    told.stop(error);
                }
            }
            work.join()
        })
    });
    let failure = told.failure.into_inner();
    if let Some(error) = failure.unwrap_or_else(PoisonError::into_inner) {
        return Err(error);
    }
    let made = made.map_err(|_| Error::new_err("a thread of the encoders failed"))?;
    let made = made.map_err(raise)?;
    Ok(made
        .into_iter()
        .map(|file| (file.path, file.bytes, file.sha256))
        .collect())
}

fn make(request: &Request, told: &Told) -> anyhow::Result<Vec<Written>> {
    let checkpoint = aeolus_checkpoint::open(&request.source, &OpenOptions::default())?;
    let guide = request.imatrix.as_ref().map(|path| {
        let name = path.display().to_string();
        Imatrix::open(path).map(|imatrix| Guide::new(imatrix, name))
    });
    let guide = guide.transpose()?;
    let outputs = outputs(request, &checkpoint, guide.as_ref())?;
    let made = aeolus_pipeline::run(&checkpoint, &outputs, &request.options, told, &told.cancel);
    Ok(made?)
}

fn outputs(
    request: &Request,
    checkpoint: &Checkpoint,
    guide: Option<&Guide>,
) -> anyhow::Result<Vec<(PathBuf, Output)>> {
    let facts = Forecastable::from(checkpoint);
    let recipe = aeolus_recipe::Options {
        vintage: request.recipe,
        ..aeolus_recipe::Options::default()
    };
    let output = |ty: &FileType| {
        let name = format!("{}.{}.gguf", checkpoint.name, ty.name());
        let output = Output::plan(&facts, *ty, &recipe, Format::default(), guide)?;
        Ok((request.out.join(name), output))
    };
    request.types.iter().map(output).collect()
}

/// Tells a Python function what is done, and stops the run when that raises an exception.
struct Told {
    call: Option<Py<PyAny>>,
    done: AtomicU64,
    total: AtomicU64,
    cancel: Cancel,
    failure: Mutex<Option<PyErr>>,
}

impl Told {
    fn new(call: Option<Py<PyAny>>) -> Self {
        Self {
            call,
            done: AtomicU64::new(0),
            total: AtomicU64::new(0),
            cancel: Cancel::new(),
            failure: Mutex::new(None),
        }
    }

    fn stop(&self, error: PyErr) {
        self.cancel.set();
        self.failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert(error);
    }
}

impl Progress for Told {
    fn event(&self, event: Event<'_>) {
        let (name, count) = match event {
            Event::Started { total, known } => {
                self.total.store(total, Ordering::Relaxed);
                ("", known)
            }
            Event::Advanced { name, count, .. } => (name, count),
            _ => return,
        };
        let done = self.done.fetch_add(count, Ordering::Relaxed) + count;
        if let Some(call) = self.call.as_ref().filter(|_| !self.cancel.is_set()) {
            let total = self.total.load(Ordering::Relaxed);
            if let Err(error) = Python::attach(|py| call.call1(py, (done, total, name)).map(drop)) {
                self.stop(error);
            }
        }
    }
}
