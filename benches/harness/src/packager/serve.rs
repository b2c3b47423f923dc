//! What is measured, as a process of its own: the packager over plain HTTP/1.1 with one worker, or
//! a bare loop of `pread` and `write` over the same ranges.

use std::collections::HashMap;
use std::convert::Infallible;
use std::fs::File;
use std::future::Future;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll};

use headwater_net::Body;
use headwater_net::server::Server;
use headwater_packager::{Assets, Options, Packager, SegmentKey};
use http::{Request, Response};
use serde::{Deserialize, Serialize};
use tower_service::Service;

use crate::load::Result;
use crate::peer::tell;

/// What to serve.
#[derive(clap::Args, Debug)]
pub struct ServeArgs {
    /// Where the address is written when requests can come
    #[arg(long, value_name = "FILE")]
    ready: PathBuf,
    /// The film
    #[arg(long, value_name = "FILE")]
    film: PathBuf,
    /// Encrypt its segments with a key of HLS's AES-128
    #[arg(long)]
    encrypt: bool,
    /// Answer these paths with these ranges of the film, by a bare loop
    #[arg(long, value_name = "FILE")]
    ranges: Option<PathBuf>,
}

/// Serves until it is ended from outside.
///
/// # Errors
/// When the film or the ranges cannot be read, or no port can be had.
pub fn serve(args: &ServeArgs) -> Result<()> {
    match &args.ranges {
        None => packager(args),
        Some(ranges) => {
            let text = std::fs::read(ranges)?;
            bare(args, &serde_json::from_slice(&text)?)
        }
    }
}

/// Where [`Counters`] are told.
pub const COUNTERS: &str = "/-/counters";

/// What the packager has counted.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Counters {
    /// Reads of the film for media.
    pub reads: u64,
    /// Bytes of them.
    pub bytes_read: u64,
    /// Bytes of bodies.
    pub bytes_sent: u64,
    /// Bytes of media copied in user space.
    pub bytes_copied: u64,
}

fn packager(args: &ServeArgs) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut options = Options::default();
    if args.encrypt {
        options.segment_key = Some(SegmentKey::from_bytes(b"a key of 16 byte")?);
    }
    let assets = Assets::from_files([args.film.clone()])?;
    let packager = Packager::builder(assets).options(options).build();
    let counted = Counted(packager);
    runtime.block_on(async {
        let server = Server::builder().http("127.0.0.1:0").workers(1);
        let running = server.serve(move |_| counted.clone())?;
        let addr = *running.http_addrs().first().ok_or("no address")?;
        tell(&args.ready, addr)?;
        std::future::pending::<()>().await;
        drop(running);
        Ok(())
    })
}

/// The packager, and what it has counted.
#[derive(Clone)]
struct Counted(Packager);

impl Service<Request<Body>> for Counted {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future =
        Pin<Box<dyn Future<Output = std::result::Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<std::result::Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if request.uri().path() != COUNTERS {
            return self.0.call(request);
        }
        let metrics = self.0.metrics();
        let counters = Counters {
            reads: metrics.source_reads.get(),
            bytes_read: metrics.source_read_bytes.get(),
            bytes_sent: metrics.sent_bytes.get(),
            bytes_copied: metrics.copied_bytes.get(),
        };
        let text = serde_json::to_string(&counters).unwrap_or_default();
        Box::pin(async move { Ok(Response::new(Body::from(text))) })
    }
}

/// What a bare loop sends for a path.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Bare {
    /// So many bytes of nothing, where the packager makes a header.
    pub header: usize,
    /// Then these ranges of the film: start and length.
    pub ranges: Vec<(u64, usize)>,
}

/// So many connections at a time, each with a thread to itself.
const BARE_THREADS: usize = 64;

/// Reads a request without looking further than at its path. Threads outlive their connections: the
/// CPU time of one that ended is in none of the figures that are read of a process's threads.
fn bare(args: &ServeArgs, ranges: &HashMap<String, Bare>) -> Result<()> {
    let film = File::open(&args.film)?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    tell(&args.ready, listener.local_addr()?)?;
    std::thread::scope(|threads| {
        for _ in 0..BARE_THREADS {
            threads.spawn(|| {
                while let Ok((stream, _)) = listener.accept() {
                    loops(stream, &film, ranges);
                }
            });
        }
    });
    Ok(())
}

/// How much the bare loop reads before it writes.
const WINDOW: usize = 256 << 10;

fn loops(mut stream: TcpStream, film: &File, all: &HashMap<String, Bare>) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let mut request = vec![0; 4 << 10];
    let mut window = vec![0; WINDOW];
    loop {
        let read = stream.read(&mut request).ok().filter(|read| *read > 0)?;
        let text = std::str::from_utf8(request.get(..read)?).ok()?;
        let Bare { header, ranges } = all.get(text.split(' ').nth(1)?)?;
        let total = header + ranges.iter().map(|(_, len)| len).sum::<usize>();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {total}\r\n\r\n");
        window.get_mut(..head.len())?.copy_from_slice(head.as_bytes());
        let mut filled = head.len() + header;
        for &(start, len) in ranges {
            let (mut start, mut len) = (start, len);
            while len > 0 {
                if filled == WINDOW {
                    stream.write_all(&window).ok()?;
                    filled = 0;
                }
                let part = len.min(WINDOW - filled);
                film.read_exact_at(window.get_mut(filled..filled + part)?, start).ok()?;
                filled += part;
                start += part as u64;
                len -= part;
            }
        }
        stream.write_all(window.get(..filled)?).ok()?;
    }
}
