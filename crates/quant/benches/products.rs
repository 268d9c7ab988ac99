//! Integer products, one type and one CPU level at a time: rows of 4096 weights, one thread. With 512 tokens
//! in G products/s; with one token and rows that stay in the cache in ns for 256 weights, and in GB/s of
//! their bytes.
//!
//! Run with `cargo bench -p aeolus-quant --bench products`, or with `-- Q4_K avx2` for some (a case runs
//! if its name contains every word). All cases take turns, and each shows its best one: what else runs
//! on the machine only makes turns slower.

use aeolus_gguf::TensorType;
use aeolus_quant::Cpu;
use aeolus_quant::dot::{Activations, PANEL, QuantPanels, has_integer_kernel};
use std::time::Instant;

const COLS: usize = 4096;
const TOKENS: usize = 512;
/// Rows of a turn, of the 4096 that a matrix has: a turn is over before another program gets its turn.
const ROWS: usize = 8 * PANEL;
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
    let mut one = Activations::new();
    one.quantize(&x[..COLS], COLS);
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
    let mut tile = vec![0.0; TOKENS * ROWS];
    let mut panels = QuantPanels::new();
    for _ in 0..TURNS {
        for (_, kernels, ty, bytes, best) in &mut cases {
            let start = Instant::now();
            kernels.matvec(*ty, bytes, &one, 0, &mut tile[..ROWS]);
            best[1] = best[1].min(start.elapsed().as_secs_f64());
            let start = Instant::now();
            let y = (&mut tile[..], ROWS);
            kernels.matmul_quant(*ty, bytes, &activations, y, &mut panels);
            best[0] = best[0].min(start.elapsed().as_secs_f64());
        }
    }
    println!(
        "{:16} {:>14} {:>10} {:>6}",
        "", "G products/s", "one: ns", "GB/s"
    );
    for (name, _, _, bytes, [all, one]) in cases {
        let rate = (ROWS * COLS * TOKENS) as f64 / all / 1e9;
        let unit = one / (ROWS * COLS / 256) as f64 * 1e9;
        let read = bytes.len() as f64 / one / 1e9;
        println!("{name:16} {rate:14.1} {unit:10.1} {read:6.1}");
    }
}
