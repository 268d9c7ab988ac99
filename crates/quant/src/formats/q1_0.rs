//! Q1_0: blocks of 128, one scale, a sign for each weight. 1.125 bits per weight.
//!
//! ```text
//! byte 0   d   f16           scale
//! byte 2   qs  16 bytes      byte i, bit j: element 8i + j
//! ```
//! `x = d` where the bit is set, else `-d`. The scale is the mean magnitude; a zero counts as
//! positive. As in ggml's `quantize_row_q1_0_ref`.

use super::Block;
use crate::float16::F16Le;
use aeolus_gguf::TensorType;

/// One block, 18 bytes.
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub(crate) struct BlockQ1_0 {
    /// Scale.
    pub(crate) d: F16Le,
    /// Signs.
    pub(crate) qs: [u8; 16],
}

impl Block<128> for BlockQ1_0 {
    const TYPE: TensorType = TensorType::Q1_0;

    #[inline(always)]
    fn encode(x: &[f32; 128]) -> Self {
        let mut sum = 0.0f32;
        for v in x {
            sum += v.abs();
        }
        let mut qs = [0u8; 16];
        for (q, x) in qs.iter_mut().zip(x.as_chunks::<8>().0) {
            for (j, v) in x.iter().enumerate() {
                *q |= u8::from(*v >= 0.0) << j;
            }
        }
        Self {
            d: F16Le::new(sum / 128.0),
            qs,
        }
    }

    #[inline(always)]
    fn decode(&self, y: &mut [f32; 128]) {
        let d = self.d.get();
        for (y, q) in y.as_chunks_mut::<8>().0.iter_mut().zip(self.qs) {
            for (j, y) in y.iter_mut().enumerate() {
                *y = if q >> j & 1 != 0 { d } else { -d };
            }
        }
    }
}
