//! What a folder is that is not the checkpoint it should be, and what to do about it.
//!
//! People give the folder that a training, a download or another program left. Each kind is
//! recognized by what is in it, and the message names the kind, the file that shows it, and the
//! way to something that converts.

use crate::config::Config;
use crate::error::Brief;
use crate::shards::{INDEX, SINGLE, ShardTensor};
use crate::{Error, Limits, files, names};
use ::safetensors::Dtype;
use std::path::{Path, PathBuf};

/// Why there is no config.json.
pub(crate) fn no_config(folder: &Path, limits: &Limits) -> Error {
    let path = folder.join("config.json");
    if let Ok(target) = std::fs::read_link(&path) {
        return files::dangling(&path, &target);
    }
    let contents = Contents::read(folder);
    let is_weights = |name: &&String| name.ends_with(".safetensors");
    match contents.explain(folder, limits, "no config.json") {
        Some(error) => error,
        None => Error::NotACheckpoint {
            problem: match contents.files.iter().find(is_weights) {
                Some(found) => format!(
                    "no such file, but weights are there ({found}). Fetch config.json from the \
                     model's repository, or copy it from the base model"
                ),
                None => "no such file: a checkpoint folder holds config.json".into(),
            },
            path,
        },
    }
}

/// Why there are no weights.
pub(crate) fn no_weights(folder: &Path, limits: &Limits) -> Error {
    let contents = Contents::read(folder);
    let looked_for = format!("no weights: looked for {INDEX} and {SINGLE}");
    let error = contents.explain(folder, limits, &looked_for);
    error.unwrap_or_else(|| Error::NotACheckpoint {
        path: folder.into(),
        problem: format!(
            "{looked_for}. Fetch the safetensors files of the model's repository into the folder"
        ),
    })
}

/// Starts of the names of what trainers leave beside weights.
const NOT_WEIGHTS: [&str; 5] = [
    "training_args",
    "optimizer",
    "scheduler",
    "rng_state",
    "random_states",
];

/// What is in a folder, by name.
#[derive(Default)]
struct Contents {
    files: Vec<String>,
    folders: Vec<String>,
    /// Links that lead nowhere, and where they lead.
    dangling: Vec<(String, PathBuf)>,
}

impl Contents {
    fn read(folder: &Path) -> Self {
        let mut contents = Self::default();
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        for entry in entries {
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            let path = entry.path();
            match std::fs::metadata(&path) {
                Ok(meta) if meta.is_dir() => contents.folders.push(name),
                Ok(_) => contents.files.push(name),
                Err(_) => {
                    if let Ok(target) = std::fs::read_link(&path) {
                        contents.dangling.push((name, target));
                    }
                }
            }
        }
        contents.files.sort();
        contents.folders.sort();
        contents.dangling.sort();
        contents
    }

    /// The first file that passes.
    fn find(&self, is_one: impl Fn(&str) -> bool) -> Option<&str> {
        self.files
            .iter()
            .map(String::as_str)
            .find(|name| is_one(name))
    }

    /// What the folder is instead; `lacking` is what a checkpoint would have.
    fn explain(&self, folder: &Path, limits: &Limits, lacking: &str) -> Option<Error> {
        let say = |problem: String| {
            Some(Error::NotACheckpoint {
                path: folder.into(),
                problem,
            })
        };
        if let Some(adapter) = adapter(folder, limits) {
            return say(format!(
                "{adapter} and no whole model. Merge it into its base in 16 bits \
                 (merge_and_unload, then save_pretrained) and convert that folder"
            ));
        }
        if let Some((name, target)) = self.dangling.first() {
            return Some(files::dangling(&folder.join(name), target));
        }
        let ends = |name: &str, ends: &[&str]| ends.iter().any(|end| name.ends_with(end));
        let unfinished = [".incomplete", ".partial", ".aria2", ".crdownload", ".part"];
        if let Some(found) = self.find(|name| ends(name, &unfinished)) {
            return say(format!(
                "{lacking}; found {found}, a download that was not finished: fetch it again"
            ));
        }
        let native = self
            .find(|name| name.starts_with("consolidated"))
            .or_else(|| self.find(|name| name == "params.json"));
        if let Some(found) = native {
            return say(format!(
                "{lacking}; found {found}, the layout of the model's authors (Mistral, Meta), whose \
                 tensors have other names. Fetch config.json and model-*.safetensors of the same \
                 repository, or of the one whose name ends in -hf"
            ));
        }
        if self.find(|name| name.ends_with(".safetensors")).is_some() {
            return None;
        }
        if let Some(found) = self.find(|name| name.ends_with(".gguf")) {
            return say(format!(
                "{lacking}; found {found}, a GGUF file: give the file itself, {}",
                folder.join(found).display()
            ));
        }
        let pickled = [".bin", ".bin.index.json", ".pt", ".pth", ".ckpt"];
        let is_pickled = |name: &str| {
            ends(name, &pickled) && !NOT_WEIGHTS.iter().any(|start| name.starts_with(start))
        };
        if let Some(found) = self.find(is_pickled) {
            return say(format!(
                "{lacking}; found {found}, weights in PyTorch's pickle format, which can run code and \
                 is not read. Load the model with transformers and save it (save_pretrained writes \
                 safetensors), or fetch the safetensors files of its repository"
            ));
        }
        let others = [
            ".h5", ".msgpack", ".onnx", ".npz", ".tflite", ".mlmodel", ".ot",
        ];
        if let Some(found) = self.find(|name| ends(name, &others)) {
            return say(format!(
                "{lacking}; found {found}, weights for another framework. Fetch the safetensors files \
                 of the model's repository"
            ));
        }
        let inner = self.checkpoints(folder);
        if let Some(first) = inner.first() {
            let more = match inner.len() - 1 {
                0 => String::new(),
                n => format!(" (or another of the {n} more)"),
            };
            return say(format!(
                "{lacking}; a checkpoint is in a folder below: give {}{more}",
                first.display()
            ));
        }
        if self.files.is_empty() && self.folders.is_empty() {
            return say(format!("{lacking}; the folder is empty"));
        }
        None
    }

    /// Folders with a config.json, one or two levels down.
    fn checkpoints(&self, folder: &Path) -> Vec<PathBuf> {
        /// Folders that are looked into: this is for a message.
        const MOST: usize = 64;
        let below: Vec<PathBuf> = self.folders.iter().map(|name| folder.join(name)).collect();
        let has_config = |path: &PathBuf| path.join("config.json").is_file();
        let found: Vec<PathBuf> = below
            .iter()
            .take(MOST)
            .filter(|p| has_config(p))
            .cloned()
            .collect();
        if !found.is_empty() {
            return found;
        }
        let deeper = below.iter().take(MOST).flat_map(|path| {
            let folders = Self::read(path).folders.into_iter().take(MOST);
            folders.map(|name| path.join(name)).collect::<Vec<_>>()
        });
        deeper.filter(has_config).collect()
    }
}

/// The adapter that a folder holds, in words: what kind it is and of which model.
pub(crate) fn adapter(folder: &Path, limits: &Limits) -> Option<String> {
    const CONFIG: &str = "adapter_config.json";
    let there = [
        CONFIG,
        "adapter_model.safetensors",
        "adapter_model.bin",
        "adapters.safetensors",
        "pytorch_lora_weights.safetensors",
    ]
    .into_iter()
    .find(|name| folder.join(name).exists())?;
    let value = files::read_value(&folder.join(CONFIG), limits.config_bytes, limits);
    let value = value.ok().flatten().unwrap_or_default();
    let text = |keys: &[&str]| {
        let mut found = keys.iter().filter_map(|key| value.get(key)?.as_str());
        found.find(|text| !text.is_empty())
    };
    let kind = match text(&["peft_type", "fine_tune_type"]) {
        Some(kind) if !kind.eq_ignore_ascii_case("lora") => Brief(kind).to_string(),
        _ => "LoRA".into(),
    };
    let base = match text(&["base_model_name_or_path", "model"]) {
        Some(base) => format!(" of {}", Brief(base)),
        None => String::new(),
    };
    Some(format!("{there}: a {kind} adapter{base}"))
}

/// A way to store weights that is not one number each: ends of tensor names that give it away, and
/// what it is called.
const STORED: [(&[&str], &str); 15] = [
    (
        &[
            ".bitsandbytes__nf4",
            ".bitsandbytes__fp4",
            ".absmax",
            ".quant_map",
        ],
        "bitsandbytes 4-bit weights",
    ),
    (
        &[".SCB", ".weight_format"],
        "bitsandbytes 8-bit weights (LLM.int8)",
    ),
    (
        &[".weight_packed", ".weight_shape"],
        "compressed-tensors weights",
    ),
    (&[".weight_scale_inv"], "fp8 weights with block scales"),
    (&[".weight_scale_2"], "NVFP4 weights"),
    (&[".g_idx"], "GPTQ weights"),
    (&[".qweight", ".qzeros"], "GPTQ or AWQ weights"),
    (&[".W_q", ".meta"], "HQQ weights"),
    (&[".q_weight", ".q_invperm", ".q_scale"], "EXL2 weights"),
    (&[".trellis"], "EXL3 weights"),
    (
        &[".codebooks", ".centroids"],
        "codebook weights (AQLM, VPTQ)",
    ),
    (&["._data", "._scale"], "Quanto weights"),
    (&["_blocks"], "MXFP4 weights"),
    (&[".biases"], "MLX weights of a few bits"),
    (
        &[".weight_scale", ".weight_zero_point", ".input_scale"],
        "8-bit weights with scales",
    ),
];

/// Parts of the names of tensors that an adapter puts beside those of the model.
const UNMERGED: [&str; 7] = [
    "lora_A",
    "lora_B",
    "lora_embedding_A",
    "lora_magnitude_vector",
    "base_layer",
    "modules_to_save",
    "original_module",
];

/// The error, or what the tensors that raise it are instead of a model's.
pub(crate) fn explain(
    sources: &[ShardTensor],
    config: &Config,
    config_path: &Path,
    error: Error,
) -> Error {
    if !matches!(
        error,
        Error::UnexpectedTensor { .. } | Error::Dtype { .. } | Error::Shape { .. }
    ) {
        return error;
    }
    let find = |is_one: &dyn Fn(&ShardTensor) -> bool| sources.iter().find(|source| is_one(source));
    let unsupported = |source: &ShardTensor, what: String| {
        let name = Brief(&source.entry.name);
        Error::unsupported(source.map.path(), format!("tensor {name}: {what}"))
    };
    let name = |source: &ShardTensor| source.entry.name.clone();
    let is_unmerged = |s: &ShardTensor| name(s).split('.').any(|part| UNMERGED.contains(&part));
    if let Some(source) = find(&is_unmerged) {
        let what = "of an adapter that is not merged into the model. Merge it (merge_and_unload, then \
                    save_pretrained) and convert that folder";
        return unsupported(source, what.into());
    }
    let native = [".attention.wq.weight", "tok_embeddings.weight"];
    if let Some(source) = find(&|s| native.iter().any(|end| name(s).ends_with(end))) {
        let what = "a name of the layout of the model's authors (Mistral, Meta). Fetch config.json and \
                    model-*.safetensors of the same repository, or of the one whose name ends in -hf";
        return unsupported(source, what.into());
    }
    let advice = "What was rounded away cannot be brought back: take the weights that these were made \
                  from, in 16 or 32 bits; an adapter trained on top is merged into those";
    let method = match &config.quantization {
        Some(method) => format!(" (config.json has {method})"),
        None => String::new(),
    };
    for (ends, what) in STORED {
        if let Some(source) = find(&|s| ends.iter().any(|end| name(s).ends_with(end))) {
            return unsupported(
                source,
                format!("{what}{method}, quantized already. {advice}"),
            );
        }
    }
    for (is_one, what) in [
        (is_fp8 as fn(&ShardTensor) -> bool, "fp8 weights"),
        (is_integer, "integers of packed weights"),
    ] {
        if let Some(source) = find(&is_one) {
            let dtype = source.entry.dtype;
            return unsupported(
                source,
                format!(
                    "dtype {dtype:?}, supported are F64, F32, F16 and BF16. {what}{method} are \
                     quantized already: take the ones that they were made from, in 16 or 32 bits"
                ),
            );
        }
    }
    match &config.quantization {
        Some(method) => Error::key(
            config_path,
            "quantization_config",
            format!("already quantized ({method}), and the weights show it ({error}). {advice}"),
        ),
        None => error,
    }
}

fn is_fp8(source: &ShardTensor) -> bool {
    let dtype = format!("{:?}", source.entry.dtype);
    ["F8_", "F6_", "F4"]
        .iter()
        .any(|start| dtype.starts_with(start))
}

fn is_integer(source: &ShardTensor) -> bool {
    let name = &source.entry.name;
    name.ends_with(".weight")
        && !names::is_skipped(name)
        && matches!(
            source.entry.dtype,
            Dtype::U8 | Dtype::I8 | Dtype::U16 | Dtype::I16 | Dtype::U32 | Dtype::I32
        )
}

/// What the bytes of a tokenizer.model are that is not SentencePiece's.
pub(crate) fn tokenizer_model(bytes: &[u8]) -> Option<&'static str> {
    let line = bytes
        .split(|byte| *byte == b'\n')
        .next()
        .unwrap_or_default();
    let mut words = line.trim_ascii_end().split(|byte| *byte == b' ');
    let is_base64 = |word: &[u8]| {
        !word.is_empty()
            && word
                .iter()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'='))
    };
    let is_number = |word: &[u8]| !word.is_empty() && word.iter().all(u8::is_ascii_digit);
    if words.next().is_some_and(is_base64)
        && words.next().is_some_and(is_number)
        && words.next().is_none()
    {
        return Some(
            "a tiktoken file (as Llama 3 has), not a SentencePiece model. Such a tokenizer is read from \
             tokenizer.json, which is not here: fetch it, or convert without it (--no-tokenizer)",
        );
    }
    match bytes.trim_ascii_start() {
        [b'{', ..] => Some(
            "JSON, not a SentencePiece model: a tokenizer.json or tekken.json under another name",
        ),
        [b'<', ..] => Some("a web page or XML, not a SentencePiece model: fetch it again"),
        _ => None,
    }
}
