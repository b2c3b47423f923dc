//! What all sources across a network have in common: ranges of any length by requests of bounded
//! length, a few at a time, and neighbours joined, since a request costs a round trip.

use std::future::Future;

use bytes::Bytes;
use futures_util::future::try_join_all;

use super::coalesce::{self, joined, steps};
use super::{AnySource, Coalescing, Gathered, Source, SourceError};
use crate::identity::SourceId;
use crate::units::ByteRange;

/// How one state of a file across a network is fetched.
pub trait Fetch: Send + Sync + 'static {
    /// The bytes of one request's range, in the pieces they came in, exactly as many as asked for.
    fn fetch(
        &self,
        range: ByteRange,
    ) -> impl Future<Output = Result<Vec<Bytes>, SourceError>> + Send;

    /// The most bytes that one request may ask for; at least 1.
    fn max_request_bytes(&self) -> u64;

    /// The file in its present state, under that name.
    fn open_again(
        &self,
        name: &str,
    ) -> impl Future<Output = Result<Remote<Self>, SourceError>> + Send
    where
        Self: Sized;
}

/// One state of a file across a network: its bytes are fetched as `F` does, and every read demands
/// that state.
#[derive(Clone)]
pub struct Remote<F> {
    pub(super) id: SourceId,
    pub(super) file: F,
}

impl<F: Fetch> Remote<F> {
    /// How many requests for parts of one range are under way at a time.
    pub const REQUESTS_AT_ONCE: usize = 4;

    /// A range of any length, in the pieces it came in, and by how many requests.
    async fn whole(&self, range: ByteRange) -> Result<(Vec<Bytes>, u64), SourceError> {
        if range.end() > self.id.size {
            return Err(SourceError::Truncated);
        }
        let (mut pieces, mut requests) = (Vec::new(), 0);
        let parts: Vec<_> = steps(range, self.file.max_request_bytes().max(1)).collect();
        for group in parts.chunks(Self::REQUESTS_AT_ONCE) {
            for fetched in try_join_all(group.iter().map(|part| self.file.fetch(*part))).await? {
                pieces.extend(fetched);
                requests += 1;
            }
        }
        Ok((pieces, requests))
    }
}

impl<F: Fetch> Source for Remote<F> {
    fn id(&self) -> &SourceId {
        &self.id
    }

    async fn renewed(&self) -> Result<Option<AnySource>, SourceError> {
        let now = self.file.open_again(&self.id.name).await?;
        Ok((now.id != self.id).then(|| AnySource::new(now)))
    }

    fn coalescing(&self) -> Coalescing {
        Coalescing::REMOTE
    }

    async fn read(&self, ranges: &[ByteRange]) -> Result<Vec<Bytes>, SourceError> {
        try_join_all(ranges.iter().map(async |range| Ok(joined(self.whole(*range).await?.0)))).await
    }

    async fn gather(&self, ranges: &[ByteRange]) -> Result<Gathered, SourceError> {
        let [range] = ranges else {
            // Where ranges are joined, what lies between them must be cut out again.
            return coalesce::gather(self, ranges).await;
        };
        let (pieces, reads) = self.whole(*range).await?;
        Ok(Gathered { pieces, read_bytes: range.len, reads })
    }
}
