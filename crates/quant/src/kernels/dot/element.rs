//! The float types that products take, as they lie in memory.

/// A float type.
pub(super) trait Element {
    /// Bytes of an element.
    const BYTES: usize;

    /// One element, from [`BYTES`](Self::BYTES) bytes.
    fn one(bytes: &[u8]) -> f32;
}

pub(super) struct F32;
pub(super) struct F16;
pub(super) struct Bf16;

impl Element for F32 {
    const BYTES: usize = 4;
    fn one(bytes: &[u8]) -> f32 {
        f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
    }
}

impl Element for F16 {
    const BYTES: usize = 2;
    fn one(bytes: &[u8]) -> f32 {
        crate::f16_to_f32(u16::from_le_bytes([bytes[0], bytes[1]]))
    }
}

impl Element for Bf16 {
    const BYTES: usize = 2;
    fn one(bytes: &[u8]) -> f32 {
        crate::bf16_to_f32(u16::from_le_bytes([bytes[0], bytes[1]]))
    }
}
