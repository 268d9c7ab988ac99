//! What `--refine` does between planning and writing: better codes for the files that are planned.

mod norms;

use super::evaluate::{EngineArgs, Runnable};
use crate::model::ModeArg;
use crate::options::TargetArgs;
use crate::output::say;
use crate::progress;
use aeolus_checkpoint::Checkpoint;
use aeolus_eval::{Cut, Model, Windows};
use aeolus_gguf::{Array, Endian, Value};
use aeolus_infer::Hyperparameters;
use aeolus_job::{Cancel, Identity};
use aeolus_pipeline::{
    Codes, Output, REFINE_CALIBRATION_KEY, REFINE_EFFORT_KEY, REFINE_MARKS_KEY, Via,
};
use aeolus_recipe::{PlanFile, PlanRefine};
use aeolus_refine::{Effort, Job, Store, Wanted};
use anyhow::{Context, Result, bail};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Tokens of a calibration window.
const WINDOW: usize = 512;

/// The most calibration windows that are taken of a text.
const WINDOWS: usize = 128;

/// Windows that are sampled where there is no text.
const SAMPLED: usize = 64;

/// Of so many windows one judges the codes.
const HELD_OUT: usize = 8;

/// Where the random numbers of a sampled text start.
const SEED: u64 = 1;

/// What `--refine` asks for.
#[derive(clap::Args, Clone, Debug)]
pub struct RefineArgs {
    /// Choose better codes for the same types at the same size, by what the model computes on a text
    /// (--calibrate): 1 (default), 2 searches wider, 3 also goes by gradients, in families that have a
    /// backward pass
    #[arg(
        long,
        value_name = "EFFORT",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "1",
        value_parser = clap::value_parser!(u8).range(1..=3)
    )]
    pub refine: Option<u8>,

    /// Tune the vectors of the norms, too, which files store in F32: by gradient descent on each file's
    /// divergence from the model, over the same text, in families that have a backward pass
    #[arg(long, requires = "refine")]
    pub norms: bool,
}

/// What a command says about better codes.
#[derive(Clone, Copy, Default)]
pub struct Asked<'a> {
    /// None where they are not asked for, or by a plan.
    pub effort: Option<u8>,
    /// Tune norms too.
    pub norms: bool,
    /// The calibration text; none means one that the model writes.
    pub text: Option<&'a Path>,
}

/// A request for better codes.
pub struct Request<'a> {
    effort: Effort,
    norms: bool,
    text: Option<&'a Path>,
    /// The digest of the calibration windows that a plan has.
    planned: Option<&'a str>,
}

impl<'a> Request<'a> {
    /// What flags and the plan that is repeated ask for together.
    pub fn of(asked: Asked<'a>, repeated: Option<&'a PlanFile>) -> Result<Option<Self>> {
        let Some(planned) = repeated.map(|plan| plan.refine.as_ref()) else {
            let effort = asked.effort.and_then(Effort::of_number);
            if effort.is_none() && asked.text.is_some() {
                bail!(
                    "--calibrate gives the text that --refine goes by, and --refine is not given"
                );
            }
            return Ok(effort.map(|effort| Self {
                effort,
                norms: asked.norms,
                text: asked.text,
                planned: None,
            }));
        };
        let Some(planned) = planned else {
            if asked.effort.is_some() || asked.text.is_some() {
                bail!(
                    "the files of the plan were not refined, and --refine or --calibrate asks for it"
                );
            }
            return Ok(None);
        };
        let effort = Effort::of_number(planned.effort).with_context(|| {
            format!(
                "refine.effort of the plan: expected 1, 2 or 3, found {}",
                planned.effort
            )
        })?;
        if asked.effort.is_some_and(|given| given != planned.effort) {
            bail!(
                "the files of the plan were refined with effort {}",
                planned.effort
            );
        }
        if asked.norms && !planned.norms {
            bail!("the norms of the plan's files were not tuned, and --norms asks for it");
        }
        if let (Some(text), None) = (&planned.text, asked.text) {
            bail!("the files of the plan were refined on {text}: give it with --calibrate");
        }
        Ok(Some(Self {
            effort,
            norms: planned.norms,
            text: asked.text,
            planned: Some(&planned.calibration),
        }))
    }
}

/// Codes that were chosen.
pub struct Refined {
    /// The outputs with them.
    pub outputs: Vec<Output>,
    /// Where they are until the outputs are whole.
    pub stores: Vec<Arc<Store>>,
    /// What a plan says of it.
    pub plan: PlanRefine,
}

/// Chooses codes for the outputs, which will be at these paths.
pub fn run(
    request: &Request<'_>,
    (target, via, quiet): (&TargetArgs, Option<Via>, bool),
    (source, checkpoint): (&Path, &Checkpoint),
    (paths, outputs): (&[PathBuf], Vec<Output>),
    cancel: &Cancel,
) -> Result<Refined> {
    refuse(request, checkpoint, &outputs)?;
    let folder = target.folder();
    std::fs::create_dir_all(folder)
        .with_context(|| format!("{}: cannot make the folder", folder.display()))?;
    let engine = EngineArgs {
        mode: ModeArg::Exact,
        threads: target.threads,
        quiet,
    };
    let runtime = engine.runtime()?;
    let runnable = Runnable::open(source, folder, &engine, cancel)?;
    let model = runnable.load(&runtime)?;
    let windows = windows(request, &model, &runtime, &engine, cancel)?;
    let wanted = wanted(checkpoint, &outputs, via);
    let digest = aeolus_refine::digest(&windows);
    if let Some(planned) = request.planned.filter(|planned| *planned != digest) {
        bail!(
            "the calibration windows are not those of the plan: their digest is {digest}, there it is {planned}"
        );
    }
    let plan = PlanRefine {
        effort: request.effort.number(),
        calibration: digest.clone(),
        text: request.text.map(|text| {
            let name = text.file_name().unwrap_or(text.as_os_str());
            name.to_string_lossy().into_owned()
        }),
        norms: request.norms,
    };
    let bar = progress::Bar::new(engine.quiet);
    let mark = model.fingerprint(&bar, cancel)?;
    let identity = Identity::new([
        ("program", env!("CARGO_PKG_VERSION").to_owned()),
        ("model", mark.to_owned()),
        ("calibration", digest.clone()),
        ("effort", request.effort.number().to_string()),
    ]);
    let marks = aeolus_refine::marks(&windows);
    let keys = vec![
        (
            REFINE_EFFORT_KEY.to_owned(),
            Value::from(u32::from(request.effort.number())),
        ),
        (REFINE_CALIBRATION_KEY.to_owned(), Value::from(digest)),
        (
            REFINE_MARKS_KEY.to_owned(),
            Value::Array(Array::from_slice(&marks)),
        ),
    ];
    let path = folder.join(format!("{}.refined", checkpoint.name));
    let mut store = Store::open(&path, &identity, keys, &bar)?;
    let held_out = (windows.len() / HELD_OUT).max(1);
    let job = Job {
        model: model.loaded(),
        runtime: &runtime,
        windows: &windows,
        held_out,
        effort: request.effort,
        seed: SEED,
        folder,
        progress: &bar,
        cancel,
    };
    let left_plain = aeolus_refine::refine(&job, &wanted, &mut store);
    bar.clear();
    let left_plain = left_plain?;
    report(&store, &left_plain, engine.quiet);
    let store = Arc::new(store);
    let codes: Arc<dyn Codes> = store.clone();
    let outputs = outputs
        .into_iter()
        .map(|output| output.with_codes(codes.clone()));
    let mut refined = Refined {
        outputs: outputs.collect::<Result<_, _>>()?,
        stores: vec![store],
        plan,
    };
    if request.norms {
        let tuning = norms::Tuning {
            checkpoint,
            model: model.loaded(),
            runtime: &runtime,
            windows: &windows,
            held_out,
            folder,
            via,
            quiet: engine.quiet,
            cancel,
        };
        tuning.run(paths, &mut refined)?;
    }
    Ok(refined)
}

/// Refuses before any work what a model of this kind, or such a file, cannot have.
fn refuse(request: &Request<'_>, checkpoint: &Checkpoint, outputs: &[Output]) -> Result<()> {
    let asked = match (request.effort, request.norms) {
        (Effort::Three, _) => "--refine=3",
        (_, true) => "--norms",
        _ => return Ok(()),
    };
    let embedding = checkpoint
        .tensors
        .iter()
        .find(|t| t.name == "token_embd.weight");
    let vocab = embedding.and_then(|t| u32::try_from(t.shape.rows()).ok());
    let hyper = Hyperparameters::from_metadata(&checkpoint.metadata, vocab)?;
    aeolus_refine::backward::check(&hyper).context(asked)?;
    let is_big = |output: &Output| output.format().endian == Endian::Big;
    if request.norms && outputs.iter().any(is_big) {
        bail!("--norms runs the files that it tunes, and big-endian ones are not run here");
    }
    Ok(())
}

/// The calibration windows.
fn windows(
    request: &Request<'_>,
    model: &Model<'_>,
    runtime: &aeolus_infer::Runtime,
    engine: &EngineArgs,
    cancel: &Cancel,
) -> Result<Vec<Vec<u32>>> {
    let n_ctx = WINDOW.min(model.loaded().hyper().context);
    let Some(text) = request.text else {
        let Some(first) = model.bos() else {
            bail!(
                "the model has no begin token to write a text from: give a calibration text with \
                 --calibrate"
            );
        };
        if !engine.quiet {
            say(format_args!(
                "no calibration text: the model writes {SAMPLED} windows of {n_ctx} tokens; --calibrate \
                 gives a text"
            ));
        }
        let bar = progress::Bar::new(engine.quiet);
        let sampled = aeolus_refine::sample(
            model.loaded(),
            runtime,
            first,
            (SAMPLED, n_ctx),
            SEED,
            (&bar, cancel),
        );
        bar.clear();
        return Ok(sampled?);
    };
    let content = aeolus_eval::text::read(text)?;
    let cut = Cut {
        n_ctx,
        stride: None,
        bos: model.bos(),
        limit: Some(WINDOWS),
    };
    let windows = Windows::new(model.tokens(&content), &cut)
        .with_context(|| format!("{}: the calibration text", text.display()))?;
    if windows.len() < 2 {
        bail!(
            "{}: the calibration text has one window of {n_ctx} tokens, expected at least 2: the last ones \
             judge the codes",
            text.display()
        );
    }
    if windows.available() > windows.len() && !engine.quiet {
        say(format_args!(
            "the first {} of {} windows of the calibration text are used",
            windows.len(),
            windows.available()
        ));
    }
    Ok((0..windows.len()).map(|i| windows.input(i)).collect())
}

/// The codes that outputs have use for.
fn wanted(checkpoint: &Checkpoint, outputs: &[Output], via: Option<Via>) -> BTreeSet<Wanted> {
    let mut wanted = BTreeSet::new();
    for output in outputs {
        let planned = output.types().tensors.iter();
        for (tensor, planned) in checkpoint.tensors.iter().zip(planned) {
            // What is quantized already is copied.
            if planned.ty.is_quantized() && !tensor.ty.is_quantized() {
                let default = Via::default_for(output.types().vintage, tensor.ty);
                wanted.insert(Wanted {
                    tensor: tensor.name.clone(),
                    ty: planned.ty,
                    through_f16: via.unwrap_or(default) == Via::F16,
                });
            }
        }
    }
    wanted
}

/// Says how many matrices have refined codes, and why others have not.
fn report(store: &Store, left_plain: &BTreeMap<Wanted, String>, quiet: bool) {
    let kept = store.kept();
    let matrices: usize = kept.values().map(|kept| kept.matrices).sum();
    let refined: usize = kept.values().map(|kept| kept.refined).sum();
    if !quiet {
        say(format_args!(
            "{refined} of {matrices} matrices are refined; {} better with plain codes on held-out windows",
            match matrices - refined {
                1 => "1 is".to_owned(),
                n => format!("{n} are"),
            }
        ));
    }
    let mut reasons: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (wanted, why) in left_plain {
        let of = format!("{} ({})", wanted.tensor, wanted.ty);
        reasons.entry(why).or_default().push(of);
    }
    for (why, tensors) in reasons {
        say(format_args!(
            "note: plain codes for {}: {why}",
            tensors.join(", ")
        ));
    }
}
