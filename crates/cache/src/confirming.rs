//! What a request for confirmation is about, for those between the cache and its upstream.

use std::sync::Arc;

use http::HeaderMap;

use crate::object::Object;

/// In the extensions of a request that asks upstream to confirm a stored response (RFC 9111 §4.3.1):
/// the fields of that response. A layer behind the cache that makes something else of answers, such as
/// one that compresses them, knows by it what a 304 is said of.
#[derive(Clone, Debug)]
pub struct Confirming(Arc<Object>);

impl Confirming {
    pub(crate) fn new(stored: &Arc<Object>) -> Self {
        Self(Arc::clone(stored))
    }

    /// The fields that are stored.
    pub fn headers(&self) -> &HeaderMap {
        &self.0.head.headers
    }
}
