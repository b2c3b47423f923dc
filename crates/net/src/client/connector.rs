//! Connections to upstreams: TCP, then TLS where the URI asks for it, within one time.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use http::uri::{Authority, Scheme};
use hyper_rustls::{
    FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream,
};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tower_service::Service;

use super::UpstreamError;
use super::error::Unresolved;
use super::resolve::{Names, bare};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Where an upstream is, and whose certificate it shows, whatever it is told its host is.
#[derive(Clone, Debug)]
pub(super) struct Way {
    to: Uri,
    name: ServerName<'static>,
    names: Option<Arc<Names>>,
}

impl Way {
    pub(super) fn new(
        scheme: &Scheme,
        authority: &Authority,
        tls_name: Option<&str>,
        names: Option<Arc<Names>>,
    ) -> Result<Self, UpstreamError> {
        let config = |what: String| UpstreamError::Config(what.into());
        let name = tls_name.unwrap_or(authority.host());
        let name = match ServerName::try_from(bare(name).to_owned()) {
            Ok(name) => name,
            // Nobody looks at it.
            Err(_) if *scheme != Scheme::HTTPS => ServerName::from(IpAddr::from([127, 0, 0, 1])),
            Err(_) => return Err(config(format!("'{name}' is no name of a server"))),
        };
        let to = Uri::builder().scheme(scheme.clone()).authority(authority.clone());
        let to = to.path_and_query("/").build().map_err(|error| config(error.to_string()))?;
        Ok(Self { to, name, names })
    }
}

/// hyper's connector with a limit on the whole, TLS included.
#[derive(Clone, Debug)]
pub(super) struct Connector {
    https: HttpsConnector<Tcp>,
    within: Duration,
}

impl Connector {
    pub(super) fn new(
        tls: rustls::ClientConfig,
        only_http1: bool,
        within: Duration,
        way: Way,
    ) -> Self {
        let Way { to, name, names } = way;
        let mut http = HttpConnector::new_with_resolver(Resolver(names));
        http.enforce_http(false);
        http.set_nodelay(true);
        // Shared out among the addresses of a family: one that is silent does not take all of it.
        http.set_connect_timeout(Some(within));
        let https = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http();
        let https = https.with_server_name_resolver(FixedServerNameResolver::new(name));
        let https = if only_http1 {
            https.enable_http1().wrap_connector(Tcp { http, to })
        } else {
            https.enable_all_versions().wrap_connector(Tcp { http, to })
        };
        Self { https, within }
    }
}

impl Service<Uri> for Connector {
    type Response = MaybeHttpsStream<TokioIo<TcpStream>>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.https.poll_ready(cx)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = tokio::time::timeout(self.within, self.https.call(uri));
        Box::pin(async move {
            match connecting.await {
                Ok(connected) => connected,
                Err(_) => {
                    Err(io::Error::new(io::ErrorKind::TimedOut, "no connection in time").into())
                }
            }
        })
    }
}

/// Connects to where the upstream is, whatever the request's URI says.
#[derive(Clone, Debug)]
struct Tcp {
    http: HttpConnector<Resolver>,
    to: Uri,
}

impl Service<Uri> for Tcp {
    type Response = <HttpConnector<Resolver> as Service<Uri>>::Response;
    type Error = <HttpConnector<Resolver> as Service<Uri>>::Error;
    type Future = <HttpConnector<Resolver> as Service<Uri>>::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.http.poll_ready(cx)
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        self.http.call(self.to.clone())
    }
}

/// The upstream's own names; its failures are told from those of connections.
#[derive(Clone, Debug)]
struct Resolver(Option<Arc<Names>>);

impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = Unresolved;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Unresolved>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Unresolved>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Name) -> Self::Future {
        let names = self.0.clone();
        Box::pin(async move {
            // An address is never asked for.
            let names = names.ok_or_else(|| Unresolved(io::ErrorKind::NotFound.into()))?;
            names.addresses().await.map(Vec::into_iter).map_err(Unresolved)
        })
    }
}
