//! A GGUF file on disk, or all shards of one, mapped.

use crate::error::{Error, FormatError, FormatErrorKind, Place, SplitError};
use crate::limits::Limits;
use crate::metadata::Metadata;
use crate::read::{Header, Parse};
use crate::role;
use crate::split::{self, ShardName, SplitKeys};
use crate::tensor::TensorInfo;
use aeolus_source::Map;
use std::collections::HashMap;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

/// A model in one file or several, opened as one.
///
/// Opening costs what the header costs, whatever the size of the data. Bytes are those of the
/// file: in a big-endian file the tensors' too.
#[derive(Debug)]
pub struct GgufFile {
    header: Header<'static>,
    maps: Vec<Arc<Map>>,
    /// Where each tensor's bytes lie, in the order of the header.
    places: Vec<TensorPlace>,
    by_name: HashMap<String, usize>,
}

/// Where a tensor's bytes lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorPlace {
    /// The index of the shard in [`GgufFile::maps`]; 0 in a file that is not split.
    pub shard: usize,
    /// Bytes from the start of that shard's file.
    pub range: Range<usize>,
}

impl GgufFile {
    /// Opens a file; if it is a shard (`split.count` above 1), all the others too, whichever of
    /// them `path` names.
    ///
    /// # Errors
    /// [`Error::Source`] if a file cannot be mapped, [`Error::Format`] if one is no good GGUF,
    /// [`Error::Split`] if shards are missing or do not belong together.
    pub fn open(path: &Path) -> Result<Self, Error> {
        Self::open_with(path, &Limits::default())
    }

    /// Opens a file with other limits than the defaults.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_with(path: &Path, limits: &Limits) -> Result<Self, Error> {
        let opened = Shard::open(path, limits)?;
        let count = opened.keys.count.unwrap_or(1);
        if count <= 1 {
            return Self::merge(opened, Vec::new());
        }
        let name = ShardName::parse(path)
            .filter(|name| name.count == count)
            .ok_or_else(|| split_error(path, SplitError::Name { count }))?;
        opened.check_number(&name)?;
        let sibling = |number| Shard::open_sibling(&name, number, limits);
        let (first, mut opened) = match name.number {
            1 => (opened, None),
            _ => (sibling(1)?, Some(opened)),
        };
        let others = (2..=count).map(|number| match opened.take_if(|_| number == name.number) {
            Some(opened) => Ok(opened),
            None => sibling(number),
        });
        let others = others.collect::<Result<_, _>>()?;
        Self::merge(first, others)
    }

    /// One file of all shards; version, byte order and metadata are those of the first.
    fn merge(first: Shard, others: Vec<Shard>) -> Result<Self, Error> {
        let (keys, first_path) = (first.keys, first.map.path().to_path_buf());
        let mut file = Self {
            header: Header {
                tensors: Vec::new(),
                metadata: Metadata::new(),
                ..first.header
            },
            maps: Vec::new(),
            places: Vec::new(),
            by_name: HashMap::new(),
        };
        let mut metadata = first.header.metadata;
        split::remove_keys(&mut metadata);
        file.header.metadata = metadata;
        file.add(first.map, first.header.data_offset, first.header.tensors)?;
        for shard in others {
            if shard.header.endian != file.header.endian {
                let (found, expected) = (shard.header.endian, file.header.endian);
                let error = SplitError::Endian { found, expected };
                return Err(split_error(shard.map.path(), error));
            }
            file.add(shard.map, shard.header.data_offset, shard.header.tensors)?;
        }
        keys.check_tensors(file.places.len() as u64)
            .map_err(|error| split_error(&first_path, error))?;
        Ok(file)
    }

    /// Adds a shard's tensors, which were found to lie within it.
    fn add(
        &mut self,
        map: Arc<Map>,
        data_offset: u64,
        tensors: Vec<TensorInfo>,
    ) -> Result<(), Error> {
        let shard = self.maps.len();
        for info in tensors {
            if let Some(&first) = self.by_name.get(&info.name) {
                let first = self.places[first].shard as u32 + 1;
                let error = SplitError::Duplicate {
                    name: info.name,
                    first,
                };
                return Err(split_error(map.path(), error));
            }
            let range = match info.bytes() as usize {
                // An empty tensor may lie anywhere.
                0 => 0..0,
                bytes => {
                    let start = (data_offset + info.offset) as usize;
                    start..start + bytes
                }
            };
            self.by_name.insert(info.name.clone(), self.places.len());
            self.places.push(TensorPlace { shard, range });
            self.header.tensors.push(info);
        }
        self.maps.push(map);
        Ok(())
    }

    /// The header. Of a split file it is that of the first shard with the tensors of all, in
    /// the order of the shards, and without the `split.*` keys; each tensor's `offset` then
    /// counts from the data section of its own shard (see [`place`](Self::place)).
    pub fn header(&self) -> &Header<'static> {
        &self.header
    }

    /// The key-value pairs.
    pub fn metadata(&self) -> &Metadata<'static> {
        &self.header.metadata
    }

    /// The tensors, in the order of the file.
    pub fn tensors(&self) -> &[TensorInfo] {
        &self.header.tensors
    }

    /// The tensor of a name.
    pub fn tensor(&self, name: &str) -> Option<&TensorInfo> {
        self.by_name.get(name).map(|&i| &self.header.tensors[i])
    }

    /// A tensor's bytes as the file has them, without padding. No alignment in memory beyond a
    /// byte may be assumed.
    ///
    /// # Panics
    /// If the tensor is not one of this file.
    pub fn tensor_bytes(&self, info: &TensorInfo) -> &[u8] {
        let place = self.place(info);
        &self.maps[place.shard][place.range.clone()]
    }

    /// Where a tensor's bytes lie: shard, and bytes from the start of its file.
    ///
    /// # Panics
    /// If the tensor is not one of this file.
    pub fn place(&self, info: &TensorInfo) -> &TensorPlace {
        match self.by_name.get(&info.name) {
            Some(&index) => &self.places[index],
            None => panic!("no tensor {:?} in {:?}", info.name, self.maps[0].path()),
        }
    }

    /// Checks that the file holds a model, and that something can be computed from each of its
    /// tensors: none is empty, none has a foreign type.
    ///
    /// # Errors
    /// [`Error::NotAModel`] for an importance matrix, an adapter, a projector, a vocabulary;
    /// [`Error::Unusable`] names the first tensor that is not usable.
    pub fn require_model(&self) -> Result<(), Error> {
        let path = self.maps[0].path();
        if let Some((what, way_out)) =
            role::not_a_model(self.metadata(), !self.tensors().is_empty())
        {
            return Err(Error::NotAModel {
                path: path.into(),
                what,
                way_out,
            });
        }
        self.require_usable()
    }

    /// Checks that something can be computed from each tensor.
    ///
    /// # Errors
    /// [`Error::Unusable`].
    pub fn require_usable(&self) -> Result<(), Error> {
        for info in self.tensors() {
            if let Some(problem) = info.unusable() {
                return Err(Error::Unusable {
                    path: self.maps[self.place(info).shard].path().into(),
                    tensor: info.name.clone(),
                    problem,
                });
            }
        }
        Ok(())
    }

    /// The mapped files, one for each shard in order.
    pub fn maps(&self) -> &[Arc<Map>] {
        &self.maps
    }

    /// Bytes of all files together.
    pub fn file_bytes(&self) -> u64 {
        self.maps.iter().map(|map| map.len() as u64).sum()
    }
}

/// One file, opened and checked for itself.
struct Shard {
    map: Arc<Map>,
    header: Header<'static>,
    keys: SplitKeys,
}

impl Shard {
    fn open(path: &Path, limits: &Limits) -> Result<Self, Error> {
        let map = Map::open(path)?;
        let wrong = |error| Error::Format {
            path: path.into(),
            error,
        };
        let len = map.len() as u64;
        let header = match Header::parse(&map, Some(len), limits).map_err(wrong)? {
            Parse::Done(header) => header.into_owned(),
            // The whole file was there: what is needed beyond it, the file has not.
            Parse::NeedMore(needed) => {
                return Err(wrong(FormatError {
                    place: Place::Preamble,
                    offset: None,
                    kind: FormatErrorKind::Truncated {
                        expected: needed as u64,
                        found: len,
                    },
                }));
            }
        };
        if let Some(offset) = second_file(&header, &map) {
            let path = path.into();
            return Err(Error::Joined { path, offset });
        }
        let keys = SplitKeys::read(&header.metadata)
            .map_err(|error| split_error(path, SplitError::Metadata(error)))?;
        Ok(Self {
            map: Arc::new(map),
            header,
            keys,
        })
    }

    /// Opens the shard of a number, from 1, of the set that `name` belongs to.
    fn open_sibling(name: &ShardName, number: u32, limits: &Limits) -> Result<Self, Error> {
        let path = name.sibling(number);
        let count = name.count;
        let shard = Self::open(&path, limits).map_err(|error| match error {
            Error::Source(aeolus_source::Error::Io { error, .. })
                if error.kind() == io::ErrorKind::NotFound =>
            {
                split_error(&path, SplitError::Missing { number, count })
            }
            other => other,
        })?;
        let name = ShardName {
            number,
            ..name.clone()
        };
        shard.check_number(&name)?;
        Ok(shard)
    }

    /// The split metadata say the same as the name.
    fn check_number(&self, name: &ShardName) -> Result<(), Error> {
        self.keys
            .check(name.number, name.count)
            .map_err(|error| split_error(self.map.path(), error))
    }
}

/// Where another file begins behind the last tensor, if one does.
fn second_file(header: &Header<'_>, bytes: &[u8]) -> Option<u64> {
    let ends = header
        .tensors
        .iter()
        .map(|info| info.offset.saturating_add(info.bytes()));
    let end = header.data_offset.checked_add(ends.max().unwrap_or(0))?;
    let padded = end.checked_next_multiple_of(header.alignment.into())?;
    [end, padded].into_iter().find(|&offset| {
        let rest = usize::try_from(offset)
            .ok()
            .and_then(|start| bytes.get(start..));
        rest.is_some_and(|rest| rest.starts_with(b"GGUF"))
    })
}

fn split_error(path: &Path, error: SplitError) -> Error {
    Error::Split {
        path: path.into(),
        error,
    }
}
