//! A body on disk, and reading it: block by block, each proved before it is handed out.

use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use headwater_net::{Body, BodyError};
use http_body::{Frame, SizeHint};

use super::Shared;
use super::folder::Region;
use super::reads::Reading;
use super::record::{BLOCK, Place, prove_blocks};

/// Blocks read at a time.
const AT_A_TIME: u64 = 4;

/// A body that lies on disk, too large to be read at once. Holds its region: what is being read of
/// it can be read to its end even if the region goes.
#[derive(Clone, Debug)]
pub(crate) struct DiskBody(Arc<Inside>);

#[derive(Debug)]
struct Inside {
    shared: Arc<Shared>,
    region: Arc<Region>,
    hash: u128,
    /// Where the record lies.
    record: Place,
    /// Where the body begins in its region.
    offset: u32,
    len: u64,
    sums: Vec<u64>,
}

impl DiskBody {
    pub(super) fn new(
        shared: Arc<Shared>,
        region: Arc<Region>,
        (hash, record): (u128, Place),
        offset: u32,
        (len, sums): (u64, Vec<u64>),
    ) -> Self {
        Self(Arc::new(Inside { shared, region, hash, record, offset, len, sums }))
    }

    pub(crate) fn len(&self) -> u64 {
        self.0.len
    }

    /// Where it begins.
    pub(super) fn place(&self) -> Place {
        Place { region: self.0.region.number, offset: self.0.offset }
    }

    /// Bytes of memory this takes.
    pub(crate) fn weight(&self) -> u64 {
        (size_of::<Inside>() + self.0.sums.len() * 8) as u64
    }

    /// These bytes of it, as a stream; the range is cut to what is there.
    pub(crate) fn body(&self, range: Range<u64>) -> Body {
        let end = range.end.min(self.0.len);
        let at = range.start.min(end);
        if at == end {
            return Body::empty();
        }
        let blocks = Blocks { of: self.clone(), at, end, next: None, ready: Bytes::new() };
        Body::Stream(Box::pin(blocks))
    }
}

impl Inside {
    /// The bytes from the block that `at` is in on, for some blocks, no further than needed.
    fn read(&self, at: u64, end: u64) -> Reading {
        let from = at / BLOCK * BLOCK;
        let to = (from + AT_A_TIME * BLOCK).min(end.next_multiple_of(BLOCK)).min(self.len);
        let offset = u64::from(self.offset) + from;
        self.shared.reads.read(&self.region, offset, (to - from) as usize)
    }
}

/// Reads ahead of its reader by one read.
struct Blocks {
    of: DiskBody,
    /// What is handed out next.
    at: u64,
    end: u64,
    /// The read that `at` is in, once what is ready was handed out.
    next: Option<Reading>,
    ready: Bytes,
}

impl http_body::Body for Blocks {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        if this.ready.is_empty() {
            if this.at >= this.end {
                return Poll::Ready(None);
            }
            let inside = Arc::clone(&this.of.0);
            let reading = this.next.get_or_insert_with(|| inside.read(this.at, this.end));
            let read = std::task::ready!(Pin::new(reading).poll(cx));
            this.next = None;
            let bytes = match read {
                Ok(Ok(bytes)) => bytes,
                Ok(Err(error)) => {
                    this.at = this.end;
                    inside.shared.read_failed(&error, inside.hash, inside.record);
                    return Poll::Ready(Some(Err(BodyError::source("the cache's disk failed"))));
                }
                // Shut down.
                Err(_) => {
                    this.at = this.end;
                    return Poll::Ready(Some(Err(BodyError::Aborted)));
                }
            };
            if !prove_blocks(&bytes, this.at / BLOCK, &inside.sums) {
                this.at = this.end;
                inside.shared.found_bad(inside.hash, inside.record);
                return Poll::Ready(Some(Err(BodyError::source("a block on disk is damaged"))));
            }
            let skip = (this.at % BLOCK) as usize;
            let most = usize::try_from(this.end - this.at).unwrap_or(usize::MAX);
            let to = bytes.len().min(skip.saturating_add(most));
            this.ready = bytes.slice(skip.min(to)..to);
            this.at += this.ready.len() as u64;
            if this.at < this.end {
                this.next = Some(inside.read(this.at, this.end));
            }
        }
        let most = this.ready.len().min(BLOCK as usize);
        let frame = this.ready.split_to(most);
        this.of.0.shared.metrics.hit_bytes.inc_by(frame.len() as u64);
        Poll::Ready(Some(Ok(Frame::data(frame))))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.end - self.at + self.ready.len() as u64)
    }
}
