//! Clients over loopback: a cache behind our listener, in a process of its own with one worker.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use headwater_cache::{Cache, CacheService};
use headwater_net::Body;
use headwater_net::server::Server;
use http::{Request, Response};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tower_layer::Layer;
use tower_service::Service;

use super::drip::Drip;
use super::{FirstByte, Loopback, OBJECT_BYTES, middle};
use crate::load::{Protocol, Result};
use crate::peer;

/// How long the body takes.
const OVER: Duration = Duration::from_secs(2);

/// The time over which the clients come.
const COMING: Duration = Duration::from_secs(1);

/// Where the server tells how often its origin was asked.
const ASKED: &str = "/-/asked";

/// What to serve.
#[derive(clap::Args, Debug)]
pub struct ServeArgs {
    /// Where the address is written when requests can come
    #[arg(long, value_name = "FILE")]
    ready: PathBuf,
}

/// Serves a cache before a dripping origin until it is ended from outside.
///
/// # Errors
/// When no port can be had.
pub fn serve(args: &ServeArgs) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let drip = Drip::over(OVER);
        let cache = Cache::builder().name("bench").ram(256 << 20).build();
        let cached = cache.layer().layer(drip.clone());
        let server = Server::builder().http("127.0.0.1:0").workers(1);
        let running = server.serve(move |_| Told { cached: cached.clone(), drip: drip.clone() })?;
        let addr = *running.http_addrs().first().ok_or("no address")?;
        peer::tell(&args.ready, addr)?;
        std::future::pending::<()>().await;
        drop(running);
        Ok(())
    })
}

/// The cache, and how often its origin was asked.
#[derive(Clone)]
struct Told {
    cached: CacheService<Drip>,
    drip: Drip,
}

impl Service<Request<Body>> for Told {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future =
        Pin<Box<dyn Future<Output = std::result::Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<std::result::Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if request.uri().path() == ASKED {
            let text = self.drip.asked().to_string();
            return Box::pin(async move { Ok(Response::new(Body::from(text))) });
        }
        Box::pin(self.cached.call(request))
    }
}

pub(super) async fn measure(clients: u32, rounds: u32) -> Result<Loopback> {
    let dir = tempfile::tempdir()?;
    let server = peer::own("serve-collapse", "headwater", dir.path(), &[])?;
    let addr = server.addr(Protocol::H1);
    let (mut dripping, mut finished) = (Vec::new(), Vec::new());
    let mut fetches = 0;
    for round in 0..rounds {
        let path = format!("/finished/{round}");
        client(addr, &path).await?;
        finished.push(FirstByte::of(&all(addr, &path, clients).await?));
        let path = format!("/drip/{round}");
        let before = asked(addr).await?;
        // The first of them begins the fetch.
        dripping.push(FirstByte::of(&all(addr, &path, clients).await?));
        fetches = fetches.max(asked(addr).await? - before);
    }
    Ok(Loopback {
        clients,
        fetches,
        dripping: middle(dripping)?,
        finished: middle(finished)?,
        server_memory_bytes: server.peak_memory()?,
    })
}

/// So many clients, one after the other over the time in which they come.
async fn all(addr: SocketAddr, path: &str, clients: u32) -> Result<Vec<Duration>> {
    let mut tasks = JoinSet::new();
    let begun = tokio::time::Instant::now();
    for nth in 0..clients {
        let path = path.to_owned();
        tasks.spawn_local(async move {
            tokio::time::sleep_until(begun + COMING * nth / clients).await;
            client(addr, &path).await
        });
    }
    let mut times = Vec::new();
    while let Some(time) = tasks.join_next().await {
        times.push(time??);
    }
    Ok(times)
}

/// From the connection to the first byte of the body; reads to the end.
async fn client(addr: SocketAddr, path: &str) -> Result<Duration> {
    let asked = Instant::now();
    let mut stream = ask(addr, path).await?;
    let mut window = vec![0; 64 << 10];
    let mut head = Vec::new();
    let body = loop {
        let read = stream.read(&mut window).await?;
        if read == 0 {
            return Err("a connection was closed before its answer".into());
        }
        head.extend_from_slice(&window[..read]);
        let end = head.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4);
        match end {
            Some(end) if head.len() > end => break head.len() - end,
            _ if head.len() > 16 << 10 => return Err("an endless head".into()),
            _ => {}
        }
    };
    let first = asked.elapsed();
    if !head.starts_with(b"HTTP/1.1 200") {
        return Err("an answer that is not 200".into());
    }
    let mut received = body as u64;
    loop {
        let read = stream.read(&mut window).await?;
        if read == 0 {
            break;
        }
        received += read as u64;
    }
    if received != OBJECT_BYTES {
        return Err(format!("{received} bytes came").into());
    }
    Ok(first)
}

/// How often the server's origin was asked.
async fn asked(addr: SocketAddr) -> Result<u64> {
    let mut text = String::new();
    ask(addr, ASKED).await?.read_to_string(&mut text).await?;
    let count = text.rsplit("\r\n\r\n").next().and_then(|count| count.trim().parse().ok());
    count.ok_or_else(|| "no count".into())
}

async fn ask(addr: SocketAddr, path: &str) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(addr).await?;
    stream.set_nodelay(true)?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    Ok(stream)
}
