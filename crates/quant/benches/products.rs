//! Integer products with many tokens, one type and one CPU level at a time: rows of 4096 weights, 512
//! tokens, one thread, in G products/s, and the share of the time that unpacking takes.
//!
//! Run with `cargo bench -p aeolus-quant --bench products`, or with `-- Q4_K avx2` for some (a case runs
//! if its name contains every word). All cases take turns, and each shows its best one: what else runs
//! on the machine only makes turns slower.

use aeolus_gguf::TensorType;
use aeolus_quant::Cpu;
use aeolus_quant::dot::{Activations, PANEL, QuantPanel, has_integer_kernel};
use std::time::Instant;

const COLS: usize = 4096;
const TOKENS: usize = 512;
/// Rows of a turn, of the 4096 that a matrix has: a turn is over before another program gets its turn.
const ROWS: usize = 2 * PANEL;
const TURNS: usize = 40;

fn main() {
    let words: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| !a.starts_with('-'))
        .collect();
    let x: Vec<f32> = (0..TOKENS * COLS)
        .map(|i| ((i * 7919) % 2003) as f32 * 1e-3 - 1.0)
        .collect();
    let mut activations = Activations::new();
    activations.quantize(&x, COLS);
    let mut cases = vec![];
    for cpu in Cpu::available().filter(|cpu| !["scalar", "portable"].contains(&cpu.name())) {
        for ty in TensorType::all().filter(|ty| has_integer_kernel(*ty)) {
            let name = format!("{ty} {}", cpu.name());
            if words.iter().all(|word| name.contains(word.as_str())) {
                let bytes: Vec<u8> = (0..ROWS * COLS / ty.block_elems() * ty.block_bytes())
                    .map(|i| 64 + (i * 31 % 48) as u8) // as halves, powers and codes: ordinary numbers
                    .collect();
                cases.push((name, cpu.kernels(), ty, bytes, [f64::MAX; 2]));
            }
        }
    }
    let mut tile = vec![0.0; TOKENS * PANEL];
    let mut panel = QuantPanel::new();
    for _ in 0..TURNS {
        for (_, kernels, ty, bytes, best) in &mut cases {
            let (mut packing, mut all) = (0.0, 0.0);
            for rows in bytes.chunks(bytes.len() / (ROWS / PANEL)) {
                let start = Instant::now();
                kernels.pack_quant(*ty, rows, COLS, &mut panel);
                packing += start.elapsed().as_secs_f64();
                kernels.matmul_quant(&panel, &activations, &mut tile, PANEL);
                all += start.elapsed().as_secs_f64();
            }
            *best = [best[0].min(all), best[1].min(packing)];
        }
    }
    println!("{:16} {:>14} {:>10}", "", "G products/s", "unpacking");
    for (name, .., [all, packing]) in cases {
        let rate = (ROWS * COLS * TOKENS) as f64 / all / 1e9;
        println!("{name:16} {rate:14.1} {:9.1}%", 100.0 * packing / all);
    }
}
