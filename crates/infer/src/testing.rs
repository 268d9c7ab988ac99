//! GGUF files for tests: notus-mini in any type, and small models with random weights.

use std::path::{Path, PathBuf};

use aeolus_checkpoint::{Checkpoint, OpenOptions};
use aeolus_gguf::{Endian, HeaderSpec, Layout, Metadata, Shape, TensorSpec, TensorType};
use aeolus_quant::{decode_rows, encode_rows};

/// A folder of test data in the project.
pub(crate) fn fixture(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fixtures")
        .join(path)
}

/// A tensor to be written.
pub(crate) struct Content {
    pub(crate) name: String,
    /// Row length first.
    pub(crate) dims: Vec<u64>,
    pub(crate) ty: TensorType,
    pub(crate) bytes: Vec<u8>,
}

/// Writes a GGUF file.
pub(crate) fn write_gguf(path: &Path, metadata: Metadata<'_>, tensors: &[Content], endian: Endian) {
    let specs = tensors.iter().map(|t| TensorSpec {
        name: t.name.clone(),
        shape: Shape::from_gguf(&t.dims).unwrap(),
        ty: t.ty,
    });
    let layout = Layout::new(HeaderSpec {
        version: 3,
        endian,
        metadata,
        tensors: specs.collect(),
    })
    .unwrap();
    let mut file = vec![0; layout.file_bytes() as usize];
    let header = layout.encode_header();
    file[..header.len()].copy_from_slice(&header);
    for (i, tensor) in tensors.iter().enumerate() {
        let start = layout.tensor_offset(i) as usize;
        file[start..start + tensor.bytes.len()].copy_from_slice(&tensor.bytes);
    }
    std::fs::write(path, file).unwrap();
}

/// Floats in any type.
pub(crate) fn encode(x: &[f32], cols: usize, ty: TensorType) -> Vec<u8> {
    let mut bytes = vec![0; (x.len() / cols) * ty.row_bytes(cols as u64).unwrap() as usize];
    encode_rows(ty, x, cols, None, &mut bytes).unwrap();
    bytes
}

/// notus-mini with its matrices in one type and its norms in F32.
pub(crate) fn notus_mini(folder: &Path, ty: TensorType) -> PathBuf {
    let source = aeolus_checkpoint::open(&fixture("notus-mini"), &OpenOptions::default()).unwrap();
    converted(folder, &source, ty)
}

/// A checkpoint with its matrices in one type and its vectors in F32.
pub(crate) fn converted(folder: &Path, source: &Checkpoint, ty: TensorType) -> PathBuf {
    let tensors: Vec<Content> = source
        .tensors
        .iter()
        .map(|tensor| {
            let (rows, cols) = (tensor.shape.rows() as usize, tensor.shape.cols() as usize);
            let mut floats = vec![0.0; rows * cols];
            decode_rows(tensor.ty, &tensor.to_bytes(), cols, &mut floats).unwrap();
            let ty = if rows == 1 { TensorType::F32 } else { ty };
            Content {
                name: tensor.name.clone(),
                dims: tensor.shape.dims().to_vec(),
                ty,
                bytes: encode(&floats, cols, ty),
            }
        })
        .collect();
    let path = folder.join(format!("{}.{ty}.gguf", source.name));
    write_gguf(&path, source.metadata.clone(), &tensors, Endian::Little);
    path
}

/// Numbers of a small model; every field may be overwritten before it is written.
#[derive(Clone)]
pub(crate) struct Small {
    pub(crate) hidden: usize,
    pub(crate) ff: usize,
    pub(crate) heads: usize,
    pub(crate) kv_heads: usize,
    pub(crate) head_dim: usize,
    pub(crate) layers: usize,
    pub(crate) vocab: usize,
    pub(crate) tied: bool,
}

impl Small {
    /// Awkward numbers: three query heads for each key head, a head of 20, an odd vocabulary.
    pub(crate) const ODD: Self = Self {
        hidden: 96,
        ff: 160,
        heads: 6,
        kv_heads: 2,
        head_dim: 20,
        layers: 2,
        vocab: 77,
        tied: true,
    };

    pub(crate) fn metadata(&self) -> Metadata<'static> {
        let mut metadata = Metadata::new();
        metadata.insert("general.architecture", "llama");
        let numbers = [
            ("block_count", self.layers),
            ("context_length", 128),
            ("embedding_length", self.hidden),
            ("feed_forward_length", self.ff),
            ("attention.head_count", self.heads),
            ("attention.head_count_kv", self.kv_heads),
            ("attention.key_length", self.head_dim),
            ("attention.value_length", self.head_dim),
            ("rope.dimension_count", self.head_dim),
        ];
        for (key, n) in numbers {
            metadata.insert(format!("llama.{key}"), n as u32);
        }
        metadata.insert("llama.attention.layer_norm_rms_epsilon", 1e-5_f32);
        metadata
    }

    /// Tensors with reproducible random weights.
    pub(crate) fn tensors(&self) -> Vec<Content> {
        let mut state = 12_345_u64;
        let mut random = move || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            ((state >> 40) as f32 / (1 << 24) as f32 - 0.5) * 0.5
        };
        let mut tensors = Vec::new();
        let mut add = |name: String, dims: &[usize]| {
            let n: usize = dims.iter().product();
            let norm = if dims.len() == 1 { 1.0 } else { 0.0 };
            let floats: Vec<f32> = (0..n).map(|_| random() + norm).collect();
            tensors.push(Content {
                name,
                dims: dims.iter().map(|&d| d as u64).collect(),
                ty: TensorType::F32,
                bytes: encode(&floats, dims[0], TensorType::F32),
            });
        };
        let (q, kv) = (self.heads * self.head_dim, self.kv_heads * self.head_dim);
        add("token_embd.weight".into(), &[self.hidden, self.vocab]);
        for i in 0..self.layers {
            for (part, dims) in [
                ("attn_norm", &[self.hidden][..]),
                ("attn_q", &[self.hidden, q]),
                ("attn_k", &[self.hidden, kv]),
                ("attn_v", &[self.hidden, kv]),
                ("attn_output", &[q, self.hidden]),
                ("ffn_norm", &[self.hidden]),
                ("ffn_gate", &[self.hidden, self.ff]),
                ("ffn_up", &[self.hidden, self.ff]),
                ("ffn_down", &[self.ff, self.hidden]),
            ] {
                add(format!("blk.{i}.{part}.weight"), dims);
            }
        }
        add("output_norm.weight".into(), &[self.hidden]);
        if !self.tied {
            add("output.weight".into(), &[self.hidden, self.vocab]);
        }
        tensors
    }
}
