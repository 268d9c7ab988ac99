//! What the environment says, in one struct.

use crate::{Error, Token};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where the Hub is, who asks, and where files go. Read once, passed down; nothing below looks at
/// the environment.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Settings {
    /// Address of the Hub, without a slash at the end (`HF_ENDPOINT`).
    pub endpoint: String,
    /// The token, if there is one (`HF_TOKEN`, or the file that the Python client's login writes).
    pub token: Option<Token>,
    /// The cache folder, shared with the Python client (`HF_HUB_CACHE`).
    pub cache: PathBuf,
    /// Whether nothing may be asked of the network (`HF_HUB_OFFLINE`).
    pub offline: bool,
    /// Whether the cache may hold links (`HF_HUB_DISABLE_SYMLINKS` says not). Where the file system
    /// has none, plain files are made in any case.
    pub links: bool,
    /// Patience and parallelism.
    pub network: Network,
}

/// Patience and parallelism.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Network {
    /// Connections at once.
    pub connections: usize,
    /// Bytes asked for in one range request.
    pub range_bytes: u64,
    /// Longest wait for a connection.
    pub connect_timeout: Duration,
    /// Longest silence before a connection is given up (`HF_HUB_DOWNLOAD_TIMEOUT`, in seconds).
    pub stall_timeout: Duration,
    /// Longest wait for the answer after a file was sent: the store assembles it first.
    pub answer_timeout: Duration,
    /// How often in a row something may fail, without a byte of progress, and is tried again.
    pub retries: u32,
    /// First wait before a retry; it doubles each time.
    pub backoff: Duration,
    /// Longest wait before a retry, also when the server asks for more.
    pub longest_backoff: Duration,
}

impl Default for Network {
    fn default() -> Self {
        Self {
            connections: 8,
            range_bytes: 16 << 20,
            connect_timeout: Duration::from_secs(10),
            stall_timeout: Duration::from_secs(30),
            answer_timeout: Duration::from_secs(300),
            retries: 8,
            backoff: Duration::from_millis(500),
            longest_backoff: Duration::from_secs(300),
        }
    }
}

impl Settings {
    /// Those of this process's environment:
    ///
    /// | variable | meaning |
    /// |---|---|
    /// | `HF_ENDPOINT` | address of the Hub, else `https://huggingface.co` |
    /// | `HF_HOME` | the client's folder, else `$XDG_CACHE_HOME/huggingface`, else `~/.cache/huggingface` |
    /// | `HF_HUB_CACHE`, `HUGGINGFACE_HUB_CACHE` | the cache, else `hub` in the client's folder |
    /// | `HF_TOKEN`, `HUGGING_FACE_HUB_TOKEN` | the token |
    /// | `HF_TOKEN_PATH` | a file with the token, else `token` in the client's folder |
    /// | `HF_HUB_DISABLE_IMPLICIT_TOKEN` | if set, none of these tokens is used |
    /// | `HF_HUB_OFFLINE`, `TRANSFORMERS_OFFLINE` | if set, only the cache is used |
    /// | `HF_HUB_DISABLE_SYMLINKS` | if set, the cache gets plain files instead of links |
    /// | `HF_HUB_DOWNLOAD_TIMEOUT` | seconds of silence before a connection is given up |
    ///
    /// # Errors
    /// [`Error::Setting`] for an address that is none, a token that cannot be one, a time-out that
    /// is no number; [`Error::Io`] if the token file exists and cannot be read.
    pub fn from_env() -> Result<Self, Error> {
        Self::from_vars(|name| std::env::var_os(name))
    }

    /// Those of some other environment.
    ///
    /// # Errors
    /// As [`Settings::from_env`].
    pub fn from_vars(get: impl Fn(&str) -> Option<OsString>) -> Result<Self, Error> {
        let get = |name: &str| get(name).filter(|value| !value.is_empty());
        let text = |name: &str| {
            let utf8 = |value: OsString| {
                value.into_string().map_err(|_| Error::Setting {
                    name: name.to_owned(),
                    why: "is not UTF-8".to_owned(),
                })
            };
            get(name).map(utf8).transpose()
        };
        let user = get("HOME").map(PathBuf::from);
        let folder =
            |name: &str| get(name).map(|value| expand(PathBuf::from(value), user.as_deref()));
        let on = |name: &str| {
            let value = text(name)?.unwrap_or_default().to_ascii_uppercase();
            Ok::<bool, Error>(matches!(value.as_str(), "1" | "ON" | "YES" | "TRUE"))
        };

        let home = folder("HF_HOME")
            .or_else(|| folder("XDG_CACHE_HOME").map(|f| f.join("huggingface")))
            .or_else(|| user.clone().map(|f| f.join(".cache/huggingface")))
            .ok_or_else(|| Error::Setting {
                name: "HF_HOME".to_owned(),
                why: "is not set, and neither is HOME: there is no folder for the cache".to_owned(),
            })?;
        let cache = folder("HF_HUB_CACHE").or_else(|| folder("HUGGINGFACE_HUB_CACHE"));
        let token_file = folder("HF_TOKEN_PATH").unwrap_or_else(|| home.join("token"));
        let token = if on("HF_HUB_DISABLE_IMPLICIT_TOKEN")? {
            None
        } else if let Some(token) = text("HF_TOKEN")? {
            Some(Token::new(&token, "HF_TOKEN")?)
        } else if let Some(token) = text("HUGGING_FACE_HUB_TOKEN")? {
            Some(Token::new(&token, "HUGGING_FACE_HUB_TOKEN")?)
        } else if token_file.is_file() {
            Some(Token::from_file(&token_file)?)
        } else {
            None
        };

        let mut settings = Self::new(&cache.unwrap_or_else(|| home.join("hub")));
        if let Some(endpoint) = text("HF_ENDPOINT")? {
            settings = settings.at(&endpoint)?;
        }
        settings.token = token;
        settings.offline = on("HF_HUB_OFFLINE")? || on("TRANSFORMERS_OFFLINE")?;
        settings.links = !on("HF_HUB_DISABLE_SYMLINKS")?;
        if let Some(seconds) = text("HF_HUB_DOWNLOAD_TIMEOUT")? {
            let seconds: f64 = seconds
                .trim()
                .parse()
                .ok()
                .filter(|s| (0.001..1e6).contains(s))
                .ok_or_else(|| Error::Setting {
                    name: "HF_HUB_DOWNLOAD_TIMEOUT".to_owned(),
                    why: format!("{seconds:?} is not a number of seconds"),
                })?;
            settings.network.stall_timeout = Duration::from_secs_f64(seconds);
        }
        Ok(settings)
    }

    /// The public Hub, no token, and a cache folder.
    #[must_use]
    pub fn new(cache: &Path) -> Self {
        Self {
            endpoint: "https://huggingface.co".to_owned(),
            token: None,
            cache: cache.to_path_buf(),
            offline: false,
            links: true,
            network: Network::default(),
        }
    }

    /// The same with another Hub.
    ///
    /// # Errors
    /// [`Error::Setting`] if it is not the address of a web server.
    pub fn at(mut self, endpoint: &str) -> Result<Self, Error> {
        let bad = |why: String| Error::Setting {
            name: "HF_ENDPOINT".to_owned(),
            why,
        };
        let endpoint = endpoint.trim().trim_end_matches('/');
        if endpoint.contains('@') {
            // Not shown: it may hold a password.
            return Err(bad("must not carry a user name or password".to_owned()));
        }
        if !endpoint.contains("://") && !endpoint.ends_with(':') {
            // A port is that of a server on this machine or network, mostly without TLS.
            let scheme = if endpoint.contains(':') {
                "http"
            } else {
                "https"
            };
            return Err(bad(format!(
                "{endpoint:?} is not an address: write {scheme}://{endpoint}"
            )));
        }
        let url = reqwest::Url::parse(endpoint)
            .map_err(|e| bad(format!("{endpoint:?} is not an address: {e}")))?;
        if !matches!(url.scheme(), "http" | "https")
            || url.query().is_some()
            || url.fragment().is_some()
        {
            return Err(bad(format!("{endpoint:?} is not https://HOST")));
        }
        endpoint.clone_into(&mut self.endpoint);
        Ok(self)
    }
}

fn expand(path: PathBuf, home: Option<&Path>) -> PathBuf {
    match (path.strip_prefix("~"), home) {
        (Ok(rest), Some(home)) => home.join(rest),
        _ => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(pairs: &[(&str, &str)]) -> Result<Settings, Error> {
        Settings::from_vars(|name| {
            pairs
                .iter()
                .find(|(n, _)| *n == name)
                .map(|(_, value)| OsString::from(value))
        })
    }

    #[test]
    fn folders_follow_the_clients_order() {
        let cases: [(&[(&str, &str)], &str); 6] = [
            (&[("HOME", "/u")], "/u/.cache/huggingface/hub"),
            (
                &[("HOME", "/u"), ("XDG_CACHE_HOME", "/x")],
                "/x/huggingface/hub",
            ),
            (
                &[("HOME", "/u"), ("XDG_CACHE_HOME", "/x"), ("HF_HOME", "/h")],
                "/h/hub",
            ),
            (&[("HOME", "/u"), ("HF_HOME", "~/h")], "/u/h/hub"),
            (
                &[("HF_HOME", "/h"), ("HUGGINGFACE_HUB_CACHE", "/old")],
                "/old",
            ),
            (
                &[
                    ("HF_HOME", "/h"),
                    ("HUGGINGFACE_HUB_CACHE", "/old"),
                    ("HF_HUB_CACHE", "/c"),
                ],
                "/c",
            ),
        ];
        for (pairs, cache) in cases {
            assert_eq!(from(pairs).unwrap().cache, Path::new(cache), "{pairs:?}");
        }
        assert!(from(&[]).unwrap_err().to_string().contains("HF_HOME"));
    }

    #[test]
    fn the_token_comes_from_the_first_place_that_has_one() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().to_str().unwrap();
        let other = dir.path().join("other");
        std::fs::write(&other, "hf_other\n").unwrap();
        let other = other.to_str().unwrap();
        let token = |pairs: &[(&str, &str)]| {
            let token = from(pairs).unwrap().token?;
            Some(token.header().to_str().unwrap().to_owned())
        };
        assert_eq!(token(&[("HF_HOME", home)]), None);
        std::fs::write(dir.path().join("token"), "hf_file").unwrap();
        assert_eq!(token(&[("HF_HOME", home)]).unwrap(), "Bearer hf_file");
        assert_eq!(
            token(&[("HF_HOME", home), ("HF_TOKEN_PATH", other)]).unwrap(),
            "Bearer hf_other"
        );
        let all = [
            ("HF_HOME", home),
            ("HF_TOKEN_PATH", other),
            ("HF_TOKEN", "hf_env"),
        ];
        assert_eq!(token(&all).unwrap(), "Bearer hf_env");
        assert_eq!(
            token(&[("HF_HOME", home), ("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")]),
            None
        );
        let shown = format!("{:?}", from(&all).unwrap());
        assert!(!shown.contains("hf_env"), "{shown}");
    }

    #[test]
    fn switches_and_addresses() {
        let settings = from(&[
            ("HOME", "/u"),
            ("HF_HUB_OFFLINE", "yes"),
            ("HF_HUB_DISABLE_SYMLINKS", "1"),
            ("HF_HUB_DOWNLOAD_TIMEOUT", "2.5"),
        ])
        .unwrap();
        assert!(settings.offline && !settings.links);
        assert_eq!(settings.network.stall_timeout, Duration::from_millis(2500));
        let settings = from(&[
            ("HOME", "/u"),
            ("HF_HUB_OFFLINE", "0"),
            ("HF_ENDPOINT", "http://h:1/p/"),
        ])
        .unwrap();
        assert!(!settings.offline && settings.links);
        assert_eq!(settings.endpoint, "http://h:1/p");
        for (bad, part) in [
            ("nowhere", "is not an address: write https://nowhere"),
            (
                "127.0.0.1:7001",
                "\"127.0.0.1:7001\" is not an address: write http://127.0.0.1:7001",
            ),
            ("localhost:7001", "write http://localhost:7001"),
            ("http://", "is not an address"),
            ("ftp://h", "is not https://HOST"),
            ("http://h?x", "is not https://HOST"),
            ("http://user:secret@h", "password"),
            ("user:secret@h", "password"),
        ] {
            let error = from(&[("HOME", "/u"), ("HF_ENDPOINT", bad)])
                .unwrap_err()
                .to_string();
            assert!(
                error.contains("HF_ENDPOINT") && error.contains(part) && !error.contains("secret"),
                "{error}"
            );
        }
        assert!(from(&[("HOME", "/u"), ("HF_HUB_DOWNLOAD_TIMEOUT", "soon")]).is_err());
    }
}
