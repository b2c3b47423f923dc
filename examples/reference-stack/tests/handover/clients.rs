//! Clients that download segment after segment, or send what goes on while the binary is replaced, each on a
//! connection of its own that it keeps as long as it may, and what becomes of their requests.

use std::convert::Infallible;
use std::error::Error;
use std::fmt::Display;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream;
use http::Method;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, StreamBody};
use hyper::body::Frame;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::app::{SINK, Sum};
use crate::h3;

/// How a client asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1 over TLS.
    H1,
    /// HTTP/2 over TLS.
    H2,
    /// HTTP/3.
    H3,
}

impl Protocol {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::H1, Self::H2, Self::H3];

    /// The name in tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::H1 => "H1+TLS",
            Self::H2 => "H2",
            Self::H3 => "H3",
        }
    }
}

/// What there is to download.
pub struct Site {
    /// Where it is served over TLS and QUIC.
    pub addr: SocketAddr,
    /// Paths and what they hold.
    pub segments: Vec<(String, Bytes)>,
}

impl Site {
    /// Reads the playlist of the first rendition, and all its segments once.
    pub async fn look(base: &str, plain: &str) -> Self {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let get = async |path: &str| {
            let answer = client.get(format!("{plain}{path}")).send().await.unwrap();
            assert!(answer.status().is_success(), "{path}: {}", answer.status());
            answer.bytes().await.unwrap()
        };
        let playlist = get("/media/clip/v1.m3u8").await;
        let mut segments = Vec::new();
        for line in std::str::from_utf8(&playlist).unwrap().lines() {
            if !line.is_empty() && !line.starts_with('#') {
                let path = format!("/media/clip/{line}");
                let body = get(&path).await;
                segments.push((path, body));
            }
        }
        assert!(segments.len() > 1, "{}", String::from_utf8_lossy(&playlist));
        let addr = base.trim_start_matches("https://").parse().unwrap();
        Self { addr, segments }
    }
}

/// What became of the requests of one protocol.
#[derive(Default)]
pub struct Tally {
    answers: AtomicU64,
    bytes: AtomicU64,
    /// Connections that ended because the server said so, in an answer or by GOAWAY; a request
    /// that was refused unprocessed is among them, and was sent again.
    told: AtomicU64,
    /// Connections that were closed, or broke off, between two requests without a word.
    idle: AtomicU64,
    failures: Mutex<Vec<String>>,
}

impl Tally {
    /// Answers that arrived whole and right.
    pub fn answers(&self) -> u64 {
        self.answers.load(Ordering::Relaxed)
    }

    /// Connections that ended because the server said so.
    pub fn told(&self) -> u64 {
        self.told.load(Ordering::Relaxed)
    }

    /// Those that ended without a word.
    pub fn idle(&self) -> u64 {
        self.idle.load(Ordering::Relaxed)
    }

    /// What went wrong.
    pub fn failures(&self) -> Vec<String> {
        self.failures.lock().unwrap().clone()
    }

    /// Whether anything did.
    pub fn has_failed(&self) -> bool {
        !self.failures.lock().unwrap().is_empty()
    }

    /// Its row of the table.
    pub fn row(&self, name: &str) -> String {
        let get = |of: &AtomicU64| of.load(Ordering::Relaxed);
        format!(
            "{name:<8} {:>8} {:>9.1} {:>14} {:>12} {:>7}",
            get(&self.answers),
            get(&self.bytes) as f64 / 1e6,
            get(&self.told),
            get(&self.idle),
            self.failures.lock().unwrap().len(),
        )
    }

    fn failed(&self, what: impl Display) {
        self.failures.lock().unwrap().push(what.to_string());
    }
}

/// A client's part of it.
pub struct Asked {
    /// What it downloads.
    pub site: Arc<Site>,
    /// Where it counts.
    pub tally: Arc<Tally>,
    /// Where it begins.
    pub number: usize,
}

/// How a request ended that brought no answer.
#[derive(Debug)]
pub enum Ended {
    /// The server had said that the connection ends, or refused the request unprocessed.
    Told,
    /// The connection was closed, or broke off, before the request was sent, and the server had not said so.
    Idle,
    /// It failed.
    Failed(String),
}

/// An answer's body, and whether the server said that this connection ends with it.
pub struct Answer {
    /// The body.
    pub body: Bytes,
    /// Whether the connection ends.
    pub last: bool,
}

/// A body that is sent.
type Sent = UnsyncBoxBody<Bytes, Infallible>;

/// A connection that is kept as long as it may.
pub enum Connection {
    /// Of HTTP/1.1.
    H1(http1::SendRequest<Sent>),
    /// Of HTTP/2.
    H2(Http2),
    /// Of HTTP/3.
    H3(h3::Connection),
}

/// A connection of HTTP/2, and what drives it.
pub struct Http2 {
    send: http2::SendRequest<Sent>,
    driven: JoinHandle<hyper::Result<()>>,
}

/// Downloads until told to stop.
pub async fn ask(protocol: Protocol, asked: Asked, stop: Arc<AtomicBool>) {
    let Asked { site, tally, number } = asked;
    let mut at = number;
    while !stop.load(Ordering::Relaxed) {
        let mut connection = match open(protocol, site.addr).await {
            Ok(connection) => connection,
            Err(error) => return tally.failed(format!("cannot connect: {error}")),
        };
        let mut is_first = true;
        while !stop.load(Ordering::Relaxed) {
            let (path, wanted) = &site.segments[at % site.segments.len()];
            match connection.get(site.addr, path).await {
                Ok(answer) if answer.body == *wanted => {
                    tally.answers.fetch_add(1, Ordering::Relaxed);
                    tally.bytes.fetch_add(wanted.len() as u64, Ordering::Relaxed);
                    at += 1;
                    is_first = false;
                    if answer.last {
                        tally.told.fetch_add(1, Ordering::Relaxed);
                        break;
                    }
                }
                Ok(answer) => {
                    let (came, wanted) = (answer.body.len(), wanted.len());
                    return tally.failed(format!("{path}: {came} bytes, and not the {wanted}"));
                }
                Err(Ended::Told) => {
                    tally.told.fetch_add(1, Ordering::Relaxed);
                    break;
                }
                Err(Ended::Idle) if !is_first => {
                    tally.idle.fetch_add(1, Ordering::Relaxed);
                    break;
                }
                Err(Ended::Idle) => return tally.failed("closed before its first request"),
                Err(Ended::Failed(error)) => return tally.failed(format!("{path}: {error}")),
            }
        }
    }
}

/// How long a piece of an upload is, and the time between two.
const PIECE: usize = 16 << 10;
const PAUSE: Duration = Duration::from_millis(20);

/// Uploads whose bodies go on while the binary is replaced.
#[derive(Default)]
pub struct Uploads(Mutex<Sending>);

#[derive(Default)]
struct Sending {
    /// How often it has been.
    replaced: usize,
    /// Those that have begun since, and are half sent.
    under_way: usize,
    ends: bool,
    pieces: u8,
}

impl Uploads {
    fn now(&self) -> MutexGuard<'_, Sending> {
        self.0.lock().unwrap()
    }

    /// The binary has been replaced: those that are under way end, and others begin.
    pub fn were_survived(&self) {
        let mut now = self.now();
        now.replaced += 1;
        now.under_way = 0;
    }

    /// No more are begun, and those that are under way end.
    pub fn end(&self) {
        self.now().ends = true;
    }

    /// How many are half sent that will not end before the binary is replaced.
    pub fn under_way(&self) -> usize {
        self.now().under_way
    }

    /// The next piece of one that began when the binary had been replaced so often, and of which so many were
    /// sent; `None` when it is to end.
    async fn piece(&self, began: usize, sent: usize) -> Option<Bytes> {
        if sent > 0 {
            tokio::time::sleep(PAUSE).await;
        }
        let mut now = self.now();
        if sent > 0 && (now.replaced != began || now.ends) {
            return None;
        }
        // The first ones may still be in a buffer here.
        now.under_way += usize::from(sent == 8);
        now.pieces = now.pieces.wrapping_add(1);
        Some(Bytes::from(vec![now.pieces; PIECE]))
    }
}

/// Uploads until told to stop, each on a new connection: the old process reads it to its end.
pub async fn upload(
    protocol: Protocol,
    addr: SocketAddr,
    uploads: Arc<Uploads>,
    tally: Arc<Tally>,
) {
    while !uploads.now().ends {
        let mut connection = match open(protocol, addr).await {
            Ok(connection) => connection,
            Err(error) => return tally.failed(format!("cannot connect: {error}")),
        };
        let began = uploads.now().replaced;
        let sum = Arc::<Mutex<Sum>>::default();
        let (of, added) = (Arc::clone(&uploads), Arc::clone(&sum));
        let pieces = stream::unfold(0, move |sent| {
            let (of, added) = (Arc::clone(&of), Arc::clone(&added));
            async move {
                let piece = of.piece(began, sent).await?;
                added.lock().unwrap().add(&piece);
                Some((piece, sent + 1))
            }
        });
        match connection.send(addr, SINK, Box::pin(pieces)).await {
            Ok(answer) => {
                let sum = sum.lock().unwrap().clone();
                if *answer.body != *sum.text().as_bytes() {
                    let said = String::from_utf8_lossy(&answer.body).into_owned();
                    return tally.failed(format!("an upload: {said}, and not {}", sum.text()));
                }
                tally.answers.fetch_add(1, Ordering::Relaxed);
                tally.bytes.fetch_add(sum.len, Ordering::Relaxed);
                tally.told.fetch_add(u64::from(answer.last), Ordering::Relaxed);
            }
            // A process that leaves takes no more on a connection that was just opened: it is sent again.
            Err(Ended::Told) => _ = tally.told.fetch_add(1, Ordering::Relaxed),
            Err(Ended::Idle) => return tally.failed("an upload's connection was closed before it"),
            Err(Ended::Failed(error)) => return tally.failed(format!("an upload: {error}")),
        }
    }
}

/// A connection over TLS that speaks one of the protocols that TCP has.
pub async fn secure(
    protocol: Protocol,
    addr: SocketAddr,
) -> Result<TokioIo<TlsStream<TcpStream>>, String> {
    let text = |error: io::Error| format!("{error:?}");
    let mut tls = h3::trusting_anything();
    let alpn: &[u8] = if protocol == Protocol::H1 { b"http/1.1" } else { b"h2" };
    tls.alpn_protocols = vec![alpn.to_vec()];
    let socket = TcpStream::connect(addr).await.map_err(text)?;
    let name = ServerName::try_from("localhost").unwrap();
    let stream = TlsConnector::from(Arc::new(tls)).connect(name, socket).await;
    Ok(TokioIo::new(stream.map_err(text)?))
}

async fn open(protocol: Protocol, addr: SocketAddr) -> Result<Connection, String> {
    let text = |error: hyper::Error| format!("{error:?}");
    if protocol == Protocol::H3 {
        return h3::Connection::open(addr, h3::trusting_anything()).await.map(Connection::H3);
    }
    let io = secure(protocol, addr).await?;
    if protocol == Protocol::H1 {
        let (send, connection) = http1::handshake(io).await.map_err(text)?;
        tokio::spawn(connection);
        return Ok(Connection::H1(send));
    }
    Http2::over(io).await.map(Connection::H2).map_err(text)
}

impl Http2 {
    /// Begins on a connection that is there.
    pub async fn over<I>(io: I) -> hyper::Result<Self>
    where
        I: hyper::rt::Read + hyper::rt::Write + Send + Unpin + 'static,
    {
        let (send, connection) = http2::handshake(TokioExecutor::new(), io).await?;
        Ok(Self { send, driven: tokio::spawn(connection) })
    }

    /// Why a request could not be sent any more. What drives the connection ends well only after a GOAWAY
    /// without an error (RFC 9113 §6.8); whatever breaks off or is closed without one is an error of I/O.
    pub async fn ended(&mut self) -> Ended {
        match (&mut self.driven).await {
            Ok(Ok(())) => Ended::Told,
            Ok(Err(error)) if error.source().is_some_and(<dyn Error>::is::<io::Error>) => {
                Ended::Idle
            }
            Ok(Err(error)) => Ended::Failed(format!("{error:?}")),
            Err(error) => Ended::Failed(error.to_string()),
        }
    }
}

/// Pieces of a body.
pub type Pieces = std::pin::Pin<Box<dyn stream::Stream<Item = Bytes> + Send>>;

impl Connection {
    /// Downloads `path`.
    pub async fn get(&mut self, addr: SocketAddr, path: &str) -> Result<Answer, Ended> {
        match self {
            Self::H3(connection) => connection.get(path).await,
            _ => self.ask(addr, Method::GET, path, Empty::new().boxed_unsync()).await,
        }
    }

    /// Sends a body of which the length is not known.
    async fn send(
        &mut self,
        addr: SocketAddr,
        path: &str,
        pieces: Pieces,
    ) -> Result<Answer, Ended> {
        if let Self::H3(connection) = self {
            return connection.post(path, pieces).await;
        }
        let body = StreamBody::new(pieces.map(|piece| Ok(Frame::data(piece))));
        self.ask(addr, Method::POST, path, body.boxed_unsync()).await
    }

    /// By those of TCP.
    async fn ask(
        &mut self,
        addr: SocketAddr,
        method: Method,
        path: &str,
        body: Sent,
    ) -> Result<Answer, Ended> {
        let host = format!("localhost:{}", addr.port());
        let request = http::Request::builder().method(method).header("host", &host);
        let answer = match self {
            Self::H1(send) => {
                if send.ready().await.is_err() {
                    return Err(Ended::Idle);
                }
                match send.send_request(request.uri(path).body(body).unwrap()).await {
                    Ok(answer) => answer,
                    Err(error) if error.is_canceled() => return Err(Ended::Idle),
                    Err(error) => return Err(failed(&error)),
                }
            }
            Self::H2(http2) => {
                if http2.send.ready().await.is_err() {
                    return Err(http2.ended().await);
                }
                let uri = format!("https://{host}{path}");
                match http2.send.send_request(request.uri(uri).body(body).unwrap()).await {
                    Ok(answer) => answer,
                    Err(error) if error.is_canceled() => return Err(http2.ended().await),
                    Err(error) => return Err(failed(&error)),
                }
            }
            Self::H3(_) => return Err(Ended::Failed("it is not of TCP".to_owned())),
        };
        if !answer.status().is_success() {
            return Err(Ended::Failed(answer.status().to_string()));
        }
        let close = answer.headers().get("connection").is_some_and(|value| value == "close");
        let body = answer.into_body().collect().await;
        let body = body.map_err(|error| Ended::Failed(format!("{error:?}")))?.to_bytes();
        Ok(Answer { body, last: close })
    }
}

/// Sorts why a request that was sent brought no answer.
fn failed(error: &hyper::Error) -> Ended {
    let text = format!("{error:?}");
    // RFC 9113 §8.7: refused streams, and those above a GOAWAY's, were not processed.
    if text.contains("REFUSED_STREAM") || (text.contains("GoAway") && text.contains("NO_ERROR")) {
        return Ended::Told;
    }
    Ended::Failed(text)
}
