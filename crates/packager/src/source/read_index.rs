//! Drives the index builder over a source: the loop of reading what it asks for.

use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;

use super::{Coalescing, Scans, Source, SourceError};
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
    /// It took longer than it may.
    #[error("its index takes longer: {fragments} fragments were found so far")]
    Unfinished {
        /// How many fragments have been found; the next attempt goes on from there.
        fragments: u32,
    },
    /// Its bytes could not be read.
    #[error(transparent)]
    Source(#[from] SourceError),
}

/// How long the index of a source may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// Until its movie box has been read.
    pub(crate) movie: Duration,
    /// Until its fragments have been found, if it has any.
    pub(crate) fragments: Duration,
}

/// Reads the index of a source. Parsing runs on tokio's blocking threads; how much is read is
/// bounded by `limits`. It takes as long as it takes: callers who cannot wait drop the future.
///
/// # Errors
/// [`IndexError::Unusable`] where the source is not what can be packaged, and
/// [`IndexError::Source`] where it cannot be read.
pub async fn read_index(source: &impl Source, limits: Limits) -> Result<MediaIndex, IndexError> {
    let patience = Patience { movie: Duration::MAX, fragments: Duration::MAX };
    read_index_of(source, limits, &Scans::in_memory(0), patience).await
}

/// As [`read_index`], within a time, and with what is kept of the source's fragments: a scan that
/// is not finished in that time goes on from there with the next call.
pub(crate) async fn read_index_of(
    source: &impl Source,
    limits: Limits,
    scans: &Scans,
    patience: Patience,
) -> Result<MediaIndex, IndexError> {
    let mut limits = limits;
    if source.coalescing() == Coalescing::REMOTE {
        limits.max_compared_samples = limits.max_compared_samples.min(COMPARED_FAR);
    }
    let mut builder = IndexBuilder::new(source.id().clone(), limits);
    let mut timer = pin!(tokio::time::sleep(patience.movie));
    let mut kept = 0;
    let mut known = false;
    loop {
        let (stepped, back) = blocking(move || (builder.step(), builder)).await?;
        builder = back;
        if builder.is_fragmented() && !known {
            known = true;
            source.allow_growth();
            timer.set(tokio::time::sleep(patience.fragments));
            if let Some(checkpoint) = scans.load(&source.id().name).await {
                let (resumed, back) =
                    blocking(move || (builder.resume(&checkpoint), builder)).await?;
                builder = back;
                resumed?;
                kept = builder.fragments();
                continue;
            }
        }
        let wanted = match stepped? {
            Step::Done(index) => {
                if builder.fragments() >= kept.saturating_add(WORTH_KEEPING) {
                    keep(builder, source, scans).await;
                }
                return Ok(index);
            }
            Step::Need(wanted) => wanted,
        };
        let size = source.id().size;
        let present: Vec<ByteRange> = wanted.iter().map(|range| clamp(*range, size)).collect();
        let mut reading = pin!(source.read(&present));
        let read = poll_fn(|context| match reading.as_mut().poll(context) {
            Poll::Pending => timer.as_mut().poll(context).map(|()| None),
            Poll::Ready(read) => Poll::Ready(Some(read)),
        })
        .await;
        let Some(read) = read else {
            let fragments = builder.fragments();
            keep(builder, source, scans).await;
            return Err(IndexError::Unfinished { fragments });
        };
        let read = read?;
        if read.len() != wanted.len() {
            return Err(SourceError::Truncated.into());
        }
        for (range, bytes) in wanted.into_iter().zip(read) {
            builder.feed(range, unpinned(bytes))?;
        }
    }
}

async fn keep(builder: IndexBuilder, source: &impl Source, scans: &Scans) {
    // As long as the scan: it is not put together on the runtime.
    if let Ok(Some(checkpoint)) = blocking(move || builder.checkpoint()).await {
        scans.save(&source.id().name, checkpoint).await;
    }
}

/// The most sync samples of a track that are compared across a network, each by a request; as
/// [`Limits::max_compared_samples`] says.
const COMPARED_FAR: u32 = 256;

/// A scan with fewer new fragments than this is sooner done than kept.
const WORTH_KEEPING: u32 = 16;

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
