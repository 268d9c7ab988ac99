//! A large file to the store, by git's LFS batch protocol.
//!
//! The Hub answers a batch request with nothing (the store has the object), with one link for one
//! `PUT` (transfer `basic`), or with a link per part and one to say that all are there (transfer
//! `multipart`, the Hub's own). Links are signed and short-lived: they are asked for right before
//! each file, and once more if the store does not take them any more.

use super::{Plan, PlannedFile};
use crate::http::{Call, FilePart, Subject, shown};
use crate::{Error, Event, Hub, Progress, RepoRef};
use reqwest::{Method, Url};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

/// Media type of the LFS protocol.
const LFS_JSON: &str = "application/vnd.git-lfs+json";
/// Longest answer that is read, in bytes: a link per part of a large file.
const MAX_ANSWER: usize = 32 << 20;
/// How often links are asked for anew because the store refuses them.
const MAX_RENEWALS: u32 = 3;

/// What the Hub wants done with an object.
pub(super) struct Batch {
    upload: Option<Upload>,
    verify: Option<Link>,
}

enum Upload {
    Whole(Link),
    Parts {
        part_bytes: u64,
        parts: Vec<Url>,
        complete: Url,
    },
}

struct Link {
    url: Url,
    headers: Vec<(String, String)>,
}

impl Hub {
    /// Sends a file to the store unless it is there: how many bytes went.
    pub(super) fn upload(
        &self,
        repo: &RepoRef,
        plan: &Plan,
        file: &PlannedFile,
        progress: &dyn Progress,
    ) -> Result<u64, Error> {
        let about = Subject {
            path: Some(&file.path),
            ..self.about(&plan.repo, &plan.revision, None)
        };
        for renewal in 0.. {
            let batch = self.batch(repo, plan, file, about, progress)?;
            let Some(upload) = batch.upload else {
                progress.event(Event::Present { name: &file.path });
                return Ok(0);
            };
            progress.event(Event::Next {
                name: &file.path,
                total: file.bytes,
                known: 0,
            });
            let moved = AtomicU64::new(0);
            let sending = Sending {
                hub: self,
                file,
                progress,
                moved: &moved,
                about,
            };
            let sent = match upload {
                Upload::Whole(link) => sending.part(&link, 0, file.bytes).map(drop),
                Upload::Parts {
                    part_bytes,
                    parts,
                    complete,
                } => sending.parts(part_bytes, &parts, &complete),
            };
            match sent {
                Ok(()) => {}
                // The store does not take the links any more.
                Err(
                    Error::Refused {
                        status: 403 | 400, ..
                    }
                    | Error::WebPage {
                        status: 403 | 400, ..
                    }
                    | Error::Forbidden { .. },
                ) if renewal < MAX_RENEWALS => {
                    sending.lost(moved.load(Ordering::Relaxed), "the links have expired");
                    continue;
                }
                Err(error) => return Err(error),
            }
            if let Some(verify) = batch.verify {
                let body = json!({ "oid": file.sha256, "size": file.bytes });
                self.http().attempts().run(about, progress, |_| {
                    self.http().send(
                        with(Call::new(Method::POST, verify.url.clone()), &verify).json(&body),
                    )
                })?;
            }
            progress.event(Event::Done { name: &file.path });
            break;
        }
        Ok(file.bytes)
    }

    fn batch(
        &self,
        repo: &RepoRef,
        plan: &Plan,
        file: &PlannedFile,
        about: Subject<'_>,
        progress: &dyn Progress,
    ) -> Result<Batch, Error> {
        let name = format!("{}.git", repo.name());
        let url = self
            .http()
            .url([repo.owner(), &name, "info", "lfs", "objects", "batch"]);
        let question = json!({
            "operation": "upload",
            "transfers": ["basic", "multipart"],
            "objects": [{ "oid": file.sha256, "size": file.bytes }],
            "hash_algo": "sha256",
            "ref": { "name": plan.revision },
        });
        let answer = self.http().attempts().run(about, progress, |_| {
            let call = Call::new(Method::POST, url.clone())
                .bytes(LFS_JSON, question.to_string().into_bytes());
            self.http()
                .send(call.header("accept", LFS_JSON))?
                .json(MAX_ANSWER)
        })?;
        if answer["transfer"] == "xet" {
            return Err(Error::XetOnly {
                repo: plan.repo.clone(),
                folder: plan.folder.clone(),
            });
        }
        let object = &answer["objects"][0];
        if let Some(error) = object.get("error") {
            return Err(Error::Refused {
                url: shown(&url),
                status: error["code"]
                    .as_u64()
                    .and_then(|c| u16::try_from(c).ok())
                    .unwrap_or(0),
                detail: self
                    .http()
                    .tidy(error["message"].as_str().unwrap_or("no reason given")),
            });
        }
        let bad = |what: String| Error::BadAnswer {
            url: shown(&url),
            what,
        };
        if object["oid"].as_str() != Some(&file.sha256) {
            return Err(bad(format!(
                "the answer is not about the object {}",
                file.sha256
            )));
        }
        read_actions(object, file.bytes).map_err(bad)
    }
}

pub(super) fn read_actions(object: &Value, bytes: u64) -> Result<Batch, String> {
    let actions = &object["actions"];
    let verify = actions.get("verify").map(link).transpose()?;
    let Some(upload) = actions.get("upload") else {
        return Ok(Batch {
            upload: None,
            verify: None,
        });
    };
    let whole = link(upload)?;
    let Some((_, part_bytes)) = whole.headers.iter().find(|(name, _)| name == "chunk_size") else {
        return Ok(Batch {
            upload: Some(Upload::Whole(whole)),
            verify,
        });
    };
    let part_bytes: u64 = part_bytes
        .parse()
        .map_err(|_| "chunk_size is not a number".to_owned())?;
    let count = if part_bytes == 0 {
        0
    } else {
        bytes.div_ceil(part_bytes)
    };
    // Part numbers are keys, some with leading zeros.
    let mut links = BTreeMap::new();
    for (number, address) in &whole.headers {
        if let Ok(number) = number.parse::<u64>() {
            links.insert(
                number,
                Url::parse(address).map_err(|e| format!("the link of part {number}: {e}"))?,
            );
        }
    }
    if count == 0 || links.len() as u64 != count || !links.keys().copied().eq(1..=count) {
        return Err(format!(
            "{} links for parts of {part_bytes} bytes, of a file of {bytes}",
            links.len()
        ));
    }
    let parts = links.into_values().collect();
    Ok(Batch {
        upload: Some(Upload::Parts {
            part_bytes,
            parts,
            complete: whole.url,
        }),
        verify,
    })
}

fn link(action: &Value) -> Result<Link, String> {
    let address = action["href"].as_str().ok_or("an action without a link")?;
    let url = Url::parse(address).map_err(|e| format!("an action's link: {e}"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("an action's link to {}", url.scheme()));
    }
    let text = |value: &Value| {
        value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned)
    };
    let headers = action["header"].as_object().into_iter().flatten();
    let headers = headers
        .map(|(name, value)| (name.to_ascii_lowercase(), text(value)))
        .collect();
    Ok(Link { url, headers })
}

/// The call with the headers that come with a link.
fn with<'a>(call: Call<'a>, link: &Link) -> Call<'a> {
    link.headers
        .iter()
        .fold(call, |call, (name, value)| call.header(name, value))
}

/// A file on its way to the store.
struct Sending<'a> {
    hub: &'a Hub,
    file: &'a PlannedFile,
    progress: &'a dyn Progress,
    /// Bytes that were reported and not taken back.
    moved: &'a AtomicU64,
    about: Subject<'a>,
}

impl Sending<'_> {
    /// Sends a part of the file, until it is there: its `ETag`.
    fn part(&self, link: &Link, offset: u64, bytes: u64) -> Result<String, Error> {
        let network = &self.hub.http().network;
        let attempts = self.hub.http().attempts();
        attempts.run(self.about, self.progress, |_| {
            let sent = AtomicU64::new(0);
            let moved = |more: u64| {
                sent.fetch_add(more, Ordering::Relaxed);
                self.moved.fetch_add(more, Ordering::Relaxed);
                self.progress.event(Event::Advanced {
                    name: &self.file.path,
                    count: more,
                    figure: None,
                });
            };
            let part = FilePart {
                path: &self.file.local,
                offset,
                bytes,
                moved: &moved,
            };
            let call = with(Call::new(Method::PUT, link.url.clone()), link).part(part);
            match self.hub.http().send(call.patience(network.answer_timeout)) {
                Ok(response) => Ok(response.header("etag").unwrap_or_default().to_owned()),
                Err(failure) => {
                    self.lost(sent.load(Ordering::Relaxed), &failure.brief());
                    Err(failure)
                }
            }
        })
    }

    /// Sends all parts, a few at a time, and says that they are there.
    fn parts(&self, part_bytes: u64, parts: &[Url], complete: &Url) -> Result<(), Error> {
        let network = &self.hub.http().network;
        let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
        let done = Mutex::new((vec![String::new(); parts.len()], None));
        std::thread::scope(|scope| {
            for _ in 0..network.connections.clamp(1, parts.len().max(1)) {
                scope.spawn(|| {
                    while !stop.load(Ordering::Relaxed) {
                        let index = next.fetch_add(1, Ordering::Relaxed);
                        let Some(url) = parts.get(index) else { return };
                        let offset = part_bytes * index as u64;
                        let link = Link {
                            url: url.clone(),
                            headers: Vec::new(),
                        };
                        let sent =
                            self.part(&link, offset, part_bytes.min(self.file.bytes - offset));
                        let mut done = done
                            .lock()
                            .unwrap_or_else(std::sync::PoisonError::into_inner);
                        match sent {
                            Ok(etag) => done.0[index] = etag,
                            Err(error) => {
                                stop.store(true, Ordering::Relaxed);
                                done.1.get_or_insert(error);
                            }
                        }
                    }
                });
            }
        });
        let (etags, error) = done
            .into_inner()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(error) = error {
            return Err(error);
        }
        let listed: Vec<Value> = (1..)
            .zip(&etags)
            .map(|(n, etag)| json!({ "partNumber": n, "etag": etag }))
            .collect();
        let body = json!({ "oid": self.file.sha256, "parts": listed });
        self.hub
            .http()
            .attempts()
            .run(self.about, self.progress, |_| {
                let call = Call::new(Method::POST, complete.clone())
                    .bytes(LFS_JSON, body.to_string().into_bytes());
                self.hub
                    .http()
                    .send(
                        call.header("accept", LFS_JSON)
                            .patience(network.answer_timeout),
                    )
                    .map(drop)
            })
    }

    /// Takes back what was reported as moved.
    fn lost(&self, bytes: u64, why: &str) {
        if bytes > 0 {
            self.moved.fetch_sub(bytes, Ordering::Relaxed);
            self.progress.event(Event::Lost {
                name: &self.file.path,
                count: bytes,
                why,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_must_fit_the_file() {
        let object = |size: &str, parts: &[&str]| {
            let mut header = json!({ "chunk_size": size });
            for part in parts {
                header[*part] = json!("https://store/x");
            }
            json!({ "oid": "x", "actions": { "upload": { "href": "https://hub/complete", "header": header } } })
        };
        let read = |size, parts: &[&str], bytes| read_actions(&object(size, parts), bytes);
        let good = read("10", &["00001", "2", "00003"], 21).unwrap();
        assert!(
            matches!(good.upload, Some(Upload::Parts { part_bytes: 10, parts, .. }) if parts.len() == 3)
        );
        for (size, parts, bytes) in [
            ("10", vec!["1"], 21),
            ("0", vec!["1"], 21),
            ("x", vec!["1"], 5),
            ("10", vec!["2"], 5),
            ("10", vec![], 0),
        ] {
            assert!(
                read(size, &parts, bytes).is_err(),
                "{size} {parts:?} {bytes}"
            );
        }
    }

    #[test]
    fn an_object_without_actions_is_there() {
        assert!(
            read_actions(&json!({ "oid": "x", "size": 1 }), 1)
                .unwrap()
                .upload
                .is_none()
        );
        let odd = json!({ "oid": "x", "actions": { "upload": { "href": "file:///etc/passwd" } } });
        assert!(read_actions(&odd, 1).is_err());
    }
}
