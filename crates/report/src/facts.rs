//! What is known of a model and its files from their headers alone.

use crate::memory::kv_cache_bytes;
use crate::{Error, Prompt};
use aeolus_gguf::{Endian, Metadata, TensorInfo, TensorType};
use aeolus_recipe::FileType;
use std::collections::BTreeMap;

/// Architectures with a context that generate no text.
const ENCODERS: [&str; 11] = [
    "bert",
    "eurobert",
    "gemma-embedding",
    "jina-bert-v2",
    "jina-bert-v3",
    "modern-bert",
    "neo-bert",
    "nomic-bert",
    "nomic-bert-moe",
    "t5encoder",
    "wavtokenizer-dec",
];

/// The quantizations of one model.
#[derive(Clone, Debug)]
pub struct Collection {
    /// What all files share.
    pub model: Model,
    /// In the order of the publishers' table; types that it does not list come last, by size.
    pub files: Vec<File>,
    /// The files are planned and do not exist yet.
    pub forecast: bool,
}

/// What all quantizations of a model share. Text is as the file has it: unescaped.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Model {
    /// `general.name`, or what the files are called.
    pub name: String,
    /// GGUF's name of the architecture: `llama`.
    pub architecture: String,
    /// The architecture in the words of config.json, where that was read: `mistral`.
    pub model_type: Option<String>,
    /// Weights (elements) of all tensors.
    pub weights: u64,
    /// Layers.
    pub layers: Option<u64>,
    /// Elements of a token's vector between layers.
    pub hidden: Option<u64>,
    /// Positions the model was trained for.
    pub context: Option<u64>,
    /// Tokens of the vocabulary.
    pub vocabulary: Option<u64>,
    /// Bytes of KV cache a token takes in f16.
    pub kv_bytes_per_token: Option<u64>,
    /// `general.license`.
    pub license: Option<String>,
    /// `general.languages`.
    pub languages: Vec<String>,
    /// How a prompt is written, from the chat template.
    pub prompt: Option<Prompt>,
    /// What the files hold, if that is not a model: `a LoRA adapter`.
    pub holds: Option<&'static str>,
    /// Whether the metadata describes a model that generates text.
    pub generates_text: bool,
}

/// One GGUF file, or all parts of a split one.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct File {
    /// What to call it: the file name, of the first part if there are several.
    pub name: String,
    /// The files on disk.
    pub parts: Vec<Part>,
    /// `general.file_type`, if it is one of ours.
    pub file_type: Option<FileType>,
    /// The quantization's name: `Q4_K_M`, or what the file name says.
    pub method: String,
    /// Bytes of all parts.
    pub bytes: u64,
    /// GGUF version.
    pub version: u32,
    /// Byte order.
    pub endian: Endian,
    /// In the order of the file.
    pub tensors: Vec<Tensor>,
}

/// One file on disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// The file name.
    pub name: String,
    /// Its bytes.
    pub bytes: u64,
    /// Digest in lower-case hex, if known.
    pub sha256: Option<String>,
}

/// One tensor's facts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tensor {
    /// GGUF name.
    pub name: String,
    /// Its type.
    pub ty: TensorType,
    /// Weights (elements).
    pub weights: u64,
    /// Bytes without padding.
    pub bytes: u64,
    /// It has two dimensions or more: a weight matrix, not a norm.
    pub matrix: bool,
}

/// What one type takes of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TypeShare {
    /// Tensors of the type.
    pub tensors: u64,
    /// Their weights (elements).
    pub weights: u64,
    /// Their bytes without padding.
    pub bytes: u64,
}

/// What a header says, read or planned.
#[derive(Clone, Copy, Debug)]
pub struct HeaderFacts<'a> {
    /// GGUF version.
    pub version: u32,
    /// Byte order.
    pub endian: Endian,
    /// The key-value pairs.
    pub metadata: &'a Metadata<'a>,
    /// The tensors.
    pub tensors: &'a [TensorInfo],
    /// Bytes of the whole file.
    pub bytes: u64,
}

impl File {
    /// A file of one part.
    pub fn from_header(name: &str, header: &HeaderFacts<'_>) -> Self {
        let file_type = header
            .metadata
            .u32("general.file_type")
            .ok()
            .flatten()
            .and_then(|id| FileType::of_file(id, name.as_ref()));
        let method = match file_type {
            Some(file_type) => file_type.name().to_owned(),
            None => method_in_name(name).unwrap_or_else(|| "GGUF".into()),
        };
        Self {
            name: name.into(),
            parts: vec![Part {
                name: name.into(),
                bytes: header.bytes,
                sha256: None,
            }],
            file_type,
            method,
            bytes: header.bytes,
            version: header.version,
            endian: header.endian,
            tensors: header
                .tensors
                .iter()
                .map(|t| Tensor {
                    name: t.name.clone(),
                    ty: t.ty,
                    weights: t.shape.elems(),
                    bytes: t.bytes(),
                    matrix: t.shape.dims().len() > 1,
                })
                .collect(),
        }
    }

    /// Weights (elements) of all tensors.
    pub fn weights(&self) -> u64 {
        self.tensors.iter().map(|t| t.weights).sum()
    }

    /// Bytes of all tensors, without header and padding.
    pub fn tensor_bytes(&self) -> u64 {
        self.tensors.iter().map(|t| t.bytes).sum()
    }

    /// True bits per weight over all tensors, scales and norms included; 0 without tensors.
    pub fn bits_per_weight(&self) -> f64 {
        match self.weights() {
            0 => 0.0,
            weights => self.tensor_bytes() as f64 * 8.0 / weights as f64,
        }
    }

    /// The first type that ggml does not have: only its fork, or an old version, runs the file.
    pub fn foreign_type(&self) -> Option<TensorType> {
        let mut types = self.tensors.iter().map(|t| t.ty);
        types.find(|ty| ty.is_foreign())
    }

    /// Nominal bits, as publishers list them, of a known file type.
    pub fn bits(&self) -> Option<u32> {
        self.file_type.map(FileType::bits)
    }

    /// What each type takes, in the order of type ids.
    pub fn shares(&self) -> BTreeMap<TensorType, TypeShare> {
        let mut shares: BTreeMap<_, TypeShare> = BTreeMap::new();
        for tensor in &self.tensors {
            let share = shares.entry(tensor.ty).or_default();
            share.tensors += 1;
            share.weights += tensor.weights;
            share.bytes += tensor.bytes;
        }
        shares
    }

    /// Its place in the publishers' table.
    fn rank(&self) -> (usize, u64, &str) {
        let place = self
            .file_type
            .and_then(|ty| FileType::TABLE.iter().position(|t| *t == ty));
        (place.unwrap_or(usize::MAX), self.bytes, &self.name)
    }
}

/// `Q4_K_M` of `model.Q4_K_M.gguf` or `model-q4_k_m-00001-of-00002.gguf`.
fn method_in_name(name: &str) -> Option<String> {
    let stem = name.strip_suffix(".gguf")?;
    let word = stem
        .split(['.', '-'])
        .rev()
        .find(|word| !word.is_empty() && *word != "of" && word.parse::<u64>().is_err())?;
    let upper = word.to_ascii_uppercase();
    let quantization = ["Q", "IQ", "TQ", "F", "BF", "MXFP"].iter().any(|p| {
        upper
            .strip_prefix(p)
            .is_some_and(|r| r.starts_with(|c: char| c.is_ascii_digit()))
    });
    quantization.then_some(upper)
}

impl Collection {
    /// The files of a model whose metadata, those of any of them, are given.
    pub fn new(metadata: &Metadata<'_>, mut files: Vec<File>) -> Self {
        files.sort_by(|a, b| a.rank().cmp(&b.rank()));
        let text = |key| metadata.str(key).ok().flatten().map(str::to_owned);
        let architecture = text("general.architecture").unwrap_or_default();
        let number = |key: &str| {
            metadata
                .u64(&format!("{architecture}.{key}"))
                .ok()
                .flatten()
        };
        let tokens = metadata.array("tokenizer.ggml.tokens").ok().flatten();
        let has_tensors = files.iter().any(|file| !file.tensors.is_empty());
        let holds = aeolus_gguf::not_a_model(metadata, has_tensors).map(|(what, _)| what);
        let model = Model {
            name: text("general.name")
                .filter(|name| !name.trim().is_empty())
                .or_else(|| files.first().map(|file| file.name.clone()))
                .unwrap_or_default(),
            model_type: None,
            weights: files.iter().map(File::weights).max().unwrap_or(0),
            layers: number("block_count"),
            hidden: number("embedding_length"),
            context: number("context_length"),
            vocabulary: number("vocab_size").or(tokens.map(|t| t.len() as u64)),
            kv_bytes_per_token: kv_cache_bytes(metadata, 1),
            license: text("general.license"),
            languages: metadata
                .array("general.languages")
                .ok()
                .flatten()
                .and_then(|list| list.strings().map(|s| s.map(str::to_owned).collect()))
                .unwrap_or_default(),
            prompt: None,
            holds,
            generates_text: holds.is_none()
                && number("context_length").is_some()
                && number("pooling_type").unwrap_or(0) == 0
                && !ENCODERS.contains(&architecture.as_str()),
            architecture,
        };
        Self {
            model,
            files,
            forecast: false,
        }
    }

    /// The files with these headers and parts, in any order.
    ///
    /// # Errors
    /// [`Error::TwoModels`] if they are not quantizations of one model, [`Error::NoFiles`] if there
    /// are none.
    pub fn from_headers(headers: &[(Vec<Part>, HeaderFacts<'_>)]) -> Result<Self, Error> {
        let name = |parts: &[Part]| parts.first().map_or(String::new(), |p| p.name.clone());
        let Some((first_parts, first)) = headers.first() else {
            return Err(Error::NoFiles {
                path: std::path::PathBuf::new(),
            });
        };
        let mut files = Vec::new();
        for (parts, header) in headers {
            let own = name(parts);
            Self::check_same_model((&name(first_parts), first), (&own, header))?;
            files.push(File {
                parts: parts.clone(),
                ..File::from_header(&own, header)
            });
        }
        Ok(Self::new(first.metadata, files))
    }

    /// Leaves the digests of all files unknown.
    pub fn forget_digests(&mut self) {
        for part in self.files.iter_mut().flat_map(|file| &mut file.parts) {
            part.sha256 = None;
        }
    }

    /// The largest context, up to 4096, that memory figures are given for.
    pub fn memory_context(&self) -> u64 {
        self.model.context.unwrap_or(4096).clamp(1, 4096)
    }

    /// Checks that two headers belong to one model.
    fn check_same_model(
        a: (&str, &HeaderFacts<'_>),
        b: (&str, &HeaderFacts<'_>),
    ) -> Result<(), Error> {
        let differ = |key: &str, x: String, y: String| Error::TwoModels {
            first: a.0.into(),
            second: b.0.into(),
            key: key.into(),
            found_first: x,
            found_second: y,
        };
        let name = |header: &HeaderFacts<'_>, key| {
            header
                .metadata
                .str(key)
                .ok()
                .flatten()
                .map(str::to_owned)
                .unwrap_or_default()
        };
        for key in ["general.name", "general.architecture"] {
            let (x, y) = (name(a.1, key), name(b.1, key));
            if x != y {
                return Err(differ(key, format!("{x:?}"), format!("{y:?}")));
            }
        }
        let weights = |header: &HeaderFacts<'_>| -> u64 {
            header.tensors.iter().map(|t| t.shape.elems()).sum()
        };
        let (x, y) = (weights(a.1), weights(b.1));
        if x != y {
            return Err(differ(
                "the number of weights",
                x.to_string(),
                y.to_string(),
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_found_in_names() {
        for (name, method) in [
            ("m.Q4_K_M.gguf", Some("Q4_K_M")),
            ("m-iq4_xs.gguf", Some("IQ4_XS")),
            ("m-Q8_0-00001-of-00003.gguf", Some("Q8_0")),
            ("m.f16.gguf", Some("F16")),
            ("quick.gguf", None),
            ("m.Q4_K_M", None),
        ] {
            assert_eq!(method_in_name(name).as_deref(), method, "{name}");
        }
    }
}
