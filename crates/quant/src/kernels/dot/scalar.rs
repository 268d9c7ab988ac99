//! The portable twin of every kernel, and the one that runs where no other does.

use super::activations::{ActivationUnit, Token};
use super::elementwise::elementwise;
use super::panel::QuantPanel;
use super::table::{FloatPanel, Kernels, MatmulArgs};
use super::unpack::{Unpack, Unpacked};
use super::{PANEL, UNIT};
use crate::kernels::lanes::portable::Portable;
use crate::registry::with_product;
use crate::{bf16_to_f32, f16_to_f32};
use aeolus_gguf::TensorType;

/// The portable kernels, for the level of this name.
pub(crate) const fn kernels(name: &'static str) -> Kernels {
    Kernels {
        name,
        dot_rows: |ty| with_product!(ty, F => Some(dot_rows::<F>), None),
        dot_floats: |ty| match ty {
            TensorType::F32 => Some(dot_rows_f32),
            TensorType::F16 => Some(dot_rows_f16),
            TensorType::BF16 => Some(dot_rows_bf16),
            _ => None,
        },
        pack: |ty| with_product!(ty, F => Some(pack::<F>), None),
        multiply,
        matmul_f32,
        elementwise: elementwise!(),
    }
}

/// Dot product of a row of blocks with one token.
pub(super) fn dot_row<F: Unpack>(row: &[F], token: Token<'_>) -> f32 {
    let mut unpacked = Unpacked::ZERO;
    let mut sum = 0.0;
    for (unit, activations) in row.chunks(F::BLOCKS).zip(token.units()) {
        F::unpack(unit, &mut unpacked);
        for (g, (u, q)) in unpacked
            .u
            .chunks_exact(F::GROUP)
            .zip(activations.q.chunks_exact(F::GROUP))
            .enumerate()
        {
            let products: i32 = u
                .iter()
                .zip(q)
                .map(|(&u, &q)| i32::from(u) * i32::from(q))
                .sum();
            let d = activations.d[g * F::GROUP / 32];
            sum += unpacked.scale[g] * d * products as f32;
            sum += unpacked.min[g] * minus_sum(activations, g, F::GROUP);
        }
    }
    sum
}

fn minus_sum(activations: &ActivationUnit, g: usize, group: usize) -> f32 {
    if group == 16 {
        activations.minus_sum16[g]
    } else {
        activations.minus_sum32[g]
    }
}

pub(super) fn dot_rows<F: Unpack>(rows: &[u8], row_bytes: usize, token: Token<'_>, y: &mut [f32]) {
    for (row, y) in rows.chunks_exact(row_bytes).zip(y) {
        *y = dot_row::<F>(bytemuck::cast_slice(row), token);
    }
}

/// Fills a panel.
fn pack<F: Unpack>(panel: &mut QuantPanel, unit: (&[u8], usize, usize)) {
    panel.fill(Portable, unit, true, F::unpack);
}

/// Every token with every row of a panel.
fn multiply(
    panel: &QuantPanel,
    activations: &[ActivationUnit],
    y: &mut [f32],
    y_stride: usize,
    set: bool,
) {
    let form = panel.form;
    for (activations, y) in activations.iter().zip(y.chunks_mut(y_stride)) {
        let sums = &mut y[..PANEL];
        if set {
            sums.fill(0.0);
        }
        for g in 0..UNIT / form.group {
            let d = activations.d[g * form.group / 32];
            for (row, sum) in sums.iter_mut().enumerate() {
                let (half, lane) = (row / 16, row % 16);
                let mut products = 0;
                for quad in 0..form.group / 4 {
                    let column = g * form.group / 4 + quad;
                    let u = panel.quads[2 * column + half].0[lane];
                    for (u, q) in u.iter().zip(&activations.q[4 * column..]) {
                        products += (i32::from(*u) - form.offset) * i32::from(*q);
                    }
                }
                *sum += panel.scales[2 * g + half].0[lane] * d * products as f32;
            }
        }
        for g in 0..UNIT.checked_div(form.min_group).unwrap_or(0) {
            let minus_sum = minus_sum(activations, g, form.min_group);
            for (row, sum) in sums.iter_mut().enumerate() {
                *sum += panel.mins[2 * g + row / 16].0[row % 16] * minus_sum;
            }
        }
    }
}

/// Every row of `x` with every column of a float panel.
pub(super) fn matmul_f32(args: MatmulArgs<'_>) {
    for row in 0..args.rows {
        let x = &args.x[row * args.x_stride..][..args.depth];
        let mut sums = [0.0_f32; PANEL];
        match args.panel {
            FloatPanel::F32(panel) => {
                for (x, p) in x.iter().zip(panel.chunks(args.panel_stride)) {
                    for (sum, p) in sums.iter_mut().zip(p) {
                        *sum += x * p;
                    }
                }
            }
            FloatPanel::F16(panel) => {
                for (x, p) in x.iter().zip(panel.chunks(args.panel_stride)) {
                    for (sum, p) in sums.iter_mut().zip(p) {
                        *sum += x * f16_to_f32(*p);
                    }
                }
            }
        }
        args.y[row * args.y_stride..][..PANEL].copy_from_slice(&sums);
    }
}

/// Dot products in sixteen interleaved sums, the order that a vector of sixteen lanes has.
fn dot_lanes(row: impl Iterator<Item = f32>, x: &[f32]) -> f32 {
    let mut lanes = [0.0_f32; 16];
    for (i, (w, x)) in row.zip(x).enumerate() {
        lanes[i % 16] += w * x;
    }
    lanes.iter().sum()
}

pub(super) fn dot_rows_f32(rows: &[u8], x: &[f32], y: &mut [f32]) {
    for (row, y) in rows.chunks_exact(4 * x.len()).zip(y) {
        let row = row
            .chunks_exact(4)
            .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        *y = dot_lanes(row, x);
    }
}

pub(super) fn dot_rows_f16(rows: &[u8], x: &[f32], y: &mut [f32]) {
    for (row, y) in rows.chunks_exact(2 * x.len()).zip(y) {
        let row = row
            .chunks_exact(2)
            .map(|b| f16_to_f32(u16::from_le_bytes([b[0], b[1]])));
        *y = dot_lanes(row, x);
    }
}

pub(super) fn dot_rows_bf16(rows: &[u8], x: &[f32], y: &mut [f32]) {
    for (row, y) in rows.chunks_exact(2 * x.len()).zip(y) {
        let row = row
            .chunks_exact(2)
            .map(|b| bf16_to_f32(u16::from_le_bytes([b[0], b[1]])));
        *y = dot_lanes(row, x);
    }
}
