//! Where mezzanine bytes come from.
//!
//! A [`Source`] is one state of one file: it has an identity, and reads byte ranges. What it
//! promises is that bytes read under one identity belong together: where the file is replaced or
//! cut short, reading fails rather than mixing old bytes with new.

mod any;
mod blocks;
mod coalesce;
pub(crate) mod file;
mod gather;
#[cfg(feature = "http-source")]
mod http;
mod memory;
#[cfg(feature = "object-store")]
mod object;
mod page_cache;
mod pool;
mod read_index;
#[cfg(any(feature = "http-source", feature = "object-store"))]
mod remote;
#[cfg(feature = "http-source")]
mod retry;
mod scans;

use std::future::Future;
use std::io;

use bytes::Bytes;
use headwater_net::Timestamp;

use crate::identity::SourceId;
use crate::units::ByteRange;

pub use any::AnySource;
pub use blocks::{BlockCache, BlockMetrics, BlockSource};
pub use coalesce::{Coalesced, Coalescing, HELD_BYTES, read_coalesced};
pub use file::FileSource;
#[cfg(feature = "http-source")]
pub use http::{
    HttpFile, HttpLocation, HttpMetrics, HttpOptions, HttpSettingError, HttpSource, HttpStore,
};
pub use memory::MemorySource;
#[cfg(feature = "object-store")]
pub use object::{Object, ObjectSource};
pub use read_index::{IndexError, read_index};
#[cfg(any(feature = "http-source", feature = "object-store"))]
pub use remote::{Fetch, Remote};

pub(crate) use pool::{Buffer, BufferPool};
pub(crate) use read_index::{Patience, read_index_of};
pub(crate) use scans::Scans;

/// One state of one mezzanine file, read by byte ranges.
///
/// Implementers guarantee: `read` gives exactly one `Bytes` for each range, in order, each of
/// exactly the asked length, all of them bytes of the state that [`id`](Self::id) names; anything
/// else is an error. Reads may run at the same time. Dropping the future abandons the read; it
/// changes nothing. `read` joins no ranges: callers do so with [`read_coalesced`].
pub trait Source: Send + Sync + 'static {
    /// Which bytes these are.
    fn id(&self) -> &SourceId;

    /// Reads ranges; they should lie within the size that the identity states.
    fn read(
        &self,
        ranges: &[ByteRange],
    ) -> impl Future<Output = Result<Vec<Bytes>, SourceError>> + Send;

    /// When it was written, where its store tells: what decides whether a recording still grows.
    fn written(&self) -> Option<Written> {
        None
    }

    /// Allows that bytes are added to it from now on: those up to the size that [`id`](Self::id)
    /// states are then taken for unchanged while the source is no shorter. Without effect where
    /// states of a source do not change, as in object stores.
    fn allow_growth(&self) {}

    /// The same file in the state that it has now, under the same name; `None` where that is this
    /// state, or where it cannot be told, as by default.
    ///
    /// # Errors
    /// Those of opening it; [`SourceError::NotFound`] where it is not there any more.
    fn renewed(&self) -> impl Future<Output = Result<Option<AnySource>, SourceError>> + Send {
        std::future::ready(Ok(None))
    }

    /// How its ranges are best read; by default as those of files on this machine.
    fn coalescing(&self) -> Coalescing {
        Coalescing::LOCAL
    }

    /// Reads ranges to be sent one after the other: their bytes in order, cut anywhere. The same
    /// promises as of [`read`](Self::read); all ranges together should be no more than a few
    /// megabytes, since they are in memory at the same time.
    fn gather(
        &self,
        ranges: &[ByteRange],
    ) -> impl Future<Output = Result<Gathered, SourceError>> + Send
    where
        Self: Sized,
    {
        coalesce::gather(self, ranges)
    }
}

/// When a source was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// When it was begun, where that is known.
    pub started: Option<Timestamp>,
    /// When it was last written to.
    pub changed: Timestamp,
}

/// What [`Source::gather`] read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gathered {
    /// The bytes of all ranges, one after the other, in as many pieces as they came in.
    pub pieces: Vec<Bytes>,
    /// How many bytes were read for that, with those between joined ranges.
    pub read_bytes: u64,
    /// How many reads it took: system calls, or requests to a store.
    pub reads: u64,
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
    /// The store does not do what reading by byte ranges needs.
    #[error("the source cannot be read by byte ranges: {0}")]
    Unfit(&'static str),
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
