//! `dist`: the archive of the program for one system, as a release has it.
//!
//! ```text
//! aeolus-v0.1.0-x86_64-unknown-linux-gnu.tar.gz         (.zip for Windows)
//!   aeolus-v0.1.0-x86_64-unknown-linux-gnu/
//!     aeolus, README.md, LICENSE-APACHE, LICENSE-MIT
//!     man/aeolus.1, man/aeolus-table.1, ...
//!     completions/aeolus.bash, _aeolus, aeolus.fish, _aeolus.ps1, aeolus.elv
//! aeolus-v0.1.0-x86_64-unknown-linux-gnu.tar.gz.sha256  (as sha256sum writes and checks it)
//! ```
//!
//! `cargo binstall` finds the program in it by the names that `cli/Cargo.toml` tells it. Manual pages and
//! completions come from the program itself, so it must run here, by itself or through `--runner`.

use crate::check::root;
use anyhow::{Context, bail};
use sha2::{Digest, Sha256};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Makes the archive of a release for one system
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The system, as Rust calls it
    #[arg(long)]
    target: String,

    /// Where the archive goes
    #[arg(long, value_name = "FOLDER", default_value = "dist")]
    out: PathBuf,

    /// Runs programs of the target on this machine, for example qemu-aarch64-static
    #[arg(long, value_name = "PROGRAM")]
    runner: Option<String>,

    /// Unpack the archive that is there and use the program in it instead
    #[arg(long)]
    test: bool,
}

const PAGES: &str = "man";
const COMPLETIONS: [(&str, &str); 5] = [
    ("bash", "aeolus.bash"),
    ("zsh", "_aeolus"),
    ("fish", "aeolus.fish"),
    ("powershell", "_aeolus.ps1"),
    ("elvish", "aeolus.elv"),
];

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    match args.test {
        true => test(args),
        false => make(args),
    }
}

impl Args {
    fn is_windows(&self) -> bool {
        self.target.contains("windows")
    }

    fn name(&self) -> String {
        format!("aeolus-v{}-{}", env!("CARGO_PKG_VERSION"), self.target)
    }

    fn archive(&self) -> PathBuf {
        let end = if self.is_windows() { "zip" } else { "tar.gz" };
        self.out.join(format!("{}.{end}", self.name()))
    }

    fn program(&self) -> &'static str {
        if self.is_windows() {
            "aeolus.exe"
        } else {
            "aeolus"
        }
    }

    /// The program at `path`, ready for arguments.
    fn command(&self, path: &Path) -> Command {
        match &self.runner {
            Some(runner) => {
                let mut command = Command::new(runner);
                command.arg(path);
                command
            }
            None => Command::new(path),
        }
    }
}

fn make(args: &Args) -> anyhow::Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or("cargo".into());
    let build = ["build", "--release", "--locked", "-p", "aeolus", "--target"];
    let mut command = Command::new(cargo);
    call(command.args(build).arg(&args.target).current_dir(root()))?;
    let built = root()
        .join("target")
        .join(&args.target)
        .join("release")
        .join(args.program());

    fs::create_dir_all(&args.out)?;
    let folder = args.out.join(args.name());
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(folder.join("completions"))?;
    fs::copy(&built, folder.join(args.program()))
        .with_context(|| format!("{}: cannot be copied", built.display()))?;
    for name in ["README.md", "LICENSE-APACHE", "LICENSE-MIT"] {
        fs::copy(root().join(name), folder.join(name))?;
    }
    call(
        args.command(&built)
            .args(["man", "--dir"])
            .arg(folder.join(PAGES)),
    )?;
    for (shell, name) in COMPLETIONS {
        let made = args.command(&built).args(["completions", shell]).output()?;
        if !made.status.success() || made.stdout.is_empty() {
            bail!("completions for {shell}: {}", made.status);
        }
        fs::write(folder.join("completions").join(name), made.stdout)?;
    }
    let archive = args.archive();
    // Of the archive's kind, by its name: the tar of Windows writes zip files.
    let mut tar = Command::new("tar");
    call(
        tar.arg("-C")
            .arg(&args.out)
            .arg("-caf")
            .arg(&archive)
            .arg(args.name()),
    )?;
    fs::remove_dir_all(&folder)?;
    let name = archive.file_name().unwrap_or_default().to_string_lossy();
    let digest = sha256(&archive)?;
    let sums = format!("{digest}  {name}\n");
    fs::write(with_end(&archive, ".sha256"), sums)?;
    println!("{}", archive.display());
    Ok(())
}

/// Uses what a user would get.
fn test(args: &Args) -> anyhow::Result<()> {
    let archive = args.archive();
    let listed = fs::read_to_string(with_end(&archive, ".sha256"))?;
    if listed.split_whitespace().next() != Some(&*sha256(&archive)?) {
        bail!(
            "{}: has another digest than its list says",
            archive.display()
        );
    }
    let scratch = std::env::temp_dir().join(format!("aeolus-dist-{}", std::process::id()));
    fs::create_dir_all(&scratch)?;
    let used = unpack_and_use(args, &archive, &scratch);
    let removed = fs::remove_dir_all(&scratch);
    used?;
    Ok(removed?)
}

fn unpack_and_use(args: &Args, archive: &Path, scratch: &Path) -> anyhow::Result<()> {
    call(
        Command::new("tar")
            .arg("-C")
            .arg(scratch)
            .arg("-xf")
            .arg(archive),
    )?;
    let folder = scratch.join(args.name());
    let pages = fs::read_dir(folder.join(PAGES))?.count();
    if pages < 20 {
        bail!("{pages} manual pages; there is one for each command");
    }
    for (_, name) in COMPLETIONS {
        fs::metadata(folder.join("completions").join(name)).context(name)?;
    }
    let program = folder.join(args.program());
    let out = scratch.join("out");
    let fixtures = root().join("fixtures");
    let mut table = args.command(&program);
    table.args([
        "table",
        "--type",
        "Q4_0,Q4_K_M",
        "--chunks",
        "2",
        "-q",
        "-o",
    ]);
    table
        .arg(&out)
        .arg("-f")
        .arg(fixtures.join("text/heldout.txt"));
    call(table.arg(fixtures.join("notus-mini")))?;
    for name in [
        "notus-mini.Q4_K_M.gguf",
        "README.md",
        "report.html",
        "SHA256SUMS",
    ] {
        fs::metadata(out.join(name)).with_context(|| format!("out/{name}"))?;
    }
    println!("{}: unpacked and used", archive.display());
    Ok(())
}

fn sha256(path: &Path) -> anyhow::Result<String> {
    let digest = Sha256::digest(fs::read(path)?);
    Ok(digest.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn with_end(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

fn call(command: &mut Command) -> anyhow::Result<()> {
    let name = Path::new(command.get_program())
        .file_name()
        .unwrap_or(OsStr::new("?"));
    let name = name.to_string_lossy().into_owned();
    let status = command
        .status()
        .with_context(|| format!("{name} could not be started"))?;
    if !status.success() {
        bail!("{command:?} failed: {status}");
    }
    Ok(())
}
