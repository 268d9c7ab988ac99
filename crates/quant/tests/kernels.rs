//! Every set of kernels that this machine has against the scalar one: the same bytes, the same
//! values. `AEOLUS_TEST_CPUS=avx2,avx512` makes the absence of a set a failure.

use aeolus_gguf::TensorType;
use aeolus_quant::{Cpu, CpuError, Overflow, is_decodable, is_encodable, is_guided, needs_guide};

/// xorshift64*: the same data on every machine.
struct Random(u64);

impl Random {
    fn bits(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) as u32
    }

    fn below(&mut self, n: u32) -> u32 {
        self.bits() % n
    }

    /// 0 to 1.
    fn unit(&mut self) -> f32 {
        (self.bits() >> 8) as f32 / 16_777_216.0
    }

    fn normal(&mut self) -> f32 {
        (0..12).map(|_| self.unit()).sum::<f32>() - 6.0
    }

    /// Student's t with three degrees of freedom: rare large values, as in trained weights.
    fn heavy(&mut self) -> f32 {
        let squares: f32 = (0..3).map(|_| self.normal().powi(2)).sum();
        0.03 * self.normal() / (squares / 3.0).sqrt().max(0.03)
    }

    /// One super-block of one of many kinds, at one of many scales, always finite.
    fn super_block(&mut self) -> [f32; 256] {
        let kind = self.below(15);
        let scale = match self.below(8) {
            0 => 1e-38,
            1 => 1e-20,
            2 => 1e15,
            3 | 4 => (self.unit() * 170.0 - 85.0).exp(),
            _ => 1.0,
        };
        let base = self.normal();
        let mut level = 1.0;
        let step = self.below(23) as f32 - 11.0;
        std::array::from_fn(|i| {
            if i % 16 == 0 {
                level = [1.0, 1.0, 0.0, 1e-7, 1e-3, 30.0][self.below(6) as usize];
            }
            let h = self.heavy();
            let value = match kind {
                0..=2 => h,
                3 => f32::from_bits(h.to_bits() & 0xffff_0000),
                4 => h * level,
                5 => [h, 0.0, 0.0, 0.0, -0.0, 0.0][self.below(6) as usize],
                6 => [0.0, -0.0, 1.0, -1.0, 0.5][self.below(5) as usize],
                7 => base + h * 0.01,
                8 => base,
                9 => h.abs(),
                10 => -h.abs() * level - base.abs(),
                11 => self.below(4) as f32 - 1.0,
                12 => base + h * 1e-4,
                // Two values of opposite signs, as large as makes Q6_K limit its quants or not.
                13 => match i % 16 {
                    3 => base,
                    7 => -base * 31.5 / (32.0 + 0.1 * step),
                    _ => base * 0.9 * (2.0 * self.unit() - 1.0),
                },
                _ => f32::from_bits(self.bits()),
            } * scale;
            if value.is_finite() { value } else { 1.0 }
        })
    }

    /// Importances of 32 columns of one of many kinds, among them none that matters, a single one,
    /// and such that squares and sums of them leave the range of floats.
    fn importance(&mut self) -> [f32; 32] {
        let kind = self.below(9);
        let single = self.below(32) as usize;
        let scale = match self.below(6) {
            0 => 1e-38,
            1 => 1e30,
            2 => (self.unit() * 160.0 - 80.0).exp(),
            _ => 1.0,
        };
        std::array::from_fn(|i| {
            let square = self.heavy().powi(2);
            let value = match kind {
                0..=2 => square,
                3 => 0.0,
                4 => [0.0, square][self.below(2) as usize],
                5 => [0.0, square][usize::from(i == single)],
                6 => (self.unit() * 80.0 - 40.0).exp(),
                7 => f32::from_bits(self.bits()).abs(),
                _ => 1.0,
            } * scale;
            if value.is_finite() { value } else { 1.0 }
        })
    }

    fn guide(&mut self, super_blocks: usize) -> Vec<f32> {
        (0..8 * super_blocks)
            .flat_map(|_| self.importance())
            .collect()
    }

    fn weights(&mut self, super_blocks: usize) -> Vec<f32> {
        (0..super_blocks).flat_map(|_| self.super_block()).collect()
    }
}

/// The types that are encoded without a guide.
fn unguided() -> impl Iterator<Item = TensorType> {
    TensorType::all().filter(|ty| is_encodable(*ty) && !needs_guide(*ty))
}

/// Whether the type is encoded by a search in a codebook, which takes the scalar code long.
fn has_codebook(ty: TensorType) -> bool {
    ty.name().starts_with("IQ") && !ty.name().starts_with("IQ4")
}

/// The sets to compare with the scalar one, whose name comes first in the list.
fn others() -> Vec<Cpu> {
    let all: Vec<Cpu> = Cpu::available().collect();
    let names: Vec<_> = all.iter().map(|cpu| cpu.name()).collect();
    println!("kernels: {}", names.join(", "));
    for wanted in std::env::var("AEOLUS_TEST_CPUS")
        .unwrap_or_default()
        .split(',')
    {
        assert!(
            wanted.is_empty() || names.contains(&wanted),
            "no {wanted} here"
        );
    }
    all[1..].to_vec()
}

fn encode(cpu: Cpu, ty: TensorType, x: &[f32]) -> Vec<u8> {
    let mut out = vec![0xa5; x.len() / ty.block_elems() * ty.block_bytes()];
    cpu.encode_rows(ty, x, x.len(), None, &mut out).unwrap();
    out
}

fn encode_guided(cpu: Cpu, ty: TensorType, x: &[f32], guide: &[f32]) -> Vec<u8> {
    let mut out = vec![0xa5; x.len() / ty.block_elems() * ty.block_bytes()];
    cpu.encode_rows(ty, x, guide.len(), Some(guide), &mut out)
        .unwrap();
    out
}

fn decode(cpu: Cpu, ty: TensorType, bytes: &[u8]) -> Vec<u32> {
    let cols = bytes.len() / ty.block_bytes() * ty.block_elems();
    let mut y = vec![f32::NAN; cols];
    cpu.decode_rows(ty, bytes, cols, &mut y).unwrap();
    // Which payload survives a sum of two NaN is up to the compiler: it orders the operands.
    let bits = |v: f32| match v.is_nan() && ty.is_quantized() {
        true => f32::NAN.to_bits(),
        false => v.to_bits(),
    };
    y.into_iter().map(bits).collect()
}

#[test]
fn more_sub_blocks_that_go_on_than_wait_together_are_encoded_alike() {
    // Two batches and a bit of the K formats. The value of largest magnitude is negative in every
    // sub-block, so that more of them take several rounds of Q3_K's search than wait together.
    let mut random = Random(5);
    let mut x: Vec<f32> = (0..300 * 256).map(|_| random.heavy()).collect();
    for sub in x.chunks_mut(16) {
        let extreme = sub
            .iter()
            .fold(0f32, |e, v| if v.abs() > e.abs() { *v } else { e });
        if extreme > 0.0 {
            sub.iter_mut().for_each(|v| *v = -*v);
        }
    }
    let scalar = Cpu::named("scalar").unwrap();
    for ty in unguided().filter(|ty| !has_codebook(*ty)) {
        let expected = encode(scalar, ty, &x);
        for cpu in others() {
            assert!(encode(cpu, ty, &x) == expected, "{ty} {}", cpu.name());
        }
    }
}

#[test]
fn all_kernels_encode_the_same_bytes() {
    let scalar = Cpu::named("scalar").unwrap();
    let others = others();
    let mut random = Random(1);
    for round in 0..200 {
        // Below, at and above the lanes of every set: up to 9 super-blocks of 8 or 16 sub-blocks,
        // or 72 blocks of 32.
        let mut x = random.weights(1 + round % 9);
        let drop = random.below(8) as usize * 32;
        for ty in unguided().filter(|ty| !has_codebook(*ty) || round % 25 == 1) {
            match ty {
                TensorType::F16 => x.iter_mut().for_each(|v| *v = v.clamp(-6e4, 6e4)),
                TensorType::BF16 => x.iter_mut().for_each(|v| *v = v.clamp(-3e38, 3e38)),
                _ => {}
            }
            let x = match ty.block_elems() {
                1 => &x[1..x.len() - drop / 32],
                block @ (32 | 64 | 128) => &x[drop.next_multiple_of(block) % 256..],
                _ => &x,
            };
            let expected = encode(scalar, ty, x);
            for cpu in &others {
                let found = encode(*cpu, ty, x);
                let differs = found.iter().zip(&expected).position(|(a, b)| a != b);
                if let Some(byte) = differs {
                    let block = byte / ty.block_bytes();
                    let x = &x[block * ty.block_elems()..][..ty.block_elems()];
                    panic!("{ty} {} round {round} block {block}: {x:?}", cpu.name());
                }
            }
        }
    }
}

#[test]
fn all_kernels_heed_a_guide_alike() {
    let scalar = Cpu::named("scalar").unwrap();
    let others = others();
    let mut random = Random(6);
    for round in 0..50 {
        // Rows shorter and longer than the lanes of every set are wide, fewer and more of them.
        let cols = 1 + round % 5;
        let rows = [1, 2, 3, 17, 40][round / 5 % 5];
        let x = random.weights(cols * rows);
        let guide = random.guide(cols);
        let guided = TensorType::all().filter(|ty| is_guided(*ty));
        for ty in guided.filter(|ty| !has_codebook(*ty) || round % 25 == 1) {
            // Blocks of 32 fit rows that super-blocks do not.
            let cols = match ty.block_elems() {
                32 => guide.len() - random.below(8) as usize * 32,
                _ => guide.len(),
            };
            let (x, guide) = (&x[..rows * cols], &guide[..cols]);
            let expected = encode_guided(scalar, ty, x, guide);
            for cpu in &others {
                let found = encode_guided(*cpu, ty, x, guide);
                let differs = found.iter().zip(&expected).position(|(a, b)| a != b);
                if let Some(byte) = differs {
                    let first = byte / ty.block_bytes() * ty.block_elems();
                    let elems = ty.block_elems();
                    panic!(
                        "{ty} {} round {round} row {} column {}: {:?} under {:?}",
                        cpu.name(),
                        first / cols,
                        first % cols,
                        &x[first..][..elems],
                        &guide[first % cols..][..elems],
                    );
                }
            }
        }
    }
}

/// Integers lie in the middle between digits under some of the scales that are tried, and equal
/// magnitudes and importances make equal errors: lists have to be looked through as the scalar code
/// does it.
#[test]
fn codebooks_with_values_between_two_digits_are_encoded_alike() {
    let scalar = Cpu::named("scalar").unwrap();
    let mut random = Random(11);
    for (round, highest) in [5, 15, 7, 31, 3, 5, 15, 12].into_iter().enumerate() {
        let unit = [1.0, 0.0078125, 0.1, 3e-5][round % 4];
        let cols = 2 * 256;
        let mut integer = || unit * (random.below(2 * highest + 1) as f32 - highest as f32);
        let x: Vec<f32> = (0..3 * cols).map(|_| integer()).collect();
        let guide: Vec<f32> = (0..cols)
            .map(|_| [0.0, 1.0, 1.0, 1.0, 4.0][random.below(5) as usize])
            .collect();
        for ty in TensorType::all().filter(|ty| has_codebook(*ty)) {
            let expected = encode_guided(scalar, ty, &x, &guide);
            for cpu in others() {
                let same = encode_guided(cpu, ty, &x, &guide) == expected;
                assert!(same, "{ty} {} round {round}", cpu.name());
            }
        }
    }
}

/// Long rows: searches sort out sub-blocks among many, so the count of those matters.
#[test]
fn all_kernels_encode_long_rows_alike() {
    let scalar = Cpu::named("scalar").unwrap();
    let mut random = Random(4);
    for super_blocks in [127, 128, 129, 270] {
        let x = random.weights(super_blocks);
        for ty in unguided().filter(|ty| ty.is_quantized() && !has_codebook(*ty)) {
            let expected = encode(scalar, ty, &x);
            for cpu in others() {
                let same = encode(cpu, ty, &x) == expected;
                assert!(same, "{ty} {} {super_blocks}", cpu.name());
            }
        }
    }
}

#[test]
fn all_kernels_decode_the_same_values() {
    let scalar = Cpu::named("scalar").unwrap();
    let others = others();
    let mut random = Random(2);
    for ty in TensorType::all().filter(|ty| is_decodable(*ty)) {
        for blocks in (1..20).chain([63, 64, 65, 129]) {
            let bytes: Vec<u8> = (0..blocks * ty.block_bytes())
                .map(|_| random.bits() as u8)
                .collect();
            let expected = decode(scalar, ty, &bytes);
            for cpu in &others {
                assert_eq!(decode(*cpu, ty, &bytes), expected, "{ty} {}", cpu.name());
            }
        }
    }
}

#[test]
fn all_kernels_convert_every_sixteen_bit_pattern_alike() {
    let every: Vec<u8> = (0..=u16::MAX).flat_map(u16::to_le_bytes).collect();
    for ty in [TensorType::F16, TensorType::BF16] {
        let expected = decode(Cpu::named("scalar").unwrap(), ty, &every);
        for cpu in others() {
            assert_eq!(decode(cpu, ty, &every), expected, "{ty} {}", cpu.name());
        }
    }
}

#[test]
fn all_kernels_round_alike() {
    let scalar = Cpu::named("scalar").unwrap();
    let mut random = Random(3);
    for len in (0..70).chain([1000, 4099]) {
        // All exponents, NaN and infinities included, but nothing that overflows.
        let x: Vec<f32> = (0..len)
            .map(|_| f32::from_bits(random.bits()))
            .map(|v| {
                if v.is_finite() && v.abs() >= 65_520.0 {
                    0.1
                } else {
                    v
                }
            })
            .collect();
        let mut expected = x.clone();
        scalar.round_through_f16(&mut expected).unwrap();
        for cpu in others() {
            let mut found = x.clone();
            cpu.round_through_f16(&mut found).unwrap();
            let same = found
                .iter()
                .zip(&expected)
                .all(|(a, b)| a.to_bits() == b.to_bits());
            assert!(same, "{} with {len} values", cpu.name());
        }
    }
}

#[test]
fn all_kernels_name_the_first_overflow() {
    for cpu in Cpu::available() {
        for index in [0, 1, 15, 16, 17, 2047, 2048, 4998] {
            let mut x = vec![65_519.996; 5000];
            x[0] = f32::INFINITY;
            x[1] = f32::NAN;
            x[index] = -65_520.0;
            x[4999] = 1e30;
            let error = Overflow {
                index,
                value: -65_520.0,
                ty: TensorType::F16,
            };
            assert_eq!(cpu.round_through_f16(&mut x), Err(error), "{}", cpu.name());
        }
    }
}

#[test]
fn a_set_that_does_not_exist_is_an_error() {
    let available: Vec<_> = Cpu::available().map(Cpu::name).collect();
    assert_eq!(available[..2], ["scalar", "portable"]);
    let error = CpuError {
        asked: "avx1024".into(),
        available: available.join(", "),
    };
    assert_eq!(Cpu::named("avx1024").unwrap_err(), error);
}

/// The choice is made once per process, so each value of the variable gets one.
#[test]
fn the_environment_forces_a_set() {
    const CHILD: &str = "AEOLUS_TEST_EXPECTED";
    if let Ok(expected) = std::env::var(CHILD) {
        let found = Cpu::select().map_or_else(|error| error.to_string(), |cpu| cpu.name().into());
        assert_eq!(found, expected);
        return;
    }
    let run = |variable: Option<&str>, expected: &str| {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", "the_environment_forces_a_set"]);
        child.env_remove("AEOLUS_CPU").env(CHILD, expected);
        if let Some(value) = variable {
            child.env("AEOLUS_CPU", value);
        }
        let output = child.output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{variable:?}: {text}");
    };
    let names: Vec<_> = Cpu::available().map(Cpu::name).collect();
    for name in &names {
        run(Some(name), name);
    }
    let fastest = names.last().unwrap();
    run(None, fastest);
    run(Some(""), fastest);
    run(Some("mmx"), &Cpu::named("mmx").unwrap_err().to_string());
}
