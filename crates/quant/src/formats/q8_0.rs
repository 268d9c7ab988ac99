//! Q8_0: blocks of 32, one scale, 8-bit signed quants. 8.5 bits per weight.
//!
//! ```text
//! byte 0   d   f16           scale
//! byte 2   qs  32 x i8       element j
//! ```
//! `x = d * q`. The largest magnitude goes to 127, values round half away from zero; there is no
//! search. As in ggml's `quantize_row_q8_0_ref`. No encoder writes -128, but a file may hold it.

use super::fields::{Fielded, Fields, Geometry};
use super::{Block, legacy};
use crate::float16::F16Le;
use crate::search::truncate_x86;
use aeolus_gguf::TensorType;

/// One block, 34 bytes.
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub(crate) struct BlockQ8_0 {
    /// Scale.
    pub(crate) d: F16Le,
    /// Quants.
    pub(crate) qs: [i8; 32],
}

impl Block<32> for BlockQ8_0 {
    const TYPE: TensorType = TensorType::Q8_0;

    #[inline(always)]
    fn encode(x: &[f32; 32]) -> Self {
        let magnitude = x
            .iter()
            .fold(0.0f32, |m, v| if m > v.abs() { m } else { v.abs() });
        let d = magnitude / 127.0;
        let inverse = legacy::reciprocal(d);
        let mut qs = [0; 32];
        for (q, v) in qs.iter_mut().zip(x) {
            *q = truncate_x86((v * inverse).round()) as i8;
        }
        Self {
            d: F16Le::new(d),
            qs,
        }
    }

    #[inline(always)]
    fn decode(&self, y: &mut [f32; 32]) {
        let d = self.d.get();
        for (y, q) in y.iter_mut().zip(self.qs) {
            *y = f32::from(q) * d;
        }
    }
}

impl Fielded<32> for BlockQ8_0 {
    const GEOMETRY: Geometry = legacy::geometry(-128, 127, None);

    fn fields(&self) -> Fields {
        let mut fields = Fields {
            d: self.d.get(),
            ..Fields::default()
        };
        for (code, q) in fields.codes.iter_mut().zip(self.qs) {
            *code = (i16::from(q) + 128) as u8;
        }
        fields
    }

    fn of_fields(fields: &Fields) -> Self {
        Self {
            d: F16Le::new(fields.d),
            qs: std::array::from_fn(|i| (i16::from(fields.codes[i]) - 128) as i8),
        }
    }
}
