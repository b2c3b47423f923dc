//! A server on loopback that holds one file and misbehaves as it is told: each request takes the
//! next act of the play, and when there are none left it does what RFC 9110 says.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What the server does with one request.
#[derive(Debug, Clone)]
pub enum Act {
    /// The right answer.
    Answer,
    /// This status and no more.
    Status(u16, &'static str),
    /// The connection ends before a byte of the answer.
    Hang,
    /// The right head, so many bytes of the body, and the connection ends.
    BreakAfter(usize),
    /// The right head, so many bytes of the body, and then nothing.
    StallAfter(usize),
    /// Nothing at all, with the connection open.
    Silence,
    /// 206 with a range that was not asked for.
    OtherRange,
    /// 200 with the whole file.
    Whole,
    /// Other content of another tag, from now on.
    Replace(&'static str),
    /// A weak tag.
    Weak,
    /// The right answer, said to be compressed.
    Compressed,
    /// A redirect.
    Redirect(String),
}

/// A request that came: its head in lower case.
#[derive(Debug, Clone)]
pub struct Seen(pub String);

impl Seen {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.0.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")))
    }
}

#[derive(Debug)]
struct Stage {
    file: Vec<u8>,
    etag: Mutex<String>,
    acts: Mutex<VecDeque<Act>>,
    seen: Mutex<Vec<Seen>>,
}

/// The server; it ends with the test's runtime.
#[derive(Debug, Clone)]
pub struct Play {
    pub addr: SocketAddr,
    stage: Arc<Stage>,
}

impl Play {
    pub async fn start(file: Vec<u8>) -> Self {
        Self::start_behind(file, |stream| std::future::ready(Some(stream))).await
    }

    /// Each connection goes through `gate` first, which may be TLS's.
    pub async fn start_behind<S, W>(
        file: Vec<u8>,
        gate: impl Fn(TcpStream) -> W + Send + 'static,
    ) -> Self
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        W: Future<Output = Option<S>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let stage = Arc::new(Stage {
            file,
            etag: Mutex::new("\"one\"".to_owned()),
            acts: Mutex::default(),
            seen: Mutex::default(),
        });
        let own = Arc::clone(&stage);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (passing, stage) = (gate(stream), Arc::clone(&own));
                tokio::spawn(async move {
                    if let Some(stream) = passing.await {
                        perform(stream, stage).await;
                    }
                });
            }
        });
        Self { addr, stage }
    }

    pub fn url(&self) -> String {
        format!("http://user:pass@{}/films/film.mp4?secret=token", self.addr)
    }

    /// What the next requests meet.
    pub fn then(&self, acts: impl IntoIterator<Item = Act>) -> &Self {
        self.stage.acts.lock().unwrap().extend(acts);
        self
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.stage.seen.lock().unwrap().clone()
    }

    /// Forgets what came and what was to come.
    pub fn clear(&self) {
        self.stage.seen.lock().unwrap().clear();
        self.stage.acts.lock().unwrap().clear();
    }
}

async fn perform(mut stream: impl AsyncRead + AsyncWrite + Unpin, stage: Arc<Stage>) {
    let mut head = Vec::new();
    loop {
        while !head.ends_with(b"\r\n\r\n") {
            match stream.read_u8().await {
                Ok(byte) => head.push(byte),
                Err(_) => return,
            }
        }
        let seen = Seen(String::from_utf8_lossy(&head).to_lowercase());
        head.clear();
        stage.seen.lock().unwrap().push(seen.clone());
        let act = stage.acts.lock().unwrap().pop_front().unwrap_or(Act::Answer);
        if !answer(&mut stream, &stage, &seen, act).await {
            return;
        }
    }
}

/// Whether the connection goes on.
async fn answer(
    stream: &mut (impl AsyncWrite + Unpin),
    stage: &Stage,
    seen: &Seen,
    act: Act,
) -> bool {
    if let Act::Replace(etag) = act {
        etag.clone_into(&mut stage.etag.lock().unwrap());
    }
    let etag = stage.etag.lock().unwrap().clone();
    let size = stage.file.len();
    let (from, to) = seen
        .header("range")
        .and_then(|range| range.strip_prefix("bytes=")?.split_once('-'))
        .map_or((0, size), |(from, to)| (from.parse().unwrap(), to.parse::<usize>().unwrap() + 1));
    let stale = seen.header("if-match").is_some_and(|tag| tag != etag);
    let (shift, tag, more) = match act {
        Act::OtherRange => (1, etag, ""),
        Act::Weak => (0, format!("W/{etag}"), ""),
        Act::Compressed => (0, etag, "content-encoding: gzip\r\n"),
        _ => (0, etag, ""),
    };
    let body = &stage.file[from.min(size)..to.min(size)];
    let head = match &act {
        Act::Hang => return false,
        Act::Silence => {
            tokio::time::sleep(Duration::from_secs(600)).await;
            return false;
        }
        Act::Status(status, headers) => {
            format!("HTTP/1.1 {status} x\r\ncontent-length: 0\r\n{headers}\r\n")
        }
        Act::Redirect(to) => {
            format!("HTTP/1.1 307 x\r\ncontent-length: 0\r\nlocation: {to}\r\n\r\n")
        }
        Act::Whole => {
            format!("HTTP/1.1 200 x\r\ncontent-length: {size}\r\netag: {tag}\r\n\r\n")
        }
        _ if stale => "HTTP/1.1 412 x\r\ncontent-length: 0\r\n\r\n".to_owned(),
        _ => format!(
            "HTTP/1.1 206 x\r\ncontent-length: {}\r\ncontent-range: bytes {}-{}/{size}\r\n\
             etag: {tag}\r\n{more}\r\n",
            body.len(),
            from + shift,
            to + shift - 1,
        ),
    };
    if stream.write_all(head.as_bytes()).await.is_err() {
        return false;
    }
    let bodiless = matches!(act, Act::Status(..) | Act::Redirect(_)) || head.contains(" 412 ");
    match act {
        _ if bodiless => true,
        Act::Whole => stream.write_all(&stage.file).await.is_ok(),
        Act::BreakAfter(len) => {
            let _ = stream.write_all(&body[..len]).await;
            let _ = stream.shutdown().await;
            false
        }
        Act::StallAfter(len) => {
            let _ = stream.write_all(&body[..len]).await;
            tokio::time::sleep(Duration::from_secs(600)).await;
            false
        }
        _ => stream.write_all(body).await.is_ok(),
    }
}
