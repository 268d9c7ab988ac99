//! The two listeners and their connections.

use super::fault::{Action, Fault};
use super::message::{Request, Response, is_timeout};
use super::repo::{Content, Repo};
use super::state::{Seen, Shared, Site, Stored, Transfer};
use std::collections::HashMap;
use std::io::{self, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A running Hub; it stops when dropped.
pub struct HubServer {
    shared: Arc<Shared>,
}

impl HubServer {
    /// A Hub without repositories, on two free ports of 127.0.0.1.
    ///
    /// # Panics
    /// If no port can be opened.
    #[must_use]
    pub fn start() -> Self {
        let open = || TcpListener::bind("127.0.0.1:0").expect("a free port on loopback");
        let (hub, store) = (open(), open());
        let address = |l: &TcpListener| l.local_addr().expect("a bound listener");
        let shared = Arc::new(Shared::new(address(&hub), address(&store)));
        for (site, listener) in [(Site::Hub, hub), (Site::Store, store)] {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || accept(&shared, site, &listener));
        }
        Self { shared }
    }

    /// The address for `HF_ENDPOINT`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        self.shared.hub_url()
    }

    /// Puts a repository on the branch `main`; an older one of this name stays in its history.
    pub fn add_repo(&self, id: &str, repo: Repo) {
        self.add_revision(id, "main", repo);
    }

    /// Puts a repository on a branch or tag.
    pub fn add_revision(&self, id: &str, revision: &str, repo: Repo) {
        self.shared
            .state()
            .repos
            .entry(id.to_owned())
            .or_default()
            .set(revision, repo);
    }

    /// The files on the branch `main`, also as published by a client.
    #[must_use]
    pub fn repo(&self, id: &str) -> Option<Repo> {
        Some(self.shared.state().repos.get(id)?.find("main")?.1.clone())
    }

    /// From now on there is one account, with this token; without this call any token will do.
    pub fn set_token(&self, token: &str) {
        self.shared.state().token = Some(token.to_owned());
    }

    /// How uploads of large files are asked for from now on.
    pub fn set_transfer(&self, transfer: Transfer) {
        self.shared.state().publishing.transfer = transfer;
    }

    /// Whether from now on every file, however large, is asked for inside the commit.
    pub fn set_inline_all(&self, inline: bool) {
        self.shared.state().publishing.inline_all = inline;
    }

    /// Makes requests go wrong; the first fault that matches a request is the one it gets.
    pub fn fault(&self, fault: Fault) {
        self.shared.state().faults.push(fault);
    }

    /// Forgets faults that have not come up.
    pub fn clear_faults(&self) {
        self.shared.state().faults.clear();
    }

    /// The requests so far, in order of arrival.
    #[must_use]
    pub fn requests(&self) -> Vec<Seen> {
        let state = self.shared.state();
        let with_bytes = |(seen, bytes): &(Seen, Arc<AtomicU64>)| Seen {
            body_bytes: bytes.load(Ordering::SeqCst),
            ..seen.clone()
        };
        state.log.iter().map(with_bytes).collect()
    }

    /// How many connections were opened so far, to both sites.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Forgets the requests so far.
    pub fn clear_requests(&self) {
        self.shared.state().log.clear();
    }

    /// The NDJSON bodies of the commits so far, with the repository they went to.
    #[must_use]
    pub fn commits(&self) -> Vec<(String, Vec<u8>)> {
        self.shared.state().publishing.commits.clone()
    }

    /// What lies in the store through uploads, by object id.
    #[must_use]
    pub fn stored(&self) -> HashMap<String, Stored> {
        self.shared.state().publishing.stored.clone()
    }
}

impl Drop for HubServer {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        for address in [self.shared.hub, self.shared.store] {
            // Wakes the listener; if it is gone already there is nothing to wake.
            drop(TcpStream::connect_timeout(
                &address,
                Duration::from_millis(200),
            ));
        }
    }
}

fn accept(shared: &Arc<Shared>, site: Site, listener: &TcpListener) {
    for stream in listener.incoming() {
        if shared.stop.load(Ordering::SeqCst) {
            return;
        }
        let Ok(stream) = stream else { continue };
        shared.connections.fetch_add(1, Ordering::SeqCst);
        let shared = Arc::clone(shared);
        // An error here is a client that went away, which clients may.
        std::thread::spawn(move || drop(serve(&shared, site, stream)));
    }
}

fn serve(shared: &Shared, site: Site, stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut out = stream.try_clone()?;
    let mut stream = BufReader::with_capacity(64 << 10, stream);
    while let Some(mut request) = Request::read(&mut stream, &shared.stop)? {
        let (fault, sent) = begin(shared, site, &request);
        if matches!(fault, Some(Action::IgnoreRange)) {
            request.headers.retain(|(name, _)| name != "range");
        }
        let mut response = match &fault {
            Some(Action::Status(status, headers)) => headers
                .iter()
                .fold(Response::new(*status), |r, (name, value)| {
                    r.header(name, value.as_str())
                }),
            Some(Action::Page(status, page)) => Response::new(*status)
                .header("Content-Type", "text/html; charset=utf-8")
                .content(Content::from(page.as_bytes().to_vec())),
            Some(Action::Answer(status, body)) => Response::new(*status).content(body.clone()),
            _ => match site {
                Site::Hub => match super::publish::hub(shared, &mut request, &mut stream)? {
                    Some(response) => response,
                    None => super::read::answer(shared, &request),
                },
                Site::Store => super::publish::store(shared, &mut request, &mut stream)?,
            },
        };
        let bad_body = request.body_left > 0;
        if bad_body {
            response = response.header("Connection", "close");
        }
        if let Some(Action::Header(name, value)) = &fault {
            response = response.header(name, value.as_str());
        }
        let whole = send(shared, &mut out, &request.method, response, fault, &sent)?;
        if !whole || bad_body {
            // Closing with unread bytes resets the connection; let the client read the answer.
            let _ = out.shutdown(Shutdown::Write);
            let mut rest = stream.take(64 << 20);
            io::copy(&mut rest, &mut io::sink())?;
            return Ok(());
        }
    }
    Ok(())
}

/// Logs the request and picks its fault.
fn begin(shared: &Shared, site: Site, request: &Request) -> (Option<Action>, Arc<AtomicU64>) {
    let mut state = shared.state();
    let sent = Arc::new(AtomicU64::new(0));
    let seen = Seen {
        site,
        method: request.method.clone(),
        target: request.target.clone(),
        headers: request.headers.clone(),
        body_bytes: 0,
    };
    state.log.push((seen, Arc::clone(&sent)));
    let fault = state
        .faults
        .iter_mut()
        .find(|f| f.matches(site, &request.method, &request.target));
    let action = fault.map(|fault| {
        fault.times -= 1;
        fault.action.clone()
    });
    (action, sent)
}

/// Sends the answer, or as much of it as the fault lets through; whether the connection is good
/// for another request.
fn send(
    shared: &Shared,
    out: &mut TcpStream,
    method: &str,
    mut response: Response,
    fault: Option<Action>,
    sent: &AtomicU64,
) -> io::Result<bool> {
    let mut limit = u64::MAX;
    let (mut piece, mut pause) = (64 << 10, Duration::ZERO);
    match fault {
        Some(Action::DropAnswer) => return Ok(false),
        Some(Action::GiveUp(status)) => response = Response::new(status),
        Some(Action::CutAfter(bytes) | Action::StallAfter(bytes)) => limit = bytes,
        Some(Action::Shorten(bytes)) => response.part.1 = response.part.1.saturating_sub(bytes),
        Some(Action::ShiftRange) => {
            let (first, len) = response.part;
            let range = format!(
                "bytes {}-{}/{}",
                first + 1,
                first + len,
                response.body.len()
            );
            response = response.header("Content-Range", range);
            response.part.0 += 1;
        }
        Some(Action::Trickle(bytes, millis)) => {
            (piece, pause) = (bytes.clamp(1, piece), Duration::from_millis(millis));
        }
        _ => {}
    }
    response.write_head(out)?;
    if method == "HEAD" {
        return Ok(true);
    }
    let (mut at, end) = (response.part.0, response.part.0 + response.part.1);
    let mut buffer = vec![0; piece];
    while at < end {
        let left = (end - at).min(limit.saturating_sub(at - response.part.0));
        if left == 0 {
            if matches!(fault, Some(Action::StallAfter(_))) {
                stall(shared, out)?;
            }
            return Ok(false);
        }
        let n = usize::try_from(left).unwrap_or(piece).min(piece);
        response.body.read(at, &mut buffer[..n]);
        if let Some(Action::FlipBit(offset)) = fault
            && (at..at + n as u64).contains(&offset)
        {
            buffer[(offset - at) as usize] ^= 1;
        }
        sent.fetch_add(n as u64, Ordering::SeqCst);
        out.write_all(&buffer[..n])?;
        at += n as u64;
        if !pause.is_zero() {
            std::thread::sleep(pause);
        }
    }
    Ok(true)
}

/// Says nothing until the client leaves or the server stops.
fn stall(shared: &Shared, out: &mut TcpStream) -> io::Result<()> {
    out.set_read_timeout(Some(Duration::from_millis(20)))?;
    loop {
        match out.read(&mut [0; 64]) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(e) if is_timeout(&e) && !shared.stop.load(Ordering::SeqCst) => {}
            Err(e) => return Err(e),
        }
    }
}
