//! Rows in, rows out: the checks of arguments and weights before the kernels run.

use crate::error::{DecodeError, EncodeError, Overflow, ShapeError};
use crate::kernels::Cpu;
use crate::registry::{Format, with_format};
use aeolus_gguf::TensorType;

/// The smallest magnitude that F16 rounds to infinity.
const F16_LIMIT: f32 = 65_520.0;

/// The smallest magnitude that BF16 rounds to infinity.
const BF16_LIMIT: f32 = f32::from_bits(0x7f7f_8000);

/// Whether [`encode_rows`] can write this type.
pub fn is_encodable(ty: TensorType) -> bool {
    Cpu::scalar().encodes(ty)
}

/// Whether [`decode_rows`] can read this type.
pub fn is_decodable(ty: TensorType) -> bool {
    ty == TensorType::F64 || Cpu::scalar().decodes(ty)
}

/// Whether a guide changes what [`encode_rows`] writes for this type.
pub fn is_guided(ty: TensorType) -> bool {
    with_format!(ty, F => F::GUIDED, false)
}

/// Whether [`encode_rows`] refuses this type without a guide.
pub fn needs_guide(ty: TensorType) -> bool {
    with_format!(ty, F => F::NEEDS_GUIDE, false)
}

/// Encodes rows of `cols` weights as type `ty` into little-endian bytes.
///
/// `x` holds whole rows one after the other, `out` exactly the bytes of their blocks. `guide` is
/// the importance of each column, finite and not negative: the search for scales then weighs
/// errors by it. As in ggml, some types ignore it ([`is_guided`] tells).
///
/// # Errors
///
/// [`EncodeError::NotEncodable`] for a type without an encoder, [`EncodeError::Shape`] for lengths
/// that do not fit together, [`EncodeError::GuideLength`] and [`EncodeError::Importance`] for a
/// guide that is not one importance for each column, whether or not the type ignores it,
/// [`EncodeError::NoGuide`] for a type that [needs one](needs_guide),
/// [`EncodeError::NonFinite`] for the first weight that is NaN or infinite, and for F16 and BF16
/// [`EncodeError::Overflow`] for the first weight that would become infinite;
/// [`EncodeError::Cpu`] if `AEOLUS_CPU` asks for what this machine lacks. After an error the
/// content of `out` is unspecified.
pub fn encode_rows(
    ty: TensorType,
    x: &[f32],
    cols: usize,
    guide: Option<&[f32]>,
    out: &mut [u8],
) -> Result<(), EncodeError> {
    Cpu::select()?.encode_rows(ty, x, cols, guide, out)
}

/// Decodes rows of `cols` weights of type `ty`.
///
/// `bytes` needs no alignment; `out` holds the weights of all rows, so its length tells how many
/// there are. Any bytes decode to something: a scale may be NaN or infinite. F64 is rounded to the
/// nearest f32, beyond its range to infinity; no encoder writes it.
///
/// # Errors
///
/// [`DecodeError::NotDecodable`] for a type without a decoder, [`DecodeError::Shape`] for lengths
/// that do not fit together, [`DecodeError::Cpu`] if `AEOLUS_CPU` asks for what this machine lacks.
pub fn decode_rows(
    ty: TensorType,
    bytes: &[u8],
    cols: usize,
    out: &mut [f32],
) -> Result<(), DecodeError> {
    Cpu::select()?.decode_rows(ty, bytes, cols, out)
}

/// Rounds every weight to the nearest F16 value, as storing them in an F16 file and reading them
/// back does.
///
/// # Errors
///
/// [`Overflow`] names the first finite weight that would become infinite; `x` is then as it
/// was. NaN and infinities pass through.
pub fn round_through_f16(x: &mut [f32]) -> Result<(), Overflow> {
    selected_or_scalar().round_through_f16(x)
}

/// Index of the first value that is NaN or rounds to no finite F16.
pub fn first_beyond_f16(x: &[f32]) -> Option<usize> {
    selected_or_scalar().first_at_least(x, F16_LIMIT)
}

/// Index of the first NaN or infinity.
pub fn first_nonfinite(x: &[f32]) -> Option<usize> {
    selected_or_scalar().first_at_least(x, f32::INFINITY)
}

/// For calls that cannot report a wrong `AEOLUS_CPU`: the results do not depend on it.
fn selected_or_scalar() -> Cpu {
    Cpu::select().unwrap_or(Cpu::scalar())
}

impl Cpu {
    /// [`encode_rows`] with this level.
    ///
    /// # Errors
    ///
    /// As [`encode_rows`], but never [`EncodeError::Cpu`].
    pub fn encode_rows(
        self,
        ty: TensorType,
        x: &[f32],
        cols: usize,
        guide: Option<&[f32]>,
        out: &mut [u8],
    ) -> Result<(), EncodeError> {
        if !self.encodes(ty) {
            return Err(EncodeError::NotEncodable { ty });
        }
        check_lengths(ty, cols, x.len(), out.len())?;
        match guide {
            Some(guide) => check_guide(guide, cols)?,
            None if needs_guide(ty) => return Err(EncodeError::NoGuide { ty }),
            None => {}
        }
        let limit = match ty {
            TensorType::F16 => F16_LIMIT,
            TensorType::BF16 => BF16_LIMIT,
            _ => f32::INFINITY,
        };
        if let Some(index) = self.first_at_least(x, limit) {
            let value = x[index];
            return Err(if value.is_finite() {
                Overflow { index, value, ty }.into()
            } else {
                EncodeError::NonFinite { index, value }
            });
        }
        self.encode(ty, x, guide, out);
        Ok(())
    }

    /// [`decode_rows`] with this level.
    ///
    /// # Errors
    ///
    /// As [`decode_rows`], but never [`DecodeError::Cpu`].
    pub fn decode_rows(
        self,
        ty: TensorType,
        bytes: &[u8],
        cols: usize,
        out: &mut [f32],
    ) -> Result<(), DecodeError> {
        if !is_decodable(ty) {
            return Err(DecodeError::NotDecodable { ty });
        }
        check_lengths(ty, cols, out.len(), bytes.len())?;
        match ty {
            // Some merges store it. It is rare: one plain loop for every processor.
            TensorType::F64 => decode_f64(bytes, out),
            _ => self.decode(ty, bytes, out),
        }
        Ok(())
    }

    /// [`round_through_f16`] with this level.
    ///
    /// # Errors
    ///
    /// As [`round_through_f16`].
    pub fn round_through_f16(self, x: &mut [f32]) -> Result<(), Overflow> {
        let mut start = 0;
        while let Some(found) = self.first_at_least(&x[start..], F16_LIMIT) {
            let (index, ty) = (start + found, TensorType::F16);
            let value = x[index];
            if value.is_finite() {
                return Err(Overflow { index, value, ty });
            }
            start = index + 1;
        }
        self.round_to_f16(x);
        Ok(())
    }
}

fn decode_f64(bytes: &[u8], out: &mut [f32]) {
    for (y, bytes) in out.iter_mut().zip(bytes.as_chunks().0) {
        *y = f64::from_le_bytes(*bytes) as f32;
    }
}

/// Checks that a guide is one importance for each column.
fn check_guide(guide: &[f32], cols: usize) -> Result<(), EncodeError> {
    let found = guide.len();
    if found != cols {
        return Err(EncodeError::GuideLength { found, cols });
    }
    let wrong = |value: &f32| !(value.is_finite() && *value >= 0.0);
    // A tile of a wide matrix has a few rows: looking for the first wrong one takes as long as some
    // of its encoders, asking whether there is any does not.
    if !guide.iter().fold(false, |any, value| any | wrong(value)) {
        return Ok(());
    }
    match guide.iter().position(wrong) {
        Some(column) => Err(EncodeError::Importance {
            column,
            value: guide[column],
        }),
        None => Ok(()),
    }
}

/// Checks that `elems` weights in rows of `cols` take `bytes` bytes.
fn check_lengths(
    ty: TensorType,
    cols: usize,
    elems: usize,
    bytes: usize,
) -> Result<(), ShapeError> {
    let block = ty.block_elems();
    if cols == 0 || !cols.is_multiple_of(block) {
        return Err(ShapeError::Cols { ty, cols, block });
    }
    if !elems.is_multiple_of(cols) {
        return Err(ShapeError::Rows { found: elems, cols });
    }
    // No overflow: a block has at most 8 bytes per element, and the elements exist as f32.
    let expected = elems / block * ty.block_bytes();
    if bytes != expected {
        return Err(ShapeError::Bytes {
            ty,
            elems,
            expected,
            found: bytes,
        });
    }
    Ok(())
}
