//! How numbers and lengths are spelled in one file: byte order, and the width of a length.

use crate::value_type::ValueType;

/// The byte order of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Endian {
    /// Least significant byte first: nearly every file.
    #[default]
    Little,
    /// Most significant byte first: made for mainframes, from version 3 on.
    Big,
}

impl Endian {
    /// `little` or `big`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Little => "little",
            Self::Big => "big",
        }
    }
}

impl std::fmt::Display for Endian {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

/// Everything that decides how a value's bytes are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Encoding {
    pub(crate) endian: Endian,
    pub(crate) lengths: Lengths,
}

/// The width of string lengths, array lengths and counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lengths {
    /// Four bytes: version 1.
    U32,
    /// Eight bytes: from version 2 on.
    U64,
}

impl Encoding {
    /// The encoding of values made in memory.
    pub(crate) const NATIVE: Self = Self {
        endian: Endian::Little,
        lengths: Lengths::U64,
    };

    pub(crate) const fn of(version: u32, endian: Endian) -> Self {
        let lengths = match version {
            1 => Lengths::U32,
            _ => Lengths::U64,
        };
        Self { endian, lengths }
    }

    /// Bytes of one length or count.
    pub(crate) const fn length_bytes(self) -> u64 {
        match self.lengths {
            Lengths::U32 => 4,
            Lengths::U64 => 8,
        }
    }
}

/// A number that a GGUF value or array item can be: `u8` to `u64`, `i8` to `i64`, `f32`, `f64`.
pub trait Scalar: Copy + Codec {
    /// The value type of this Rust type.
    const TYPE: ValueType;
}

/// The private half of [`Scalar`]: nobody outside can name it, and so implement it.
pub trait Codec: Sized {
    /// As many bytes as the number has.
    type Bytes: AsRef<[u8]> + AsMut<[u8]> + Default;

    /// The number that these bytes are.
    fn from_bytes(bytes: Self::Bytes, endian: Endian) -> Self;

    /// The number's bytes.
    fn to_bytes(self, endian: Endian) -> Self::Bytes;
}

macro_rules! scalars {
    ($($t:ty => $ty:ident),* $(,)?) => {$(
        impl Scalar for $t {
            const TYPE: ValueType = ValueType::$ty;
        }
        impl Codec for $t {
            type Bytes = [u8; size_of::<$t>()];

            fn from_bytes(bytes: Self::Bytes, endian: Endian) -> Self {
                match endian {
                    Endian::Little => Self::from_le_bytes(bytes),
                    Endian::Big => Self::from_be_bytes(bytes),
                }
            }

            fn to_bytes(self, endian: Endian) -> Self::Bytes {
                match endian {
                    Endian::Little => self.to_le_bytes(),
                    Endian::Big => self.to_be_bytes(),
                }
            }
        }
    )*};
}
scalars! {
    u8 => U8, i8 => I8, u16 => U16, i16 => I16, u32 => U32, i32 => I32,
    u64 => U64, i64 => I64, f32 => F32, f64 => F64,
}
