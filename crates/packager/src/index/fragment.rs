//! One movie fragment: which samples it adds to which tracks (ISO/IEC 14496-12 §8.8.4 to §8.8.8).

use crate::error::{Error, Result};
use crate::isobmff::tfhd::{self, Tfhd};
use crate::isobmff::trex::Trex;
use crate::isobmff::trun::{self, Trun};
use crate::isobmff::{Budget, FourCc, children, tfdt};
use crate::units::ByteRange;

/// A run of samples of one track that lie one after the other.
#[derive(Debug)]
pub(super) struct Run<'a> {
    pub(super) track: u32,
    /// Where its track fragment says when it starts; else it follows what came before.
    pub(super) decode_time: Option<u64>,
    /// Where its samples are.
    pub(super) data: ByteRange,
    /// Sample description, from 1.
    pub(super) description: u32,
    defaults: Trex,
    trun: Trun<'a>,
}

/// A sample as a run tells it.
#[derive(Debug, Clone, Copy)]
pub(super) struct RunSample {
    pub(super) duration: u32,
    pub(super) size: u32,
    pub(super) composition_offset: i32,
    pub(super) sync: bool,
}

/// Reads the payload of a `moof` that starts at `start`. `None` where some of its samples lie past
/// the end of a file of `file` bytes: the fragment is not complete.
pub(super) fn read<'a>(
    payload: &'a [u8],
    start: u64,
    file: u64,
    trexes: &[Trex],
    budget: &mut Budget,
) -> Result<Option<Vec<Run<'a>>>> {
    let mut runs = Vec::new();
    // Where the data of the track fragment before ends (§8.8.7.1).
    let mut after = start;
    for traf in children(payload, budget)?.all(b"traf") {
        let traf = children(traf.payload, budget)?;
        let head = tfhd::read(traf.require(b"tfhd", b"traf", None)?).ok_or(malformed(
            b"tfhd",
            None,
            "it is cut short",
        ))?;
        let mut decode_time = match traf.get(b"tfdt") {
            None => None,
            Some(tfdt) => Some(tfdt::decode_time(tfdt).ok_or(malformed(
                b"tfdt",
                Some(head.track),
                "it is cut short",
            ))?),
        };
        let defaults = defaults(&head, trexes);
        let base = match head.base {
            Some(base) => base,
            None if head.base_is_moof || runs.is_empty() => start,
            None => after,
        };
        let mut at = base;
        for trun in traf.all(b"trun") {
            let track = Some(head.track);
            let trun = trun::read(trun.payload).ok_or(malformed(
                b"trun",
                track,
                "it is shorter than its table",
            ))?;
            if let Some(offset) = trun.data_offset {
                at = base.checked_add_signed(i64::from(offset)).ok_or(malformed(
                    b"trun",
                    track,
                    "its samples lie before the file",
                ))?;
            }
            if trun.count == 0 {
                continue;
            }
            let bytes = bytes(&trun, &defaults).ok_or(malformed(
                b"trun",
                track,
                "it has samples without size",
            ))?;
            let Some(data) = ByteRange::new(at, bytes).filter(|data| data.end() <= file) else {
                return Ok(None);
            };
            at = data.end();
            after = at;
            let description = defaults.description;
            let decode_time = decode_time.take();
            runs.push(Run { track: head.track, decode_time, data, description, defaults, trun });
        }
    }
    Ok(Some(runs))
}

impl Run<'_> {
    pub(super) fn count(&self) -> u32 {
        self.trun.count
    }

    pub(super) fn samples(&self) -> impl Iterator<Item = RunSample> {
        let Trex { duration, size, flags, .. } = self.defaults;
        let mut first = self.trun.first_flags;
        self.trun.rows().map(move |row| RunSample {
            duration: row.duration.unwrap_or(duration),
            size: row.size.unwrap_or(size),
            composition_offset: row.composition_offset,
            sync: is_sync(first.take().or(row.flags).unwrap_or(flags)),
        })
    }
}

/// §8.8.3.1: sample_is_non_sync_sample is bit 16.
const fn is_sync(flags: u32) -> bool {
    flags & 0x1_0000 == 0
}

fn defaults(head: &Tfhd, trexes: &[Trex]) -> Trex {
    let trex = trexes.iter().find(|trex| trex.track == head.track).copied().unwrap_or_default();
    Trex {
        track: head.track,
        description: head.description.unwrap_or(trex.description).max(1),
        duration: head.duration.unwrap_or(trex.duration),
        size: head.size.unwrap_or(trex.size),
        flags: head.flags.unwrap_or(trex.flags),
    }
}

/// How many bytes its samples are; `None` where nothing bounds their number, for then they have no
/// bytes and no row.
fn bytes(trun: &Trun<'_>, defaults: &Trex) -> Option<u64> {
    if trun.has_sizes() {
        // 2^32 samples of 2^32 bytes still fit.
        return Some(trun.rows().map(|row| u64::from(row.size.unwrap_or(0))).sum());
    }
    (defaults.size > 0).then(|| u64::from(trun.count) * u64::from(defaults.size))
}

fn malformed(kind: impl Into<FourCc>, track: Option<u32>, why: &'static str) -> Error {
    Error::BadBox { kind: kind.into(), track, why }
}
