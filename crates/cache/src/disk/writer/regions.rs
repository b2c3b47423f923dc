//! Regions come and go: one is begun when the newest has no room, and the oldest goes for it. On a
//! full disk the oldest goes first, and the tier takes less from then on.

use std::io;
use std::sync::Arc;

use super::super::evict;
use super::super::folder::Region;
use super::super::index::Entry;
use super::super::record::{self, FIXED, Fixed};
use super::super::region::{self, HEADER, Item};
use super::Writer;
use super::append::{Active, Then};

impl Writer {
    /// Sees to it that the active region has room for a record.
    pub(super) fn make_ready(&mut self, len: u64) -> io::Result<()> {
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

    pub(super) fn begin_region(&mut self) -> io::Result<()> {
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

    pub(super) fn closed_bytes(&self) -> u64 {
        self.closed.iter().map(|(_, bytes)| bytes).sum()
    }

    /// The disk has less room than it may take: from here on it takes less.
    pub(super) fn yield_room(&mut self) {
        self.shared.metrics.alarm.set(1);
        if self.evict(false).is_ok() {
            self.limit = self.closed_bytes() + self.shared.limits.region_bytes;
        }
    }

    /// Lets the oldest region go; what was asked for lives on, if so wanted.
    pub(super) fn evict(&mut self, readmit: bool) -> io::Result<()> {
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
    pub(super) fn move_on(&mut self, from: &Region, entry: &Entry) {
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

    /// Writes the footer of the active region; it is complete, and lasts.
    pub(super) fn close_region(&mut self) -> io::Result<()> {
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
    pub(super) fn give_up_region(&mut self) {
        let Some(active) = self.active.take() else { return };
        self.closed.push_back((active.region.number, active.end + active.batch.len() as u64));
        for (item, then) in &active.waiting {
            self.undone(item.kind, item.hash, then);
        }
    }

    /// Forgets everything, on disk too; what cannot be deleted is owed.
    pub(super) fn forget_all(&mut self) -> io::Result<()> {
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
}
