//! Requests that block, on top of an asynchronous client: the only module that knows of tokio.
//!
//! Redirects are followed here and not by the client, because the token goes to the Hub's own
//! origin only: a redirect to the store of large files carries its own signature.

mod failure;
mod shortcut;
mod upload;

pub(crate) use failure::{Attempts, Failure, Subject};
pub(crate) use shortcut::Shortcut;

use crate::{Error, Network, Settings, Token};
use reqwest::header::{ACCEPT_ENCODING, AUTHORIZATION, HeaderMap, HeaderValue, LOCATION};
use reqwest::{Method, StatusCode, Url};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Most redirects that one request follows.
const MAX_REDIRECTS: usize = 10;
/// Most values of a JSON answer, or of a file list that was kept: a page has some ten thousand.
pub(crate) const MAX_VALUES: usize = 1 << 18;
/// Longest answer to a refused request that is read for its reason, in bytes.
const MAX_REASON: usize = 64 << 10;
/// How often a sender looks whether its bytes move.
const TICK: Duration = Duration::from_millis(100);

/// The client: one per [`crate::Hub`], used by many threads.
pub(crate) struct Http {
    runtime: tokio::runtime::Runtime,
    client: reqwest::Client,
    endpoint: Url,
    token: Option<Token>,
    pub network: Network,
    /// Whether the Hub or its store has answered, as such.
    reached: AtomicBool,
    /// The cache, if it is all that may be used.
    offline: Option<PathBuf>,
}

/// A request to be sent.
pub(crate) struct Call<'a> {
    method: Method,
    url: Url,
    headers: HeaderMap,
    body: Body<'a>,
    patience: Option<Duration>,
    at_home: bool,
}

enum Body<'a> {
    Empty,
    Bytes(Vec<u8>),
    Part(FilePart<'a>),
}

/// Bytes of a local file that are sent as a body.
pub(crate) struct FilePart<'a> {
    pub path: &'a Path,
    pub offset: u64,
    pub bytes: u64,
    /// Told how many more bytes have left.
    pub moved: &'a (dyn Fn(u64) + Sync),
}

impl<'a> Call<'a> {
    pub fn new(method: Method, url: Url) -> Self {
        let mut headers = HeaderMap::new();
        // Sizes and ranges are those of the file, not of some compressed form of it.
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        Self {
            method,
            url,
            headers,
            body: Body::Empty,
            patience: None,
            at_home: false,
        }
    }

    pub fn get(url: Url) -> Self {
        Self::new(Method::GET, url)
    }

    /// Adds a header; one that cannot be sent is left out.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        let name = reqwest::header::HeaderName::from_bytes(name.as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(value)) {
            self.headers.insert(name, value);
        }
        self
    }

    pub fn range(self, first: u64, end: u64) -> Self {
        self.header("range", &format!("bytes={first}-{}", end.saturating_sub(1)))
    }

    pub fn json(self, value: &serde_json::Value) -> Self {
        self.bytes("application/json", value.to_string().into_bytes())
    }

    pub fn bytes(mut self, content_type: &str, bytes: Vec<u8>) -> Self {
        self.body = Body::Bytes(bytes);
        self.header("content-type", content_type)
    }

    pub fn part(mut self, part: FilePart<'a>) -> Self {
        self.body = Body::Part(part);
        self
    }

    /// Refuses redirects away from the Hub: the answer is only worth something if the Hub gave it.
    pub fn at_home(mut self) -> Self {
        self.at_home = true;
        self
    }

    /// Waits longer for the answer than for the next bytes of one.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = Some(patience);
        self
    }
}

impl Http {
    pub fn new(settings: &Settings) -> Result<Self, Error> {
        let bad = |why: String| Error::Setting {
            name: "HF_ENDPOINT".to_owned(),
            why,
        };
        let endpoint = Url::parse(&settings.endpoint).map_err(|e| bad(e.to_string()))?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("aeolus-hub")
            .enable_all()
            .build()
            .map_err(Error::io("start threads for", &settings.cache))?;
        let client = builder(settings, &endpoint)
            .redirect(reqwest::redirect::Policy::none())
            .pool_max_idle_per_host(settings.network.connections)
            .build()
            .map_err(|e| bad(chain(&e)))?;
        Ok(Self {
            runtime,
            client,
            endpoint,
            token: settings.token.clone(),
            network: settings.network.clone(),
            reached: AtomicBool::new(false),
            offline: settings.offline.then(|| settings.cache.clone()),
        })
    }

    /// The address of something on the Hub, from path segments that need no escaping yet.
    pub fn url<'s>(&self, segments: impl IntoIterator<Item = &'s str>) -> Url {
        let mut url = self.endpoint.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        url
    }

    /// Refuses where nothing may be asked of the network.
    pub fn check_online(&self, subject: &str) -> Result<(), Error> {
        match &self.offline {
            None => Ok(()),
            Some(cache) => Err(Error::Offline {
                subject: subject.to_owned(),
                cache: cache.clone(),
            }),
        }
    }

    pub fn signed_in(&self) -> bool {
        self.token.is_some()
    }

    /// A server's words as they may be shown.
    pub fn tidy(&self, detail: &str) -> String {
        failure::tidy(detail, self.token.as_ref())
    }

    pub fn endpoint(&self) -> &Url {
        &self.endpoint
    }

    /// What counts the failures of one request.
    pub fn attempts(&self) -> Attempts<'_> {
        Attempts::new(&self.network, &self.reached)
    }

    /// Waits for something asynchronous.
    pub fn wait<F: Future>(&self, future: F) -> F::Output {
        self.runtime.block_on(future)
    }

    /// Sends a request, once, and gives a successful answer whose body is still to be read.
    pub fn send(&self, call: Call<'_>) -> Result<Response<'_>, Failure> {
        self.check_online(&shown(&call.url))
            .map_err(Failure::Local)?;
        let mut url = call.url.clone();
        for _ in 0..=MAX_REDIRECTS {
            let inner = self.exchange(&call, &url)?;
            let status = inner.status();
            if status.is_redirection() {
                // Any other redirect of a request that carries something asks for a GET instead.
                let same = matches!(status.as_u16(), 307 | 308) || call.method.is_safe();
                if !same {
                    let what = format!("a redirect ({status}) of a {} request", call.method);
                    return Err(Failure::bad(&url, what));
                }
                let next = next_hop(&url, &inner)?;
                if call.at_home && next.origin() != self.endpoint.origin() {
                    let what = format!("a redirect to {}, away from the Hub", shown(&next));
                    return Err(Failure::bad(&url, what));
                }
                self.drain(inner);
                url = next;
                continue;
            }
            let shown = shown(&url);
            let response = Response {
                http: self,
                inner,
                shown,
            };
            // A proxy's page says nothing of the Hub behind it.
            if web_page(response.header("content-type"), &[]).is_none() {
                self.reached.store(true, Ordering::Relaxed);
            }
            return match status.is_success() {
                true => Ok(response),
                false => Err(response.refusal()),
            };
        }
        Err(Failure::bad(
            &url,
            format!("more than {MAX_REDIRECTS} redirects"),
        ))
    }

    /// Reads what little a redirect has to say, since a connection with unread bytes is closed.
    fn drain(&self, mut answer: reqwest::Response) {
        let rest = async { while let Ok(Some(_)) = answer.chunk().await {} };
        // A long or slow one is not worth it.
        self.wait(async { tokio::time::timeout(TICK, rest).await })
            .ok();
    }

    /// One request and the head of its answer.
    fn exchange(&self, call: &Call<'_>, url: &Url) -> Result<reqwest::Response, Failure> {
        let mut headers = call.headers.clone();
        let ours = url.origin() == self.endpoint.origin();
        if let (true, Some(token)) = (ours, &self.token) {
            headers.insert(AUTHORIZATION, token.header());
        }
        let request = self
            .client
            .request(call.method.clone(), url.clone())
            .headers(headers);
        let patience = call.patience.unwrap_or(self.network.stall_timeout);
        let stalled = |after| Failure::Stalled {
            url: shown(url),
            after,
        };
        let transport = |e: reqwest::Error| Failure::transport(url, &e);
        match &call.body {
            Body::Part(part) => self.wait(async {
                let (body, sent) = upload::body(part).await.map_err(Failure::Local)?;
                let request = request.header("content-length", part.bytes).body(body);
                let mut answer = std::pin::pin!(request.send());
                let (mut told, mut moved_at) = (0, Instant::now());
                loop {
                    let answer = tokio::time::timeout(TICK, &mut answer).await;
                    let now = sent.load(Ordering::Relaxed);
                    if now > told {
                        (part.moved)(now - told);
                        (told, moved_at) = (now, Instant::now());
                    }
                    if let Ok(answer) = answer {
                        return answer.map_err(transport);
                    }
                    let limit = if told < part.bytes {
                        self.network.stall_timeout
                    } else {
                        patience
                    };
                    if moved_at.elapsed() > limit {
                        return Err(stalled(limit));
                    }
                }
            }),
            Body::Bytes(bytes) => {
                let answer = request.body(bytes.clone()).send();
                self.wait(async { tokio::time::timeout(patience, answer).await })
                    .map_err(|_| stalled(patience))?
                    .map_err(transport)
            }
            Body::Empty => self
                .wait(async { tokio::time::timeout(patience, request.send()).await })
                .map_err(|_| stalled(patience))?
                .map_err(transport),
        }
    }
}

/// The client's settings, with the token left out: it goes with single requests.
fn builder(settings: &Settings, endpoint: &Url) -> reqwest::ClientBuilder {
    // reqwest takes the process's provider of cryptography. If there is one already, that is fine.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = reqwest::Client::builder()
        .user_agent(concat!("aeolus/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(settings.network.connect_timeout)
        // One range per connection: streams of one HTTP/2 connection would share its window.
        .http1_only();
    let loopback = match endpoint.host_str() {
        Some("localhost" | "[::1]") => true,
        Some(host) => host.starts_with("127."),
        None => false,
    };
    // No proxy can reach this machine's own loopback.
    if loopback {
        builder.no_proxy()
    } else {
        builder
    }
}

fn next_hop(url: &Url, response: &reqwest::Response) -> Result<Url, Failure> {
    let location = response
        .headers()
        .get(LOCATION)
        .and_then(|l| l.to_str().ok());
    let location = location
        .ok_or_else(|| Failure::bad(url, "a redirect without a place to go to".to_owned()))?;
    let next = url
        .join(location)
        .map_err(|e| Failure::bad(url, format!("a redirect to no address: {e}")))?;
    match (url.scheme(), next.scheme()) {
        ("http", "http" | "https") | ("https", "https") => Ok(next),
        (from, _) => {
            let what = format!(
                "a redirect from {from} to {}, perhaps a login page",
                shown(&next)
            );
            Err(Failure::bad(url, what))
        }
    }
}

/// An address as it may be shown: without the query, which may be a signature.
pub(crate) fn shown(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    url.into()
}

/// An error and its causes, without addresses.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

/// A successful answer.
pub(crate) struct Response<'a> {
    http: &'a Http,
    inner: reqwest::Response,
    shown: String,
}

impl Response<'_> {
    pub fn status(&self) -> StatusCode {
        self.inner.status()
    }

    /// The address that answered, if it is not the Hub's.
    pub fn elsewhere(&self) -> Option<Url> {
        let url = self.inner.url();
        (url.origin() != self.http.endpoint.origin()).then(|| url.clone())
    }

    /// A header of the last answer.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.inner.headers().get(name).and_then(|v| v.to_str().ok())
    }

    pub fn bad(&self, what: impl Into<String>) -> Failure {
        Failure::Bad {
            url: self.shown.clone(),
            what: what.into(),
        }
    }

    /// The next bytes of the body; `None` at its end.
    pub fn chunk(&mut self) -> Result<Option<impl Deref<Target = [u8]> + use<>>, Failure> {
        let after = self.http.network.stall_timeout;
        let next = self.inner.chunk();
        match self
            .http
            .wait(async { tokio::time::timeout(after, next).await })
        {
            Err(_) => Err(Failure::Stalled {
                url: self.shown.clone(),
                after,
            }),
            Ok(Ok(chunk)) => Ok(chunk),
            Ok(Err(e)) => Err(Failure::Transport {
                url: self.shown.clone(),
                detail: chain(&e.without_url()),
                unreachable: false,
            }),
        }
    }

    /// The whole body, up to a limit in bytes.
    pub fn bytes(&mut self, limit: usize) -> Result<Vec<u8>, Failure> {
        let mut all = Vec::new();
        while let Some(chunk) = self.chunk()? {
            if all.len() + chunk.len() > limit {
                return Err(self.bad(format!("an answer of more than {limit} bytes")));
            }
            all.extend_from_slice(&chunk);
        }
        Ok(all)
    }

    pub fn json(&mut self, limit: usize) -> Result<serde_json::Value, Failure> {
        let bytes = self.bytes(limit)?;
        let values = aeolus_source::count_json_values(&bytes);
        if values > MAX_VALUES {
            return Err(self.bad(format!(
                "an answer of {values} JSON values, expected at most {MAX_VALUES}"
            )));
        }
        serde_json::from_slice(&bytes).map_err(|e| {
            self.page(&bytes)
                .unwrap_or_else(|| self.bad(format!("an answer that is not JSON: {e}")))
        })
    }

    /// Refuses what cannot be a file of this many bytes: a web page, or another length.
    pub fn check_file(&mut self, path: &str, bytes: u64) -> Result<(), Failure> {
        let length = self.header("content-length").and_then(|l| l.parse().ok());
        let found = match length {
            _ if self.status() != StatusCode::OK => return Ok(()),
            Some(length) if length != bytes => length,
            // Pages often come without a length; so may a file that is one.
            None if !path.ends_with(".html") && self.page(&[]).is_some() => 0,
            _ => return Ok(()),
        };
        let head = self.head();
        let path = path.to_owned();
        Err(match self.page(&head) {
            Some(page) => page,
            None if found < bytes => Failure::Short {
                path,
                expected: bytes,
                found,
            },
            None => Failure::Local(Error::WrongLength {
                path,
                expected: bytes,
                found,
            }),
        })
    }

    /// The body, or its beginning if it is longer than a reason may be.
    fn head(&mut self) -> Vec<u8> {
        let mut head = Vec::new();
        while head.len() <= MAX_REASON
            && let Ok(Some(chunk)) = self.chunk()
        {
            head.extend_from_slice(&chunk);
        }
        head
    }

    /// The failure that the answer is if its body is a web page.
    fn page(&self, body: &[u8]) -> Option<Failure> {
        let words = web_page(self.header("content-type"), body)?;
        Some(Failure::Status {
            url: self.shown.clone(),
            status: self.status().as_u16(),
            code: String::new(),
            detail: self.http.tidy(&words),
            page: true,
            retry_after: None,
        })
    }

    /// The failure that an unsuccessful answer means.
    fn refusal(mut self) -> Failure {
        let body = self.head();
        let text = |name| self.header(name).map(str::to_owned);
        let page = web_page(self.header("content-type"), &body);
        let json = || match body.len() {
            0..=MAX_REASON => serde_json::from_slice::<serde_json::Value>(&body).ok(),
            _ => None,
        };
        let detail = text("x-error-message")
            .or_else(|| page.clone())
            .or_else(|| Some(json()?["error"].as_str()?.to_owned()));
        let reason = self.status().canonical_reason();
        let detail = detail.as_deref().or(reason).unwrap_or("no reason given");
        Failure::Status {
            status: self.status().as_u16(),
            code: text("x-error-code").unwrap_or_default(),
            detail: self.http.tidy(detail),
            page: page.is_some(),
            retry_after: text("retry-after")
                .and_then(|s| s.trim().parse().ok())
                .map(Duration::from_secs),
            url: self.shown,
        }
    }
}

/// What a body is called if it is a web page: by its content type, or by how it begins.
pub(crate) fn web_page(content_type: Option<&str>, body: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(body);
    // As long as the text: positions in one are positions in the other.
    let lower = text.to_ascii_lowercase();
    let start = lower.trim_start_matches('\u{feff}').trim_start();
    let named = content_type.is_some_and(|t| {
        let t = t.to_ascii_lowercase();
        t.starts_with("text/html") || t.starts_with("application/xhtml")
    });
    if !named && !start.starts_with("<!doctype html") && !start.starts_with("<html") {
        return None;
    }
    let title = lower.find("<title").and_then(|at| {
        let at = at + lower[at..].find('>')? + 1;
        let title = &text[at..at + lower[at..].find("</title")?];
        Some(title.split_whitespace().collect::<Vec<_>>().join(" "))
    });
    Some(match title.filter(|title| !title.is_empty()) {
        Some(title) => format!("a web page titled {title:?}"),
        None => "a web page".to_owned(),
    })
}
