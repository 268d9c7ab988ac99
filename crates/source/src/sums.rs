//! `SHA256SUMS`: the digests of a folder's files, as coreutils write and check them.

use crate::{Error, open_locked};
use std::fs::Metadata;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The name of the list.
pub const SUMS: &str = "SHA256SUMS";

/// The largest list that is read, in bytes: 10,000 files with names of usual length.
const MAX_BYTES: u64 = 1 << 20;

/// The list of one folder.
#[derive(Clone, Debug)]
pub struct Sums {
    folder: PathBuf,
    modified: Option<SystemTime>,
    lines: Vec<Line>,
}

/// One file of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sum {
    /// Its name in the folder, or path from there.
    pub name: String,
    /// SHA-256 of its bytes, 64 lower-case hex digits.
    pub sha256: String,
}

#[derive(Clone, Debug)]
enum Line {
    Sum(Sum),
    /// Somebody's words; kept.
    Other(String),
}

impl Sums {
    /// Reads a folder's list; `None` if it has none.
    ///
    /// # Errors
    /// [`Error::Io`] for one that cannot be read or is no text, [`Error::TooLarge`] for one of
    /// more than 1 MiB.
    pub fn read(folder: &Path) -> Result<Option<Self>, Error> {
        let path = folder.join(SUMS);
        match std::fs::metadata(&path) {
            Ok(meta) if !meta.is_file() => return Err(Error::NotAFile { path }),
            Ok(_) => {}
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(Error::io("read", &path)(e)),
        }
        let file = std::fs::File::open(&path).map_err(Error::io("open", &path))?;
        let modified = file.metadata().and_then(|meta| meta.modified()).ok();
        let mut text = String::new();
        file.take(MAX_BYTES + 1)
            .read_to_string(&mut text)
            .map_err(Error::io("read", &path))?;
        if text.len() as u64 > MAX_BYTES {
            return Err(Error::TooLarge {
                path,
                limit: MAX_BYTES,
            });
        }
        Ok(Some(Self {
            folder: folder.into(),
            modified,
            lines: text.lines().map(Line::parse).collect(),
        }))
    }

    /// The files of the list, in its order.
    pub fn iter(&self) -> impl Iterator<Item = &Sum> {
        self.lines.iter().filter_map(|line| match line {
            Line::Sum(sum) => Some(sum),
            Line::Other(_) => None,
        })
    }

    /// The digest of a file, if it is listed.
    pub fn get(&self, name: &str) -> Option<&str> {
        let mut sums = self.iter();
        sums.find(|s| s.name == name).map(|s| s.sha256.as_str())
    }

    /// The digest of a file that is listed and was not written to after the list was.
    pub fn current(&self, name: &str) -> Option<&str> {
        let digest = self.get(name)?;
        let meta = std::fs::metadata(self.folder.join(name)).ok()?;
        (!self.is_older_than(&meta)).then_some(digest)
    }

    fn is_older_than(&self, meta: &Metadata) -> bool {
        match (self.modified, meta.modified()) {
            (Some(listed), Ok(written)) => listed < written,
            _ => true,
        }
    }

    /// Adds digests to a folder's list, in the place of those that it has of the same names. The
    /// list is made if there is none, and replaced as a whole: a reader never sees half of it.
    /// Lines of files that were written to after the old list was are left out.
    ///
    /// # Errors
    /// Those of [`read`](Self::read); [`Error::Io`] if the list cannot be written.
    pub fn add(folder: &Path, new: &[Sum]) -> Result<(), Error> {
        let path = folder.join(SUMS);
        let partial = folder.join(format!("{SUMS}.partial"));
        let mut file = loop {
            // `None` is for those who do not wait.
            if let Some(file) = open_locked(&partial, true)? {
                break file;
            }
        };
        // From here on no other run changes the list.
        let old = Self::read(folder)?;
        let mut lines = Vec::new();
        if let Some(old) = &old {
            for line in &old.lines {
                let kept = match line {
                    Line::Other(_) => true,
                    Line::Sum(sum) => {
                        let stale = || {
                            let meta = std::fs::metadata(folder.join(&sum.name));
                            meta.is_ok_and(|meta| old.is_older_than(&meta))
                        };
                        new.iter().all(|n| n.name != sum.name) && !stale()
                    }
                };
                if kept {
                    lines.push(line.clone());
                }
            }
        }
        lines.extend(new.iter().cloned().map(Line::Sum));
        // Words first, then names in order.
        lines.sort_by_cached_key(|line| match line {
            Line::Other(_) => String::new(),
            Line::Sum(sum) => sum.name.clone(),
        });
        let text: String = lines.iter().map(Line::text).collect();
        let written = file
            .set_len(0)
            .and_then(|()| file.write_all(text.as_bytes()))
            .and_then(|()| file.sync_all())
            .and_then(|()| std::fs::rename(&partial, &path));
        written.map_err(|error| {
            let _ = std::fs::remove_file(&partial);
            Error::io("write", &path)(error)
        })?;
        if let Ok(folder) = std::fs::File::open(folder) {
            let _ = folder.sync_all();
        }
        Ok(())
    }
}

impl Line {
    fn parse(line: &str) -> Self {
        let (escaped, rest) = match line.strip_prefix('\\') {
            Some(rest) => (true, rest),
            None => (false, line),
        };
        let sum = rest.split_once([' ', '\t']).and_then(|(digest, name)| {
            let hex = digest.len() == 64 && digest.bytes().all(|b| b.is_ascii_hexdigit());
            // One more blank, or a star for binary; some writers put "./" before names.
            let name = name.trim_start_matches([' ', '\t']);
            let name = name.strip_prefix('*').unwrap_or(name);
            let name = name.strip_prefix("./").unwrap_or(name);
            (hex && !name.is_empty()).then(|| Sum {
                name: if escaped { unescape(name) } else { name.into() },
                sha256: digest.to_ascii_lowercase(),
            })
        });
        sum.map_or_else(|| Self::Other(line.into()), Self::Sum)
    }

    fn text(&self) -> String {
        match self {
            Self::Other(line) => format!("{line}\n"),
            Self::Sum(sum) if sum.name.contains(['\\', '\n', '\r']) => {
                let name = sum.name.replace('\\', "\\\\");
                let name = name.replace('\n', "\\n").replace('\r', "\\r");
                format!("\\{}  {name}\n", sum.sha256)
            }
            Self::Sum(sum) => format!("{}  {}\n", sum.sha256, sum.name),
        }
    }
}

fn unescape(name: &str) -> String {
    let mut out = String::new();
    let mut chars = name.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('n') => out.push('\n'),
                Some('r') => out.push('\r'),
                Some(other) => out.push(other),
                None => out.push('\\'),
            },
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn sum(name: &str, digit: char) -> Sum {
        Sum {
            name: name.into(),
            sha256: digit.to_string().repeat(64),
        }
    }

    fn text(folder: &Path) -> String {
        std::fs::read_to_string(folder.join(SUMS)).unwrap()
    }

    #[test]
    fn lines_are_added_replaced_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Sums::read(dir.path()).unwrap().is_none());
        Sums::add(dir.path(), &[sum("b", '1'), sum("a", '2')]).unwrap();
        let one = "1".repeat(64);
        assert_eq!(
            text(dir.path()),
            format!("{}  a\n{one}  b\n", "2".repeat(64))
        );
        let mine = format!("# mine\n{}", text(dir.path()));
        std::fs::write(dir.path().join(SUMS), mine).unwrap();
        Sums::add(dir.path(), &[sum("a", '3'), sum("odd\\\nname", '4')]).unwrap();
        let expected = format!(
            "# mine\n{}  a\n{one}  b\n\\{}  odd\\\\\\nname\n",
            "3".repeat(64),
            "4".repeat(64)
        );
        assert_eq!(text(dir.path()), expected);
        let sums = Sums::read(dir.path()).unwrap().unwrap();
        assert_eq!(sums.get("odd\\\nname"), Some("4".repeat(64).as_str()));
        assert_eq!(sums.iter().count(), 3);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_digest_is_current_until_the_file_is_written_to() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a");
        std::fs::write(&file, "abc").unwrap();
        std::fs::write(dir.path().join("b"), "abc").unwrap();
        Sums::add(dir.path(), &[sum("a", '1'), sum("b", '1')]).unwrap();
        let sums = Sums::read(dir.path()).unwrap().unwrap();
        assert!(sums.current("a").is_some() && sums.current("c").is_none());
        let later = SystemTime::now() + Duration::from_secs(60);
        let open = std::fs::File::options().write(true).open(&file).unwrap();
        open.set_modified(later).unwrap();
        assert!(sums.current("a").is_none() && sums.current("b").is_some());
        // A newer list must not make the old digest look current.
        Sums::add(dir.path(), &[sum("c", '2')]).unwrap();
        let sums = Sums::read(dir.path()).unwrap().unwrap();
        assert_eq!((sums.get("a"), sums.iter().count()), (None, 2));
    }

    #[test]
    fn other_writers_forms_are_read() {
        let one = "1".repeat(64);
        for line in [
            format!("{one}  a b.gguf"),
            format!("{one} *a b.gguf"),
            format!("{one}\ta b.gguf"),
            format!("{one}  ./a b.gguf"),
        ] {
            match Line::parse(&line) {
                Line::Sum(sum) => assert_eq!(sum.name, "a b.gguf", "{line}"),
                Line::Other(_) => panic!("{line}"),
            }
        }
        for line in ["", "sha256  a", &one, &format!("{one}  ")] {
            assert!(matches!(Line::parse(line), Line::Other(_)), "{line}");
        }
    }

    #[test]
    fn writers_at_once_lose_no_line() {
        let dir = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for i in 0..8 {
                let folder = dir.path();
                scope.spawn(move || Sums::add(folder, &[sum(&format!("f{i}"), '1')]).unwrap());
            }
        });
        let sums = Sums::read(dir.path()).unwrap().unwrap();
        assert_eq!(sums.iter().count(), 8);
    }

    #[test]
    fn links_are_not_followed() {
        #[cfg(unix)]
        {
            let dir = tempfile::tempdir().unwrap();
            let victim = dir.path().join("victim");
            std::fs::write(&victim, b"precious").unwrap();
            let partial = dir.path().join(format!("{SUMS}.partial"));
            std::os::unix::fs::symlink(&victim, partial).unwrap();
            assert!(Sums::add(dir.path(), &[sum("a", '1')]).is_err());
            assert_eq!(std::fs::read(&victim).unwrap(), b"precious");
        }
    }
}
