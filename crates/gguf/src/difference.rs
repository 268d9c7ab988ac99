//! What differs between two files: keys, values, tensors, bytes.

use crate::swap::swap_rows;
use crate::{GgufFile, TensorType, Value};
use std::collections::HashMap;

/// One thing that two files, A and B, do not have in common.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Difference {
    /// A metadata key of one file only.
    MissingKey {
        /// The key.
        key: String,
        /// True if A has it.
        in_a: bool,
    },
    /// A metadata key with another type or value.
    Value {
        /// The key.
        key: String,
        /// Type and value in A, shortened.
        a: String,
        /// Type and value in B, shortened.
        b: String,
    },
    /// A tensor of one file only.
    MissingTensor {
        /// Its name.
        name: String,
        /// True if A has it.
        in_a: bool,
    },
    /// A tensor of another type or shape.
    Kind {
        /// Its name.
        name: String,
        /// Type and shape in A.
        a: String,
        /// Type and shape in B.
        b: String,
    },
    /// A tensor of the same type and shape with other bytes.
    Bytes {
        /// Its name.
        name: String,
        /// The first byte that differs, from the start of the tensor.
        first: u64,
        /// How many bytes differ.
        differing: u64,
        /// Bytes of the tensor.
        of: u64,
    },
}

impl Difference {
    /// [`kind`](Self::kind) of differences in keys and values.
    pub const METADATA: &'static str = "metadata";
    /// [`kind`](Self::kind) of differences in tensors.
    pub const TENSOR: &'static str = "tensor";

    /// Which part of the file it is in: [`METADATA`](Self::METADATA) or
    /// [`TENSOR`](Self::TENSOR).
    pub fn kind(&self) -> &'static str {
        match self {
            Self::MissingKey { .. } | Self::Value { .. } => Self::METADATA,
            Self::MissingTensor { .. } | Self::Kind { .. } | Self::Bytes { .. } => Self::TENSOR,
        }
    }

    /// The key or the tensor.
    pub fn name(&self) -> &str {
        match self {
            Self::MissingKey { key, .. } | Self::Value { key, .. } => key,
            Self::MissingTensor { name, .. }
            | Self::Kind { name, .. }
            | Self::Bytes { name, .. } => name,
        }
    }
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let only = |in_a: &bool| if *in_a { "A" } else { "B" };
        match self {
            Self::MissingKey { key, in_a } => {
                write!(f, "key {}: only in {}", key.escape_debug(), only(in_a))
            }
            Self::Value { key, a, b } => {
                write!(f, "key {}: {a} in A, {b} in B", key.escape_debug())
            }
            Self::MissingTensor { name, in_a } => {
                write!(f, "tensor {}: only in {}", name.escape_debug(), only(in_a))
            }
            Self::Kind { name, a, b } => {
                write!(f, "tensor {}: {a} in A, {b} in B", name.escape_debug())
            }
            Self::Bytes {
                name,
                first,
                differing,
                of,
            } => write!(
                f,
                "tensor {}: {differing} of {of} bytes {}, the first at {first}",
                name.escape_debug(),
                if *differing == 1 { "differs" } else { "differ" }
            ),
        }
    }
}

/// Blocks that are brought into the other byte order at a time, in a copy.
const SWAPPED_BLOCKS: usize = 4096;

/// Everything that differs between two files, metadata first, each part in A's order and then
/// what only B has. The container (version, byte order, alignment, offsets) is not compared:
/// where the byte orders differ, B's tensors are compared as they would be in A's.
pub fn differences(a: &GgufFile, b: &GgufFile) -> Vec<Difference> {
    let mut found = Vec::new();
    let swapped = a.header().endian != b.header().endian;
    let [in_a, in_b] = [a, b].map(|file| file.metadata().iter().collect::<HashMap<_, _>>());
    for (key, value) in a.metadata().iter() {
        match in_b.get(key) {
            None => found.push(Difference::MissingKey {
                key: key.into(),
                in_a: true,
            }),
            Some(&other) if other != value => found.push(Difference::Value {
                key: key.into(),
                a: brief(value),
                b: brief(other),
            }),
            Some(_) => {}
        }
    }
    for (key, _) in b.metadata().iter() {
        if !in_a.contains_key(key) {
            found.push(Difference::MissingKey {
                key: key.into(),
                in_a: false,
            });
        }
    }

    for tensor in a.tensors() {
        let Some(other) = b.tensor(&tensor.name) else {
            found.push(Difference::MissingTensor {
                name: tensor.name.clone(),
                in_a: true,
            });
            continue;
        };
        if (tensor.ty, tensor.shape) != (other.ty, other.shape) {
            found.push(Difference::Kind {
                name: tensor.name.clone(),
                a: format!("{} {}", tensor.ty, tensor.shape),
                b: format!("{} {}", other.ty, other.shape),
            });
            continue;
        }
        let (bytes, others) = (a.tensor_bytes(tensor), b.tensor_bytes(other));
        let swapped = swapped.then_some(tensor.ty);
        found.extend(bytes_differ(&tensor.name, bytes, others, swapped));
    }
    for tensor in b.tensors() {
        if a.tensor(&tensor.name).is_none() {
            found.push(Difference::MissingTensor {
                name: tensor.name.clone(),
                in_a: false,
            });
        }
    }
    found
}

/// Compares a tensor's bytes in two files; `swapped` is its type if they have different byte
/// orders.
fn bytes_differ(name: &str, a: &[u8], b: &[u8], swapped: Option<TensorType>) -> Option<Difference> {
    let (mut first, mut differing) = (None, 0);
    let mut count = |start: usize, a: &[u8], b: &[u8]| {
        if a == b {
            return;
        }
        let differs = |(x, y): (&u8, &u8)| x != y;
        if let (None, Some(at)) = (first, a.iter().zip(b).position(differs)) {
            first = Some((start + at) as u64);
        }
        differing += a.iter().zip(b).filter(|(x, y)| x != y).count() as u64;
    };
    match swapped {
        None => count(0, a, b),
        Some(ty) => {
            let step = SWAPPED_BLOCKS * ty.block_bytes().max(1);
            let mut copy = Vec::new();
            for (i, (a, b)) in a.chunks(step).zip(b.chunks(step)).enumerate() {
                copy.clear();
                copy.extend_from_slice(b);
                swap_rows(ty, &mut copy).expect("parsing lets only whole blocks through");
                count(i * step, a, &copy);
            }
        }
    }
    Some(Difference::Bytes {
        name: name.into(),
        first: first?,
        differing,
        of: a.len() as u64,
    })
}

/// Type and value, one line of a readable length.
fn brief(value: &Value<'_>) -> String {
    const CHARS: usize = 48;
    let text = match value {
        Value::String(text) => format!("\"{}\"", text.escape_debug()),
        Value::Array(array) => format!("{} items", array.len()),
        Value::Bool(b) => b.to_string(),
        other => match (other.as_integer(), other.as_float()) {
            (Some(n), _) => n.to_string(),
            (_, Some(x)) => x.to_string(),
            _ => String::new(),
        },
    };
    let ty = value.value_type();
    if text.chars().count() <= CHARS {
        return format!("{ty} {text}");
    }
    let cut: String = text.chars().take(CHARS).collect();
    format!("{ty} {cut}...")
}
