//! The shape of a tensor, row length first.

/// Up to four dimensions in GGUF order: `dims()[0]` is the length of a row, whose elements lie
/// next to each other; the last dimension varies slowest. Hugging Face and safetensors list the
/// same dimensions the other way round ([`from_hf`](Self::from_hf), [`to_hf`](Self::to_hf)).
///
/// The shape of a weight has a dimension and none of them is zero. Files also hold scalars, which
/// have no dimension and one element, and empty tensors, of which a dimension is zero
/// ([`from_file`](Self::from_file)). The product is at most [`MAX_ELEMS`](Self::MAX_ELEMS), so that
/// neither elements nor bytes of any tensor type overflow 64 bits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Shape {
    /// Unused dimensions are 1.
    dims: [u64; 4],
    count: u8,
}

/// A list of dimensions that is no shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ShapeError {
    /// No dimension or too many.
    #[error("has {found} dimensions, expected 1 to {max}")]
    Dims {
        /// Dimensions listed.
        found: u64,
        /// Dimensions allowed.
        max: u64,
    },
    /// A dimension of size 0.
    #[error("dimension {index} is 0, expected at least 1")]
    Zero {
        /// Which one, from 0, in GGUF order.
        index: usize,
    },
    /// More elements than any file can hold.
    #[error("the product of the dimensions exceeds {} elements", Shape::MAX_ELEMS)]
    Overflow,
}

impl Shape {
    /// The most elements a shape can have: 2^60, whose bytes fit 64 bits in every tensor type.
    pub const MAX_ELEMS: u64 = 1 << 60;

    /// A shape of dimensions in GGUF order, `[cols, rows, ...]`.
    ///
    /// # Errors
    /// [`ShapeError`] if there are not 1 to 4 dimensions, one is 0, or the product is too large.
    pub fn from_gguf(dims: &[u64]) -> Result<Self, ShapeError> {
        if dims.is_empty() {
            return Err(ShapeError::Dims { found: 0, max: 4 });
        }
        let shape = Self::from_file(dims)?;
        match dims.iter().position(|&dim| dim == 0) {
            Some(index) => Err(ShapeError::Zero { index }),
            None => Ok(shape),
        }
    }

    /// A shape as files have it: a scalar, which has no dimension, and an empty tensor are fine.
    ///
    /// # Errors
    /// [`ShapeError`] for more than 4 dimensions, or too large a product. Dimensions of 0 count as
    /// 1 in it, so that no product of some of the dimensions overflows.
    pub fn from_file(dims: &[u64]) -> Result<Self, ShapeError> {
        let (count, mut padded) = match (u8::try_from(dims.len()), [1; 4]) {
            (Ok(count @ 0..=4), padded) => (count, padded),
            _ => {
                return Err(ShapeError::Dims {
                    found: dims.len() as u64,
                    max: 4,
                });
            }
        };
        let mut elems = 1u64;
        for (&dim, slot) in dims.iter().zip(&mut padded) {
            elems = elems
                .checked_mul(dim.max(1))
                .filter(|&elems| elems <= Self::MAX_ELEMS)
                .ok_or(ShapeError::Overflow)?;
            *slot = dim;
        }
        Ok(Self {
            dims: padded,
            count,
        })
    }

    /// A shape of dimensions in Hugging Face order, `[..., rows, cols]`.
    ///
    /// # Errors
    /// As [`from_gguf`](Self::from_gguf); dimensions in errors are counted in GGUF order.
    pub fn from_hf(dims: &[u64]) -> Result<Self, ShapeError> {
        let reversed: Vec<u64> = dims.iter().rev().copied().collect();
        Self::from_gguf(&reversed)
    }

    /// The dimensions in GGUF order, row length first, as many as were given.
    pub fn dims(&self) -> &[u64] {
        self.dims.get(..usize::from(self.count)).unwrap_or(&[])
    }

    /// The dimensions in Hugging Face order, row length last.
    pub fn to_hf(&self) -> Vec<u64> {
        self.dims().iter().rev().copied().collect()
    }

    /// Elements of a row: the first dimension.
    pub const fn cols(&self) -> u64 {
        self.dims[0]
    }

    /// Rows: the product of all dimensions but the first.
    pub const fn rows(&self) -> u64 {
        self.dims[1] * self.dims[2] * self.dims[3]
    }

    /// Elements: the product of all dimensions.
    pub const fn elems(&self) -> u64 {
        self.cols() * self.rows()
    }

    /// True if a dimension is 0.
    pub const fn is_empty(&self) -> bool {
        self.elems() == 0
    }
}

/// `4096 x 32000`, row length first; `scalar` without dimensions.
impl std::fmt::Display for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.count == 0 {
            return f.pad("scalar");
        }
        let text: Vec<String> = self.dims().iter().map(u64::to_string).collect();
        f.pad(&text.join(" x "))
    }
}

impl std::fmt::Debug for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Shape({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_orders_are_each_others_reverse() {
        let shape = Shape::from_hf(&[32000, 4096]).unwrap();
        assert_eq!(shape, Shape::from_gguf(&[4096, 32000]).unwrap());
        assert_eq!((shape.cols(), shape.rows()), (4096, 32000));
        assert_eq!(shape.elems(), 131_072_000);
        assert_eq!(shape.to_hf(), [32000, 4096]);
        assert_eq!(shape.to_string(), "4096 x 32000");
        let stack = Shape::from_gguf(&[7, 5, 3, 2]).unwrap();
        assert_eq!((stack.rows(), stack.elems()), (30, 210));
        assert_ne!(
            Shape::from_gguf(&[7]).unwrap(),
            Shape::from_gguf(&[7, 1]).unwrap(),
            "a trailing 1 is kept"
        );
    }

    #[test]
    fn impossible_dimensions_are_refused() {
        let dims = |found| ShapeError::Dims { found, max: 4 };
        assert_eq!(Shape::from_gguf(&[]), Err(dims(0)));
        assert_eq!(Shape::from_gguf(&[1; 5]), Err(dims(5)));
        assert_eq!(Shape::from_gguf(&[1; 300]), Err(dims(300)));
        assert_eq!(
            Shape::from_gguf(&[4, 0]),
            Err(ShapeError::Zero { index: 1 })
        );
        assert_eq!(Shape::from_gguf(&[1 << 60]).unwrap().elems(), 1 << 60);
        for dims in [&[(1 << 60) + 1][..], &[1 << 31, 1 << 30], &[u64::MAX, 2]] {
            assert_eq!(Shape::from_gguf(dims), Err(ShapeError::Overflow));
        }
    }

    #[test]
    fn files_may_have_scalars_and_empty_tensors() {
        let scalar = Shape::from_file(&[]).unwrap();
        assert_eq!((scalar.cols(), scalar.rows(), scalar.elems()), (1, 1, 1));
        assert_eq!((scalar.dims(), &*scalar.to_string()), (&[][..], "scalar"));
        let empty = Shape::from_file(&[4, 0]).unwrap();
        assert_eq!((empty.elems(), empty.rows(), empty.cols()), (0, 0, 4));
        assert!(empty.is_empty() && !scalar.is_empty());
        assert_eq!(empty.to_string(), "4 x 0");
        for dims in [
            &[0, u64::MAX, 2][..],
            &[u64::MAX, u64::MAX, 0],
            &[1 << 60, 0, 2],
        ] {
            assert_eq!(Shape::from_file(dims), Err(ShapeError::Overflow));
        }
        let dims = ShapeError::Dims { found: 5, max: 4 };
        assert_eq!(Shape::from_file(&[0; 5]), Err(dims));
    }
}
