//! Choices against all others, and predictions against products.

use super::*;
use crate::Symmetric;
use aeolus_gguf::{Shape, TensorType};
use aeolus_quant::Cpu;

/// Numbers that repeat on no grid, from 0 to 1.
fn numbers(seed: u64) -> impl FnMut() -> f64 {
    let mut state = seed;
    move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Items whose larger candidates cost less.
fn items(count: usize, candidates: usize, seed: u64) -> Vec<Item> {
    let mut number = numbers(seed);
    let mut item = || {
        let (size, weight) = (1000.0 + 9000.0 * number(), number());
        let candidate = |bits: usize| Candidate {
            bytes: (size * (bits + 2) as f64) as u64,
            cost: weight * 0.25_f64.powi(bits as i32),
        };
        Item {
            candidates: (0..candidates).map(candidate).collect(),
        }
    };
    (0..count).map(|_| item()).collect()
}

/// The least cost of all choices within a budget.
fn least(items: &[Item], budget: u64) -> f64 {
    let Some((first, rest)) = items.split_first() else {
        return 0.0;
    };
    let fits = first.candidates.iter().filter(|c| c.bytes <= budget);
    fits.map(|c| c.cost + least(rest, budget - c.bytes))
        .fold(f64::INFINITY, f64::min)
}

#[test]
fn no_choice_within_the_budget_costs_less() {
    let items = items(6, 4, 5);
    let smallest: u64 = items.iter().map(|item| item.candidates[0].bytes).sum();
    let largest: u64 = items.iter().map(|item| item.candidates[3].bytes).sum();
    assert_eq!(choose(&items, smallest - 1), None);
    for part in 0..=20 {
        let budget = smallest + (largest - smallest) * part / 20;
        let choice = choose(&items, budget).unwrap();
        assert!(choice.bytes <= budget);
        // All bytes here are counted exactly.
        assert!(
            (choice.cost - least(&items, budget)).abs() < 1e-12,
            "{part}"
        );
    }
    assert_eq!(choose(&items, u64::MAX).unwrap().of, [3; 6]);
    assert_eq!(choose(&[], 0).unwrap().of, [0; 0]);
    assert_eq!(choose(&[Item { candidates: vec![] }], 9), None);
}

#[test]
fn a_larger_budget_never_costs_more_and_is_used() {
    let mut items = items(230, 8, 9);
    // As large as those of a 7B model.
    for item in &mut items {
        item.candidates.iter_mut().for_each(|c| c.bytes *= 4001);
    }
    let largest: u64 = items.iter().map(|item| item.candidates[7].bytes).sum();
    let mut last = f64::INFINITY;
    for part in 25..100 {
        let budget = largest * part / 100;
        let choice = choose(&items, budget).unwrap();
        assert!(choice.cost < last, "{part}");
        assert!(choice.bytes <= budget && choice.bytes > budget - budget / 200);
        last = choice.cost;
    }
}

#[test]
fn predictions_are_the_cost_of_the_errors() {
    let (rows, cols) = (48, 64);
    let cpu = Cpu::select().unwrap();
    let mut number = numbers(3);
    let mut matrix = |n: usize, scale: f64| -> Vec<f32> {
        (0..n).map(|_| (scale * (number() - 0.5)) as f32).collect()
    };
    let weights = matrix(rows * cols, 2.0);
    let mut inputs = Symmetric::zeros(cols);
    inputs.add_products(cpu, &matrix(200 * cols, 1.0));
    let mut gradients = Symmetric::zeros(rows);
    gradients.add_products(cpu, &matrix(200 * rows, 0.1));
    let gradients = gradients.diagonal();
    let types = [
        TensorType::Q4_0,
        TensorType::Q2_K,
        TensorType::Q8_0,
        TensorType::F32,
    ];
    let row = |r: usize| Ok(weights[r * cols..(r + 1) * cols].to_vec());
    let of = |weights| sensitivity(cpu, (rows, weights), &inputs, &types, row).unwrap();
    let found = of(RowWeights::Gradients(&gradients));
    let mut expected = 0.0;
    for (r, w) in weights.chunks(cols).enumerate() {
        let mut bytes = vec![0; TensorType::Q4_0.row_bytes(cols as u64).unwrap() as usize];
        let guide = inputs.diagonal();
        cpu.encode_rows(TensorType::Q4_0, w, cols, Some(&guide), &mut bytes)
            .unwrap();
        let mut q = vec![0.0; cols];
        cpu.decode_rows(TensorType::Q4_0, &bytes, cols, &mut q)
            .unwrap();
        let e: Vec<f64> = q.iter().zip(w).map(|(q, w)| f64::from(q - w)).collect();
        let g = f64::from(gradients[r]);
        for (i, a) in e.iter().enumerate() {
            for (j, b) in e.iter().enumerate() {
                expected += 0.5 * g * a * b * f64::from(inputs.get(i, j));
            }
        }
    }
    let close = |a: f64, b: f64| (a - b).abs() < 1e-3 * b;
    assert!(close(found[0].unwrap(), expected), "{found:?} {expected}");
    assert_eq!(found[1], None, "rows of 64 are not blocks of 256");
    assert!(found[2].unwrap() < 0.01 * found[0].unwrap());
    assert_eq!(found[3], Some(0.0));

    // The same rows, as frequent as gradients were large.
    let frequent = of(RowWeights::Frequencies(&gradients))[0].unwrap();
    assert!(close(frequent, expected), "{frequent} {expected}");
    let shares = of(RowWeights::Alike { sample: ROWS })[0].unwrap();
    assert!(shares > 1e-4 && shares < 0.05, "{shares}");
}

#[test]
fn a_sample_of_rows_stands_for_all() {
    let (rows, cols) = (4000, 32);
    let cpu = Cpu::select().unwrap();
    let mut number = numbers(8);
    let weights: Vec<f32> = (0..rows * cols).map(|_| number() as f32 - 0.5).collect();
    let mut inputs = Symmetric::zeros(cols);
    let x: Vec<f32> = (0..100 * cols).map(|_| number() as f32 - 0.5).collect();
    inputs.add_products(cpu, &x);
    let row = |r: usize| Ok(weights[r * cols..(r + 1) * cols].to_vec());
    let of = |rows, weights| {
        sensitivity(cpu, (rows, weights), &inputs, &[TensorType::Q4_0], row).unwrap()[0].unwrap()
    };
    let few: Vec<f32> = (0..rows).map(|_| number() as f32).collect();
    let parts = few.chunks(125).enumerate().map(|(part, few)| {
        let row = |r: usize| row(part * 125 + r);
        let weights = RowWeights::Gradients(few);
        sensitivity(cpu, (125, weights), &inputs, &[TensorType::Q4_0], row).unwrap()[0].unwrap()
    });
    let all: f64 = parts.sum();
    for weights in [RowWeights::Gradients(&few), RowWeights::Frequencies(&few)] {
        let found = of(rows, weights);
        assert!((found / all - 1.0).abs() < 0.1, "{found} of {all}");
    }
}

fn table() -> Table {
    Table {
        unit: Unit::Nats,
        source: "aa".to_owned(),
        calibration: "bb".to_owned(),
        types: vec![TensorType::Q2_K, TensorType::Q4_0],
        rows: [
            "blk.0.ffn_up_exps.weight",
            "blk.0.attn_q.weight",
            "blk.0.ffn_down_exps.weight",
        ]
        .into_iter()
        .zip([(None, 0.5), (Some(0.1 + 0.2), 1e-300), (Some(0.3), 0.25)])
        .map(|(name, (q2, q4))| Row {
            name: name.to_owned(),
            costs: vec![q2, Some(q4)],
        })
        .collect(),
    }
}

#[test]
fn a_table_is_its_text_and_no_others() {
    let table = table();
    let text = table.to_text();
    let parse = |text: &str| Table::parse(text, "aa", "bb", &table.types);
    assert_eq!(parse(&text), Ok(table.clone()));
    let other = |what| Err(TableError::Other { what });
    assert_eq!(
        Table::parse(&text, "a", "bb", &table.types),
        other("source")
    );
    assert_eq!(
        Table::parse(&text, "aa", "b", &table.types),
        other("calibration")
    );
    assert_eq!(Table::parse(&text, "aa", "bb", &[]), other("list of types"));
    assert_eq!(parse(""), other("version"));
    for (bad, problem) in [
        (" 1 2", "no tensor"),
        ("x 1", "1 costs, expected 2"),
        ("x 1 2 3", "3 costs"),
        ("x 1 -1", "\"-1\" is not a cost"),
        ("x NaN 1", "not a cost"),
        ("x inf 1", "not a cost"),
    ] {
        let error = parse(&format!("{text}{bad}\n")).unwrap_err().to_string();
        assert!(
            error.contains(problem) && error.contains("line 9"),
            "{error}"
        );
    }
}

#[test]
fn experts_of_a_layer_are_together_and_misfits_left_out() {
    let shape = |dims: &[u64]| Shape::from_gguf(dims).unwrap();
    let tensors = [
        ("blk.0.ffn_up_exps.weight", shape(&[64, 10, 4])),
        ("blk.0.attn_q.weight", shape(&[256, 10])),
        ("blk.0.unknown.weight", shape(&[256, 10])),
        ("blk.0.ffn_down_exps.weight", shape(&[256, 2, 4])),
    ];
    let tensors = tensors.map(|(name, shape)| (name.to_owned(), shape));
    let groups = table().groups(&tensors);
    assert_eq!(groups.len(), 2);
    assert_eq!(groups[0].tensors.len(), 2);
    assert_eq!(groups[0].types, [TensorType::Q4_0], "one cannot be Q2_K");
    let candidate = groups[0].item.candidates[0];
    assert_eq!(candidate.bytes, 40 * 36 + 8 * 144);
    assert_eq!(candidate.cost, 0.75);
    assert_eq!(groups[1].types, [TensorType::Q2_K, TensorType::Q4_0]);
    assert_eq!(groups[1].item.candidates[0].bytes, 840);
}

#[test]
fn what_was_predicted_may_be_off_by_a_factor() {
    assert!(!is_off(0.01, 0.019, 4.5));
    assert!(is_off(0.01, 0.021, 4.5));
    assert!(is_off(0.021, 0.01, 4.5));
    assert!(!is_off(0.01, 0.039, 2.5));
    assert!(is_off(0.01, f64::NAN, 2.5));
    assert!(!is_off(0.0, 0.0, 4.5));
}
