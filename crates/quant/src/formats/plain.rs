//! The unquantized types as blocks of one element: F32, F16 and BF16, little-endian.

use super::Block;
use crate::float16::{F16Le, bf16_to_f32, f32_to_bf16};
use aeolus_gguf::TensorType;

/// 32-bit float.
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(transparent)]
pub(crate) struct F32Le([u8; 4]);

impl Block<1> for F32Le {
    const TYPE: TensorType = TensorType::F32;

    #[inline(always)]
    fn encode(x: &[f32; 1]) -> Self {
        Self(x[0].to_le_bytes())
    }

    #[inline(always)]
    fn decode(&self, y: &mut [f32; 1]) {
        y[0] = f32::from_le_bytes(self.0);
    }
}

/// 16-bit IEEE float, rounded to nearest even.
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(transparent)]
pub(crate) struct F16Plain(F16Le);

impl Block<1> for F16Plain {
    const TYPE: TensorType = TensorType::F16;

    #[inline(always)]
    fn encode(x: &[f32; 1]) -> Self {
        Self(F16Le::new(x[0]))
    }

    #[inline(always)]
    fn decode(&self, y: &mut [f32; 1]) {
        y[0] = self.0.get();
    }
}

/// bfloat16, rounded to nearest even.
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(transparent)]
pub(crate) struct BF16Le([u8; 2]);

impl Block<1> for BF16Le {
    const TYPE: TensorType = TensorType::BF16;

    #[inline(always)]
    fn encode(x: &[f32; 1]) -> Self {
        Self(f32_to_bf16(x[0]).to_le_bytes())
    }

    #[inline(always)]
    fn decode(&self, y: &mut [f32; 1]) {
        y[0] = bf16_to_f32(u16::from_le_bytes(self.0));
    }
}
