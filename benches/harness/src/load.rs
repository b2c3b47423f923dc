//! The load client: a fixed number of connections, each with a fixed number of requests under
//! way, for a fixed time.
//!
//! It spends as little as it can per request, since it shares the machine with the server: bodies
//! are counted, not kept, and HTTP/3 requests are encoded once.

mod connect;
mod h1;
mod h2;
mod h3;
mod tls;

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::stats::percentile;

pub use tls::{Tickets, trust_only};

/// How a server is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
pub enum Protocol {
    /// HTTP/1.1 without TLS.
    #[serde(rename = "h1")]
    H1,
    /// HTTP/1.1 over TLS 1.3.
    #[serde(rename = "h1-tls")]
    H1Tls,
    /// HTTP/2 over TLS 1.3.
    #[serde(rename = "h2")]
    H2,
    /// HTTP/3.
    #[serde(rename = "h3")]
    H3,
}

impl Protocol {
    /// All four, in the order of the table.
    pub const ALL: [Self; 4] = [Self::H1, Self::H1Tls, Self::H2, Self::H3];

    /// The name in tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::H1 => "H1",
            Self::H1Tls => "H1+TLS",
            Self::H2 => "H2",
            Self::H3 => "H3",
        }
    }
}

/// One round of load.
#[derive(Clone)]
pub struct Load {
    /// How to ask.
    pub protocol: Protocol,
    /// Whom to ask.
    pub addr: SocketAddr,
    /// What to ask for.
    pub objects: Objects,
    /// Connections kept open.
    pub connections: usize,
    /// Requests under way on each connection (HTTP/1.1 has one at a time: there it multiplies the
    /// connections).
    pub streams: usize,
    /// Trust for TLS; only looked at where there is TLS.
    pub tls: rustls::ClientConfig,
}

/// What a client says beside the names of objects; by default nothing.
#[derive(Debug, Clone, Default)]
pub struct Player {
    /// What stands before each path: a token.
    pub before: String,
    /// What stands behind it: a query.
    pub after: String,
    /// The origin of its page, in `Origin`.
    pub page: Option<&'static str>,
    /// The token, wherever it stands.
    pub token: String,
}

impl Player {
    /// One with a token that differs in a letter: nobody signed it.
    pub fn forger(&self) -> Self {
        let mut forged = self.token.clone();
        let middle = forged.len() / 2;
        let other = if forged.get(middle..=middle) == Some("A") { "B" } else { "A" };
        forged.replace_range(middle..=middle, other);
        let swap = |text: &str| text.replace(&self.token, &forged);
        let (before, after) = (swap(&self.before), swap(&self.after));
        Self { before, after, page: self.page, token: forged }
    }
}

/// Equal objects at an origin, which are asked for one after the other.
#[derive(Debug, Clone)]
pub struct Objects {
    /// The body length that every answer must have.
    pub size: u64,
    /// How many there are.
    pub count: u32,
    player: Player,
    next: Rc<std::cell::Cell<u32>>,
}

impl Objects {
    /// So many objects of one size.
    pub fn new(size: u64, count: u32) -> Self {
        Self { size, count: count.max(1), player: Player::default(), next: Rc::default() }
    }

    /// The same, asked for by a player.
    pub fn by(mut self, player: &Player) -> Self {
        self.player = player.clone();
        self
    }

    /// The path of the one whose turn it is.
    fn path(&self) -> String {
        let turn = self.next.get();
        self.next.set((turn + 1) % self.count);
        let Player { before, after, .. } = &self.player;
        format!("{before}/media/{turn}/object-{}{after}", self.size)
    }

    /// The path of the only one, which is not to be made anew for each request.
    fn only(&self) -> Option<String> {
        (self.count == 1).then(|| self.path())
    }
}

/// What a round came to.
#[derive(Debug, Clone, Copy)]
pub struct Outcome {
    /// Answers that were 200 and of the right length.
    pub requests: u64,
    /// From the first request to the last answer.
    pub elapsed: Duration,
    /// The 99th percentile of the time from request to last byte, in microseconds.
    pub p99_us: u32,
}

/// Why a round failed: any wrong answer ends it, since a server that fails fast would look fast.
pub type Error = Box<dyn std::error::Error>;

/// The result of one step of the load client.
pub type Result<T> = std::result::Result<T, Error>;

impl Load {
    /// Opens the connections, asks until `time` has passed, and waits for what is under way.
    ///
    /// Runs on a `LocalSet`: the client uses one core.
    ///
    /// # Errors
    /// At the first answer that is not 200 with the right length, or connection that breaks.
    pub async fn run(self, time: Duration) -> Result<Outcome> {
        let tally = Rc::new(Tally::new(self.objects.size, time));
        let mut tasks = tokio::task::JoinSet::new();
        let mut by_quic = Vec::new();
        match self.protocol {
            Protocol::H1 | Protocol::H1Tls => {
                for _ in 0..self.connections * self.streams {
                    let connection = h1::Connection::open(&self).await?;
                    tasks.spawn_local(connection.drive(Rc::clone(&tally)));
                }
            }
            Protocol::H2 => {
                for _ in 0..self.connections {
                    let connection = h2::Connection::open(&self).await?;
                    for _ in 0..self.streams {
                        tasks.spawn_local(connection.clone().drive(Rc::clone(&tally)));
                    }
                }
            }
            Protocol::H3 => {
                for _ in 0..self.connections {
                    let connection = h3::Connection::open(&self).await?;
                    for _ in 0..self.streams {
                        tasks.spawn_local(connection.clone().drive(Rc::clone(&tally)));
                    }
                    by_quic.push(connection);
                }
            }
        }
        tally.start();
        while let Some(task) = tasks.join_next().await {
            task??;
        }
        by_quic.iter().for_each(h3::Connection::close);
        tally.outcome()
    }
}

/// What all requests of a round write into.
struct Tally {
    size: u64,
    time: Duration,
    started: std::cell::Cell<Option<Instant>>,
    begin: tokio::sync::Notify,
    micros: std::cell::RefCell<Vec<u32>>,
}

impl Tally {
    fn new(size: u64, time: Duration) -> Self {
        Self {
            size,
            time,
            started: std::cell::Cell::new(None),
            begin: tokio::sync::Notify::new(),
            micros: std::cell::RefCell::new(Vec::with_capacity(1 << 16)),
        }
    }

    fn start(&self) {
        self.started.set(Some(Instant::now()));
        self.begin.notify_waiters();
    }

    /// Waits until all connections are open.
    async fn started(&self) {
        if self.started.get().is_none() {
            self.begin.notified().await;
        }
    }

    /// The start of one more request, or `None` when time is up.
    fn next(&self) -> Option<Instant> {
        let now = Instant::now();
        let started = self.started.get()?;
        (now.duration_since(started) < self.time).then_some(now)
    }

    /// Books one answer.
    fn done(&self, asked: Instant, status: u16, length: u64) -> Result<()> {
        if status != 200 || length != self.size {
            return Err(format!(
                "an answer was {status} with {length} bytes, not 200 with {}",
                self.size
            )
            .into());
        }
        let micros = u32::try_from(asked.elapsed().as_micros()).unwrap_or(u32::MAX);
        self.micros.borrow_mut().push(micros);
        Ok(())
    }

    fn outcome(&self) -> Result<Outcome> {
        let started = self.started.get().ok_or("the round never started")?;
        let mut micros = self.micros.borrow_mut();
        Ok(Outcome {
            requests: micros.len() as u64,
            elapsed: started.elapsed(),
            p99_us: percentile(&mut micros, 0.99),
        })
    }
}
