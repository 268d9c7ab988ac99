//! model.safetensors.index.json: which shard holds which tensor.

use super::ShardTensor;
use crate::json::{Keyed, Name};
use crate::{Error, Limits, files};
use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::path::{Path, PathBuf};

/// Entries that any index may have; a checkpoint's own limit is checked with its path.
const MAX_ENTRIES: usize = 1 << 18;

/// An index whose every shard is a plain file name.
pub(crate) struct Index {
    path: PathBuf,
    /// Tensor to shard.
    weight_map: HashMap<String, String>,
}

impl Index {
    /// Reads the index, `None` if there is no such file.
    pub(crate) fn read(path: &Path, limits: &Limits) -> Result<Option<Self>, Error> {
        match files::read(path, limits.index_bytes)? {
            Some(bytes) => Self::parse(path, &bytes).map(Some),
            None => Ok(None),
        }
    }

    /// Reads the bytes of an index.
    pub(crate) fn parse(path: &Path, bytes: &[u8]) -> Result<Self, Error> {
        #[derive(serde::Deserialize)]
        struct File {
            weight_map: WeightMap,
        }
        let file: Keyed<File> = files::parse(path, bytes)?;
        let WeightMap(weight_map) = file.0.weight_map;
        for (tensor, shard) in &weight_map {
            if !files::is_plain_name(shard) {
                return Err(Error::index(
                    path,
                    format!(
                        "tensor {tensor} is placed in {shard:?}, expected the name of a file in \
                         the same folder"
                    ),
                ));
            }
        }
        if weight_map.is_empty() {
            return Err(Error::index(path, "weight_map is empty"));
        }
        Ok(Self {
            path: path.into(),
            weight_map,
        })
    }

    /// Every shard in the order of names, each with the first of its tensors.
    pub(crate) fn shards(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut shards: BTreeMap<&str, &str> = BTreeMap::new();
        for (tensor, shard) in &self.weight_map {
            let first = shards.entry(shard).or_insert(tensor);
            *first = (*first).min(tensor.as_str());
        }
        shards.into_iter()
    }

    /// Checks that the index and the shards list the same tensors in the same places.
    pub(crate) fn check(&self, tensors: &[ShardTensor]) -> Result<(), Error> {
        let mut found: HashSet<&str> = HashSet::new();
        for tensor in tensors {
            let name = tensor.entry.name.as_str();
            let shard = tensor.map.path().file_name().unwrap_or_default();
            found.insert(name);
            match self.weight_map.get(name) {
                Some(expected) if shard == expected.as_str() => {}
                Some(expected) => {
                    return Err(self.wrong(format!(
                        "tensor {name} is placed in {expected}, but found in {}",
                        shard.display()
                    )));
                }
                None => {
                    return Err(self.wrong(format!(
                        "tensor {name} of {} is not in the index",
                        shard.display()
                    )));
                }
            }
        }
        let missing = self
            .weight_map
            .keys()
            .filter(|name| !found.contains(&***name));
        match missing
            .min()
            .and_then(|name| self.weight_map.get_key_value(name))
        {
            None => Ok(()),
            Some((tensor, shard)) => Err(self.wrong(format!(
                "tensor {tensor} is placed in {shard}, which does not hold it"
            ))),
        }
    }

    fn wrong(&self, problem: String) -> Error {
        Error::index(&self.path, problem)
    }
}

/// The entries of `weight_map`, each tensor once.
struct WeightMap(HashMap<String, String>);

impl<'de> Deserialize<'de> for WeightMap {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MapVisitor;
        impl<'de> Visitor<'de> for MapVisitor {
            type Value = WeightMap;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of tensor names and file names")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<WeightMap, A::Error> {
                let mut entries = HashMap::new();
                while let Some((Name(tensor), Name(shard))) = map.next_entry()? {
                    if entries.len() == MAX_ENTRIES {
                        return Err(de::Error::custom(format_args!(
                            "more than {MAX_ENTRIES} tensors"
                        )));
                    }
                    if entries.contains_key(&tensor) {
                        return Err(de::Error::custom(format_args!("duplicate key {tensor}")));
                    }
                    entries.insert(tensor, shard);
                }
                Ok(WeightMap(entries))
            }
        }
        deserializer.deserialize_map(MapVisitor)
    }
}
