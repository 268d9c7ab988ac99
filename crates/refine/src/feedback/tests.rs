//! Codes of small matrices under moments that are made up.

use super::*;
use crate::cost;

/// All types whose codes are chosen here.
fn types() -> Vec<TensorType> {
    let types: Vec<_> = TensorType::all().filter(|ty| is_refinable(*ty)).collect();
    assert_eq!(types.len(), 17);
    types
}

const SEARCH: Search = Search {
    steps: 1,
    rounds: 2,
    factors: &[0.95, 1.05],
};

/// Numbers about as normal weights are, the same for the same seed.
fn numbers(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut uniform = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5
    };
    (0..count)
        .map(|_| (0..6).map(|_| uniform()).sum::<f32>())
        .collect()
}

/// Moments of `rows` inputs whose neighbouring columns have much in common.
fn moments(cpu: Cpu, n: usize, rows: usize, seed: u64) -> Symmetric {
    let mut x = numbers(rows * n, seed);
    for row in x.chunks_exact_mut(n) {
        for i in 1..n {
            row[i] = 0.8 * row[i - 1] + 0.5 * row[i];
        }
    }
    let mut sum = Symmetric::zeros(n);
    sum.add_products(cpu, &x);
    sum.scale(1.0 / rows as f32);
    sum
}

fn damped(moments: &Symmetric) -> Symmetric {
    let mut moments = moments.clone();
    moments.damp(0.01);
    moments
}

/// What was chosen, decoded.
struct Made {
    bytes: Vec<u8>,
    values: Vec<f32>,
}

fn made(
    cpu: Cpu,
    ty: TensorType,
    x: &[f32],
    a: &Symmetric,
    g: Option<&Symmetric>,
    passes: usize,
) -> Made {
    let cols = a.n();
    let factor = damped(a).factor(cpu).unwrap();
    let importance = damped(a).diagonal();
    let mut bytes = vec![0; x.len() / ty.block_elems() * ty.block_bytes()];
    let sides = Sides {
        inputs: &factor,
        importance: &importance,
        gradients: g.map(|g| (g, 0.01)),
    };
    choose(cpu, ty, x, sides, (SEARCH, passes), &mut bytes).unwrap();
    let mut values = vec![0.0; x.len()];
    cpu.decode_rows(ty, &bytes, cols, &mut values).unwrap();
    Made { bytes, values }
}

fn plain(cpu: Cpu, ty: TensorType, x: &[f32], a: &Symmetric) -> Vec<f32> {
    let mut bytes = vec![0; x.len() / ty.block_elems() * ty.block_bytes()];
    let importance = damped(a).diagonal();
    let guide = Some(&importance[..]);
    cpu.encode_rows(ty, x, a.n(), guide, &mut bytes).unwrap();
    let mut values = vec![0.0; x.len()];
    cpu.decode_rows(ty, &bytes, a.n(), &mut values).unwrap();
    values
}

/// `tr(G E A E^T)`.
fn two_sided_cost(x: &[f32], y: &[f32], a: &Symmetric, g: &Symmetric) -> f64 {
    let n = a.n();
    let e: Vec<f64> = x.iter().zip(y).map(|(x, y)| f64::from(x - y)).collect();
    let rows: Vec<&[f64]> = e.chunks_exact(n).collect();
    let with_a: Vec<Vec<f64>> = rows
        .iter()
        .map(|e| {
            let sum = |j| (0..n).map(|i| e[i] * f64::from(a.get(i, j))).sum();
            (0..n).map(sum).collect()
        })
        .collect();
    let mut total = 0.0;
    for (i, row) in rows.iter().enumerate() {
        for (j, other) in with_a.iter().enumerate() {
            let product: f64 = row.iter().zip(other).map(|(x, y)| x * y).sum();
            total += f64::from(g.get(i, j)) * product;
        }
    }
    total
}

#[test]
fn feedback_costs_less_than_a_guided_search_for_every_type() {
    let cpu = Cpu::select().unwrap();
    let (rows, cols) = (37, 512);
    let a = moments(cpu, cols, 700, 1);
    let x = numbers(rows * cols, 2);
    for ty in types() {
        let plain = cost(cpu, &a, &x, &plain(cpu, ty, &x, &a), None);
        let once = made(cpu, ty, &x, &a, None, 0);
        let with_feedback = cost(cpu, &a, &x, &once.values, None);
        assert!(with_feedback < 0.7 * plain, "{ty}: {with_feedback} {plain}");
        let descended = made(cpu, ty, &x, &a, None, 1);
        let descended = cost(cpu, &damped(&a), &x, &descended.values, None);
        let once = cost(cpu, &damped(&a), &x, &once.values, None);
        assert!(descended < once, "{ty}: {descended} {once}");
    }
}

#[test]
fn independent_columns_are_rounded_at_least_as_well_as_by_the_guided_search() {
    let cpu = Cpu::select().unwrap();
    let (rows, cols) = (16, 256);
    let upper = (0..cols).flat_map(|i| (i..cols).map(move |j| f32::from(u8::from(i == j))));
    let a = Symmetric::from_upper(cols, upper.collect()).unwrap();
    let x = numbers(rows * cols, 3);
    for ty in types() {
        let plain = cost(cpu, &a, &x, &plain(cpu, ty, &x, &a), None);
        let chosen = cost(cpu, &a, &x, &made(cpu, ty, &x, &a, None, 0).values, None);
        assert!(chosen <= plain * 1.000_001, "{ty}: {chosen} {plain}");
    }
}

#[test]
fn feedback_from_row_to_row_costs_less_than_along_rows_alone() {
    let cpu = Cpu::select().unwrap();
    let (rows, cols) = (70, 256);
    let (a, g) = (moments(cpu, cols, 500, 4), moments(cpu, rows, 500, 5));
    let x = numbers(rows * cols, 6);
    for ty in [TensorType::Q2_K, TensorType::Q4_K, TensorType::Q4_0] {
        let one = made(cpu, ty, &x, &a, None, 0);
        let both = made(cpu, ty, &x, &a, Some(&g), 0);
        let descended = made(cpu, ty, &x, &a, Some(&g), 2);
        let cost = |made: &Made| two_sided_cost(&x, &made.values, &damped(&a), &damped(&g));
        let (one, both, descended) = (cost(&one), cost(&both), cost(&descended));
        assert!(both < one, "{ty}: {both} {one}");
        // Rows at work at once hold each other back: a block of one scale may have no better codes.
        let falls = descended < both || (ty == TensorType::Q4_0 && descended == both);
        assert!(falls, "{ty}: {descended} {both}");
    }
}

#[test]
fn bytes_are_the_same_for_any_threads_and_level() {
    let (rows, cols) = (40, 768);
    let of = |cpu: Cpu, threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        pool.unwrap().install(|| {
            let (a, g) = (moments(cpu, cols, 300, 7), moments(cpu, rows, 300, 8));
            let x = numbers(rows * cols, 9);
            let one: Vec<_> = types()
                .into_iter()
                .map(|ty| made(cpu, ty, &x, &a, None, 1).bytes)
                .collect();
            let both = made(cpu, TensorType::IQ4_XS, &x, &a, Some(&g), 1).bytes;
            (one, both)
        })
    };
    let expected = of(Cpu::select().unwrap(), 1);
    for threads in [2, 3] {
        assert!(of(Cpu::select().unwrap(), threads) == expected, "{threads}");
    }
    for cpu in Cpu::available() {
        assert!(of(cpu, 2) == expected, "{}", cpu.name());
    }
}

#[test]
fn rows_of_zeros_constants_and_tiny_numbers_give_finite_weights() {
    let cpu = Cpu::select().unwrap();
    let cols = 256;
    // Fewer inputs than columns: the moments have no full rank.
    let a = moments(cpu, cols, 20, 10);
    let mut x = vec![0.0; 4 * cols];
    x[cols..2 * cols].fill(0.25);
    x[2 * cols..3 * cols].fill(1e-30);
    x[3 * cols..].copy_from_slice(&numbers(cols, 11));
    x[3 * cols] = 1000.0;
    for ty in types() {
        for moments in [&a, &Symmetric::zeros(cols)] {
            let made = made(cpu, ty, &x, moments, None, 1);
            assert!(made.values.iter().all(|y| y.is_finite()), "{ty}");
            let zeros = made.values[..cols].iter().all(|y| y.abs() < 1e-6);
            assert!(zeros, "{ty}");
        }
    }
}

#[test]
fn weights_that_are_not_finite_and_other_types_are_errors() {
    let cpu = Cpu::select().unwrap();
    let identity = {
        let mut a = Symmetric::zeros(256);
        a.damp(0.0);
        a
    };
    let importance = vec![1.0; 256];
    let sides = Sides {
        inputs: &identity,
        importance: &importance,
        gradients: None,
    };
    let mut x = numbers(256, 12);
    let mut bytes = vec![0; 84];
    let refused = choose(cpu, TensorType::IQ1_S, &x, sides, (SEARCH, 0), &mut bytes);
    assert!(matches!(refused, Err(Error::NotRefinable { .. })));
    for bad in [f32::NAN, f32::INFINITY] {
        x[7] = bad;
        let refused = choose(cpu, TensorType::Q2_K, &x, sides, (SEARCH, 0), &mut bytes);
        assert!(matches!(refused, Err(Error::Encode(_))), "{bad}");
    }
}
