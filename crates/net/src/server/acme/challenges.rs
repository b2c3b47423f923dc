//! What the authority asks a server to show before it signs: a token's text over plain HTTP (RFC
//! 8555 §8.3, http-01), or a certificate made for the question in a TLS handshake (RFC 8737,
//! tls-alpn-01).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::{HeaderValue, Method, Request, Response, header};
use rustls::server::ClientHello;
use rustls::sign::CertifiedKey;

use crate::Body;

/// The protocol of the authority's handshake (RFC 8737 §4).
pub(in crate::server) const ACME_TLS: &[u8] = b"acme-tls/1";
const PREFIX: &str = "/.well-known/acme-challenge/";

/// The questions that are open. Each listener and worker looks here; most of the time there are
/// none. As many as one order has names.
#[derive(Debug, Default)]
pub(in crate::server) struct Challenges {
    /// By token: the key authorization.
    texts: Mutex<HashMap<String, String>>,
    /// By name.
    certificates: Mutex<HashMap<String, Arc<CertifiedKey>>>,
}

/// A question that is open until this is dropped.
#[derive(Debug)]
pub(super) struct Open {
    all: Arc<Challenges>,
    what: What,
}

#[derive(Debug)]
enum What {
    Text(String),
    Certificate(String),
}

impl Challenges {
    /// Opens one of http-01.
    pub(super) fn text(self: &Arc<Self>, token: &str, text: &str) -> Open {
        lock(&self.texts).insert(token.to_owned(), text.to_owned());
        Open { all: Arc::clone(self), what: What::Text(token.to_owned()) }
    }

    /// Opens one of tls-alpn-01.
    pub(super) fn certificate(self: &Arc<Self>, name: &str, shown: Arc<CertifiedKey>) -> Open {
        let name = name.to_ascii_lowercase();
        lock(&self.certificates).insert(name.clone(), shown);
        Open { all: Arc::clone(self), what: What::Certificate(name) }
    }

    /// The answer to a request for a token that is known. Any other is the service's to answer.
    pub(in crate::server) fn answer<B>(&self, request: &Request<B>) -> Option<Response<Body>> {
        let token = request.uri().path().strip_prefix(PREFIX)?;
        if *request.method() != Method::GET {
            return None;
        }
        let text = lock(&self.texts).get(token).cloned()?;
        let mut response = Response::new(Body::from(text));
        let kind = HeaderValue::from_static("application/octet-stream");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        Some(response)
    }

    /// The certificate for a handshake of the authority's, which names what it asks for.
    pub(in crate::server) fn shown(&self, hello: &ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name()?.to_ascii_lowercase();
        lock(&self.certificates).get(&name).cloned()
    }
}

/// Whether a handshake is an authority's.
pub(in crate::server) fn is_acme(hello: &ClientHello<'_>) -> bool {
    hello.alpn().is_some_and(|mut protocols| protocols.any(|protocol| protocol == ACME_TLS))
}

impl Drop for Open {
    fn drop(&mut self) {
        match &self.what {
            What::Text(token) => drop(lock(&self.all.texts).remove(token)),
            What::Certificate(name) => drop(lock(&self.all.certificates).remove(name)),
        }
    }
}

fn lock<T>(map: &Mutex<T>) -> MutexGuard<'_, T> {
    map.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    #[tokio::test]
    async fn rfc_8555_8_3_a_token_is_answered_while_it_is_open_and_nothing_else() {
        let all = Arc::<Challenges>::default();
        let get = |path: &str| Request::get(path).body(()).unwrap();
        let asked = get("/.well-known/acme-challenge/abc");
        assert!(all.answer(&asked).is_none());
        let open = all.text("abc", "abc.thumb");
        let answer = all.answer(&asked).unwrap();
        assert_eq!(answer.headers()["content-type"], "application/octet-stream");
        assert_eq!(answer.into_body().collect(100).await.unwrap().to_bytes(), "abc.thumb");
        for other in ["/.well-known/acme-challenge/", "/.well-known/acme-challenge/abcd", "/abc"] {
            assert!(all.answer(&get(other)).is_none());
        }
        let post = Request::post("/.well-known/acme-challenge/abc").body(()).unwrap();
        assert!(all.answer(&post).is_none());
        drop(open);
        assert!(all.answer(&asked).is_none());
    }
}
