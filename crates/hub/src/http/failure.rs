//! What one attempt can fail with, whether another one makes sense, and when.

use super::{chain, shown};
use crate::{Error, Network, Progress, Token};
use aeolus_job::Cancel;
use reqwest::Url;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How the failure begins that an `https` address of an `http` server is.
const NO_TLS: &str = "the server does not speak TLS";

/// One attempt's failure.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The server refused.
    Status {
        url: String,
        status: u16,
        code: String,
        detail: String,
        /// Whether the body is a web page; an answer of 200 is a failure then, too.
        page: bool,
        retry_after: Option<Duration>,
    },
    /// No connection, or it broke.
    Transport {
        url: String,
        detail: String,
        /// Whether there was none.
        unreachable: bool,
    },
    /// Silence.
    Stalled { url: String, after: Duration },
    /// A body ended early although it said it was whole.
    Short {
        path: String,
        expected: u64,
        found: u64,
    },
    /// An answer that breaks the protocol.
    Bad { url: String, what: String },
    /// Not the network's fault.
    Local(Error),
}

/// What a request was about, for the error message.
#[derive(Clone, Copy)]
pub(crate) struct Subject<'a> {
    pub repo: &'a str,
    pub revision: &'a str,
    pub path: Option<&'a str>,
    /// Where repositories have their pages.
    pub endpoint: &'a Url,
    pub signed_in: bool,
}

impl Failure {
    pub fn bad(url: &Url, what: String) -> Self {
        Self::Bad {
            url: shown(url),
            what,
        }
    }

    pub fn transport(url: &Url, error: &reqwest::Error) -> Self {
        // The message of the outer error repeats the address with its query; its causes do not.
        let detail = match std::error::Error::source(error) {
            Some(cause) => chain(cause),
            None => "the request failed".to_owned(),
        };
        // What rustls says of an answer that is not encrypted.
        let detail = match url.scheme() == "https" && detail.contains("InvalidContentType") {
            true => format!("{NO_TLS}; its address may begin with http://"),
            false => detail,
        };
        Self::Transport {
            url: shown(url),
            detail,
            unreachable: error.is_connect(),
        }
    }

    /// Whether the same request may succeed later.
    fn is_passing(&self) -> bool {
        match self {
            Self::Status { status, .. } => matches!(status, 408 | 425 | 429 | 500 | 502..=504),
            // A certificate that is not trusted now is not trusted in a minute.
            Self::Transport { detail, .. } => {
                !detail.contains("certificate") && !detail.starts_with(NO_TLS)
            }
            Self::Stalled { .. } | Self::Short { .. } => true,
            Self::Bad { .. } | Self::Local(_) => false,
        }
    }

    /// In a few words, for a progress event.
    pub fn brief(&self) -> String {
        match self {
            Self::Status {
                status,
                detail,
                page: true,
                ..
            } => format!("{status}, {detail}"),
            Self::Status { status, detail, .. } => format!("{status} {detail}"),
            Self::Transport {
                url,
                detail,
                unreachable: true,
            } => {
                let host = url.split('/').nth(2).unwrap_or_default();
                format!("cannot reach {host}: {detail}")
            }
            Self::Transport { detail, .. } => detail.clone(),
            Self::Stalled { after, .. } => format!("no byte for {} s", after.as_secs_f32()),
            Self::Short {
                expected, found, ..
            } => format!("{found} bytes of {expected}"),
            Self::Bad { what, .. } => what.clone(),
            Self::Local(error) => error.to_string(),
        }
    }

    /// The error that is left when there is no further attempt.
    pub fn explain(self, about: Subject<'_>, attempts: u32) -> Error {
        let repo = about.repo.to_owned();
        let signed_in = about.signed_in;
        match self {
            Self::Local(error) => error,
            Self::Bad { url, what } => Error::BadAnswer { url, what },
            Self::Stalled { url, after } => Error::Stalled { url, after },
            Self::Transport {
                url,
                detail,
                unreachable,
            } => Error::Network {
                url,
                attempts,
                detail,
                way: match unreachable {
                    true => {
                        "; HF_ENDPOINT names the server, HTTPS_PROXY, ALL_PROXY and NO_PROXY the way \
                         to it"
                    }
                    false => "",
                },
            },
            Self::Short {
                path,
                expected,
                found,
            } => Error::WrongLength {
                path,
                expected,
                found,
            },
            Self::Status {
                url,
                status,
                code,
                detail,
                page,
                ..
            } => match (status, code.as_str()) {
                (401 | 403, "GatedRepo") => Error::Gated {
                    page: format!("{}/{repo}", about.endpoint.as_str().trim_end_matches('/')),
                    repo,
                    signed_in,
                },
                // To those without a token the Hub says 401 where there is nothing to see.
                (401 | 404, "RepoNotFound") => Error::RepoNotFound { repo, signed_in },
                (404, "RevisionNotFound") => Error::RevisionNotFound {
                    repo,
                    revision: about.revision.to_owned(),
                },
                (404, "EntryNotFound" | "") if !page && about.path.is_some() => {
                    Error::FileNotFound {
                        repo,
                        revision: about.revision.to_owned(),
                        path: about.path.unwrap_or_default().to_owned(),
                    }
                }
                // The Hub's own refusals come without pages, except to a token that has expired.
                (_, "") if page && status != 429 && !(status == 401 && signed_in) => {
                    Error::WebPage {
                        url,
                        status,
                        page: detail,
                    }
                }
                (401, _) => Error::Unauthorized {
                    subject: repo,
                    signed_in,
                    detail,
                },
                (429, _) => Error::RateLimited { url, attempts },
                (403, _) => Error::Forbidden {
                    subject: repo,
                    signed_in,
                    detail,
                },
                (408 | 425 | 500..=599, _) => Error::Server {
                    url,
                    status,
                    attempts,
                    detail,
                },
                _ => Error::Refused {
                    url,
                    status,
                    detail,
                },
            },
        }
    }
}

/// A server's words, fit for one line of an error: no control characters, not long, and never the
/// token, even if the server repeats it.
pub(super) fn tidy(detail: &str, token: Option<&Token>) -> String {
    let mut text: String = detail
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(300)
        .collect();
    let header = token.map(Token::header);
    let secret = header
        .as_ref()
        .and_then(|h| h.to_str().ok())
        .and_then(|h| h.strip_prefix("Bearer "));
    if let Some(secret) = secret {
        text = text.replace(secret, "***");
    }
    text.trim().trim_end_matches('.').to_owned()
}

/// Most retries while nothing has answered yet: a wrong address or proxy is no passing fault.
const RETRIES_AT_FIRST: u32 = 3;

/// Counts failures in a row and says how long to wait after each.
pub(crate) struct Attempts<'a> {
    network: &'a Network,
    /// Whether the Hub has ever answered.
    reached: &'a AtomicBool,
    failures: u32,
    stop: Option<&'a Cancel>,
}

impl<'a> Attempts<'a> {
    pub fn new(network: &'a Network, reached: &'a AtomicBool) -> Self {
        Self {
            network,
            reached,
            failures: 0,
            stop: None,
        }
    }

    /// Something moved: the next failure is the first again.
    pub fn progress(&mut self) {
        self.failures = 0;
    }

    /// Takes note of a failure: how long to wait, or the failure back if it is final.
    fn failed(&mut self, failure: Failure) -> Result<(Duration, String), Failure> {
        self.failures += 1;
        let limited = matches!(failure, Failure::Status { status: 429, .. });
        let retries = match limited || self.reached.load(Ordering::Relaxed) {
            true => self.network.retries,
            false => self.network.retries.min(RETRIES_AT_FIRST),
        };
        if !failure.is_passing() || self.failures > retries {
            return Err(failure);
        }
        let longest = self.network.longest_backoff;
        let doubled = self
            .network
            .backoff
            .saturating_mul(1 << (self.failures - 1).min(16))
            .min(longest);
        // Between half and all of it, so that many clients do not come back at once.
        let wait = doubled.mul_f64(0.5 + 0.5 * jitter());
        let wait = match &failure {
            Failure::Status {
                retry_after: Some(asked),
                ..
            } => wait.max(*asked).min(longest),
            _ => wait,
        };
        Ok((wait, failure.brief()))
    }

    /// The same, whose waits end as soon as this is set.
    pub fn until(self, stop: &'a Cancel) -> Self {
        Self {
            stop: Some(stop),
            ..self
        }
    }

    /// Runs something until it succeeds or fails for good, waiting in between.
    pub fn run<T>(
        mut self,
        about: Subject<'_>,
        progress: &dyn Progress,
        mut attempt: impl FnMut(&mut Self) -> Result<T, Failure>,
    ) -> Result<T, Error> {
        loop {
            let failure = match attempt(&mut self) {
                Ok(value) => return Ok(value),
                Err(failure) => failure,
            };
            match self.failed(failure) {
                Err(failure) => return Err(failure.explain(about, self.failures)),
                Ok((wait, why)) => {
                    let name = about.path.unwrap_or(about.repo);
                    progress.event(crate::Event::Retrying {
                        name,
                        why: &why,
                        wait,
                    });
                    self.wait(wait);
                }
            }
        }
    }

    fn wait(&self, wait: Duration) {
        let end = Instant::now() + wait;
        while !self.stop.is_some_and(Cancel::is_set) {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            std::thread::sleep(left.min(STOP_POLL));
        }
    }
}

/// How often one who waits looks whether to stop.
const STOP_POLL: Duration = Duration::from_millis(20);

/// A number from 0 to 1 that differs from call to call.
fn jitter() -> f64 {
    use std::hash::{BuildHasher, RandomState};
    let random = RandomState::new().hash_one(0u8);
    f64::from((random >> 32) as u32) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(status: u16, code: &str, retry_after: Option<u64>) -> Failure {
        Failure::Status {
            url: "http://h/x".to_owned(),
            status,
            code: code.to_owned(),
            detail: "why".to_owned(),
            page: false,
            retry_after: retry_after.map(Duration::from_secs),
        }
    }

    #[test]
    fn waits_double_and_end() {
        let network = Network {
            retries: 3,
            backoff: Duration::from_secs(1),
            ..Network::default()
        };
        let reached = AtomicBool::new(true);
        let mut attempts = Attempts::new(&network, &reached);
        for longest in [1, 2, 4] {
            let (wait, _) = attempts.failed(status(503, "", None)).unwrap();
            assert!(
                wait <= Duration::from_secs(longest) && wait >= Duration::from_secs(longest) / 2,
                "{wait:?}"
            );
        }
        assert!(attempts.failed(status(503, "", None)).is_err());
        attempts.progress();
        assert!(attempts.failed(status(503, "", None)).is_ok());
    }

    #[test]
    fn the_server_may_ask_for_more_patience() {
        let network = Network {
            longest_backoff: Duration::from_secs(30),
            ..Network::default()
        };
        let wait = |seconds| {
            Attempts::new(&network, &AtomicBool::new(true))
                .failed(status(429, "", Some(seconds)))
                .unwrap()
                .0
        };
        assert_eq!(wait(7), Duration::from_secs(7));
        assert_eq!(wait(9999), Duration::from_secs(30));
    }

    #[test]
    fn what_cannot_pass_is_not_tried_again() {
        let network = Network::default();
        for code in [400, 401, 403, 404, 416, 501] {
            assert!(
                Attempts::new(&network, &AtomicBool::new(true))
                    .failed(status(code, "", None))
                    .is_err(),
                "{code}"
            );
        }
    }

    #[test]
    fn a_web_page_is_set_off_from_its_status() {
        let page = |page| Failure::Status {
            url: "http://h/x".to_owned(),
            status: 503,
            code: String::new(),
            detail: "a web page".to_owned(),
            page,
            retry_after: None,
        };
        assert_eq!(page(true).brief(), "503, a web page");
        assert_eq!(status(503, "", None).brief(), "503 why");
    }

    #[test]
    fn refusals_say_what_to_do() {
        let endpoint = Url::parse("https://hub.example").unwrap();
        let about = |signed_in| Subject {
            repo: "o/n",
            revision: "main",
            path: Some("a.bin"),
            endpoint: &endpoint,
            signed_in,
        };
        let text = |code, name, signed_in| {
            status(code, name, None)
                .explain(about(signed_in), 1)
                .to_string()
        };
        let gated = text(403, "GatedRepo", true);
        assert!(
            gated.contains("accept its licence at https://hub.example/o/n"),
            "{gated}"
        );
        assert!(gated.contains("HF_TOKEN"), "{gated}");
        assert!(text(401, "", false).contains("set HF_TOKEN"));
        assert!(text(401, "", true).contains("not valid"));
        assert!(text(401, "RepoNotFound", false).contains("o/n: no such repository"));
        assert!(text(404, "RevisionNotFound", true).contains("named main"));
        assert!(text(404, "EntryNotFound", true).contains("no file a.bin"));
        assert!(text(403, "", true).contains("no right"));
    }

    #[test]
    fn a_server_that_repeats_the_token_does_not_make_us_print_it() {
        let token = Token::new("hf_secret", "test").unwrap();
        assert_eq!(
            tidy("bad token hf_secret.\n", Some(&token)),
            "bad token ***"
        );
    }
}
