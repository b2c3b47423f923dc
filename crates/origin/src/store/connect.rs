//! The HTTP client that opened stores are asked by, and whoever gives credentials for them.
//!
//! `object_store` would make one by itself, which follows a redirect to wherever it leads and ends what takes
//! longer than 30 s. This one follows none: neither a store nor what stands before it can have this process
//! ask somebody whom the settings do not name. And it ends nothing: that is for
//! [`Bounds`](headwater_net::client::Bounds).

use std::iter;
use std::time::Duration;

use object_store::client::{HttpClient, HttpConnector};
use object_store::{ClientConfigKey, ClientOptions, Error};
use reqwest::redirect::Policy;
use reqwest::{Certificate, ClientBuilder, NoProxy, Proxy};

use super::Connections;

/// What a store is told asks, unless settings say otherwise.
const USER_AGENT: &str = concat!("headwater/", env!("CARGO_PKG_VERSION"));

/// Time for a connection to a machine's own metadata, at most: most machines have none.
const METADATA: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Debug)]
pub(super) struct Connector(Connections);

impl Connector {
    pub(super) fn new(connections: &Connections) -> Self {
        Self(connections.clone())
    }

    /// Whether a setting of clients is one of this one's.
    pub(super) const fn knows(key: ClientConfigKey) -> bool {
        use ClientConfigKey as Key;
        matches!(
            key,
            Key::AllowHttp
                | Key::AllowInvalidCertificates
                | Key::DefaultContentType
                | Key::Http1Only
                | Key::Http2Only
                | Key::ProxyUrl
                | Key::ProxyCaCertificate
                | Key::ProxyExcludes
                | Key::UserAgent
        )
    }

    /// What the options of all clients say but those for a machine's own metadata, which have a time of their
    /// own.
    pub(super) fn mark(&self) -> (ClientConfigKey, String) {
        let time = format!("{}ms", self.0.connect_timeout.as_millis());
        (ClientConfigKey::ConnectTimeout, time)
    }

    fn client(&self, options: &ClientOptions) -> Result<reqwest::Client, Error> {
        use ClientConfigKey as Key;
        let said = |key| options.get_config_value(&key);
        let is = |key| said(key).as_deref().map_or(Ok(false), flag);
        let connections = &self.0;
        let (key, ours) = self.mark();
        let connect = match said(key) {
            Some(time) if time == ours => connections.connect_timeout,
            _ => connections.connect_timeout.min(METADATA),
        };
        let mut client = ClientBuilder::new()
            .redirect(Policy::none())
            .connect_timeout(connect)
            .pool_idle_timeout(connections.pool_idle_timeout)
            .pool_max_idle_per_host(connections.pool_max_idle)
            .https_only(!is(Key::AllowHttp)?)
            .tls_danger_accept_invalid_certs(is(Key::AllowInvalidCertificates)?)
            .user_agent(said(Key::UserAgent).unwrap_or_else(|| USER_AGENT.to_owned()))
            // Lengths are those of what is sent.
            .no_gzip()
            .no_brotli()
            .no_zstd()
            .no_deflate();
        if is(Key::Http1Only)? {
            client = client.http1_only();
        }
        if is(Key::Http2Only)? {
            client = client.http2_prior_knowledge();
        }
        if let Some(fields) = options.get_default_headers() {
            client = client.default_headers(fields.clone());
        }
        if let Some(url) = said(Key::ProxyUrl) {
            if let Some(pem) = said(Key::ProxyCaCertificate) {
                let certificate = Certificate::from_pem(pem.as_bytes()).map_err(unfit)?;
                client = client.tls_certs_merge(iter::once(certificate));
            }
            let excluded = said(Key::ProxyExcludes).and_then(|hosts| NoProxy::from_string(&hosts));
            client = client.proxy(Proxy::all(url).map_err(unfit)?.no_proxy(excluded));
        }
        client.build().map_err(unfit)
    }
}

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.client(options)?))
    }
}

/// A setting that is on or off, as `object_store` reads it.
fn flag(text: &str) -> Result<bool, Error> {
    match &*text.to_ascii_lowercase() {
        "1" | "true" | "on" | "yes" | "y" => Ok(true),
        "0" | "false" | "off" | "no" | "n" => Ok(false),
        _ => Err(unfit("it is neither on nor off")),
    }
}

fn unfit(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::Generic { store: "client", source: source.into() }
}
