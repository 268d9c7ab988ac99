//! Unsafe code is where docs/architecture.md says, and nowhere else.

use std::path::{Path, PathBuf};

/// Files that may allow it, below the workspace: the map, what happens when its pages are lost, the
/// kernels' loads, stores and calls, and what the macros of pyo3 expand to.
const ALLOWED: [&str; 4] = [
    "crates/source/src/map.rs",
    "crates/source/src/lost.rs",
    "crates/quant/src/kernels/",
    "crates/python/src/lib.rs",
];

fn root() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    root.canonicalize().unwrap()
}

/// All Rust files of the workspace but those that are built.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            sources(&path, found);
        } else if name.ends_with(".rs") {
            found.push(path);
        }
    }
}

#[test]
fn every_crate_forbids_unsafe_code_but_three() {
    let root = root();
    let mut crates: Vec<PathBuf> = vec![root.join("cli/src/main.rs")];
    for entry in std::fs::read_dir(root.join("crates")).unwrap() {
        let src = entry.unwrap().path().join("src");
        let roots = ["lib.rs", "main.rs"].map(|name| src.join(name));
        crates.extend(roots.into_iter().filter(|path| path.exists()));
    }
    assert!(crates.len() > 10, "{crates:?}");
    for path in crates {
        let text = std::fs::read_to_string(&path).unwrap();
        let has_exceptions = ["crates/source/", "crates/quant/", "crates/python/"]
            .iter()
            .any(|folder| path.starts_with(root.join(folder)));
        let lint = match has_exceptions {
            true => "#![deny(unsafe_code)]",
            false => "#![forbid(unsafe_code)]",
        };
        assert!(text.contains(lint), "{}: no {lint}", path.display());
    }
}

#[test]
fn exceptions_are_where_they_may_be_and_have_reasons() {
    let root = root();
    let mut files = Vec::new();
    for folder in ["cli", "crates", "tests"] {
        sources(&root.join(folder), &mut files);
    }
    let word = concat!("allow(", "unsafe_code");
    for path in files {
        let text = std::fs::read_to_string(&path).unwrap();
        let place = path.strip_prefix(&root).unwrap().to_str().unwrap();
        for (at, _) in text.match_indices(word) {
            let may = ALLOWED.iter().any(|allowed| place.starts_with(allowed));
            assert!(may, "{place} allows unsafe code");
            let rest = &text[at..text.len().min(at + 60)];
            assert!(rest.contains("reason = "), "{place}: no reason: {rest}");
        }
    }
}
