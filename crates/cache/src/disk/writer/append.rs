//! How records get into the newest region: gathered in a batch, written at once, and in the index
//! when they are there, never before.
//!
//! When a write fails, the region is cut off where it began: what lies in the log stays in the order
//! in which it was said, and what was given up does not come back.

use std::io;
use std::sync::Arc;

use super::super::folder::Region;
use super::super::index::{Entry, MAX_LEN};
use super::super::queue::Done;
use super::super::record::{Contents, Kind, Place};
use super::super::region::{ITEM, Item, TRAILER};
use super::Writer;

/// So many bytes are written at a time; a larger record goes in one piece.
const BATCH: usize = 1 << 20;

/// The region that is being written.
pub(super) struct Active {
    pub(super) region: Arc<Region>,
    /// Up to where it was written.
    pub(super) end: u64,
    pub(super) items: Vec<Item>,
    /// What is to be written next, and what then becomes of the records in it.
    pub(super) batch: Vec<u8>,
    pub(super) waiting: Vec<(Item, Then)>,
}

pub(super) enum Then {
    /// The record's job is done; a removal has no entry.
    Done(Done),
    /// The record was moved from the place of this entry.
    Moved(Entry),
}

impl Active {
    /// Where the next record begins.
    pub(super) fn place(&self) -> Place {
        let offset = self.end + self.batch.len() as u64;
        Place { region: self.region.number, offset: offset as u32 }
    }

    /// Whether a record fits, and the footer still does.
    pub(super) fn has_room(&self, len: u64, region_bytes: u64) -> bool {
        let items = self.items.len() + self.waiting.len() + 1;
        let used = self.end + self.batch.len() as u64;
        used + len + (items * ITEM + TRAILER) as u64 <= region_bytes
    }
}

impl Writer {
    /// Puts a record into the batch, which is written once it is large enough. On an error the
    /// record's job is done with, and what it takes back is owed.
    pub(super) fn append(
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
    pub(super) fn undone(&mut self, kind: Kind, hash: u128, then: &Then) {
        let Then::Done(done) = then else { return };
        if kind == Kind::Removal || done.replaces {
            self.owe(hash);
        }
        if kind != Kind::Removal {
            self.shared.metrics.dropped_writes.inc();
        }
        self.settle(done, None);
    }

    /// Writes the batch; its records enter the index.
    pub(super) fn write_out(&mut self) -> io::Result<()> {
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
}
