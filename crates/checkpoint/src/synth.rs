//! Makes checkpoints of any size with random weights, so that speed can be measured at full
//! size without the real model.
//!
//! The result has the layout of the real thing: config.json, the tokenizer's files, bf16
//! safetensors in shards, and the index. Weights are heavy-tailed, as trained ones are: most
//! near zero, few far out, so that the encoders' searches do their usual work. They depend on
//! the seed alone: not on shards, threads or machine.

use crate::{Error, Limits, files, folder};
use aeolus_gguf::Shape;
use serde_json::{Map, Value, json};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

/// What to make.
#[derive(Clone, Debug)]
pub struct Request {
    /// A folder with the config.json and the tokenizer to take.
    pub like: PathBuf,
    /// The folder to make; it must not exist or be empty.
    pub out: PathBuf,
    /// Layers; `None` keeps the number of config.json.
    pub layers: Option<u32>,
    /// Chooses the weights.
    pub seed: u64,
    /// A shard is closed before it exceeds this many bytes (one tensor always fits).
    pub shard_bytes: u64,
    /// Write no weights: the shards have their full length, and are holes that read as zeros.
    pub sparse: bool,
}

/// What was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Weights in all tensors.
    pub weights: u64,
    /// Bytes of all shards' tensors.
    pub bytes: u64,
    /// Number of shards.
    pub shards: usize,
}

/// Files of a checkpoint that are copied as they are.
const COPIED: [&str; 6] = [
    "tokenizer.model",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "generation_config.json",
];

/// A tensor of a shard: Hugging Face name, shape, and its number among all tensors.
struct Entry {
    name: String,
    shape: Shape,
    number: u64,
}

/// Writes the checkpoint. `advanced` hears of every piece written: its bytes, and those of the
/// whole.
///
/// # Errors
/// A config.json that is none or that is not supported, an output folder with files in it, and
/// whatever the file system refuses.
pub fn write(request: &Request, mut advanced: impl FnMut(u64, u64)) -> Result<Summary, Error> {
    let out = &request.out;
    std::fs::create_dir_all(out).map_err(Error::io("write", out))?;
    let mut listing = std::fs::read_dir(out).map_err(Error::io("write", out))?;
    if listing.next().is_some() {
        return Err(Error::NotACheckpoint {
            path: out.clone(),
            problem: "the folder has files in it, expected none to write a checkpoint".into(),
        });
    }
    copy_settings(request)?;
    let tensors = folder::stored(out, &Limits::default())?;
    let weights: u64 = tensors.iter().map(|(_, shape)| shape.elems()).sum();

    let mut shards: Vec<Vec<Entry>> = vec![Vec::new()];
    let mut filled = 0;
    for (number, (name, shape)) in (0..).zip(tensors) {
        let bytes = shape.elems() * 2;
        if filled > 0 && filled + bytes > request.shard_bytes {
            shards.push(Vec::new());
            filled = 0;
        }
        filled += bytes;
        let entry = Entry {
            name,
            shape,
            number,
        };
        if let Some(last) = shards.last_mut() {
            last.push(entry);
        }
    }

    let mut advanced = |bytes| advanced(bytes, weights * 2);
    let mut weight_map = Map::new();
    for (i, shard) in shards.iter().enumerate() {
        let name = format!("model-{:05}-of-{:05}.safetensors", i + 1, shards.len());
        write_shard(&out.join(&name), shard, request, &mut advanced)?;
        for entry in shard {
            weight_map.insert(entry.name.clone(), json!(name));
        }
    }
    let index = json!({
        "metadata": { "total_size": weights * 2 },
        "weight_map": weight_map,
    });
    write_json(&out.join("model.safetensors.index.json"), &index)?;
    Ok(Summary {
        weights,
        bytes: weights * 2,
        shards: shards.len(),
    })
}

/// config.json with the wanted number of layers, and the tokenizer's files.
fn copy_settings(request: &Request) -> Result<(), Error> {
    let config = request.like.join("config.json");
    let limits = Limits::default();
    let mut json: Value =
        files::read_value(&config, limits.config_bytes, &limits)?.ok_or_else(|| {
            Error::NotACheckpoint {
                path: config.clone(),
                problem: "no such file: shapes are taken from it".into(),
            }
        })?;
    if let (Some(layers), Some(object)) = (request.layers, json.as_object_mut()) {
        object.insert("num_hidden_layers".into(), json!(layers));
    }
    if let Some(object) = json.as_object_mut() {
        object.insert("torch_dtype".into(), json!("bfloat16"));
    }
    write_json(&request.out.join("config.json"), &json)?;
    for name in COPIED {
        let from = request.like.join(name);
        if from.is_file() {
            let to = request.out.join(name);
            let bytes = std::fs::read(&from).map_err(Error::io("write", &from))?;
            std::fs::write(&to, bytes).map_err(Error::io("write", &to))?;
        }
    }
    Ok(())
}

fn write_json(path: &Path, json: &Value) -> Result<(), Error> {
    std::fs::write(path, format!("{json:#}\n")).map_err(Error::io("write", path))
}

fn write_shard(
    path: &Path,
    shard: &[Entry],
    request: &Request,
    advanced: &mut impl FnMut(u64),
) -> Result<(), Error> {
    /// Weights made at a time by one thread.
    const PIECE: u64 = 1 << 20;

    let mut header = Map::new();
    header.insert("__metadata__".into(), json!({ "format": "pt" }));
    let mut end = 0;
    for entry in shard {
        let start = end;
        end += entry.shape.elems() * 2;
        header.insert(
            entry.name.clone(),
            json!({ "dtype": "BF16", "shape": entry.shape.to_hf(), "data_offsets": [start, end] }),
        );
    }
    let mut header = Value::Object(header).to_string().into_bytes();
    header.resize(header.len().next_multiple_of(8), b' ');

    let failed = |e| Error::io("write", path)(e);
    let mut file = File::create(path).map_err(failed)?;
    file.write_all(&(header.len() as u64).to_le_bytes())
        .and_then(|()| file.write_all(&header))
        .map_err(failed)?;
    if request.sparse {
        let length = 8 + header.len() as u64 + end;
        return file.set_len(length).map_err(failed);
    }
    let seed = request.seed;
    let threads = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    for entry in shard {
        let elems = entry.shape.elems();
        for first in (0..elems).step_by((PIECE * threads) as usize) {
            let pieces: Vec<Vec<u8>> = std::thread::scope(|scope| {
                let workers: Vec<_> = (0..threads)
                    .map(|i| (first + i * PIECE).min(elems)..(first + (i + 1) * PIECE).min(elems))
                    .map(|range| scope.spawn(move || piece(seed, entry, range)))
                    .collect();
                workers
                    .into_iter()
                    .map(|w| w.join().unwrap_or_default())
                    .collect()
            });
            for bytes in pieces {
                file.write_all(&bytes).map_err(failed)?;
                advanced(bytes.len() as u64);
            }
        }
    }
    Ok(())
}

/// The bf16 bytes of a range of a tensor's weights.
fn piece(seed: u64, entry: &Entry, range: std::ops::Range<u64>) -> Vec<u8> {
    let is_norm = entry.shape.dims().len() == 1;
    let stream = mix(seed ^ mix(entry.number));
    range
        .flat_map(|i| {
            let x = heavy_tailed(mix(stream.wrapping_add(i)));
            // Norms lie around one; matrices have the deviation that training starts from.
            let weight = if is_norm { 1.0 + 0.1 * x } else { 0.02 * x };
            bf16(weight).to_le_bytes()
        })
        .collect()
}

/// A hash of 64 bits: the finalizer of SplitMix64 (Steele, Lea, Flood 2014).
fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// A number of mean 0 and deviation near 1 from 64 random bits: four uniform ones summed are
/// nearly normal, and a fifth stretches a few of them up to fourfold.
fn heavy_tailed(bits: u64) -> f32 {
    let part = |i: u32| ((bits >> (12 * i)) & 0xfff) as f32 / 4096.0 - 0.5;
    let normal = (part(0) + part(1) + part(2) + part(3)) * 1.6;
    let stretch = (bits >> 48) as f32 / 65536.0;
    normal * (1.0 + 3.0 * stretch.powi(12))
}

/// The nearest bf16, ties to even, of a finite number.
fn bf16(x: f32) -> u16 {
    let bits = x.to_bits();
    ((bits + 0x7fff + ((bits >> 16) & 1)) >> 16) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(out: &Path, shard_bytes: u64) -> Request {
        Request {
            like: Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/notus-mini"),
            out: out.into(),
            layers: Some(2),
            seed: 7,
            shard_bytes,
            sparse: false,
        }
    }

    use crate::OpenOptions;

    #[test]
    fn a_sparse_one_has_the_same_shapes_and_no_weights() {
        let dir = tempfile::tempdir().unwrap();
        let (full, sparse) = (dir.path().join("full"), dir.path().join("sparse"));
        write(&request(&full, 1 << 20), |_, _| {}).unwrap();
        let holes = Request {
            sparse: true,
            ..request(&sparse, 1 << 20)
        };
        write(&holes, |_, _| panic!("weights are written")).unwrap();
        let open = |path: &Path| crate::open(path, &OpenOptions::default()).unwrap();
        let (full, sparse) = (open(&full), open(&sparse));
        assert_eq!(full.tensors.len(), sparse.tensors.len());
        for (x, y) in full.tensors.iter().zip(&sparse.tensors) {
            assert_eq!((&x.name, x.shape), (&y.name, y.shape));
            assert!(y.to_bytes().iter().all(|byte| *byte == 0), "{}", y.name);
        }
    }

    #[test]
    fn what_is_made_opens_as_a_checkpoint_and_depends_on_the_seed_alone() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        let mut heard = 0;
        let one = write(&request(&a, u64::MAX), |bytes, _| heard += bytes).unwrap();
        let many = write(&request(&b, 1 << 20), |_, _| {}).unwrap();
        assert_eq!((one.shards, one.bytes), (1, heard));
        assert!(many.shards > 3, "{many:?}");
        let open = |path: &Path| crate::open(path, &OpenOptions::default()).unwrap();
        let (a, b) = (open(&a), open(&b));
        assert_eq!(a.tensors.len(), 3 + 2 * 9);
        for (x, y) in a.tensors.iter().zip(&b.tensors) {
            assert_eq!((&x.name, x.shape), (&y.name, y.shape));
            assert!(x.to_bytes() == y.to_bytes(), "{}", x.name);
        }
        let q: Vec<f32> = a.tensors[0]
            .to_bytes()
            .chunks_exact(2)
            .map(|b| f32::from_bits(u32::from(u16::from_le_bytes([b[0], b[1]])) << 16))
            .collect();
        let n = q.len() as f32;
        let mean = q.iter().sum::<f32>() / n;
        let deviation = (q.iter().map(|x| (x - mean).powi(2)).sum::<f32>() / n).sqrt();
        assert!(
            mean.abs() < 1e-3 && (0.015..0.03).contains(&deviation),
            "{mean} {deviation}"
        );
        let far = q.iter().fold(0f32, |m, x| m.max(x.abs()));
        assert!(far > 5.0 * deviation, "no tail: {far}");
    }

    #[test]
    fn a_folder_with_files_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("thesis.txt"), "years").unwrap();
        let error = write(&request(dir.path(), 1 << 30), |_, _| {}).unwrap_err();
        assert!(error.to_string().contains("files in it"), "{error}");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
