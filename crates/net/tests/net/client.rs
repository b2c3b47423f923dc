//! Clients: reqwest for HTTP/1.1 and HTTP/2, h3 for HTTP/3.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bytes::{Buf, Bytes};
use headwater_net::Protocol;
use headwater_net::server::Tls;
use http::{HeaderMap, Method, Request, StatusCode, Version};

use crate::h3_client::{Opener, Transport};
use crate::service::Running;

/// A client of one server by one protocol.
pub(crate) enum Client {
    Tcp { client: reqwest::Client, base: String },
    H3(Box<H3>),
}

/// An answer that arrived whole.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) version: Version,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Client {
    /// A client that speaks `protocol` to the server's TLS port.
    pub(crate) async fn new(server: &Running, protocol: Protocol) -> Self {
        Self::at(server, protocol, IpAddr::from([127, 0, 0, 1])).await
    }

    pub(crate) async fn at(server: &Running, protocol: Protocol, ip: IpAddr) -> Self {
        let addr = SocketAddr::new(ip, server.port());
        if protocol == Protocol::H3 {
            return Self::H3(Box::new(H3::connect(addr, "localhost", &server.tls).await));
        }
        let root = reqwest::Certificate::from_der(&server.tls.leaf_der()).unwrap();
        let builder =
            reqwest::Client::builder().no_proxy().tls_certs_only([root]).resolve("localhost", addr);
        let builder = if protocol == Protocol::H1 { builder.http1_only() } else { builder };
        let base = format!("https://localhost:{}", addr.port());
        Self::Tcp { client: builder.build().unwrap(), base }
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Answer, String> {
        self.send(Method::GET, path, Bytes::new()).await
    }

    /// Sends a request and reads its answer to the end; an error is what a browser would show.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<Answer, String> {
        match self {
            Self::Tcp { client, base } => {
                let request = client.request(method, format!("{base}{path}"));
                let request = if body.is_empty() { request } else { request.body(body) };
                let response = request.send().await.map_err(|error| format!("{error:?}"))?;
                let (status, version) = (response.status(), response.version());
                let headers = response.headers().clone();
                let body = response.bytes().await.map_err(|error| format!("{error:?}"))?;
                Ok(Answer { status, version, headers, body })
            }
            Self::H3(client) => client.send(method, path, body).await,
        }
    }
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

/// A QUIC connection, for tests that speak HTTP/3 by hand.
pub(crate) async fn quic(
    addr: SocketAddr,
    name: &str,
    tls: &Tls,
) -> (quinn::Endpoint, quinn::Connection) {
    quic_with(addr, name, tls, quinn::TransportConfig::default()).await
}

pub(crate) async fn quic_with(
    addr: SocketAddr,
    name: &str,
    tls: &Tls,
    transport: quinn::TransportConfig,
) -> (quinn::Endpoint, quinn::Connection) {
    let config = quic_config(tls, transport);
    let local = if addr.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" };
    let endpoint = quinn::Endpoint::client(local.parse().unwrap()).unwrap();
    let quic = endpoint.connect_with(config, addr, name).unwrap().await.unwrap();
    (endpoint, quic)
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

impl H3 {
    pub(crate) async fn connect(addr: SocketAddr, name: &str, tls: &Tls) -> Self {
        let (endpoint, quic) = quic(addr, name, tls).await;
        Self::over(endpoint, quic, addr, name).await
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

    async fn send(&self, method: Method, path: &str, body: Bytes) -> Result<Answer, String> {
        let text = |error: h3::error::StreamError| error.to_string();
        let mut requests = self.requests.clone();
        let request = self.request(method, path);
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
