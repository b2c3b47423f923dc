//! The walk over the fragments of a source (ISO/IEC 14496-12 §8.8, §8.16.3).
//!
//! It passes all boxes at the top level once, in order, and reads those of the `moof`s: what is
//! found is the truth. A `sidx`, one or many, and an `mfra` at the end only say where to read
//! ahead, so that many fragments come with one batch of reads; wrong ones cost reads and nothing
//! else. Without them each fragment takes one small read, or many fragments one larger read where
//! they are small.
//!
//! The walk ends before the first fragment that is not complete, and can go on from there when the
//! source has grown.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::fragment;
use super::joined::Joined;
use crate::error::{Error, Result};
use crate::identity::Fnv;
use crate::isobmff::trex::Trex;
use crate::isobmff::{Budget, Header, Parsed, mfra, sidx};
use crate::limits::Limits;
use crate::units::ByteRange;

/// What the scan wants, or that it has ended.
#[derive(Debug)]
pub(super) enum Wants {
    /// These ranges.
    Ranges(Vec<ByteRange>),
    /// Nothing more.
    Nothing,
}

/// How the fragments end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// With the file.
    Whole,
    /// The file ends within a fragment.
    CutShort,
    /// With something that is no box, or a box that contradicts itself.
    Damaged,
}

/// The state of the walk.
#[derive(Debug)]
pub(super) struct Scan {
    file: u64,
    limits: Limits,
    trexes: Vec<Trex>,
    position: Position,
    joined: Joined,
    /// Boxes since the last fragment.
    idle: u32,
    /// Bytes read ahead, by their start.
    windows: Vec<(u64, Bytes)>,
    wanted: Vec<ByteRange>,
    /// Where fragments are said to start, in order.
    hints: BTreeSet<u64>,
    tail: Tail,
    ending: Ending,
}

/// How far the walk has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Position {
    /// The next box.
    pub(super) at: u64,
    /// The first box that was looked at.
    pub(super) from: u64,
    /// Fragments so far.
    pub(super) fragments: u32,
    /// The last fragment's box; empty before the first.
    pub(super) last: ByteRange,
    /// The longest box of a fragment so far.
    pub(super) longest: u64,
    /// Hashes of the first and the last fragment's box.
    pub(super) hashes: (u64, u64),
    /// An index of all fragments stood before them: nothing is added to such a file.
    pub(super) indexed: bool,
    /// An `mfra` has been passed: the file says that it is finished.
    pub(super) closed: bool,
    /// A movie box after fragments; empty for none.
    pub(super) later_movie: ByteRange,
}

/// The end of the file, where an `mfra` may be.
#[derive(Debug)]
enum Tail {
    Unread(ByteRange),
    Table(ByteRange),
    Read,
}

impl Scan {
    /// Starts at the box at `at`; `joined` is what the movie box holds.
    pub(super) fn new(
        at: u64,
        file: u64,
        joined: Joined,
        trexes: Vec<Trex>,
        limits: Limits,
    ) -> Self {
        let last = ByteRange { start: at, len: 0 };
        let position = Position {
            at,
            from: at,
            fragments: 0,
            last,
            longest: 0,
            hashes: (0, 0),
            indexed: false,
            closed: false,
            later_movie: last,
        };
        Self::resume(position, file, joined, trexes, limits)
    }

    /// Goes on where another walk over the same bytes came to.
    pub(super) fn resume(
        position: Position,
        file: u64,
        joined: Joined,
        trexes: Vec<Trex>,
        limits: Limits,
    ) -> Self {
        let end = ByteRange { start: file.saturating_sub(mfra::MFRO_LEN), len: mfra::MFRO_LEN };
        let tail = if end.start >= position.at { Tail::Unread(end) } else { Tail::Read };
        Self {
            file,
            limits,
            trexes,
            position,
            joined,
            idle: 0,
            windows: Vec::new(),
            wanted: Vec::new(),
            hints: BTreeSet::new(),
            tail,
            ending: Ending::Whole,
        }
    }

    /// What was found.
    pub(super) fn joined(&self) -> &Joined {
        &self.joined
    }

    pub(super) fn position(&self) -> Position {
        self.position
    }

    pub(super) fn ending(&self) -> Ending {
        self.ending
    }

    pub(super) fn later_movie(&self) -> Option<ByteRange> {
        Some(self.position.later_movie).filter(|range| range.len > 0)
    }

    /// Goes on as far as it can.
    pub(super) fn advance(&mut self) -> Result<Wants> {
        if !self.wanted.is_empty() {
            return Ok(Wants::Ranges(self.wanted.clone()));
        }
        while self.position.at < self.file {
            if !matches!(self.tail, Tail::Read)
                && let Some(range) = self.look_at_tail()
            {
                return Ok(self.want(vec![range]));
            }
            match self.pass()? {
                Passed::Box => {}
                Passed::Lacks(range) => {
                    let ranges = self.with_hints(range);
                    return Ok(self.want(ranges));
                }
                Passed::Ended(ending) => {
                    self.ending = ending;
                    break;
                }
            }
        }
        self.windows.clear();
        Ok(Wants::Nothing)
    }

    /// Hands over one range that was wanted.
    pub(super) fn feed(&mut self, range: ByteRange, bytes: Bytes) -> Result<()> {
        let place = self.wanted.iter().position(|wanted| *wanted == range);
        let Some(place) = place else { return Err(Error::UnexpectedBytes) };
        self.wanted.swap_remove(place);
        if bytes.len() as u64 != range.len {
            return Err(Error::Truncated { what: "it is shorter than its size says", track: None });
        }
        self.windows.push((range.start, bytes));
        self.windows.sort_by_key(|window| window.0);
        Ok(())
    }

    fn want(&mut self, ranges: Vec<ByteRange>) -> Wants {
        self.wanted = ranges;
        Wants::Ranges(self.wanted.clone())
    }

    /// Reads the `mfra`, if there is one, in two steps.
    fn look_at_tail(&mut self) -> Option<ByteRange> {
        match self.tail {
            Tail::Read => {}
            Tail::Unread(range) => {
                let Some(bytes) = self.bytes(range) else { return Some(range) };
                let table = mfra::len_by_its_end(&bytes)
                    .and_then(|len| Some(ByteRange { start: self.file.checked_sub(len)?, len }))
                    .filter(|table| table.start >= self.position.at && table.len <= MAX_TABLE);
                self.windows.clear();
                self.tail = table.map_or(Tail::Read, Tail::Table);
                return table;
            }
            Tail::Table(range) => {
                let Some(bytes) = self.bytes(range) else { return Some(range) };
                if let Parsed::Header(header) = Header::parse(&bytes)
                    && header.kind.0 == *b"mfra"
                    && let Some(payload) = bytes.get(header.len as usize..)
                    && let Ok(starts) =
                        mfra::starts(payload, &mut Budget::new(self.limits.max_boxes))
                {
                    self.hints = starts.into_iter().take(MAX_HINTS).collect();
                }
                self.windows.clear();
                self.tail = Tail::Read;
            }
        }
        None
    }

    /// Passes the next box.
    fn pass(&mut self) -> Result<Passed> {
        let at = self.position.at;
        let left = self.file - at;
        let rest = self.rest();
        let header = match Header::parse(&rest) {
            Parsed::Header(header) if header.kind.0 == [0; 4] => {
                // Room that a recorder took in advance.
                return Ok(Passed::Ended(Ending::CutShort));
            }
            Parsed::Header(header) => header,
            Parsed::Short if rest.len() as u64 == left => {
                return Ok(Passed::Ended(Ending::CutShort));
            }
            Parsed::Short => return Ok(Passed::Lacks(self.window(at))),
            Parsed::Invalid => return Ok(Passed::Ended(Ending::Damaged)),
        };
        self.idle += 1;
        if self.idle > self.limits.max_boxes {
            return Err(Error::Limit { what: "boxes", limit: u64::from(self.limits.max_boxes) });
        }
        let size = header.size.unwrap_or(left);
        if size > left {
            return Ok(Passed::Ended(Ending::CutShort));
        }
        if header.size.is_none() {
            // It runs to the end of the file, wherever that is when the walk goes on.
            return Ok(Passed::Ended(Ending::Whole));
        }
        let range = ByteRange { start: at, len: size };
        let whole = usize::try_from(size).ok().and_then(|size| rest.get(..size));
        let payload = whole.map(|whole| whole.get(header.len as usize..).unwrap_or_default());
        match &header.kind.0 {
            b"moof" => {
                let limit = self.limits.max_moof_bytes;
                if size > limit {
                    return Err(Error::Limit { what: "bytes of one fragment's box", limit });
                }
                let Some(payload) = payload else { return Ok(Passed::Lacks(range)) };
                if let Some(ending) = self.fragment(payload, range)? {
                    return Ok(Passed::Ended(ending));
                }
            }
            b"sidx" if size <= MAX_TABLE => {
                let Some(payload) = payload else { return Ok(Passed::Lacks(range)) };
                if let Some(starts) = sidx::starts(payload, range.end()) {
                    self.position.indexed |= self.position.fragments == 0 && starts.len() > 1;
                    let room = MAX_HINTS.saturating_sub(self.hints.len());
                    self.hints.extend(starts.into_iter().take(room));
                }
            }
            b"moov" => self.position.later_movie = range,
            b"mfra" => self.position.closed = true,
            _ => {}
        }
        self.position.at = range.end();
        self.forget();
        Ok(Passed::Box)
    }

    /// Takes over what a fragment holds, or tells why the walk ends before it.
    fn fragment(&mut self, payload: &[u8], range: ByteRange) -> Result<Option<Ending>> {
        let limit = self.limits.max_fragments;
        if self.position.fragments >= limit {
            return Err(Error::Limit { what: "fragments", limit: u64::from(limit) });
        }
        let mut budget = Budget::new(self.limits.max_boxes);
        let runs = fragment::read(payload, range.start, self.file, &self.trexes, &mut budget);
        let runs = match runs {
            Ok(Some(runs)) => runs,
            Ok(None) => return Ok(Some(Ending::CutShort)),
            Err(error @ Error::Limit { .. }) => return Err(error),
            Err(_) => return Ok(Some(Ending::Damaged)),
        };
        for run in &runs {
            self.joined.append(run, &self.limits)?;
        }
        self.idle = 0;
        self.position.fragments += 1;
        self.position.last = range;
        self.position.longest = self.position.longest.max(range.len);
        self.position.hashes.1 = hash_of(payload);
        if self.position.fragments == 1 {
            self.position.hashes.0 = self.position.hashes.1;
        }
        Ok(None)
    }

    /// The bytes from the next box on, as far as they have been read.
    fn rest(&self) -> Bytes {
        let at = self.position.at;
        let after = self.windows.partition_point(|window| window.0 <= at);
        let window = after.checked_sub(1).and_then(|index| self.windows.get(index));
        window
            .and_then(|(start, bytes)| {
                let offset = usize::try_from(at - start).ok()?;
                (offset < bytes.len()).then(|| bytes.slice(offset..))
            })
            .unwrap_or_default()
    }

    /// Up to where there are bytes from `at` on; `None` where there are none.
    fn read_until(&self, at: u64) -> Option<u64> {
        self.windows
            .iter()
            .map(|(start, bytes)| *start..*start + bytes.len() as u64)
            .find(|window| window.contains(&at))
            .map(|window| window.end)
    }

    /// Exactly this range, where it has been read.
    fn bytes(&self, range: ByteRange) -> Option<Bytes> {
        let is_it =
            |window: &&(u64, Bytes)| window.0 == range.start && window.1.len() as u64 == range.len;
        self.windows.iter().find(is_it).map(|window| window.1.clone())
    }

    /// Lets go of what has been passed.
    fn forget(&mut self) {
        let at = self.position.at;
        self.windows.retain(|(start, bytes)| start + bytes.len() as u64 > at);
        while self.hints.first().is_some_and(|hint| *hint < at) {
            self.hints.pop_first();
        }
    }

    /// How much is read at a box's start: the header of a fragment and of what follows it, or many
    /// fragments where they are small.
    fn window(&self, at: u64) -> ByteRange {
        let Position { from, fragments, longest, .. } = self.position;
        let apart = self.position.at.saturating_sub(from).checked_div(u64::from(fragments));
        let len = match apart {
            Some(apart) if apart < SMALL_FRAGMENT => MANY,
            // Some room for one that is a little longer than those before.
            Some(_) => (longest + longest / 4 + 256).clamp(1 << 10, MANY),
            None => FIRST,
        };
        ByteRange { start: at, len: len.min(self.file - at) }
    }

    /// What is lacking and, once the size of fragments is known, what is said to come next, unless
    /// much of that is in memory: wrong hints must not fill it.
    fn with_hints(&self, range: ByteRange) -> Vec<ByteRange> {
        let mut ranges = vec![range];
        if self.position.fragments == 0 || self.windows.len() >= BATCH {
            return ranges;
        }
        let mut end = range.end();
        while ranges.len() < BATCH
            && let Some(&hint) = self.hints.range(end..).next()
            && hint < self.file
        {
            if let Some(read) = self.read_until(hint) {
                end = read;
                continue;
            }
            let window = self.window(hint);
            end = window.end();
            ranges.push(window);
        }
        ranges
    }
}

/// What a fragment's box is known again by.
pub(super) fn hash_of(payload: &[u8]) -> u64 {
    let mut hash = Fnv::new();
    hash.field(payload);
    hash.finish()
}

enum Passed {
    Box,
    /// Bytes that are needed to pass it.
    Lacks(ByteRange),
    Ended(Ending),
}

/// The first read, when nothing is known of the fragments.
const FIRST: u64 = 16 << 10;

/// Fragments that are closer together than this are read many at a time.
const SMALL_FRAGMENT: u64 = 128 << 10;

/// How much is read then.
const MANY: u64 = 512 << 10;

/// How many reads go out together, and how many windows may wait before more is read ahead.
const BATCH: usize = 32;

/// The longest `sidx` or `mfra` that is read for its hints.
const MAX_TABLE: u64 = 8 << 20;

/// The most hints that are kept; those beyond cost reads that are not batched.
const MAX_HINTS: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_that_are_wrong_do_not_fill_memory() {
        let joined = Joined { tracks: Vec::new() };
        let mut scan = Scan::new(0, 1 << 40, joined, Vec::new(), Limits::default());
        scan.position.fragments = 1;
        scan.position.at = 1 << 20;
        scan.hints = (100_u64..10_000).map(|number| number << 20).collect();
        // Boxes that the hints do not name: each read brings more that is said to come.
        let mut at = 1 << 20;
        while at < 80 << 20 {
            scan.position.at = at;
            scan.forget();
            let lacking = ByteRange { start: at, len: 16 };
            for range in scan.with_hints(lacking) {
                let len = usize::try_from(range.len).unwrap_or(usize::MAX);
                scan.windows.push((range.start, Bytes::from(vec![0; len])));
            }
            scan.windows.sort_by_key(|window| window.0);
            assert!(scan.windows.len() < 2 * BATCH, "{}", scan.windows.len());
            at += 1 << 20;
        }
        assert!(scan.windows.len() >= BATCH - 1, "some are read ahead");
    }
}
