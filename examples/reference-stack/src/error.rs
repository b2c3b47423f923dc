//! Why the stack does not start: one sentence each, for the person at the terminal.

use std::io;
use std::path::PathBuf;

/// Everything that keeps the stack from starting.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// SIGINT or SIGTERM came before the stack was up. Not a failure.
    #[error("stopped")]
    Stopped,
    /// The demo video could not be made.
    #[error("the demo video could not be made: {0}")]
    DemoVideo(#[source] headwater_transcode::Error),
    /// A folder could not be made or read.
    #[error("the folder {} cannot be used: {source}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// A file could not be written or read.
    #[error("the file {} cannot be used: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// An input that cannot be played.
    #[error("{}: {why}", path.display())]
    Input {
        /// As it was given on the command line.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The command line contradicts itself.
    #[error("{0}")]
    Usage(String),
    /// A cache's folder cannot be used.
    #[error(transparent)]
    Cache(#[from] headwater_cache::Error),
    /// A listener could not be opened, or its certificate not be used.
    #[error(transparent)]
    Server(#[from] headwater_net::server::ServerError),
    /// What a supervisor gave cannot be used, or another process not be taken over from.
    #[error(transparent)]
    Process(#[from] headwater_net::server::ProcessError),
    /// The upstream client could not be made.
    #[error("the upstream {url} cannot be used: {why}")]
    Upstream {
        /// As it was given on the command line.
        url: String,
        /// What is wrong with it.
        why: String,
    },
    /// A thread or the runtime could not be started.
    #[error("the system gives no more threads: {0}")]
    Threads(#[source] io::Error),
}
