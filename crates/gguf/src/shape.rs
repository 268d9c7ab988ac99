//! The shape of a tensor, row length first.

/// One to four dimensions in GGUF order: `dims()[0]` is the length of a row, whose elements lie
/// next to each other; the last dimension varies slowest. Hugging Face and safetensors list the
/// same dimensions the other way round ([`from_hf`](Self::from_hf), [`to_hf`](Self::to_hf)).
///
/// No dimension is zero and the product is at most [`MAX_ELEMS`](Self::MAX_ELEMS), so that
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
        let (count, mut padded) = match (u8::try_from(dims.len()), [1; 4]) {
            (Ok(count @ 1..=4), padded) => (count, padded),
            _ => {
                return Err(ShapeError::Dims {
                    found: dims.len() as u64,
                    max: 4,
                });
            }
        };
        let mut elems = 1u64;
        for (index, (&dim, slot)) in dims.iter().zip(&mut padded).enumerate() {
            if dim == 0 {
                return Err(ShapeError::Zero { index });
            }
            elems = elems
                .checked_mul(dim)
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
}

/// `4096 x 32000`, row length first.
impl std::fmt::Display for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
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
}
