//! Names from outside that become names on this disk, and the rules they must keep.

use crate::Error;

/// Checks that a path from a repository stays inside the folder it is joined to.
pub(crate) fn check_path(path: &str) -> Result<(), Error> {
    match path_fault(path) {
        None => Ok(()),
        Some(why) => Err(Error::UnsafeName {
            name: path.to_owned(),
            what: "file name",
            why,
        }),
    }
}

/// What is wrong with the path of a file in a repository, if anything is.
pub(crate) fn path_fault(path: &str) -> Option<&'static str> {
    if path.is_empty() || path.len() > 1024 {
        return Some("its path must have 1 to 1024 bytes");
    }
    if path.starts_with('/') || path.as_bytes().get(1) == Some(&b':') {
        return Some("it is an absolute path");
    }
    if path.chars().any(|c| c == '\\' || c.is_control()) {
        return Some("it holds a backslash or a control character");
    }
    for part in path.split('/') {
        match part {
            "" => return Some("it has an empty part"),
            "." | ".." => return Some("it leaves its folder"),
            _ if part.len() > 255 => return Some("a part has more than 255 bytes"),
            _ => {}
        }
    }
    None
}

/// Whether the text is a whole commit hash.
pub(crate) fn is_commit(text: &str) -> bool {
    text.len() == 40 && is_lower_hex(text)
}

/// Whether the text is a sha256 in hex.
pub(crate) fn is_sha256(text: &str) -> bool {
    text.len() == 64 && is_lower_hex(text)
}

fn is_lower_hex(text: &str) -> bool {
    text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// What is wrong with a branch, tag or commit name, if anything is.
pub(crate) fn revision_fault(revision: &str) -> Option<&'static str> {
    if revision.is_empty() || revision.len() > 255 {
        return Some("a revision has 1 to 255 bytes");
    }
    if revision
        .chars()
        .any(|c| c.is_control() || c.is_whitespace() || "\\:?*[~^".contains(c))
    {
        return Some("a revision has no spaces, control characters or \\ : ? * [ ~ ^");
    }
    match revision
        .split('/')
        .any(|part| part.is_empty() || part.starts_with('.'))
    {
        true => Some("a part of a revision is neither empty nor begins with a dot"),
        false => None,
    }
}

/// What is wrong with the owner or the name of a repository, if anything is.
pub(crate) fn repo_part_fault(part: &str) -> Option<&'static str> {
    if part.is_empty() || part.len() > 96 {
        return Some("owner and name have 1 to 96 characters each");
    }
    if !part
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
    {
        return Some("owner and name are made of letters, digits, - _ .");
    }
    // Two dashes separate owner and name in the cache.
    match part.contains("--")
        || part.contains("..")
        || part.starts_with(['-', '.'])
        || part.ends_with(['-', '.'])
    {
        true => Some("owner and name do not begin or end with - or . nor hold -- or .."),
        false => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_leave_the_folder_are_refused() {
        for path in ["a", "a/b.c", "..a/b..", "a b/ü", ".gitattributes"] {
            check_path(path).unwrap_or_else(|e| panic!("{path}: {e}"));
        }
        let long = "x".repeat(256);
        for path in [
            "",
            "/etc/passwd",
            "../x",
            "a/../../x",
            "a//b",
            "a/",
            "./a",
            "a\\b",
            "C:x",
            "a\0b",
            "a\nb",
            &long,
        ] {
            assert!(check_path(path).is_err(), "{path:?}");
        }
    }

    #[test]
    fn revisions_and_repository_names() {
        for good in ["main", "v1.0", "refs/pr/1", &"0".repeat(40)] {
            assert_eq!(revision_fault(good), None, "{good}");
        }
        for bad in ["", "..", "a/../b", "a//b", "/a", "a b", "a\\b", "a/.lock"] {
            assert!(revision_fault(bad).is_some(), "{bad}");
        }
        assert_eq!(repo_part_fault("notus-7B-v1.GGUF_x"), None);
        for bad in ["", "a--b", "-a", "a.", "a..b", "a/b", "ü", &"a".repeat(97)] {
            assert!(repo_part_fault(bad).is_some(), "{bad}");
        }
    }
}
