//! Circles between the files of a crate: each file of one needs the others to be understood.
//!
//! Found from the text: `use crate::…`, `use super::…` and such paths anywhere in a file, its tests
//! left out. A path counts for the longest beginning of it that is a file; the crate's root, which
//! names everything, counts for nothing.

use anyhow::{Context, Result, bail};
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
    let mut crates = vec![root.join("cli")];
    for entry in std::fs::read_dir(root.join("crates"))? {
        crates.push(entry?.path());
    }
    crates.sort();
    let mut found = Vec::new();
    for folder in crates {
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
    read(src, &[], &mut texts)?;
    let paths = Regex::new(r"\b(?:crate|super|self)(?:::\w+)*(?:::\{)?")?;
    let tests = Regex::new(r"(?m)^#\[cfg\((?:all\()?test[^\n]*\n(?:#\[[^\n]*\n)*mod tests \{")?;
    let comments = Regex::new(r"//[^\n]*")?;
    let mut graph = Graph::new();
    for (module, text) in &texts {
        let end = tests.find(text).map_or(text.len(), |found| found.start());
        let text = comments.replace_all(&text[..end], "");
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

/// The texts of a folder's files by their modules; tests in files of their own are left out.
fn read(folder: &Path, module: &[String], texts: &mut BTreeMap<String, String>) -> Result<()> {
    for entry in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let mut own = module.to_vec();
        if !matches!(&*stem, "mod" | "lib" | "main") {
            own.push(stem.clone().into_owned());
        }
        if path.is_dir() {
            read(&path, &own, texts)?;
        } else if path.extension().is_some_and(|e| e == "rs") && stem != "tests" {
            texts.insert(own.join("::"), std::fs::read_to_string(&path)?);
        }
    }
    Ok(())
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

    /// Circles that there are. None may join them; one that ends is taken out here.
    const KNOWN: [&str; 8] = [
        "cli: commands::chat, commands::run",
        "cli: commands::evaluate, commands::forecast, commands::forge, commands::imatrix",
        "checkpoint: assembly, weights",
        "checkpoint: config, layout",
        // An array holds values, and a value may be an array.
        "gguf: array, encoding, value",
        // Weights are read by the blocks that they make up, and the forward pass calls these.
        "infer: model::attention, model::cache, model::delta_net, model::dense_and_experts, model::experts, \
         model::feed_forward, model::forward, model::latent_attention, model::layer_input, \
         model::short_convolution, model::weights",
        "infer: model::hyper, model::rope",
        "testkit: hub_server::publish, hub_server::read, hub_server::server",
    ];

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
    fn there_are_no_others() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        assert_eq!(all(&root).unwrap(), KNOWN);
    }
}
