//! Circles between the files of a crate: each file of one needs the others to be understood.
//!
//! Found from the text: `use crate::…`, `use super::…` and such paths anywhere in a file, its tests
//! left out. A path counts for the longest beginning of it that is a file; the crate's root, which
//! names everything, counts for nothing.

use crate::sources;
use anyhow::{Result, bail};
use regex::Regex;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Find circles between files inside the crates
#[derive(clap::Args)]
pub struct Args {}

/// The modules that each module names.
type Graph = BTreeMap<String, BTreeSet<String>>;

pub fn run(_: &Args) -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let found = all(&root)?;
    for circle in &found {
        println!("{circle}");
    }
    match found.len() {
        0 => Ok(()),
        n => bail!("{n} circles between files"),
    }
}

/// `CRATE: FILE, FILE`, one for each circle.
fn all(root: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for folder in sources::crates(root)? {
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        for circle in circles(&graph(&folder.join("src"))?) {
            let files: Vec<&str> = circle.iter().map(|file| &**file).collect();
            found.push(format!("{name}: {}", files.join(", ")));
        }
    }
    Ok(found)
}

fn graph(src: &Path) -> Result<Graph> {
    let mut texts = BTreeMap::new();
    for (path, text) in sources::files(src)? {
        texts.insert(module(path.strip_prefix(src)?), text);
    }
    let paths = Regex::new(r"\b(?:crate|super|self)(?:::\w+)*(?:::\{)?")?;
    let comments = Regex::new(r"//[^\n]*")?;
    let mut graph = Graph::new();
    for (module, text) in &texts {
        let text = comments.replace_all(text, "");
        let mut named = BTreeSet::new();
        for found in paths.find_iter(&text) {
            let ends = match found.as_str().strip_suffix("::{") {
                None => vec![found.as_str().to_owned()],
                Some(start) => members(start, &text[found.end()..]),
            };
            named.extend(ends.iter().filter_map(|path| file(module, path, &texts)));
        }
        named.remove(module);
        graph.insert(module.clone(), named);
    }
    Ok(graph)
}

/// The module that a file is, by its path from the crate's `src`.
fn module(path: &Path) -> String {
    let path = path.with_extension("");
    let parts = path.iter().map(|part| part.to_string_lossy());
    let named = parts.filter(|part| !matches!(&**part, "mod" | "lib" | "main"));
    named.collect::<Vec<_>>().join("::")
}

/// The paths in the braces that a text begins within, each after `start`.
fn members(start: &str, text: &str) -> Vec<String> {
    let (mut starts, mut word, mut paths) = (vec![start.to_owned()], String::new(), Vec::new());
    for c in text.chars() {
        let last = starts.last().cloned().unwrap_or_default();
        match c {
            '{' => starts.push(format!("{last}::{}", word.trim_end_matches("::"))),
            ',' | '}' if !word.is_empty() => paths.push(format!("{last}::{word}")),
            _ => {}
        }
        match c {
            '}' => drop(starts.pop()),
            c if c.is_alphanumeric() || c == '_' || c == ':' => word.push(c),
            _ => {}
        }
        if "{},".contains(c) {
            word.clear();
        }
        if starts.is_empty() {
            break;
        }
    }
    paths
}

/// The file that a path in a module leads to; `None` for the crate's root.
fn file(module: &str, path: &str, texts: &BTreeMap<String, String>) -> Option<String> {
    let mut at: Vec<&str> = module.split("::").filter(|part| !part.is_empty()).collect();
    for part in path.split("::") {
        match part {
            "crate" => at.clear(),
            "self" => {}
            "super" => drop(at.pop()),
            part => at.push(part),
        }
    }
    while !at.is_empty() {
        if texts.contains_key(&at.join("::")) {
            return Some(at.join("::"));
        }
        at.pop();
    }
    None
}

/// Sets of modules that lead to each other.
fn circles(graph: &Graph) -> Vec<BTreeSet<String>> {
    let reached = |from: &String| {
        let (mut seen, mut next) = (BTreeSet::new(), vec![from]);
        while let Some(module) = next.pop() {
            let named = graph.get(module).into_iter().flatten();
            next.extend(named.filter(|named| seen.insert((*named).clone())));
        }
        seen
    };
    let reached: BTreeMap<&String, BTreeSet<String>> = graph
        .keys()
        .map(|module| (module, reached(module)))
        .collect();
    let circle = |module: &&String| -> BTreeSet<String> {
        let back = |other: &&String| reached.get(other).is_some_and(|r| r.contains(*module));
        reached[module].iter().filter(back).cloned().collect()
    };
    let circles: BTreeSet<BTreeSet<String>> = graph.keys().map(|m| circle(&m)).collect();
    circles
        .into_iter()
        .filter(|circle| circle.len() > 1)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_need_each_other_are_found() {
        let dir = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("lib.rs", "mod a;\nmod b;\npub use a::A;\n");
        write(
            "a.rs",
            "use crate::{Error, b::c::{self, C}};\n// use crate::d;\n",
        );
        write("b/mod.rs", "pub mod c;\nfn f() { self::c::g() }\n");
        write("b/c.rs", "use super::super::d::{D};\n");
        write(
            "d.rs",
            "use crate::A;\n\n#[cfg(test)]\nmod tests {\n use crate::a;\n}\n",
        );
        assert!(circles(&graph(dir.path()).unwrap()).is_empty());
        write("d.rs", "fn f() { crate::a::g() }\n");
        let found = circles(&graph(dir.path()).unwrap());
        let expected: BTreeSet<String> = ["a", "b::c", "d"].map(String::from).into();
        assert_eq!(found, [expected]);
    }

    #[test]
    fn there_are_none_in_the_crates() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        assert!(all(&root).unwrap().is_empty());
    }
}
