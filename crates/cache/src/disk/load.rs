//! Reading what an index entry means: a record from its region, proved, with its body in memory
//! where that is small, and otherwise the first block of it.
//!
//! Whoever reads takes memory first, and waits for it where there is none, unless too many do.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use headwater_net::{Chunks, Timestamp};
use http::HeaderMap;

use super::blocks::DiskBody;
use super::folder::Region;
use super::index::{Entry, MAX_LEN};
use super::reads::Reading;
use super::record::{self, BLOCK, Fixed, Kind};
use super::{Shared, meta};
use crate::object::{Content, Head, Object};

/// How many requests may wait for memory to read into.
const MOST_WAITING: usize = 1024;

/// Bytes of a large record that are read first: its head and the beginning of its body.
pub(super) const FIRST: usize = 2 * BLOCK as usize;

/// Bytes of a record that are read first where its head is all that may be wanted.
const FIRST_OF_HEAD: usize = 4 << 10;

/// What reading a record gave.
pub(super) enum Loaded {
    Object(Arc<Object>),
    /// A response to another request.
    Another,
    /// Its region went meanwhile.
    Gone,
    /// Not what was written.
    Bad,
    Failed(io::Error),
    /// Too much is being read.
    Refused,
}

impl From<io::Error> for Loaded {
    fn from(error: io::Error) -> Self {
        // A record that ends past its file was cut off.
        if error.kind() == io::ErrorKind::UnexpectedEof { Self::Bad } else { Self::Failed(error) }
    }
}

impl Shared {
    /// Reads what an entry means, if it answers a request for `key` with these fields; `after` some
    /// time, only if it came later.
    pub(super) async fn load(
        shared: &Arc<Self>,
        entry: &Entry,
        key: &[u8],
        request: &HeaderMap,
        after: Option<Timestamp>,
    ) -> Loaded {
        let Some(region) = shared.region(entry.at.region) else { return Loaded::Gone };
        let offset = u64::from(entry.at.offset);
        let whole = u64::from(entry.len) <= shared.limits.whole;
        let most = match after {
            Some(_) => FIRST_OF_HEAD,
            None if whole => MAX_LEN as usize,
            None => FIRST,
        };
        let len = (entry.len as usize).min(most);
        let Some(memory) = shared.take_memory(len).await else { return Loaded::Refused };
        let Some(reading) = shared.reads.try_read(&region, offset, len) else {
            return Loaded::Refused;
        };
        let mut bytes = match read(reading).await {
            Ok(bytes) => bytes,
            Err(error) => return error.into(),
        };
        let Some(fixed) = Fixed::parse(&bytes, entry.at).filter(|fixed| fixed.is_of(entry)) else {
            return Loaded::Bad;
        };
        if fixed.head_len as usize > bytes.len() {
            bytes = match read(shared.reads.read(&region, offset, fixed.head_len as usize)).await {
                Ok(bytes) => bytes,
                Err(error) => return error.into(),
            };
        }
        let Some((meta, sums)) = fixed.prove_head(&bytes) else { return Loaded::Bad };
        if meta::key(meta) != Some(key) {
            return Loaded::Another;
        }
        // What is kept in slices has its length, and no body here.
        let fits = |head: &Head| fixed.body_len == 0 || head.len == Some(fixed.body_len);
        let Some(head) = meta::read(meta).filter(fits) else { return Loaded::Bad };
        let vary = &head.vary;
        if !vary.matches(request) && !vary.matches_by_language(request, &head.headers) {
            return Loaded::Another;
        }
        if after.is_some_and(|after| head.freshness.received <= after || !vary.matches(request)) {
            return Loaded::Another;
        }
        // Whoever held some while waiting for more could wait for ever.
        drop(memory);
        shared.with_body(head, &fixed, (&bytes, sums), region).await
    }

    /// The response of a head that was proved: with its body in memory where that is small.
    async fn with_body(
        self: &Arc<Self>,
        head: Head,
        fixed: &Fixed,
        (record, sums): (&Bytes, Vec<u64>),
        mut region: Arc<Region>,
    ) -> Loaded {
        let len = fixed.body_len;
        if let Some(body) = fixed.own_body(record) {
            if !record::prove_blocks(body, 0, &sums) {
                return Loaded::Bad;
            }
            self.metrics.hit_bytes.inc_by(len);
            let body = Content::Memory(chunks(&record.slice_ref(body)));
            return Loaded::Object(Arc::new(Object::from_disk(head, body, (fixed.hash, fixed.at))));
        }
        if fixed.kind == Kind::Head {
            match self.region(fixed.body.region) {
                Some(of_body) => region = of_body,
                None => return Loaded::Gone,
            }
        }
        // The first block is proved before anything is sent.
        let small = len <= self.limits.whole;
        let first = if small { len } else { len.min(BLOCK) } as usize;
        let Some(_memory) = self.take_memory(first).await else { return Loaded::Refused };
        let reading = self.reads.read(&region, u64::from(fixed.body.offset), first);
        let bytes = match read(reading).await {
            Ok(bytes) => bytes,
            Err(error) => return error.into(),
        };
        if !record::prove_blocks(&bytes, 0, &sums) {
            return Loaded::Bad;
        }
        let body = if small {
            self.metrics.hit_bytes.inc_by(len);
            Content::Memory(chunks(&bytes))
        } else {
            let (shared, of) = (Arc::clone(self), (fixed.hash, fixed.at));
            Content::Disk(DiskBody::new(shared, region, of, fixed.body.offset, (len, sums)))
        };
        Loaded::Object(Arc::new(Object::from_disk(head, body, (fixed.hash, fixed.at))))
    }

    /// Memory to read into; waits for it, unless too many do.
    async fn take_memory(&self, len: usize) -> Option<tokio::sync::SemaphorePermit<'_>> {
        let kib = u32::try_from((len >> 10) + 1).ok()?;
        if let Ok(permit) = self.memory.try_acquire_many(kib) {
            return Some(permit);
        }
        let _place = Waiting::enter(&self.waiting)?;
        self.memory.acquire_many(kib).await.ok()
    }
}

/// A place among those who wait for memory.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn enter(count: &'a AtomicUsize) -> Option<Self> {
        let more = |waiting: usize| (waiting < MOST_WAITING).then_some(waiting + 1);
        count.fetch_update(Ordering::AcqRel, Ordering::Acquire, more).ok()?;
        Some(Self(count))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

async fn read(reading: Reading) -> io::Result<Bytes> {
    // A sender that is gone is a tier that was shut down.
    reading.await.unwrap_or_else(|_| Err(io::ErrorKind::BrokenPipe.into()))
}

/// A body as others have it: in chunks of one block.
pub(super) fn chunks(bytes: &Bytes) -> Chunks {
    let block = BLOCK as usize;
    let starts = (0..bytes.len()).step_by(block);
    let list: Vec<Bytes> = starts.map(|at| bytes.slice(at..bytes.len().min(at + block))).collect();
    Chunks::from(list)
}
