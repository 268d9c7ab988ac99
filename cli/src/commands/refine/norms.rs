//! What `--norms` does once codes are chosen: each output is written for the time being, its norms are tuned
//! on that file, and the real one is then written with them in one go.

use super::Refined;
use crate::output::say;
use crate::progress;
use aeolus_checkpoint::Checkpoint;
use aeolus_infer::{Model, Runtime};
use aeolus_job::{Cancel, Identity};
use aeolus_pipeline::{Codes, Options, Output, Via};
use aeolus_quant::Cpu;
use aeolus_refine::backward::Backward;
use aeolus_refine::norms::{self, Settings, Texts, Tuned, WithNorms};
use aeolus_refine::{Error, Store};
use anyhow::{Context, Result};
use sha2::{Digest, Sha256};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What norms are tuned with.
pub struct Tuning<'a> {
    pub checkpoint: &'a Checkpoint,
    /// The unquantized model.
    pub model: &'a Model,
    pub runtime: &'a Runtime,
    /// The calibration windows, the last of which decide.
    pub windows: &'a [Vec<u32>],
    pub held_out: usize,
    /// Where files for the time being are.
    pub folder: &'a Path,
    pub via: Option<Via>,
    pub quiet: bool,
    pub cancel: &'a Cancel,
}

impl Tuning<'_> {
    /// Tunes the norms of all outputs, which will be at these paths.
    pub fn run(&self, paths: &[PathBuf], refined: &mut Refined) -> Result<()> {
        let source = Backward::new(self.model, Cpu::select()?).context("--norms")?;
        let outputs = std::mem::take(&mut refined.outputs);
        for (path, output) in paths.iter().zip(outputs) {
            let store = Arc::new(self.tuned(&source, path, &output)?);
            refined.stores.push(store.clone());
            refined.outputs.push(match output.codes().cloned() {
                None => output,
                Some(codes) => {
                    let both: Arc<dyn Codes> = Arc::new(WithNorms::new(codes, store));
                    output.with_codes(both)?
                }
            });
        }
        Ok(())
    }

    /// The norms of one output, from an earlier run or tuned and kept.
    fn tuned(&self, source: &Backward<'_>, path: &Path, output: &Output) -> Result<Store> {
        let name = path.file_name().unwrap_or(path.as_os_str());
        let name = name.to_string_lossy();
        let header = Sha256::digest(output.layout().encode_header());
        let guide = output
            .guide()
            .map(|guide| aeolus_source::hex(guide.sha256()));
        let identity = Identity::new([
            ("program", env!("CARGO_PKG_VERSION").to_owned()),
            (
                "codes",
                output
                    .codes()
                    .map_or_else(String::new, |codes| codes.identity()),
            ),
            ("header", aeolus_source::hex(&header)),
            ("guide", guide.unwrap_or_default()),
            ("via", format!("{:?}", self.via)),
            ("settings", format!("{:?}", Settings::default())),
        ]);
        let kept = self.folder.join(format!("{name}.norms"));
        let mut store = Store::open(
            &kept,
            &identity,
            Vec::new(),
            &progress::Bar::new(self.quiet),
        )?;
        let names = source.norms().keys();
        if norms::are_known(&store, names.map(String::as_str)) {
            return Ok(store);
        }
        let tuned = self.tune(source, output, &name)?;
        norms::keep(&mut store, source.norms(), &tuned)?;
        if !self.quiet {
            let verdict = match tuned.norms {
                Some(_) => "tuned",
                None => "left as they are: the tuned ones are not better there",
            };
            say(format_args!(
                "{name}: mean KLD on {} held-out windows {:.6} before its norms were tuned, {:.6} after: {verdict}",
                self.held_out, tuned.before, tuned.after
            ));
        }
        Ok(store)
    }

    /// Writes the output for the time being and tunes the norms of that.
    fn tune(&self, source: &Backward<'_>, output: &Output, name: &str) -> Result<Tuned> {
        let folder = tempfile::Builder::new()
            .prefix(".aeolus-norms-")
            .tempdir_in(self.folder);
        let folder =
            folder.with_context(|| format!("{}: cannot make a folder", self.folder.display()))?;
        let path = folder.path().join(name);
        let options = Options {
            threads: self.runtime.install(rayon::current_num_threads),
            via: self.via,
            force: false,
            // What a plan may have quantized again was refused before if it may not.
            allow_requantize: true,
            scratch: true,
            errors: false,
        };
        let bar = progress::Bar::new(self.quiet);
        let outputs = [(path.clone(), output.clone())];
        let written = aeolus_pipeline::run(self.checkpoint, &outputs, &options, &bar, self.cancel);
        bar.clear();
        written?;
        let file = Model::open(&path)?;
        // A process that is killed leaves no file where those that are mapped may be removed.
        drop(folder);
        let mut model = Backward::new(&file, Cpu::select()?)?;
        let bar = progress::byte_bar(self.quiet);
        bar.set_style(progress::style(
            "{bar:24} {pos}/{len}  norms of {prefix}  {msg}  {elapsed} gone, {eta} left",
        ));
        bar.set_prefix(name.to_owned());
        let judging = self.windows.len() - self.held_out;
        let texts = Texts {
            calibration: &self.windows[..judging],
            held_out: &self.windows[judging..],
        };
        let tuned = self.runtime.install(|| {
            norms::tune(
                &mut model,
                source,
                texts,
                (Settings::default(), self.folder),
                &mut |step| {
                    bar.set_length(step.total as u64);
                    bar.set_position(step.done as u64);
                    bar.set_message(format!("KLD {:.6}", step.divergence));
                    match self.cancel.is_set() {
                        true => ControlFlow::Break(()),
                        false => ControlFlow::Continue(()),
                    }
                },
            )
        });
        bar.finish_and_clear();
        Ok(tuned.map_err(Error::from)?)
    }
}
