//! How an authority that issues certificates (ACME) is asked: over HTTPS, by the same client as any
//! upstream.

use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::{Request, uri};
use http_body::Body as _;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use tower_service::Service;

use crate::Body;
use crate::client::Upstream;

/// The longest answer that is read.
const MAX_ANSWER: u64 = 1 << 20;
/// Servers that one authority's directory may send to.
const MAX_SERVERS: usize = 8;

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Asks {
    /// Whom the authority's own certificate must be signed by; none for the system's authorities.
    ca: Option<Arc<[u8]>>,
    servers: Arc<Mutex<HashMap<uri::Authority, Upstream>>>,
}

impl Asks {
    pub(crate) fn new(ca: Option<Arc<[u8]>>) -> Self {
        Self { ca, servers: Arc::default() }
    }

    async fn ask(self, request: Request<BodyWrapper<Bytes>>) -> Result<BytesResponse, Error> {
        let (parts, mut body) = request.into_parts();
        let mut text = Bytes::new();
        // What an instant-acme's body is: one piece, or nothing.
        if let Some(Ok(frame)) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
            text = frame.into_data().unwrap_or_default();
        }
        let mut server = self.server(&parts.uri).await?;
        let request = Request::from_parts(parts, Body::from(text));
        let response = server.call(request).await.map_err(other)?;
        let (parts, body) = response.into_parts();
        let body = body.collect(MAX_ANSWER).await.map_err(other)?.to_bytes();
        Ok(BytesResponse { parts, body: Box::new(body) })
    }

    async fn server(&self, uri: &uri::Uri) -> Result<Upstream, Error> {
        let refused = |what: &'static str| Error::Other(what.into());
        if uri.scheme() != Some(&uri::Scheme::HTTPS) {
            return Err(refused("an authority is asked over https only"));
        }
        let authority = uri.authority().cloned().ok_or(refused("an URL without a host"))?;
        let known = |servers: &Mutex<HashMap<_, Upstream>>| {
            servers.lock().unwrap_or_else(PoisonError::into_inner).get(&authority).cloned()
        };
        if let Some(server) = known(&self.servers) {
            return Ok(server);
        }
        let mut builder = Upstream::builder(format!("https://{authority}"));
        if let Some(ca) = &self.ca {
            builder = builder.ca_pem(ca);
        }
        // Reads the system's authorities from its disk.
        let made = tokio::task::spawn_blocking(move || builder.build()).await.map_err(other)?;
        let made = made.map_err(other)?;
        let mut servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        if servers.len() >= MAX_SERVERS {
            servers.clear();
        }
        servers.insert(authority, made.clone());
        Ok(made)
    }
}

fn other(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::Other(Box::new(error))
}

impl HttpClient for Asks {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        Box::pin(self.clone().ask(request))
    }
}
