//! The one thread that writes: takes jobs off the queue, appends records to the newest region, and
//! makes room by letting the oldest go.
//!
//! Here is what becomes of each job. [`append`] has how a record gets on disk, [`regions`] how room is
//! made, [`failing`] what happens on a disk that takes no writes.

mod append;
mod failing;
mod regions;

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::admission::Admission;
use super::folder::{Folder, Region};
use super::index::Entry;
use super::queue::{Done, Job, Next, Offer, Reason, Work};
use super::record::{self, Contents, FIXED, Fixed, Kind};
use super::{Shared, meta};
use crate::key::Key;
use crate::object::{Content, Object};
use append::{Active, Then};
use failing::REST;

/// A confirmed response with a body up to this long is written anew: reading it stays one read.
const REWRITTEN: u64 = 64 << 10;

/// See the module.
pub(super) struct Writer {
    pub(super) shared: Arc<Shared>,
    pub(super) folder: Folder,
    pub(super) admission: Admission,
    /// Bytes that all regions may take: less than configured while the disk has less.
    limit: u64,
    /// Closed regions, the oldest first, and the bytes each takes.
    closed: VecDeque<(u32, u64)>,
    active: Option<Active>,
    next: u32,
    /// Hashes whose removal could not be written yet.
    owed: Vec<u128>,
    /// Everything is to be forgotten, and could not be yet: no removal is owed beside that.
    owes_all: bool,
    rest: Duration,
}

impl Writer {
    pub(super) fn new(
        shared: Arc<Shared>,
        folder: Folder,
        admission: Admission,
        closed: VecDeque<(u32, u64)>,
    ) -> Self {
        let next = closed.back().map_or(0, |(number, _)| *number) + 1;
        let limit = shared.limits.bytes;
        let (active, owed, owes_all, rest) = (None, Vec::new(), false, REST.0);
        Self { shared, folder, admission, limit, closed, active, next, owed, owes_all, rest }
    }

    /// Works until the queue is closed and empty.
    pub(super) fn run(mut self) {
        self.tell();
        loop {
            let outcome = match self.shared.queue.next() {
                Next::Jobs(jobs) => self.take(jobs),
                Next::ForgetAll => self.forget_all(),
                Next::Closed => break,
            };
            if let Err(error) = outcome {
                self.failed(&error);
            }
            self.tell();
        }
        if let Err(error) = self.pay().and_then(|()| self.close_region()) {
            self.give_up_region();
            tracing::warn!(%error, "the cache's last region could not be closed");
        }
        self.tell();
    }

    fn take(&mut self, jobs: Vec<Job>) -> io::Result<()> {
        let mut outcome = self.pay();
        for job in jobs {
            // On a disk that just failed nothing more is tried, and no removal is forgotten.
            match outcome {
                Ok(()) => outcome = self.work(job),
                Err(_) => self.drop_job(&job),
            }
        }
        outcome.and_then(|()| self.write_out())
    }

    fn work(&mut self, job: Job) -> io::Result<()> {
        let (done, hash) = (job.done(), job.hash);
        match job.work {
            Work::Offer(offer) => self.offer(done, hash, job.variant.unwrap_or(0), offer),
            Work::Remove => self.remove(hash, Then::Done(done)),
            Work::Barrier { sync, done } => {
                self.write_out()?;
                if sync && let Some(active) = &self.active {
                    active.region.sync()?;
                }
                let _ = done.send(());
                Ok(())
            }
        }
    }

    /// A job that is not carried out because the disk fails.
    fn drop_job(&mut self, job: &Job) {
        match &job.work {
            Work::Offer(offer) => {
                self.shared.metrics.dropped_writes.inc();
                if offer.reason == (Reason::Fetched { replaces: true }) {
                    self.owe(job.hash);
                }
            }
            Work::Remove => self.owe(job.hash),
            Work::Barrier { .. } => return,
        }
        self.settle(&job.done(), None);
    }

    fn settle(&self, done: &Done, entry: Option<&Entry>) {
        self.shared.queue.done(&self.shared.index, done, entry);
    }

    fn offer(&mut self, done: Done, hash: u128, variant: u32, offer: Offer) -> io::Result<()> {
        let Offer { key, object, reason } = offer;
        let found = self.shared.index.find(hash);
        let entry = found.into_iter().find(|entry| entry.variant == variant);
        let frequency = match reason {
            Reason::Left => self.admission.frequency(hash),
            _ => self.admission.count(hash),
        };
        match (reason, entry) {
            (Reason::Left, Some(_)) => {
                self.settle(&done, None);
                Ok(())
            }
            (Reason::Seen, Some(entry)) => {
                self.shared.index.warm(hash, entry.at);
                self.settle(&done, None);
                Ok(())
            }
            (Reason::Confirmed, Some(entry)) => self.confirm(done, entry, &key, &object),
            (Reason::Fetched { replaces: true }, _) => self.write(done, hash, &key, &object, true),
            _ if self.admission.admits(frequency) => self.write(done, hash, &key, &object, false),
            _ => {
                self.shared.metrics.not_admitted.inc();
                self.settle(&done, None);
                Ok(())
            }
        }
    }

    /// Writes a response. One that cannot be takes what it replaces with it.
    fn write(
        &mut self,
        done: Done,
        hash: u128,
        key: &Key,
        object: &Object,
        replaces: bool,
    ) -> io::Result<()> {
        let variant = meta::variant(&object.head.vary);
        let meta = meta::write(key, &object.head, self.shared.known_purges());
        if let Content::Memory(body) = &object.body
            && meta.len() <= record::MAX_META
        {
            let sums = record::sums(body);
            let contents = Contents {
                kind: Kind::Object,
                hash,
                variant,
                meta: &meta,
                sums: &sums,
                body_len: body.len(),
            };
            if contents.len() <= self.shared.limits.record() {
                self.shared.metrics.admitted.inc();
                self.shared.metrics.admitted_bytes.inc_by(contents.len());
                return self.append(&contents, None, Then::Done(done), |out| {
                    body.clone().for_each(|chunk| out.extend_from_slice(&chunk));
                });
            }
        }
        if replaces {
            return self.remove(hash, Then::Done(done));
        }
        self.settle(&done, None);
        Ok(())
    }

    /// Gives the record of a response new fields: by a record of them alone where its body is long
    /// and the same.
    fn confirm(&mut self, done: Done, entry: Entry, key: &Key, object: &Object) -> io::Result<()> {
        let meta = meta::write(key, &object.head, self.shared.known_purges());
        let stored = self.shared.region(entry.at.region).and_then(|region| {
            let (fixed, head) = read_head(&region, &entry).ok()??;
            let (_, sums) = fixed.prove_head(&head)?;
            Some((fixed, sums))
        });
        if let Some((fixed, sums)) = stored
            && meta.len() <= record::MAX_META
        {
            let same = match &object.body {
                Content::Memory(body) => {
                    fixed.body_len > REWRITTEN
                        && fixed.body_len == body.len()
                        && record::sums(body) == sums
                }
                Content::Disk(body) => fixed.body == body.place(),
            };
            if same {
                let contents = Contents {
                    kind: Kind::Head,
                    hash: entry.hash,
                    variant: entry.variant,
                    meta: &meta,
                    sums: &sums,
                    body_len: fixed.body_len,
                };
                return self.append(&contents, Some(fixed.body), Then::Done(done), |_| ());
            }
        }
        self.write(done, entry.hash, key, object, true)
    }

    fn remove(&mut self, hash: u128, then: Then) -> io::Result<()> {
        let contents = Contents { kind: Kind::Removal, hash, ..Contents::default() };
        self.append(&contents, None, then, |_| ())
    }

    fn tell(&self) {
        let metrics = &self.shared.metrics;
        let active = self.active.as_ref().map_or(0, |active| active.end);
        metrics.stored_bytes.set((self.closed_bytes() + active) as i64);
        metrics.stored_objects.set(self.shared.index.len() as i64);
        metrics.index_bytes.set(self.shared.index.memory() as i64);
    }
}

/// The fixed part and the head of a record; `None` where it is not the one that is meant.
fn read_head(region: &Region, entry: &Entry) -> io::Result<Option<(Fixed, Vec<u8>)>> {
    let offset = u64::from(entry.at.offset);
    let fixed = region.read(offset, FIXED)?;
    let Some(fixed) = Fixed::parse(&fixed, entry.at).filter(|fixed| fixed.is_of(entry)) else {
        return Ok(None);
    };
    let head = region.read(offset, fixed.head_len as usize)?;
    Ok(Some((fixed, head)))
}
