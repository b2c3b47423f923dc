//! What strangers can make a server hold: the most memory that was resident in a process of its own, as the
//! system tells it, against a bound that follows from its limits.
//!
//! The system has to be Linux; elsewhere these tests are skipped, and say so.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

use std::convert::Infallible;
use std::pin::Pin;
use std::process::{Command, Stdio};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use headwater_net::server::{ConnLimits, Server};
use headwater_net::{Body, BodyError};
use http::{Request, Response};
use http_body::Frame;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
/// What an open connection needs besides what its client fills: hyper's state and buffers, its tasks.
const CONNECTION: u64 = 64 * KIB;
/// What comes with any load: stacks, the allocator's arenas, code that was not yet read in.
const BASE: u64 = 8 * MIB;
/// A piece of an answer.
const PIECE: u64 = 16 * KIB;

/// Which limits the server has.
#[derive(Clone, Copy)]
enum Case {
    Connections,
    Heads,
    Readers,
}

impl Case {
    const ALL: [(&str, Self); 3] =
        [("connections", Self::Connections), ("heads", Self::Heads), ("readers", Self::Readers)];

    fn limits(self) -> ConnLimits {
        let mut limits = ConnLimits::default();
        // Nothing goes away by itself.
        limits.handshake_timeout = Duration::from_secs(3600);
        limits.header_timeout = Duration::from_secs(3600);
        limits.write_timeout = Duration::from_secs(3600);
        match self {
            Self::Connections => {
                limits.max_connections = 40;
                limits.max_header_bytes = 64 << 10;
            }
            Self::Heads => limits.max_header_bytes = 16 << 10,
            Self::Readers => {
                limits.h2_send_buffer = 1 << 20;
                limits.send_budget = 1 << 20;
            }
        }
        limits
    }
}

/// A body without end, each piece of which is memory of its own.
struct Endless;

impl http_body::Body for Endless {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Poll::Ready(Some(Ok(Frame::data(Bytes::from(vec![1; PIECE as usize])))))
    }
}

async fn answer(request: Request<Body>) -> Result<Response<Body>, Infallible> {
    let is_endless = request.uri().path() == "/endless";
    Ok(Response::new(if is_endless { Body::stream(Endless) } else { Body::from("here") }))
}

const CASE: &str = "HEADWATER_MEMORY_CASE";
const PORT: &str = "HEADWATER_MEMORY_PORT";

/// The server, in the process that another test started for it.
#[test]
#[ignore = "the others start it"]
fn serves() {
    let (Ok(name), Ok(file)) = (std::env::var(CASE), std::env::var(PORT)) else { return };
    let case = Case::ALL.iter().find(|(known, _)| *known == name).unwrap().1;
    let server = Server::builder().http("127.0.0.1:0").workers(2).limits(case.limits());
    let server = server.serve(|_| tower::service_fn(answer)).unwrap();
    let port = server.http_addrs()[0].port().to_string();
    std::fs::write(format!("{file}.new"), port).unwrap();
    std::fs::rename(format!("{file}.new"), file).unwrap();
    // Until the one that started it is done with it, however that ends.
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink()).unwrap();
    drop(server);
}

/// A server in a process of its own.
struct Serving {
    process: std::process::Child,
    port: u16,
    before: u64,
    _dir: TempDir,
}

impl Serving {
    /// `None` where the system does not tell what a process holds.
    #[expect(clippy::print_stdout, reason = "says that it was skipped")]
    async fn start(case: Case) -> Option<Self> {
        if highest(std::process::id()).is_none() {
            println!("skipped: /proc tells nothing of a process's memory");
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("port");
        let name = Case::ALL.iter().find(|(_, of)| *of as u8 == case as u8).unwrap().0;
        let process = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "serves"])
            .env(CASE, name)
            .env(PORT, &file)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut serving = Self { process, port: 0, before: 0, _dir: dir };
        let since = Instant::now();
        serving.port = loop {
            if let Ok(port) = std::fs::read_to_string(&file) {
                break port.parse().unwrap();
            }
            assert!(since.elapsed() < Duration::from_secs(60), "no port");
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        // What is made once is no client's.
        for _ in 0..20 {
            let mut stream = serving.connect().await.unwrap();
            stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await.unwrap();
            let mut said = String::new();
            stream.read_to_string(&mut said).await.unwrap();
            assert!(said.ends_with("here"), "{said}");
        }
        serving.before = serving.highest();
        Some(serving)
    }

    async fn connect(&self) -> std::io::Result<TcpStream> {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(64 << 10).unwrap();
        socket.connect(([127, 0, 0, 1], self.port).into()).await
    }

    fn highest(&self) -> u64 {
        highest(self.process.id()).expect("it lives")
    }

    /// By how much its memory has grown, once it does not for two seconds.
    async fn growth(&self) -> u64 {
        let mut last = self.highest();
        for _ in 0..60 {
            tokio::time::sleep(Duration::from_secs(2)).await;
            let now = self.highest();
            if now == last {
                return now - self.before;
            }
            last = now;
        }
        panic!("{} bytes by now, and there is no end of it", last - self.before);
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The most that was resident in a process. Unit: bytes.
fn highest(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * KIB)
}

/// Opens so many connections, says this on each, and keeps them.
async fn hold(serving: &Serving, count: usize, said: &[u8]) -> Vec<TcpStream> {
    let mut all = Vec::new();
    for _ in 0..count {
        let Ok(mut stream) = serving.connect().await else { continue };
        // Those that are turned away are closed in the middle of it; and who has heard enough reads no more.
        let saying = stream.write_all(said);
        let _ = tokio::time::timeout(Duration::from_secs(1), saying).await;
        all.push(stream);
    }
    all
}

/// The beginning of a request, of about so many bytes.
fn head(bytes: usize) -> Vec<u8> {
    let mut head = b"GET / HTTP/1.1\r\nHost: a\r\nx: ".to_vec();
    head.resize(bytes, b'y');
    head
}

/// Limit: `ConnLimits::max_connections`.
#[tokio::test]
async fn connections_hold_no_more_than_the_limits_let_them() {
    let Some(serving) = Serving::start(Case::Connections).await else { return };
    let limits = Case::Connections.limits();
    let held = hold(&serving, 400, &head(60 << 10)).await;
    let growth = serving.growth().await;
    // A buffer that grows is there twice for a moment.
    let each = 2 * u64::from(limits.max_header_bytes) + CONNECTION;
    let bound = limits.max_connections as u64 * each + BASE;
    assert!(growth <= bound, "{growth} bytes, and {bound} are the bound");
    drop(held);
}

/// Limit: `ConnLimits::max_header_bytes`.
#[tokio::test]
async fn heads_of_requests_hold_no_more_than_the_limits_let_them() {
    const COUNT: u64 = 100;
    let Some(serving) = Serving::start(Case::Heads).await else { return };
    let limits = Case::Heads.limits();
    let held = hold(&serving, COUNT as usize, &head(400 << 10)).await;
    let growth = serving.growth().await;
    let bound = COUNT * (2 * u64::from(limits.max_header_bytes) + CONNECTION) + BASE;
    assert!(growth <= bound, "{growth} bytes, and {bound} are the bound");
    drop(held);
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// Limit: `ConnLimits::send_budget`.
#[tokio::test]
async fn clients_that_do_not_read_hold_no_more_than_the_limits_let_them() {
    const COUNT: u64 = 8;
    const STREAMS: u32 = 20;
    let Some(serving) = Serving::start(Case::Readers).await else { return };
    let limits = Case::Readers.limits();
    let mut said = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    // SETTINGS_INITIAL_WINDOW_SIZE, and the window of the connection: room for all there is.
    said.extend(frame(0x4, 0, 0, &[0, 4, 0x7f, 0xff, 0xff, 0xff]));
    said.extend(frame(0x8, 0, 0, &0x7fff_0000u32.to_be_bytes()));
    // GET, http, `/endless` and `x`, as literals with static names (RFC 7541 §6.2.2).
    let request = b"\x82\x86\x04\x08/endless\x01\x01x";
    for nth in 0..STREAMS {
        said.extend(frame(0x1, 0x5, 2 * nth + 1, request));
    }
    let held = hold(&serving, COUNT as usize, &said).await;
    let growth = serving.growth().await;
    // Each stream gives one piece more than the budget has room for, and has one in hand.
    let each = limits.send_budget as u64 + u64::from(STREAMS) * 2 * PIECE + CONNECTION;
    let bound = COUNT * each + BASE;
    assert!(growth <= bound, "{growth} bytes, and {bound} are the bound");
    drop(held);
}
