//! docs/file-types.md says what the tables do.

use aeolus_gguf::Shape;
use aeolus_recipe::{Error, FileType, Importance, ModelShape, Options, Plan, Vintage, plan};

/// The shapes of Mistral 7B.
fn mistral_7b() -> (ModelShape, Vec<(String, Shape)>) {
    let model = ModelShape {
        architecture: "llama".into(),
        layers: 32,
        heads: 32,
        kv_heads: 8,
        tokenizer: "llama".into(),
        ..ModelShape::default()
    };
    let mut tensors = Vec::new();
    let mut push = |name: String, dims: &[u64]| {
        tensors.push((format!("{name}.weight"), Shape::from_gguf(dims).unwrap()));
    };
    push("token_embd".into(), &[4096, 32000]);
    push("output".into(), &[4096, 32000]);
    push("output_norm".into(), &[4096]);
    for layer in 0..32 {
        for (part, dims) in [
            ("attn_norm", &[4096][..]),
            ("ffn_norm", &[4096]),
            ("attn_q", &[4096, 4096]),
            ("attn_k", &[4096, 1024]),
            ("attn_v", &[4096, 1024]),
            ("attn_output", &[4096, 4096]),
            ("ffn_gate", &[4096, 14336]),
            ("ffn_up", &[4096, 14336]),
            ("ffn_down", &[14336, 4096]),
        ] {
            push(format!("blk.{layer}.{part}"), dims);
        }
    }
    (model, tensors)
}

/// `| Q4_K_M | 15 | Q4_K | 4.83 | | medium, balanced quality - recommended |`
fn row(file_type: FileType) -> String {
    let (model, tensors) = mistral_7b();
    let plan = |importance| {
        let options = Options {
            vintage: Some(Vintage::Current),
            importance,
            ..Options::default()
        };
        plan(&model, &tensors, file_type, &options)
    };
    let types = |plan: &Plan| Vec::from_iter(plan.tensors.iter().map(|t| t.ty));
    let guided = plan(Importance::Given).unwrap();
    let (shown, importance) = match plan(Importance::None) {
        Ok(plain) if types(&plain) == types(&guided) => (plain, ""),
        Ok(plain) => (plain, "changes types"),
        Err(Error::ImportanceNeeded { .. }) => (guided, "needed"),
        Err(error) => panic!("{file_type}: {error}"),
    };
    let told = file_type
        .description()
        .contains("needs an importance matrix");
    assert_eq!(told, importance == "needed", "{file_type}");
    format!(
        "| {file_type} | {} | {} | {:.2} | {importance} | {} |",
        file_type.ftype_id(),
        file_type.base(),
        shown.bits_per_weight(),
        file_type.description()
    )
}

#[test]
fn the_table_of_file_types_is_that_of_the_plans() {
    let path = format!("{}/../../docs/file-types.md", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
    let (_, table) = text.split_once("|---|---|---|---|---|---|\n").unwrap();
    let (table, _) = table.split_once("\n\n").unwrap();
    let rows: Vec<String> = FileType::known().map(row).collect();
    assert_eq!(table, rows.join("\n"), "{path}");
}
