//! Connections as such: how many can be begun in a second, and what it costs to have them.

use std::rc::Rc;
use std::time::{Duration, Instant};

use super::{Load, Protocol, Result, h1, h2, h3};

/// A connection of any protocol.
enum Connection {
    H1(h1::Connection),
    H2(h2::Connection),
    H3(h3::Connection),
}

impl Connection {
    /// Opens one, and asks once over it.
    async fn open(load: &Load) -> Result<Self> {
        let (connection, status, length) = Self::asked(load).await?;
        if status != 200 || length != load.objects.size {
            return Err(format!("an answer was {status} with {length} bytes").into());
        }
        Ok(connection)
    }

    /// Opens one, and gives status and length of its first answer.
    async fn asked(load: &Load) -> Result<(Self, u16, u64)> {
        let mut connection = match load.protocol {
            Protocol::H1 | Protocol::H1Tls => Self::H1(h1::Connection::open(load).await?),
            Protocol::H2 => Self::H2(h2::Connection::open(load).await?),
            Protocol::H3 => Self::H3(h3::Connection::open(load).await?),
        };
        let (status, length) = match &mut connection {
            Self::H1(connection) => connection.ask().await?,
            Self::H2(connection) => connection.ask().await?,
            Self::H3(connection) => connection.ask().await?,
        };
        Ok((connection, status, length))
    }

    /// Ends it; one over TCP ends when it is dropped.
    fn close(&self) {
        if let Self::H3(connection) = self {
            connection.close();
        }
    }
}

/// What a round of connections came to.
#[derive(Debug, Clone, Copy)]
pub struct Connects {
    /// Connections that were opened, asked once over, and closed.
    pub connections: u64,
    /// From the first to the last.
    pub elapsed: Duration,
}

impl Load {
    /// The status of one answer, over a connection of its own.
    ///
    /// # Errors
    /// When the connection fails.
    pub async fn status(&self) -> Result<u16> {
        let (connection, status, _) = Connection::asked(self).await?;
        connection.close();
        Ok(status)
    }

    /// Opens connections, [`connections`](Self::connections) at a time, asks once over each and
    /// closes it, until `time` has passed.
    ///
    /// # Errors
    /// At the first connection that fails, or answer that is wrong.
    pub async fn connect(self, time: Duration) -> Result<Connects> {
        let begun = Instant::now();
        let load = Rc::new(self);
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..load.connections {
            let load = Rc::clone(&load);
            tasks.spawn_local(async move {
                let mut done = 0u64;
                while begun.elapsed() < time {
                    let opened = Connection::open(&load).await.map_err(|error| error.to_string());
                    opened?.close();
                    done += 1;
                }
                Ok::<_, String>(done)
            });
        }
        let mut connections = 0;
        while let Some(task) = tasks.join_next().await {
            connections += task??;
        }
        Ok(Connects { connections, elapsed: begun.elapsed() })
    }

    /// Opens [`connections`](Self::connections), one after the other, asks once over each, and keeps
    /// them.
    ///
    /// # Errors
    /// At the first connection that fails, or answer that is wrong.
    pub async fn keep(&self) -> Result<Idle> {
        let mut kept = Vec::with_capacity(self.connections);
        for _ in 0..self.connections {
            kept.push(Connection::open(self).await?);
        }
        Ok(Idle { kept })
    }
}

/// Connections on which nothing happens; dropped, they close.
pub struct Idle {
    kept: Vec<Connection>,
}

impl Drop for Idle {
    fn drop(&mut self) {
        self.kept.iter().for_each(Connection::close);
    }
}
