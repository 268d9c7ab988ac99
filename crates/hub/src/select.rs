//! Which files of a repository are meant.

use crate::error::count;
use crate::listing::Listing;
use crate::{Error, RepoRef};
use globset::{GlobBuilder, GlobMatcher};

/// Files that a conversion reads besides the weights.
const SIDE_FILES: [&str; 12] = [
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
    "chat_template.json",
    "README.md",
];

/// Which files of a repository are meant.
#[derive(Clone, Debug)]
pub struct Selection(Kind);

#[derive(Clone, Debug)]
enum Kind {
    File,
    Conversion,
    Configuration,
    Patterns {
        include: Vec<Pattern>,
        exclude: Vec<Pattern>,
    },
}

#[derive(Clone, Debug)]
struct Pattern {
    text: String,
    matcher: GlobMatcher,
}

impl Pattern {
    fn new(text: &str) -> Result<Self, Error> {
        // As the Python client reads them: "folder/" is all below it, and * crosses slashes.
        let glob = if text.ends_with('/') {
            format!("{text}*")
        } else {
            text.to_owned()
        };
        let glob = GlobBuilder::new(&glob)
            .literal_separator(false)
            .backslash_escape(false)
            .build();
        match glob {
            Ok(glob) => Ok(Self {
                text: text.to_owned(),
                matcher: glob.compile_matcher(),
            }),
            Err(e) => Err(Error::Pattern {
                pattern: text.to_owned(),
                why: e.kind().to_string(),
            }),
        }
    }

    fn matches(&self, path: &str) -> bool {
        self.matcher.is_match(path)
    }
}

impl Selection {
    /// The file that the reference names.
    #[must_use]
    pub fn file() -> Self {
        Self(Kind::File)
    }

    /// What a conversion reads: configuration, tokenizer, model card, and the weights as
    /// safetensors. Other formats of the same weights (`.bin`, `.pth`, `consolidated`) are left
    /// where they are.
    #[must_use]
    pub fn conversion() -> Self {
        Self(Kind::Conversion)
    }

    /// The configuration and the tokenizer: a conversion's files without the weights.
    #[must_use]
    pub fn configuration() -> Self {
        Self(Kind::Configuration)
    }

    /// What matches any of the patterns to include (all files if there are none) and none of those
    /// to exclude. In a pattern `*` stands for any characters, also slashes.
    ///
    /// # Errors
    /// [`Error::Pattern`] for one that cannot be read.
    pub fn patterns(include: &[&str], exclude: &[&str]) -> Result<Self, Error> {
        let read = |texts: &[&str]| {
            texts
                .iter()
                .map(|text| Pattern::new(text))
                .collect::<Result<_, _>>()
        };
        Ok(Self(Kind::Patterns {
            include: read(include)?,
            exclude: read(exclude)?,
        }))
    }

    /// Whether the path matches the patterns; without patterns every path does.
    pub(crate) fn wants(&self, path: &str) -> bool {
        match &self.0 {
            Kind::File | Kind::Conversion | Kind::Configuration => true,
            Kind::Patterns { include, exclude } => {
                (include.is_empty() || include.iter().any(|p| p.matches(path)))
                    && !exclude.iter().any(|p| p.matches(path))
            }
        }
    }

    /// A pattern to include that matches none of the paths.
    pub(crate) fn idle(&self, paths: &[&str]) -> Option<&str> {
        let Kind::Patterns { include, .. } = &self.0 else {
            return None;
        };
        let idle = include
            .iter()
            .find(|p| !paths.iter().any(|path| p.matches(path)));
        idle.map(|p| p.text.as_str())
    }

    /// The paths that are meant, in order. A reference that names a file means that file (all
    /// parts, if it is one of a split GGUF), whatever the selection; one that names a folder means
    /// the selection within it.
    ///
    /// # Errors
    /// [`Error::NothingMatched`] for a path or a pattern that picks no file,
    /// [`Error::NothingToConvert`].
    pub fn choose(&self, repo: &RepoRef, listing: &Listing) -> Result<Vec<String>, Error> {
        let files = listing.files.len();
        let nothing = |what: &str| Error::NothingMatched {
            repo: repo.id(),
            what: what.to_owned(),
            files,
        };
        let mut prefix = String::new();
        if let Some(path) = repo.path() {
            if listing.files.contains_key(path) {
                return Ok(parts(path, listing));
            }
            prefix = format!("{path}/");
            if !listing.files.keys().any(|p| p.starts_with(&prefix)) {
                return Err(nothing(path));
            }
        }
        let paths: Vec<&str> = listing
            .files
            .keys()
            .map(String::as_str)
            .filter(|p| p.starts_with(&prefix))
            .collect();
        let chosen: Vec<String> = match &self.0 {
            Kind::File => {
                return Err(Error::NothingToConvert {
                    repo: repo.to_string(),
                    why: "this is a folder, and one file is wanted: add its path, or a colon and \
                          its type"
                        .to_owned(),
                });
            }
            Kind::Conversion => conversion(repo, &prefix, &paths, true)?,
            Kind::Configuration => conversion(repo, &prefix, &paths, false)?,
            Kind::Patterns { .. } => {
                if let Some(idle) = self.idle(&paths) {
                    return Err(nothing(idle));
                }
                paths
                    .into_iter()
                    .filter(|path| self.wants(path))
                    .map(str::to_owned)
                    .collect()
            }
        };
        match chosen.is_empty() {
            true => Err(nothing("the selection")),
            false => Ok(chosen),
        }
    }
}

fn conversion(
    repo: &RepoRef,
    prefix: &str,
    paths: &[&str],
    with_weights: bool,
) -> Result<Vec<String>, Error> {
    let missing = |why: String| {
        Err(Error::NothingToConvert {
            repo: repo.id(),
            why,
        })
    };
    let names: Vec<&str> = paths
        .iter()
        .map(|p| &p[prefix.len()..])
        .filter(|n| !n.contains('/'))
        .collect();
    let ends = |end: &str| {
        names
            .iter()
            .copied()
            .filter(|n| n.ends_with(end))
            .collect::<Vec<_>>()
    };
    if !names.contains(&"config.json") {
        let gguf = ends(".gguf");
        return missing(match gguf.first() {
            Some(first) => format!(
                "there is no config.json, but {}: name one, as in hf:{}/{prefix}{first}",
                count(gguf.len(), "GGUF file"),
                repo.id(),
            ),
            None => "there is no config.json: this is not a model to convert".to_owned(),
        });
    }
    let whole = |names: Vec<&str>| names.iter().map(|n| format!("{prefix}{n}")).collect();
    if !with_weights {
        let mut side = names;
        side.retain(|name| SIDE_FILES.contains(name));
        return Ok(whole(side));
    }
    let sharded = names.contains(&"model.safetensors.index.json");
    let mut weights: Vec<&str> = match sharded {
        true => names.iter().copied().filter(|n| is_shard(n)).collect(),
        false => names
            .iter()
            .copied()
            .filter(|n| *n == "model.safetensors")
            .collect(),
    };
    if weights.is_empty() {
        // Other names than usual: all but the second copy in the authors' own layout.
        weights = ends(".safetensors");
        weights.retain(|n| !n.starts_with("consolidated"));
    }
    if weights.is_empty() {
        let others = ends(".bin").len() + ends(".pth").len();
        return missing(format!(
            "there are no safetensors ({}, which cannot be read)",
            count(others, ".bin or .pth file")
        ));
    }
    let wanted = |name: &&str| {
        SIDE_FILES.contains(name)
            || weights.contains(name)
            || (sharded && *name == "model.safetensors.index.json")
    };
    Ok(whole(names.iter().copied().filter(wanted).collect()))
}

/// `model-00001-of-00002.safetensors`.
fn is_shard(name: &str) -> bool {
    let middle = name
        .strip_prefix("model-")
        .and_then(|n| n.strip_suffix(".safetensors"));
    middle
        .and_then(|m| m.split_once("-of-"))
        .is_some_and(|(number, count)| {
            let digits = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
            digits(number) && digits(count)
        })
}

/// The one GGUF file whose path carries a type, as in `hf:owner/name:Q4_K_M`, or whose name is that.
pub(crate) fn file_of_type(repo: &RepoRef, tag: &str, listing: &Listing) -> Result<String, Error> {
    const SHOWN: usize = 24;
    let all: Vec<&str> = listing
        .files
        .keys()
        .map(String::as_str)
        .filter(|path| is_gguf(path))
        .filter(|path| match repo.path() {
            Some(folder) => path
                .strip_prefix(folder)
                .is_some_and(|p| p.starts_with('/')),
            None => true,
        })
        // Of a split file, its first part stands for all; what sees images is no model of text.
        .filter(|path| parts(path, listing)[0] == **path && !carries(path, "mmproj"))
        .collect();
    let named = |path: &&str| {
        let name = path.rsplit('/').next().unwrap_or_default();
        name.eq_ignore_ascii_case(tag) || carries(path, tag)
    };
    let found: Vec<&str> = all.iter().copied().filter(named).collect();
    if let [file] = found[..] {
        return Ok(file.to_owned());
    }
    let (found, files) = match found.is_empty() {
        true => ("there is no GGUF file", all),
        false => ("there is more than one GGUF file", found),
    };
    let more = match files.len().saturating_sub(SHOWN) {
        0 => String::new(),
        n => format!(" and {n} more"),
    };
    Err(Error::NoSuchType {
        repo: repo.to_string(),
        tag: tag.to_owned(),
        found,
        files: match files.is_empty() {
            true => "the repository has none at all".to_owned(),
            false => format!(
                "it has {}{more}",
                files[..files.len().min(SHOWN)].join(", ")
            ),
        },
    })
}

/// Whether a path is that of a GGUF file, by its name.
pub(crate) fn is_gguf(path: &str) -> bool {
    path.to_ascii_lowercase().ends_with(".gguf")
}

/// Whether a path has a word in it; Q4_K is not a word of Q4_K_M.
pub(crate) fn carries(path: &str, word: &str) -> bool {
    let (path, word) = (path.to_ascii_uppercase(), word.to_ascii_uppercase());
    let inside = |c: char| c.is_ascii_alphanumeric() || c == '_';
    path.match_indices(&word).any(|(at, _)| {
        !path[..at].ends_with(inside) && !path[at + word.len()..].starts_with(inside)
    })
}

/// All parts of the split GGUF file that the path is one of, or the path alone.
fn parts(path: &str, listing: &Listing) -> Vec<String> {
    let split = path.strip_suffix(".gguf").and_then(|stem| {
        let (stem, count) = stem.rsplit_once("-of-")?;
        let (stem, number) = stem.rsplit_once('-')?;
        let digits = |t: &str| t.len() == 5 && t.bytes().all(|b| b.is_ascii_digit());
        (digits(count) && digits(number)).then(|| (format!("{stem}-"), format!("-of-{count}.gguf")))
    });
    match split {
        None => vec![path.to_owned()],
        Some((start, end)) => {
            let long = start.len() + 5 + end.len();
            let sibling =
                |p: &&String| p.len() == long && p.starts_with(&start) && p.ends_with(&end);
            listing.files.keys().filter(sibling).cloned().collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::listing::Entry;

    fn listing(paths: &[&str]) -> Listing {
        let entry = Entry {
            bytes: 1,
            blob: "a".repeat(40),
            sha256: None,
        };
        let files = paths
            .iter()
            .map(|p| ((*p).to_owned(), entry.clone()))
            .collect();
        Listing {
            commit: "0".repeat(40),
            files,
        }
    }

    fn choose(
        selection: &Selection,
        reference: &str,
        paths: &[&str],
    ) -> Result<Vec<String>, Error> {
        selection.choose(&RepoRef::parse(reference).unwrap(), &listing(paths))
    }

    #[test]
    fn a_conversion_takes_one_copy_of_the_weights() {
        let all = [
            ".gitattributes",
            "config.json",
            "consolidated.safetensors",
            "model-00001-of-00002.safetensors",
            "model-00002-of-00002.safetensors",
            "model.safetensors.index.json",
            "original/consolidated.00.pth",
            "pytorch_model-00001-of-00002.bin",
            "pytorch_model.bin.index.json",
            "tokenizer.model",
            "training_args.bin",
        ];
        let chosen = choose(&Selection::conversion(), "o/n", &all).unwrap();
        let expected = [
            "config.json",
            "model-00001-of-00002.safetensors",
            "model-00002-of-00002.safetensors",
            "model.safetensors.index.json",
            "tokenizer.model",
        ];
        assert_eq!(chosen, expected);
        let chosen = choose(&Selection::configuration(), "o/n", &all).unwrap();
        assert_eq!(chosen, ["config.json", "tokenizer.model"]);
        let one = choose(
            &Selection::conversion(),
            "o/n",
            &["config.json", "model.safetensors", "model.fp16.safetensors"],
        );
        assert_eq!(one.unwrap(), ["config.json", "model.safetensors"]);
        let below = choose(
            &Selection::conversion(),
            "o/n/sub",
            &["config.json", "sub/config.json", "sub/model.safetensors"],
        );
        assert_eq!(below.unwrap(), ["sub/config.json", "sub/model.safetensors"]);
    }

    #[test]
    fn what_cannot_be_converted_says_what_is_there() {
        let error = |paths| {
            choose(&Selection::conversion(), "o/n", paths)
                .unwrap_err()
                .to_string()
        };
        assert!(
            error(&["a.Q4_K_M.gguf", "b.gguf"]).contains("name one, as in hf:o/n/a.Q4_K_M.gguf")
        );
        assert!(error(&["config.json", "pytorch_model.bin"]).contains("1 .bin or .pth file,"));
        assert!(error(&["README.md"]).contains("no config.json"));
    }

    #[test]
    fn patterns_cross_folders_and_must_match() {
        let all = ["a.json", "sub/b.json", "sub/c.bin", "d.Q4_K_M.gguf"];
        let pick = |include: &[&str], exclude: &[&str]| {
            choose(&Selection::patterns(include, exclude).unwrap(), "o/n", &all)
        };
        assert_eq!(pick(&["*.json"], &[]).unwrap(), ["a.json", "sub/b.json"]);
        assert_eq!(pick(&["sub/"], &["*.bin"]).unwrap(), ["sub/b.json"]);
        assert_eq!(
            pick(&[], &["*json"]).unwrap(),
            ["d.Q4_K_M.gguf", "sub/c.bin"]
        );
        assert_eq!(pick(&["*Q4_K*gguf"], &[]).unwrap(), ["d.Q4_K_M.gguf"]);
        let error = pick(&["*.json", "*.txt"], &[]).unwrap_err().to_string();
        assert!(
            error.contains("*.txt matches none of its 4 files"),
            "{error}"
        );
        assert!(pick(&["*.json"], &["*"]).is_err());
        assert!(matches!(
            Selection::patterns(&["a[b"], &[]),
            Err(Error::Pattern { .. })
        ));
    }

    #[test]
    fn a_type_is_that_of_one_file() {
        let all = [
            "README.md",
            "Q6_K/m-00001-of-00002.gguf",
            "Q6_K/m-00002-of-00002.gguf",
            "m-BF16.gguf",
            "m-IQ4_XS.gguf",
            "m-UD-IQ4_XS.gguf",
            "m.F16.gguf",
            "m.Q4_K.gguf",
            "m.q4_k_m.gguf",
            "mmproj-m-F16.gguf",
        ];
        let repo = RepoRef::parse("o/n").unwrap();
        let pick = |tag, paths| file_of_type(&repo, tag, &listing(paths));
        for (tag, file) in [
            ("Q4_K_M", "m.q4_k_m.gguf"),
            ("q4_k", "m.Q4_K.gguf"),
            ("F16", "m.F16.gguf"),
            ("bf16", "m-BF16.gguf"),
            ("UD-IQ4_XS", "m-UD-IQ4_XS.gguf"),
            ("Q6_K", "Q6_K/m-00001-of-00002.gguf"),
            ("M.f16.GGUF", "m.F16.gguf"),
        ] {
            assert_eq!(pick(tag, &all).unwrap(), file, "{tag}");
        }
        let none = pick("Q8_0", &all).unwrap_err().to_string();
        assert!(
            none.contains("hf:o/n: there is no GGUF file of type Q8_0")
                && none.contains("m-BF16.gguf, ")
                && !none.contains("00002-of"),
            "{none}"
        );
        let two = pick("IQ4_XS", &all).unwrap_err().to_string();
        assert!(
            two.contains("more than one") && two.contains("has m-IQ4_XS.gguf, m-UD-IQ4_XS.gguf"),
            "{two}"
        );
        let empty = pick("Q8_0", &["config.json"]).unwrap_err().to_string();
        assert!(empty.contains("none at all"), "{empty}");
    }

    #[test]
    fn a_path_is_a_file_all_its_parts_or_a_folder() {
        let all = [
            "m-00001-of-00002.gguf",
            "m-00002-of-00002.gguf",
            "m.gguf",
            "x/y.txt",
        ];
        let pick = |reference| choose(&Selection::patterns(&[], &[]).unwrap(), reference, &all);
        assert_eq!(pick("o/n/m.gguf").unwrap(), ["m.gguf"]);
        assert_eq!(pick("o/n/m-00002-of-00002.gguf").unwrap(), all[..2]);
        assert_eq!(pick("o/n/x").unwrap(), ["x/y.txt"]);
        assert_eq!(
            choose(&Selection::file(), "o/n/m.gguf", &all).unwrap(),
            ["m.gguf"]
        );
        let folder = choose(&Selection::file(), "o/n/x", &all).unwrap_err();
        assert!(
            folder.to_string().contains("one file is wanted"),
            "{folder}"
        );
        assert!(
            pick("o/n/z")
                .unwrap_err()
                .to_string()
                .contains("z matches none")
        );
    }
}
