//! The GGUF files of a folder.

use crate::split::ShardName;
use std::io;
use std::path::{Path, PathBuf};

/// The GGUF files directly in a folder, sorted by name; of a split file the first part only.
///
/// # Errors
/// Those of reading the folder.
pub fn files_in(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let is_part = ShardName::parse(&path).is_some_and(|shard| shard.number > 1);
        if is_named_gguf(&path) && !is_part && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Whether a path ends in `.gguf`, in any letter case.
pub fn is_named_gguf(path: &Path) -> bool {
    let extension = path.extension();
    extension.is_some_and(|extension| extension.eq_ignore_ascii_case("gguf"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_lists_its_gguf_files_and_the_first_parts_of_split_ones() {
        let folder = tempfile::tempdir().unwrap();
        let names = [
            "b.gguf",
            "a.GGUF",
            "c-00001-of-00002.gguf",
            "c-00002-of-00002.gguf",
            "readme.md",
        ];
        for name in names {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        std::fs::create_dir(folder.path().join("folder.gguf")).unwrap();
        let found = files_in(folder.path()).unwrap();
        let found: Vec<_> = found.iter().filter_map(|path| path.file_name()).collect();
        assert_eq!(found, ["a.GGUF", "b.gguf", "c-00001-of-00002.gguf"]);
    }
}
