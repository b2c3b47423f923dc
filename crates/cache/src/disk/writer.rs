//! The one thread that writes: takes jobs off the queue, appends records to the newest region, and
//! makes room by letting the oldest go.
//!
//! A record enters the index once it has been written, never before. When a write fails, the region
//! is cut off where it began and the next attempt begins another: what lies in the log stays in the
//! order in which it was said, and what was given up does not come back. On a full disk the oldest region makes room first. Until a write succeeds
//! again, offers are refused and the alarm is on; removals wait, and come before all else.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::admission::Admission;
use super::folder::{Folder, Region};
use super::index::{Entry, MAX_LEN};
use super::queue::{Done, Job, Next, Offer, Reason, Work};
use super::record::{self, Contents, FIXED, Fixed, Kind, Place};
use super::region::{self, HEADER, ITEM, Item, TRAILER};
use super::{Shared, evict, meta};
use crate::key::Key;
use crate::object::{Content, Object};

/// So many bytes are written at a time; a larger record goes in one piece.
const BATCH: usize = 1 << 20;

/// A confirmed response with a body up to this long is written anew: reading it stays one read.
const REWRITTEN: u64 = 64 << 10;

/// How long the writer leaves a failing disk alone, at first and at most.
const REST: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

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

/// The region that is being written.
struct Active {
    region: Arc<Region>,
    /// Up to where it was written.
    end: u64,
    items: Vec<Item>,
    /// What is to be written next, and what then becomes of the records in it.
    batch: Vec<u8>,
    waiting: Vec<(Item, Then)>,
}

enum Then {
    /// The record's job is done; a removal has no entry.
    Done(Done),
    /// The record was moved from the place of this entry.
    Moved(Entry),
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

    fn owe(&mut self, hash: u128) {
        if !self.owes_all {
            self.owed.push(hash);
        }
    }

    /// Writes removals that could not be written before.
    fn pay(&mut self) -> io::Result<()> {
        if self.owes_all {
            self.forget_all()?;
        }
        let mut owed = std::mem::take(&mut self.owed);
        while let Some(hash) = owed.pop() {
            if let Err(error) = self.remove(hash, Then::Done(Done::default())) {
                self.owed.extend(owed);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Puts a record into the batch, which is written once it is large enough. On an error the
    /// record's job is done with, and what it takes back is owed.
    fn append(
        &mut self,
        contents: &Contents<'_>,
        body: Option<Place>,
        then: Then,
        write_body: impl FnOnce(&mut Vec<u8>),
    ) -> io::Result<()> {
        if let Err(error) = self.make_ready(contents.len()) {
            self.undone(contents.kind, contents.hash, &then);
            return Err(error);
        }
        let Some(active) = &mut self.active else { return Ok(()) };
        let at = active.place();
        let before = active.batch.len();
        contents.write_head(at, body, &mut active.batch);
        if contents.kind == Kind::Object {
            write_body(&mut active.batch);
        }
        active.batch.resize(before + contents.len() as usize, 0);
        let Contents { kind, hash, variant, .. } = *contents;
        let item = Item { kind, hash, variant, offset: at.offset, len: contents.len() as u32 };
        active.waiting.push((item, then));
        if active.batch.len() >= BATCH { self.write_out() } else { Ok(()) }
    }

    /// A record that was not written.
    fn undone(&mut self, kind: Kind, hash: u128, then: &Then) {
        let Then::Done(done) = then else { return };
        if kind == Kind::Removal || done.replaces {
            self.owe(hash);
        }
        if kind != Kind::Removal {
            self.shared.metrics.dropped_writes.inc();
        }
        self.settle(done, None);
    }

    /// Sees to it that the active region has room for a record.
    fn make_ready(&mut self, len: u64) -> io::Result<()> {
        // Making room may fill a new region by what lives on: twice at most, as it is bounded.
        for _ in 0..3 {
            match &self.active {
                Some(active) if active.has_room(len, self.shared.limits.region_bytes) => {
                    return Ok(());
                }
                Some(_) => self.close_region()?,
                None => {}
            }
            self.begin_region()?;
        }
        Err(io::Error::other("the record fits into no region"))
    }

    fn begin_region(&mut self) -> io::Result<()> {
        self.give_up_region();
        let region = match self.folder.create(self.next) {
            Err(error) if error.kind() == io::ErrorKind::StorageFull => {
                self.yield_room();
                let _ = self.folder.delete(self.next);
                self.folder.create(self.next)?
            }
            other => other?,
        };
        self.next = self.next.checked_add(1).ok_or(io::ErrorKind::FileTooLarge)?;
        let region = Arc::new(region);
        self.shared.regions_mut().insert(region.number, Arc::clone(&region));
        self.active = Some(Active {
            region,
            end: HEADER as u64,
            items: Vec::new(),
            batch: Vec::new(),
            waiting: Vec::new(),
        });
        self.shared.metrics.written_bytes.inc_by(HEADER as u64);
        while self.closed_bytes() + self.shared.limits.region_bytes > self.limit
            && !self.closed.is_empty()
        {
            self.evict(true)?;
        }
        Ok(())
    }

    fn closed_bytes(&self) -> u64 {
        self.closed.iter().map(|(_, bytes)| bytes).sum()
    }

    /// The disk has less room than it may take: from here on it takes less.
    fn yield_room(&mut self) {
        self.shared.metrics.alarm.set(1);
        if self.evict(false).is_ok() {
            self.limit = self.closed_bytes() + self.shared.limits.region_bytes;
        }
    }

    /// Lets the oldest region go; what was asked for lives on, if so wanted.
    fn evict(&mut self, readmit: bool) -> io::Result<()> {
        let Some((number, _)) = self.closed.pop_front() else { return Ok(()) };
        let entries = self.shared.index.of_region(number);
        let (kept, gone) = if readmit {
            evict::choose(entries, self.shared.limits.region_bytes)
        } else {
            (Vec::new(), entries)
        };
        let frequencies = gone.iter().map(|entry| u64::from(self.admission.frequency(entry.hash)));
        self.admission.made_room(frequencies.sum(), gone.len() as u64);
        let region = self.shared.region(number);
        for entry in kept {
            if let Some(region) = &region {
                self.move_on(region, &entry);
            }
        }
        let written = self.write_out();
        let evicted = self.shared.index.remove_region(number);
        self.shared.metrics.evictions.inc_by(evicted as u64);
        self.shared.regions_mut().remove(&number);
        if let Err(error) = self.folder.delete(number) {
            tracing::warn!(number, %error, "a region of the cache cannot be deleted");
        }
        written
    }

    /// Writes a record of an old region again, if it still proves itself and there is room.
    fn move_on(&mut self, from: &Region, entry: &Entry) {
        let Some(active) = &mut self.active else { return };
        if !active.has_room(u64::from(entry.len), self.shared.limits.region_bytes) {
            return;
        }
        let Ok(bytes) = from.read(u64::from(entry.at.offset), entry.len as usize) else { return };
        let Some(fixed) = Fixed::parse(&bytes, entry.at).filter(|one| one.is_of(entry)) else {
            return;
        };
        let proved = fixed.prove_head(&bytes).is_some_and(|(_, sums)| {
            let body = fixed.own_body(&bytes);
            body.is_none_or(|body| record::prove_blocks(body, 0, &sums))
        });
        if !proved {
            self.shared.metrics.bad_blocks.inc();
            return;
        }
        let at = active.place();
        let Fixed { kind, hash, variant, .. } = fixed;
        active.batch.extend_from_slice(&fixed.moved(at).to_bytes());
        active.batch.extend_from_slice(bytes.get(FIXED..).unwrap_or_default());
        let item = Item { kind, hash, variant, offset: at.offset, len: entry.len };
        active.waiting.push((item, Then::Moved(*entry)));
    }

    /// Writes the batch; its records enter the index.
    fn write_out(&mut self) -> io::Result<()> {
        let Some(active) = &mut self.active else { return Ok(()) };
        if active.batch.is_empty() {
            return Ok(());
        }
        let mut written = active.region.write(&active.batch, active.end);
        if written.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::StorageFull)
            && !self.closed.is_empty()
        {
            // Not evict, which writes: what has to go goes as it is.
            let mut active = self.active.take();
            self.yield_room();
            if let Some(active) = &mut active {
                written = active.region.write(&active.batch, active.end);
            }
            self.active = active;
        }
        let Some(active) = &mut self.active else { return Ok(()) };
        let waiting = std::mem::take(&mut active.waiting);
        if let Err(error) = written {
            active.batch = Vec::new();
            let is_cut = active.region.truncate(active.end).is_ok();
            for (item, then) in &waiting {
                if !is_cut {
                    self.owe(item.hash);
                }
                self.undone(item.kind, item.hash, then);
            }
            return Err(error);
        }
        let len = active.batch.len() as u64;
        active.end += len;
        if active.batch.capacity() > 4 * BATCH {
            active.batch = Vec::new();
        }
        active.batch.clear();
        let region = active.region.number;
        active.items.extend(waiting.iter().map(|(item, _)| *item));
        self.shared.metrics.written_bytes.inc_by(len);
        self.succeeded();
        for (item, then) in waiting {
            let at = Place { region, offset: item.offset };
            match then {
                Then::Moved(entry) => {
                    if self.shared.index.follow(&entry, at) {
                        self.shared.metrics.readmitted.inc();
                    }
                }
                Then::Done(done) => {
                    let Item { kind, hash, variant, len, .. } = item;
                    let entry = Entry { hash, variant, at, len: len.min(MAX_LEN), heat: 0 };
                    let entry = (kind != Kind::Removal).then_some(&entry);
                    self.settle(&done, entry);
                }
            }
        }
        Ok(())
    }

    /// Writes the footer of the active region; it is complete, and lasts.
    fn close_region(&mut self) -> io::Result<()> {
        self.write_out()?;
        let Some(active) = &mut self.active else { return Ok(()) };
        let footer = region::footer(active.region.number, active.end as u32, &active.items);
        active.region.append(&footer, active.end)?;
        active.region.sync()?;
        active.end += footer.len() as u64;
        self.shared.metrics.written_bytes.inc_by(footer.len() as u64);
        self.folder.sync()?;
        self.give_up_region();
        self.limit = (self.limit + self.shared.limits.region_bytes).min(self.shared.limits.bytes);
        Ok(())
    }

    /// Leaves the active region as it is: a restart finds out what is in it.
    fn give_up_region(&mut self) {
        let Some(active) = self.active.take() else { return };
        self.closed.push_back((active.region.number, active.end + active.batch.len() as u64));
        for (item, then) in &active.waiting {
            self.undone(item.kind, item.hash, then);
        }
    }

    fn succeeded(&mut self) {
        self.rest = REST.0;
        if self.shared.metrics.alarm.set(0) != 0 {
            tracing::info!("the cache's disk takes writes again");
        }
        self.shared.queue.rest(false);
    }

    fn failed(&mut self, error: &io::Error) {
        self.shared.metrics.write_errors.inc();
        if self.shared.metrics.alarm.set(1) == 0 {
            tracing::error!(%error, "the cache's disk takes no writes: going on without");
        }
        self.give_up_region();
        self.shared.queue.rest(true);
        if self.owed.len() > super::queue::MOST_REMOVALS {
            // What may not come back does not, at the price of all else.
            let _ = self.forget_all();
        }
        // Each attempt begins a region: nothing else tells whether the disk works again.
        loop {
            let goes_on = self.shared.queue.pause(self.rest.min(self.shared.limits.rest));
            self.rest = (self.rest * 2).min(REST.1);
            if !goes_on || self.begin_region().is_ok() {
                break;
            }
            self.shared.metrics.write_errors.inc();
        }
        self.shared.queue.rest(false);
    }

    /// Forgets everything, on disk too; what cannot be deleted is owed.
    fn forget_all(&mut self) -> io::Result<()> {
        self.give_up_region();
        self.owes_all = true;
        self.owed = Vec::new();
        self.shared.index.clear();
        self.shared.regions_mut().clear();
        for number in self.folder.regions()? {
            self.folder.delete(number)?;
            self.closed.retain(|(closed, _)| *closed != number);
        }
        self.closed.clear();
        self.owes_all = false;
        Ok(())
    }

    fn tell(&self) {
        let metrics = &self.shared.metrics;
        let active = self.active.as_ref().map_or(0, |active| active.end);
        metrics.stored_bytes.set((self.closed_bytes() + active) as i64);
        metrics.stored_objects.set(self.shared.index.len() as i64);
        metrics.index_bytes.set(self.shared.index.memory() as i64);
    }
}

impl Active {
    /// Where the next record begins.
    fn place(&self) -> Place {
        let offset = self.end + self.batch.len() as u64;
        Place { region: self.region.number, offset: offset as u32 }
    }

    /// Whether a record fits, and the footer still does.
    fn has_room(&self, len: u64, region_bytes: u64) -> bool {
        let items = self.items.len() + self.waiting.len() + 1;
        let used = self.end + self.batch.len() as u64;
        used + len + (items * ITEM + TRAILER) as u64 <= region_bytes
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
