//! The Hub as its callers see it: a client with settings, and what it can be asked.

use crate::http::{Attempts, Failure, Http, Subject, builder};
use crate::listing::Listing;
use crate::{Error, Progress, RepoRef, Settings, name};
use hf_hub::HFError;
use std::sync::Arc;

/// A client of the Hub. Cheap to clone; clones share their connections.
#[derive(Clone)]
pub struct Hub(Arc<Inner>);

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
        Ok(Self(Arc::new(Inner {
            settings,
            http,
            api,
        })))
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
        &self.0.settings
    }

    /// Who the token belongs to.
    ///
    /// # Errors
    /// [`Error::Unauthorized`] without a valid token; network errors.
    pub fn whoami(&self) -> Result<Identity, Error> {
        let about = self.about("the account", "", None);
        let user = self.ask(about, &(), || self.api().whoami().send())?;
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

    /// The commit and the files that a revision names.
    ///
    /// Offline they come from the cache.
    ///
    /// # Errors
    /// Repository or revision not found, gated, no access; network errors; [`Error::UnsafeName`]
    /// if the Hub lists a file outside the repository; [`Error::Offline`].
    pub fn list(&self, repo: &RepoRef) -> Result<Listing, Error> {
        self.list_with(repo, &())
    }

    pub(crate) fn list_with(
        &self,
        repo: &RepoRef,
        progress: &dyn Progress,
    ) -> Result<Listing, Error> {
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
        let id = repo.id();
        let model = self.api().model(repo.owner(), repo.name());
        let info = self.ask(self.about(&id, revision, None), progress, || {
            model.info().revision(revision).send()
        })?;
        match info.sha {
            Some(sha) if name::is_commit(&sha) => Ok(sha),
            other => Err(Error::BadAnswer {
                url: format!("{}/api/models/{id}", self.settings().endpoint),
                what: format!("the commit of {revision} should be 40 hex digits, not {other:?}"),
            }),
        }
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
        let attempts = Attempts::new(&self.http().network);
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
        &self.0.http
    }

    pub(crate) fn api(&self) -> &hf_hub::HFClient {
        &self.0.api
    }

    pub(crate) fn cache(&self, repo: &RepoRef) -> crate::cache::RepoCache {
        crate::cache::RepoCache::new(&self.settings().cache, repo)
    }
}

impl std::fmt::Debug for Hub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Hub").field(&self.0.settings).finish()
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
            HFError::RepoNotFound {
                context: Some(context),
                ..
            }
            | HFError::RevisionNotFound {
                context: Some(context),
                ..
            } => (context, None),
            HFError::Request { source, .. } => {
                let url = source
                    .url()
                    .cloned()
                    .unwrap_or_else(|| self.endpoint().clone());
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
        let reason = context
            .status
            .canonical_reason()
            .unwrap_or("no reason given");
        Failure::Status {
            url,
            status: context.status.as_u16(),
            code: context.error_code.clone().unwrap_or_default(),
            detail: self.tidy(context.server_message.as_deref().unwrap_or(reason)),
            retry_after,
        }
    }
}
