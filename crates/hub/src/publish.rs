//! A folder of this disk, made one commit of a repository.
//!
//! [`Hub::plan`] hashes the files and asks the Hub how it wants each; [`Hub::publish`] sends what
//! the plan says: the repository if there is none, the large files to the store by git's LFS
//! protocol (those that the store has already are not sent again, which is how an interrupted
//! publication goes on), then the commit, which holds the small files and names the large ones.

mod commit;
mod files;
mod plan;
mod upload;

/// Reads an answer that says how files are wanted.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn read_wishes(value: &serde_json::Value) {
    commit::wishes(value);
}

/// Reads an answer that says where a file of `bytes` goes.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn read_links(value: &serde_json::Value, bytes: u64) {
    let _ = upload::read_actions(value, bytes);
}

pub use plan::{How, Plan, PlannedFile};

use crate::http::{Call, Failure};
use crate::{Error, Event, Hub, Progress, RepoRef, Selection};
use reqwest::Method;
use std::path::PathBuf;

/// What is to be published, and where.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PublishRequest {
    /// The folder; hidden files and unfinished ones (`.partial`) in it are left out.
    pub folder: PathBuf,
    /// Which files of it; a selection without patterns means all.
    pub files: Selection,
    /// The repository; a revision other than `main` must exist.
    pub repo: RepoRef,
    /// Whether a repository that has to be created is private.
    pub private: bool,
    /// First line of the commit message.
    pub summary: String,
    /// The rest of the commit message.
    pub description: String,
}

impl PublishRequest {
    /// All files of a folder, to the branch that the reference names, public.
    ///
    /// # Errors
    /// [`Error::Reference`] if the reference names a file or folder.
    pub fn new(folder: PathBuf, repo: RepoRef) -> Result<Self, Error> {
        if repo.path().is_some() || repo.tag().is_some() {
            let mut branch = repo.clone();
            while let Some(longer) = branch.with_longer_revision() {
                branch = longer;
            }
            let mut why =
                "a folder is published to a whole repository, not to a path in it".to_owned();
            if branch != repo {
                why += &format!("; a branch with slashes in its name is written {branch}");
            }
            return Err(Error::Reference {
                text: repo.to_string(),
                why,
            });
        }
        Ok(Self {
            folder,
            files: Selection::patterns(&[], &[])?,
            repo,
            private: false,
            summary: "Upload with Aeolus".to_owned(),
            description: String::new(),
        })
    }
}

/// What a publication did.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Published {
    /// What was sent: the plan, or what it became if the Hub saw a file otherwise than foreseen.
    pub plan: Plan,
    /// The commit that holds the files now.
    pub commit: String,
    /// Its page.
    pub url: String,
    /// Whether a commit was made; otherwise all files were there already.
    pub changed: bool,
    /// Bytes that went to the store.
    pub uploaded_bytes: u64,
}

impl Hub {
    /// What publishing the folder would send. Nothing is changed on the Hub.
    ///
    /// # Errors
    /// [`Error::NothingToPublish`]; [`Error::Io`] for a file that cannot be read;
    /// [`Error::TooLargeInline`]; no access to the repository; network errors.
    pub fn plan(&self, request: &PublishRequest, progress: &dyn Progress) -> Result<Plan, Error> {
        let files = files::collect(&request.folder, &request.files)?;
        let exists = self.exists(&request.repo, progress)?;
        let mut planned = Vec::new();
        for (path, local) in files {
            planned.push(files::examine(path, local, progress)?);
        }
        let mut plan = Plan {
            repo: request.repo.id(),
            revision: request.repo.revision().to_owned(),
            create: !exists,
            private: request.private,
            summary: request.summary.clone(),
            description: request.description.clone(),
            folder: request.folder.clone(),
            files: planned,
        };
        if exists {
            plan = self.preupload(&request.repo, &plan, progress)?;
        }
        plan.check_inline()?;
        Ok(plan)
    }

    /// Sends what a plan says.
    ///
    /// # Errors
    /// [`Error::NoToken`]; [`Error::LocalChanged`] if a file is not the one that was planned;
    /// [`Error::TooLargeInline`] and [`Error::XetOnly`] for repositories that cannot be published
    /// to from here; no access; network errors. Large files that went up before an error are not
    /// sent again by the next run.
    pub fn publish(&self, plan: &Plan, progress: &dyn Progress) -> Result<Published, Error> {
        if !self.http().signed_in() {
            return Err(Error::NoToken {
                repo: plan.repo.clone(),
            });
        }
        self.http().check_online(&plan.repo)?;
        let repo = RepoRef::parse(&plan.repo)?.at(&plan.revision)?;
        if plan.create {
            self.create(&repo, plan.private, progress)?;
        }
        let plan = self.preupload(&repo, plan, progress)?;
        plan.check_inline()?;
        // Before the large files: a small one that has changed should not be found out after hours.
        let body = commit::body(&plan)?;
        let stored: Vec<&PlannedFile> = plan.files.iter().filter(|f| f.how == How::Store).collect();
        if !stored.is_empty() {
            let total = stored.iter().map(|f| f.bytes).sum();
            progress.event(Event::Started { total, known: 0 });
        }
        let mut uploaded_bytes = 0;
        for file in stored {
            uploaded_bytes += self.upload(&repo, &plan, file, progress)?;
        }
        let (commit, url, changed) = self.commit(&repo, &plan, body, progress)?;
        Ok(Published {
            plan,
            commit,
            url,
            changed,
            uploaded_bytes,
        })
    }

    fn exists(&self, repo: &RepoRef, progress: &dyn Progress) -> Result<bool, Error> {
        match self.facts(repo, None, progress) {
            Ok(_) => Ok(true),
            Err(Error::RepoNotFound { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn create(&self, repo: &RepoRef, private: bool, progress: &dyn Progress) -> Result<(), Error> {
        let id = repo.id();
        let about = self.about(&id, repo.revision(), None);
        let http = self.http();
        let body = serde_json::json!({
            "type": "model", "organization": repo.owner(), "name": repo.name(), "private": private,
        });
        let url = http.url(["api", "repos", "create"]);
        http.attempts().run(about, progress, |_| {
            let call = Call::new(Method::POST, url.clone()).json(&body).at_home();
            match http.send(call) {
                // Someone else, or a request whose answer was lost, was faster.
                Ok(_) | Err(Failure::Status { status: 409, .. }) => Ok(()),
                Err(failure) => Err(failure),
            }
        })
    }
}
