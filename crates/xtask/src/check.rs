//! `check`: everything that a change must pass, in the order that fails fastest.
//!
//! CI prepares a machine (`.ci/run` installs what is missing and sets the variables of the tests) and
//! then runs this command, so a change that passes here passes there. Every step can be run alone.

use anyhow::{Context, bail};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

/// Runs what CI runs: formatting, lints, docs, dependencies, tests
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The steps to run; all of them if none is named
    #[arg(value_parser = STEPS.iter().map(|step| step.name).collect::<Vec<_>>())]
    steps: Vec<String>,

    /// List the steps instead of running them
    #[arg(long)]
    list: bool,
}

/// One thing that can fail.
struct Step {
    name: &'static str,
    what: &'static str,
    run: fn() -> anyhow::Result<()>,
}

const STEPS: &[Step] = &[
    Step {
        name: "formatting",
        what: "the code is formatted",
        run: || cargo(&["fmt", "--all", "--check"], &[]),
    },
    Step {
        name: "locks",
        what: "the lock files of the workspaces inside crates are current",
        run: locks,
    },
    Step {
        name: "dependencies",
        what: "licences, duplicates and sources of dependencies (needs cargo-deny)",
        run: dependencies,
    },
    Step {
        name: "lints",
        what: "clippy finds nothing",
        run: lints,
    },
    Step {
        name: "docs",
        what: "the documentation builds without warnings",
        run: || {
            let doc = ["doc", "--workspace", "--no-deps", "--locked", "--quiet"];
            cargo(&doc, &[("RUSTDOCFLAGS", "-D warnings")])
        },
    },
    Step {
        name: "tests",
        what: "the README's test command",
        run: || cargo(&["test", "--workspace", "--locked"], &[]),
    },
    Step {
        name: "scalar",
        what: "the tests of encoders and inference with scalar kernels only",
        run: || {
            let test = [
                "test",
                "--locked",
                "-p",
                "aeolus-quant",
                "-p",
                "aeolus-infer",
            ];
            cargo(&test, &[("AEOLUS_CPU", "scalar")])
        },
    },
    Step {
        name: "aarch64",
        what: "all compiles for aarch64; encoders, products and inference pass in an emulator (AEOLUS_AARCH64)",
        run: aarch64,
    },
    Step {
        name: "main-job",
        what: "the README's first command, with the program that the tests ran",
        run: main_job,
    },
    Step {
        name: "python",
        what: "the wheel: built, installed in a fresh environment, tested (needs AEOLUS_INTEROP)",
        run: python,
    },
    Step {
        name: "without-hub",
        what: "a build without the Hub",
        // Other features make other dependencies: compiled fast, since one test runs.
        run: || {
            let test = ["test", "-p", "aeolus", "--locked", "--no-default-features"];
            let test = [&test[..], &["--test", "aeolus", "without_hub"]].concat();
            let fast = [
                ("CARGO_PROFILE_DEV_OPT_LEVEL", "0"),
                ("CARGO_PROFILE_DEV_DEBUG", "0"),
            ];
            cargo(&test, &fast)
        },
    },
];

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    if args.list {
        for step in STEPS {
            println!("{:<14}{}", step.name, step.what);
        }
        return Ok(());
    }
    let wanted = |step: &&Step| args.steps.is_empty() || args.steps.iter().any(|s| s == step.name);
    let start = Instant::now();
    for variable in [
        "AEOLUS_REFERENCE",
        "AEOLUS_INTEROP",
        "AEOLUS_BROWSER",
        "AEOLUS_AARCH64",
    ] {
        if std::env::var_os(variable).is_none() {
            eprintln!("{variable} is not set: the tests that need it do nothing");
        }
    }
    for step in STEPS.iter().filter(wanted) {
        eprintln!("\n== {} s: {}", start.elapsed().as_secs(), step.name);
        (step.run)().with_context(|| format!("step {:?}: {}", step.name, step.what))?;
    }
    eprintln!("\n== {} s: passed", start.elapsed().as_secs());
    Ok(())
}

/// The workspace's folder.
pub(crate) fn root() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.ancestors().nth(2).unwrap_or(own).to_owned()
}

/// Runs cargo in the workspace's folder with some variables set.
fn cargo(args: &[&str], variables: &[(&str, &str)]) -> anyhow::Result<()> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    command.args(args).envs(variables.iter().copied());
    run_in_root(command)
}

fn run_in_root(mut command: Command) -> anyhow::Result<()> {
    let status = command.current_dir(root()).status();
    let status = status.with_context(|| format!("{command:?} could not be started"))?;
    if !status.success() {
        bail!("{command:?} failed: {status}");
    }
    Ok(())
}

fn lints() -> anyhow::Result<()> {
    let denied = ["--locked", "--", "-D", "warnings"];
    for targets in ["--all-targets", "--lib --all-features"] {
        // The second: what only the fuzz targets are built with.
        let mut args = vec!["clippy", "--workspace"];
        args.extend(targets.split(' '));
        args.extend(denied);
        cargo(&args, &[])?;
    }
    Ok(())
}

/// Fuzz targets and oracles are workspaces of their own, whose lock files no other step reads.
fn locks() -> anyhow::Result<()> {
    for package in std::fs::read_dir(root().join("crates"))? {
        for workspace in ["fuzz", "oracle"] {
            let manifest = package
                .as_ref()
                .map(|p| p.path().join(workspace).join("Cargo.toml"));
            let Ok(manifest) = manifest else { continue };
            if !manifest.exists() {
                continue;
            }
            let mut command = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
            command.args([
                "metadata",
                "--locked",
                "--format-version",
                "1",
                "--manifest-path",
            ]);
            command.arg(&manifest).stdout(std::process::Stdio::null());
            run_in_root(command)?;
        }
    }
    Ok(())
}

fn dependencies() -> anyhow::Result<()> {
    let checks = ["bans", "licenses", "sources"];
    cargo(&[&["deny", "--locked", "check"], &checks[..]].concat(), &[])?;
    // The database of advisories is fetched from the network.
    if std::env::var_os("AEOLUS_ADVISORIES").is_some() {
        cargo(&["deny", "--locked", "check", "advisories"], &[])?;
    }
    Ok(())
}

/// The wheel as its users get it, but compiled fast: its features are those of no other step, so little of what these
/// compiled is used again.
fn python() -> anyhow::Result<()> {
    let Some(clients) = std::env::var_os("AEOLUS_INTEROP") else {
        return Ok(());
    };
    let clients = root().join(clients).join("bin");
    let scratch = root().join("target/python");
    if scratch.exists() {
        std::fs::remove_dir_all(&scratch)?;
    }
    let wheels = scratch.join("wheels");
    let mut build = Command::new(clients.join("maturin"));
    let flags = [
        "build",
        "--profile",
        "dev",
        "--locked",
        "--quiet",
        "-m",
        "crates/python/Cargo.toml",
    ];
    build.args(flags).arg("--out").arg(&wheels).envs([
        ("CARGO_PROFILE_DEV_OPT_LEVEL", "1"),
        ("CARGO_PROFILE_DEV_DEBUG", "0"),
    ]);
    run_in_root(build)?;
    let fresh = scratch.join("fresh");
    let mut venv = Command::new("python3");
    venv.args(["-m", "venv", "--without-pip"]).arg(&fresh);
    run_in_root(venv)?;
    let wheel = std::fs::read_dir(&wheels)?
        .next()
        .context("no wheel was built")??;
    let python = fresh.join("bin/python");
    // The machine's own pip, since Debian's venv has none, and the versions of the clients.
    let mut install = Command::new("python3");
    install
        .args(["-m", "pip", "--python"])
        .arg(&python)
        .args(["install", "--quiet", "--disable-pip-version-check"])
        .args(["--root-user-action", "ignore", "--only-binary", ":all:"])
        .args(["--constraint", "tests/interop/requirements.txt", "gguf"])
        .arg(wheel.path());
    run_in_root(install)?;
    let mut test = Command::new(&python);
    test.args(["-m", "unittest", "discover", "crates/python/tests"]);
    run_in_root(test)
}

/// With qemu's emulator of a user's programs, whose path `AEOLUS_AARCH64` is; it has all features.
fn aarch64() -> anyhow::Result<()> {
    let Some(emulator) = std::env::var_os("AEOLUS_AARCH64") else {
        return Ok(());
    };
    let emulator = emulator.to_str().context("AEOLUS_AARCH64 is not UTF-8")?;
    let runner = format!("{emulator} -L /usr/aarch64-linux-gnu");
    let variables = [
        (
            "CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER",
            "aarch64-linux-gnu-gcc",
        ),
        ("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER", &runner),
        ("AEOLUS_TEST_CPUS", "neon,i8mm"),
    ];
    let target = ["--locked", "--target", "aarch64-unknown-linux-gnu"];
    cargo(
        &[&["check", "--workspace"], &target[..]].concat(),
        &variables,
    )?;
    let quant = ["test", "-p", "aeolus-quant", "--lib", "--test", "kernels"];
    // What starts itself again finds no emulator.
    let skip = ["--", "--skip", "the_environment_forces_a_set"];
    cargo(&[&quant, &target[..], &skip].concat(), &variables)?;
    let infer = ["test", "-p", "aeolus-infer", "--lib"];
    let model = ["--", "model::", "matmul::"];
    cargo(&[&infer, &target[..], &model].concat(), &variables)
}

/// With the development profile, since a release build takes minutes.
fn main_job() -> anyhow::Result<()> {
    let out = std::env::temp_dir().join(format!("aeolus-check-{}", std::process::id()));
    let (folder, text) = ("fixtures/notus-mini", "fixtures/text/heldout.txt");
    let path = out
        .to_str()
        .context("the temporary folder's name is not UTF-8")?;
    let table = ["table", folder, "-o", path, "-f", text];
    let made = cargo(
        &[&["run", "--locked", "--quiet", "--"], &table[..]].concat(),
        &[],
    );
    let removed = std::fs::remove_dir_all(&out);
    made?;
    Ok(removed?)
}
