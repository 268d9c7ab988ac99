//! The encoders and decoders against ggml's bytes: `fixtures/vectors`.

use aeolus_gguf::TensorType;
use aeolus_quant::{Cpu, is_encodable, needs_guide};
use safetensors::SafeTensors;

/// The types with vectors straight from bf16 and through f16.
const VIA_TYPES: [TensorType; 10] = [
    TensorType::Q4_0,
    TensorType::Q4_1,
    TensorType::Q5_0,
    TensorType::Q5_1,
    TensorType::Q8_0,
    TensorType::Q2_K,
    TensorType::Q3_K,
    TensorType::Q4_K,
    TensorType::Q5_K,
    TensorType::Q6_K,
];

/// The types with vectors: all that are encoded, but for those of every bit pattern.
fn types() -> impl Iterator<Item = TensorType> {
    let plain = [TensorType::F32, TensorType::F16];
    TensorType::all().filter(move |ty| is_encodable(*ty) && !plain.contains(ty))
}

fn read(name: &str) -> Vec<u8> {
    let path = format!(
        "{}/../../fixtures/vectors/{name}",
        env!("CARGO_MANIFEST_DIR")
    );
    std::fs::read(&path).unwrap_or_else(|e| panic!("{path}: {e}"))
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes
        .as_chunks()
        .0
        .iter()
        .map(|b| f32::from_le_bytes(*b))
        .collect()
}

fn encode(cpu: Cpu, ty: TensorType, x: &[f32], cols: usize, guide: Option<&[f32]>) -> Vec<u8> {
    let mut out = vec![0xa5; x.len() / ty.block_elems() * ty.block_bytes()];
    cpu.encode_rows(ty, x, cols, guide, &mut out)
        .unwrap_or_else(|e| panic!("{ty}: {e}"));
    out
}

/// Lists the rows that differ, so that one run shows all that is wrong.
fn differing_rows(found: &[u8], expected: &[u8], rows: usize) -> Vec<usize> {
    assert_eq!(found.len(), expected.len());
    let row = expected.len() / rows;
    (0..rows)
        .filter(|r| found[r * row..][..row] != expected[r * row..][..row])
        .collect()
}

#[test]
fn every_row_encodes_to_the_reference_bytes() {
    let file = read("blocks-1.safetensors");
    let file = SafeTensors::deserialize(&file).unwrap();
    let input = file.tensor("input").unwrap();
    let (rows, cols) = (input.shape()[0], input.shape()[1]);
    let x = floats(input.data());
    let importance = floats(file.tensor("imatrix").unwrap().data());
    let mut wrong = vec![];
    for cpu in Cpu::available() {
        for ty in types() {
            let guided = format!("{ty}.imatrix");
            for (name, guide) in [(ty.name(), None), (&guided, Some(&importance[..]))] {
                if guide.is_none() && needs_guide(ty) {
                    continue;
                }
                let expected = file.tensor(name).unwrap_or_else(|e| panic!("{name}: {e}"));
                let found = encode(cpu, ty, &x, cols, guide);
                let rows = differing_rows(&found, expected.data(), rows);
                if !rows.is_empty() {
                    wrong.push((cpu.name(), name.to_owned(), rows));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "rows that differ: {wrong:?}");
}

#[test]
fn every_row_decodes_to_the_reference_values() {
    let file = read("blocks-1.safetensors");
    let file = SafeTensors::deserialize(&file).unwrap();
    for ty in types() {
        let name = match needs_guide(ty) {
            true => format!("{ty}.imatrix"),
            false => ty.name().to_owned(),
        };
        let bytes = file.tensor(&name).unwrap();
        let expected = file.tensor(&format!("{name}.dequant")).unwrap();
        let cols = expected.shape()[1];
        let mut y = vec![f32::NAN; expected.shape().iter().product()];
        let cpu = Cpu::named("scalar").unwrap();
        cpu.decode_rows(ty, bytes.data(), cols, &mut y).unwrap();
        for (i, (y, e)) in y.iter().zip(floats(expected.data())).enumerate() {
            assert_eq!(
                y.to_bits(),
                e.to_bits(),
                "{ty} row {} col {}",
                i / cols,
                i % cols
            );
        }
    }
}

#[test]
fn both_ways_from_bf16_give_the_reference_bytes() {
    let file = read("via.safetensors");
    let file = SafeTensors::deserialize(&file).unwrap();
    let input = file.tensor("input_bf16_bits").unwrap();
    let (rows, cols) = (input.shape()[0], input.shape()[1]);
    for cpu in Cpu::available() {
        let mut source = vec![0.0; rows * cols];
        cpu.decode_rows(TensorType::BF16, input.data(), cols, &mut source)
            .unwrap();
        let mut rounded = source.clone();
        cpu.round_through_f16(&mut rounded).unwrap();
        for ty in &VIA_TYPES {
            for (way, x) in [("source", &source), ("f16", &rounded)] {
                let expected = file.tensor(&format!("{ty}.{way}")).unwrap();
                let wrong = differing_rows(&encode(cpu, *ty, x, cols, None), expected.data(), rows);
                assert!(wrong.is_empty(), "{} {ty} via {way}: {wrong:?}", cpu.name());
            }
        }
    }
}
