//! Tensors of a model put together from those of its files: usually one of one, a stack of experts of as
//! many as there are experts, and sometimes several of parts of one.

use crate::checkpoint::{Data, Tensor};
use crate::error::bad_shape;
use crate::layout::{Expected, Stored};
use crate::mxfp4::{self, Packed};
use crate::shards::ShardTensor;
use crate::view::{Piece, View};
use crate::{Error, RowMap};
use ::safetensors::Dtype;
use aeolus_arch::{EXPERT, Values};
use aeolus_gguf::{Shape, TensorType};
use aeolus_quant::DecodeError;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

/// What has been found of a model's tensors.
pub(crate) struct Assembly<'a> {
    expected: &'a [Expected],
    /// What the framework's names stand for.
    names: HashMap<String, Vec<Role>>,
    /// Of each tensor of the model, of each way to store it.
    found: Vec<Vec<Found>>,
}

/// What a tensor of a checkpoint is: a tensor may be part of several of the model.
#[derive(Clone, Copy, Debug)]
struct Role {
    /// Number of the model's tensor.
    tensor: usize,
    /// Number of the way to store it.
    way: usize,
    /// Which of its pieces; `None` for the scales.
    piece: Option<usize>,
}

/// Which of the files' tensors, by number, have been found.
#[derive(Clone, Debug)]
struct Found {
    pieces: Vec<Option<usize>>,
    scales: Option<usize>,
}

impl Found {
    fn any(&self) -> bool {
        self.scales.is_some() || self.pieces.iter().any(Option::is_some)
    }
}

impl<'a> Assembly<'a> {
    /// Nothing found yet.
    pub(crate) fn new(expected: &'a [Expected]) -> Self {
        let mut names: HashMap<String, Vec<Role>> = HashMap::new();
        let mut found = Vec::with_capacity(expected.len());
        for (tensor, e) in expected.iter().enumerate() {
            let mut ways = Vec::with_capacity(e.stored.len());
            for (way, stored) in e.stored.iter().enumerate() {
                let count = stored.pieces(e);
                let pieces = (0..count).map(|piece| (stored.name(piece), Some(piece)));
                let scales = stored.scales.iter().map(|(name, _)| (name.clone(), None));
                for (name, piece) in pieces.chain(scales) {
                    names
                        .entry(name)
                        .or_default()
                        .push(Role { tensor, way, piece });
                }
                ways.push(Found {
                    pieces: vec![None; count],
                    scales: None,
                });
            }
            found.push(ways);
        }
        Self {
            expected,
            names,
            found,
        }
    }

    /// Takes tensor number `at` of the files, whose name in the framework is `plain`; false if the
    /// model has no such tensor.
    ///
    /// # Errors
    /// [`Error::Shape`], [`Error::Dtype`], [`Error::DuplicateTensor`].
    pub(crate) fn take(
        &mut self,
        plain: &str,
        at: usize,
        sources: &[ShardTensor],
    ) -> Result<bool, Error> {
        let Some(roles) = self.names.get(plain) else {
            return Ok(false);
        };
        let source = &sources[at];
        let (entry, path) = (&source.entry, source.map.path());
        for role in roles {
            let stored = &self.expected[role.tensor].stored[role.way];
            let shape = match (role.piece, &stored.scales) {
                (None, Some((_, shape))) => shape,
                _ => &stored.shape,
            };
            let is_packed = stored.scales.is_some();
            if (is_packed && entry.dtype != Dtype::U8)
                || (!is_packed && float(entry.dtype).is_none())
            {
                return Err(Error::Dtype {
                    path: path.into(),
                    tensor: entry.name.clone(),
                    found: format!("{:?}", entry.dtype),
                });
            }
            if entry.shape != *shape {
                return Err(Error::Shape {
                    path: path.into(),
                    tensor: entry.name.clone(),
                    expected: shape.clone(),
                    found: entry.shape.clone(),
                });
            }
            let found = &mut self.found[role.tensor][role.way];
            let place = match role.piece {
                Some(piece) => &mut found.pieces[piece],
                None => &mut found.scales,
            };
            if let Some(first) = place.replace(at) {
                return Err(Error::DuplicateTensor {
                    tensor: plain.to_owned(),
                    first: sources[first].map.path().into(),
                    second: path.into(),
                });
            }
        }
        Ok(true)
    }

    /// Whether a tensor of the framework's name holds blocks of 4 bits, or their scales.
    pub(crate) fn is_packed(&self, plain: &str) -> bool {
        let stored = |role: &Role| &self.expected[role.tensor].stored[role.way];
        let roles = self.names.get(plain).into_iter().flatten();
        roles.map(stored).any(|stored| stored.scales.is_some())
    }

    /// Whether anything of a tensor has been found.
    pub(crate) fn has(&self, expected: &Expected) -> bool {
        let at = self.expected.iter().position(|e| std::ptr::eq(e, expected));
        at.is_some_and(|at| self.found[at].iter().any(Found::any))
    }

    /// The tensors of which anything has been found, each where the last of its pieces is.
    ///
    /// # Errors
    /// [`Error::MissingTensor`] where some pieces are there and others are not,
    /// [`Error::UnexpectedTensor`] for pieces that do not go together.
    pub(crate) fn tensors(
        &self,
        folder: &Path,
        sources: &[ShardTensor],
    ) -> Result<Vec<Tensor>, Error> {
        let mut tensors = Vec::new();
        for (e, ways) in self.expected.iter().zip(&self.found) {
            let mut used = ways.iter().zip(&e.stored).filter(|(found, _)| found.any());
            let Some((found, stored)) = used.next() else {
                continue;
            };
            if let Some((_, other)) = used.next() {
                return Err(Error::UnexpectedTensor {
                    path: folder.into(),
                    tensor: other.name(0),
                    problem: format!("{} is there as well, which is the same", stored.name(0)),
                });
            }
            let missing = |name: String, shape: &[u64]| Error::MissingTensor {
                path: folder.into(),
                tensor: name,
                expected: shape.to_vec(),
            };
            let pieces =
                found.pieces.iter().enumerate().map(|(piece, at)| {
                    at.ok_or_else(|| missing(stored.name(piece), &stored.shape))
                });
            let pieces = pieces.collect::<Result<Vec<usize>, _>>()?;
            let scales = match (&stored.scales, found.scales) {
                (Some((name, shape)), None) => return Err(missing(name.clone(), shape)),
                (_, scales) => scales,
            };
            let last = pieces.iter().copied().chain(scales).max().unwrap_or(0);
            let pieces: Vec<&ShardTensor> = pieces.into_iter().map(|at| &sources[at]).collect();
            let scales = scales.map(|at| &sources[at]);
            tensors.push((last, tensor(e, stored, &pieces, scales)?));
        }
        tensors.sort_by_key(|(last, _)| *last);
        Ok(tensors.into_iter().map(|(_, tensor)| tensor).collect())
    }
}

/// The type of floats that are read.
fn float(dtype: Dtype) -> Option<TensorType> {
    Some(match dtype {
        Dtype::F64 => TensorType::F64,
        Dtype::F32 => TensorType::F32,
        Dtype::F16 => TensorType::F16,
        Dtype::BF16 => TensorType::BF16,
        _ => return None,
    })
}

/// A tensor of the model from all of its pieces.
fn tensor(
    expected: &Expected,
    stored: &Stored,
    pieces: &[&ShardTensor],
    scales: Option<&ShardTensor>,
) -> Result<Tensor, Error> {
    let first = pieces[0];
    let (entry, path) = (&first.entry, first.map.path());
    let other = pieces.iter().find(|piece| piece.entry.dtype != entry.dtype);
    if let Some(other) = other {
        return Err(Error::UnexpectedTensor {
            path: other.map.path().into(),
            tensor: other.entry.name.clone(),
            problem: format!(
                "{:?}, while {} is {:?}: expected one type for all experts",
                other.entry.dtype, entry.name, entry.dtype
            ),
        });
    }
    let piece = |source: &ShardTensor| Piece {
        map: source.map.clone(),
        range: source.entry.range.clone(),
    };
    let pieces: Vec<Piece> = pieces.iter().map(|source| piece(source)).collect();
    let (ty, data) = match scales {
        Some(scales) => {
            let cols = expected.shape.last().map_or(0, |cols| *cols as usize);
            let blocks = cols / mxfp4::WEIGHTS;
            // Rows are as long as their blocks are many, whatever a block has.
            let of_blocks = Expected {
                shape: with_last(&expected.shape, blocks as u64),
                ..expected.clone()
            };
            let steps = |bytes| stored.steps(&of_blocks, bytes);
            let packed = Packed {
                codes: View::new(pieces, steps(mxfp4::CODES)),
                scales: View::new(vec![piece(scales)], steps(1)),
            };
            (TensorType::MXFP4, Data::Packed(packed))
        }
        None => {
            let ty = float(entry.dtype).unwrap_or(TensorType::F32);
            let steps = stored.steps(expected, ty.block_bytes());
            (ty, Data::Mapped(View::new(pieces, steps)))
        }
    };
    let mut tensor = Tensor {
        name: expected.gguf.clone(),
        source_name: source_name(stored, &entry.name),
        shape: Shape::from_hf(&expected.shape).map_err(bad_shape(path, &entry.name))?,
        ty,
        row_map: expected.row_map,
        column_map: expected.column_map,
        data,
    };
    if tensor.shape.dims().len() == 1 && tensor.row_map != RowMap::Identity {
        // The bias of a mapped tensor: its elements move, which no map over rows can say.
        let mut bytes = first.map[entry.range.clone()].to_vec();
        let count = tensor.shape.elems() as usize;
        tensor.row_map.reorder(&mut bytes, count, ty.block_bytes());
        tensor.data = Data::Owned(bytes.into());
        tensor.row_map = RowMap::Identity;
    }
    let value: Option<fn(f32) -> f32> = match expected.values {
        Values::AsStored => None,
        Values::PlusOne => Some(|x| x + 1.0),
        // By way of f64, whose rounding to f32 is the same on every system's library.
        Values::MinusExp => Some(|x| -f64::from(x).exp() as f32),
    };
    if let Some(value) = value {
        let mapped = mapped_values(&tensor.to_bytes(), ty, value).map_err(|error| {
            let what = format!("tensor {}: {error}", entry.name);
            Error::unsupported(path, what)
        });
        tensor.data = Data::Owned(mapped?);
        tensor.ty = TensorType::F32;
    }
    Ok(tensor)
}

/// The name in the source: of experts that are stored one by one, that of the first with the number taken
/// out.
fn source_name(stored: &Stored, first: &str) -> String {
    match stored.hf.split_once(EXPERT) {
        Some((_, after)) => {
            let before = first
                .strip_suffix(after)
                .map(|rest| rest.trim_end_matches('0'));
            before.map_or(first.to_owned(), |before| {
                format!("{before}{EXPERT}{after}")
            })
        }
        None => first.to_owned(),
    }
}

fn with_last(shape: &[u64], last: u64) -> Vec<u64> {
    let kept = shape.len().saturating_sub(1);
    shape[..kept].iter().copied().chain([last]).collect()
}

/// What a vector's numbers become, as F32.
fn mapped_values(
    bytes: &[u8],
    ty: TensorType,
    value: fn(f32) -> f32,
) -> Result<Arc<[u8]>, DecodeError> {
    let count = bytes.len() / ty.block_bytes();
    let mut numbers = vec![0.0; count];
    aeolus_quant::decode_rows(ty, bytes, count, &mut numbers)?;
    let mapped = numbers.iter().flat_map(|x| value(*x).to_le_bytes());
    Ok(mapped.collect::<Vec<u8>>().into())
}
