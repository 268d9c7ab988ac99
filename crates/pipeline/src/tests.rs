//! Whole runs: continued, started over, on disks that fill up.

use crate::prefix::Record;
use crate::{
    Cancel, Error, Event, Format, Guide, Options, Output, Progress, SUMS, Sums, Written, run,
};
use aeolus_checkpoint::{Checkpoint, Forecastable, OpenOptions};
use aeolus_gguf::TensorType;
use aeolus_imatrix::Imatrix;
use aeolus_job::full_disk::FullDisk;
use aeolus_job::{Identity, Log, Names};
use aeolus_recipe::{FileType, Vintage};
use aeolus_source::hex;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime};

const TYPES: [FileType; 3] = [FileType::Q4_0, FileType::Q8_0, FileType::F16];
const OPTIONS: Options = Options {
    threads: 2,
    via: None,
    force: false,
    allow_requantize: false,
    scratch: false,
    errors: false,
};

fn notus_mini() -> Checkpoint {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/notus-mini");
    aeolus_checkpoint::open(&path, &OpenOptions::default()).unwrap()
}

/// A copy that may be changed.
fn copy_of_notus_mini(folder: &Path) -> PathBuf {
    let folder = folder.join("notus-mini");
    std::fs::create_dir(&folder).unwrap();
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/notus-mini");
    for entry in std::fs::read_dir(fixture).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), folder.join(entry.file_name())).unwrap();
    }
    folder
}

fn outputs(source: &Checkpoint, folder: &Path, types: &[FileType]) -> Vec<(PathBuf, Output)> {
    mixed(
        source,
        folder,
        types,
        &aeolus_recipe::Options::default(),
        None,
    )
}

fn mixed(
    source: &Checkpoint,
    folder: &Path,
    types: &[FileType],
    recipe: &aeolus_recipe::Options,
    guide: Option<&Guide>,
) -> Vec<(PathBuf, Output)> {
    let facts = Forecastable::from(source);
    let plan = |ty: &FileType| {
        let output = Output::plan(&facts, *ty, recipe, Format::default(), guide).unwrap();
        (folder.join(format!("{ty}.gguf")), output)
    };
    types.iter().map(plan).collect()
}

/// Collects what a run tells; can interrupt it after so many source bytes.
#[derive(Default)]
struct Told {
    events: Mutex<Vec<String>>,
    done: Mutex<u64>,
    cancel: Cancel,
    /// Bytes of the source, and the folder of the outputs.
    cancel_after: Option<(u64, PathBuf)>,
}

impl Progress for Told {
    fn event(&self, event: Event<'_>) {
        let text = match event {
            Event::Resumed { bytes, .. } => format!("resumed {bytes}"),
            Event::StartedOver { why, .. } => format!("started over: {why}"),
            Event::Kept { files, .. } => format!("kept {files}"),
            Event::Started { total, .. } => format!("started {total}"),
            Event::Advanced { count, .. } => {
                // Time for the recorder: blocks this small are made faster than anything is synced.
                std::thread::sleep(Duration::from_millis(5));
                let mut done = self.done.lock().unwrap();
                *done += count;
                if let Some((after, folder)) = &self.cancel_after
                    && *done >= *after
                    && !self.cancel.is_set()
                {
                    wait_for_records(folder);
                    self.cancel.set();
                }
                return;
            }
            _ => return,
        };
        self.events.lock().unwrap().push(text);
    }
}

impl Told {
    /// Interrupts the run after this many bytes of the source, once all outputs have a record.
    fn until(bytes: u64, folder: &Path) -> Self {
        Self {
            cancel_after: Some((bytes, folder.into())),
            ..Self::default()
        }
    }

    fn text(&self) -> String {
        self.events.lock().unwrap().join("\n")
    }
}

fn wait_for_records(folder: &Path) {
    let started = Instant::now();
    // A first record may be of the header alone, which is not worth keeping.
    let recorded = |name: &String| {
        let path = folder.join(name);
        let partial = aeolus_gguf::GgufFile::open(&path.with_extension("")).unwrap();
        let header = partial.place(&partial.tensors()[0]).range.start;
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let records = text.split_once("\n\n").map_or("", |(_, records)| records);
        let whole = records
            .split_inclusive('\n')
            .filter(|line| line.ends_with('\n'));
        let mut bytes = whole.filter_map(|line| line.split_once(' ')?.0.parse::<u64>().ok());
        bytes.any(|bytes| bytes > header as u64)
    };
    loop {
        let mut journals = names(folder);
        journals.retain(|name| name.ends_with(".journal"));
        if journals.iter().all(recorded) {
            return;
        }
        assert!(
            started.elapsed() < Duration::from_secs(60),
            "no record in a minute"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn forge(source: &Checkpoint, folder: &Path, told: &Told) -> Result<Vec<Written>, Error> {
    let outputs = outputs(source, folder, &TYPES);
    run(source, &outputs, &OPTIONS, told, &told.cancel)
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let name = |e: std::io::Result<std::fs::DirEntry>| e.unwrap().file_name().into_string();
    let mut names: Vec<String> = entries.map(|e| name(e).unwrap()).collect();
    names.sort();
    names
}

/// What an undisturbed run makes.
fn undisturbed(source: &Checkpoint) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let told = Told::default();
    let written = forge(source, dir.path(), &told).unwrap();
    let sums = Sums::read(dir.path()).unwrap().unwrap();
    for output in &written {
        let bytes = std::fs::read(&output.path).unwrap();
        let digest = hex(&Sha256::digest(&bytes));
        assert_eq!(output.sha256.as_ref(), Some(&digest));
        let name = output.path.file_name().unwrap().to_str().unwrap();
        assert_eq!(sums.get(name), Some(digest.as_str()));
    }
    assert_eq!(
        names(dir.path()),
        ["F16.gguf", "Q4_0.gguf", "Q8_0.gguf", SUMS]
    );
    dir
}

/// Nothing under a final name, or all of it and as it should be.
fn assert_same(found: &Path, expected: &Path) {
    assert_eq!(names(found), names(expected));
    for name in names(expected) {
        let (a, b) = (found.join(&name), expected.join(&name));
        assert!(
            std::fs::read(a).unwrap() == std::fs::read(b).unwrap(),
            "{name}"
        );
    }
}

#[test]
fn an_interrupted_run_goes_on_where_it_was() {
    let source = notus_mini();
    let whole = undisturbed(&source);
    let dir = tempfile::tempdir().unwrap();
    let told = Told::until(10 << 20, dir.path());
    let error = forge(&source, dir.path(), &told).unwrap_err();
    assert!(matches!(error, Error::Cancelled), "{error}");
    assert!(told.text().contains("kept 3"), "{}", told.text());
    assert_eq!(names(dir.path()).len(), 6, "{:?}", names(dir.path()));
    // With other outputs, and other blocks, what is there is of use all the same.
    let told = Told::default();
    let types = [FileType::Q8_0, FileType::Q2_K];
    let some = outputs(&source, dir.path(), &types);
    let options = Options {
        threads: 1,
        ..OPTIONS
    };
    run(&source, &some, &options, &told, &told.cancel).unwrap();
    assert!(told.text().contains("resumed"), "{}", told.text());
    std::fs::remove_file(dir.path().join("Q2_K.gguf")).unwrap();
    let told = Told::default();
    let rest = outputs(&source, dir.path(), &[FileType::Q4_0, FileType::F16]);
    run(&source, &rest, &OPTIONS, &told, &told.cancel).unwrap();
    assert_eq!(told.text().matches("resumed").count(), 2, "{}", told.text());
    std::fs::remove_file(dir.path().join(SUMS)).unwrap();
    std::fs::copy(whole.path().join(SUMS), dir.path().join(SUMS)).unwrap();
    assert_same(dir.path(), whole.path());
}

#[test]
fn a_continuation_that_cannot_write_keeps_what_it_came_for() {
    let source = notus_mini();
    let whole = undisturbed(&source);
    let dir = tempfile::tempdir().unwrap();
    forge(&source, dir.path(), &Told::until(10 << 20, dir.path())).unwrap_err();
    let before = journals(dir.path());
    // The sizes of three files are set twice each: the disk refuses at one of these moments.
    for room in 0..6 {
        let full = FullDisk::after(dir.path(), room);
        let told = Told::default();
        let error = forge(&source, dir.path(), &told).unwrap_err().to_string();
        assert!(error.contains("cannot write"), "{error}");
        assert!(told.text().contains("kept 3"), "{room}: {}", told.text());
        assert_eq!(journals(dir.path()), before, "{room}");
        drop(full);
    }
    // Refused for another reason than a write that fails.
    let journal = Names::of(&dir.path().join("F16.gguf")).log;
    let aside = dir.path().join("aside");
    std::fs::rename(&journal, &aside).unwrap();
    std::fs::create_dir(&journal).unwrap();
    let error = forge(&source, dir.path(), &Told::default()).unwrap_err();
    assert!(
        matches!(error, Error::Job(aeolus_job::Error::NotAFile { .. })),
        "{error}"
    );
    std::fs::remove_dir(&journal).unwrap();
    std::fs::rename(&aside, &journal).unwrap();
    assert_eq!(journals(dir.path()), before);
    // Interrupted before anything is begun.
    let told = Told::default();
    told.cancel.set();
    let error = forge(&source, dir.path(), &told).unwrap_err();
    assert!(matches!(error, Error::Cancelled), "{error}");
    assert!(told.text().contains("kept 3"), "{}", told.text());
    let told = Told::default();
    forge(&source, dir.path(), &told).unwrap();
    assert_eq!(told.text().matches("resumed").count(), 3, "{}", told.text());
    assert_same(dir.path(), whole.path());
}

/// What a log says, whatever run it is of: the names and values of its head, and its records.
fn head_and_records(log: &Path) -> (Vec<(String, String)>, Vec<Record>) {
    let text = std::fs::read_to_string(log).unwrap();
    let (head, _) = text.split_once("\n\n").unwrap();
    let pairs = head.lines().filter_map(|line| line.split_once(": "));
    let head: Vec<(String, String)> = pairs.map(|(n, v)| (n.into(), v.into())).collect();
    let found = Log::peek(log, &Identity::new(head.clone()), Record::parse).unwrap();
    let (records, why) = found.records_or_why();
    assert_eq!(why, None);
    (head, records)
}

/// Makes a log of the same head, perhaps of another program, say that these bytes are done.
fn rewrite(log: &Path, program: Option<&str>, bytes: &[u8]) {
    let (mut head, _) = head_and_records(log);
    assert_eq!(
        head[0],
        ("program".into(), env!("CARGO_PKG_VERSION").into())
    );
    if let Some(program) = program {
        head[0].1 = program.into();
    }
    let record = Record {
        bytes: bytes.len() as u64,
        sha256: hex(&Sha256::digest(bytes)),
    };
    std::fs::remove_file(log).unwrap();
    let (mut log, _) = Log::open(log, &Identity::new(head), Record::parse).unwrap();
    log.resume(0).unwrap();
    log.append(&record.text()).unwrap();
}

/// The journals of a folder.
fn journals(folder: &Path) -> Vec<Vec<u8>> {
    let names = names(folder);
    let journals = names.iter().filter(|name| name.ends_with(".journal"));
    journals
        .map(|name| std::fs::read(folder.join(name)).unwrap())
        .collect()
}

#[test]
fn nothing_is_recorded_of_a_source_that_changed() {
    let dir = tempfile::tempdir().unwrap();
    let folder = copy_of_notus_mini(dir.path());
    let source = aeolus_checkpoint::open(&folder, &OpenOptions::default()).unwrap();
    let shard = folder.join("model-00002-of-00002.safetensors");
    let out = dir.path().join("out");
    // Touched in the middle of the run and put back at its end, where nothing shows it any more.
    let touching = Touching {
        shard: &shard,
        out: &out,
        told: Told::default(),
        seen: Mutex::default(),
    };
    let outputs = outputs(&source, &out, &TYPES);
    let error = run(&source, &outputs, &OPTIONS, &touching, &Cancel::new()).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("changed while it was being read"), "{text}");
    let seen = touching.seen.into_inner().unwrap();
    let (_, before) = seen.touched.expect("the run ended before it was touched");
    // A run that the recorder ended at once makes nothing more.
    let after = seen.after.unwrap_or_else(|| before.clone());
    assert!(before == after, "recorded after the source had changed");
    assert!(names(&out).is_empty(), "{:?}", names(&out));
}

/// Touches a file of the source after 8 MiB and lets the recorder see it; if the run goes on all the
/// same, to 16 MiB, lets it record and puts the file back.
struct Touching<'a> {
    shard: &'a Path,
    out: &'a Path,
    told: Told,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    /// The time that the file had, and the journals once the recorder must have seen another.
    touched: Option<(SystemTime, Vec<Vec<u8>>)>,
    /// The journals later, with more made meanwhile.
    after: Option<Vec<Vec<u8>>>,
}

/// The journals once they are the same for some pauses of the recorder: one that has looked at the
/// source already when it is touched may still be at its records, for as long as the disk takes.
fn settled_journals(folder: &Path) -> Vec<Vec<u8>> {
    let mut last = journals(folder);
    loop {
        std::thread::sleep(Duration::from_secs(5));
        let now = journals(folder);
        if now == last {
            return now;
        }
        last = now;
    }
}

impl Progress for Touching<'_> {
    fn event(&self, event: Event<'_>) {
        self.told.event(event);
        let mut seen = self.seen.lock().unwrap();
        let done = *self.told.done.lock().unwrap();
        let shard = || {
            std::fs::File::options()
                .write(true)
                .open(self.shard)
                .unwrap()
        };
        match &seen.touched {
            None if done >= 8 << 20 => {
                wait_for_records(self.out);
                let file = shard();
                let modified = file.metadata().unwrap().modified().unwrap();
                file.set_modified(std::time::UNIX_EPOCH).unwrap();
                seen.touched = Some((modified, settled_journals(self.out)));
            }
            Some((modified, _)) if done >= 16 << 20 && seen.after.is_none() => {
                let after = settled_journals(self.out);
                shard().set_modified(*modified).unwrap();
                seen.after = Some(after);
            }
            _ => {}
        }
    }
}

#[test]
fn a_run_killed_while_it_names_is_completed() {
    let source = notus_mini();
    let whole = undisturbed(&source);
    let dir = tempfile::tempdir().unwrap();
    forge(&source, dir.path(), &Told::until(10 << 20, dir.path())).unwrap_err();
    // As if all had been made, and one named: the journals say that each is whole.
    for ty in TYPES {
        let path = dir.path().join(format!("{ty}.gguf"));
        let bytes = std::fs::read(whole.path().join(format!("{ty}.gguf"))).unwrap();
        let names = Names::of(&path);
        std::fs::write(&names.partial, &bytes).unwrap();
        rewrite(&names.log, None, &bytes);
    }
    let named = dir.path().join("Q8_0.gguf");
    std::fs::rename(Names::of(&named).partial, &named).unwrap();
    let told = Told::default();
    forge(&source, dir.path(), &told).unwrap();
    assert!(told.text().contains("started 0"), "{}", told.text());
    assert_same(dir.path(), whole.path());
    // Without its journal it is somebody's file.
    let error = forge(&source, dir.path(), &Told::default()).unwrap_err();
    assert!(matches!(error, Error::TargetExists { .. }), "{error}");
}

#[test]
fn bytes_that_do_not_agree_with_their_record_are_made_again() {
    let source = notus_mini();
    let whole = undisturbed(&source);
    for flipped in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        forge(&source, dir.path(), &Told::until(12 << 20, dir.path())).unwrap_err();
        let partial = Names::of(&dir.path().join("Q4_0.gguf")).partial;
        let file = std::fs::File::options().write(true).open(&partial).unwrap();
        let at = source.metadata.len() as u64 + 5;
        match flipped {
            true => aeolus_source::write_at(&file, &[0xa5], at).unwrap(),
            false => file.set_len(at).unwrap(),
        }
        let told = Told::default();
        forge(&source, dir.path(), &told).unwrap();
        let text = told.text();
        assert!(text.contains("started over: its bytes are not"), "{text}");
        assert_eq!(text.matches("resumed").count(), 2, "{text}");
        assert_same(dir.path(), whole.path());
    }
}

#[test]
fn what_depends_on_something_else_is_started_over() {
    let source = notus_mini();
    let whole = undisturbed(&source);
    let dir = tempfile::tempdir().unwrap();
    let folder = copy_of_notus_mini(dir.path());
    let shard = folder.join("model-00002-of-00002.safetensors");
    let touch = std::fs::File::options().write(true).open(&shard).unwrap();
    touch.set_modified(std::time::UNIX_EPOCH).unwrap();
    let other = aeolus_checkpoint::open(&folder, &OpenOptions::default()).unwrap();
    let out = dir.path().join("out");
    forge(&other, &out, &Told::until(10 << 20, &out)).unwrap_err();
    let told = Told::default();
    forge(&source, &out, &told).unwrap();
    let text = told.text();
    let why = "started over: its source was model-0000";
    assert_eq!(text.matches(why).count(), 3, "{text}");
    assert_same(&out, whole.path());
}

#[test]
fn another_recipe_for_the_same_name_is_started_over() {
    let source = notus_mini();
    let other = |vintage, output_type| aeolus_recipe::Options {
        vintage: Some(vintage),
        output_type,
        ..aeolus_recipe::Options::default()
    };
    let forge = |folder: &Path, recipe: &aeolus_recipe::Options, told: &Told| {
        let outputs = mixed(&source, folder, &[FileType::Q4_K_M], recipe, None);
        run(&source, &outputs, &OPTIONS, told, &told.cancel)
    };
    let recipes = [
        other(Vintage::V2023_11, None),
        other(Vintage::Current, None),
        other(Vintage::V2023_11, Some(TensorType::Q8_0)),
    ];
    for (first, then) in [(0, 1), (1, 0), (0, 2), (2, 0)] {
        let whole = tempfile::tempdir().unwrap();
        forge(whole.path(), &recipes[then], &Told::default()).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let told = Told::until(10 << 20, dir.path());
        forge(dir.path(), &recipes[first], &told).unwrap_err();
        assert!(told.text().contains("kept 1"), "{}", told.text());
        let told = Told::default();
        forge(dir.path(), &recipes[then], &told).unwrap();
        let text = told.text();
        let why = "started over: it was of another recipe, name or container";
        assert!(text.contains(why) && !text.contains("resumed"), "{text}");
        assert_same(dir.path(), whole.path());
    }
}

#[test]
fn outputs_of_two_recipes_in_one_run_are_what_each_is_alone() {
    let dir = tempfile::tempdir().unwrap();
    let folder = copy_of_notus_mini(dir.path());
    // Weights that f16 rounds.
    let shard = folder.join("model-00001-of-00002.safetensors");
    let mut bytes = std::fs::read(&shard).unwrap();
    let end = bytes.len();
    for (i, weight) in bytes[end - 8192..].chunks_exact_mut(2).enumerate() {
        weight.copy_from_slice(&(0x3300 + i as u16 % 64).to_le_bytes());
    }
    std::fs::write(&shard, bytes).unwrap();
    let source = aeolus_checkpoint::open(&folder, &OpenOptions::default()).unwrap();
    let of = |folder: &Path, vintage: Vintage| {
        let recipe = aeolus_recipe::Options {
            vintage: Some(vintage),
            ..aeolus_recipe::Options::default()
        };
        let mut outputs = mixed(&source, folder, &[FileType::Q8_0], &recipe, None);
        outputs[0].0 = folder.join(format!("{vintage}.gguf"));
        outputs.remove(0)
    };
    let forge = |outputs: &[(PathBuf, Output)]| {
        let told = Told::default();
        run(&source, outputs, &OPTIONS, &told, &told.cancel).unwrap();
    };
    let (alone, together) = (dir.path().join("alone"), dir.path().join("together"));
    for folder in [&alone, &together] {
        std::fs::create_dir(folder).unwrap();
    }
    for vintage in Vintage::ALL {
        forge(&[of(&alone, vintage)]);
    }
    forge(&Vintage::ALL.map(|vintage| of(&together, vintage)));
    assert_same(&together, &alone);
    let tensors = |vintage: Vintage| {
        let (path, output) = of(&alone, vintage);
        let header = output.layout().encode_header().len();
        std::fs::read(path).unwrap().split_off(header)
    };
    assert_ne!(tensors(Vintage::V2023_11), tensors(Vintage::Current));
}

/// The importance matrix of notus-mini; other columns matter with `spoilt`.
fn guide(spoilt: bool) -> Guide {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/imatrix/imatrix.dat");
    let mut bytes = std::fs::read(path).unwrap();
    if spoilt {
        // The last value: the count of chunks, a length and a path of 15 bytes are behind it.
        let end = bytes.len() - 23;
        bytes[end - 4..end].copy_from_slice(&1e6f32.to_le_bytes());
    }
    Guide::new(Imatrix::parse(&bytes).unwrap(), "imatrix.dat".into())
}

#[test]
fn outputs_of_one_type_with_and_without_a_guide_are_what_each_is_alone() {
    let source = notus_mini();
    let recipe = aeolus_recipe::Options {
        vintage: Some(Vintage::Current),
        ..aeolus_recipe::Options::default()
    };
    let (guide, other) = (guide(false), guide(true));
    let outputs = |folder: &Path| {
        let guides = [
            ("none", None),
            ("one", Some(&guide)),
            ("other", Some(&other)),
        ];
        let output = |(name, guide): (&str, Option<&Guide>)| {
            let mut of_guide = mixed(&source, folder, &[FileType::Q4_K_S], &recipe, guide);
            let (_, output) = of_guide.remove(0);
            (folder.join(name).with_extension("gguf"), output)
        };
        guides.map(output).to_vec()
    };
    let (alone, together) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let make = |outputs: &[(PathBuf, Output)]| {
        run(&source, outputs, &OPTIONS, &Told::default(), &Cancel::new()).unwrap()
    };
    for output in outputs(alone.path()) {
        make(&[output]);
    }
    let made = make(&outputs(together.path()));
    assert_same(together.path(), alone.path());
    let digests: std::collections::BTreeSet<_> = made.iter().map(|w| &w.sha256).collect();
    assert_eq!(digests.len(), 3);
}

#[test]
fn another_importance_under_the_same_name_is_started_over() {
    let source = notus_mini();
    let forge = |folder: &Path, spoilt: bool, told: &Told| {
        let recipe = aeolus_recipe::Options::default();
        let guide = guide(spoilt);
        let outputs = mixed(&source, folder, &[FileType::Q4_K_M], &recipe, Some(&guide));
        run(&source, &outputs, &OPTIONS, told, &told.cancel)
    };
    let whole = tempfile::tempdir().unwrap();
    forge(whole.path(), false, &Told::default()).unwrap();
    for (spoilt, expected) in [
        (false, "resumed"),
        (true, "started over: its importance was"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        forge(dir.path(), spoilt, &Told::until(10 << 20, dir.path())).unwrap_err();
        let told = Told::default();
        forge(dir.path(), false, &told).unwrap();
        assert!(told.text().contains(expected), "{}", told.text());
        assert_same(dir.path(), whole.path());
    }
}

#[test]
fn what_another_version_made_is_started_over() {
    let source = notus_mini();
    let whole = undisturbed(&source);
    for own in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        forge(&source, dir.path(), &Told::until(10 << 20, dir.path())).unwrap_err();
        // As if that version encoded otherwise: other bytes, of which the journals are right.
        for ty in TYPES {
            let names = Names::of(&dir.path().join(format!("{ty}.gguf")));
            let (_, records) = head_and_records(&names.log);
            let done = records.last().unwrap().bytes as usize;
            let mut made = std::fs::read(&names.partial).unwrap();
            made[done - 1] ^= 0x5a;
            std::fs::write(&names.partial, &made).unwrap();
            let program = (!own).then_some("0.0.1");
            rewrite(&names.log, program, &made[..done]);
        }
        let told = Told::default();
        forge(&source, dir.path(), &told).unwrap();
        let text = told.text();
        if own {
            // Believed, as it must be: so nothing but the version tells in the other case.
            assert_eq!(text.matches("resumed").count(), 3, "{text}");
            let made = std::fs::read(dir.path().join("Q8_0.gguf")).unwrap();
            assert!(made != std::fs::read(whole.path().join("Q8_0.gguf")).unwrap());
            continue;
        }
        let why = concat!(
            "started over: its program was 0.0.1, now it is ",
            env!("CARGO_PKG_VERSION")
        );
        assert_eq!(text.matches(why).count(), 3, "{text}");
        assert!(!text.contains("resumed"), "{text}");
        assert_same(dir.path(), whole.path());
    }
}

#[test]
fn a_disk_that_fills_up_anywhere_costs_nothing_that_was_recorded() {
    let source = notus_mini();
    let whole = undisturbed(&source);
    let all: u64 = ["Q4_0", "Q8_0", "F16"]
        .map(|ty| {
            whole
                .path()
                .join(format!("{ty}.gguf"))
                .metadata()
                .unwrap()
                .len()
        })
        .iter()
        .sum();
    let mut resumed = 0;
    for point in 0..20 {
        let dir = tempfile::tempdir().unwrap();
        let full = FullDisk::after(dir.path(), all * point / 20);
        let told = Told::default();
        let error = forge(&source, dir.path(), &told).unwrap_err().to_string();
        assert!(error.contains(": cannot write"), "{error}");
        let left = names(dir.path());
        assert!(
            left.iter().all(|name| name.contains(".partial")),
            "{left:?}"
        );
        assert_eq!(told.text().contains("kept"), !left.is_empty(), "{left:?}");
        drop(full);
        let told = Told::default();
        forge(&source, dir.path(), &told).unwrap();
        resumed += told.text().matches("resumed").count();
        assert_same(dir.path(), whole.path());
    }
    assert!(resumed > 0);
}

#[test]
fn a_journal_that_cannot_be_written_ends_the_run_and_costs_its_last_record() {
    let source = notus_mini();
    let whole = undisturbed(&source);
    let mut resumed = 0;
    for point in 0..20 {
        let dir = tempfile::tempdir().unwrap();
        let journal = Names::of(&dir.path().join("Q8_0.gguf")).log;
        // Its head has some 370 bytes, a record 74; one run makes a few.
        let full = FullDisk::after(&journal, 40 * point);
        let told = Told::default();
        match forge(&source, dir.path(), &told) {
            Err(error) => {
                let text = error.to_string();
                assert!(text.contains("Q8_0.gguf.partial.journal: cannot"), "{text}");
                let left = names(dir.path());
                let unfinished = left.iter().all(|name| name.contains(".partial"));
                assert!(unfinished, "{left:?}");
            }
            // A fast disk: it was through before it had to record so much.
            Ok(_) => assert!(point > 9, "{point}"),
        }
        drop(full);
        let told = Told::default();
        if names(dir.path()) != names(whole.path()) {
            forge(&source, dir.path(), &told).unwrap();
        }
        resumed += told.text().matches("resumed").count();
        assert_same(dir.path(), whole.path());
    }
    assert!(resumed > 0);
}

#[test]
fn scratch_outputs_leave_no_trace_but_themselves() {
    let source = notus_mini();
    let dir = tempfile::tempdir().unwrap();
    let outputs = outputs(&source, dir.path(), &[FileType::Q8_0]);
    let options = Options {
        scratch: true,
        errors: false,
        ..OPTIONS
    };
    let told = Told::until(10 << 20, dir.path());
    run(&source, &outputs, &options, &told, &told.cancel).unwrap_err();
    assert!(names(dir.path()).is_empty());
    let told = Told::default();
    let written = run(&source, &outputs, &options, &told, &told.cancel).unwrap();
    assert_eq!(written[0].sha256, None);
    assert_eq!(names(dir.path()), ["Q8_0.gguf"]);
}
