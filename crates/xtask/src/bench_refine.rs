//! What refining costs: matrices of a 7B model at every effort, and the whole model extrapolated.
//!
//! Time is what the processor spent, divided by the threads: on a machine that others use, wall time says
//! little.

use aeolus_gguf::TensorType;
use aeolus_infer::{Model, Numeric, Runtime};
use aeolus_quant::Cpu;
use aeolus_refine::{Effort, Moments, Symmetric, Task};
use anyhow::{Context, Result};
use std::path::PathBuf;
use std::sync::Arc;

/// Matrices of a layer of a 7B model: rows, columns and how many there are.
const SHAPES: [(usize, usize, usize); 4] = [
    (4096, 4096, 2),
    (1024, 4096, 2),
    (14336, 4096, 2),
    (4096, 14336, 1),
];

/// Columns of its inputs, and how many of a layer there are: for queries, keys and values; for attention's
/// output; for gate and up; for down.
const INPUTS: [(usize, usize); 2] = [(4096, 3), (14336, 1)];

/// Its layers.
const LAYERS: f64 = 32.0;

/// Tokens of its calibration windows.
const TOKENS: f64 = 128.0 * 512.0;

/// Inputs that made-up moments are means of.
const SAMPLES: usize = 512;

/// Measure what it costs to refine matrices of a 7B model, and extrapolate to the whole
///
/// Weights and moments are made up. The time of each matrix includes the factors of its moments, its plain codes
/// and their judgement. A layer of the model has seven matrices; 32 layers and 128 windows of 512 tokens
/// are counted. Embedding and output are not.
#[derive(clap::Args)]
pub struct Args {
    /// Types of blocks
    #[arg(long = "type", value_delimiter = ',', default_values = ["Q4_K", "Q2_K"])]
    types: Vec<String>,

    /// Efforts
    #[arg(long = "effort", value_delimiter = ',', default_values_t = [1, 2, 3])]
    efforts: Vec<u8>,

    /// Threads
    #[arg(long, default_value_t = 2)]
    threads: usize,

    /// Leave out matrices of more weights, in millions, and count them by those of the same columns or of
    /// the most columns that are measured
    #[arg(long)]
    largest: Option<f64>,

    /// A GGUF file whose forward pass is measured too, in f32: its time for each weight of its layers and token is
    /// that of the 7B model. `aeolus synth` makes one of two layers
    #[arg(long)]
    model: Option<PathBuf>,
}

/// Measures and prints.
pub fn run(args: &Args) -> Result<()> {
    let runtime = Runtime::new(args.threads, Numeric::Exact)?;
    let cpu = Cpu::select()?;
    println!("{} threads, {}", args.threads, cpu.name());
    let mut text_seconds = moments(cpu, &runtime)?;
    if let Some(model) = &args.model {
        text_seconds += forward(model, &runtime)?;
    }
    println!(
        "\n| type | effort | matrix | s of one processor | ns for each weight |\n|---|---|---|---|---|"
    );
    for ty in &args.types {
        let ty = TensorType::all()
            .find(|known| known.to_string().eq_ignore_ascii_case(ty))
            .with_context(|| format!("no type of blocks is called {ty}"))?;
        for &number in &args.efforts {
            let effort = Effort::of_number(number)
                .with_context(|| format!("expected an effort of 1 to 3, found {number}"))?;
            let (mut layer, mut worst) = (0.0, 0.0f64);
            for (rows, cols, count) in SHAPES {
                let weights = (rows * cols) as f64;
                let is_left_out = args.largest.is_some_and(|most| weights > most * 1e6);
                let per_weight = if is_left_out {
                    worst
                } else {
                    let seconds = runtime.install(|| matrix(cpu, ty, effort, (rows, cols)))?;
                    println!(
                        "| {ty} | {number} | {rows} x {cols} | {seconds:.1} | {:.0} |",
                        seconds / weights * 1e9
                    );
                    seconds / weights
                };
                worst = worst.max(per_weight);
                layer += count as f64 * weights * per_weight;
            }
            let threads = args.threads as f64;
            let codes = LAYERS * layer / 3600.0 / threads;
            let text = text_seconds / 3600.0 / threads;
            println!(
                "| {ty} | {number} | 7B, {threads} threads | codes {codes:.2} h, text {text:.2} h | |"
            );
        }
    }
    Ok(())
}

/// Numbers of -1 to 1 that repeat nowhere near.
fn numbers(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

/// Moments of inputs whose neighbouring columns have much in common.
fn made_up(cpu: Cpu, n: usize, seed: u64) -> Symmetric {
    let mut x = numbers(SAMPLES * n, seed);
    for row in x.chunks_exact_mut(n) {
        for i in 1..n {
            row[i] = 0.8 * row[i - 1] + 0.5 * row[i];
        }
    }
    let mut sum = Symmetric::zeros(n);
    sum.add_products(cpu, &x);
    sum.scale(1.0 / SAMPLES as f32);
    sum
}

/// Seconds that all threads of this program have spent on the processor so far.
fn processor_seconds() -> Result<f64> {
    /// Of a second, on every Linux.
    const TICKS: f64 = 100.0;
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    // Behind the name, which may have spaces, come fields 3 and on; 14 and 15 are user and system.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let times = fields.split_whitespace().skip(11).take(2);
    let ticks: f64 = times.filter_map(|field| field.parse::<f64>().ok()).sum();
    Ok(ticks / TICKS)
}

/// The seconds that one matrix takes a processor.
fn matrix(cpu: Cpu, ty: TensorType, effort: Effort, (rows, cols): (usize, usize)) -> Result<f64> {
    let gradients = (effort == Effort::Three).then(|| Arc::new(made_up(cpu, rows, 2)));
    let of = |seed: u64| Moments {
        inputs: Arc::new(made_up(cpu, cols, seed)),
        gradients: gradients.clone(),
    };
    let (moments, held_out) = (of(1), of(3));
    let x = numbers(rows * cols, 4);
    let task = Task {
        cpu,
        ty,
        effort,
        moments: &moments,
        held_out: &held_out,
        row_weights: None,
    };
    let started = processor_seconds()?;
    task.choose(&x)?;
    Ok(processor_seconds()? - started)
}

/// The seconds that the moments of all inputs take a processor.
fn moments(cpu: Cpu, runtime: &Runtime) -> Result<f64> {
    let mut all = 0.0;
    for (n, count) in INPUTS {
        let x = numbers(SAMPLES * n, 5);
        let mut sum = Symmetric::zeros(n);
        let started = processor_seconds()?;
        runtime.install(|| sum.add_products(cpu, &x));
        let seconds = processor_seconds()? - started;
        let flops = (SAMPLES * n * (n + 1)) as f64;
        println!(
            "moments of {n} columns: {:.1} GFLOP/s",
            flops / seconds / 1e9
        );
        all += seconds / SAMPLES as f64 * TOKENS * count as f64 * LAYERS;
    }
    println!(
        "moments of the model: {:.2} h of one processor",
        all / 3600.0
    );
    Ok(all)
}

/// The seconds that the forward pass of the 7B model takes a processor on all tokens.
fn forward(path: &std::path::Path, runtime: &Runtime) -> Result<f64> {
    let model = Model::open(path)?;
    let layers = model.file().tensors().iter();
    let layers = layers.filter(|t| t.name.starts_with("blk.") && t.shape.dims().len() > 1);
    let weights: u64 = layers.map(|t| t.shape.dims().iter().product::<u64>()).sum();
    let window: Vec<u32> = (0..512).map(|i| i * 7 % 1000).collect();
    let windows = vec![window; 2 * runtime.threads()];
    let started = processor_seconds()?;
    runtime.windows(&model, &windows, 0..0, |_, _| ())?;
    let seconds = processor_seconds()? - started;
    let tokens = (512 * windows.len()) as f64;
    let flops = 2.0 * weights as f64 * tokens;
    println!("forward pass: {:.1} GFLOP/s", flops / seconds / 1e9);
    let of_model: usize = SHAPES.iter().map(|(r, c, count)| r * c * count).sum();
    let all = seconds / tokens / weights as f64 * (of_model as f64 * LAYERS) * TOKENS;
    println!(
        "forward pass of the model: {:.2} h of one processor",
        all / 3600.0
    );
    Ok(all)
}
