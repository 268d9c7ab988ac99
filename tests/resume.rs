//! Kill -9, full disks and vanishing sources: nothing wrong under a final name, and the same
//! command goes on to the same bytes.

use crate::support::{aeolus, arg, command, copy_folder, fill, fixture, names, ok, refusal};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The whole table, undisturbed.
fn whole() -> tempfile::TempDir {
    let out = tempfile::tempdir().unwrap();
    ok([
        "table",
        arg(&fixture("notus-mini")),
        "-o",
        arg(out.path()),
        "-q",
    ]);
    out
}

fn start(model: &Path, out: &Path, level: Option<&str>) -> Child {
    let mut command = command();
    command.args(["table", arg(model), "-o", arg(out), "-q"]);
    if let Some(level) = level {
        command.env("AEOLUS_CPU", level).args(["-t", "1"]);
    }
    let command = command.stdout(Stdio::null()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

fn is_unfinished(name: &str) -> bool {
    name.ends_with(".partial") || name.ends_with(".partial.journal")
}

/// Asserts that what has a final name is what it should be; gives whether all is there.
fn check(out: &Path, whole: &Path) -> bool {
    for name in names(out).iter().filter(|name| !is_unfinished(name)) {
        let found = std::fs::read(out.join(name)).unwrap();
        assert!(
            found == std::fs::read(whole.join(name)).unwrap(),
            "{name} is wrong"
        );
    }
    names(out) == names(whole)
}

/// Runs the same command to its end.
fn complete(model: &Path, out: &Path, whole: &Path) {
    let run = aeolus(["table", arg(model), "-o", arg(out), "-q"]);
    let message = String::from_utf8_lossy(&run.stderr).into_owned();
    match run.status.code() {
        Some(0) => {}
        // Killed when nothing was left to do, but for the plan, which has the digests of all files.
        Some(2) => {
            assert!(message.contains("exists already"), "{message}");
            check(out, whole);
            let is_there =
                |name: &String| names(out).contains(name) || name.ends_with(".plan.toml");
            assert!(names(whole).iter().all(is_there), "{:?}", names(out));
            return;
        }
        code => panic!("{code:?}: {message}"),
    }
    assert!(check(out, whole), "{:?}\n{message}", names(out));
}

/// Numbers that look random, the same in every run.
struct Dice(u64);

impl Dice {
    /// From 0 to 1.
    fn throw(&mut self) -> f64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 40) as f64 / (1u64 << 24) as f64
    }
}

#[test]
fn a_table_killed_at_100_moments_is_never_wrong_and_ends_the_same() {
    let model = fixture("notus-mini");
    let whole = whole();
    let span = {
        let out = tempfile::tempdir().unwrap();
        let started = Instant::now();
        start(&model, out.path(), None).wait().unwrap();
        started.elapsed()
    };
    let (mut dice, mut killed, mut completed, mut resumed) = (Dice(7), 0, 0, 0);
    while killed < 100 {
        let out = tempfile::tempdir().unwrap();
        // A run that was killed is continued, and the continuation killed, too.
        for _ in 0..3 {
            let mut child = start(&model, out.path(), None);
            // A third of the moments falls into the last part, where files get their names.
            let moment = match dice.throw() {
                x if x < 0.33 => 0.8 + 0.25 * dice.throw(),
                _ => dice.throw(),
            };
            std::thread::sleep(span.mul_f64(moment));
            child.kill().unwrap();
            let run = child.wait_with_output().unwrap();
            let message = String::from_utf8_lossy(&run.stderr);
            resumed += usize::from(message.contains("are there from an earlier run"));
            check(out.path(), whole.path());
            if run.status.code().is_some() {
                assert!(
                    run.status.success() || message.contains("exists already"),
                    "{message}"
                );
                break;
            }
            killed += 1;
        }
        complete(&model, out.path(), whole.path());
        completed += 1;
    }
    println!("{killed} kills in {completed} tables of {span:?}; {resumed} runs found something");
    assert!(resumed > 0, "no run had anything to go on from");
}

/// Waits until the run writes, at most until it ends.
fn wait_for_writing(out: &Path, child: &mut Child) {
    while child.try_wait().unwrap().is_none() {
        if out.is_dir() && names(out).iter().any(|name| name.ends_with(".partial")) {
            return;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A small file system of its own; gone with this value.
pub struct Mount(PathBuf, tempfile::TempDir);

impl Mount {
    /// `None`, said loudly, where tests may not mount.
    pub fn new(options: &str) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("disk");
        std::fs::create_dir(&path).unwrap();
        let run = Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "tmpfs", arg(&path)])
            .output();
        match run {
            Ok(run) if run.status.success() => Some(Self(path, dir)),
            other => {
                // Not by a macro, whose words the test runner keeps to itself.
                let line = format!("SKIPPED: no file system can be mounted here: {other:?}\n");
                let _ = std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes());
                None
            }
        }
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
        let _ = &self.1;
    }
}

#[test]
fn a_real_disk_that_fills_up_is_told_of_and_gone_on_from() {
    let Some(disk) = Mount::new("size=100m") else {
        return;
    };
    let model = fixture("notus-mini");
    let whole = whole();
    let out = disk.0.join("out");
    let mut filled = 0;
    for delay in [0, 20, 50, 100, 200, 400] {
        let mut child = start(&model, &out, Some("scalar"));
        wait_for_writing(&out, &mut child);
        std::thread::sleep(Duration::from_millis(delay));
        let filler = fill(&disk.0);
        let run = child.wait_with_output().unwrap();
        std::fs::remove_file(&filler).unwrap();
        if run.status.code() == Some(2) {
            filled += 1;
            let message = refusal(run);
            assert!(message.contains("No space left on device"), "{message}");
            assert!(
                names(&out).iter().all(|name| is_unfinished(name)),
                "{:?}",
                names(&out)
            );
            let kept = !names(&out).is_empty();
            assert_eq!(kept, message.contains("are kept"), "{message}");
        } else {
            assert!(run.status.success());
        }
        complete(&model, &out, whole.path());
        std::fs::remove_dir_all(&out).unwrap();
    }
    println!("{filled} of 6 runs met the full disk");
    assert!(filled > 0);

    // Too full from the start: refused with the numbers, and nothing is made.
    std::fs::write(disk.0.join("filler"), vec![0; 80 << 20]).unwrap();
    let message = refusal(start(&model, &out, None).wait_with_output().unwrap());
    assert!(
        message.contains("bytes, ") && message.contains("are free"),
        "{message}"
    );
    assert!(!out.exists());
}

#[test]
fn a_target_that_cannot_be_written_is_named() {
    // Room enough: a file system without it is refused for that first.
    let Some(disk) = Mount::new("size=200m,ro") else {
        return;
    };
    let model = fixture("notus-mini");
    let single = disk.0.join("x.gguf");
    let table = ["table", arg(&model), "-o"];
    let convert = ["convert", arg(&model), "--type", "f16", "-o"];
    for (args, out) in [
        (&table[..], &disk.0),
        (&table, &disk.0.join("sub")),
        (&convert, &single),
    ] {
        let message = refusal(aeolus([args, &[arg(out)]].concat()));
        let path = message.split_once(": cannot write: Read-only file system");
        let path = path.unwrap_or_else(|| panic!("{message}")).0;
        assert!(path.contains(arg(out)), "{message}");
        assert_eq!(message.lines().count(), 1, "{message}");
    }
    assert!(names(&disk.0).is_empty());
}

/// Runs until something is recorded of an output, on one core and slowly, and kills the run.
fn kill_midway(args: &[&str], out: &Path) {
    let recorded = || {
        let names = if out.is_dir() { names(out) } else { Vec::new() };
        let mut journals = names.iter().filter(|name| name.ends_with(".journal"));
        journals.any(|name| {
            let text = std::fs::read_to_string(out.join(name)).unwrap_or_default();
            // A first record may be of the header alone, which is not worth going on from.
            let records = text.split_once("\n\n").map_or("", |(_, records)| records);
            records.matches('\n').count() > 1
        })
    };
    for _ in 0..50 {
        let mut slow = command();
        slow.args(args)
            .args(["-t", "1"])
            .env("AEOLUS_CPU", "scalar");
        let mut child = slow.stderr(Stdio::piped()).spawn().unwrap();
        while child.try_wait().unwrap().is_none() && !recorded() {
            std::thread::sleep(Duration::from_millis(1));
        }
        child.kill().unwrap();
        let run = child.wait_with_output().unwrap();
        if run.status.code().is_none() && names(out).iter().all(|name| is_unfinished(name)) {
            return;
        }
        // It was through before it was seen to record.
        for name in names(out) {
            std::fs::remove_file(out.join(name)).unwrap();
        }
    }
    panic!("no run was killed between two records");
}

/// What a run of these arguments says, and makes.
fn run_to(out: &Path, args: &[&str]) -> String {
    let run = aeolus(args);
    let told = String::from_utf8(run.stderr).unwrap();
    assert!(run.status.success(), "{told}");
    assert!(!names(out).iter().any(|name| is_unfinished(name)));
    told
}

fn assert_same(a: &Path, b: &Path) {
    assert_eq!(names(a), names(b));
    for name in names(a) {
        let (x, y) = (std::fs::read(a.join(&name)), std::fs::read(b.join(&name)));
        assert!(x.unwrap() == y.unwrap(), "{name} differs");
    }
}

#[test]
fn another_recipe_or_version_starts_over_and_says_so() {
    let model = fixture("notus-mini");
    let dir = tempfile::tempdir().unwrap();
    let quantize = |out: &Path, recipe: &[&str]| -> Vec<String> {
        let base = [
            "quantize",
            arg(&model),
            "--type",
            "Q4_K_M",
            "-q",
            "-o",
            arg(out),
        ];
        base.iter()
            .chain(recipe)
            .map(|arg| (*arg).to_owned())
            .collect()
    };
    let run = |out: &Path, recipe: &[&str]| {
        let args = quantize(out, recipe);
        run_to(out, &args.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let kill = |out: &Path| {
        let args = quantize(out, &[]);
        kill_midway(&args.iter().map(String::as_str).collect::<Vec<_>>(), out);
    };
    let (whole, out) = (dir.path().join("whole"), dir.path().join("out"));
    let clear = || {
        for folder in [&whole, &out] {
            let _ = std::fs::remove_dir_all(folder);
        }
    };
    let resumed = "are there from an earlier run";
    for recipe in [
        &["--recipe", "current"][..],
        &["--tensor-type", "ffn_down=Q8_0"],
        &["--output-type", "Q8_0"],
    ] {
        clear();
        run(&whole, recipe);
        kill(&out);
        let told = run(&out, recipe);
        let why = "notus-mini.Q4_K_M.gguf.partial: started over: it was of another recipe";
        assert!(told.contains(why) && !told.contains(resumed), "{told}");
        assert_same(&out, &whole);
    }
    for version in [None, Some("0.0.1")] {
        clear();
        run(&whole, &[]);
        kill(&out);
        let journal = out.join("notus-mini.Q4_K_M.gguf.partial.journal");
        let text = std::fs::read_to_string(&journal).unwrap();
        let own = concat!("program: ", env!("CARGO_PKG_VERSION"), "\n");
        assert_eq!(text.matches(own).count(), 1, "{text}");
        if let Some(version) = version {
            let text = text.replace(own, &format!("program: {version}\n"));
            std::fs::write(&journal, text).unwrap();
        }
        let told = run(&out, &[]);
        match version {
            // The same command as it was: all that tells in the other case is the version.
            None => assert!(
                told.contains(resumed) && !told.contains("started over"),
                "{told}"
            ),
            Some(version) => {
                let why = format!("started over: its program was {version}, now it is ");
                assert!(told.contains(&why) && !told.contains(resumed), "{told}");
            }
        }
        assert_same(&out, &whole);
    }
}

#[test]
fn a_source_that_changes_or_shrinks_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let whole = whole();
    for shrinks in [false, true] {
        let model = dir.path().join("notus-mini");
        copy_folder(&fixture("notus-mini"), &model);
        let shard = model.join("model-00002-of-00002.safetensors");
        let out = dir.path().join("out");
        let mut child = start(&model, &out, Some("scalar"));
        wait_for_writing(&out, &mut child);
        let file = std::fs::File::options().write(true).open(&shard).unwrap();
        let bytes = file.metadata().unwrap().len();
        match shrinks {
            true => file.set_len(4096).unwrap(),
            false => file.set_modified(std::time::UNIX_EPOCH).unwrap(),
        }
        let message = refusal(child.wait_with_output().unwrap());
        assert!(
            message.contains("model-00002-of-00002.safetensors"),
            "{message}"
        );
        let told = ["changed while it was being read", "it was shortened while"];
        assert!(told.iter().any(|text| message.contains(text)), "{message}");
        assert!(
            names(&out).iter().all(|name| is_unfinished(name)),
            "{:?}",
            names(&out)
        );
        // The source as it was, but for its time: what is left is not trusted.
        if shrinks {
            std::fs::copy(
                fixture("notus-mini").join(shard.file_name().unwrap()),
                &shard,
            )
            .unwrap();
            assert_eq!(shard.metadata().unwrap().len(), bytes);
        }
        complete(&model, &out, whole.path());
        std::fs::remove_dir_all(&out).unwrap();
        std::fs::remove_dir_all(&model).unwrap();
    }
}

#[test]
fn digests_are_checked_against_the_files() {
    let out = tempfile::tempdir().unwrap();
    let model = fixture("notus-mini");
    let types = ["--type", "Q4_0,Q8_0"];
    let args = [
        "quantize",
        arg(&model),
        "-o",
        arg(out.path()),
        "--json",
        "-q",
    ];
    let made: serde_json::Value = serde_json::from_str(&ok(args.iter().chain(&types))).unwrap();
    let sums = std::fs::read_to_string(out.path().join("SHA256SUMS")).unwrap();
    for file in made["files"].as_array().unwrap() {
        let path = Path::new(file["path"].as_str().unwrap());
        let digest = crate::support::sha256(&std::fs::read(path).unwrap());
        assert_eq!(file["sha256"], digest);
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(sums.contains(&format!("{digest}  {name}\n")), "{sums}");
    }
    let coreutils = Command::new("sha256sum")
        .args(["-c", "SHA256SUMS"])
        .current_dir(out.path())
        .output();
    match coreutils {
        Ok(run) => assert!(run.status.success(), "{run:?}"),
        Err(error) => println!("SKIPPED: no sha256sum here: {error}"),
    }
    let table = ok(["verify", arg(out.path())]);
    assert_eq!(table.matches(" ok\n").count(), 2, "{table}");
    let more = ["--against", arg(&model), "--type", "Q4_0,Q8_0"];
    ok([&["verify", arg(out.path())], &more[..]].concat());

    // A byte of one file, another file, a file that is gone.
    let q4 = out.path().join("notus-mini.Q4_0.gguf");
    let file = std::fs::File::options().write(true).open(&q4).unwrap();
    aeolus_source::write_at(&file, &[0xa5], q4.metadata().unwrap().len() - 100).unwrap();
    let wrong = |args: &[&str]| {
        let run = aeolus([&["verify"], args].concat());
        assert_eq!(
            run.status.code(),
            Some(1),
            "{}",
            String::from_utf8_lossy(&run.stderr)
        );
        String::from_utf8(run.stdout).unwrap()
    };
    let report = wrong(&[arg(out.path())]);
    assert!(
        report.contains("notus-mini.Q4_0.gguf: has the sha256"),
        "{report}"
    );
    let report = wrong(&[&[arg(out.path())], &more[..]].concat());
    assert!(
        report.contains("bytes differ") && report.contains("has the sha256"),
        "{report}"
    );
    ok(["verify", arg(&out.path().join("notus-mini.Q8_0.gguf"))]);
    std::fs::rename(&q4, out.path().join("other.gguf")).unwrap();
    let report = wrong(&[arg(out.path())]);
    assert!(
        report.contains("other.gguf: is not in SHA256SUMS"),
        "{report}"
    );
    assert!(report.contains("is in SHA256SUMS, and missing"), "{report}");
    let json: serde_json::Value =
        serde_json::from_str(&wrong(&[arg(out.path()), "--json"])).unwrap();
    assert_eq!(
        (&json["schema"], &json["right"]),
        (&"aeolus.verify-sums/1".into(), &false.into())
    );
    let message = crate::support::fails(["verify", arg(&model)]);
    assert!(message.contains("has no SHA256SUMS"), "{message}");
    let message = crate::support::fails(["verify", arg(out.path()), "--pure"]);
    assert!(message.contains("--against"), "{message}");
}
