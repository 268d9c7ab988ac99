//! `SHA256SUMS`: the digests of a folder's files, as coreutils write and check them.
//!
//! The list is for others, and for `aeolus verify`: this program trusts a digest only in the run that
//! took it, and hashes the file again in any other.

mod listed;

pub use listed::{Listed, check_lists, sha256};

use crate::Error;
use aeolus_job::{Names, PartialFile};
use aeolus_source::read_small;
use std::ops::Range;
use std::path::Path;

/// The name of the list.
pub const SUMS: &str = "SHA256SUMS";

/// The largest list that is read, in bytes: 10,000 files with names of usual length.
const MAX_BYTES: u64 = 1 << 20;

/// The list of one folder.
#[derive(Clone, Debug)]
pub struct Sums {
    text: String,
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

/// Where a line stands, its end included, and what it says; `None` for somebody's words. A list may
/// be a million empty lines: so they are small.
#[derive(Clone, Debug)]
struct Line {
    range: Range<usize>,
    sum: Option<Box<Sum>>,
}

impl Sums {
    /// Reads a folder's list; `None` if it has none.
    ///
    /// # Errors
    /// [`Error::ListIsNotText`]; [`Error::Source`] for one that is not a regular file, has more than
    /// 1 MiB or cannot be read.
    pub fn read(folder: &Path) -> Result<Option<Self>, Error> {
        let path = folder.join(SUMS);
        match read_small(&path, MAX_BYTES) {
            Err(e) if e.is_not_found() => Ok(None),
            read => match Self::parse(read?) {
                Some(sums) => Ok(Some(sums)),
                None => Err(Error::ListIsNotText { path }),
            },
        }
    }

    /// The list that the bytes of a file are; `None` if they are not text.
    pub(crate) fn parse(bytes: Vec<u8>) -> Option<Self> {
        let text = String::from_utf8(bytes).ok();
        let text = text.filter(|text| !text.contains('\0'))?;
        let mut start = 0;
        let lines = text.split_inclusive('\n').map(|line| {
            let range = start..start + line.len();
            start = range.end;
            Line {
                range,
                sum: Sum::parse(line).map(Box::new),
            }
        });
        let lines = lines.collect();
        Some(Self { text, lines })
    }

    /// Whether [`add`](Self::add) will be able to add files of these names to a folder's list: a
    /// long job asks before it begins. The folder need not exist.
    ///
    /// # Errors
    /// Those of `add`, as far as they can be known.
    pub fn check(folder: &Path, names: &[&str]) -> Result<(), Error> {
        let path = folder.join(SUMS);
        let partial = Names::of(&path).partial;
        match partial.symlink_metadata() {
            Ok(meta) if !meta.is_file() => {
                return Err(aeolus_job::Error::NotAFile { path: partial }.into());
            }
            _ => {}
        }
        // All digests are of one length: with these it has as many bytes as with the true ones.
        let new = names.iter().map(|name| Sum {
            name: (*name).to_owned(),
            sha256: "0".repeat(64),
        });
        let new: Vec<Sum> = new.collect();
        let bytes = updated(Self::read(folder)?.as_ref(), &new).len() as u64;
        match bytes > MAX_BYTES {
            true => Err(Error::ListIsFull {
                path,
                bytes,
                limit: MAX_BYTES,
            }),
            false => Ok(()),
        }
    }

    /// The files of the list, in its order.
    pub fn iter(&self) -> impl Iterator<Item = &Sum> {
        self.lines.iter().filter_map(|line| line.sum.as_deref())
    }

    fn text(&self, line: &Line) -> &str {
        &self.text[line.range.clone()]
    }

    /// Lines that are neither digests, nor empty, nor comments (`#`).
    pub fn odd_lines(&self) -> usize {
        let odd = |line: &&Line| {
            let text = self.text(line).trim();
            line.sum.is_none() && !text.is_empty() && !text.starts_with('#')
        };
        self.lines.iter().filter(odd).count()
    }

    /// The digest of a file, if it is listed.
    pub fn get(&self, name: &str) -> Option<&str> {
        let mut sums = self.iter();
        sums.find(|s| s.name == name).map(|s| s.sha256.as_str())
    }

    /// Adds digests to a folder's list: in the place of the lines that it has of the same names,
    /// else at its end. All other lines stay as they are, byte for byte. The list is made if there
    /// is none, and replaced as a whole: a reader never sees half of it.
    ///
    /// # Errors
    /// Those of [`read`](Self::read); [`Error::Job`] if the list cannot be written.
    pub fn add(folder: &Path, new: &[Sum]) -> Result<(), Error> {
        let path = folder.join(SUMS);
        let write = |error| aeolus_job::Error::Io {
            action: "write",
            path: path.clone(),
            error,
        };
        let mut file = PartialFile::open_waiting(Names::of(&path))?;
        // From here on no other run changes the list.
        let text = updated(Self::read(folder)?.as_ref(), new);
        let written = file.begin(0, 0);
        let written = written.and_then(|()| file.write_at(text.as_bytes(), 0));
        written.map_err(|error| match error {
            // The user knows the list, not the file that it grows in.
            aeolus_job::Error::Io { error, .. } => write(error),
            other => other,
        })?;
        Ok(file.name(true).map_err(write)?)
    }
}

/// A list's text with new digests: in the place of old ones and, in the order of their names, at the
/// end.
pub(crate) fn updated(old: Option<&Sums>, new: &[Sum]) -> String {
    let mut text = String::new();
    let mut done: Vec<&str> = Vec::new();
    for (sums, line) in old
        .iter()
        .flat_map(|old| old.lines.iter().map(move |l| (old, l)))
    {
        let name = line.sum.as_ref().map(|sum| &sum.name);
        match new.iter().find(|new| Some(&new.name) == name) {
            None => text += sums.text(line),
            // A name that stands there twice would contradict itself now.
            Some(new) if done.contains(&new.name.as_str()) => {}
            Some(new) => {
                done.push(&new.name);
                text += &new.line();
                text += match sums.text(line).ends_with("\r\n") {
                    true => "\r\n",
                    false => "\n",
                };
            }
        }
    }
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    let mut rest: Vec<&Sum> = new.iter().filter(|n| !done.contains(&&*n.name)).collect();
    rest.sort_by(|a, b| a.name.cmp(&b.name));
    for sum in rest {
        text += &sum.line();
        text.push('\n');
    }
    text
}

impl Sum {
    /// What a line says, with its end or without.
    fn parse(line: &str) -> Option<Self> {
        let line = line.strip_suffix('\n').unwrap_or(line);
        let line = line.strip_suffix('\r').unwrap_or(line);
        let (escaped, rest) = match line.strip_prefix('\\') {
            Some(rest) => (true, rest),
            None => (false, line),
        };
        let (digest, name) = rest.split_once([' ', '\t'])?;
        if digest.len() != 64 || !digest.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        // One more blank, or a star for binary; what comes then is the name's, also a blank or a
        // star. Some writers have one blank alone, and in such lines a name that begins with a blank
        // or a star loses it. Some put "./" before names.
        let name = name.strip_prefix([' ', '*']).unwrap_or(name);
        let name = match escaped {
            true => unescape(name)?,
            false => name.into(),
        };
        let mut name = name.as_str();
        while let Some(rest) = name.strip_prefix("./") {
            name = rest.trim_start_matches('/');
        }
        (!name.is_empty()).then(|| Self {
            name: name.into(),
            sha256: digest.to_ascii_lowercase(),
        })
    }

    /// Its line, without an end.
    fn line(&self) -> String {
        if self.name.contains(['\\', '\n', '\r']) {
            let name = self.name.replace('\\', "\\\\");
            let name = name.replace('\n', "\\n").replace('\r', "\\r");
            return format!("\\{}  {name}", self.sha256);
        }
        format!("{}  {}", self.sha256, self.name)
    }
}

/// A name without its escapes; `None` if one of them is nobody's.
fn unescape(name: &str) -> Option<String> {
    let mut out = String::new();
    let mut chars = name.chars();
    while let Some(c) = chars.next() {
        out.push(match c {
            '\\' => match chars.next()? {
                'n' => '\n',
                'r' => '\r',
                '\\' => '\\',
                _ => return None,
            },
            c => c,
        });
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use aeolus_job::full_disk::FullDisk;

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
    fn lines_are_added_and_replaced() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Sums::read(dir.path()).unwrap().is_none());
        Sums::add(dir.path(), &[sum("b", '1'), sum("a", '2')]).unwrap();
        let (one, two) = ("1".repeat(64), "2".repeat(64));
        assert_eq!(text(dir.path()), format!("{two}  a\n{one}  b\n"));
        Sums::add(dir.path(), &[sum("a", '3'), sum("odd\\\nname", '4')]).unwrap();
        let (three, four) = ("3".repeat(64), "4".repeat(64));
        let expected = format!("{three}  a\n{one}  b\n\\{four}  odd\\\\\\nname\n");
        assert_eq!(text(dir.path()), expected);
        let sums = Sums::read(dir.path()).unwrap().unwrap();
        assert_eq!(sums.get("odd\\\nname"), Some(four.as_str()));
        assert_eq!(sums.iter().count(), 3);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_foreign_list_keeps_its_lines_and_their_order() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(SUMS);
        let [one, two, three] = ['1', '2', '3'].map(|digit| digit.to_string().repeat(64));
        let upper = "ABCDEF0123456789".repeat(4);
        let theirs = [
            format!("{one} *z.iso\r\n"),
            "# mine\n\n".into(),
            format!("{upper}\t./y/deep name\n"),
            "SHA256 (x) = 12\n".into(),
            format!("\\{one}  odd\\\\name\n"),
            format!("{one}  ./ours\r\n"),
            format!("{one}  last, without an end"),
        ];
        std::fs::write(&path, theirs.concat()).unwrap();
        // Theirs changed since: their line stays all the same.
        std::fs::write(dir.path().join("z.iso"), "later").unwrap();
        Sums::add(dir.path(), &[sum("new", '3'), sum("ours", '2')]).unwrap();
        let mut expected = theirs.clone();
        expected[5] = format!("{two}  ours\r\n");
        let expected = format!("{}\n{three}  new\n", expected.concat());
        assert_eq!(text(dir.path()), expected);
        let sums = Sums::read(dir.path()).unwrap().unwrap();
        assert_eq!(sums.odd_lines(), 1);
        assert_eq!(sums.get("y/deep name"), Some(&*upper.to_lowercase()));
        // Again, with the same: nothing changes.
        Sums::add(dir.path(), &[sum("new", '3'), sum("ours", '2')]).unwrap();
        assert_eq!(text(dir.path()), expected);
    }

    #[test]
    fn lists_that_cannot_be_added_to_are_refused_beforehand() {
        let dir = tempfile::tempdir().unwrap();
        let (folder, path) = (dir.path(), dir.path().join(SUMS));
        Sums::check(folder, &["a", "b"]).unwrap();
        Sums::check(&folder.join("none"), &["a", "b"]).unwrap();
        let line = format!("{}  a\n", "1".repeat(64));
        let mut near = format!("{}  b\n", "1".repeat(64));
        near += &line
            .replace('a', "c")
            .repeat(MAX_BYTES as usize / line.len() - 1);
        for bytes in [&[0xff, 0xfe][..], b"a\0b", near.as_bytes()] {
            std::fs::write(&path, bytes).unwrap();
            let error = Sums::check(folder, &["a", "b"]).unwrap_err();
            let wanted = near.len() + line.len();
            let known = match error {
                Error::ListIsNotText { .. } => true,
                Error::ListIsFull { bytes, .. } => bytes == wanted as u64,
                _ => false,
            };
            assert!(known, "{error}");
        }
        assert!(Sums::read(folder).unwrap().is_some(), "read, not added to");
        // Its place is there already.
        Sums::check(folder, &["b"]).unwrap();
        std::fs::write(&path, [0xff]).unwrap();
        Sums::add(folder, &[sum("a", '1')]).unwrap_err();
        assert_eq!(std::fs::read(&path).unwrap(), [0xff]);
        assert_eq!(std::fs::read_dir(folder).unwrap().count(), 1);
        std::fs::remove_file(&path).unwrap();
        for name in [SUMS, "SHA256SUMS.partial"] {
            std::fs::create_dir(folder.join(name)).unwrap();
            let error = Sums::check(folder, &["a"]).unwrap_err();
            assert!(error.to_string().contains("not a regular file"), "{error}");
            std::fs::remove_dir(folder.join(name)).unwrap();
        }
    }

    #[test]
    fn a_disk_that_fills_up_leaves_the_list_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path();
        let new = [sum("b", '2'), sum("c", '3')];
        let files = || std::fs::read_dir(folder).unwrap().count();
        let list = || std::fs::read(folder.join(SUMS)).ok();
        for lines in [2, 3] {
            if lines == 3 {
                Sums::add(folder, &[sum("a", '1'), sum("b", '1')]).unwrap();
            }
            // That it is cut takes a byte here.
            let bytes = lines * (new[0].line().len() + 1) + 1;
            let (before, old) = (files(), list());
            for space in 0..bytes {
                let full = FullDisk::after(folder, space as u64);
                let error = Sums::add(folder, &new).unwrap_err();
                drop(full);
                let list_path = folder.join(SUMS).display().to_string();
                let named = error.to_string();
                assert!(
                    named.starts_with(&format!("{list_path}: cannot write")),
                    "{error}"
                );
                assert!(list() == old, "space for {space} bytes");
                assert_eq!(files(), before, "space for {space} bytes");
            }
            let full = FullDisk::after(folder, bytes as u64);
            Sums::add(folder, &new).unwrap();
            drop(full);
            assert_eq!(list().unwrap().len(), bytes - 1);
            let sums = Sums::read(folder).unwrap().unwrap();
            assert_eq!(sums.get("b"), Some(new[0].sha256.as_str()));
            std::fs::remove_file(folder.join(SUMS)).unwrap();
        }
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
            let sum = Sum::parse(&line).unwrap();
            assert_eq!(sum.name, "a b.gguf", "{line}");
        }
        assert_eq!(Sum::parse(&format!("{one} \ta")).unwrap().name, "\ta");
        assert_eq!(Sum::parse(&format!("{one}  .//./a")).unwrap().name, "a");
        let odd = [format!("\\{one}  a\\b"), format!("\\{one}  a\\")];
        for line in ["", "sha256  a", &one, &format!("{one}  "), &odd[0], &odd[1]] {
            assert!(Sum::parse(line).is_none(), "{line}");
        }
    }

    #[test]
    fn any_name_is_read_as_it_was_written() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["*a", " a", "  *a", "\ta", "a ", "a\r", "\\./a", "*", " "] {
            Sums::add(dir.path(), &[sum("a", '1'), sum(name, '2')]).unwrap();
            let sums = Sums::read(dir.path()).unwrap().unwrap();
            assert!(sums.get("a").unwrap().starts_with('1'), "{name:?}");
            assert_eq!(sums.get(name), Some(&*"2".repeat(64)), "{name:?}");
            std::fs::remove_file(dir.path().join(SUMS)).unwrap();
        }
    }

    #[test]
    fn a_list_of_empty_lines_takes_little_memory() {
        // As many lines as bytes: what is kept of each is all that such a list takes.
        assert!(size_of::<Line>() * MAX_BYTES as usize <= 32 << 20);
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
