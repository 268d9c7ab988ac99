//! A client with little patience, a Hub to ask, and a record of what happened.

use aeolus_hub::{Event, Hub, Progress, RepoRef, Settings, Token};
use aeolus_testkit::hub_server::HubServer;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

/// The token that tests use; nothing may ever print it.
pub const TOKEN: &str = "hf_TestTokenThatNobodyMayEverSee";

/// Settings for a test Hub: short waits, small ranges, four connections.
pub fn settings(server: &HubServer, cache: &Path) -> Settings {
    at(&server.endpoint(), cache)
}

pub fn at(endpoint: &str, cache: &Path) -> Settings {
    let mut settings = Settings::new(cache).at(endpoint).unwrap();
    let network = &mut settings.network;
    network.connections = 4;
    network.range_bytes = 64 << 10;
    network.connect_timeout = Duration::from_secs(2);
    network.stall_timeout = Duration::from_millis(300);
    network.answer_timeout = Duration::from_secs(5);
    network.retries = 3;
    network.backoff = Duration::from_millis(1);
    network.longest_backoff = Duration::from_secs(3);
    settings
}

pub fn signed_in(mut settings: Settings) -> Settings {
    settings.token = Some(Token::new(TOKEN, "the test").unwrap());
    settings
}

pub fn hub(settings: Settings) -> Hub {
    Hub::new(settings).unwrap()
}

pub fn repo(text: &str) -> RepoRef {
    RepoRef::parse(text).unwrap()
}

/// Bytes that differ everywhere: a misplaced piece changes them.
pub fn noise(bytes: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut out = Vec::with_capacity(bytes + 8);
    while out.len() < bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        out.extend_from_slice(&state.to_le_bytes());
    }
    out.truncate(bytes);
    out
}

/// Every event, as text.
#[derive(Default)]
pub struct Record(Mutex<Vec<String>>);

impl Progress for Record {
    fn event(&self, event: Event<'_>) {
        self.0.lock().unwrap().push(format!("{event:?}"));
    }
}

impl Record {
    pub fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    pub fn count(&self, kind: &str) -> usize {
        self.lines().iter().filter(|l| l.starts_with(kind)).count()
    }
}

/// The repository's folder in a cache.
pub fn repo_folder(cache: &Path, id: &str) -> PathBuf {
    cache.join(format!("models--{}", id.replace('/', "--")))
}

/// Names in a folder, sorted; none if there is no such folder.
pub fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .map(|entries| {
            entries
                .map(|e| e.unwrap().file_name().into_string().unwrap())
                .collect()
        })
        .unwrap_or_default();
    names.sort();
    names
}
