//! The GGUF format: `NAME.in_sum2` `[cols, matrices]` and `NAME.counts` `[1, matrices]` for each
//! weight, and keys about the text.
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        clippy::as_conversions,
        clippy::arithmetic_side_effects
    )
)]

use crate::imatrix::Format;
use crate::{Entry, Imatrix, Problem};
use aeolus_gguf::{
    Array, Endian, FormatError, FormatErrorKind, Header, HeaderSpec, Layout, Limits, Metadata,
    Parse, Place, Shape, TensorInfo, TensorSpec, TensorType, Value, not_a_model,
};
use std::collections::BTreeMap;

const TYPE_KEY: &str = "general.type";
const DATASETS_KEY: &str = "imatrix.datasets";
const CHUNK_COUNT_KEY: &str = "imatrix.chunk_count";
const CHUNK_SIZE_KEY: &str = "imatrix.chunk_size";
const SUMS: &str = ".in_sum2";
const COUNTS: &str = ".counts";

pub(crate) fn parse(bytes: &[u8]) -> Result<Imatrix, Problem> {
    let len = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    let header = match Header::parse(bytes, Some(len), &Limits::default())? {
        Parse::Done(header) => header,
        // All bytes were there: those that are needed beyond them are missing.
        Parse::NeedMore(needed) => {
            return Err(Problem::Header(FormatError {
                place: Place::Preamble,
                offset: None,
                kind: FormatErrorKind::Truncated {
                    expected: u64::try_from(needed).unwrap_or(u64::MAX),
                    found: len,
                },
            }));
        }
    };
    let mut imatrix = Imatrix::new(Format::Gguf);
    read_keys(&header, &mut imatrix)?;

    let mut pairs: BTreeMap<&str, Pair<'_>> = BTreeMap::new();
    for info in &header.tensors {
        if let Some(name) = info.name.strip_suffix(SUMS) {
            pairs.entry(name).or_default().sums = Some(info);
        } else if let Some(name) = info.name.strip_suffix(COUNTS) {
            pairs.entry(name).or_default().counts = Some(info);
        } else {
            imatrix.unused.push(info.name.clone());
        }
    }
    for (name, pair) in pairs {
        let half = |missing| Problem::Half {
            entry: name.to_owned(),
            missing,
        };
        let sums = pair.sums.ok_or_else(|| half(SUMS))?;
        let counts = pair.counts.ok_or_else(|| half(COUNTS))?;
        let sums = numbers(bytes, &header, sums)?;
        let counts = numbers(bytes, &header, counts)?;
        imatrix.insert(name.to_owned(), Entry::new(name, sums, counts)?)?;
    }
    Ok(imatrix)
}

/// The bytes of a file of an importance matrix that counts tokens.
///
/// # Errors
/// [`Problem::Empty`], [`Problem::Value`], [`Problem::Layout`].
pub(crate) fn encode(imatrix: &Imatrix) -> Result<Vec<u8>, Problem> {
    if imatrix.entries().len() == 0 {
        return Err(Problem::Empty);
    }
    let mut metadata = Metadata::new();
    metadata.insert(TYPE_KEY, "imatrix");
    metadata.insert(DATASETS_KEY, Array::from_strings(&imatrix.datasets));
    metadata.insert(CHUNK_COUNT_KEY, imatrix.chunks);
    metadata.insert(CHUNK_SIZE_KEY, imatrix.chunk_tokens);
    let mut tensors = Vec::new();
    let mut data: Vec<&[f32]> = Vec::new();
    for (name, entry) in imatrix.entries() {
        entry.check(name)?;
        let matrices = entry.counts().len();
        for (suffix, cols, numbers) in [
            (SUMS, entry.cols(), entry.sums()),
            (COUNTS, 1, entry.counts()),
        ] {
            tensors.push(TensorSpec {
                name: format!("{name}{suffix}"),
                shape: shape(cols, matrices),
                ty: TensorType::F32,
            });
            data.push(numbers);
        }
    }
    let layout = Layout::new(HeaderSpec {
        version: 3,
        endian: Endian::Little,
        metadata,
        tensors,
    })?;
    let mut bytes = layout.encode_header();
    for (info, numbers) in layout.tensors().iter().zip(data) {
        let start = layout.data_offset().saturating_add(info.offset);
        bytes.resize(usize::try_from(start).unwrap_or(usize::MAX), 0);
        bytes.extend(numbers.iter().flat_map(|x| x.to_le_bytes()));
    }
    bytes.resize(
        usize::try_from(layout.file_bytes()).unwrap_or(usize::MAX),
        0,
    );
    Ok(bytes)
}

/// `[cols, matrices]`, where a single matrix has no dimension of its own.
fn shape(cols: usize, matrices: usize) -> Shape {
    let dims = [cols, matrices].map(|n| u64::try_from(n).unwrap_or(u64::MAX));
    let dims = match matrices {
        1 => dims.get(..1),
        _ => dims.get(..),
    };
    let shape = Shape::from_gguf(dims.unwrap_or_default());
    shape.unwrap_or_else(|error| unreachable!("numbers in memory: {error}"))
}

/// The two tensors of a weight.
#[derive(Default)]
struct Pair<'a> {
    sums: Option<&'a TensorInfo>,
    counts: Option<&'a TensorInfo>,
}

/// What the file says it is, and of which text.
fn read_keys(header: &Header<'_>, imatrix: &mut Imatrix) -> Result<(), Problem> {
    let metadata = &header.metadata;
    let kind = metadata.get(TYPE_KEY).and_then(Value::as_str);
    let has_keys = metadata.get(CHUNK_COUNT_KEY).is_some();
    if kind.is_some_and(|kind| kind != "imatrix") || (kind.is_none() && !has_keys) {
        let what = not_a_model(metadata, !header.tensors.is_empty());
        return Err(Problem::OtherFile {
            what: what.map_or("a model", |(what, _)| what).to_owned(),
        });
    }
    let datasets = metadata.array(DATASETS_KEY)?;
    let datasets = datasets.ok_or(Problem::MissingKey { key: DATASETS_KEY })?;
    for item in datasets {
        let path = item
            .as_str()
            .ok_or(Problem::Datasets { key: DATASETS_KEY })?;
        imatrix.datasets.push(path.to_owned());
    }
    imatrix.chunks = number(metadata, CHUNK_COUNT_KEY)?;
    imatrix.chunk_tokens = number(metadata, CHUNK_SIZE_KEY)?;
    Ok(())
}

fn number(metadata: &Metadata<'_>, key: &'static str) -> Result<u32, Problem> {
    metadata.u32(key)?.ok_or(Problem::MissingKey { key })
}

/// The numbers of a tensor, which lie within the file as parsing found.
fn numbers(bytes: &[u8], header: &Header<'_>, info: &TensorInfo) -> Result<Vec<f32>, Problem> {
    if info.ty != TensorType::F32 {
        return Err(Problem::TensorType {
            tensor: info.name.clone(),
            found: info.ty,
        });
    }
    let start = header.data_offset.checked_add(info.offset);
    let end = start.and_then(|start| start.checked_add(info.bytes()));
    let place = |at: Option<u64>| at.and_then(|at| usize::try_from(at).ok());
    let data = match (place(start), place(end)) {
        (Some(start), Some(end)) => bytes.get(start..end),
        _ => None,
    };
    let number = |bytes: &[u8; 4]| match header.endian {
        Endian::Little => f32::from_le_bytes(*bytes),
        Endian::Big => f32::from_be_bytes(*bytes),
    };
    let chunks = data.unwrap_or_default().as_chunks().0;
    Ok(chunks.iter().map(number).collect())
}
