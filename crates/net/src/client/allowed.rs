//! Which fields of an upstream's answers are taken, where not all are: what an origin says beside, such as
//! what it is made of or a cookie, then goes no further.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, header};

/// The fields that are taken whatever the list: without them an answer cannot be read, kept, asked for
/// again or followed. In the order of their bytes.
pub const ALWAYS: [HeaderName; 17] = [
    header::ACCEPT_RANGES,
    header::AGE,
    header::ALLOW,
    header::CACHE_CONTROL,
    header::CONTENT_ENCODING,
    header::CONTENT_LENGTH,
    header::CONTENT_RANGE,
    header::CONTENT_TYPE,
    header::DATE,
    header::ETAG,
    header::EXPIRES,
    header::LAST_MODIFIED,
    header::LOCATION,
    header::PRAGMA,
    header::RETRY_AFTER,
    header::VARY,
    header::WWW_AUTHENTICATE,
];

/// See the module. Clones are one list.
#[derive(Clone, Debug)]
pub(super) struct Allowed(Arc<[HeaderName]>);

impl Allowed {
    pub(super) fn new(names: impl IntoIterator<Item = HeaderName>) -> Self {
        Self(names.into_iter().collect())
    }

    /// Takes off all others.
    pub(super) fn strip(&self, headers: &mut HeaderMap) {
        retain(headers, |name| ALWAYS.contains(name) || self.0.contains(name));
    }

    /// Of trailers, those that are named alone: none of the others is of use behind a body.
    pub(super) fn strip_trailers(&self, trailers: &mut HeaderMap) {
        retain(trailers, |name| self.0.contains(name));
    }
}

fn retain(headers: &mut HeaderMap, stays: impl Fn(&HeaderName) -> bool) {
    while let Some(name) = headers.keys().find(|name| !stays(name)).cloned() {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_needed_and_what_is_named_stays() {
        let mut headers = HeaderMap::new();
        for name in ALWAYS {
            headers.insert(name, header::HeaderValue::from_static("1"));
        }
        for name in ["x-title", "set-cookie", "server", "x-powered-by"] {
            let name = HeaderName::from_static(name);
            headers.append(name.clone(), header::HeaderValue::from_static("1"));
            headers.append(name, header::HeaderValue::from_static("2"));
        }
        let mut trailers = headers.clone();
        let allowed = Allowed::new([HeaderName::from_static("x-title")]);
        allowed.strip(&mut headers);
        assert_eq!((headers.keys_len(), headers.len()), (ALWAYS.len() + 1, ALWAYS.len() + 2));
        allowed.strip_trailers(&mut trailers);
        assert_eq!((trailers.keys_len(), trailers.len()), (1, 2));
    }
}
