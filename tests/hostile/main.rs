//! Malformed and hostile files, made by a generator: each is refused with a message that names
//! the cause, exit code 2, no signal, little memory, and an untouched output folder.
//!
//! A target of its own, that starts itself again for every run: see [`run::supervise`].

mod checkpoint;
mod checkpoint_cases;
mod gguf;
mod header_cases;
mod imatrix_cases;
mod model_cases;
mod run;
mod safetensors_cases;
mod tensor_cases;
mod tokenizer_cases;
mod vocabulary_cases;

use run::{Case, check};
use std::collections::HashSet;

/// A name, and what makes the cases.
type Group = (&'static str, fn() -> Vec<Case>);

/// Groups of cases: each is one test.
const GROUPS: [Group; 10] = [
    ("truncated files", header_cases::truncated),
    ("headers", header_cases::all),
    ("tensors", tensor_cases::all),
    ("metadata and tensors", model_cases::all),
    ("shards", tensor_cases::shards),
    ("vocabularies", vocabulary_cases::all),
    ("checkpoint folders", checkpoint_cases::all),
    ("safetensors", safetensors_cases::all),
    ("tokenizers", tokenizer_cases::all),
    ("importance matrices", imatrix_cases::all),
];

fn group(name: &str) {
    let found = GROUPS.iter().find(|(group, _)| *group == name);
    let (_, cases) = found.expect("a group of this name");
    check(name, cases());
}

#[test]
fn what_the_cases_are_made_from_is_accepted() {
    run::accepted();
}

#[test]
#[ignore = "what the other tests start for each run of the program"]
fn supervise() {
    run::supervise();
}

#[test]
fn there_are_cases_enough_and_each_has_its_name() {
    let mut names = HashSet::new();
    for (group, cases) in GROUPS {
        for case in cases() {
            assert!(
                names.insert((group, case.name.clone())),
                "{group}: {} twice",
                case.name
            );
        }
    }
    assert!(names.len() >= 120, "{} cases", names.len());
}

#[test]
fn truncated_files() {
    group("truncated files");
}

#[test]
fn headers() {
    group("headers");
}

#[test]
fn tensors() {
    group("tensors");
}

#[test]
fn metadata_that_contradicts_tensors() {
    group("metadata and tensors");
}

#[test]
fn shards() {
    group("shards");
}

#[test]
fn vocabularies_and_templates() {
    group("vocabularies");
}

#[test]
fn checkpoint_folders() {
    group("checkpoint folders");
}

#[test]
fn safetensors() {
    group("safetensors");
}

#[test]
fn tokenizers() {
    group("tokenizers");
}

#[test]
fn importance_matrices() {
    group("importance matrices");
}
