//! Where mezzanine bytes come from.
//!
//! A [`Source`] is one state of one file: it has an identity, and reads byte ranges. What it
//! promises is that bytes read under one identity belong together: where the file is replaced or
//! cut short, reading fails rather than mixing old bytes with new.

mod any;
mod coalesce;
pub(crate) mod file;
mod memory;
mod pool;
mod read_index;

use std::future::Future;
use std::io;

use bytes::Bytes;

use crate::identity::SourceId;
use crate::units::ByteRange;

pub use any::AnySource;
pub use coalesce::{MAX_GAP_BYTES, MAX_RUN_BYTES, read_coalesced};
pub use file::FileSource;
pub use memory::MemorySource;
pub use read_index::{IndexError, read_index};

pub(crate) use pool::BufferPool;

/// One state of one mezzanine file, read by byte ranges.
///
/// Implementers guarantee: `read` gives exactly one `Bytes` for each range, in order, each of
/// exactly the asked length, all of them bytes of the state that [`id`](Self::id) names; anything
/// else is an error. Reads may run at the same time. Dropping the future abandons the read; it
/// changes nothing. Implementations may read big pieces at once but join no ranges: callers do so
/// with [`read_coalesced`].
pub trait Source: Send + Sync + 'static {
    /// Which bytes these are.
    fn id(&self) -> &SourceId;

    /// Reads ranges; they should lie within the size that the identity states.
    fn read(
        &self,
        ranges: &[ByteRange],
    ) -> impl Future<Output = Result<Vec<Bytes>, SourceError>> + Send;
}

/// Why a source was not read. The messages hold no paths: strangers may see them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// There is no such file any more.
    #[error("the source is not there")]
    NotFound,
    /// The file holds other bytes than when it was opened.
    #[error("the source was changed while it was in use")]
    Changed,
    /// The file ends before a range that was asked for.
    #[error("the source ended early")]
    Truncated,
    /// The operating system or the store said no.
    #[error("the source could not be read: {0}")]
    Io(io::ErrorKind),
}

impl From<io::Error> for SourceError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::NotFound,
            io::ErrorKind::UnexpectedEof => Self::Truncated,
            kind => Self::Io(kind),
        }
    }
}
