//! Plans as files: what is written is read again, and gives the same types.

use aeolus_gguf::{Shape, TensorType as T};
use aeolus_recipe::{
    FileType, Importance, ModelShape, Options, Plan, PlanEntry, PlanFile, PlanImatrix, PlanSource,
    plan,
};

fn model() -> (ModelShape, Vec<(String, Shape)>) {
    let model = ModelShape {
        architecture: "llama".into(),
        layers: 8,
        heads: 8,
        kv_heads: 2,
        tokenizer: "llama".into(),
        ..ModelShape::default()
    };
    let mut tensors = Vec::new();
    let mut push = |name: String, dims: &[u64]| {
        tensors.push((format!("{name}.weight"), Shape::from_gguf(dims).unwrap()));
    };
    push("token_embd".into(), &[512, 1000]);
    push("output".into(), &[512, 1000]);
    for layer in 0..8 {
        push(format!("blk.{layer}.attn_norm"), &[512]);
        push(format!("blk.{layer}.attn_q"), &[512, 512]);
        push(format!("blk.{layer}.attn_v"), &[512, 128]);
        // No block of 256 divides these rows.
        push(format!("blk.{layer}.ffn_down"), &[320, 512]);
    }
    (model, tensors)
}

fn types(entry: &PlanEntry) -> Plan {
    let (model, tensors) = model();
    let options = Options {
        importance: Importance::Given,
        ..entry.options().unwrap()
    };
    plan(&model, &tensors, entry.file_type().unwrap(), &options).unwrap()
}

#[test]
fn what_was_made_is_planned_again_whatever_the_rules() {
    for file_type in FileType::all() {
        let entry = PlanEntry {
            recipe: Some("current".into()),
            tensor_types: vec!["blk.[23].attn_q=F16".into()],
            ..PlanEntry::new(file_type)
        };
        let first = types(&entry);
        let made = entry.made(&first);
        assert!(made.default.is_some() && made.tensors.len() < 8 * 3 + 2);
        assert!(made.tensors.keys().all(|name| !name.contains("norm")));
        let text = PlanFile::new(vec![made.clone()]).to_toml().unwrap();
        let read = PlanFile::parse(&text).unwrap();
        assert_eq!(read.files, [made], "{text}");
        let again = types(&read.files[0]);
        let of = |plan: &Plan| plan.tensors.iter().map(|t| t.ty).collect::<Vec<_>>();
        assert_eq!(of(&again), of(&first), "{file_type}");
        let rule = &again.tensors[0].rule;
        assert!(rule.starts_with("plan: "), "{rule}");
        // What the rows did not allow was settled when the plan was made.
        assert_eq!(again.fallbacks().count(), 0);
    }
}

#[test]
fn all_that_a_plan_can_say_goes_around() {
    let entry = PlanEntry {
        name: Some("Q4_K_XL".into()),
        recipe: Some("2023-11".into()),
        tensor_types: vec!["a\"b'[c]=Q6_K".into()],
        output_type: Some("Q8_0".into()),
        embedding_type: Some("F16".into()),
        pure: true,
        no_fallback: true,
        file: Some("m.Q4_K_XL.gguf".into()),
        sha256: Some("ab".into()),
        default: Some("Q4_K".into()),
        tensors: [("blk.0.\u{e9} \n.weight".to_owned(), "F32".to_owned())].into(),
        ..PlanEntry::new(FileType::Q4_K_M)
    };
    let full = PlanFile {
        program: Some("0.1.0".into()),
        set: Some("2023".into()),
        name: Some("mini".into()),
        via: Some("f16".into()),
        allow_requantize: true,
        gguf_version: Some(3),
        endian: Some("big".into()),
        no_tokenizer: true,
        mtp: true,
        pre: Some("qwen2".into()),
        source: Some(PlanSource {
            folder: Some("notus-mini".into()),
            weights: "cd".into(),
        }),
        imatrix: Some(PlanImatrix {
            file: "out/imatrix.gguf".into(),
            calibration: Some("f".repeat(64)),
            importance: "ef".into(),
            include_weights: vec!["attn".into()],
            exclude_weights: Vec::new(),
        }),
        ..PlanFile::new(vec![entry, PlanEntry::new(FileType::Q8_0)])
    };
    let text = full.to_toml().unwrap();
    assert_eq!(PlanFile::parse(&text).unwrap(), full, "{text}");
}

#[test]
fn the_sets_are_files_that_can_be_made() {
    let of = |name| PlanFile::named_set(name).unwrap();
    let names: Vec<&str> = PlanFile::set_names().collect();
    assert_eq!(names, ["2023", "2026"]);
    let types_of = |set: &PlanFile| -> Vec<FileType> {
        let files = set.files.iter();
        files.map(|entry| entry.file_type().unwrap()).collect()
    };
    assert_eq!(types_of(&of(PlanFile::DEFAULT_SET)), FileType::TABLE);
    let of_2026 = of("2026");
    assert_eq!(of_2026.files.len(), 25);
    for entry in &of_2026.files {
        assert_eq!(entry.recipe.as_deref(), Some("current"));
        types(entry);
    }
    let sorted = types_of(&of_2026);
    let bits = |ty: &FileType| ty.bits();
    assert!(sorted.is_sorted_by_key(bits), "{sorted:?}");
}

#[test]
fn single_tensors_and_rules_of_a_set_decide_together() {
    let entry = PlanEntry {
        tensor_types: vec!["attn_q=Q8_0".into()],
        tensors: [("blk.1.attn_q.weight".to_owned(), "Q5_K".to_owned())].into(),
        ..PlanEntry::new(FileType::Q4_K_M)
    };
    let plan = types(&entry);
    let ty = |name: &str| plan.tensors.iter().find(|t| t.name == name).unwrap().ty;
    assert_eq!(ty("blk.0.attn_q.weight"), T::Q8_0);
    assert_eq!(ty("blk.1.attn_q.weight"), T::Q5_K);
}

#[test]
fn hostile_plans_are_refused() {
    let nested = format!("plan = 1\nfiles = {}", "[".repeat(100_000));
    let error = PlanFile::parse(&nested).unwrap_err().to_string();
    assert!(error.starts_with("line 2: "), "{error}");
    let keys = format!("{}a = 1", "a.".repeat(100_000));
    assert!(PlanFile::parse(&keys).is_err());
    let regex = "plan = 1\n[[files]]\ntype = 'Q8_0'\ntensor_types = ['a{1000}{1000}{1000}=Q4_K']\n";
    let error = PlanFile::parse(regex).unwrap_err().to_string();
    assert!(error.starts_with("file 1: tensor rule pattern"), "{error}");
}
