//! A few rows of one tensor on their way from the source's bytes to a target's.

use crate::Error;
use crate::targets::{Target, source_path};
use aeolus_checkpoint::Tensor;
use aeolus_gguf::{Endian, TensorType};
use aeolus_quant::{DecodeError, EncodeError, Overflow};
use std::borrow::Cow;

pub(crate) struct Tile<'a> {
    pub tensor: &'a Tensor,
    /// Byte order of the source.
    pub endian: Endian,
    /// In output order.
    pub first_row: usize,
    pub rows: usize,
    pub cols: usize,
}

impl Tile<'_> {
    /// The source's bytes of the tile in output order, in runs of whole rows.
    fn source_rows(&self) -> impl Iterator<Item = Cow<'_, [u8]>> {
        self.tensor.rows(self.first_row..self.first_row + self.rows)
    }

    /// Decodes to f32 `[rows, cols]`. `scratch` is used for big-endian sources.
    pub fn decode(&self, tile: &mut Vec<f32>, scratch: &mut Vec<u8>) -> Result<(), Error> {
        tile.resize(self.rows * self.cols, 0.0);
        let mut rest = tile.as_mut_slice();
        for bytes in self.source_rows() {
            let rows = bytes.len() / self.tensor.row_bytes();
            let (out, after) = rest.split_at_mut(rows * self.cols);
            rest = after;
            let bytes = match self.endian {
                Endian::Little => &*bytes,
                Endian::Big => {
                    scratch.clear();
                    scratch.extend_from_slice(&bytes);
                    self.swap(scratch)?;
                    &scratch[..]
                }
            };
            aeolus_quant::decode_rows(self.tensor.ty, bytes, self.cols, out)
                .map_err(|e: DecodeError| Error::codec(self.tensor, e.to_string()))?;
        }
        Ok(())
    }

    /// Takes the source's bytes as they are, in little-endian order.
    pub fn copy(&self, out: &mut [u8]) -> Result<(), Error> {
        let mut start = 0;
        for bytes in self.source_rows() {
            out[start..start + bytes.len()].copy_from_slice(&bytes);
            start += bytes.len();
        }
        match self.endian {
            Endian::Little => Ok(()),
            Endian::Big => self.swap(out),
        }
    }

    fn swap(&self, bytes: &mut [u8]) -> Result<(), Error> {
        aeolus_gguf::swap_rows(self.tensor.ty, bytes)
            .map_err(|e| Error::codec(self.tensor, e.to_string()))
    }

    /// Rounds a decoded tile to f16 and back.
    pub fn round_through_f16(&self, tile: &mut [f32]) -> Result<(), Error> {
        aeolus_quant::round_through_f16(tile).map_err(|e| {
            let advice = "give --via source to quantize without rounding to f16 first";
            self.overflow(&e, advice)
        })
    }

    /// Encodes a decoded tile as a target has it: by codes that were chosen beforehand, whole, or matrix by matrix where a guide has an
    /// importance for each.
    pub fn encode(&self, target: &Target, tile: &[f32], out: &mut [u8]) -> Result<(), Error> {
        if let Some(codes) = &target.codes {
            let rows = self.first_row..self.first_row + self.rows;
            let read = codes.read(&self.tensor.name, target.ty, target.via, rows, out);
            return read.map_err(|error| Error::Codes {
                tensor: self.tensor.name.clone(),
                error,
            });
        }
        let Some(guide) = &target.guide else {
            return self.encode_rows(target.ty, 0, tile, None, out);
        };
        let row_bytes = out.len() / self.rows;
        for (rows, importance) in guide.runs(self.first_row..self.first_row + self.rows) {
            let rows = rows.start - self.first_row..rows.end - self.first_row;
            let x = &tile[rows.start * self.cols..rows.end * self.cols];
            let out = &mut out[rows.start * row_bytes..rows.end * row_bytes];
            self.encode_rows(target.ty, rows.start, x, Some(&importance), out)?;
        }
        Ok(())
    }

    /// Encodes the rows of the tile from row `first` of it on.
    fn encode_rows(
        &self,
        ty: TensorType,
        first: usize,
        x: &[f32],
        importance: Option<&[f32]>,
        out: &mut [u8],
    ) -> Result<(), Error> {
        let place = |index: usize| self.place(first * self.cols + index);
        aeolus_quant::encode_rows(ty, x, self.cols, importance, out).map_err(|e| match e {
            EncodeError::NonFinite { index, value } => {
                let (row, col) = place(index);
                if let Some(value) = self.double(row, col).filter(|value| value.is_finite()) {
                    let what = format!(
                        "weight [{row}, {col}] = {value:e} is beyond the largest number of F32, to \
                         which F64 is rounded"
                    );
                    return Error::codec(self.tensor, what);
                }
                Error::NonFinite {
                    path: source_path(self.tensor),
                    tensor: self.tensor.name.clone(),
                    row,
                    col,
                    value,
                }
            }
            EncodeError::Overflow(e) => self.overflow(
                &Overflow {
                    index: first * self.cols + e.index,
                    ..e
                },
                match e.ty {
                    TensorType::BF16 => "choose f32 for this tensor",
                    _ => "choose bf16 or f32 for this tensor",
                },
            ),
            other => Error::codec(self.tensor, other.to_string()),
        })
    }

    /// Whether a decoded tile has weights beyond f16, whose blocks may have scales beyond it.
    pub fn is_huge(&self, tile: &[f32]) -> bool {
        // An f16 source cannot: it is not looked through.
        self.tensor.ty != TensorType::F16 && aeolus_quant::first_beyond_f16(tile).is_some()
    }

    /// Decodes what was encoded and refuses what is not finite, or off by half of the largest
    /// weight: the searches square weights, and squares overflow before scales do. Only tiles
    /// that [`is_huge`](Self::is_huge) can give such blocks.
    pub fn check_scales(&self, ty: TensorType, tile: &[f32], encoded: &[u8]) -> Result<(), Error> {
        let mut decoded = Vec::new();
        self.decode_encoded(ty, encoded, &mut decoded)?;
        let largest = tile.iter().fold(0f32, |max, x| max.max(x.abs()));
        let wrong = |(y, x): (&f32, &f32)| !y.is_finite() || (y - x).abs() > largest / 2.0;
        match decoded.iter().zip(tile).position(wrong) {
            None => Ok(()),
            Some(index) => {
                let (row, col) = self.place(index);
                Err(Error::ScaleOverflow {
                    path: source_path(self.tensor),
                    tensor: self.tensor.name.clone(),
                    row,
                    col,
                    value: decoded[index],
                    ty,
                })
            }
        }
    }

    /// Decodes what was encoded, to f32 `[rows, cols]`.
    pub fn decode_encoded(
        &self,
        ty: TensorType,
        encoded: &[u8],
        out: &mut Vec<f32>,
    ) -> Result<(), Error> {
        out.resize(self.rows * self.cols, 0.0);
        aeolus_quant::decode_rows(ty, encoded, self.cols, out)
            .map_err(|e| Error::codec(self.tensor, e.to_string()))
    }

    /// Row and column of a weight of the tile, in output order.
    fn place(&self, index: usize) -> (usize, usize) {
        (self.first_row + index / self.cols, index % self.cols)
    }

    /// The weight that the source has there, if those are doubles: it was rounded to f32.
    fn double(&self, row: usize, col: usize) -> Option<f64> {
        if self.tensor.ty != TensorType::F64 {
            return None;
        }
        let bytes = self.tensor.rows(row..row + 1).next()?;
        let bytes: [u8; 8] = bytes.get(col * 8..col * 8 + 8)?.try_into().ok()?;
        Some(match self.endian {
            Endian::Little => f64::from_le_bytes(bytes),
            Endian::Big => f64::from_be_bytes(bytes),
        })
    }

    fn overflow(&self, e: &Overflow, advice: &'static str) -> Error {
        let (row, col) = self.place(e.index);
        Error::Overflow {
            path: source_path(self.tensor),
            tensor: self.tensor.name.clone(),
            row,
            col,
            value: e.value,
            ty: e.ty,
            advice,
        }
    }
}
