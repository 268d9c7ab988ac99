//! The place behind the Hub's redirect, remembered from one range request to the next.
//!
//! A file in the store is asked for at the Hub, which redirects to a signed link. The Hub counts
//! these questions; a file of thousands of ranges should not ask thousands of times.

use super::{Call, Failure, Http, Response};
use reqwest::Url;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

#[derive(Default)]
pub(crate) struct Shortcut(Mutex<Option<Url>>);

impl Shortcut {
    /// Asks for a range of a file: at the place where it was last found, else at its home.
    pub fn ask<'h>(
        &self,
        http: &'h Http,
        home: Url,
        range: Range<u64>,
    ) -> Result<Response<'h>, Failure> {
        let known = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let call = |url| Call::get(url).range(range.start, range.end);
        let url = known().clone();
        if let Some(url) = url {
            match http.send(call(url)) {
                // The link has expired.
                Err(Failure::Status {
                    status: 400..=407 | 409..=424,
                    ..
                }) => *known() = None,
                answer => return answer,
            }
        }
        let response = http.send(call(home))?;
        *known() = response.elsewhere();
        Ok(response)
    }
}

impl std::fmt::Debug for Shortcut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The link is signed: it opens the file to whoever reads it.
        f.write_str("Shortcut")
    }
}
