//! The files of a checkpoint folder that hold its weights.
//!
//! Which files belong together is said by an index, or by their names: `model.safetensors` alone,
//! or shards numbered 1 to N of N. Folders that were saved to more than once hold more than one
//! such set, and an index that describes none of them. What a set holds is read from the headers
//! of its files; which set is the model is decided by who knows the model's tensors.

mod index;

use crate::safetensors::{self, Entry};
use crate::{Error, Limits};
use aeolus_source::Map;
pub(crate) use index::Index;
use regex::Regex;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

/// The file of a checkpoint that is not cut into shards.
pub(crate) const SINGLE: &str = "model.safetensors";
/// The file that says which shard holds which tensor.
pub(crate) const INDEX: &str = "model.safetensors.index.json";

/// Starts of the names of safetensors files that hold something else than a model, or a model
/// under other names.
const NOT_A_MODEL: [&str; 6] = [
    "adapter",
    "consolidated",
    "optimizer",
    "pytorch_lora",
    "scheduler",
    "training_args",
];

/// A tensor of a shard.
#[derive(Clone, Debug)]
pub(crate) struct ShardTensor {
    pub(crate) entry: Entry,
    /// The shard.
    pub(crate) map: Arc<Map>,
}

/// Files that may be the weights of the model, names without their folder, sorted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FileSet(pub(crate) Vec<String>);

/// The safetensors files of a folder, and how they belong together.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    /// Those that may be the whole model, the likeliest first.
    pub(crate) sets: Vec<FileSet>,
    /// A shard of an incomplete set that is not there, and those that are.
    pub(crate) incomplete: Option<(String, FileSet)>,
}

/// `model-00001-of-00002.safetensors`: what is before the number, number, count, what is after.
static NUMBERED: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^(.*?)[-_.]?(\d+)-of-(\d+)(.*)\.safetensors$").expect("a fixed pattern")
});

impl Listing {
    /// Lists the folder.
    pub(crate) fn read(folder: &Path) -> Result<Self, Error> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(Error::io("read", folder))? {
            let entry = entry.map_err(Error::io("read", folder))?;
            // Links to nothing are no files.
            if let (Ok(name), true) = (entry.file_name().into_string(), entry.path().exists()) {
                names.push(name);
            }
        }
        Ok(Self::of(names))
    }

    fn of(mut names: Vec<String>) -> Self {
        names.retain(|name| {
            name.ends_with(".safetensors")
                && !name.starts_with('.')
                && !NOT_A_MODEL.iter().any(|start| name.starts_with(start))
        });
        names.sort();
        // By all of the name but the number.
        let mut numbered: BTreeMap<(&str, &str, &str), BTreeMap<u64, &str>> = BTreeMap::new();
        let mut others: Vec<&str> = Vec::new();
        for name in &names {
            match NUMBERED.captures(name).map(|parts| parts.extract().1) {
                Some([before, number, count, after]) => {
                    let set = numbered.entry((before, count, after)).or_default();
                    set.insert(number.parse().unwrap_or(u64::MAX), name);
                }
                None => others.push(name),
            }
        }
        let owned =
            |names: &mut dyn Iterator<Item = &str>| FileSet(names.map(str::to_owned).collect());
        let mut listing = Self::default();
        let (single, others): (Vec<&str>, Vec<&str>) =
            others.into_iter().partition(|name| *name == SINGLE);
        if !single.is_empty() {
            listing.sets.push(owned(&mut single.into_iter()));
        }
        let mut shards: Vec<_> = numbered.into_iter().collect();
        // Those that are called as shards usually are first.
        shards.sort_by_key(|((before, _, after), _)| (*before != "model", !after.is_empty()));
        for ((_, count, _), found) in shards {
            let count: u64 = count.parse().unwrap_or(u64::MAX);
            // Some writers count from 0.
            let first = u64::from(!found.contains_key(&0));
            let set = owned(&mut found.values().copied());
            match (first..first.saturating_add(count)).find(|number| !found.contains_key(number)) {
                None => listing.sets.push(set),
                Some(missing) if listing.incomplete.is_none() => {
                    let like = found.values().next().copied().unwrap_or_default();
                    listing.incomplete = Some((renumbered(like, missing), set));
                }
                Some(_) => {}
            }
        }
        for other in &others {
            listing.sets.push(owned(&mut std::iter::once(*other)));
        }
        if others.len() > 1 {
            listing.sets.push(owned(&mut others.into_iter()));
        }
        listing
    }

    /// Names of files that hold weights and are in none of `used`.
    pub(crate) fn unused(&self, used: &FileSet) -> Vec<&str> {
        let incomplete = self.incomplete.iter().map(|(_, set)| set);
        let all: BTreeSet<&str> = self
            .sets
            .iter()
            .chain(incomplete)
            .flat_map(|set| set.0.iter().map(String::as_str))
            .collect();
        all.into_iter()
            .filter(|name| !used.0.iter().any(|used| used == name))
            .collect()
    }
}

/// The name of a shard with another number of as many digits.
fn renumbered(like: &str, number: u64) -> String {
    match NUMBERED.captures(like).and_then(|parts| parts.get(2)) {
        Some(found) => {
            let (range, digits) = (found.range(), found.len());
            format!(
                "{}{number:0digits$}{}",
                &like[..range.start],
                &like[range.end..]
            )
        }
        None => like.into(),
    }
}

impl FileSet {
    /// The set in a few words: one name, or the first and the last.
    pub(crate) fn describe(&self) -> String {
        match &*self.0 {
            [] => "no file".into(),
            [one] => one.clone(),
            [first, second] => format!("{first} and {second}"),
            [first, .., last] => format!("{first} to {last} ({} files)", self.0.len()),
        }
    }

    /// All tensors of the set: files in the order of their names, tensors in the order of their
    /// offsets.
    ///
    /// # Errors
    /// [`Error::DuplicateTensor`], and those of one safetensors file.
    pub(crate) fn open(&self, folder: &Path, limits: &Limits) -> Result<Vec<ShardTensor>, Error> {
        let mut all = Vec::new();
        let mut seen: HashMap<String, PathBuf> = HashMap::new();
        for name in &self.0 {
            let path = folder.join(name);
            let map = Arc::new(Map::open(&path)?);
            for entry in safetensors::read(&map, limits)? {
                if let Some(first) = seen.insert(entry.name.clone(), path.clone()) {
                    return Err(Error::DuplicateTensor {
                        tensor: entry.name,
                        first,
                        second: path,
                    });
                }
                let map = map.clone();
                all.push(ShardTensor { entry, map });
            }
            if all.len() > limits.tensors {
                return Err(Error::Limit {
                    path: folder.into(),
                    what: "tensors",
                    found: all.len() as u64,
                    limit: limits.tensors as u64,
                });
            }
        }
        Ok(all)
    }
}

/// The files that an index names, all of them there.
///
/// # Errors
/// [`Error::MissingShard`].
pub(crate) fn indexed(folder: &Path, index: &Index) -> Result<FileSet, Error> {
    let mut names = Vec::new();
    for (shard, tensor) in index.shards() {
        let path = folder.join(shard);
        if !path.exists() {
            let why = match std::fs::read_link(&path) {
                Ok(target) => link_to_nothing(&target),
                Err(_) => format!("the index places {tensor} in it"),
            };
            return Err(Error::MissingShard { path, why });
        }
        names.push(shard.to_owned());
    }
    Ok(FileSet(names))
}

/// What a link is that leads to no file.
pub(crate) fn link_to_nothing(target: &Path) -> String {
    format!(
        "it is a link to {}, where no file is: a download was interrupted, fetch it again",
        target.display()
    )
}

/// The shards that the bytes of an index name.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn names_of_index(path: &Path, bytes: &[u8]) -> Result<Vec<String>, Error> {
    let index = Index::parse(path, bytes)?;
    Ok(index.shards().map(|(shard, _)| shard.into()).collect())
}

#[cfg(test)]
mod tests;
