//! The JSON Schemas in `docs/schemas`, one for each document, are what the types say.

use super::*;
use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};
use std::path::Path;

/// The schema of a document, made from its type and doc comments. It says what a command writes; a
/// reader accepts less, as the module says.
fn schema<T: JsonSchema>(name: &str) -> serde_json::Value {
    let settings = SchemaSettings::draft2020_12().for_serialize();
    let generator = SchemaGenerator::new(settings);
    let mut schema = serde_json::to_value(generator.into_root_schema_for::<T>()).unwrap();
    schema["title"] = name.into();
    schema["properties"]["schema"]["const"] = name.into();
    schema
}

#[test]
fn the_schemas_in_docs_are_those_of_the_types() {
    let all = [
        (
            Files::SCHEMA,
            schema::<Files> as fn(&str) -> serde_json::Value,
        ),
        (Forecast::SCHEMA, schema::<Forecast>),
        (Quality::SCHEMA, schema::<Quality>),
        (TensorErrors::SCHEMA, schema::<TensorErrors>),
        (Verify::SCHEMA, schema::<Verify>),
        (VerifySums::SCHEMA, schema::<VerifySums>),
        (Perplexity::SCHEMA, schema::<Perplexity>),
        (Tasks::SCHEMA, schema::<Tasks>),
        (Run::SCHEMA, schema::<Run>),
        (Tokenize::SCHEMA, schema::<Tokenize>),
        (Inspect::SCHEMA, schema::<Inspect>),
        (Hash::SCHEMA, schema::<Hash>),
        (HashCompare::SCHEMA, schema::<HashCompare>),
        (Fetch::SCHEMA, schema::<Fetch>),
        (Publish::SCHEMA, schema::<Publish>),
    ];
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/schemas");
    let mut names = std::collections::BTreeSet::new();
    for (name, schema) in all {
        let file = format!("{}.json", name.replace('/', "-"));
        let text = format!("{:#}\n", schema(name));
        let path = folder.join(&file);
        if std::env::var_os("AEOLUS_BLESS").is_some() {
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(&path, &text).unwrap();
        }
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            found == text,
            "{file} is not what the type says; AEOLUS_BLESS=1 writes it"
        );
        names.insert(file);
    }
    // Its type is in the crate of importance matrices, which has a test like this one.
    names.insert("aeolus.imatrix-1.json".to_owned());
    let found = std::fs::read_dir(&folder).unwrap();
    let found = found.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(found.collect::<std::collections::BTreeSet<_>>(), names);
}
