//! The two requests of the Hub's own commit protocol: how it wants each file, and the commit.

use super::files::{content, sample};
use super::{How, Plan, PlannedFile};
use crate::http::{Call, Failure, shown};
use crate::{Error, Hub, Progress, RepoRef, name};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::{Method, Url};
use serde_json::{Value, json};
use std::collections::HashMap;

/// Files per question, as the Python client asks.
const PREUPLOAD_FILES: usize = 256;
/// Longest answer that is read, in bytes.
const MAX_ANSWER: usize = 4 << 20;

impl Hub {
    /// The plan with the Hub's word on how it wants each file, and on which it has.
    pub(super) fn preupload(
        &self,
        repo: &RepoRef,
        plan: &Plan,
        progress: &dyn Progress,
    ) -> Result<Plan, Error> {
        let mut plan = plan.clone();
        let url = self.api_url(repo, "preupload");
        let id = repo.id();
        let about = self.about(&id, repo.revision(), None);
        for files in plan.files.chunks_mut(PREUPLOAD_FILES) {
            let mut asked = Vec::new();
            for file in files.iter() {
                let sample = STANDARD.encode(sample(file)?);
                asked.push(json!({ "path": file.path, "size": file.bytes, "sample": sample }));
            }
            let question = json!({ "files": asked });
            let answer = self.http().attempts().run(about, progress, |_| {
                let mut response = self
                    .http()
                    .send(Call::new(Method::POST, url.clone()).json(&question))?;
                let answer = response.json(MAX_ANSWER)?;
                wishes(&answer)
                    .ok_or_else(|| response.bad("the answer does not say how each file is wanted"))
            })?;
            for file in files {
                let wish = answer.get(&file.path).ok_or_else(|| Error::BadAnswer {
                    url: shown(&url),
                    what: format!("the answer leaves out {}", file.path),
                })?;
                file.how = wish.how(file)?;
            }
        }
        Ok(plan)
    }

    /// Makes the commit: its hash, its page, and whether there was anything to commit.
    pub(super) fn commit(
        &self,
        repo: &RepoRef,
        plan: &Plan,
        body: Vec<u8>,
        progress: &dyn Progress,
    ) -> Result<(String, String, bool), Error> {
        let page =
            |commit: &str| format!("{}/{}/commit/{commit}", self.settings().endpoint, plan.repo);
        let head = || self.commit_of(repo, progress);
        if plan.is_unchanged() {
            let commit = head()?;
            return Ok((commit.clone(), page(&commit), false));
        }
        let url = self.api_url(repo, "commit");
        let id = repo.id();
        let about = self.about(&id, repo.revision(), None);
        let unchanged = |head: String| (head.clone(), page(&head), true);
        let mut lost = false;
        self.http().attempts().run(about, progress, |_| {
            // The answer was lost, perhaps not the commit: a second one would be empty.
            if lost {
                let now = self.preupload(repo, plan, progress);
                if now.map_err(Failure::Local)?.is_unchanged() {
                    return head().map(unchanged).map_err(Failure::Local);
                }
            }
            let call =
                Call::new(Method::POST, url.clone()).bytes("application/x-ndjson", body.clone());
            let answer = self
                .http()
                .send(call.patience(self.http().network.answer_timeout))
                .and_then(|mut response| {
                    let answer = response.json(MAX_ANSWER)?;
                    let commit = answer["commitOid"].as_str();
                    let commit = commit
                        .filter(|commit| name::is_commit(commit))
                        .ok_or_else(|| response.bad("the answer names no commit"))?
                        .to_owned();
                    let url = answer["commitUrl"].as_str().and_then(web_address);
                    let url = url.unwrap_or_else(|| page(&commit));
                    Ok((commit, url, true))
                });
            // A gateway that gives up says so with a status; what it asked may go on behind it.
            lost = matches!(
                answer,
                Err(Failure::Transport { .. }
                    | Failure::Stalled { .. }
                    | Failure::Status {
                        status: 408 | 500..=599,
                        ..
                    })
            );
            answer
        })
    }

    fn api_url(&self, repo: &RepoRef, action: &str) -> Url {
        // The revision is one segment: a slash in it is escaped.
        self.http().url([
            "api",
            "models",
            repo.owner(),
            repo.name(),
            action,
            repo.revision(),
        ])
    }
}

/// A server's address of a page, fit to be shown; parsing escapes what could drive a terminal.
fn web_address(text: &str) -> Option<String> {
    let url = Url::parse(text).ok()?;
    matches!(url.scheme(), "http" | "https").then(|| url.into())
}

/// How the Hub wants a file.
pub(super) struct Wish {
    store: bool,
    ignored: bool,
    /// The hash of what lies there under this path.
    there: Option<String>,
}

impl Wish {
    fn how(&self, file: &PlannedFile) -> Result<How, Error> {
        if self.ignored {
            return Err(Error::LocalName {
                path: file.local.clone(),
                why: "the repository's .gitignore excludes it: leave it out (--exclude), or change that",
            });
        }
        let ours = if self.store {
            Some(&file.sha256)
        } else {
            file.blob.as_ref()
        };
        Ok(match (&self.there, ours) {
            (Some(there), Some(ours)) if there == ours => How::Unchanged,
            _ if self.store => How::Store,
            _ => How::Inline,
        })
    }
}

pub(super) fn wishes(answer: &Value) -> Option<HashMap<String, Wish>> {
    let mut wishes = HashMap::new();
    for file in answer.get("files")?.as_array()? {
        let store = match file.get("uploadMode")?.as_str()? {
            "lfs" => true,
            "regular" => false,
            _ => return None,
        };
        let wish = Wish {
            store,
            ignored: file
                .get("shouldIgnore")
                .and_then(Value::as_bool)
                .unwrap_or(false),
            there: file.get("oid").and_then(Value::as_str).map(str::to_owned),
        };
        wishes.insert(file.get("path")?.as_str()?.to_owned(), wish);
    }
    Some(wishes)
}

/// The commit request's body: one JSON value per line.
pub(super) fn body(plan: &Plan) -> Result<Vec<u8>, Error> {
    let mut body = Vec::new();
    let mut line = |key: &str, value: Value| {
        body.extend_from_slice(json!({ "key": key, "value": value }).to_string().as_bytes());
        body.push(b'\n');
    };
    line(
        "header",
        json!({ "summary": plan.summary, "description": plan.description }),
    );
    for file in &plan.files {
        match file.how {
            How::Unchanged => {}
            How::Inline => {
                let content = STANDARD.encode(content(file)?);
                line(
                    "file",
                    json!({ "content": content, "path": file.path, "encoding": "base64" }),
                );
            }
            How::Store => {
                let value = json!({ "path": file.path, "algo": "sha256", "oid": file.sha256, "size": file.bytes });
                line("lfsFile", value);
            }
        }
    }
    Ok(body)
}
