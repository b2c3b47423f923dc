//! Handing a running server over to another process without losing a request, on Linux.
//!
//! Listening sockets are never bound again: the old process gives copies of its descriptors to the
//! new one (SCM_RIGHTS, unix(7)), so that whoever connects meanwhile waits in a queue that both
//! have. The two talk over a Unix socket whose file only its owner may use, and each makes sure that
//! the other is of the same user (SO_PEERCRED).
//!
//! ```text
//!  old                                             new
//!   │ ◀──────────────── hello, version ────────────▶ │   another version: the old serves on
//!   │ servers (generation, keys), sockets, ways ────▶ │
//!   │ everything ───────────────────────────────────▶ │   it starts its services, reads nothing
//!   │ ◀──────────────────────────────────────── ready │
//!   │ stops to accept and to read                     │
//!   │ handshakes under way, sessions, go ───────────▶ │   it accepts and reads
//!   │ ◀────────────────────────────────────── serving │
//!   │ hangs up ─────────────────────────────────────▶ │
//!   │ drains: its connections come to their end       │
//! ```
//!
//! At any moment one of the two accepts, and reads UDP. Until the old one has heard `serving`, it
//! goes on as before should the new one end, be silent for too long, or say anything else; it says
//! so, and the new one ends.
//!
//! QUIC needs more, since all connections of an address share a socket. Connection IDs hold a
//! generation: the new process has the next one, and passes datagrams that name an older one on to
//! that process, by a *way*: a Unix socket that keeps messages apart, one for each worker there. A
//! handshake whose client has not yet seen an ID of ours is told of by the client's address and the
//! ID that it made up. The old process answers by the UDP socket itself. Ways are handed on, so that
//! several hand-overs may follow each other while the first process still has connections. Keys of
//! stateless resets, of address validation tokens and of session tickets are handed on, too.
//!
//! QUIC sessions, which are good once (0-RTT), move: the old process has none left when the new one
//! begins, so that no early data is taken by both. What the old one gives out later is good for
//! nothing, and so are sessions that do not fit the new one, which asks clients for other certificates
//! or has other limits on what they may send early: such clients shake hands in full. So do they
//! should a hand-over fail after that.
//!
//! The old process drains as at [`ServerHandle::drain`], but gently: handshakes that were begun
//! come to their end, and a connection of HTTP/1.1 that is idle gets two seconds for one more
//! request, which is answered with `Connection: close`, before it is closed.
//!
//! ```no_run
//! use std::time::Duration;
//! use headwater_net::server::{Door, HandOverError, Inherited, Server, ServerHandle};
//! # fn serve(builder: headwater_net::server::ServerBuilder) -> ServerHandle { unimplemented!() }
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let path = "/run/edge/hand-over.sock";
//! let within = Duration::from_secs(30);
//! let server = match Inherited::take_over(path, within).await {
//!     Ok(inherited) => {
//!         let server = serve(Server::builder().https("[::]:443").inherit(&inherited));
//!         inherited.begin(within).await?;
//!         server
//!     }
//!     Err(HandOverError::Nobody { .. }) => serve(Server::builder().https("[::]:443")),
//!     Err(error) => return Err(error.into()),
//! };
//! // From now on, the next process may come.
//! let door = Door::open(path)?;
//! loop {
//!     let successor = door.successor().await?;
//!     match successor.hand_over(&[&server], within).await {
//!         Ok(()) => break,
//!         Err(error) => eprintln!("this process serves on: {error}"),
//!     }
//! }
//! server.drain(within).await;
//! # Ok(()) }
//! ```

mod door;
mod inherited;
mod line;
mod message;
mod successor;

use std::io;
use std::path::PathBuf;

pub use door::Door;
pub use inherited::Inherited;
pub use successor::Successor;

pub(super) use inherited::Given;
pub(super) use message::Place;
pub(super) use successor::{Held, HeldPlace};

/// Why a server was not handed over. The process that served before serves on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HandOverError {
    /// No process waits there to be succeeded: start as the first.
    #[error("no process hands over at {}", path.display())]
    Nobody {
        /// The socket that was tried.
        path: PathBuf,
    },
    /// The socket's file cannot be used.
    #[error("cannot use the socket {}: {source}", path.display())]
    Socket {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The other process is of another user.
    #[error("the other process belongs to user {uid}, and not to this one's")]
    Stranger {
        /// That user.
        uid: u32,
    },
    /// The other process hands over in another way.
    #[error("the other process speaks version {theirs} of the hand-over, which this one does not")]
    Version {
        /// Its version.
        theirs: u32,
    },
    /// The other process does not want to.
    #[error("the other process refused: {0}")]
    Refused(String),
    /// The other process ended, or hung up.
    #[error("the other process ended before it was done")]
    Lost,
    /// The other process said what has no place there.
    #[error("the other process said what this one does not understand")]
    Nonsense,
    /// The other process took too long.
    #[error("the other process was not done in time")]
    TooLate,
    /// This server is draining, or has been handed over already.
    #[error("this server is ending already")]
    Ending,
    /// The next process could not be started.
    #[error("cannot start {}: {source}", path.display())]
    Program {
        /// The program's file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The system failed.
    #[error("the hand-over failed: {0}")]
    Io(#[from] io::Error),
}
