//! Which tensors a model has, from its family's record and its hyperparameters.

use crate::config::Config;
use crate::mxfp4;
use crate::view::{Columns, Steps};
use crate::{Error, Limits, RowMap};
use aeolus_arch::{Delta, Dim, EXPERT, Field, Heads, Hyperparameters, Part, Rows, Values};
use std::ops::Range;
use std::path::Path;

/// Whether a tensor has to be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    Required,
    /// A bias that the configuration declares. Where no layer has it, it counts as zero, as it does
    /// for the framework.
    Declared,
    /// The embedding once more: left out of what is written.
    Copy,
    /// May be absent; where it is there, its shape is checked all the same.
    Optional,
}

/// A tensor that a model has.
#[derive(Clone, Debug)]
pub(crate) struct Expected {
    /// Hugging Face name of the first of [`stored`](Self::stored).
    pub(crate) hf: String,
    /// GGUF name.
    pub(crate) gguf: String,
    /// Hugging Face order: row length last.
    pub(crate) shape: Vec<u64>,
    pub(crate) presence: Presence,
    /// How a Hugging Face checkpoint's rows become GGUF's. For the bias of a mapped tensor the
    /// map is over its elements.
    pub(crate) row_map: RowMap,
    /// How the elements of its rows become GGUF's.
    pub(crate) column_map: RowMap,
    /// How its numbers become GGUF's.
    pub(crate) values: Values,
    /// The ways in which checkpoints store it, the usual one first.
    pub(crate) stored: Vec<Stored>,
}

/// A way in which checkpoints store a tensor.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    /// Hugging Face name; `{}` stands for the number of an expert, and the tensor is the stack.
    pub(crate) hf: String,
    /// What is stored under each name: Hugging Face order.
    pub(crate) shape: Vec<u64>,
    /// Rows of what is stored, where there are others than the tensor's.
    rows: Option<usize>,
    /// Which part of it the tensor is.
    pub(crate) part: Part,
    /// The name of the tensor with the scales of blocks of 4 bits, and its shape.
    pub(crate) scales: Option<(String, Vec<u64>)>,
}

impl Expected {
    /// Whether checkpoints may store it in blocks of 4 bits.
    pub(crate) fn can_be_packed(&self) -> bool {
        self.stored.iter().any(|stored| stored.scales.is_some())
    }
}

impl Stored {
    fn new(of: &aeolus_arch::Expected, hf: &str, part: Part, scales: Option<&str>) -> Self {
        let mut shape = match &of.stored {
            Some(stored) => stored.clone(),
            None => stored_shape(&of.shape, &of.gguf, part),
        };
        let rows = of.stored.as_ref().map(|stored| {
            let rows = stored.iter().rev().skip(1);
            rows.map(|n| *n as usize).product()
        });
        if hf.contains(EXPERT) {
            shape.remove(0);
        }
        let scales = scales.map(|name| {
            let cols = shape.pop().unwrap_or_default();
            let blocks = cols / mxfp4::WEIGHTS as u64;
            let scales: Vec<u64> = shape.iter().copied().chain([blocks]).collect();
            shape.extend([blocks, mxfp4::CODES as u64]);
            (name.to_owned(), scales)
        });
        Self {
            hf: hf.to_owned(),
            shape,
            rows,
            part,
            scales,
        }
    }

    /// How many tensors of the checkpoint it is.
    pub(crate) fn pieces(&self, of: &Expected) -> usize {
        match self.hf.contains(EXPERT) {
            true => of.shape.first().map_or(0, |experts| *experts as usize),
            false => 1,
        }
    }

    /// The name of one of them.
    pub(crate) fn name(&self, piece: usize) -> String {
        self.hf.replace(EXPERT, &piece.to_string())
    }

    /// The steps through what is stored, of elements of `size` bytes.
    pub(crate) fn steps(&self, of: &Expected, size: usize) -> Steps {
        let dim = |from_last: usize| {
            let at = of.shape.len().checked_sub(from_last);
            at.map_or(1, |at| of.shape[at] as usize)
        };
        let (rows, cols) = (dim(2), dim(1));
        let all: usize = of.shape.iter().rev().skip(1).map(|n| *n as usize).product();
        let row = cols * size;
        let plain = Steps::plain(rows, row);
        let halves = |first| Steps {
            first,
            matrix: 2 * rows * row,
            ..plain
        };
        // Rows are columns of what is stored, which has `width` for each row.
        let turned = |first, width: usize| Steps {
            first: first * size,
            matrix: width * rows * row,
            row: width * size,
            columns: Some(Columns {
                size,
                step: width * rows * size,
            }),
            ..plain
        };
        let alternating = |first| match is_vectors(&of.gguf) {
            true => Steps {
                first: first * size,
                row: 2 * row,
                columns: Some(Columns {
                    size,
                    step: 2 * size,
                }),
                ..Steps::plain(all, row)
            },
            false => Steps {
                row: 2 * row,
                ..halves(first * row)
            },
        };
        // Of one head: its keys, then its values.
        let heads = dim(3);
        let head = |cols: usize| self.shape[0] as usize / heads * cols * size;
        match self.part {
            Part::Whole if self.hf.contains(EXPERT) => plain,
            Part::Whole | Part::DeltaQueryKeyValue | Part::DeltaGates => {
                Steps::plain(self.rows.unwrap_or(all), row)
            }
            Part::FirstRows => halves(0),
            Part::LastRows => halves(rows * row),
            Part::EvenRows => alternating(0),
            Part::OddRows => alternating(1),
            Part::Transposed => turned(0, 1),
            Part::TransposedEvenRows => turned(0, 2),
            Part::TransposedOddRows => turned(1, 2),
            Part::LatentKeys => Steps {
                matrix: head(rows),
                ..turned(0, 1)
            },
            Part::LatentValues => Steps {
                first: head(cols) - rows * row,
                matrix: head(cols),
                ..plain
            },
        }
    }
}

/// Whether rows of the tensor are vectors of their own, as biases of experts, whose parts are elements.
fn is_vectors(gguf: &str) -> bool {
    gguf.ends_with(".bias")
}

/// What is stored of which a part has this shape; of latent keys and values, more than the shape says
/// counts.
fn stored_shape(shape: &[u64], gguf: &str, part: Part) -> Vec<u64> {
    let mut stored = shape.to_vec();
    let last = shape.len().saturating_sub(1);
    let rows = match is_vectors(gguf) {
        true => last,
        false => last.saturating_sub(1),
    };
    match part {
        Part::Whole | Part::DeltaQueryKeyValue | Part::DeltaGates => {}
        Part::FirstRows | Part::LastRows | Part::EvenRows | Part::OddRows => stored[rows] *= 2,
        Part::Transposed => stored.swap(rows, last),
        Part::TransposedEvenRows | Part::TransposedOddRows => {
            stored.swap(rows, last);
            stored[last] *= 2;
        }
        Part::LatentKeys | Part::LatentValues => {}
    }
    stored
}

/// The tensors of a checkpoint folder, in the order in which checkpoints store them.
pub(crate) fn of_config(config: &Config) -> Vec<Expected> {
    tensors(&config.hyper, |presence| match presence {
        aeolus_arch::Presence::Required => Some(Presence::Required),
        aeolus_arch::Presence::Untied if config.tied_embeddings => Some(Presence::Optional),
        aeolus_arch::Presence::Untied => Some(Presence::Required),
        aeolus_arch::Presence::Bias(key) if config.declares_bias(key) => Some(Presence::Declared),
        aeolus_arch::Presence::Bias(_) => None,
        aeolus_arch::Presence::Copy => Some(Presence::Copy),
        aeolus_arch::Presence::Unless(key) | aeolus_arch::Presence::NotInGlobal(key) => {
            (!config.declares(key)).then_some(Presence::Required)
        }
        aeolus_arch::Presence::Optional => Some(Presence::Optional),
    })
}

/// The tensors of a GGUF file, which shows by itself what it has.
pub(crate) fn of_file(hyper: &Hyperparameters) -> Vec<Expected> {
    tensors(hyper, |presence| match presence {
        aeolus_arch::Presence::Required => Some(Presence::Required),
        _ => Some(Presence::Optional),
    })
}

fn tensors(
    hyper: &Hyperparameters,
    presence: impl Fn(aeolus_arch::Presence) -> Option<Presence>,
) -> Vec<Expected> {
    let expected = hyper.family().expected(hyper);
    let kept = expected.filter_map(|e| {
        Some(Expected {
            presence: presence(e.presence)?,
            row_map: match e.part {
                Part::DeltaQueryKeyValue => delta_group(hyper, 0..3),
                Part::DeltaGates => delta_group(hyper, 3..4),
                _ => row_map(hyper, e.rows),
            },
            column_map: match e.columns {
                aeolus_arch::Columns::AsStored => RowMap::Identity,
                aeolus_arch::Columns::DeltaHeads => dealt(hyper, Delta::Values),
            },
            values: e.values,
            stored: stored(hyper, &e),
            hf: e.hf,
            gguf: e.gguf,
            shape: e.shape,
        })
    });
    kept.collect()
}

/// The ways in which checkpoints store a tensor.
fn stored(hyper: &Hyperparameters, of: &aeolus_arch::Expected) -> Vec<Stored> {
    let usual = Stored::new(of, &of.hf, of.part, None);
    let also = of.also.iter();
    let also = also.map(|other| Stored::new(of, &other.hf, other.part, other.scales.as_deref()));
    let mut all: Vec<Stored> = [usual].into_iter().chain(also).collect();
    for stored in &mut all {
        if matches!(stored.part, Part::LatentKeys | Part::LatentValues) {
            // Keys and values of all heads, each made of the latent vector.
            let [keys, values, rank] = [Dim::LatentKeyPart, Dim::LatentValue, Dim::LatentRank]
                .map(|dim| hyper.dim(dim, None));
            stored.shape = vec![u64::from(hyper.heads()) * (keys + values), rank];
        }
    }
    all
}

/// Refuses more tensors than a checkpoint may have, before their names are made.
pub(crate) fn check_count(
    expected: &[Expected],
    path: &Path,
    limits: &Limits,
) -> Result<(), Error> {
    let ways = |e: &Expected| {
        e.stored
            .iter()
            .map(|stored| stored.pieces(e))
            .sum::<usize>()
    };
    let count = expected.iter().map(ways).fold(0, usize::saturating_add);
    match count > 2 * limits.tensors {
        true => Err(Error::Limit {
            path: path.into(),
            what: "tensors that config.json gives the model",
            found: count as u64,
            limit: 2 * limits.tensors as u64,
        }),
        false => Ok(()),
    }
}

fn row_map(hyper: &Hyperparameters, rows: Rows) -> RowMap {
    match rows {
        Rows::AsStored => RowMap::Identity,
        Rows::RotaryPairs(heads) => RowMap::Rope {
            heads: match heads {
                Heads::Query => hyper.heads() as usize,
                Heads::Key => hyper.kv_heads() as usize,
            },
            head_dim: hyper.head_dim() as usize,
        },
        Rows::ByKeyHead => {
            let head = hyper.head_dim() as usize;
            let queries = (hyper.heads() / hyper.kv_heads()) as usize * head;
            by_group(hyper.kv_heads(), [queries, head, head, 0], 0..3)
        }
        Rows::DeltaHeads(delta) => dealt(hyper, delta),
    }
}

/// Some parts of the groups of a delta net's key heads: query, key, values and gates.
fn delta_group(hyper: &Hyperparameters, wanted: Range<usize>) -> RowMap {
    let count = |field| hyper.count(field).unwrap_or(1).max(1);
    let (key_heads, key) = (
        count(Field::DeltaKeyHeads),
        count(Field::DeltaKeyDim) as usize,
    );
    let values = (count(Field::DeltaValues) / key_heads) as usize;
    by_group(key_heads, [key, key, values, values], wanted)
}

/// Some of the parts that groups of rows are made of.
fn by_group(groups: u32, sizes: [usize; 4], wanted: Range<usize>) -> RowMap {
    let mut first = 0;
    let parts = sizes.map(|rows| {
        first += rows;
        (first - rows, rows)
    });
    let mut kept = [(0, 0); 3];
    for (kept, part) in kept.iter_mut().zip(&parts[wanted]) {
        *kept = *part;
    }
    RowMap::ByGroup {
        groups: groups as usize,
        group_rows: first,
        parts: kept,
    }
}

/// The order of a delta net's value heads.
fn dealt(hyper: &Hyperparameters, delta: Delta) -> RowMap {
    let size = |dim| hyper.dim(dim, None) as usize;
    let key_heads = hyper.count(Field::DeltaKeyHeads).unwrap_or(1).max(1) as usize;
    let map = RowMap::Dealt {
        first: match delta {
            Delta::Values | Delta::Numbers => 0,
            Delta::BehindKeys => size(Dim::DeltaQueryKeyValue) - size(Dim::DeltaValues),
        },
        key_heads,
        each: size(Dim::DeltaHeads) / key_heads,
        head_dim: match delta {
            Delta::Numbers => 1,
            Delta::Values | Delta::BehindKeys => size(Dim::DeltaValue),
        },
    };
    // One value head for each key head stays where it is.
    match size(Dim::DeltaHeads) == key_heads {
        true => RowMap::Identity,
        false => map,
    }
}
