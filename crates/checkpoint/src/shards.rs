//! The weights of a checkpoint folder: one safetensors file, or several with an index.

mod index;

use crate::safetensors::{self, Entry};
use crate::{Error, Limits};
use aeolus_source::Map;
use index::Index;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// File names of weights that are not safetensors, to say more than "not found".
const OTHER_FORMATS: [&str; 4] = [
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
    "consolidated.00.pth",
    "tf_model.h5",
];

/// A tensor of a shard.
#[derive(Clone, Debug)]
pub(crate) struct ShardTensor {
    pub(crate) entry: Entry,
    /// The shard.
    pub(crate) map: Arc<Map>,
}

/// All tensors of the folder: shards in the order of their names, tensors in the order of their
/// offsets. With an index, it and the shards list the same tensors in the same places.
///
/// # Errors
/// [`Error::NotACheckpoint`] without weights; [`Error::Index`], [`Error::MissingShard`],
/// [`Error::DuplicateTensor`] where index and shards differ; those of one safetensors file.
pub(crate) fn open(folder: &Path, limits: &Limits) -> Result<Vec<ShardTensor>, Error> {
    let index_path = folder.join("model.safetensors.index.json");
    let single = folder.join("model.safetensors");
    let Some(index) = Index::read(&index_path, limits)? else {
        if !single.exists() {
            return Err(no_weights(folder));
        }
        let map = Arc::new(Map::open(&single)?);
        return tensors(&map, limits);
    };
    let mut all = Vec::new();
    let mut seen: HashMap<String, Arc<Map>> = HashMap::new();
    for (shard, tensor) in index.shards() {
        let path = folder.join(shard);
        if !path.exists() {
            return Err(Error::MissingShard {
                path,
                tensor: tensor.into(),
            });
        }
        let map = Arc::new(Map::open(&path)?);
        for tensor in tensors(&map, limits)? {
            let name = &tensor.entry.name;
            if let Some(first) = seen.insert(name.clone(), map.clone()) {
                return Err(Error::DuplicateTensor {
                    tensor: name.clone(),
                    first: first.path().into(),
                    second: path,
                });
            }
            index.check(name, shard)?;
            all.push(tensor);
        }
        if all.len() > limits.tensors {
            return Err(Error::Limit {
                path: index_path,
                what: "tensors",
                found: all.len() as u64,
                limit: limits.tensors as u64,
            });
        }
    }
    index.check_all_found(|name| seen.contains_key(name))?;
    Ok(all)
}

fn tensors(map: &Arc<Map>, limits: &Limits) -> Result<Vec<ShardTensor>, Error> {
    let entries = safetensors::read(map, limits)?;
    let with_map = entries.into_iter().map(|entry| ShardTensor {
        entry,
        map: map.clone(),
    });
    Ok(with_map.collect())
}

/// The shards that the bytes of an index name.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn names_of_index(path: &Path, bytes: &[u8]) -> Result<Vec<String>, Error> {
    let index = Index::parse(path, bytes)?;
    Ok(index.shards().map(|(shard, _)| shard.into()).collect())
}

fn no_weights(folder: &Path) -> Error {
    let found = OTHER_FORMATS.iter().find(|name| folder.join(name).exists());
    let hint = match found {
        Some(name) => format!(" (found {name}: only safetensors are read)"),
        None => String::new(),
    };
    Error::NotACheckpoint {
        path: PathBuf::from(folder),
        problem: format!(
            "no weights: looked for model.safetensors.index.json and model.safetensors{hint}"
        ),
    }
}

#[cfg(test)]
mod tests;
