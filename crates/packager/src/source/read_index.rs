//! Drives the index builder over a source: the loop of reading what it asks for.

use bytes::Bytes;

use super::{Source, SourceError};
use crate::error::Error;
use crate::index::{IndexBuilder, MediaIndex, Step};
use crate::limits::Limits;
use crate::units::ByteRange;

/// Why there is no index of a source.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IndexError {
    /// Its bytes cannot be packaged.
    #[error(transparent)]
    Unusable(#[from] Error),
    /// Its bytes could not be read.
    #[error(transparent)]
    Source(#[from] SourceError),
}

/// Reads the index of a source. Parsing runs on tokio's blocking threads; how much is read is
/// bounded by `limits`.
///
/// # Errors
/// [`IndexError::Unusable`] where the source is not what can be packaged, and
/// [`IndexError::Source`] where it cannot be read.
pub async fn read_index(source: &impl Source, limits: Limits) -> Result<MediaIndex, IndexError> {
    let mut builder = IndexBuilder::new(source.id().clone(), limits);
    loop {
        let (stepped, back) = blocking(move || (builder.step(), builder)).await?;
        builder = back;
        let wanted = match stepped? {
            Step::Done(index) => return Ok(index),
            Step::Need(wanted) => wanted,
        };
        let size = source.id().size;
        let present: Vec<ByteRange> = wanted.iter().map(|range| clamp(*range, size)).collect();
        let read = source.read(&present).await?;
        if read.len() != wanted.len() {
            return Err(SourceError::Truncated.into());
        }
        for (range, bytes) in wanted.into_iter().zip(read) {
            builder.feed(range, unpinned(bytes))?;
        }
    }
}

/// A range cut to what the source has: the builder learns of the source's end by fewer bytes.
fn clamp(range: ByteRange, size: u64) -> ByteRange {
    let start = range.start.min(size);
    ByteRange { start, len: range.end().min(size) - start }
}

/// A copy, unless it is large: what an index keeps of its source must not hold a pooled read
/// buffer for as long as the index lives.
fn unpinned(bytes: Bytes) -> Bytes {
    const POOLED: usize = 1 << 20;
    if bytes.len() <= POOLED { Bytes::copy_from_slice(&bytes) } else { bytes }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, SourceError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| SourceError::Io(std::io::ErrorKind::Interrupted))
}
