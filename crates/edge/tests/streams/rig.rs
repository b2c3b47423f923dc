//! An edge between a client and an upstream that the test plays itself.

use std::time::Duration;

use headwater_cache::Cache;
use headwater_edge::{Edge, MethodsLayer};
use headwater_net::Clock;
use headwater_net::client::Upstream;
use headwater_net::server::{Server, ServerHandle, Tls};
use http::Method;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

pub const PATIENCE: Duration = Duration::from_secs(10);

pub struct Rig {
    pub edge: ServerHandle,
    pub tls: Tls,
    /// Where the edge's upstream is.
    pub upstream: TcpListener,
}

impl Rig {
    pub async fn start() -> Self {
        Self::start_with(|upstream| upstream).await
    }

    pub async fn start_with(
        tune: impl FnOnce(
            headwater_net::client::UpstreamBuilder,
        ) -> headwater_net::client::UpstreamBuilder,
    ) -> Self {
        let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", upstream.local_addr().unwrap());
        let client = tune(Upstream::builder(url)).build().unwrap();
        let builder = Edge::builder()
            .cache(Cache::builder().name("edge").build())
            .methods(MethodsLayer::new([Method::GET, Method::PUT, Method::PATCH]))
            .websockets(true);
        let tls = Tls::self_signed(["localhost"], None, &Clock::system()).unwrap();
        let edge = Server::builder()
            .http("127.0.0.1:0")
            .https("127.0.0.1:0")
            .tls(tls.clone())
            .workers(1)
            .extended_connect(true)
            .serve(move |_| builder.build(client.clone()))
            .unwrap();
        Self { edge, tls, upstream }
    }

    /// The next request at the upstream: its head, and the connection after it.
    pub async fn asked(&self) -> (String, TcpStream) {
        let accepted = tokio::time::timeout(PATIENCE, self.upstream.accept());
        let (mut stream, _) = accepted.await.expect("the upstream is asked").unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(within(stream.read_u8()).await.unwrap());
        }
        (String::from_utf8(head).unwrap(), stream)
    }

    pub fn plain(&self) -> String {
        self.edge.http_addrs()[0].to_string()
    }

    /// A client of HTTP/2 over TLS.
    pub fn http2(&self) -> (reqwest::Client, String) {
        let root = reqwest::Certificate::from_der(&self.tls.leaf_der()).unwrap();
        let client = reqwest::Client::builder().no_proxy().tls_certs_only([root]).build().unwrap();
        (client, format!("https://localhost:{}", self.edge.https_addrs()[0].port()))
    }
}

pub async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("ten seconds are over")
}

pub async fn say(stream: &mut TcpStream, text: &str) {
    stream.write_all(text.as_bytes()).await.unwrap();
}
