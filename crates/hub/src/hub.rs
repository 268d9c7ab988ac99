//! The Hub as its callers see it: a client with settings, and what it can be asked.

use crate::http::{Call, Failure, Http, Subject, builder};
use crate::listing::{Listing, MAX_PAGE};
use crate::{Error, Progress, RepoRef, Settings, name};
use hf_hub::HFError;
use std::sync::Arc;

/// A client of the Hub. Cheap to clone; clones share their connections.
#[derive(Clone)]
pub struct Hub {
    inner: Arc<Inner>,
    /// Told of what has no listener of its own.
    listener: Arc<dyn Progress + Send + Sync>,
}

struct Inner {
    settings: Settings,
    http: Http,
    api: hf_hub::HFClient,
}

/// Who a token belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Identity {
    /// The account's name, as in `name/repository`.
    pub name: String,
    /// Organizations it belongs to.
    pub organizations: Vec<String>,
}

impl Hub {
    /// A client with these settings. No request is made.
    ///
    /// # Errors
    /// [`Error::Setting`] for an address that is none, [`Error::Io`] if no thread can be started.
    pub fn new(settings: Settings) -> Result<Self, Error> {
        let http = Http::new(&settings)?;
        let bad = |why: String| Error::Setting {
            name: "HF_ENDPOINT".to_owned(),
            why,
        };
        let mut headers = reqwest::header::HeaderMap::new();
        if let Some(token) = &settings.token {
            headers.insert(reqwest::header::AUTHORIZATION, token.header());
        }
        let client = builder(&settings, http.endpoint())
            .default_headers(headers)
            .read_timeout(settings.network.stall_timeout)
            // A renamed repository redirects within the Hub; the token goes nowhere else.
            .redirect(reqwest::redirect::Policy::custom(|attempt| {
                let home = attempt.previous().first().map(|url| url.origin());
                match home == Some(attempt.url().origin()) && attempt.previous().len() < 10 {
                    true => attempt.follow(),
                    false => attempt.stop(),
                }
            }))
            .build()
            .map_err(|e| bad(e.to_string()))?;
        let api = hf_hub::HFClient::builder()
            .endpoint(settings.endpoint.as_str())
            .client(client)
            .cache_dir(&settings.cache)
            // Left alone it would look for a token in the environment and send it in a header that
            // is not marked as sensitive. A line feed fits into no header, so it sends none.
            .token("\n")
            // Its retries do not know Retry-After; ours do.
            .retry_max_attempts(0)
            .build()
            .map_err(|e| bad(e.to_string()))?;
        Ok(Self {
            inner: Arc::new(Inner {
                settings,
                http,
                api,
            }),
            listener: Arc::new(()),
        })
    }

    /// The same client, telling of the retries of questions and reads that take no [`Progress`].
    #[must_use]
    pub fn telling(self, listener: impl Progress + Send + 'static) -> Self {
        Self {
            listener: Arc::new(listener),
            ..self
        }
    }

    /// Who is told of what has no listener of its own.
    pub(crate) fn listener(&self) -> &dyn Progress {
        &*self.listener
    }

    /// A client with the settings of the environment.
    ///
    /// # Errors
    /// As [`Settings::from_env`] and [`Hub::new`].
    pub fn from_env() -> Result<Self, Error> {
        Self::new(Settings::from_env()?)
    }

    /// The settings it was made with.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.inner.settings
    }

    /// Who the token belongs to.
    ///
    /// # Errors
    /// [`Error::Unauthorized`] without a valid token; network errors.
    pub fn whoami(&self) -> Result<Identity, Error> {
        let about = self.about("the account", "", None);
        let user = self.ask(about, self.listener(), || self.api().whoami().send())?;
        Ok(Identity {
            name: user.username,
            organizations: user
                .orgs
                .unwrap_or_default()
                .into_iter()
                .filter_map(|o| o.name)
                .collect(),
        })
    }

    /// What a command-line argument names, in the forms that [`RepoRef::parse_at`] understands.
    ///
    /// # Errors
    /// [`Error::Reference`] with the rule that is broken.
    pub fn reference(&self, text: &str) -> Result<RepoRef, Error> {
        RepoRef::parse_at(text, &self.settings().endpoint)
    }

    /// The commit and the files that a reference's revision names.
    ///
    /// Offline they come from the cache.
    ///
    /// # Errors
    /// As [`Hub::settle`].
    pub fn list(&self, repo: &RepoRef) -> Result<Listing, Error> {
        Ok(self.settle(repo)?.1)
    }

    /// The reference as the repository has it, with the commit and the files: where a branch has
    /// slashes in its name, the revision ends where the branch's name does; where a type was named,
    /// its file is.
    ///
    /// Offline all comes from the cache.
    ///
    /// # Errors
    /// Repository or revision not found, gated, no access; network errors; [`Error::UnsafeName`]
    /// if the Hub lists a file outside the repository; [`Error::NoSuchType`]; [`Error::Offline`].
    pub fn settle(&self, repo: &RepoRef) -> Result<(RepoRef, Listing), Error> {
        self.settle_with(repo, self.listener())
    }

    pub(crate) fn settle_with(
        &self,
        repo: &RepoRef,
        progress: &dyn Progress,
    ) -> Result<(RepoRef, Listing), Error> {
        let mut asked = repo.clone();
        let mut first = None;
        let mut tried = Vec::new();
        let listing = loop {
            match self.list_with(&asked, progress) {
                Ok(listing) => break listing,
                Err(error @ (Error::RevisionNotFound { .. } | Error::Offline { .. })) => {
                    // The error is about what was asked for first.
                    let error = first.take().unwrap_or(error);
                    tried.push(asked.revision().to_owned());
                    let Some(longer) = asked.with_longer_revision() else {
                        return Err(match error {
                            Error::RevisionNotFound { repo, .. } => Error::RevisionNotFound {
                                repo,
                                revision: tried.join(", or "),
                            },
                            other => other,
                        });
                    };
                    (asked, first) = (longer, Some(error));
                }
                Err(error) => return Err(error),
            }
        };
        if let Some(tag) = asked.tag() {
            let file = crate::select::file_of_type(&asked, tag, &listing)?;
            asked = asked.with_file(&file);
        }
        Ok((asked, listing))
    }

    fn list_with(&self, repo: &RepoRef, progress: &dyn Progress) -> Result<Listing, Error> {
        if self.settings().offline {
            return self.cache(repo).listing(repo.revision());
        }
        let commit = self.commit_of(repo, progress)?;
        if let Some(listing) = self.cache(repo).tree(&commit) {
            return Ok(listing);
        }
        Listing::ask(
            self.http(),
            self.about(&repo.id(), repo.revision(), None),
            &commit,
            progress,
        )
    }

    /// The commit that a revision names.
    pub(crate) fn commit_of(
        &self,
        repo: &RepoRef,
        progress: &dyn Progress,
    ) -> Result<String, Error> {
        let revision = repo.revision();
        if name::is_commit(revision) {
            return Ok(revision.to_owned());
        }
        let facts = self.facts(repo, Some(revision), progress)?;
        match facts["sha"].as_str() {
            Some(sha) if name::is_commit(sha) => Ok(sha.to_owned()),
            other => Err(Error::BadAnswer {
                url: format!("{}/api/models/{}", self.settings().endpoint, repo.id()),
                what: format!("the commit of {revision} should be 40 hex digits, not {other:?}"),
            }),
        }
    }

    /// What the Hub says of a repository, at a revision. By our own request: `hf-hub` says neither
    /// that a web page came nor what it was.
    pub(crate) fn facts(
        &self,
        repo: &RepoRef,
        revision: Option<&str>,
        progress: &dyn Progress,
    ) -> Result<serde_json::Value, Error> {
        let words = ["api", "models", repo.owner(), repo.name()];
        let revision_words = revision.into_iter().flat_map(|name| ["revision", name]);
        let url = self.http().url(words.into_iter().chain(revision_words));
        let id = repo.id();
        self.http().check_online(&id)?;
        let about = self.about(&id, repo.revision(), None);
        self.http().attempts().run(about, progress, || {
            self.http().send(Call::get(url.clone()))?.json(MAX_PAGE)
        })
    }

    /// Asks `hf-hub`, with our patience.
    pub(crate) fn ask<T, F>(
        &self,
        about: Subject<'_>,
        progress: &dyn Progress,
        question: impl Fn() -> F,
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<T, HFError>>,
    {
        self.http().check_online(about.repo)?;
        // The address that a failure names if hf-hub does not tell which one it was.
        let place = self.settings().endpoint.as_str();
        let attempts = self.http().attempts();
        attempts.run(about, progress, || {
            self.http()
                .wait(question())
                .map_err(|e| self.http().foreign(e, place))
        })
    }

    pub(crate) fn about<'a>(
        &'a self,
        repo: &'a str,
        revision: &'a str,
        path: Option<&'a str>,
    ) -> Subject<'a> {
        let http = self.http();
        Subject {
            repo,
            revision,
            path,
            endpoint: http.endpoint(),
            signed_in: http.signed_in(),
        }
    }

    pub(crate) fn http(&self) -> &Http {
        &self.inner.http
    }

    pub(crate) fn api(&self) -> &hf_hub::HFClient {
        &self.inner.api
    }

    pub(crate) fn cache(&self, repo: &RepoRef) -> crate::cache::RepoCache {
        crate::cache::RepoCache::new(self.settings(), repo)
    }
}

impl std::fmt::Debug for Hub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Hub").field(&self.inner.settings).finish()
    }
}

impl Http {
    /// What a failure of `hf-hub` is among ours.
    fn foreign(&self, error: HFError, place: &str) -> Failure {
        let (context, retry_after) = match error {
            HFError::Http { context }
            | HFError::AuthRequired { context }
            | HFError::Forbidden { context }
            | HFError::Conflict { context } => (context, None),
            HFError::RateLimited {
                context,
                retry_after,
            } => (context, retry_after),
            HFError::Request { source, .. } => {
                let url = source
                    .url()
                    .cloned()
                    .unwrap_or_else(|| self.endpoint().clone());
                // It does not say what came, only that its parser did not take it.
                if source.is_decode() {
                    return Failure::bad(&url, "an answer that is not the Hub's".to_owned());
                }
                return match source.is_timeout() && !source.is_connect() {
                    true => Failure::Stalled {
                        url: crate::http::shown(&url),
                        after: self.network.stall_timeout,
                    },
                    false => Failure::transport(&url, &source),
                };
            }
            other => {
                return Failure::Bad {
                    url: place.to_owned(),
                    what: other.to_string(),
                };
            }
        };
        let url = reqwest::Url::parse(&context.url)
            .map_or(context.url.clone(), |u| crate::http::shown(&u));
        let page = crate::http::web_page(None, context.body.as_bytes());
        let reason = context
            .status
            .canonical_reason()
            .unwrap_or("no reason given");
        let words = context.server_message.as_deref().or(page.as_deref());
        Failure::Status {
            url,
            status: context.status.as_u16(),
            code: context.error_code.clone().unwrap_or_default(),
            detail: self.tidy(words.unwrap_or(reason)),
            page: page.is_some(),
            retry_after,
        }
    }
}
