//! Clients: reqwest for HTTP/1.1 and HTTP/2, h3 for HTTP/3.

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use headwater_net::Protocol;
use headwater_net::server::Tls;
use http::Method;

pub(crate) use crate::h3_client::{Answer, H3, quic_config};
use crate::service::Running;

/// A client of one server by one protocol.
pub(crate) enum Client {
    Tcp { client: reqwest::Client, base: String },
    H3(Box<H3>),
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
