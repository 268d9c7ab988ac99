//! Against what llama.cpp of October 2026 chose for real models, and for small ones of many
//! architectures. The data lie in the folder that `AEOLUS_REFERENCE` names; without it nothing is
//! compared.

use aeolus_gguf::{Shape, TensorType};
use aeolus_recipe::{
    Error, FileType, Importance, ModelShape, Options, Plan, Vintage, parse_tensor_rule, plan,
};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

fn reference(path: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("AEOLUS_REFERENCE");
    if folder.is_none() {
        println!("AEOLUS_REFERENCE is not set: {path} is not compared");
    }
    Some(PathBuf::from(folder?).join(path))
}

fn json(path: PathBuf) -> Value {
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path:?}: {e}"));
    serde_json::from_str(&text).unwrap()
}

fn today(importance: Importance) -> Options {
    Options {
        vintage: Some(Vintage::Current),
        importance,
        ..Options::default()
    }
}

fn types(plan: &Plan) -> BTreeMap<&str, (TensorType, &str)> {
    let tensors = plan.tensors.iter();
    tensors.map(|t| (&*t.name, (t.ty, &*t.rule))).collect()
}

/// What a schema does not say of a model: its architecture, and rows that are neither as long as
/// the hidden state nor as its feed-forward network, from its public configuration.
struct Published {
    name: &'static str,
    architecture: &'static str,
    /// Heads times their width: a row of attn_output.
    heads: u64,
    /// (part of a name, row length)
    rows: &'static [(&'static str, u64)],
}

const PUBLISHED: [Published; 12] = [
    Published {
        name: "deepseek-v3.1",
        architecture: "deepseek2",
        heads: 128 * 128,
        rows: &[
            ("ffn_down_exps", 2048),
            ("ffn_down_shexp", 2048),
            ("attn_q_b", 1536),
            ("attn_k_b", 128),
        ],
    },
    Published {
        name: "gemma-3-4b-it",
        architecture: "gemma3",
        heads: 8 * 256,
        rows: &[],
    },
    Published {
        name: "glm-4.6v",
        architecture: "glm4moe",
        heads: 96 * 128,
        rows: &[("ffn_down_exps", 1408), ("ffn_down_shexp", 1408)],
    },
    Published {
        name: "gpt-oss-120b",
        architecture: "gpt-oss",
        heads: 64 * 64,
        rows: &[],
    },
    Published {
        name: "meta-llama-3.1-70b-instruct",
        architecture: "llama",
        heads: 64 * 128,
        rows: &[],
    },
    Published {
        name: "nvidia-nemotron-3-nano-30b-a3b",
        architecture: "nemotron_h_moe",
        heads: 32 * 128,
        rows: &[
            ("ffn_down_exps", 1856),
            ("ffn_down_shexp", 3712),
            ("ssm_out", 4096),
        ],
    },
    Published {
        name: "qwen3-0.6b",
        architecture: "qwen3",
        heads: 16 * 128,
        rows: &[],
    },
    Published {
        name: "qwen3-14b",
        architecture: "qwen3",
        heads: 40 * 128,
        rows: &[],
    },
    Published {
        name: "qwen3-coder-next",
        architecture: "qwen3next",
        heads: 16 * 256,
        rows: &[
            ("ffn_down_exps", 512),
            ("ffn_down_shexp", 512),
            ("ssm_out", 4096),
        ],
    },
    Published {
        name: "qwen3.5-397b-a17b",
        architecture: "qwen35moe",
        heads: 32 * 256,
        rows: &[
            ("ffn_down_exps", 1024),
            ("ffn_down_shexp", 1024),
            ("ssm_out", 8192),
        ],
    },
    Published {
        name: "qwen3.6-27b",
        architecture: "qwen35",
        heads: 24 * 256,
        rows: &[("ssm_out", 6144)],
    },
    Published {
        name: "step-3.5-flash",
        architecture: "step35",
        heads: 64 * 128,
        rows: &[("ffn_down_exps", 1280), ("ffn_down_shexp", 1280)],
    },
];

/// The types of a model's tensors in one file type.
struct Section<'a> {
    file: &'a str,
    base: &'a str,
    others: BTreeMap<&'a str, &'a str>,
}

impl Section<'_> {
    fn expected(&self, tensor: &str) -> TensorType {
        let name = self.others.get(tensor).unwrap_or(&self.base);
        TensorType::from_name(name).unwrap()
    }
}

fn sections(schema: &str) -> Vec<Section<'_>> {
    let of = |text| {
        let mut lines = str::lines(text);
        let (file, base) = lines.next().unwrap().split_once("] ").unwrap();
        Section {
            file,
            base,
            others: lines.filter_map(|line| line.split_once(' ')).collect(),
        }
    };
    schema.split("\n[").skip(1).map(of).collect()
}

impl Published {
    /// A number of the schema's second line, `n_embd=1024, ...`; 0 if it is not there.
    fn header(schema: &str, key: &str) -> u64 {
        let line = schema.lines().nth(1).unwrap().trim_start_matches("# ");
        let mut pairs = line.split(", ").filter_map(|pair| pair.split_once('='));
        let value = pairs.find(|(name, _)| *name == key);
        value.map_or(0, |(_, value)| value.parse().unwrap())
    }

    fn model(&self, schema: &str) -> ModelShape {
        let number = |key| u32::try_from(Self::header(schema, key)).unwrap();
        ModelShape {
            architecture: self.architecture.into(),
            layers: number("n_layer"),
            heads: number("n_head"),
            kv_heads: number("n_head_kv"),
            experts: number("n_expert"),
            tokenizer: "gpt2".into(),
            ..ModelShape::default()
        }
    }

    /// A shape with the tensor's row length; how many rows there are decides nothing.
    fn shape(&self, schema: &str, tensor: &str) -> Option<Shape> {
        const HIDDEN: [&str; 17] = [
            "token_embd",
            "output",
            "attn_q",
            "attn_q_a",
            "attn_kv_a_mqa",
            "attn_k",
            "attn_v",
            "attn_qkv",
            "attn_gate",
            "ffn_gate",
            "ffn_up",
            "ssm_in",
            "ssm_ba",
            "ssm_alpha",
            "ssm_beta",
            "ffn_gate_shexp",
            "ffn_up_shexp",
        ];
        let word = tensor.strip_suffix(".weight")?;
        let word = word.rsplit('.').next()?;
        let listed = self.rows.iter().find(|row| row.0 == word);
        let cols = match word {
            _ if listed.is_some() => listed?.1,
            "attn_output" => self.heads,
            "ffn_down" | "ffn_down_exps" => Self::header(schema, "n_ff"),
            "ffn_gate_exps" | "ffn_up_exps" => Self::header(schema, "n_embd"),
            word if HIDDEN.contains(&word) => Self::header(schema, "n_embd"),
            _ => return None,
        };
        let stacked = word.ends_with("_exps") || word == "attn_k_b";
        let dims = [cols, 64, if stacked { 8 } else { 1 }];
        Some(Shape::from_gguf(&dims).unwrap())
    }
}

/// The types that the plan gives the tensors of a section, which was made without an importance
/// matrix. Where a plan without one is refused, tensors whose types need one are taken from a plan
/// with one, the others from a plan where the user names types for the former.
fn schema_plans(
    model: &ModelShape,
    tensors: &[(String, Shape)],
    section: &Section<'_>,
    file_type: FileType,
) -> Vec<Plan> {
    let none = today(Importance::None);
    match plan(model, tensors, file_type, &none) {
        Ok(plan) => vec![plan],
        Err(Error::ImportanceNeeded { .. }) => {
            let mut guided = plan(model, tensors, file_type, &today(Importance::Given)).unwrap();
            let expected = |name: &str| section.expected(name);
            guided
                .tensors
                .retain(|t| t.needs_importance && t.ty == expected(&t.name));
            let names: BTreeSet<&str> = guided.tensors.iter().map(|t| &*t.name).collect();
            let pattern = Vec::from_iter(names.iter().map(|n| n.replace('.', "[.]"))).join("|");
            let rule = parse_tensor_rule(&format!("^({pattern})$=F16")).unwrap();
            let options = Options {
                tensor_types: vec![rule],
                ..none
            };
            let mut unguided = plan(model, tensors, file_type, &options).unwrap();
            unguided.tensors.retain(|t| !names.contains(&*t.name));
            vec![guided, unguided]
        }
        Err(error) => panic!("{file_type}: {error}"),
    }
}

#[test]
fn the_33_file_types_of_12_published_models() {
    let Some(folder) = reference("golden/schema") else {
        return;
    };
    for published in PUBLISHED {
        let name = published.name;
        let schema = std::fs::read_to_string(folder.join(format!("{name}.schema"))).unwrap();
        let model = published.model(&schema);
        let sections = sections(&schema);
        assert_eq!(sections.len(), 33, "{name}");
        // Every quantized matrix: those that are one type in all files are not named.
        let names: BTreeSet<&str> = sections
            .iter()
            .flat_map(|s| s.others.keys().copied())
            .collect();
        let tensors: Vec<(String, Shape)> = names
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), published.shape(&schema, name)?)))
            .collect();
        assert_eq!(
            tensors.len(),
            names.len(),
            "{name}: every row length is known"
        );
        let mut compared = 0;
        let mut wrong = Vec::new();
        for section in &sections {
            let file_type = FileType::known().find(|ty| ty.name() == section.file);
            let file_type = file_type.unwrap_or_else(|| panic!("{}", section.file));
            let base = TensorType::from_name(section.base).unwrap();
            assert_eq!(file_type.base(), base, "{name} {file_type}");
            for plan in schema_plans(&model, &tensors, section, file_type) {
                for (tensor, (ty, rule)) in types(&plan) {
                    compared += 1;
                    let expected = section.expected(tensor);
                    if ty != expected {
                        wrong.push(format!(
                            "{file_type} {tensor}: {ty}, expected {expected} ({rule})"
                        ));
                    }
                }
            }
        }
        assert!(
            wrong.is_empty(),
            "{name}: {} wrong: {:#?}",
            wrong.len(),
            &wrong[..wrong.len().min(20)]
        );
        assert_eq!(compared, 33 * tensors.len(), "{name}");
    }
}

/// A number of a family's metadata, of the first layer if there are several.
fn metadata(golden: &Value, key: &str) -> u32 {
    let architecture = golden["gguf_arch"].as_str().unwrap();
    let value = &golden["metadata"][format!("{architecture}.{key}")]["value"];
    let first = value.as_array().map_or(value, |values| &values[0]);
    first
        .as_u64()
        .map_or(0, |value| u32::try_from(value).unwrap())
}

fn shapes(tensors: &Value) -> Vec<(String, Shape)> {
    let tensors = tensors.as_object().unwrap().iter();
    tensors
        .map(|(name, tensor)| {
            let dims = tensor["shape"].as_array().unwrap().iter();
            let dims: Vec<u64> = dims.map(|dim| dim.as_u64().unwrap()).collect();
            (name.clone(), Shape::from_gguf(&dims).unwrap())
        })
        .collect()
}

#[test]
fn small_models_of_many_architectures() {
    let Some(folder) = reference("golden/arch") else {
        return;
    };
    let mut models = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let file = path.file_name().unwrap().to_str().unwrap().to_owned();
        if !file.ends_with(".json") || file.ends_with(".config-new.json") {
            continue;
        }
        let golden = json(path);
        let Some(quantized) = golden["quantized"].as_object() else {
            println!("{file}: has no quantized files");
            continue;
        };
        let tensors = shapes(&golden["tensors"]["bf16"]);
        let model = ModelShape {
            architecture: golden["gguf_arch"].as_str().unwrap().into(),
            layers: metadata(&golden, "block_count"),
            heads: metadata(&golden, "attention.head_count"),
            kv_heads: metadata(&golden, "attention.head_count_kv"),
            experts: metadata(&golden, "expert_count"),
            float: Some(TensorType::BF16),
            ..ModelShape::default()
        };
        for (name, expected) in quantized {
            let file_type = FileType::known().find(|ty| ty.name() == name).unwrap();
            let plan = plan(&model, &tensors, file_type, &today(Importance::None)).unwrap();
            for (tensor, (ty, rule)) in types(&plan) {
                let expected = &expected[tensor]["type"];
                assert_eq!(ty.name(), expected, "{file} {name} {tensor}: {rule}");
            }
        }
        models += 1;
    }
    assert!(models >= 30, "{models} models");
}
