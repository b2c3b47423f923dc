//! A client of h3, over the transport of our own client, and what it remembers of a server.
#![allow(dead_code, clippy::unwrap_used, reason = "shared by tests of several crates")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes};
use headwater_net::client::{Opener, Transport};
use headwater_net::server::Tls;
use http::{HeaderMap, Method, Request, StatusCode, Version};

/// An answer that arrived whole.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) version: Version,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// The settings of QUIC clients that trust `tls`; those made of one share its sessions.
pub(crate) fn quic_config(tls: &Tls, transport: quinn::TransportConfig) -> quinn::ClientConfig {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(tls.leaf_der().into()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h3".to_vec()];
    config.enable_early_data = true;
    let config = quinn::crypto::rustls::QuicClientConfig::try_from(config).unwrap();
    let mut config = quinn::ClientConfig::new(Arc::new(config));
    config.transport_config(Arc::new(transport));
    config
}

/// What waits for a server that is held up for longer than clients usually do.
pub(crate) fn patient() -> quinn::TransportConfig {
    let mut transport = quinn::TransportConfig::default();
    transport.max_idle_timeout(Some(Duration::from_secs(120).try_into().unwrap()));
    transport
}

/// What a client remembers that has asked a server for `path` by the name of `localhost`.
pub(crate) async fn visited(addr: SocketAddr, tls: &Tls, path: &str) -> quinn::ClientConfig {
    let config = quic_config(tls, patient());
    let endpoint = endpoint(addr);
    let quic = endpoint.connect_with(config.clone(), addr, "localhost").unwrap().await.unwrap();
    let client = H3::over(endpoint.clone(), quic, addr, "localhost").await;
    // The tickets came before the answer.
    client.send(Method::GET, path, Bytes::new()).await.unwrap();
    drop(client);
    endpoint.wait_idle().await;
    config
}

/// A socket of a client of what is at `addr`.
pub(crate) fn endpoint(addr: SocketAddr) -> quinn::Endpoint {
    let local = if addr.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" };
    quinn::Endpoint::client(local.parse().unwrap()).unwrap()
}

/// An HTTP/3 connection.
pub(crate) struct H3 {
    pub(crate) quic: quinn::Connection,
    pub(crate) requests: h3::client::SendRequest<Opener, Bytes>,
    authority: String,
    pub(crate) endpoint: quinn::Endpoint,
    driver: tokio::task::JoinHandle<String>,
}

impl Drop for H3 {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl H3 {
    pub(crate) async fn connect(addr: SocketAddr, name: &str, tls: &Tls) -> Self {
        let config = quic_config(tls, quinn::TransportConfig::default());
        let endpoint = endpoint(addr);
        let quic = endpoint.connect_with(config, addr, name).unwrap().await.unwrap();
        Self::over(endpoint, quic, addr, name).await
    }

    /// A connection to the server at `addr` by way of `relay`, by which a client that remembers an earlier
    /// one may ask at once, and whether the server takes what it asks so.
    pub(crate) async fn return_to(
        addr: SocketAddr,
        relay: SocketAddr,
        config: &quinn::ClientConfig,
    ) -> (Self, quinn::ZeroRttAccepted) {
        let endpoint = endpoint(relay);
        let connecting = endpoint.connect_with(config.clone(), relay, "localhost").unwrap();
        let (quic, accepted) = connecting.into_0rtt().map_err(|_| "no ticket").unwrap();
        // The port is part of what is asked for.
        (Self::over(endpoint, quic, addr, "localhost").await, accepted)
    }

    /// HTTP/3 over a connection.
    pub(crate) async fn over(
        endpoint: quinn::Endpoint,
        quic: quinn::Connection,
        addr: SocketAddr,
        name: &str,
    ) -> Self {
        let transport = Transport::new(quic.clone());
        let (mut driver, requests) =
            h3::client::builder().send_grease(false).build(transport).await.unwrap();
        let driver = tokio::spawn(async move {
            std::future::poll_fn(|cx| driver.poll_close(cx)).await.to_string()
        });
        let authority = format!("{name}:{}", addr.port());
        Self { quic, requests, authority, endpoint, driver }
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> Request<()> {
        let uri = format!("https://{}{path}", self.authority);
        Request::builder().method(method).uri(uri).body(()).unwrap()
    }

    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<Answer, String> {
        self.ask(self.request(method, path), body).await
    }

    /// Sends a request and reads its answer to the end.
    pub(crate) async fn ask(&self, request: Request<()>, body: Bytes) -> Result<Answer, String> {
        let text = |error: h3::error::StreamError| error.to_string();
        let mut requests = self.requests.clone();
        let stream = requests.send_request(request).await.map_err(text)?;
        let (mut send, mut recv) = stream.split();
        let sending = async move {
            if !body.is_empty() {
                send.send_data(body).await?;
            }
            send.finish().await
        };
        let receiving = async move {
            let head = recv.recv_response().await?;
            let mut all = Vec::new();
            while let Some(mut data) = recv.recv_data().await? {
                while data.has_remaining() {
                    let chunk = data.chunk();
                    all.extend_from_slice(chunk);
                    let len = chunk.len();
                    data.advance(len);
                }
            }
            Ok((head, Bytes::from(all)))
        };
        let (sent, received) = tokio::join!(sending, receiving);
        let (head, body): (http::Response<()>, Bytes) = received.map_err(text)?;
        sent.map_err(text)?;
        Ok(Answer {
            status: head.status(),
            version: Version::HTTP_3,
            headers: head.headers().clone(),
            body,
        })
    }
}
