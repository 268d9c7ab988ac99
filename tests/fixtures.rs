//! The fixtures are the files that the manifest describes.

use crate::support::{fixture, sha256};
use std::collections::BTreeSet;
use std::path::Path;

fn walk(folder: &Path, root: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(&path, root, found);
        } else {
            found.insert(path.strip_prefix(root).unwrap().to_str().unwrap().into());
        }
    }
}

#[test]
fn the_manifest_lists_every_fixture_with_its_digest() {
    let root = fixture("");
    let manifest = std::fs::read_to_string(root.join("manifest.toml")).unwrap();
    let mut found = BTreeSet::new();
    walk(&root, &root, &mut found);
    found.remove("manifest.toml");
    found.remove("README.md");
    // Lines of the form `"path" = "digest"`.
    let listed: Vec<(&str, &str)> = manifest
        .lines()
        .filter_map(|l| {
            l.strip_prefix('"')?
                .strip_suffix('"')?
                .split_once("\" = \"")
        })
        .collect();
    let names: BTreeSet<String> = listed.iter().map(|(name, _)| name.to_string()).collect();
    assert_eq!(names, found);
    for (name, digest) in listed {
        assert_eq!(
            sha256(&std::fs::read(root.join(name)).unwrap()),
            digest,
            "{name}"
        );
    }
}
