//! One line of the tensor list.

use crate::shape::Shape;
use crate::tensor_type::TensorType;

/// What a header says of one tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorInfo {
    /// Its name, `blk.0.attn_q.weight`.
    pub name: String,
    /// Its shape, row length first.
    pub shape: Shape,
    /// How its rows are stored.
    pub ty: TensorType,
    /// Bytes from the start of the data section to the tensor's first byte.
    pub offset: u64,
    /// Bytes to the next tensor or the end of the file, if only they tell the tensor's size: its
    /// type is [foreign](TensorType::is_foreign) and of an unknown layout, or of another layout
    /// than the one known here. Padding is counted.
    pub measured: Option<u64>,
}

/// A tensor of a file to be written: everything but its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorSpec {
    /// Its name.
    pub name: String,
    /// Its shape, row length first.
    pub shape: Shape,
    /// How its rows are stored.
    pub ty: TensorType,
}

impl TensorInfo {
    /// Bytes of the tensor's data, without the padding after it unless they are
    /// [`measured`](Self::measured); 0 if nothing tells them.
    pub fn bytes(&self) -> u64 {
        let computed = || data_bytes(&self.shape, self.ty);
        self.measured.unwrap_or_else(computed)
    }

    /// Why nothing can be computed from the tensor, though its file is well-formed: it is empty,
    /// or its type is not one of ggml's.
    pub fn unusable(&self) -> Option<String> {
        if self.shape.is_empty() {
            return Some(format!("is empty: its shape is {}", self.shape));
        }
        let ty = self.ty;
        ty.is_foreign().then(|| {
            format!(
                "has tensor {ty}, which is shown but not read: take a file in the types of ggml"
            )
        })
    }
}

impl TensorSpec {
    /// Bytes of the tensor's data, without the padding after it.
    pub fn bytes(&self) -> u64 {
        data_bytes(&self.shape, self.ty)
    }
}

/// A row is whole blocks: parse and [`Layout`](crate::Layout) refuse any other shape, and for
/// one put together by hand the last block counts in full.
fn data_bytes(shape: &Shape, ty: TensorType) -> u64 {
    let blocks = shape.cols().div_ceil(ty.block_elems() as u64);
    let whole = blocks.saturating_mul(ty.block_elems() as u64);
    let in_blocks = blocks.saturating_mul(ty.block_bytes() as u64);
    let row = ty.row_bytes(whole).unwrap_or(in_blocks);
    match shape.is_empty() {
        true => 0,
        false => row.saturating_mul(shape.rows()),
    }
}
