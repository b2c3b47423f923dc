//! The index of one source: what its `moov` says, in compact tables.

mod samples;

pub use samples::{Sample, TrackSamples};

use bytes::Bytes;

use crate::error::Result;
use crate::identity::SourceId;
use crate::limits::Limits;
use crate::report::Report;
use crate::units::ByteRange;

/// What a state machine wants next.
#[derive(Debug)]
#[must_use]
pub enum Step<T> {
    /// Read these ranges, feed each, then step again.
    Need(Vec<ByteRange>),
    /// Finished.
    Done(T),
}

/// Builds a [`MediaIndex`] from byte ranges that the caller reads.
#[derive(Debug)]
pub struct IndexBuilder {
    source: SourceId,
}

impl IndexBuilder {
    /// Starts on a source.
    pub fn new(source: SourceId, _limits: Limits) -> Self {
        Self { source }
    }

    /// What is needed next, or the index. Calling it again without feeding repeats the answer.
    pub fn step(&mut self) -> Result<Step<MediaIndex>> {
        let _ = &self.source;
        Err(crate::Error::NotMp4("the reader is not there yet"))
    }

    /// Hands over one range that [`step`](Self::step) asked for; fewer bytes than asked for mean
    /// that the source ended.
    pub fn feed(&mut self, _range: ByteRange, _bytes: Bytes) -> Result<()> {
        Ok(())
    }
}

/// The index of one source.
#[derive(Debug)]
pub struct MediaIndex {
    source: SourceId,
    report: Report,
}

impl MediaIndex {
    /// The source it was made from.
    pub fn source(&self) -> &SourceId {
        &self.source
    }

    /// What was left out of this source and why.
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// Memory that it holds, in bytes: what a cache weighs it by.
    pub fn weight_bytes(&self) -> usize {
        size_of::<Self>()
    }
}
