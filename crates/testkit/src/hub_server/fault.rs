//! What can be made to go wrong, and for which requests.

use super::{Content, Site};

/// A fault, applied to the next matching requests.
#[derive(Clone, Debug)]
pub struct Fault {
    /// `GET`, `HEAD`, ...; `None` for any.
    pub method: Option<&'static str>,
    /// Which of the two sites; `None` for both.
    pub site: Option<Site>,
    /// A part of the request's path and query; empty for any.
    pub path: String,
    /// How many requests it still applies to.
    pub times: usize,
    /// What happens to them.
    pub action: Action,
}

impl Fault {
    /// The fault for every request, once.
    #[must_use]
    pub fn new(action: Action) -> Self {
        Self {
            method: None,
            site: None,
            path: String::new(),
            times: 1,
            action,
        }
    }

    /// Only for this method.
    #[must_use]
    pub fn method(mut self, method: &'static str) -> Self {
        self.method = Some(method);
        self
    }

    /// Only on this site.
    #[must_use]
    pub fn site(mut self, site: Site) -> Self {
        self.site = Some(site);
        self
    }

    /// Only where the path and query contain this.
    #[must_use]
    pub fn path(mut self, part: &str) -> Self {
        self.path = part.to_owned();
        self
    }

    /// For this many requests.
    #[must_use]
    pub fn times(mut self, times: usize) -> Self {
        self.times = times;
        self
    }

    pub(super) fn matches(&self, site: Site, method: &str, target: &str) -> bool {
        self.times > 0
            && self.method.is_none_or(|m| m == method)
            && self.site.is_none_or(|s| s == site)
            && target.contains(&self.path)
    }
}

/// What happens to a request that a [`Fault`] applies to.
#[derive(Clone, Debug)]
pub enum Action {
    /// Answer with this status and these headers instead.
    Status(u16, Vec<(&'static str, String)>),
    /// Answer with this status and this body instead.
    Answer(u16, Content),
    /// Answer with this status and this web page instead, as a proxy or login page does.
    Page(u16, &'static str),
    /// Close the connection after this many bytes of the answer's body.
    CutAfter(u64),
    /// Fall silent after this many bytes of the answer's body, the connection open.
    StallAfter(u64),
    /// Send a body this many bytes shorter, with a `Content-Length` that agrees with it.
    Shorten(u64),
    /// Answer a range request with 200 and the whole file.
    IgnoreRange,
    /// Answer a range request with another range than the one asked for.
    ShiftRange,
    /// Flip the lowest bit of the byte at this offset of the file.
    FlipBit(u64),
    /// Replace or add a header of the answer.
    Header(&'static str, String),
    /// Send the body in pieces of this many bytes, with a pause of this many milliseconds after each.
    Trickle(usize, u64),
    /// Carry the request out, then close the connection instead of answering.
    DropAnswer,
    /// Carry the request out, then answer with this status, as a gateway in front does that has
    /// waited long enough.
    GiveUp(u16),
}
