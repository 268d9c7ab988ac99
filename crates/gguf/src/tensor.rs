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
    /// Bytes of the tensor's data, without the padding after it.
    pub fn bytes(&self) -> u64 {
        data_bytes(&self.shape, self.ty)
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
    shape
        .cols()
        .div_ceil(ty.block_elems() as u64)
        .saturating_mul(ty.block_bytes() as u64)
        .saturating_mul(shape.rows())
}
