//! The files of a commit.

use crate::http::{Call, Failure, Http, Response, Subject};
use crate::{Error, Progress, name};
use reqwest::Url;
use serde_json::Value;
use std::collections::BTreeMap;

/// Longest page of a tree that is read, in bytes.
pub(crate) const MAX_PAGE: usize = 32 << 20;
/// Most pages.
const MAX_PAGES: usize = 10_000;

/// The files of one commit of a repository, by path.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Listing {
    /// The commit, 40 hex digits.
    pub commit: String,
    /// Every file; the names were checked to stay inside the repository.
    pub files: BTreeMap<String, Entry>,
}

/// A file of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entry {
    /// Size in bytes, of the content also where git holds a pointer to it.
    pub bytes: u64,
    /// Git's hash of what git holds: the file, or the pointer.
    pub blob: String,
    /// sha256 of the content, for files that lie in the store.
    pub sha256: Option<String>,
}

impl Listing {
    /// Asks the Hub, page by page.
    pub(crate) fn ask(
        http: &Http,
        about: Subject<'_>,
        commit: &str,
        progress: &dyn Progress,
    ) -> Result<Self, Error> {
        let words = ["api", "models"]
            .into_iter()
            .chain(about.repo.split('/'))
            .chain(["tree", commit]);
        let mut first = http.url(words);
        first.set_query(Some("recursive=true"));
        let files = all_pages(about.repo, first, |url| {
            http.attempts().run(about, progress, |_| {
                let mut response = http.send(Call::get(url.clone()))?;
                let after = next_page(&response, url)?;
                let value = response.json(MAX_PAGE)?;
                let page = entries(&value)
                    .ok_or_else(|| response.bad("the file list has another form than the Hub's"))?;
                Ok((page, after))
            })
        })?;
        Ok(Self {
            commit: commit.to_owned(),
            files,
        })
    }
}

/// What a page lists, and where the next one is.
type Page = (Vec<(String, Entry)>, Option<Url>);

/// The files of all pages, from the first on; `ask` gets one of them.
fn all_pages(
    repo: &str,
    first: Url,
    mut ask: impl FnMut(&Url) -> Result<Page, Error>,
) -> Result<BTreeMap<String, Entry>, Error> {
    let (mut files, mut pages, mut next) = (BTreeMap::new(), 0, Some(first));
    while let Some(url) = next {
        // A list may lead back to its own beginning.
        if pages == MAX_PAGES {
            return Err(Error::BadAnswer {
                url: repo.to_owned(),
                what: format!("a file list of more than {MAX_PAGES} pages"),
            });
        }
        pages += 1;
        let (page, after) = ask(&url)?;
        for (path, entry) in page {
            name::check_path(&path)?;
            files.insert(path, entry);
        }
        next = after;
    }
    Ok(files)
}

/// The address in `Link: <...>; rel="next"`.
fn next_page(response: &Response<'_>, url: &Url) -> Result<Option<Url>, Failure> {
    let links = response.header("link").unwrap_or_default();
    let next = links.split(',').find(|link| link.contains("rel=\"next\""));
    let Some(next) = next else { return Ok(None) };
    let address = next
        .trim()
        .strip_prefix('<')
        .and_then(|l| l.split_once('>'))
        .map(|(a, _)| a);
    match address.and_then(|a| url.join(a).ok()) {
        Some(next) => Ok(Some(next)),
        None => Err(response.bad("a link to the next page that is not an address")),
    }
}

pub(crate) fn entries(value: &Value) -> Option<Vec<(String, Entry)>> {
    let mut files = Vec::new();
    for item in value.as_array()? {
        let path = item.get("path")?.as_str()?.to_owned();
        if item.get("type")?.as_str()? != "file" {
            continue;
        }
        let lfs = item.get("lfs").filter(|lfs| !lfs.is_null());
        let sha256 = match lfs {
            None => None,
            Some(lfs) => Some(
                lfs.get("oid")?
                    .as_str()
                    .filter(|s| name::is_sha256(s))?
                    .to_owned(),
            ),
        };
        let bytes = match lfs {
            None => item.get("size")?.as_u64()?,
            Some(lfs) => lfs.get("size")?.as_u64()?,
        };
        let blob = item
            .get("oid")?
            .as_str()
            .filter(|s| name::is_commit(s))?
            .to_owned();
        files.push((
            path,
            Entry {
                bytes,
                blob,
                sha256,
            },
        ));
    }
    Some(files)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn large_files_have_the_size_and_hash_of_their_content() {
        let (git, sha) = ("a".repeat(40), "b".repeat(64));
        let value = json!([
            { "type": "directory", "oid": git, "path": "d" },
            { "type": "file", "oid": git, "size": 3, "path": "d/a" },
            { "type": "file", "oid": git, "size": 134, "path": "b", "lfs": { "oid": sha, "size": 9, "pointerSize": 134 } },
        ]);
        let files = entries(&value).unwrap();
        assert_eq!(
            files[0],
            (
                "d/a".to_owned(),
                Entry {
                    bytes: 3,
                    blob: git.clone(),
                    sha256: None
                }
            )
        );
        assert_eq!(
            files[1],
            (
                "b".to_owned(),
                Entry {
                    bytes: 9,
                    blob: git,
                    sha256: Some(sha)
                }
            )
        );
    }

    #[test]
    fn a_list_ends_or_is_refused() {
        let home = Url::parse("http://hub/tree").unwrap();
        for (last, good) in [(MAX_PAGES, true), (usize::MAX, false)] {
            let mut asked = 0;
            let list = all_pages("o/n", home.clone(), |url| {
                asked += 1;
                let entry = Entry {
                    bytes: 1,
                    blob: "a".repeat(40),
                    sha256: None,
                };
                let page = vec![(asked.to_string(), entry)];
                Ok((page, (asked < last).then(|| url.clone())))
            });
            assert_eq!(asked, MAX_PAGES);
            match list {
                Ok(files) => assert!(good && files.len() == MAX_PAGES),
                Err(error) => {
                    let text = error.to_string();
                    assert!(!good && text.contains("more than 10000 pages"), "{text}");
                }
            }
        }
    }

    #[test]
    fn another_form_is_no_list() {
        let git = "a".repeat(40);
        for value in [
            json!({}),
            json!([{ "type": "file", "path": "a" }]),
            json!([{ "type": "file", "oid": "../x", "size": 3, "path": "a" }]),
            json!([{ "type": "file", "oid": git, "size": -3, "path": "a" }]),
            json!([{ "type": "file", "oid": git, "size": 3, "path": "a", "lfs": { "oid": "x", "size": 3 } }]),
        ] {
            assert!(entries(&value).is_none(), "{value}");
        }
    }
}
