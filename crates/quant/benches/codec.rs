//! Encoders, with a guide and without, and decoders, one type and one set of kernels at a time:
//! `encode/Q4_K avx512`.
//!
//! Run with `cargo bench -p aeolus-quant`, or `-- 'encode/.*Q4_K'` for some. The data are 16 rows
//! of 4096 weights, which stay in the second-level cache as the blocks of a conversion do.
//! Throughput is given in weights (items) and in bytes of weights as `f32`.

use aeolus_gguf::TensorType;
use aeolus_quant::{Cpu, is_encodable, is_guided, needs_guide};
use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use std::fmt;

const COLS: usize = 4096;
const ROWS: usize = 16;
const WEIGHTS: usize = ROWS * COLS;

fn main() {
    divan::main();
}

/// A type and a set of kernels.
struct Case {
    ty: TensorType,
    cpu: Cpu,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.ty, self.cpu.name())
    }
}

fn cases() -> impl Iterator<Item = Case> {
    TensorType::all()
        .filter(|ty| is_encodable(*ty))
        .flat_map(|ty| Cpu::available().map(move |cpu| Case { ty, cpu }))
}

fn cpus() -> impl Iterator<Item = &'static str> {
    Cpu::available().map(Cpu::name)
}

/// Sums of uniform values with a few large ones among them, rounded to bf16 as most weights are.
fn weights() -> Vec<f32> {
    let mut state = 1u64;
    let mut uniform = move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 40) as f32 / 16_777_216.0 - 0.5
    };
    (0..WEIGHTS)
        .map(|i| {
            let bell: f32 = (0..6).map(|_| uniform()).sum();
            let weight = bell * if i % 97 == 0 { 0.2 } else { 0.03 };
            f32::from_bits(weight.to_bits() & 0xffff_0000)
        })
        .collect()
}

fn bytes_for(ty: TensorType) -> Vec<u8> {
    vec![0; WEIGHTS / ty.block_elems() * ty.block_bytes()]
}

#[divan::bench(args = cases().filter(|case| !needs_guide(case.ty)), max_time = 0.5)]
fn encode(bencher: Bencher, case: &Case) {
    let (x, mut out) = (weights(), bytes_for(case.ty));
    bencher
        .counter(ItemsCount::new(WEIGHTS))
        .counter(BytesCount::of_slice(&x))
        .bench_local(|| case.cpu.encode_rows(case.ty, &x, COLS, None, &mut out));
}

#[divan::bench(args = cases().filter(|case| is_guided(case.ty)), max_time = 0.5)]
fn encode_guided(bencher: Bencher, case: &Case) {
    let (x, mut out) = (weights(), bytes_for(case.ty));
    // Mean squares of activations: most columns alike, some far above.
    let guide: Vec<f32> = x[..COLS].iter().map(|v| v * v + 1e-4).collect();
    bencher
        .counter(ItemsCount::new(WEIGHTS))
        .counter(BytesCount::of_slice(&x))
        .bench_local(|| {
            case.cpu
                .encode_rows(case.ty, &x, COLS, Some(&guide), &mut out)
        });
}

#[divan::bench(args = cases(), max_time = 0.5)]
fn decode(bencher: Bencher, case: &Case) {
    let (mut x, mut out) = (weights(), bytes_for(case.ty));
    let guide = needs_guide(case.ty).then(|| vec![1.0; COLS]);
    let encoded = case
        .cpu
        .encode_rows(case.ty, &x, COLS, guide.as_deref(), &mut out);
    assert_eq!(encoded, Ok(()));
    bencher
        .counter(ItemsCount::new(WEIGHTS))
        .counter(BytesCount::of_slice(&x))
        .bench_local(|| case.cpu.decode_rows(case.ty, &out, COLS, &mut x));
}

#[divan::bench(args = cpus(), max_time = 0.5)]
fn round_through_f16(bencher: Bencher, name: &str) {
    let mut x = weights();
    let cpu = Cpu::named(name);
    bencher
        .counter(ItemsCount::new(WEIGHTS))
        .counter(BytesCount::of_slice(&x))
        .bench_local(|| cpu.as_ref().map(|cpu| cpu.round_through_f16(&mut x)));
}
