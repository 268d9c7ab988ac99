//! What a publication sends, as data: shown by a dry run, followed by the real one.

use crate::Error;
use std::fmt;
use std::path::PathBuf;

/// The largest file that goes into the commit request itself, in bytes.
const INLINE_BYTES: u64 = 10 << 20;
/// The most that all such files may have together.
const ALL_INLINE_BYTES: u64 = 32 << 20;

/// What a publication sends. Its `Display` is what a dry run prints.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Plan {
    /// `owner/name`.
    pub repo: String,
    /// The branch.
    pub revision: String,
    /// Whether the repository has to be created first.
    pub create: bool,
    /// Whether it is created private.
    pub private: bool,
    /// First line of the commit message.
    pub summary: String,
    /// The rest of the commit message.
    pub description: String,
    /// Where the files are.
    pub folder: PathBuf,
    /// The files, in the order of their paths.
    pub files: Vec<PlannedFile>,
}

/// A file of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PlannedFile {
    /// Path in the repository.
    pub path: String,
    /// Size in bytes.
    pub bytes: u64,
    /// sha256 of the content, in hex.
    pub sha256: String,
    /// How it is sent.
    pub how: How,
    /// Path on this disk.
    pub local: PathBuf,
    /// Git's hash of the content, of files that may go into the commit.
    pub(crate) blob: Option<String>,
}

/// How a file is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum How {
    /// To the store of large files; the commit names its hash.
    Store,
    /// Inside the commit request.
    Inline,
    /// Not at all: the repository has the same bytes under this path.
    Unchanged,
}

impl How {
    /// Its name: `store`, `inline` or `unchanged`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Store => "store",
            Self::Inline => "inline",
            Self::Unchanged => "unchanged",
        }
    }

    /// What the Hub will want, as far as can be said without asking: its usual `.gitattributes`
    /// and size limit.
    pub(super) fn foreseen(path: &str, bytes: u64) -> Self {
        const STORED: [&str; 26] = [
            "7z",
            "arrow",
            "bin",
            "bz2",
            "ckpt",
            "ftz",
            "gguf",
            "gz",
            "h5",
            "joblib",
            "mlmodel",
            "model",
            "msgpack",
            "npy",
            "npz",
            "onnx",
            "parquet",
            "pb",
            "pickle",
            "pkl",
            "pt",
            "pth",
            "safetensors",
            "tar",
            "zip",
            "zst",
        ];
        let extension = path.rsplit_once('.').map_or("", |(_, extension)| extension);
        match bytes > INLINE_BYTES || STORED.contains(&extension) {
            true => Self::Store,
            false => Self::Inline,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Store => "store",
            Self::Inline => "inline",
            Self::Unchanged => "unchanged",
        }
    }
}

impl Plan {
    /// Refuses files that would make the commit request large: as base64 it is held in memory, on
    /// both sides.
    pub(super) fn check_inline(&self) -> Result<(), Error> {
        let mut all = 0;
        for file in self.files.iter().filter(|f| f.how == How::Inline) {
            all += file.bytes;
            let path = || file.path.clone();
            if file.bytes > INLINE_BYTES {
                return Err(Error::TooLargeInline {
                    path: path(),
                    bytes: file.bytes,
                    limit: INLINE_BYTES,
                });
            }
            if all > ALL_INLINE_BYTES {
                return Err(Error::TooLargeInline {
                    path: path(),
                    bytes: all,
                    limit: ALL_INLINE_BYTES,
                });
            }
        }
        Ok(())
    }

    /// Whether every file is in the repository already.
    #[must_use]
    pub fn is_unchanged(&self) -> bool {
        self.files.iter().all(|f| f.how == How::Unchanged)
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let visibility = if self.private { "private" } else { "public" };
        match self.create {
            true => writeln!(f, "repository {} (to be created, {visibility})", self.repo)?,
            false => writeln!(f, "repository {}", self.repo)?,
        }
        writeln!(f, "branch     {}", self.revision)?;
        writeln!(f, "commit     {}", self.summary)?;
        for line in self.description.lines() {
            writeln!(f, "           {line}")?;
        }
        let digits = self
            .files
            .iter()
            .map(|x| x.bytes.to_string().len())
            .max()
            .unwrap_or(1);
        for file in &self.files {
            let (how, bytes) = (file.how.word(), file.bytes);
            writeln!(
                f,
                "{how:<9}  {bytes:>digits$}  sha256:{}  {}",
                file.sha256, file.path
            )?;
        }
        for how in [How::Store, How::Inline, How::Unchanged] {
            let files: Vec<_> = self.files.iter().filter(|x| x.how == how).collect();
            if !files.is_empty() {
                let bytes: u64 = files.iter().map(|x| x.bytes).sum();
                writeln!(
                    f,
                    "total      {} {}, {bytes} bytes",
                    files.len(),
                    how.word()
                )?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, bytes: u64, how: How) -> PlannedFile {
        let sha256 = "c".repeat(8);
        PlannedFile {
            path: path.to_owned(),
            bytes,
            sha256,
            how,
            local: PathBuf::new(),
            blob: None,
        }
    }

    fn plan(files: Vec<PlannedFile>) -> Plan {
        Plan {
            repo: "o/n".to_owned(),
            revision: "main".to_owned(),
            create: true,
            private: true,
            summary: "Upload".to_owned(),
            description: "two\nlines".to_owned(),
            folder: PathBuf::from("out"),
            files,
        }
    }

    #[test]
    fn what_is_printed_is_what_is_sent() {
        let plan = plan(vec![
            file("a.gguf", 12345, How::Store),
            file("README.md", 7, How::Inline),
        ]);
        let expected = "repository o/n (to be created, private)
branch     main
commit     Upload
           two
           lines
store      12345  sha256:cccccccc  a.gguf
inline         7  sha256:cccccccc  README.md
total      1 store, 12345 bytes
total      1 inline, 7 bytes
";
        assert_eq!(plan.to_string(), expected);
        assert_eq!(plan.files[0].how.name(), "store");
    }

    #[test]
    fn large_files_never_go_inline() {
        assert_eq!(How::foreseen("a.gguf", 1), How::Store);
        assert_eq!(How::foreseen("a.json", INLINE_BYTES + 1), How::Store);
        assert_eq!(How::foreseen("README.md", 9), How::Inline);
        plan(vec![file("a", INLINE_BYTES, How::Inline)])
            .check_inline()
            .unwrap();
        let error = plan(vec![file("a", INLINE_BYTES + 1, How::Inline)])
            .check_inline()
            .unwrap_err();
        assert!(
            error
                .to_string()
                .contains("a: the Hub wants these 10485761 bytes"),
            "{error}"
        );
        let many = (0..4)
            .map(|i| file(&i.to_string(), INLINE_BYTES, How::Inline))
            .collect();
        assert!(matches!(
            plan(many).check_inline(),
            Err(Error::TooLargeInline { .. })
        ));
        plan(vec![file("a", 1 << 40, How::Store)])
            .check_inline()
            .unwrap();
    }
}
