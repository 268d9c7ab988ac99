//! The Hub as its callers see it: a client with settings, and what it can be asked.

use crate::http::{Call, Http, Subject};
use crate::listing::{Listing, MAX_PAGE};
use crate::{Error, Progress, RepoRef, Settings, name};
use serde::Deserialize;
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

/// The part of the Hub's answer to `whoami-v2` that is read.
#[derive(Deserialize)]
struct User {
    name: String,
    orgs: Option<Vec<Organization>>,
}

#[derive(Deserialize)]
struct Organization {
    name: Option<String>,
}

impl Hub {
    /// A client with these settings. No request is made.
    ///
    /// # Errors
    /// [`Error::Setting`] for an address that is none, [`Error::Io`] if no thread can be started.
    pub fn new(settings: Settings) -> Result<Self, Error> {
        let http = Http::new(&settings)?;
        Ok(Self {
            inner: Arc::new(Inner { settings, http }),
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
        let subject = "the account";
        let about = self.about(subject, "", None);
        let http = self.http();
        http.check_online(subject)?;
        let url = http.url(["api", "whoami-v2"]);
        let user = http.attempts().run(about, self.listener(), |_| {
            let mut response = http.send(Call::get(url.clone()).at_home())?;
            serde_json::from_value::<User>(response.json(MAX_PAGE)?)
                .map_err(|e| response.bad(format!("an answer of another form than the Hub's: {e}")))
        })?;
        Ok(Identity {
            name: user.name,
            organizations: user
                .orgs
                .into_iter()
                .flatten()
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

    /// What the Hub says of a repository, at a revision.
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
        self.http().attempts().run(about, progress, |_| {
            self.http().send(Call::get(url.clone()))?.json(MAX_PAGE)
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

    pub(crate) fn cache(&self, repo: &RepoRef) -> crate::cache::RepoCache {
        crate::cache::RepoCache::new(self.settings(), repo)
    }
}

impl std::fmt::Debug for Hub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Hub").field(&self.inner.settings).finish()
    }
}
