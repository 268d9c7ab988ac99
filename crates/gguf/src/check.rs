//! Rules of the format that the reader and the writer share.

use crate::error::FormatErrorKind as Kind;
use crate::limits::Limits;
use crate::shape::Shape;
use crate::tensor_type::TensorType;
use crate::value::Value;

/// The alignment that a value of `general.alignment` sets.
pub(crate) fn alignment(value: &Value<'_>, limits: &Limits) -> Result<u32, Kind> {
    let &Value::U32(found) = value else {
        return Err(Kind::AlignmentType {
            found: value.value_type(),
        });
    };
    let (min, max) = (limits.min_alignment, limits.max_alignment);
    if found.is_power_of_two() && (min..=max).contains(&found) {
        Ok(found)
    } else {
        Err(Kind::Alignment { found, min, max })
    }
}

/// A row is whole blocks.
pub(crate) fn row(shape: &Shape, ty: TensorType) -> Result<(), Kind> {
    if ty.is_foreign() {
        return Err(Kind::Foreign { ty });
    }
    match ty.row_bytes(shape.cols()) {
        Some(_) => Ok(()),
        None => Err(Kind::Row {
            ty,
            cols: shape.cols(),
            block: ty.block_elems() as u64,
        }),
    }
}
