//! `xtask fuzz`: builds the fuzz targets with the stable toolchain and runs them.
//!
//! Coverage is LLVM's own pass, asked for by stable flags; no sanitizer is needed where no unsafe
//! code is, and overflow checks and debug assertions are on. What is found lies in the crate's
//! `fuzz/crashes/TARGET`, from where the crate's tests replay it ever after.
//!
//! What is asked for is processor time: a machine that is busy with other work must not make a run
//! shorter than it says. libFuzzer counts by the clock, so it is run in slices until their processor
//! time has reached the sum, and a ledger of the slices lets a later run go on from there.

mod ledger;

use anyhow::{Context, Result, bail};
use ledger::{Ledger, Slice};
use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use wait4::Wait4;

/// Fuzz the parsers of outside bytes
///
/// Without targets, all of them, one after the other.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Targets, such as header or tokenizer_model
    #[arg(value_name = "TARGET")]
    targets: Vec<String>,

    /// Processor seconds for each, those of earlier runs included
    #[arg(long, value_name = "N", default_value_t = 60)]
    seconds: u32,

    /// Forget earlier runs' seconds; what they added to the corpus stays
    #[arg(long)]
    fresh: bool,

    /// Longest input in bytes
    #[arg(long, value_name = "N", default_value_t = 16384)]
    max_len: u32,
}

/// Longest slice by the clock: what an interrupted run loses at most.
const SLICE_SECONDS: f64 = 120.0;
/// Seconds by the clock after which an input is looked at as a slow one: it is run again by itself,
/// since the clock also counts what others do with the processor.
const SUSPECT_SECONDS: u32 = 4;
/// Seconds by the clock after which an input is no longer waited for.
const TIMEOUT_SECONDS: u32 = 60;
/// Processor seconds of a whole run from which on an input is a finding.
const SLOW_SECONDS: f64 = 3.0;

/// What a target says before it ends itself at an input that only the end of the program can end (see
/// the watch of crates/infer/src/fuzzing).
const WATCHED: &str = "ended by its watch";

/// Crates with targets.
const CRATES: [&str; 8] = [
    "pipeline",
    "gguf",
    "imatrix",
    "infer",
    "checkpoint",
    "job",
    "hub",
    "eval",
];

/// What libFuzzer reads: counters at edges, a table of them, compared numbers.
const FLAGS: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1 --cfg fuzzing";

/// A target of a crate.
struct Target {
    /// The crate's `fuzz` folder.
    folder: PathBuf,
    name: String,
}

/// Where a target's files are.
struct Files {
    program: PathBuf,
    corpus: PathBuf,
    seeds: PathBuf,
    crashes: PathBuf,
    /// Words of the format, if the target has such a file.
    dictionary: PathBuf,
    ledger: PathBuf,
    /// Inputs at which the target ended itself.
    ended: PathBuf,
    /// What libFuzzer said in the last slice.
    log: PathBuf,
}

impl Files {
    fn new(target: &Target, built: &Path, host: &str) -> Self {
        let name = &target.name;
        Self {
            program: built.join(host).join("release").join(name),
            corpus: built.join("corpus").join(name),
            seeds: target.folder.join("seeds").join(name),
            crashes: target.folder.join("crashes").join(name),
            dictionary: target.folder.join("dictionaries").join(name),
            ledger: built.join("ledger").join(format!("{name}.json")),
            ended: built.join("ended").join(name),
            log: built.join("log").join(name),
        }
    }
}

pub fn run(args: &Args) -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let root = root.canonicalize().context("no workspace")?;
    let all = targets(&root)?;
    if let Some(unknown) = args
        .targets
        .iter()
        .find(|t| all.iter().all(|a| a.name != **t))
    {
        let names: Vec<&str> = all.iter().map(|target| target.name.as_str()).collect();
        bail!("no target {unknown}, expected one of: {}", names.join(", "));
    }
    let chosen: Vec<&Target> = all
        .iter()
        .filter(|target| args.targets.is_empty() || args.targets.contains(&target.name))
        .collect();
    let host = host()?;
    let built = root.join("target/fuzz");
    println!(
        "| target | processor seconds | since the last finding | of this build | executions \
         | per second | peak MB | corpus | edges | ended | findings |"
    );
    println!("|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|");
    let mut all_clean = true;
    for target in chosen {
        build(target, &built, &host)?;
        all_clean &= fuzz(&target.name, &Files::new(target, &built, &host), args)?;
    }
    if !all_clean {
        bail!("there are findings: see fuzz/crashes of the crates");
    }
    Ok(())
}

/// The targets are the files of each crate's `fuzz/targets`.
fn targets(root: &Path) -> Result<Vec<Target>> {
    let mut targets = Vec::new();
    for name in CRATES {
        let folder = root.join("crates").join(name).join("fuzz");
        let files = std::fs::read_dir(folder.join("targets"));
        for file in files.with_context(|| format!("{}: no targets", folder.display()))? {
            let path = file?.path();
            if let Some(name) = path.file_stem().and_then(|stem| stem.to_str()) {
                targets.push(Target {
                    folder: folder.clone(),
                    name: name.to_owned(),
                });
            }
        }
    }
    targets.sort_by(|a, b| (&a.folder, &a.name).cmp(&(&b.folder, &b.name)));
    Ok(targets)
}

/// The machine's own target, which keeps the flags away from build scripts.
fn host() -> Result<String> {
    let output = Command::new("rustc").arg("-vV").output()?;
    let text = String::from_utf8(output.stdout)?;
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc -vV names no host")?.to_owned())
}

fn build(target: &Target, built: &Path, host: &str) -> Result<()> {
    let status = Command::new("cargo")
        .args([
            "build",
            "--release",
            "--locked",
            "--quiet",
            "--bin",
            &target.name,
        ])
        .args(["--target", host, "--manifest-path"])
        .arg(target.folder.join("Cargo.toml"))
        .arg("--target-dir")
        .arg(built)
        .env("RUSTFLAGS", FLAGS)
        .status()?;
    if !status.success() {
        bail!("{} does not build", target.name);
    }
    Ok(())
}

/// Fuzzes a target up to the seconds asked for and prints its row; false if it found something.
fn fuzz(name: &str, files: &Files, args: &Args) -> Result<bool> {
    for file in [&files.ledger, &files.log] {
        std::fs::create_dir_all(file.parent().context("no parent")?)?;
    }
    for folder in [&files.corpus, &files.ended] {
        std::fs::create_dir_all(folder)?;
    }
    if args.fresh && files.ledger.exists() {
        std::fs::remove_file(&files.ledger)?;
    }
    let build = ledger::build_of(&files.program)?;
    let mut ledger = Ledger::open(&files.ledger)?;
    let before = ledger.total();
    if before.seconds > 0.0 {
        eprintln!(
            "{name}: goes on from {:.0} processor seconds, {:.0} of them of this build",
            before.seconds,
            ledger.of_build(&build).seconds
        );
    }
    let asked = f64::from(args.seconds);
    let (mut edges, mut is_clean) = (None, true);
    while is_clean && ledger.total().seconds < asked {
        let clock = (asked - ledger.total().seconds).ceil().min(SLICE_SECONDS);
        let (slice, reached) = run_slice(name, files, &build, clock, args.max_len)?;
        is_clean = slice.findings == 0;
        edges = reached.or(edges);
        ledger.add(slice)?;
    }
    let (total, after) = (ledger.total(), ledger.since_finding());
    println!(
        "| {name} | {:.0} | {:.0} | {:.0} | {} | {:.0} | {} | {} | {} | {} | {} |",
        total.seconds,
        after.seconds,
        ledger.of_build(&build).seconds,
        total.executions,
        total.per_second(),
        total.megabytes,
        inside(&files.corpus)?.len(),
        edges.map_or("-".into(), |edges| edges.to_string()),
        total.ended,
        total.findings,
    );
    Ok(is_clean)
}

/// Runs libFuzzer once. With the slice, how many edges of the code the corpus reaches.
fn run_slice(
    name: &str,
    files: &Files,
    build: &str,
    clock: f64,
    max_len: u32,
) -> Result<(Slice, Option<u64>)> {
    let kept_crashes = files.crashes.exists();
    std::fs::create_dir_all(&files.crashes)?;
    let known = inside(&files.crashes)?;
    let mut command = Command::new(&files.program);
    command
        .args([&files.corpus, &files.seeds, &files.crashes])
        .arg(format!("-max_total_time={clock}"))
        .arg(format!("-max_len={max_len}"))
        .arg(format!("-artifact_prefix={}/", files.crashes.display()))
        .arg(format!("-timeout={TIMEOUT_SECONDS}"))
        .arg(format!("-report_slow_units={SUSPECT_SECONDS}"))
        .args(["-rss_limit_mb=1024", "-malloc_limit_mb=256"])
        .arg("-print_final_stats=1");
    if files.dictionary.exists() {
        command.arg(format!("-dict={}", files.dictionary.display()));
    }
    let run = command
        .stderr(File::create(&files.log)?)
        .spawn()
        .with_context(|| format!("{name} does not start"))?
        .wait4()?;
    let text = String::from_utf8_lossy(&std::fs::read(&files.log)?).into_owned();
    let (mut findings, mut ended) = (0, 0);
    for path in inside(&files.crashes)?.difference(&known) {
        if text.lines().any(|line| line == WATCHED)
            && let Some(input) = ended_at(path)
        {
            let kept = files.ended.join(input);
            eprintln!("{name}: ended itself at {}", kept.display());
            std::fs::rename(path, kept)?;
            // If it was in the corpus, every run would end there.
            if std::fs::remove_file(files.corpus.join(input)).is_err() && !text.contains("INITED") {
                bail!("{name}: one of its seeds ends it");
            }
            ended += 1;
            continue;
        }
        let seconds = if is_suspect(path) {
            Some(seconds_alone(files, path)?)
        } else {
            None
        };
        match seconds {
            Some(seconds) if seconds < SLOW_SECONDS => {
                eprintln!("{name}: {} takes {seconds:.1} s alone", path.display());
                std::fs::remove_file(path)?;
            }
            _ => {
                findings += 1;
                eprintln!("{name}: {}", path.display());
            }
        }
    }
    if findings + ended == 0 && !run.status.success() && !timed_out(&run.status) {
        // One that left no file, or one that was known before: it is none of this machine's haste.
        findings = 1;
    }
    if findings > 0 {
        eprintln!("{name}: {}\n{}", run.status, ending(&text));
    }
    if findings == 0 && !kept_crashes {
        // An empty folder, made in case something is found.
        let _ = std::fs::remove_dir(&files.crashes);
    }
    let slice = Slice {
        build: build.into(),
        seconds: (run.rusage.utime + run.rusage.stime).as_secs_f64(),
        executions: number(&text, "stat::number_of_executed_units:"),
        megabytes: number(&text, "stat::peak_rss_mb:"),
        findings,
        ended,
    };
    Ok((slice, edges(&text)))
}

/// Files of a folder.
fn inside(folder: &Path) -> Result<BTreeSet<PathBuf>> {
    let entries = std::fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    entries.map(|entry| Ok(entry?.path())).collect()
}

/// True for what libFuzzer kept for its time alone.
fn is_suspect(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.starts_with("slow-unit-") || name.starts_with("timeout-")
}

/// Processor seconds that an input takes by itself, the start of the program included.
fn seconds_alone(files: &Files, input: &Path) -> Result<f64> {
    let run = Command::new(&files.program)
        .arg(input)
        .arg("-timeout=600")
        .stderr(std::process::Stdio::null())
        .spawn()?
        .wait4()?;
    if !run.status.success() {
        return Ok(f64::INFINITY);
    }
    Ok((run.rusage.utime + run.rusage.stime).as_secs_f64())
}

/// libFuzzer's exit code for an input that was waited for too long.
fn timed_out(status: &ExitStatus) -> bool {
    status.code() == Some(70)
}

/// A number that libFuzzer names at its end; 0 if it was killed before.
fn number(text: &str, name: &str) -> u64 {
    let found = text.lines().find_map(|line| line.strip_prefix(name));
    found.and_then(|n| n.trim().parse().ok()).unwrap_or(0)
}

/// The digest of an input that libFuzzer kept at a signal: its name in a corpus.
fn ended_at(path: &Path) -> Option<&str> {
    path.file_name()?.to_str()?.strip_prefix("crash-")
}

/// The last number of edges that libFuzzer names.
fn edges(text: &str) -> Option<u64> {
    let (_, last) = text.rsplit_once(" cov: ")?;
    last.split_whitespace().next()?.parse().ok()
}

/// The last lines, behind those about new inputs.
fn ending(text: &str) -> String {
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    lines[lines.len().saturating_sub(60)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "INFO: Seed: 1\n\
        #2\tINITED cov: 341 ft: 342 corp: 1/1b exec/s: 0 rss: 40Mb\n\
        #9\tNEW    cov: 355 ft: 360 corp: 2/3b lim: 4 exec/s: 0 rss: 41Mb L: 2/2 MS: 1 CrossOver-\n\
        Done 9 runs in 1 second(s)\n\
        stat::number_of_executed_units: 9\n\
        stat::peak_rss_mb:              41\n";

    #[test]
    fn what_libfuzzer_says_is_read() {
        assert_eq!(number(TEXT, "stat::number_of_executed_units:"), 9);
        assert_eq!(number(TEXT, "stat::peak_rss_mb:"), 41);
        assert_eq!(number("", "stat::peak_rss_mb:"), 0);
        assert_eq!(edges(TEXT), Some(355));
        assert_eq!(edges("nothing"), None);
        assert!(!ending(TEXT).contains("NEW"));
        assert!(ending(TEXT).contains("Done 9 runs"));
    }

    #[test]
    fn only_slow_inputs_are_run_again() {
        for (name, suspect) in [
            ("slow-unit-00", true),
            ("timeout-00", true),
            ("crash-00", false),
            ("oom-00", false),
        ] {
            let path = Path::new("crashes").join(name);
            assert_eq!(is_suspect(&path), suspect);
            assert_eq!(ended_at(&path), (name == "crash-00").then_some("00"));
        }
    }
}
