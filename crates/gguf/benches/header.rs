//! Parsing the header of a 7B model: 291 tensors, 32,000 tokens with scores and types, and
//! 58,980 merges. Run with `cargo bench -p aeolus-gguf`.

use aeolus_gguf::{
    Array, Endian, Header, HeaderSpec, Layout, Limits, Metadata, Shape, TensorSpec, TensorType,
};
use divan::Bencher;
use divan::counter::BytesCount;

fn main() {
    divan::main();
}

fn layout(merges: usize) -> Layout<'static> {
    let word = |i: usize| format!("\u{2581}w{:x}", i.wrapping_mul(0x9e37_79b9) % 0xfff_ffff);
    let mut metadata = Metadata::new();
    metadata.insert(
        "tokenizer.ggml.tokens",
        Array::from_strings((0..32_000).map(word)),
    );
    let scores: Vec<f32> = (0..32_000).map(|i| -(i as f32)).collect();
    metadata.insert("tokenizer.ggml.scores", Array::from_f32s(&scores));
    metadata.insert("tokenizer.ggml.token_type", Array::from_i32s(&[1; 32_000]));
    if merges > 0 {
        let merge = |i| format!("{} {}", word(i), word(i + 1));
        metadata.insert(
            "tokenizer.ggml.merges",
            Array::from_strings((0..merges).map(merge)),
        );
    }
    let tensor = |i| TensorSpec {
        name: format!("blk.{}.ffn_{}.weight", i / 9, i % 9),
        shape: Shape::from_gguf(&[4096, 14336]).expect("a shape"),
        ty: TensorType::Q4_K,
    };
    Layout::new(HeaderSpec {
        version: 3,
        endian: Endian::Little,
        metadata,
        tensors: (0..291).map(tensor).collect(),
    })
    .expect("a good header")
}

#[divan::bench(args = [0, 58_980])]
fn parse(bencher: Bencher<'_, '_>, merges: usize) {
    let layout = layout(merges);
    let bytes = layout.encode_header();
    let len = Some(layout.file_bytes());
    bencher
        .counter(BytesCount::new(bytes.len()))
        .bench(|| Header::parse(&bytes, len, &Limits::default()).expect("a good header"));
}

#[divan::bench(args = [0, 58_980])]
fn encode(bencher: Bencher<'_, '_>, merges: usize) {
    let layout = layout(merges);
    bencher
        .counter(BytesCount::new(layout.data_offset()))
        .bench(|| layout.encode_header());
}

#[divan::bench(args = [TensorType::F16, TensorType::Q4_K, TensorType::Q5_0])]
fn swap_rows(bencher: Bencher<'_, '_>, ty: TensorType) {
    let mut rows = vec![0; 4096 * ty.block_bytes()];
    bencher
        .counter(BytesCount::new(rows.len()))
        .bench_local(|| aeolus_gguf::swap_rows(ty, &mut rows).expect("whole blocks"));
}
