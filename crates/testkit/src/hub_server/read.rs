//! The Hub's reading side: facts, trees, `resolve` links, small files.

use super::message::{Request, Response};
use super::repo::{Access, Content, Repo, RepoFile};
use super::state::{Shared, State};
use serde_json::{Value, json};

/// The Hub's answer to a request.
pub(super) fn answer(shared: &Shared, request: &Request) -> Response {
    let words = request.words();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let state = shared.state();
    let reading = matches!(request.method.as_str(), "GET" | "HEAD");
    match words.as_slice() {
        ["api", "models", owner, name, rest @ ..] if reading => {
            let id = format!("{owner}/{name}");
            match rest {
                [] => facts(&state, request, &id, "main"),
                ["revision", revision] => facts(&state, request, &id, revision),
                ["tree", revision, ..] => tree(shared, &state, request, &id, revision),
                _ => Response::refusal(404, "NotFound", "no such page"),
            }
        }
        [
            "api",
            "resolve-cache",
            "models",
            owner,
            name,
            commit,
            path @ ..,
        ] if reading => {
            let id = format!("{owner}/{name}");
            small_file(&state, request, &id, commit, &path.join("/"))
        }
        [owner, name, "resolve", revision, path @ ..] if reading => {
            let id = format!("{owner}/{name}");
            resolve(shared, &state, request, &id, revision, &path.join("/"))
        }
        _ => Response::refusal(404, "NotFound", "no such page"),
    }
}

/// Whether the request carries a token that is good here.
pub(super) fn signed_in(state: &State, request: &Request) -> bool {
    let Some(token) = request
        .header("authorization")
        .and_then(|h| h.strip_prefix("Bearer "))
    else {
        return false;
    };
    state.token.as_ref().is_none_or(|t| t == token)
}

/// The files that a revision names, or the refusal.
fn find<'a>(
    state: &'a State,
    request: &Request,
    id: &str,
    revision: &str,
) -> Result<(String, &'a Repo), Response> {
    let known = signed_in(state, request);
    if request.header("authorization").is_some() && !known {
        return Err(Response::refusal(
            401,
            "",
            "Invalid credentials in Authorization header",
        ));
    }
    let no_repo = || match known {
        true => Response::refusal(404, "RepoNotFound", "Repository not found"),
        false => Response::refusal(401, "RepoNotFound", "Repository not found"),
    };
    let history = state.repos.get(id).ok_or_else(no_repo)?;
    let refusal = format!("Invalid rev id: {revision}");
    let (commit, repo) = history
        .find(revision)
        .ok_or_else(|| Response::refusal(404, "RevisionNotFound", &refusal))?;
    match repo.access {
        Access::Private if !known => Err(no_repo()),
        _ => Ok((commit, repo)),
    }
}

fn facts(state: &State, request: &Request, id: &str, revision: &str) -> Response {
    match find(state, request, id, revision) {
        Err(refusal) => refusal,
        Ok((commit, repo)) => {
            let siblings: Vec<Value> = repo
                .files
                .keys()
                .map(|path| json!({ "rfilename": path }))
                .collect();
            Response::new(200).json(&json!({
                "_id": "0123456789abcdef01234567",
                "id": id,
                "modelId": id,
                "sha": commit,
                "private": repo.access == Access::Private,
                "gated": if repo.access == Access::Gated { json!("auto") } else { json!(false) },
                "disabled": false,
                "tags": [],
                "downloads": 0,
                "likes": 0,
                "siblings": siblings,
            }))
        }
    }
}

fn tree(shared: &Shared, state: &State, request: &Request, id: &str, revision: &str) -> Response {
    let (_, repo) = match find(state, request, id, revision) {
        Err(refusal) => return refusal,
        Ok(found) => found,
    };
    let mut folders: Vec<&str> = Vec::new();
    let mut entries = Vec::new();
    for (path, file) in &repo.files {
        for (end, _) in path.match_indices('/').filter(|(end, _)| *end > 0) {
            if !folders.contains(&&path[..end]) {
                folders.push(&path[..end]);
                entries.push(
                    json!({ "type": "directory", "oid": "0".repeat(40), "path": path[..end] }),
                );
            }
        }
        entries.push(entry(path, file));
    }
    let first: usize = request
        .query("cursor")
        .and_then(|c| c.parse().ok())
        .unwrap_or(0);
    let page = if repo.page == 0 {
        usize::MAX
    } else {
        repo.page
    };
    let left = entries.len() > first.saturating_add(page);
    let entries: Vec<Value> = entries.into_iter().skip(first).take(page).collect();
    let response = Response::new(200).json(&Value::Array(entries));
    match left {
        false => response,
        true => {
            let (hub, path) = (shared.hub_url(), request.path());
            let next = format!(
                "<{hub}{path}?recursive=true&cursor={}>; rel=\"next\"",
                first + page
            );
            response.header("Link", next)
        }
    }
}

fn entry(path: &str, file: &RepoFile) -> Value {
    let size = file.content.len();
    match file.large {
        false => json!({ "type": "file", "oid": file.oid, "size": size, "path": path }),
        true => json!({
            "type": "file",
            "oid": super::repo::git_oid(pointer(file).as_bytes()),
            "size": size,
            "path": path,
            "lfs": { "oid": file.oid, "size": size, "pointerSize": pointer(file).len() },
        }),
    }
}

/// The text that lies in git in place of a large file.
fn pointer(file: &RepoFile) -> String {
    let (oid, size) = (&file.oid, file.content.len());
    format!("version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {size}\n")
}

/// The file that a `resolve` link names, or the refusal.
fn file<'a>(
    state: &'a State,
    request: &Request,
    id: &str,
    revision: &str,
    path: &str,
) -> Result<(String, &'a RepoFile), Response> {
    let (commit, repo) = find(state, request, id, revision)?;
    if repo.access == Access::Gated {
        let status = if signed_in(state, request) { 403 } else { 401 };
        let message = format!("Access to model {id} is restricted and you are not in the list");
        return Err(Response::refusal(status, "GatedRepo", &message));
    }
    match repo.files.get(path) {
        Some(file) => Ok((commit, file)),
        None => Err(Response::refusal(404, "EntryNotFound", "Entry not found")
            .header("X-Repo-Commit", commit)),
    }
}

fn resolve(
    shared: &Shared,
    state: &State,
    request: &Request,
    id: &str,
    revision: &str,
    path: &str,
) -> Response {
    let (commit, file) = match file(state, request, id, revision, path) {
        Err(refusal) => return refusal,
        Ok(found) => found,
    };
    if file.large {
        let place = format!(
            "{}/lfs/{}?signature=short-lived",
            shared.store_url(),
            file.oid
        );
        Response::new(302)
            .header("Location", place.as_str())
            .header("X-Repo-Commit", commit)
            .header("X-Linked-ETag", format!("\"{}\"", file.oid))
            .header("X-Linked-Size", file.content.len().to_string())
            .content(Content::from(
                format!("Found. Redirecting to {place}").into_bytes(),
            ))
    } else {
        // As the Hub does: a redirect within the host, the path encoded as it was asked for.
        let asked = request
            .path()
            .split_once("/resolve/")
            .and_then(|(_, p)| p.split_once('/'));
        let asked = asked.map_or(path, |(_, p)| p);
        Response::new(307)
            .header(
                "Location",
                format!("/api/resolve-cache/models/{id}/{commit}/{asked}"),
            )
            .header("X-Repo-Commit", commit)
            .content(Content::from(b"Temporary Redirect".to_vec()))
    }
}

fn small_file(state: &State, request: &Request, id: &str, commit: &str, path: &str) -> Response {
    match file(state, request, id, commit, path) {
        Err(refusal) => refusal,
        Ok((commit, file)) => ranged(request, &file.content)
            .header("ETag", format!("\"{}\"", file.oid))
            .header("X-Repo-Commit", commit),
    }
}

/// A file's content, or the range of it that was asked for.
pub(super) fn ranged(request: &Request, content: &Content) -> Response {
    let response = Response::new(200)
        .header("Accept-Ranges", "bytes")
        .content(content.clone());
    let Some(range) = request.header("range") else {
        return response;
    };
    let len = content.len();
    let asked = range.strip_prefix("bytes=").and_then(|r| r.split_once('-'));
    let asked = asked.and_then(|(first, last)| {
        let first: u64 = first.parse().ok()?;
        let last = if last.is_empty() {
            u64::MAX
        } else {
            last.parse().ok()?
        };
        (first < len && first <= last).then_some((first, last.min(len - 1)))
    });
    match asked {
        None => Response::new(416).header("Content-Range", format!("bytes */{len}")),
        Some((first, last)) => {
            let mut response =
                response.header("Content-Range", format!("bytes {first}-{last}/{len}"));
            response.status = 206;
            response.part = (first, last - first + 1);
            response
        }
    }
}
