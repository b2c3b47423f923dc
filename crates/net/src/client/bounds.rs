//! What an upstream's answers are held to: which fields are taken, how large they may be, how long they may
//! take. An [`Upstream`](super::Upstream) has them of its builder; an answer that came by another client, an object
//! store's for one, is held to the same.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, Response};
use tokio::time::Instant;

use super::allowed::Allowed;
use super::{UpstreamError, body};
use crate::Body;

/// See the module. Clones are of one list of fields.
#[derive(Clone, Debug)]
#[must_use = "bounds hold nothing until they are given to somebody"]
pub struct Bounds {
    pub(super) idle: Duration,
    pub(super) whole: Option<Duration>,
    pub(super) max: Option<u64>,
    pub(super) allowed: Option<Allowed>,
}

impl Default for Bounds {
    /// 30 s of silence, and no other bound.
    fn default() -> Self {
        Self { idle: Duration::from_secs(30), whole: None, max: None, allowed: None }
    }
}

impl Bounds {
    /// As [`UpstreamBuilder::idle_timeout`](super::UpstreamBuilder::idle_timeout).
    pub const fn idle_timeout(mut self, time: Duration) -> Self {
        self.idle = time;
        self
    }

    /// As [`UpstreamBuilder::whole_timeout`](super::UpstreamBuilder::whole_timeout).
    pub const fn whole_timeout(mut self, time: Duration) -> Self {
        self.whole = Some(time);
        self
    }

    /// As [`UpstreamBuilder::max_body`](super::UpstreamBuilder::max_body).
    pub const fn max_body(mut self, bytes: u64) -> Self {
        self.max = Some(bytes);
        self
    }

    /// As [`UpstreamBuilder::response_fields`](super::UpstreamBuilder::response_fields).
    pub fn response_fields(mut self, names: impl IntoIterator<Item = HeaderName>) -> Self {
        self.allowed = Some(Allowed::new(names));
        self
    }

    /// When the answer to a request that is sent now must have come whole, where there is such a time. The
    /// head of it is for the caller to hold to that.
    pub fn until(&self) -> Option<Instant> {
        self.whole.map(|whole| Instant::now() + whole)
    }

    /// Holds an answer to them: fields that are not taken are gone, and a body that is too large, silent for
    /// too long, or not there at `until` ends in an error. `is_head` says that the request was a `HEAD`, whose
    /// length is that of no body.
    ///
    /// # Errors
    /// [`UpstreamError::TooLarge`] where the answer says that it is.
    pub fn hold<B>(
        &self,
        answer: Response<B>,
        is_head: bool,
        until: Option<Instant>,
    ) -> Result<Response<Body>, UpstreamError>
    where
        B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: std::fmt::Display,
    {
        let (mut parts, incoming) = answer.into_parts();
        if let Some(allowed) = &self.allowed {
            allowed.strip(&mut parts.headers);
        }
        let length = incoming.size_hint().exact().filter(|_| !is_head);
        if let Some(limit) = self.max.filter(|max| length.is_some_and(|length| length > *max)) {
            return Err(UpstreamError::TooLarge { limit });
        }
        Ok(Response::from_parts(parts, body::receive(incoming, self, until)))
    }
}
