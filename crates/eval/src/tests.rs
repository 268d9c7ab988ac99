//! Perplexity, divergence, resuming and refusing with models whose answers are known; verifying
//! and tensor errors with a real checkpoint.

use crate::logprobs::{BaseFacts, Format, LogProbs, Writer};
use crate::*;
use aeolus_checkpoint::{Checkpoint, Forecastable, OpenOptions};
use aeolus_gguf::{GgufFile, TensorType};
use aeolus_pipeline::{Format as Container, Output};
use aeolus_recipe::FileType;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

const VOCAB: usize = 8;

/// Logits depend on the token read and on a seed; computed windows are counted.
struct Fake {
    seed: f32,
    computed: Mutex<Vec<u32>>,
    cancel_after: Option<(usize, &'static Cancel)>,
    nan_at: Option<(u32, usize)>,
    /// Windows after which its file is another.
    changes_after: Option<usize>,
}

impl Fake {
    fn new(seed: f32) -> Self {
        Self {
            seed,
            computed: Mutex::default(),
            cancel_after: None,
            nan_at: None,
            changes_after: None,
        }
    }

    fn row(&self, token: u32) -> Vec<f32> {
        let logit = |i: usize| ((token as f32 + 1.3 * i as f32) * 2.1 + self.seed).sin() * 3.0;
        (0..VOCAB).map(logit).collect()
    }
}

impl Scorer for Fake {
    fn name(&self) -> &str {
        "fake"
    }
    fn vocab(&self) -> usize {
        VOCAB
    }
    fn width(&self) -> usize {
        1
    }
    fn context(&self) -> usize {
        64
    }
    fn verify_unchanged(&self) -> Result<(), Error> {
        let computed = self.computed.lock().unwrap().len();
        match self.changes_after {
            Some(count) if computed > count => Err(aeolus_source::Error::Changed {
                path: "fake.gguf".into(),
                what: "its modification time differs".into(),
            }
            .into()),
            _ => Ok(()),
        }
    }
    fn windows(
        &self,
        windows: &[Vec<u32>],
        outputs: Range<usize>,
        visit: &(dyn Fn(usize, &[f32]) + Sync),
    ) -> Result<(), Error> {
        for (number, window) in windows.iter().enumerate() {
            let mut logits = Vec::new();
            for position in outputs.clone() {
                let mut row = self.row(window[position]);
                if self.nan_at == Some((window[1], position)) {
                    row[5] = f32::NAN;
                }
                logits.extend(row);
            }
            visit(number, &logits);
            let mut computed = self.computed.lock().unwrap();
            computed.push(window[1]);
            if let Some((count, cancel)) = self.cancel_after
                && computed.len() >= count
            {
                cancel.set();
            }
        }
        Ok(())
    }
    fn endings(&self, _: &[Vec<u32>], _: &[usize]) -> Result<Vec<Vec<f64>>, Error> {
        unreachable!("no tasks here")
    }
}

/// Ten windows of 6 tokens, positions 3 and 4 of each scored.
fn windows() -> Windows {
    let tokens = (0..60).map(|i| (i * i + i / 7) % VOCAB as u32).collect();
    let cut = Cut {
        n_ctx: 6,
        stride: None,
        bos: Some(0),
        limit: None,
    };
    Windows::new(tokens, &cut).unwrap()
}

fn job<'a>(windows: &'a Windows, cancel: &'a Cancel) -> Job<'a> {
    Job {
        windows,
        progress: &(),
        cancel,
    }
}

/// Softmax in f64, the plain way.
fn probabilities(logits: &[f32]) -> Vec<f64> {
    let exps: Vec<f64> = logits.iter().map(|l| f64::from(*l).exp()).collect();
    let sum: f64 = exps.iter().sum();
    exps.iter().map(|e| e / sum).collect()
}

/// Read token and target of every scored position.
fn scored(windows: &Windows) -> Vec<(u32, u32)> {
    let mut pairs = Vec::new();
    for w in 0..windows.len() {
        let input = windows.input(w);
        for (position, target) in windows.scored().zip(windows.targets(w)) {
            pairs.push((input[position], *target));
        }
    }
    pairs
}

fn base(dir: &Path, windows: &Windows, seed: f32) -> LogProbs {
    let facts = BaseFacts {
        vocab: VOCAB,
        vocabulary: None,
        fingerprint: None,
        numeric: None,
    };
    let path = dir.join(format!("base{seed}"));
    let mut writer = Writer::create(&path, Format::Aeolus, windows, &facts).unwrap();
    let model = Fake::new(seed);
    let records = Mutex::new(vec![Vec::new(); windows.len()]);
    let encoder = writer.encoder();
    let inputs: Vec<_> = (0..windows.len()).map(|w| windows.input(w)).collect();
    model
        .windows(&inputs, windows.scored(), &|w, logits| {
            records.lock().unwrap()[w] = encoder.encode(logits).unwrap();
        })
        .unwrap();
    for record in records.into_inner().unwrap() {
        writer.append(&record).unwrap();
    }
    writer.finish().unwrap()
}

#[test]
fn perplexity_is_what_the_formula_gives() {
    let (windows, cancel) = (windows(), Cancel::new());
    let model = Fake::new(0.0);
    let mut state = State::in_memory();
    let found = perplexity(job(&windows, &cancel), &model, "f", 50, &mut state).unwrap();
    let nlls: Vec<f64> = scored(&windows)
        .iter()
        .map(|(read, target)| -probabilities(&model.row(*read))[*target as usize].ln())
        .collect();
    let n = nlls.len() as f64;
    let mean = nlls.iter().sum::<f64>() / n;
    let variance = nlls.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
    assert_eq!((found.tokens, found.windows), (20, 10));
    assert!((found.ppl.value - mean.exp()).abs() < 1e-12);
    let error = (variance / (n - 1.0)).sqrt() * mean.exp();
    assert!((found.ppl.error - error).abs() < 1e-12);
    let bits = found.bits_per_byte.unwrap().value;
    assert!((bits - mean * n / 2f64.ln() / 50.0).abs() < 1e-12);
}

#[test]
fn divergence_is_what_the_formula_gives() {
    let (windows, cancel) = (windows(), Cancel::new());
    let dir = tempfile::tempdir().unwrap();
    let rows = base(dir.path(), &windows, 0.0);
    let (p_model, q_model) = (Fake::new(0.0), Fake::new(0.3));
    let mut state = State::in_memory();
    let found = divergence(
        job(&windows, &cancel),
        Some(&rows),
        &q_model,
        "f",
        50,
        &mut state,
    )
    .unwrap();
    let mut klds = Vec::new();
    let (mut same, mut dp2, mut log_ratio) = (0.0, 0.0, 0.0);
    let top = |p: &[f64]| (0..VOCAB).max_by(|a, b| p[*a].total_cmp(&p[*b])).unwrap();
    for (read, target) in scored(&windows) {
        let p = probabilities(&p_model.row(read));
        let q = probabilities(&q_model.row(read));
        klds.push(p.iter().zip(&q).map(|(p, q)| p * (p / q).ln()).sum::<f64>());
        same += f64::from(u8::from(top(&p) == top(&q)));
        dp2 += (q[target as usize] - p[target as usize]).powi(2);
        log_ratio += (p[target as usize] / q[target as usize]).ln();
    }
    let n = klds.len() as f64;
    // Base rows are kept to 2^-24 of their range of 6 nats: 2e-7.
    let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-6, "{a} {b}");
    close(found.kld.value, klds.iter().sum::<f64>() / n);
    close(found.same_top.value, same / n);
    close(found.rms_dp.value, (dp2 / n).sqrt());
    close(found.ppl_ratio.value, (log_ratio / n).exp());
    klds.sort_by(f64::total_cmp);
    close(found.kld_max, klds[19]);
    close(found.kld_median, (klds[9] + klds[10]) / 2.0);
    close(found.kld_99, klds[18] + 0.81 * (klds[19] - klds[18]));
    assert!(found.ppl_ratio.error < found.ppl.error + found.ppl_base.error);
}

#[test]
fn a_model_with_itself_is_zero() {
    let (windows, cancel) = (windows(), Cancel::new());
    let dir = tempfile::tempdir().unwrap();
    let rows = base(dir.path(), &windows, 0.5);
    let mut state = State::in_memory();
    let model = Fake::new(0.5);
    let found = divergence(
        job(&windows, &cancel),
        Some(&rows),
        &model,
        "f",
        0,
        &mut state,
    );
    let found = found.unwrap();
    assert!(found.kld.value.abs() < 1e-9, "{}", found.kld.value);
    assert!(found.kld_max.abs() < 1e-9);
    assert_eq!(found.same_top.value, 1.0);
    assert!(found.rms_dp.value < 1e-6);
    assert!((found.ppl_ratio.value - 1.0).abs() < 1e-6);
    assert_eq!(found.bits_per_byte, None, "no byte, no bits per byte");
}

#[test]
fn an_interrupted_run_goes_on_and_gives_the_same_bits() {
    static CANCEL: Cancel = Cancel::new();
    let windows = windows();
    let dir = tempfile::tempdir().unwrap();
    let rows = base(dir.path(), &windows, 0.0);
    let whole = divergence(
        job(&windows, &Cancel::new()),
        Some(&rows),
        &Fake::new(0.3),
        "f",
        50,
        &mut State::in_memory(),
    )
    .unwrap();

    let path = dir.path().join("state");
    let description = describe("compare", &windows, "exact", Some("b"));
    let mut state = State::open(&path, &description).unwrap();
    let model = Fake {
        cancel_after: Some((3, &CANCEL)),
        ..Fake::new(0.3)
    };
    let stopped = divergence(
        job(&windows, &CANCEL),
        Some(&rows),
        &model,
        "f",
        50,
        &mut state,
    );
    assert!(matches!(stopped, Err(Error::Cancelled)));
    drop(state);
    let done = model.computed.into_inner().unwrap().len();
    assert!((3..10).contains(&done), "{done}");

    let mut state = State::open(&path, &description).unwrap();
    let model = Fake::new(0.3);
    let cancel = Cancel::new();
    let resumed = divergence(
        job(&windows, &cancel),
        Some(&rows),
        &model,
        "f",
        50,
        &mut state,
    );
    assert_eq!(resumed.unwrap(), whole);
    assert_eq!(model.computed.into_inner().unwrap().len(), 10 - done);
    drop(state);

    // All is known: no base, no model.
    let mut state = State::open(&path, &description).unwrap();
    let model = Fake::new(0.3);
    let again = divergence(job(&windows, &cancel), None, &model, "f", 50, &mut state);
    assert_eq!(again.unwrap(), whole);
    assert!(model.computed.into_inner().unwrap().is_empty());
}

#[test]
fn nothing_is_kept_of_a_model_whose_file_changed() {
    let (windows, cancel) = (windows(), Cancel::new());
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state");
    let description = describe("perplexity", &windows, "exact", None);
    let run = |model: &Fake| {
        let mut state = State::open(&path, &description).unwrap();
        let found = perplexity(job(&windows, &cancel), model, "f", 50, &mut state);
        (
            found,
            state.known(crate::fingerprint::key("f"), windows.len()),
        )
    };
    let changing = Fake {
        changes_after: Some(3),
        ..Fake::new(0.3)
    };
    let (found, kept) = run(&changing);
    let message = found.unwrap_err().to_string();
    assert!(message.contains("fake.gguf: "), "{message}");
    let computed = changing.computed.into_inner().unwrap().len();
    assert!(
        kept > 0 && kept <= 3 && kept < computed,
        "{kept} of {computed}"
    );
    let model = Fake::new(0.3);
    let whole = perplexity(
        job(&windows, &cancel),
        &model,
        "f",
        50,
        &mut State::in_memory(),
    );
    assert_eq!(run(&model).0.unwrap(), whole.unwrap());
}

#[test]
fn what_cannot_be_scored_is_named() {
    let (windows, cancel) = (windows(), Cancel::new());
    let nan = Fake {
        nan_at: Some((windows.input(4)[1], 4)),
        ..Fake::new(0.0)
    };
    let error = perplexity(
        job(&windows, &cancel),
        &nan,
        "f",
        0,
        &mut State::in_memory(),
    );
    let message = error.unwrap_err().to_string();
    assert!(
        message.contains("position 4") && message.contains("token 5 is NaN"),
        "{message}"
    );

    let cut = Cut {
        n_ctx: 6,
        stride: None,
        bos: None,
        limit: None,
    };
    let foreign = Windows::new(vec![1, 2, 3, 4, 5, 99], &cut).unwrap();
    let model = Fake::new(0.0);
    let error = perplexity(
        job(&foreign, &cancel),
        &model,
        "f",
        0,
        &mut State::in_memory(),
    );
    let message = error.unwrap_err().to_string();
    assert!(
        message.contains("token 99") && message.contains("8 tokens"),
        "{message}"
    );

    let dir = tempfile::tempdir().unwrap();
    let facts = BaseFacts {
        vocab: 3,
        vocabulary: None,
        fingerprint: None,
        numeric: None,
    };
    let small = Windows::new(vec![1; 6], &cut).unwrap();
    let mut writer = Writer::create(&dir.path().join("b"), Format::Aeolus, &small, &facts).unwrap();
    let record = writer.encoder().encode(&[0.0; 6]).unwrap();
    writer.append(&record).unwrap();
    let rows = writer.finish().unwrap();
    let mut state = State::in_memory();
    let error = divergence(
        job(&small, &cancel),
        Some(&rows),
        &model,
        "f",
        0,
        &mut state,
    );
    let message = error.unwrap_err().to_string();
    assert!(
        message.contains("8 tokens") && message.contains("3: "),
        "{message}"
    );
}

fn fixture(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fixtures")
        .join(path)
}

fn notus_mini() -> Checkpoint {
    aeolus_checkpoint::open(&fixture("notus-mini"), &OpenOptions::default()).unwrap()
}

fn forge(
    source: &Checkpoint,
    dir: &Path,
    types: &[FileType],
    container: Container,
) -> Vec<PathBuf> {
    let facts = Forecastable::from(source);
    let outputs: Vec<(PathBuf, Output)> = types
        .iter()
        .map(|ty| {
            let recipe = aeolus_recipe::Options::default();
            let output = Output::plan(&facts, *ty, &recipe, container, None).unwrap();
            (dir.join(format!("{ty}.gguf")), output)
        })
        .collect();
    let options = aeolus_pipeline::Options {
        threads: 0,
        via: None,
        force: false,
        allow_requantize: false,
        scratch: false,
        errors: false,
    };
    aeolus_pipeline::run(source, &outputs, &options, &(), &Cancel::new()).unwrap();
    outputs.into_iter().map(|(path, _)| path).collect()
}

#[test]
fn errors_taken_while_encoding_are_those_of_the_finished_files() {
    let source = notus_mini();
    let dir = tempfile::tempdir().unwrap();
    let facts = Forecastable::from(&source);
    let types = [FileType::Q2_K, FileType::Q4_0, FileType::BF16];
    let recipe = aeolus_recipe::Options::default();
    let plan = |ty: &FileType| {
        let output = Output::plan(&facts, *ty, &recipe, Container::default(), None).unwrap();
        (dir.path().join(format!("{ty}.gguf")), output)
    };
    let outputs: Vec<(PathBuf, Output)> = types.iter().map(plan).collect();
    for threads in [1, 3] {
        let options = aeolus_pipeline::Options {
            threads,
            via: None,
            force: true,
            allow_requantize: false,
            scratch: false,
            errors: true,
        };
        let made = aeolus_pipeline::run(&source, &outputs, &options, &(), &Cancel::new()).unwrap();
        let files: Vec<GgufFile> = outputs
            .iter()
            .map(|(p, _)| GgufFile::open(p).unwrap())
            .collect();
        let pairs: Vec<(&Path, &GgufFile)> = outputs
            .iter()
            .map(|(path, _)| path.as_path())
            .zip(&files)
            .collect();
        let read = tensor_errors(&source, &pairs, &|_| {}, &Cancel::new()).unwrap();
        for (made, read) in made.iter().zip(read) {
            assert_eq!(
                made.errors.as_ref().unwrap(),
                &read,
                "{}",
                made.path.display()
            );
        }
    }
}

fn making() -> Making {
    Making {
        recipe: aeolus_recipe::Options::default(),
        via: None,
        guide: None,
    }
}

fn verdict(source: &Checkpoint, path: &Path, making: &Making) -> Verdict {
    let subjects = [Subject::open(path).unwrap()];
    let verdicts = verify(source, &subjects, making, &|_| {}, &Cancel::new());
    verdicts.unwrap().remove(0)
}

#[test]
fn files_are_verified_to_the_last_byte() {
    let source = notus_mini();
    let dir = tempfile::tempdir().unwrap();
    let types = [FileType::Q4_0, FileType::Q2_K, FileType::BF16];
    let paths = forge(&source, dir.path(), &types, Container::default());
    let subjects: Vec<Subject> = paths.iter().map(|p| Subject::open(p).unwrap()).collect();
    let read = Mutex::new(0);
    let verdicts = verify(
        &source,
        &subjects,
        &making(),
        &|bytes| *read.lock().unwrap() += bytes,
        &Cancel::new(),
    )
    .unwrap();
    for (verdict, path) in verdicts.iter().zip(&paths) {
        assert!(verdict.is_right(), "{}: {verdict:?}", path.display());
    }
    let source_bytes: u64 = source.tensors.iter().map(|t| t.size_bytes()).sum();
    assert_eq!(read.into_inner().unwrap(), source_bytes);
    drop(subjects);

    // One bit of one weight.
    let file = GgufFile::open(&paths[0]).unwrap();
    let info = file.tensor("blk.3.ffn_up.weight").unwrap().clone();
    let start = file.header().data_offset + info.offset;
    drop(file);
    let original = std::fs::read(&paths[0]).unwrap();
    let mut bytes = original.clone();
    // Row 700 of rows of 256 weights, 144 bytes each.
    bytes[start as usize + 700 * 144 + 5] ^= 1;
    std::fs::write(&paths[0], &bytes).unwrap();
    let found = verdict(&source, &paths[0], &making());
    assert_eq!(
        found.tensors,
        [format!(
            "blk.3.ffn_up.weight: bytes differ from row 700 of {} on",
            info.shape.rows()
        )]
    );
    assert!(found.header.is_empty() && !found.is_right());

    // One letter of the metadata.
    let mut bytes = original.clone();
    let key = original
        .windows(20)
        .position(|w| w == b"llama.context_length")
        .unwrap();
    bytes[key + 24] ^= 1;
    std::fs::write(&paths[0], &bytes).unwrap();
    let found = verdict(&source, &paths[0], &making());
    assert_eq!(found.header, ["llama.context_length differs"]);
    assert!(found.tensors.is_empty());

    // A tensor by another name: one is missing, one too many; the others are looked at.
    let mut bytes = original.clone();
    let name = b"blk.3.ffn_up.weight";
    let at = original.windows(name.len()).position(|w| w == name);
    bytes[at.unwrap() + 4] = b'9';
    std::fs::write(&paths[0], &bytes).unwrap();
    let found = verdict(&source, &paths[0], &making());
    assert_eq!(
        found.tensors,
        [
            "blk.9.ffn_up.weight: is not in the source",
            "blk.3.ffn_up.weight: is missing"
        ]
    );

    // Another recipe, another rounding.
    std::fs::write(&paths[0], &original).unwrap();
    let current = Making {
        recipe: aeolus_recipe::Options {
            vintage: Some(aeolus_recipe::Vintage::Current),
            ..aeolus_recipe::Options::default()
        },
        ..making()
    };
    let found = verdict(&source, &paths[1], &current);
    assert!(
        found.tensors.iter().any(|t| t.contains("planned")),
        "{found:?}"
    );
    assert_ne!(found.bytes, found.forecast);
}

#[test]
fn the_way_to_the_weights_shows() {
    // A block of 5e-6 and 31 times 2.5e-8: f16 rounds the latter to 0, and Q8_0's step is 3.9e-8.
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("tiny");
    std::fs::create_dir(&folder).unwrap();
    for entry in std::fs::read_dir(fixture("notus-mini")).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), folder.join(entry.file_name())).unwrap();
    }
    let source = aeolus_checkpoint::open(&folder, &OpenOptions::default()).unwrap();
    let named = |t: &&aeolus_checkpoint::Tensor| t.name == "blk.4.ffn_up.weight";
    let tensor = source.tensors.iter().find(named).unwrap();
    let (map, range) = tensor.spans(0..tensor.shape.rows() as usize).remove(0);
    let path = map.path().to_owned();
    drop(source);
    let mut bytes = std::fs::read(&path).unwrap();
    for (i, weight) in bytes[range.start..range.start + 64]
        .chunks_mut(2)
        .enumerate()
    {
        let bf16: u16 = if i == 0 { 0x36a8 } else { 0x32d7 };
        weight.copy_from_slice(&bf16.to_le_bytes());
    }
    std::fs::write(&path, bytes).unwrap();
    let source = aeolus_checkpoint::open(&folder, &OpenOptions::default()).unwrap();
    let paths = forge(&source, dir.path(), &[FileType::Q8_0], Container::default());
    assert!(verdict(&source, &paths[0], &making()).is_right());
    let straight = Making {
        via: Some(aeolus_pipeline::Via::Source),
        ..making()
    };
    let found = verdict(&source, &paths[0], &straight).tensors;
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].contains("blk.4.ffn_up.weight: bytes differ from row 0"),
        "{found:?}"
    );
}

#[test]
fn big_endian_files_are_verified_and_measured() {
    let source = notus_mini();
    let dir = tempfile::tempdir().unwrap();
    let big = Container {
        version: 3,
        endian: aeolus_gguf::Endian::Big,
    };
    let paths = forge(&source, dir.path(), &[FileType::Q4_0], big);
    assert!(verdict(&source, &paths[0], &making()).is_right());
    let file = GgufFile::open(&paths[0]).unwrap();
    let errors = tensor_errors(&source, &[(&paths[0], &file)], &|_| {}, &Cancel::new()).unwrap();
    assert!(errors[0].iter().all(|e| e.relative < 0.2), "{errors:?}");
    // And as a source.
    let from_big = aeolus_checkpoint::open(&paths[0], &OpenOptions::default()).unwrap();
    let errors = tensor_errors(&from_big, &[(&paths[0], &file)], &|_| {}, &Cancel::new()).unwrap();
    assert!(
        errors[0]
            .iter()
            .all(|e| e.rmse == 0.0 && e.cosine > 1.0 - 1e-12)
    );
}

#[test]
fn endings_share_their_beginning_and_are_what_whole_sequences_give() {
    let dir = tempfile::tempdir().unwrap();
    let paths = forge(
        &notus_mini(),
        dir.path(),
        &[FileType::F16],
        Container::default(),
    );
    let runtime = runtime(2, Numeric::Exact).unwrap();
    let model = Model::open(&paths[0], &runtime).unwrap();
    let prompt = "It was the best of times, it was the worst";
    let ends = [
        " of times",
        " of all possible worlds",
        " day",
        " of times, it was",
    ];
    let start = model.tokens(prompt).len();
    let sequences: Vec<Vec<u32>> = ends
        .iter()
        .map(|end| model.tokens(&format!("{prompt}{end}")))
        .collect();
    // One prompt for all, the prompt of each, and no prompt at all.
    let mut other = sequences.clone();
    other[1].drain(1..4);
    for (sequences, starts) in [
        (sequences.clone(), vec![start; 4]),
        (other, vec![start, start - 3, start, start]),
        (sequences, vec![1; 4]),
    ] {
        let found = model.endings(&sequences, &starts).unwrap();
        for ((sequence, start), found) in sequences.iter().zip(&starts).zip(&found) {
            let whole = Mutex::new(Vec::new());
            model
                .windows(
                    std::slice::from_ref(sequence),
                    0..sequence.len(),
                    &|_, logits| {
                        *whole.lock().unwrap() = logits.to_vec();
                    },
                )
                .unwrap();
            let whole = whole.into_inner().unwrap();
            assert_eq!(found.len(), sequence.len() - start);
            for (i, found) in found.iter().enumerate() {
                let at = start + i;
                let row = &whole[(at - 1) * model.vocab()..at * model.vocab()];
                let expected = probabilities(row)[sequence[at] as usize].ln();
                // Batches of other sizes may add in another order.
                assert!((found - expected).abs() < 1e-4, "{found} {expected}");
            }
        }
    }
    assert_eq!(
        model.text_bytes(&model.tokens("It was")),
        7,
        "with the space before it"
    );
}

#[test]
fn tensor_errors_are_what_the_formulas_give() {
    let source = notus_mini();
    let dir = tempfile::tempdir().unwrap();
    let types = [FileType::F32, FileType::Q8_0, FileType::Q2_K];
    let paths = forge(&source, dir.path(), &types, Container::default());
    let files: Vec<GgufFile> = paths.iter().map(|p| GgufFile::open(p).unwrap()).collect();
    let pairs: Vec<(&Path, &GgufFile)> = paths.iter().map(PathBuf::as_path).zip(&files).collect();
    let errors = tensor_errors(&source, &pairs, &|_| {}, &Cancel::new()).unwrap();
    assert!(
        errors[0]
            .iter()
            .all(|e| (e.rmse, e.max, e.relative) == (0.0, 0.0, 0.0))
    );
    for list in &errors {
        assert_eq!(list.len(), source.tensors.len());
        assert!(list.windows(2).all(|w| w[0].relative >= w[1].relative));
    }

    // One tensor the plain way; rows of attn_v are in the source's order.
    let name = "blk.2.attn_v.weight";
    let tensor = source.tensors.iter().find(|t| t.name == name).unwrap();
    let decode = |ty: TensorType, bytes: &[u8]| {
        let mut out = vec![0.0; tensor.shape.elems() as usize];
        aeolus_quant::decode_rows(ty, bytes, tensor.shape.cols() as usize, &mut out).unwrap();
        out
    };
    let x = decode(tensor.ty, &tensor.to_bytes());
    let info = files[2].tensor(name).unwrap();
    let y = decode(info.ty, files[2].tensor_bytes(info));
    let sum = |f: &dyn Fn(f64, f64) -> f64| -> f64 {
        x.iter()
            .zip(&y)
            .map(|(x, y)| f(f64::from(*x), f64::from(*y)))
            .sum()
    };
    let found = errors[2].iter().find(|e| e.tensor == name).unwrap();
    let (error2, x2) = (sum(&|x, y| (x - y).powi(2)), sum(&|x, _| x * x));
    let close = |a: f64, b: f64| assert!((a / b - 1.0).abs() < 1e-9, "{a} {b}");
    close(found.rmse, (error2 / x.len() as f64).sqrt());
    close(found.relative, (error2 / x2).sqrt());
    close(
        found.cosine,
        sum(&|x, y| x * y) / (x2 * sum(&|_, y| y * y)).sqrt(),
    );
    let max = x
        .iter()
        .zip(&y)
        .map(|(x, y)| (x - y).abs())
        .fold(0.0, f32::max);
    close(found.max, f64::from(max));
    assert_eq!(found.weights, x.len() as u64);
    // The same tensor is nearer in the better file.
    let better = errors[1].iter().find(|e| e.tensor == name).unwrap();
    assert!(better.relative < found.relative / 10.0);
}

#[test]
fn files_of_other_models_are_refused() {
    let source = notus_mini();
    let dir = tempfile::tempdir().unwrap();
    let paths = forge(&source, dir.path(), &[FileType::Q4_0], Container::default());
    let file = GgufFile::open(&paths[0]).unwrap();
    let mut other = source.clone();
    let removed = other.tensors.remove(5).name;
    let pair = [(paths[0].as_path(), &file)];
    let error = tensor_errors(&other, &pair, &|_| {}, &Cancel::new())
        .unwrap_err()
        .to_string();
    assert!(
        error.contains(&removed) && error.contains("not in the source"),
        "{error}"
    );
    let mut renamed = source.clone();
    renamed.tensors[5].name = "blk.99.x".into();
    let error = tensor_errors(&renamed, &pair, &|_| {}, &Cancel::new())
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("blk.99.x") && error.contains("is missing"),
        "{error}"
    );
}

/// A comparison of files with their source over windows of 32 tokens.
fn compared(
    dir: &Path,
    files: &[&str],
    threads: usize,
    limit: Option<usize>,
    options: impl FnOnce(Options) -> Options,
) -> (Comparison, Vec<String>) {
    let runtime = runtime(threads, Numeric::Precise).unwrap();
    let open = |name: &str| Model::open(&dir.join(format!("{name}.gguf")), &runtime).unwrap();
    let models: Vec<Model<'_>> = files.iter().map(|name| open(name)).collect();
    let options = options(Options {
        n_ctx: 32,
        stride: None,
        limit,
        until_known: true,
        keep_base: None,
        state: None,
    });
    let text = text::read(&fixture("text/heldout.txt")).unwrap();
    let told = Mutex::new(Vec::new());
    let tell = |event: Event<'_>| told.lock().unwrap().push(format!("{event:?}"));
    let base = Base::Model(Box::new(open("BF16")));
    let found = compare(base, &models, Some(&text), &options, &tell, &Cancel::new()).unwrap();
    (found, told.into_inner().unwrap())
}

fn figures(comparison: &Comparison) -> Vec<Divergence> {
    let files = comparison.files.iter();
    files.map(|file| *file.as_ref().unwrap()).collect()
}

#[test]
fn a_comparison_stops_when_it_is_known_and_any_way_there_is_the_same() {
    let (source, dir) = (notus_mini(), tempfile::tempdir().unwrap());
    let dir = dir.path();
    let types = [FileType::BF16, FileType::Q4_K_S, FileType::Q4_K_M];
    forge(&source, dir, &types, Container::default());
    let files = ["Q4_K_S", "Q4_K_M"];
    let whole = |files: &[&str], threads| compared(dir, files, threads, Some(256), |o| o);

    // One file has no order: its mean must be known.
    let (one, told) = whole(&files[..1], 2);
    assert_eq!(one.stopped, Stopped::Known);
    let kld = figures(&one)[0].kld;
    assert!(kld.error <= KNOWN * kld.value, "{kld:?}");
    assert!(one.windows > 8 && one.windows % 4 == 0, "{}", one.windows);
    // What the bar was told came true: nothing was left in the end.
    let expected = |told: &[String]| -> Vec<String> {
        let is_rest = |line: &&String| line.starts_with("Expected");
        told.iter().filter(is_rest).cloned().collect()
    };
    assert_eq!(expected(&told).last().unwrap(), "Expected { rest: 0 }");
    assert!(expected(&told).len() > 4, "{told:?}");

    // Two are put in order, over fewer windows, the same for both and for any number of threads.
    let (two, _) = whole(&files, 1);
    assert_eq!(two.stopped, Stopped::Ordered);
    assert!((4..one.windows).contains(&two.windows), "{}", two.windows);
    assert!(figures(&two).iter().all(|d| d.windows == two.windows));
    let (again, _) = whole(&files, 2);
    assert_eq!(
        (again.windows, figures(&again)),
        (two.windows, figures(&two))
    );
    // And the figures are those of that many windows asked for.
    let (asked, told) = compared(dir, &files, 2, Some(two.windows), |options| Options {
        until_known: false,
        ..options
    });
    assert_eq!(asked.stopped, Stopped::Asked);
    assert_eq!(figures(&asked), figures(&two));
    assert!(told[0].starts_with("Started { total: "), "{told:?}");

    // No more than the limit, or the text, has.
    let (few, _) = compared(dir, &files[..1], 2, Some(6), |o| o);
    assert_eq!((few.stopped, few.windows), (Stopped::Limit, 6));
}

#[test]
fn a_comparison_that_stops_by_itself_resumes_and_takes_kept_bases() {
    let (source, dir) = (notus_mini(), tempfile::tempdir().unwrap());
    let dir = dir.path();
    let types = [FileType::BF16, FileType::Q4_0, FileType::Q2_K];
    forge(&source, dir, &types, Container::default());
    let (whole, _) = compared(dir, &["Q4_0"], 2, Some(256), |o| o);
    assert_eq!(whole.stopped, Stopped::Known);

    // Interrupted after some windows, within a batch or between two.
    let state = dir.join("state");
    let base = dir.join("state.base");
    let with_state = |options| Options {
        state: Some(state.clone()),
        ..options
    };
    let runtime = runtime(2, Numeric::Precise).unwrap();
    let open = |name: &str| Model::open(&dir.join(format!("{name}.gguf")), &runtime).unwrap();
    let text = text::read(&fixture("text/heldout.txt")).unwrap();
    for advanced in [1, 3, 7] {
        let _ = std::fs::remove_file(&state);
        let cancel = Cancel::new();
        let seen = Mutex::new(0);
        let tell = |event: Event<'_>| {
            let mut seen = seen.lock().unwrap();
            *seen += usize::from(matches!(event, Event::Advanced { .. }));
            if *seen == advanced {
                cancel.set();
            }
        };
        let options = with_state(Options {
            n_ctx: 32,
            stride: None,
            limit: Some(256),
            until_known: true,
            keep_base: None,
            state: None,
        });
        let models = [open("Q4_0")];
        let bf16 = Base::Model(Box::new(open("BF16")));
        let stopped = compare(bf16, &models, Some(&text), &options, &tell, &cancel);
        assert!(matches!(stopped, Err(Error::Cancelled)), "{stopped:?}");
        let (resumed, told) = compared(dir, &["Q4_0"], 2, Some(256), with_state);
        assert_eq!(
            (resumed.windows, figures(&resumed)),
            (whole.windows, figures(&whole))
        );
        assert!(
            !told.iter().any(|line| line.contains("StartedOver")),
            "{told:?}"
        );
        assert!(!base.exists());
    }
    // With another file the first one is known, as far as it was read.
    let (both, _) = compared(dir, &["Q4_0", "Q2_K"], 2, Some(256), with_state);
    assert_eq!((both.stopped, both.windows), (Stopped::Ordered, 4));
    // What an unfinished batch left of another one is made again.
    std::fs::write(&state, "").unwrap();
    let part = compared(dir, &["Q4_0"], 2, Some(3), |options| Options {
        keep_base: Some((base.clone(), Format::Aeolus)),
        ..options
    });
    assert_eq!(part.0.windows, 3);
    let (resumed, told) = compared(dir, &["Q4_0"], 2, Some(256), with_state);
    assert_eq!(figures(&resumed), figures(&whole));
    let started_over = told
        .iter()
        .filter(|line| line.contains("StartedOver"))
        .count();
    assert_eq!(started_over, 1, "{told:?}");

    // A base that is kept has all windows, and whoever compares with it stops where it is known.
    let kept = dir.join("kept");
    let keep = |options| Options {
        keep_base: Some((kept.clone(), Format::Aeolus)),
        ..options
    };
    let (found, _) = compared(dir, &["Q4_0"], 2, Some(256), keep);
    assert_eq!(
        (found.windows, figures(&found)),
        (whole.windows, figures(&whole))
    );
    let file = LogProbs::open(&kept, None).unwrap();
    assert_eq!(file.windows().len(), 256);
    let options = Options {
        n_ctx: 32,
        stride: None,
        limit: None,
        until_known: true,
        keep_base: None,
        state: None,
    };
    let models = [open("Q4_0")];
    let file = Base::File(Box::new(file));
    let found = compare(file, &models, None, &options, &(), &Cancel::new()).unwrap();
    assert_eq!(
        (found.windows, figures(&found)),
        (whole.windows, figures(&whole))
    );
    assert_eq!(found.available, 256);
}
