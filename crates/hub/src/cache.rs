//! The cache of one repository, in the layout that the Python client has.
//!
//! ```text
//! models--OWNER--NAME/
//!   blobs/OBJECT_ID                    content; sha256 of a large file, git's hash of another
//!   blobs/OBJECT_ID.partial            ours: a download that is not complete
//!   blobs/OBJECT_ID.partial.journal    ours: which bytes of it are there
//!   snapshots/COMMIT/PATH              a link to the blob, or the file itself
//!   refs/REVISION                      the commit that a branch or tag named last
//!   trees/COMMIT.json                  all files of the commit
//! .locks/models--OWNER--NAME/OBJECT_ID.lock
//! ```
//!
//! Where links cannot be made, a file that was just fetched moves from `blobs` to its path, and any
//! other blob is copied there, as the Python client does it.
//!
//! The Python client's own partial downloads (`OBJECT_ID.RANDOM.incomplete`) are left alone: they
//! are one process's and vanish with it.

use crate::http::MAX_VALUES;
use crate::listing::{Entry, Listing, MAX_PAGE};
use crate::{Error, RepoRef, Settings, name};
use aeolus_source::read_small;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Where the files of a repository lie.
#[derive(Clone, Debug)]
pub(crate) struct RepoCache {
    root: PathBuf,
    folder: PathBuf,
    layout: Arc<hf_hub::CacheRepo>,
    locks: PathBuf,
    id: String,
    symlink: Symlink,
}

/// Makes a link: what it leads to, where it is.
type Symlink = fn(&Path, &Path) -> io::Result<()>;

/// `trees/COMMIT.json`, in the form and version of the Python client.
#[derive(Serialize, Deserialize)]
struct Tree {
    format_version: u32,
    files: BTreeMap<String, TreeEntry>,
}

#[derive(Serialize, Deserialize)]
struct TreeEntry {
    size: u64,
    blob_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lfs_sha256: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lfs_size: Option<u64>,
}

const TREE_VERSION: u32 = 1;

/// The largest `refs/REVISION` that is read, in bytes: a commit and what an editor puts after it.
const MAX_REF: u64 = 1 << 10;
/// The largest `trees/COMMIT.json` that is read, in bytes. One that is larger, or holds more values
/// than a page of the Hub's list, is asked for anew instead.
const MAX_TREE: u64 = MAX_PAGE as u64;

/// Links made by this process, to name them apart.
static LINKS: AtomicU64 = AtomicU64::new(0);

impl RepoCache {
    pub fn new(settings: &Settings, repo: &RepoRef) -> Self {
        let cache = &settings.cache;
        // Unique, since the parts hold neither "--" nor a slash: RepoRef saw to it.
        let model = hf_hub::Repo::model(repo.id());
        let name = model.folder_name();
        Self {
            root: cache.clone(),
            folder: cache.join(&name),
            layout: Arc::new(hf_hub::Cache::new(cache.clone()).repo(model)),
            locks: cache.join(".locks").join(name),
            id: repo.id(),
            symlink: match settings.links {
                true => symlink,
                false => no_symlink,
            },
        }
    }

    pub fn blob(&self, etag: &str) -> PathBuf {
        self.folder.join("blobs").join(etag)
    }

    pub fn lock(&self, etag: &str) -> PathBuf {
        self.locks.join(format!("{etag}.lock"))
    }

    pub fn snapshot(&self, commit: &str) -> PathBuf {
        self.layout.pointer_path(commit)
    }

    /// The file of a commit if the cache has it with the right size.
    pub fn file(&self, commit: &str, path: &str, bytes: u64) -> Option<PathBuf> {
        let file = self.snapshot(commit).join(path);
        let found = fs::metadata(&file).ok()?;
        (found.is_file() && found.len() == bytes).then_some(file)
    }

    /// The commit that a branch or tag named when it was last asked for.
    fn commit(&self, revision: &str) -> Option<String> {
        if name::is_commit(revision) {
            return Some(revision.to_owned());
        }
        let text = read_small(&self.folder.join("refs").join(revision), MAX_REF).ok()?;
        let commit = std::str::from_utf8(&text).ok()?.trim();
        name::is_commit(commit).then(|| commit.to_owned())
    }

    /// What is known of a revision without the network: its whole tree if that was kept, else the
    /// files that are there.
    pub fn listing(&self, revision: &str) -> Result<Listing, Error> {
        let offline = || Error::Offline {
            subject: format!("{} at {revision}", self.id),
            cache: self.root.clone(),
        };
        let commit = self.commit(revision).ok_or_else(offline)?;
        if let Some(listing) = self.tree(&commit) {
            return Ok(listing);
        }
        let snapshot = self.snapshot(&commit);
        let mut files = BTreeMap::new();
        walk(&snapshot, &snapshot, &mut files).map_err(Error::io("read", &snapshot))?;
        if files.is_empty() {
            return Err(offline());
        }
        Ok(Listing { commit, files })
    }

    /// The tree of a commit, if it was kept and can be right.
    pub fn tree(&self, commit: &str) -> Option<Listing> {
        let text = read_small(&self.tree_path(commit), MAX_TREE).ok()?;
        if aeolus_source::count_json_values(&text) > MAX_VALUES {
            return None;
        }
        let tree: Tree = serde_json::from_slice(&text).ok()?;
        if tree.format_version != TREE_VERSION {
            return None;
        }
        let mut files = BTreeMap::new();
        for (path, entry) in tree.files {
            name::check_path(&path).ok()?;
            let hashes = name::is_commit(&entry.blob_id)
                && entry.lfs_sha256.as_deref().is_none_or(name::is_sha256);
            if !hashes {
                return None;
            }
            let bytes = entry.lfs_size.unwrap_or(entry.size);
            files.insert(
                path,
                Entry {
                    bytes,
                    blob: entry.blob_id,
                    sha256: entry.lfs_sha256,
                },
            );
        }
        Some(Listing {
            commit: commit.to_owned(),
            files,
        })
    }

    /// Keeps the tree of a commit.
    pub fn keep_tree(&self, listing: &Listing) -> Result<(), Error> {
        let path = self.tree_path(&listing.commit);
        if path.exists() {
            return Ok(());
        }
        let entry = |e: &Entry| TreeEntry {
            size: e.bytes,
            blob_id: e.blob.clone(),
            lfs_sha256: e.sha256.clone(),
            lfs_size: e.sha256.is_some().then_some(e.bytes),
        };
        let files = listing
            .files
            .iter()
            .map(|(path, e)| (path.clone(), entry(e)))
            .collect();
        let tree = Tree {
            format_version: TREE_VERSION,
            files,
        };
        let text = serde_json::to_vec_pretty(&tree)
            .map_err(io::Error::from)
            .map_err(Error::io("write", &path))?;
        write_whole(&path, &text)
    }

    /// Keeps what a branch or tag names.
    pub fn keep_ref(&self, revision: &str, commit: &str) -> Result<(), Error> {
        if revision == commit || self.commit(revision).as_deref() == Some(commit) {
            return Ok(());
        }
        write_whole(&self.folder.join("refs").join(revision), commit.as_bytes())
    }

    fn tree_path(&self, commit: &str) -> PathBuf {
        self.folder.join("trees").join(format!("{commit}.json"))
    }

    /// Puts a file of a commit in its place: a link to the blob, or the file where none can be
    /// made. Then the blob moves if it is `spare`, needed under no other name.
    pub fn link(
        &self,
        commit: &str,
        path: &str,
        etag: &str,
        spare: bool,
    ) -> Result<PathBuf, Error> {
        let snapshot = self.snapshot(commit);
        let link = inside(&snapshot, path)?;
        let blob = self.blob(etag);
        // One step up for each folder of the path, and two out of snapshots/COMMIT.
        let mut target = PathBuf::from("../..");
        target.extend(path.split('/').skip(1).map(|_| ".."));
        target.extend(["blobs", etag]);
        // Made beside the blob under a name of its own, then moved: threads and processes that link
        // at once do not meet, and a snapshot never holds anything but its files.
        let number = LINKS.fetch_add(1, Ordering::Relaxed);
        let fresh = self.blob(&format!("{etag}.{}.{number}.link", std::process::id()));
        let _ = fs::remove_file(&fresh);
        // Why there can be no link does not matter: a disk at fault refuses the file, too.
        let made = match (self.symlink)(&target, &fresh) {
            Ok(()) => fs::rename(&fresh, &link),
            Err(_) if spare => fs::rename(&blob, &link),
            Err(_) => copy(&blob, &fresh).and_then(|()| fs::rename(&fresh, &link)),
        };
        made.map_err(|e| {
            let _ = fs::remove_file(&fresh);
            Error::io("make", &link)(e)
        })?;
        Ok(link)
    }
}

#[cfg(unix)]
fn symlink(target: &Path, link: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, link)
}

#[cfg(not(unix))]
use no_symlink as symlink;

fn no_symlink(_: &Path, _: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Copies a file and its bytes only: file systems without links may have no modes, either.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let mut copy = fs::File::create(to)?;
    io::copy(&mut fs::File::open(from)?, &mut copy)?;
    copy.sync_all()
}

fn walk(root: &Path, folder: &Path, files: &mut BTreeMap<String, Entry>) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            walk(root, &path, files)?;
        } else if let (Ok(found), Some(relative)) = (fs::metadata(&path), relative(root, &path)) {
            // A link leads to a blob, and blobs are named by their hash.
            let target = fs::read_link(&path).unwrap_or_default();
            let hash = target.file_name().and_then(|name| name.to_str());
            let hash = hash.unwrap_or_default().to_owned();
            let known = Entry {
                bytes: found.len(),
                sha256: name::is_sha256(&hash).then(|| hash.clone()),
                blob: if name::is_commit(&hash) {
                    hash
                } else {
                    String::new()
                },
            };
            files.insert(relative, known);
        }
    }
    Ok(())
}

/// A path below a folder, with slashes.
pub(crate) fn relative(root: &Path, path: &Path) -> Option<String> {
    let mut name = String::new();
    for part in path.strip_prefix(root).ok()?.components() {
        let Component::Normal(part) = part else {
            return None;
        };
        if !name.is_empty() {
            name.push('/');
        }
        name.push_str(part.to_str()?);
    }
    Some(name)
}

/// The place of a repository's file below a folder; folders on the way are made, and one that is a
/// link elsewhere is refused.
pub(crate) fn inside(root: &Path, path: &str) -> Result<PathBuf, Error> {
    name::check_path(path)?;
    fs::create_dir_all(root).map_err(Error::io("create", root))?;
    let mut place = root.to_path_buf();
    let mut parts = path.split('/').peekable();
    while let Some(part) = parts.next() {
        place.push(part);
        if parts.peek().is_none() {
            break;
        }
        match fs::symlink_metadata(&place) {
            Ok(found) if found.is_dir() => {}
            Ok(_) => {
                let why = "a folder on its way is a file or a link here";
                return Err(Error::UnsafeName {
                    name: path.to_owned(),
                    what: "file name",
                    why,
                });
            }
            Err(_) => match fs::create_dir(&place) {
                Err(e) if e.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(Error::io("create", &place)(e));
                }
                _ => {}
            },
        }
    }
    Ok(place)
}

/// Writes a small file so that it is there whole or not at all.
fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
    let mut file =
        tempfile::NamedTempFile::new_in(folder).map_err(Error::io("write in", folder))?;
    file.write_all(bytes).map_err(Error::io("write", path))?;
    #[cfg(unix)]
    {
        // Others may share the cache; a temporary file is for its owner only.
        use std::os::unix::fs::PermissionsExt;
        // Where files have no modes, that is refused, and all may read them anyway.
        let _ = file
            .as_file()
            .set_permissions(fs::Permissions::from_mode(0o644));
    }
    file.persist(path)
        .map_err(|e| Error::io("write", path)(e.error))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache(dir: &Path) -> RepoCache {
        RepoCache::new(&Settings::new(dir), &RepoRef::parse("o/n").unwrap())
    }

    #[test]
    fn links_point_at_blobs_from_any_depth() {
        let dir = tempfile::tempdir().unwrap();
        let cache = cache(dir.path());
        fs::create_dir_all(cache.blob("e1").parent().unwrap()).unwrap();
        fs::write(cache.blob("e1"), "abc").unwrap();
        let commit = "0".repeat(40);
        for path in ["a", "d/e/f"] {
            let link = cache.link(&commit, path, "e1", true).unwrap();
            assert_eq!(fs::read(&link).unwrap(), b"abc", "{path}");
            assert_eq!(cache.file(&commit, path, 3), Some(link));
            assert_eq!(
                cache.file(&commit, path, 4),
                None,
                "a blob of another size is not the file"
            );
        }
        let listed = cache.listing(&commit).unwrap();
        assert_eq!(listed.files.keys().collect::<Vec<_>>(), ["a", "d/e/f"]);
    }

    #[cfg(unix)]
    #[test]
    fn files_stand_where_links_cannot_be_made() {
        // EPERM, EACCES, EINVAL, ENOSYS, EOPNOTSUPP
        let refusals: [Symlink; 5] = [
            |_, _| Err(io::Error::from_raw_os_error(1)),
            |_, _| Err(io::Error::from_raw_os_error(13)),
            |_, _| Err(io::Error::from_raw_os_error(22)),
            |_, _| Err(io::Error::from_raw_os_error(38)),
            |_, _| Err(io::Error::from_raw_os_error(95)),
        ];
        let commit = "0".repeat(40);
        for symlink in refusals {
            let dir = tempfile::tempdir().unwrap();
            let cache = RepoCache {
                symlink,
                ..cache(dir.path())
            };
            fs::create_dir_all(cache.folder.join("blobs")).unwrap();
            fs::write(cache.blob("e1"), "abc").unwrap();
            // The blob is copied as long as another path needs it.
            for (path, spare, blobs) in [("a", false, 1), ("d/e/f", true, 0)] {
                let file = cache.link(&commit, path, "e1", spare).unwrap();
                assert!(fs::symlink_metadata(&file).unwrap().is_file());
                assert_eq!(fs::read(&file).unwrap(), b"abc", "{path}");
                let left = fs::read_dir(cache.folder.join("blobs")).unwrap();
                assert_eq!(left.count(), blobs, "{path}");
            }
            let listed = cache.listing(&commit).unwrap();
            assert_eq!(listed.files.keys().collect::<Vec<_>>(), ["a", "d/e/f"]);
            // What stands in the way and is no whole file is replaced; without the blob it is not.
            fs::write(cache.blob("e2"), "xyz").unwrap();
            fs::write(cache.snapshot(&commit).join("a"), "x").unwrap();
            let file = cache.link(&commit, "a", "e2", true).unwrap();
            assert_eq!(fs::read(&file).unwrap(), b"xyz");
            assert!(cache.link(&commit, "a", "e2", true).is_err());
            assert_eq!(fs::read(&file).unwrap(), b"xyz");
        }
    }

    #[test]
    fn trees_and_refs_come_back() {
        let dir = tempfile::tempdir().unwrap();
        let cache = cache(dir.path());
        let commit = "1".repeat(40);
        let entry = Entry {
            bytes: 5,
            blob: "a".repeat(40),
            sha256: Some("b".repeat(64)),
        };
        let listing = Listing {
            commit: commit.clone(),
            files: [("x/y".to_owned(), entry)].into(),
        };
        cache.keep_tree(&listing).unwrap();
        cache.keep_ref("refs/pr/1", &commit).unwrap();
        assert_eq!(cache.listing("refs/pr/1").unwrap(), listing);
        assert!(matches!(cache.listing("main"), Err(Error::Offline { .. })));
        let hostile = fs::read_to_string(cache.tree_path(&commit))
            .unwrap()
            .replace("x/y", "../y");
        fs::write(cache.tree_path(&commit), hostile).unwrap();
        assert_eq!(cache.tree(&commit), None);
    }

    #[test]
    fn entries_beyond_a_limit_are_as_good_as_none() {
        let dir = tempfile::tempdir().unwrap();
        let cache = cache(dir.path());
        let commit = "1".repeat(40);
        cache.keep_ref("main", &commit).unwrap();
        let path = cache.folder.join("refs/main");
        let padded =
            |text: &str, bytes: u64| text.to_owned() + &" ".repeat(bytes as usize - text.len());
        fs::write(&path, padded(&commit, MAX_REF)).unwrap();
        assert_eq!(cache.commit("main").as_ref(), Some(&commit));
        fs::write(&path, padded(&commit, MAX_REF + 1)).unwrap();
        assert_eq!(cache.commit("main"), None);
        cache.keep_ref("main", &commit).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), commit, "mended");

        let entry = format!(r#"{{"size":5,"blob_id":"{}"}}"#, "a".repeat(40));
        let tree = |more: &str| format!(r#"{{"format_version":1,"files":{{"x":{entry}}}{more}}}"#);
        let path = cache.tree_path(&commit);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        // Blanks mean nothing, and neither do members that nobody knows.
        for (bytes, good) in [(MAX_TREE, true), (MAX_TREE + 1, false)] {
            fs::write(&path, padded(&tree(""), bytes)).unwrap();
            assert_eq!(cache.tree(&commit).is_some(), good, "{bytes} bytes");
        }
        // Seven values besides those of the list.
        for (items, good) in [(MAX_VALUES - 7, true), (MAX_VALUES - 6, false)] {
            let list = vec!["0"; items].join(",");
            let text = tree(&format!(r#","more":[{list}]"#));
            fs::write(&path, text).unwrap();
            assert_eq!(cache.tree(&commit).is_some(), good, "{items} items");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_linked_folder_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (root, elsewhere) = (dir.path().join("root"), dir.path().join("elsewhere"));
        fs::create_dir_all(&root).unwrap();
        fs::create_dir_all(&elsewhere).unwrap();
        std::os::unix::fs::symlink(&elsewhere, root.join("sub")).unwrap();
        assert!(matches!(
            inside(&root, "sub/x"),
            Err(Error::UnsafeName { .. })
        ));
        assert!(matches!(
            inside(&root, "../x"),
            Err(Error::UnsafeName { .. })
        ));
        assert_eq!(inside(&root, "new/x").unwrap(), root.join("new/x"));
    }
}
