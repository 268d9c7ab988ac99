//! `SHA256SUMS`: the digests of a folder's files, as coreutils write and check them.

use crate::{Error, open_locked, small};
use std::fs::{File, Metadata};
use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// The name of the list.
pub const SUMS: &str = "SHA256SUMS";

/// The largest list that is read, in bytes: 10,000 files with names of usual length.
const MAX_BYTES: u64 = 1 << 20;

/// The comment that says, in seconds since 1970, how old a list is that could not be dated back.
const AS_OF: &str = "# digests as of ";

/// The list of one folder.
#[derive(Clone, Debug)]
pub struct Sums {
    folder: PathBuf,
    /// No digest of a file that was written to after this is trusted.
    listed: Option<SystemTime>,
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
    /// [`Error::NotAFile`], [`Error::NotText`], [`Error::TooLarge`] for one of more than 1 MiB,
    /// [`Error::Io`] for one that cannot be read.
    pub fn read(folder: &Path) -> Result<Option<Self>, Error> {
        let path = folder.join(SUMS);
        let (bytes, meta) = match small::read_with_metadata(&path, MAX_BYTES) {
            Err(e) if e.is_not_found() => return Ok(None),
            read => read?,
        };
        let listed = listed(&meta);
        let sums = Self::parse(folder, bytes, listed);
        sums.map(Some).ok_or(Error::NotText { path })
    }

    /// The list that the bytes of a file are, which is as old as `listed`; `None` if they are no
    /// text.
    pub(crate) fn parse(folder: &Path, bytes: Vec<u8>, listed: Option<SystemTime>) -> Option<Self> {
        let text = String::from_utf8(bytes)
            .ok()
            .filter(|t| !t.contains('\0'))?;
        let (mut lines, mut stated) = (Vec::new(), None);
        let mut start = 0;
        for line in text.split_inclusive('\n') {
            let end = start + line.len();
            lines.push(Line {
                range: start..end,
                sum: Sum::parse(line).map(Box::new),
            });
            stated = [stated, as_of(line)].into_iter().flatten().min();
            start = end;
        }
        Some(Self {
            folder: folder.into(),
            listed: listed.map(|listed| stated.map_or(listed, |stated| listed.min(stated))),
            text,
            lines,
        })
    }

    /// Whether [`add`](Self::add) will be able to add files of these names to a folder's list: a
    /// long job asks before it begins. The folder need not exist.
    ///
    /// # Errors
    /// Those of `add`, as far as they can be known; [`Error::NoRoom`].
    pub fn check(folder: &Path, names: &[&str]) -> Result<(), Error> {
        let partial = partial(folder);
        match partial.symlink_metadata() {
            Ok(meta) if !meta.is_file() => return Err(Error::NotAFile { path: partial }),
            _ => {}
        }
        let new: Vec<Sum> = names
            .iter()
            .map(|name| Sum {
                name: (*name).to_owned(),
                sha256: "0".repeat(64),
            })
            .collect();
        // All digests are of one length: with these it has as many bytes as with the true ones.
        let bytes = updated(Self::read(folder)?.as_ref(), &new).len() as u64;
        match bytes > MAX_BYTES {
            true => Err(Error::NoRoom {
                path: folder.join(SUMS),
                bytes,
                limit: MAX_BYTES,
            }),
            false => Ok(()),
        }
    }

    /// Whether it is no newer than this.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn is_as_old_as(&self, time: SystemTime) -> bool {
        self.listed.is_some_and(|listed| listed <= time)
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

    /// The digest of a file that is listed and was not written to after the list was.
    ///
    /// Where the system tells it, a file counts as written to when anything about it changed,
    /// whatever its modification time was set to afterwards.
    pub fn current(&self, name: &str) -> Option<&str> {
        let digest = self.get(name)?;
        let meta = std::fs::metadata(self.folder.join(name)).ok()?;
        (!self.is_older_than(&meta)).then_some(digest)
    }

    fn is_older_than(&self, meta: &Metadata) -> bool {
        match (self.listed, written(meta)) {
            (Some(listed), Some(written)) => listed < written,
            _ => true,
        }
    }

    /// Adds digests to a folder's list: in the place of the lines that it has of the same names,
    /// else at its end. All other lines stay as they are, byte for byte. The list is made if there
    /// is none, and replaced as a whole: a reader never sees half of it.
    ///
    /// If it has lines of files that were written to after it was, the new list is made to look as
    /// old as they need it to be not [`current`](Self::current); where the file system does not
    /// let it, a comment says how old it is.
    ///
    /// # Errors
    /// Those of [`read`](Self::read); [`Error::Io`] if the list cannot be written.
    pub fn add(folder: &Path, new: &[Sum]) -> Result<(), Error> {
        Self::add_with(folder, new, std::fs::File::set_modified)
    }

    fn add_with(
        folder: &Path,
        new: &[Sum],
        date: impl Fn(&std::fs::File, SystemTime) -> std::io::Result<()>,
    ) -> Result<(), Error> {
        let path = folder.join(SUMS);
        let partial = partial(folder);
        let file = loop {
            // `None` is for those who do not wait.
            if let Some(file) = open_locked(&partial, true)? {
                break file;
            }
        };
        // From here on no other run changes the list.
        let old = match Self::read(folder) {
            Ok(old) => old,
            Err(error) => {
                let _ = std::fs::remove_file(&partial);
                return Err(error);
            }
        };
        let text = updated(old.as_ref(), new);
        let stale = old.as_ref().and_then(|old| old.stale(new));
        let written = file
            .set_len(0)
            .and_then(|()| write(&file, &partial, text.as_bytes()))
            .and_then(|()| match stale {
                // No reason to lose a job's end: what cannot be set can be said.
                Some(time) => date(&file, time).or_else(|_| write(&file, &partial, &said(time))),
                None => Ok(()),
            })
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

    /// The list with new digests in the place of old ones.
    fn with(&self, new: &[Sum]) -> String {
        let mut done: Vec<&str> = Vec::new();
        let mut text = String::new();
        // Whether the new list is as old is found out anew.
        for line in &self.lines {
            let (old, name) = (self.text(line), line.sum.as_ref().map(|sum| &sum.name));
            match new.iter().find(|new| Some(&new.name) == name) {
                None if as_of(old).is_some() => {}
                None => text += old,
                // A name that stands there twice would contradict itself now.
                Some(new) if done.contains(&new.name.as_str()) => {}
                Some(new) => {
                    done.push(&new.name);
                    text += &new.line();
                    text += if old.ends_with("\r\n") { "\r\n" } else { "\n" };
                }
            }
        }
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        text
    }

    /// A time before any file was written to whose digest is older than it and stays; `None` if
    /// there is no such file.
    fn stale(&self, new: &[Sum]) -> Option<SystemTime> {
        let others = self
            .iter()
            .filter(|sum| new.iter().all(|n| n.name != sum.name));
        let times = others.filter_map(|sum| {
            let meta = std::fs::metadata(self.folder.join(&sum.name)).ok()?;
            let time = self.is_older_than(&meta).then(|| written(&meta))?;
            time.or(Some(SystemTime::UNIX_EPOCH))
        });
        // Two seconds are the coarsest time that a file system keeps.
        let earliest = times.min()?.checked_sub(Duration::from_secs(2));
        Some(earliest.unwrap_or(SystemTime::UNIX_EPOCH))
    }
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

/// A list's text and, in the order of their names, the digests of files that were not in it.
fn appended(mut text: String, new: &[Sum], old: Option<&Sums>) -> String {
    let is_new = |sum: &&Sum| old.is_none_or(|old| old.get(&sum.name).is_none());
    let mut new: Vec<&Sum> = new.iter().filter(is_new).collect();
    new.sort_by(|a, b| a.name.cmp(&b.name));
    for sum in new {
        text += &sum.line();
        text.push('\n');
    }
    text
}

/// What a list is with new digests; all there is, if there is no list.
pub(crate) fn updated(old: Option<&Sums>, new: &[Sum]) -> String {
    let text = old.map_or_else(String::new, |old| old.with(new));
    appended(text, new, old)
}

/// The comment with a time, which is rounded down: the older a list, the less it is trusted.
fn said(time: SystemTime) -> Vec<u8> {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    let seconds = since.map_or(0, |since| since.as_secs());
    format!("{AS_OF}{seconds}\n").into_bytes()
}

/// Writes to the file that is at `path`.
fn write(mut file: &File, path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    #[cfg(test)]
    if let Some(torn) = aeolus_testkit::full_disk::torn(path, bytes) {
        file.write_all(torn)?;
        return Err(std::io::ErrorKind::StorageFull.into());
    }
    #[cfg(not(test))]
    let _ = path;
    file.write_all(bytes)
}

fn partial(folder: &Path) -> PathBuf {
    folder.join(format!("{SUMS}.partial"))
}

/// When a file was last written to, or anything else about it changed.
fn written(meta: &Metadata) -> Option<SystemTime> {
    // What sets the modification time back changes the other one.
    Some(meta.modified().ok()?.max(changed(meta)?))
}

/// When a list was written, or as it is dated if that is earlier: a time after its last change is
/// no time at which anybody looked at the files.
fn listed(meta: &Metadata) -> Option<SystemTime> {
    Some(meta.modified().ok()?.min(changed(meta)?))
}

/// When anything about a file last changed, its modification time included; without that time the
/// modification time itself.
fn changed(meta: &Metadata) -> Option<SystemTime> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let seconds = u64::try_from(meta.ctime()).ok()?;
        let nanoseconds = u32::try_from(meta.ctime_nsec()).ok()?;
        SystemTime::UNIX_EPOCH.checked_add(Duration::new(seconds, nanoseconds))
    }
    #[cfg(not(unix))]
    meta.modified().ok()
}

/// How old a line says that its list is.
fn as_of(line: &str) -> Option<SystemTime> {
    let seconds = line.strip_prefix(AS_OF)?.trim_end().parse().ok()?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
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
    use aeolus_testkit::full_disk::FullDisk;
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
        let listed = std::fs::File::options().write(true).open(&path).unwrap();
        listed.set_modified(SystemTime::UNIX_EPOCH).unwrap();
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
    fn a_digest_is_current_until_the_file_is_written_to() {
        let dir = tempfile::tempdir().unwrap();
        let (a, list) = (dir.path().join("a"), dir.path().join(SUMS));
        std::fs::write(&a, "abc").unwrap();
        std::fs::write(dir.path().join("b"), "abc").unwrap();
        Sums::add(dir.path(), &[sum("a", '1'), sum("b", '1')]).unwrap();
        let set = |path: &Path, time: SystemTime| {
            let file = std::fs::File::options().write(true).open(path).unwrap();
            file.set_modified(time).unwrap();
        };
        let (now, minute) = (SystemTime::now(), Duration::from_secs(60));
        let current = |name: &str| {
            let sums = Sums::read(dir.path()).unwrap().unwrap();
            sums.current(name).is_some()
        };
        set(&list, now + minute);
        assert!(current("a") && current("b") && !current("c"));
        set(&a, now + 2 * minute);
        assert!(!current("a") && current("b"));
        // A newer list must not make the old digest look current.
        Sums::add(dir.path(), &[sum("c", '2')]).unwrap();
        assert!(!current("a"));
        assert_eq!(text(dir.path()).lines().count(), 3);
        Sums::add(dir.path(), &[sum("a", '3')]).unwrap();
        set(&a, now);
        set(&list, now + 3 * minute);
        assert!(current("a"));
        // A list dated to days to come says nothing of what is written until then.
        #[cfg(unix)]
        {
            // Longer than the steps in which a file system counts.
            std::thread::sleep(Duration::from_millis(100));
            std::fs::write(&a, "abcd").unwrap();
            assert!(!current("a") && current("b"));
        }
        // Changed after the list was written, then made to look older.
        #[cfg(unix)]
        {
            set(&list, now - minute);
            set(&a, now - 2 * minute);
            assert!(!current("a"));
        }
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
                Error::NotText { .. } => true,
                Error::NoRoom { bytes, .. } => bytes == wanted as u64,
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
            assert!(matches!(error, Error::NotAFile { .. }), "{error}");
            std::fs::remove_dir(folder.join(name)).unwrap();
        }
    }

    #[test]
    fn a_file_system_that_keeps_no_dates_gets_them_in_words() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path();
        let a = folder.join("a");
        std::fs::write(&a, "abc").unwrap();
        Sums::add(folder, &[sum("a", '1')]).unwrap();
        // Longer than the steps in which a file system counts.
        std::thread::sleep(Duration::from_millis(100));
        std::fs::write(&a, "abcd").unwrap();
        let refuse = |_: &std::fs::File, _| Err(std::io::ErrorKind::Unsupported.into());
        let said = || {
            text(folder)
                .lines()
                .filter(|l| l.starts_with(AS_OF))
                .count()
        };
        let current = |name: &str| {
            let sums = Sums::read(folder).unwrap().unwrap();
            assert_eq!(sums.odd_lines(), 0);
            sums.current(name).is_some()
        };
        for name in ["b", "c"] {
            Sums::add_with(folder, &[sum(name, '2')], refuse).unwrap();
            assert_eq!(said(), 1);
            assert!(!current("a"));
            assert_eq!(
                Sums::read(folder).unwrap().unwrap().get("a").unwrap().len(),
                64
            );
        }
        // However new the list looks.
        let list = std::fs::File::options()
            .write(true)
            .open(folder.join(SUMS))
            .unwrap();
        list.set_modified(SystemTime::now() + Duration::from_secs(60))
            .unwrap();
        assert!(!current("a"));
        // Written anew, with nothing in it that is out of date.
        Sums::add_with(folder, &[sum("a", '3')], refuse).unwrap();
        assert_eq!(said(), 0);
        assert!(current("a"));
    }

    #[test]
    fn a_disk_that_fills_up_leaves_the_list_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let (folder, a) = (dir.path(), dir.path().join("a"));
        let new = [sum("b", '2'), sum("c", '3')];
        // Dates cannot be kept, but in words.
        let refuse = |_: &File, _| Err(std::io::ErrorKind::Unsupported.into());
        let files = || std::fs::read_dir(folder).unwrap().count();
        let list = || std::fs::read(folder.join(SUMS)).ok();
        for stale in [false, true] {
            if stale {
                std::fs::write(&a, "abc").unwrap();
                Sums::add(folder, &[sum("a", '1'), sum("b", '1')]).unwrap();
                // Longer than the steps in which a file system counts.
                std::thread::sleep(Duration::from_millis(100));
                std::fs::write(&a, "abcd").unwrap();
            }
            let line = sum("a", '1').line().len() + 1;
            // Three lines and how old the one of `a` is, or two lines.
            let bytes = match stale {
                true => 3 * line + said(SystemTime::now()).len(),
                false => 2 * line,
            };
            let (before, old) = (files(), list());
            assert_eq!(old.is_some(), stale);
            for room in 0..bytes {
                let full = FullDisk::after(folder, room as u64);
                let error = Sums::add_with(folder, &new, refuse).unwrap_err();
                drop(full);
                let named = matches!(&error, Error::Io { path, .. } if path.ends_with(SUMS));
                assert!(named, "{error}");
                assert!(list() == old, "room for {room} bytes");
                assert_eq!(files(), before, "room for {room} bytes");
            }
            let full = FullDisk::after(folder, bytes as u64);
            Sums::add_with(folder, &new, refuse).unwrap();
            drop(full);
            assert_eq!(list().unwrap().len(), bytes);
            let sums = Sums::read(folder).unwrap().unwrap();
            assert_eq!(sums.get("b"), Some(new[0].sha256.as_str()));
            assert!(sums.current("a").is_none());
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
