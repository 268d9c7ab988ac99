//! What commands ask of the Hub.

use super::bars::{self, Bars};
use super::{Headers, Look, Needs, Place, RemoteHeader, RemotePart};
use crate::interrupt;
use crate::output::{self, say};
use aeolus_gguf::{Limits, ShardName, read_header};
use aeolus_hub::{
    Event, Fetched, Hub, Listing, RemoteFile, RepoRef, Selection, Settings, Target, Token,
};
use anyhow::{Context, Result, bail};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// How the Hub is asked. The token comes from the environment or a file, never from the command
/// line: others on the machine can read that.
#[derive(clap::Args, Debug)]
pub struct ClientArgs {
    /// File that holds the access token (default: HF_TOKEN, or where the Python client's login
    /// puts it)
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,

    /// Draw no bars and print no summary
    #[arg(short, long)]
    pub quiet: bool,
}

impl ClientArgs {
    /// A client with the environment's settings.
    pub fn hub(&self) -> Result<Hub> {
        let mut settings = Settings::from_env()?;
        if let Some(path) = &self.token_file {
            settings.token = Some(Token::from_file(path)?);
        }
        Ok(Hub::new(settings)?)
    }
}

/// What matches the patterns; all without any.
pub fn patterns(include: &[String], exclude: &[String]) -> Result<Selection> {
    let include: Vec<&str> = include.iter().map(String::as_str).collect();
    let exclude: Vec<&str> = exclude.iter().map(String::as_str).collect();
    Ok(Selection::patterns(&include, &exclude)?)
}

/// The environment's Hub, and what an argument names there.
fn open(text: &str) -> Result<(Hub, RepoRef)> {
    let hub = Hub::from_env()?.telling(|event: Event<'_>| {
        if let Some(line) = bars::retry_line(&event) {
            say(line);
        }
    });
    let repo = hub.reference(text)?;
    Ok((hub, repo))
}

/// The repository, at the revision that a flag names if it names none itself.
pub fn reference(hub: &Hub, text: &str, revision: Option<&str>) -> Result<RepoRef> {
    let repo = hub.reference(text)?;
    match revision {
        None => Ok(repo),
        Some(_) if repo.names_revision() => {
            bail!("{repo}: names a revision itself; leave out --revision")
        }
        Some(revision) => Ok(repo.at(revision)?),
    }
}

/// A path that is not there: how it is written if a repository is meant.
pub fn check_local(text: &str) -> Result<()> {
    if let Some(host) = RepoRef::other_host(text) {
        bail!(
            "{text}: no such file or folder here, and {host} is not the Hub: models are fetched from \
             the Hub only, as hf:owner/name"
        );
    }
    match RepoRef::parse(text) {
        Ok(repo) => bail!("{text}: no such file or folder here; on the Hub it would be {repo}"),
        Err(_) => Ok(()),
    }
}

/// Fetches what a command needs of the model.
pub fn place(text: &str, needs: Needs, quiet: bool) -> Result<Place> {
    let (hub, mut repo) = open(text)?;
    if needs != Needs::File {
        // A checkpoint is named by its folder or by the configuration in it.
        repo = repo.folder_of("config.json");
    }
    let selection = match needs {
        Needs::Checkpoint => Selection::conversion(),
        Needs::Configuration => Selection::configuration(),
        Needs::File => {
            if repo.path().is_none() && repo.tag().is_none() {
                return Err(name_a_file(&hub, &repo));
            }
            Selection::file()
        }
    };
    let started = Instant::now();
    let fetched = fetch(&hub, &repo, &selection, &Target::Cache, quiet)?;
    if !quiet {
        say(summary(&repo, &fetched, started));
    }
    let folder_name = match fetched.repo.path() {
        None => Some(fetched.repo.name()),
        Some(path) => path.rsplit('/').next(),
    };
    Ok(Place {
        path: fetched.place,
        folder_name: folder_name.map(str::to_owned),
    })
}

/// Fetches with bars. Ctrl-C ends the program: what has arrived is kept for the next run.
pub fn fetch(
    hub: &Hub,
    repo: &RepoRef,
    selection: &Selection,
    target: &Target,
    quiet: bool,
) -> Result<Fetched> {
    let bars = Bars::new(quiet);
    let last = bars.farewell("aeolus: interrupted; the next run continues where this one ended");
    let _ending = interrupt::end_on_ctrl_c(last)?;
    let result = hub.fetch(repo, selection, target, &bars);
    bars.clear();
    Ok(result?)
}

/// One line about a fetch.
pub fn summary(repo: &RepoRef, fetched: &Fetched, started: Instant) -> String {
    let (count, bytes) = fetched
        .files
        .iter()
        .filter(|f| !f.present)
        .fold((0, 0), |(count, bytes), f| (count + 1, bytes + f.bytes));
    let commit = fetched.commit.get(..12).unwrap_or(&fetched.commit);
    let there = fetched.files.len() - count;
    let what = match (count, there) {
        (0, 1) => "1 file, here already".to_owned(),
        (0, there) => format!("{there} files, all here already"),
        (count, there) => format!(
            "{}, {} fetched in {:.1} s; {there} here already",
            output::count(count, "file"),
            output::human_bytes(bytes),
            started.elapsed().as_secs_f64(),
        ),
    };
    format!("{} at {commit}: {what}", repo.id())
}

/// A repository where a file is wanted: says which there are.
fn name_a_file(hub: &Hub, repo: &RepoRef) -> anyhow::Error {
    const SHOWN: usize = 12;
    let listing = match hub.list(repo) {
        Ok(listing) => listing,
        Err(error) => return error.into(),
    };
    let files: Vec<&str> = listing
        .files
        .keys()
        .map(String::as_str)
        .filter(|path| path.ends_with(".gguf"))
        .collect();
    let more = match files.len().saturating_sub(SHOWN) {
        0 => String::new(),
        n => format!(" and {n} more"),
    };
    match files.is_empty() {
        true => anyhow::anyhow!("{repo}: a GGUF file is wanted, and the repository has none"),
        false => anyhow::anyhow!(
            "{repo}: names a repository: name one file of it, {repo}/FILE. It has {}{more}",
            files[..files.len().min(SHOWN)].join(", ")
        ),
    }
}

/// Fetches the GGUF files that a reference means.
pub fn gguf_files(text: &str, quiet: bool) -> Result<Vec<PathBuf>> {
    let (hub, repo) = open(text)?;
    let started = Instant::now();
    let fetched = fetch(&hub, &repo, &ggufs()?, &Target::Cache, quiet)?;
    if !quiet {
        say(summary(&repo, &fetched, started));
    }
    let places = fetched.files.into_iter().map(|file| file.place);
    Ok(places.filter(|place| !is_later_part(place)).collect())
}

fn ggufs() -> Result<Selection> {
    Ok(Selection::patterns(&["*.gguf"], &[])?)
}

/// Whether the file is a part of a split one, but not the first.
fn is_later_part(path: &Path) -> bool {
    ShardName::parse(path).is_some_and(|part| part.number > 1)
}

/// The headers of the GGUF files that a reference means, by range requests. Offline the cache has
/// to have the files.
pub fn headers(text: &str) -> Result<Headers> {
    let (hub, repo) = open(text)?;
    if hub.settings().offline {
        return Ok(Headers::Local(gguf_files(text, true)?));
    }
    let (repo, listing) = hub.settle(&repo)?;
    let paths = ggufs()?.choose(&repo, &listing)?;
    let headers = paths
        .iter()
        .filter(|path| !is_later_part(Path::new(path)))
        .map(|path| header(&hub, &repo, &listing, path))
        .collect::<Result<_>>()?;
    Ok(Headers::Remote(repo.id(), headers))
}

/// The header of a file, of all parts if it is one of a split file, by range requests. Offline the
/// cache has to have the file.
pub fn look(text: &str) -> Result<Look> {
    let (hub, repo) = open(text)?;
    if repo.path().is_none() && repo.tag().is_none() {
        return Err(name_a_file(&hub, &repo));
    }
    if hub.settings().offline {
        let fetched = hub.fetch(&repo, &Selection::file(), &Target::Cache, &())?;
        return Ok(Look::Local(fetched.place));
    }
    // All parts are of the same commit.
    let (repo, listing) = hub.settle(&repo)?;
    match repo.path() {
        Some(path) => Ok(Look::Remote(header(&hub, &repo, &listing, path)?)),
        None => Err(name_a_file(&hub, &repo)),
    }
}

fn header(hub: &Hub, repo: &RepoRef, listing: &Listing, path: &str) -> Result<RemoteHeader> {
    let open = |path: &str| read(&hub.open_listed(repo, listing, path)?);
    let Some(parts) = ShardName::parse(Path::new(path)) else {
        return open(path);
    };
    let part = |number| open(&parts.sibling(number).to_string_lossy());
    let mut all = part(1)?;
    for number in 2..=parts.count {
        let next = part(number)?;
        all.header.tensors.extend(next.header.tensors);
        all.parts.extend(next.parts);
        all.bytes += next.bytes;
    }
    // True of a part, not of the whole.
    for key in ["split.no", "split.count", "split.tensors.count"] {
        all.header.metadata.remove(key);
    }
    Ok(all)
}

fn read(file: &RemoteFile) -> Result<RemoteHeader> {
    let header = read_header(Some(file.len()), &Limits::default(), |range| {
        file.read_range(range).map_err(io::Error::other)
    })
    .with_context(|| file.path().to_owned())?;
    let name = file.path().rsplit('/').next().unwrap_or_default();
    Ok(RemoteHeader {
        header,
        parts: vec![RemotePart {
            name: name.to_owned(),
            bytes: file.len(),
            sha256: file.sha256().map(str::to_owned),
        }],
        bytes: file.len(),
    })
}
