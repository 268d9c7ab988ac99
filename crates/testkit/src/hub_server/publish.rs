//! The writing side: creating repositories, the store's uploads, commits.

use super::message::{Request, Response};
use super::read::{ranged, signed_in};
use super::repo::{Content, Repo, RepoFile, git_oid, hex, is_large};
use super::state::{Part, Shared, State, Stored, Transfer};
use base64::Engine;
use serde_json::{Value, json};
use sha2::Digest;
use std::io::{self, BufReader};
use std::net::TcpStream;

/// Uploads up to this size are kept; of longer ones only length and hash.
const KEPT_BYTES: u64 = 32 << 20;

/// The Hub's answer to a request of the writing side; `None` if it is not one.
pub(super) fn hub(
    shared: &Shared,
    request: &mut Request,
    stream: &mut BufReader<TcpStream>,
) -> io::Result<Option<Response>> {
    let words = request.words();
    let words: &[&str] = &words.iter().map(String::as_str).collect::<Vec<_>>();
    let method = request.method.clone();
    // The completion link is signed; all else wants a token.
    if let ("POST", ["complete", oid]) = (method.as_str(), words) {
        let body = request.json(stream)?;
        return Ok(Some(complete(&mut shared.state(), oid, &body)));
    }
    // The Python client has model cards checked before it uploads them.
    if let ("POST", ["api", "validate-yaml"]) = (method.as_str(), words) {
        request.body(stream)?;
        let fine = json!({ "errors": [], "warnings": [] });
        return Ok(Some(Response::new(200).json(&fine)));
    }
    let asked = matches!(
        (method.as_str(), words),
        ("GET", ["api", "whoami-v2"])
            | ("POST", ["api", "repos", "create"])
            | ("POST", ["api", "models", _, _, "preupload" | "commit", _])
            | ("POST", [_, _, "info", "lfs", "objects", "batch" | "verify"])
    );
    if !asked {
        return Ok(None);
    }
    let body = request.body(stream)?;
    let mut state = shared.state();
    if !signed_in(&state, request) {
        return Ok(Some(Response::refusal(
            401,
            "",
            "Invalid username or password.",
        )));
    }
    let value = || serde_json::from_slice::<Value>(&body).map_err(io::Error::other);
    let response = match words {
        ["api", "whoami-v2"] => Response::new(200).json(&json!({
            "type": "user",
            "name": "tester",
            "fullname": "A Tester",
            "orgs": [{ "type": "org", "name": "test-org", "fullname": "Org" }],
            "auth": { "type": "access_token", "accessToken": { "role": "write" } },
        })),
        ["api", "repos", "create"] => create(shared, &mut state, &value()?),
        ["api", "models", owner, name, action, revision] => {
            let id = format!("{owner}/{name}");
            match (state.repos.contains_key(&id), *action) {
                (false, _) => Response::refusal(404, "RepoNotFound", "Repository not found"),
                (true, "preupload") => preupload(&state, &id, revision, &value()?),
                (true, _) => commit(shared, &mut state, &id, revision, body),
            }
        }
        [owner, name, "info", "lfs", "objects", action] => {
            let id = format!("{owner}/{}", name.trim_end_matches(".git"));
            match (state.repos.contains_key(&id), *action) {
                (false, _) => Response::refusal(404, "RepoNotFound", "Repository not found"),
                (true, "batch") => batch(shared, &state, &id, &value()?),
                (true, _) => verify(&state, &value()?),
            }
        }
        _ => return Ok(None),
    };
    Ok(Some(response))
}

fn create(shared: &Shared, state: &mut State, body: &Value) -> Response {
    let name = body["name"].as_str().unwrap_or_default();
    let owner = body["organization"].as_str().unwrap_or("tester");
    let id = format!("{owner}/{name}");
    let url = format!("{}/{id}", shared.hub_url());
    if !["tester", "test-org"].contains(&owner) {
        let message =
            format!("You don't have the rights to create a model under the namespace \"{owner}\"");
        return Response::refusal(403, "", &message);
    }
    if state.repos.contains_key(&id) {
        let answer = json!({ "error": "You already created this model repo", "url": url });
        return Response::new(409).json(&answer);
    }
    let access = match body["private"].as_bool() {
        Some(true) => super::Access::Private,
        _ => super::Access::Public,
    };
    let first = Repo::new()
        .access(access)
        .file(".gitattributes", "*.gguf filter=lfs\n");
    state
        .repos
        .entry(id.clone())
        .or_default()
        .set("main", first);
    Response::new(200).json(&json!({ "url": url, "name": id }))
}

fn preupload(state: &State, id: &str, revision: &str, body: &Value) -> Response {
    let Some((_, repo)) = state.repos.get(id).and_then(|h| h.find(revision)) else {
        return Response::refusal(404, "RevisionNotFound", "Invalid rev id");
    };
    let files: Vec<Value> = body["files"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|file| {
            let path = file["path"].as_str().unwrap_or_default();
            let size = file["size"].as_u64().unwrap_or_default();
            let large = is_large(path, size) && !state.publishing.inline_all;
            let mode = if large { "lfs" } else { "regular" };
            let mut answer = json!({ "path": path, "uploadMode": mode, "shouldIgnore": false });
            if let Some(there) = repo.files.get(path) {
                answer["oid"] = json!(there.oid);
            }
            answer
        })
        .collect();
    Response::new(200).json(&json!({ "files": files }))
}

fn batch(shared: &Shared, state: &State, id: &str, body: &Value) -> Response {
    let transfer = state.publishing.transfer;
    let objects: Vec<Value> = body["objects"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|object| {
            let oid = object["oid"].as_str().unwrap_or_default();
            let size = object["size"].as_u64().unwrap_or_default();
            let mut answer = json!({ "oid": oid, "size": size, "authenticated": true });
            if state.publishing.stored.contains_key(oid) {
                return answer;
            }
            let upload = match transfer {
                Transfer::Multipart(part) => {
                    let mut header = json!({ "chunk_size": part.to_string() });
                    for number in 1..=size.div_ceil(part) {
                        header[format!("{number:05}")] =
                            json!(format!("{}/upload/{oid}/{number}?signature=s", shared.store_url()));
                    }
                    json!({ "href": format!("{}/complete/{oid}?signature=s", shared.hub_url()), "header": header })
                }
                _ => json!({ "href": format!("{}/upload/{oid}?signature=s", shared.store_url()) }),
            };
            let verify = format!("{}/{id}.git/info/lfs/objects/verify", shared.hub_url());
            answer["actions"] = json!({ "upload": upload, "verify": { "href": verify } });
            answer
        })
        .collect();
    let name = match transfer {
        Transfer::Basic => "basic",
        Transfer::Multipart(_) => "multipart",
        Transfer::Xet => "xet",
    };
    Response::new(200).json(&json!({ "transfer": name, "objects": objects }))
}

fn complete(state: &mut State, oid: &str, body: &Value) -> Response {
    let publishing = &mut state.publishing;
    let parts = body["parts"].as_array().cloned().unwrap_or_default();
    let mut whole = Stored {
        bytes: 0,
        content: Some(Vec::new()),
        requests: parts.len(),
    };
    for (i, part) in parts.iter().enumerate() {
        let Some(stored) = publishing.parts.get(&(oid.to_owned(), i + 1)) else {
            return Response::refusal(400, "", "a part is missing");
        };
        if part["partNumber"] != json!(i + 1) || part["etag"] != json!(stored.etag) {
            return Response::refusal(400, "", "a part has another number or ETag");
        }
        whole.bytes += stored.bytes;
        whole.content = match (whole.content, &stored.content) {
            (Some(mut all), Some(more)) => {
                all.extend_from_slice(more);
                Some(all)
            }
            _ => None,
        };
    }
    if let Some(content) = &whole.content
        && hex(&sha2::Sha256::digest(content)) != oid
    {
        return Response::refusal(400, "", "the parts do not have this sha256");
    }
    publishing.parts.retain(|(o, _), _| o != oid);
    publishing.stored.insert(oid.to_owned(), whole);
    Response::new(200).json(&json!({ "success": true }))
}

fn verify(state: &State, body: &Value) -> Response {
    let oid = body["oid"].as_str().unwrap_or_default();
    match state.publishing.stored.get(oid) {
        Some(object) if Some(object.bytes) == body["size"].as_u64() => Response::new(200),
        _ => Response::refusal(404, "", "no such object"),
    }
}

fn commit(shared: &Shared, state: &mut State, id: &str, revision: &str, body: Vec<u8>) -> Response {
    let Some(mut repo) = state
        .repos
        .get(id)
        .and_then(|h| h.find(revision))
        .map(|f| f.1.clone())
    else {
        return Response::refusal(404, "RevisionNotFound", "Invalid rev id");
    };
    for line in body.split(|b| *b == b'\n').filter(|l| !l.is_empty()) {
        let Ok(line) = serde_json::from_slice::<Value>(line) else {
            return Response::refusal(400, "", "not NDJSON");
        };
        let value = &line["value"];
        let path = value["path"].as_str().unwrap_or_default().to_owned();
        match line["key"].as_str() {
            Some("header") => {}
            Some("file") => {
                let content = value["content"].as_str().unwrap_or_default();
                match base64::engine::general_purpose::STANDARD.decode(content) {
                    Ok(bytes) => drop(repo.files.insert(path, RepoFile::regular(bytes))),
                    Err(_) => return Response::refusal(400, "", "not base64"),
                }
            }
            Some("lfsFile") => {
                let oid = value["oid"].as_str().unwrap_or_default().to_owned();
                let content = match state.publishing.stored.get(&oid) {
                    None => return Response::refusal(400, "", "an object was not uploaded"),
                    Some(Stored {
                        content: Some(bytes),
                        ..
                    }) => Content::from(bytes.clone()),
                    Some(object) => Content::sparse(Vec::new(), object.bytes),
                };
                repo.files.insert(
                    path,
                    RepoFile {
                        content,
                        large: true,
                        oid,
                    },
                );
            }
            _ => return Response::refusal(400, "", "an unknown operation"),
        }
    }
    let oid = repo.commit();
    state
        .repos
        .entry(id.to_owned())
        .or_default()
        .set(revision, repo);
    state.publishing.commits.push((id.to_owned(), body));
    let url = format!("{}/{id}/commit/{oid}", shared.hub_url());
    Response::new(200).json(&json!({ "success": true, "commitOid": oid, "commitUrl": url }))
}

/// The store's answer: it hands out large files and takes uploads, and it knows no tokens.
pub(super) fn store(
    shared: &Shared,
    request: &mut Request,
    stream: &mut BufReader<TcpStream>,
) -> io::Result<Response> {
    if request.header("authorization").is_some() {
        return Ok(Response::refusal(
            400,
            "",
            "Only one auth mechanism allowed",
        ));
    }
    let path = request.path().to_owned();
    let words: Vec<&str> = path.split('/').skip(1).collect();
    Ok(match (request.method.as_str(), words.as_slice()) {
        ("GET" | "HEAD", ["lfs", oid]) => {
            let state = shared.state();
            let found = state
                .repos
                .values()
                .flat_map(|h| h.commits.values())
                .flat_map(|r| r.files.values())
                .find(|f| f.large && f.oid == *oid);
            match found {
                Some(file) => ranged(request, &file.content).header("ETag", "\"of-the-store\""),
                None => Response::new(404),
            }
        }
        ("PUT", ["upload", oid]) => {
            let part = receive(request, stream)?;
            if part.etag != *oid {
                return Ok(Response::new(400));
            }
            let stored = Stored {
                bytes: part.bytes,
                content: part.content,
                requests: 1,
            };
            shared
                .state()
                .publishing
                .stored
                .insert((*oid).to_owned(), stored);
            Response::new(200)
        }
        ("PUT", ["upload", oid, number]) => {
            let number: usize = number.parse().map_err(io::Error::other)?;
            let part = receive(request, stream)?;
            let response = Response::new(200).header("ETag", part.etag.as_str());
            shared
                .state()
                .publishing
                .parts
                .insert(((*oid).to_owned(), number), part);
            response
        }
        _ => Response::new(404),
    })
}

/// Takes a body of any length, in little memory.
fn receive(request: &mut Request, stream: &mut BufReader<TcpStream>) -> io::Result<Part> {
    let mut hash = sha2::Sha256::new();
    let bytes = request.body_left;
    let mut content = (bytes <= KEPT_BYTES).then(Vec::new);
    let mut buffer = vec![0; 256 << 10];
    while request.body_left > 0 {
        let n = request.read_body(stream, &mut buffer)?;
        hash.update(&buffer[..n]);
        if let Some(content) = &mut content {
            content.extend_from_slice(&buffer[..n]);
        }
    }
    Ok(Part {
        bytes,
        content,
        etag: hex(&hash.finalize()),
    })
}

impl Repo {
    /// Whether a client that has these bytes would find them in the repository.
    #[must_use]
    pub fn holds(&self, path: &str, bytes: &[u8]) -> bool {
        self.files.get(path).is_some_and(|file| match file.large {
            true => file.oid == hex(&sha2::Sha256::digest(bytes)),
            false => file.oid == git_oid(bytes),
        })
    }
}
