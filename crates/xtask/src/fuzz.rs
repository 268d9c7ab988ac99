//! `xtask fuzz`: builds the fuzz targets with the stable toolchain and runs them.
//!
//! Coverage is LLVM's own pass, asked for by stable flags; no sanitizer is needed where no unsafe
//! code is, and overflow checks and debug assertions are on. What is found lies in the crate's
//! `fuzz/crashes/TARGET`, from where the crate's tests replay it ever after.

use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Fuzz the parsers of outside bytes
///
/// Without targets, all of them, one after the other.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Targets, such as header or tokenizer_model
    #[arg(value_name = "TARGET")]
    targets: Vec<String>,

    /// Seconds for each
    #[arg(long, value_name = "N", default_value_t = 60)]
    seconds: u32,

    /// Longest input in bytes
    #[arg(long, value_name = "N", default_value_t = 16384)]
    max_len: u32,
}

/// Crates with targets.
const CRATES: [&str; 5] = ["gguf", "infer", "checkpoint", "hub", "eval"];

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

/// What a run says at its end.
#[derive(Debug)]
struct Outcome {
    executions: u64,
    rate: u64,
    megabytes: u64,
    is_clean: bool,
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
    println!("| target | executions | per second | peak MB | findings |");
    println!("|---|---:|---:|---:|---|");
    let mut all_clean = true;
    for target in chosen {
        build(target, &built, &host)?;
        let outcome = fuzz(target, &built, &host, args)?;
        all_clean &= outcome.is_clean;
        println!(
            "| {} | {} | {} | {} | {} |",
            target.name,
            outcome.executions,
            outcome.rate,
            outcome.megabytes,
            if outcome.is_clean {
                "none"
            } else {
                "see crashes"
            }
        );
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

fn fuzz(target: &Target, built: &Path, host: &str, args: &Args) -> Result<Outcome> {
    let corpus = built.join("corpus").join(&target.name);
    let crashes = target.folder.join("crashes").join(&target.name);
    std::fs::create_dir_all(&corpus)?;
    let kept_crashes = crashes.exists();
    std::fs::create_dir_all(&crashes)?;
    let output = Command::new(built.join(host).join("release").join(&target.name))
        .arg(&corpus)
        .arg(target.folder.join("seeds").join(&target.name))
        .arg(&crashes)
        .arg(format!("-max_total_time={}", args.seconds))
        .arg(format!("-max_len={}", args.max_len))
        .arg(format!("-artifact_prefix={}/", crashes.display()))
        .args(["-timeout=10", "-rss_limit_mb=1024", "-malloc_limit_mb=256"])
        .args(["-print_final_stats=1", "-verbosity=0"])
        .output()?;
    let text = String::from_utf8_lossy(&output.stderr);
    let number = |name: &str| {
        let found = text.lines().find_map(|line| line.strip_prefix(name));
        found.and_then(|n| n.trim().parse().ok()).unwrap_or(0)
    };
    let is_clean = output.status.success();
    if is_clean && !kept_crashes {
        // An empty folder, made in case something is found.
        let _ = std::fs::remove_dir(&crashes);
    }
    if !is_clean {
        eprintln!("{}: {}\n{text}", target.name, output.status);
    }
    Ok(Outcome {
        executions: number("stat::number_of_executed_units:"),
        rate: number("stat::average_exec_per_sec:"),
        megabytes: number("stat::peak_rss_mb:"),
        is_clean,
    })
}
