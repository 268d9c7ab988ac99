//! model.safetensors.index.json: which shard holds which tensor.

use crate::json::{Keyed, Name};
use crate::{Error, Limits, files};
use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::{Path, PathBuf};

/// Entries that any index may have; a checkpoint's own limit is checked with its path.
const MAX_ENTRIES: usize = 1 << 18;

/// An index whose every shard is a plain file name.
pub(super) struct Index {
    path: PathBuf,
    /// Tensor to shard.
    weight_map: HashMap<String, String>,
}

impl Index {
    /// Reads the index, `None` if there is no such file.
    pub(super) fn read(path: &Path, limits: &Limits) -> Result<Option<Self>, Error> {
        match files::read(path, limits.index_bytes)? {
            Some(bytes) => Self::parse(path, &bytes).map(Some),
            None => Ok(None),
        }
    }

    /// Reads the bytes of an index.
    pub(super) fn parse(path: &Path, bytes: &[u8]) -> Result<Self, Error> {
        #[derive(serde::Deserialize)]
        struct File {
            weight_map: WeightMap,
        }
        let file: Keyed<File> = serde_json::from_slice(bytes).map_err(|error| Error::Json {
            path: path.into(),
            error,
        })?;
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
    pub(super) fn shards(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut shards: BTreeMap<&str, &str> = BTreeMap::new();
        for (tensor, shard) in &self.weight_map {
            let first = shards.entry(shard).or_insert(tensor);
            *first = (*first).min(tensor.as_str());
        }
        shards.into_iter()
    }

    /// Checks that the index places a tensor in the shard it was found in.
    pub(super) fn check(&self, tensor: &str, shard: &str) -> Result<(), Error> {
        match self.weight_map.get(tensor) {
            Some(expected) if expected == shard => Ok(()),
            Some(expected) => Err(Error::index(
                &self.path,
                format!("tensor {tensor} is placed in {expected}, but found in {shard}"),
            )),
            None => Err(Error::index(
                &self.path,
                format!("tensor {tensor} of {shard} is not in the index"),
            )),
        }
    }

    /// Checks that every tensor of the index was found.
    pub(super) fn check_all_found(&self, found: impl Fn(&str) -> bool) -> Result<(), Error> {
        let missing = self.weight_map.keys().filter(|name| !found(name)).min();
        match missing.and_then(|name| self.weight_map.get_key_value(name)) {
            None => Ok(()),
            Some((tensor, shard)) => Err(Error::index(
                &self.path,
                format!("tensor {tensor} is placed in {shard}, which does not hold it"),
            )),
        }
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
