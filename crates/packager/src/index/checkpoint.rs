//! A scan of fragments in a form that can be kept: how far it has come, and what it has found.
//!
//! It is taken up again only where it fits: its checksum is right, it was made by this version of
//! the format, the movie box is the same byte for byte, and the last fragment found is still where
//! it was, byte for byte. Whatever does not fit is as good as none.

use bytes::{BufMut, Bytes, BytesMut};

use super::joined::{Joined, JoinedTrack};
use super::scan::{Position, Scan};
use crate::identity::{Fnv, SourceId};
use crate::isobmff::Cursor;
use crate::units::ByteRange;

/// Raised with every change of what follows.
const MAGIC: &[u8; 8] = b"hwscan\0\x01";

/// A scan that was taken up again.
#[derive(Debug)]
pub(super) struct Checkpoint {
    /// It was made of exactly this state of the source.
    pub(super) same_source: bool,
    pub(super) position: Position,
    pub(super) joined: Joined,
}

/// Writes down a scan of a source whose movie box has this hash.
pub(super) fn write(scan: &Scan, source: &SourceId, moov: u64) -> Bytes {
    let (position, joined) = (scan.position(), scan.joined());
    let entries = |track: &JoinedTrack| {
        track.sizes.len()
            + 2 * track.durations.len()
            + 2 * track.offsets.len()
            + track.sync.as_ref().map_or(0, Vec::len)
            + 2 * track.chunks.len()
            + 3 * track.chunk_runs.len()
    };
    let len = joined.tracks.iter().map(|track| 80 + 4 * entries(track)).sum::<usize>();
    let mut out = BytesMut::with_capacity(160 + len);
    out.put_slice(MAGIC);
    for number in [source.hash64(), moov, position.at, position.from, position.longest] {
        out.put_u64(number);
    }
    for range in [position.last, position.later_movie] {
        out.put_u64(range.start);
        out.put_u64(range.len);
    }
    out.put_u64(position.hashes.0);
    out.put_u64(position.hashes.1);
    out.put_u32(position.fragments);
    out.put_u8(u8::from(position.indexed));
    out.put_u8(u8::from(position.closed));
    out.put_u32(joined.tracks.len() as u32);
    for track in &joined.tracks {
        put_track(&mut out, track);
    }
    let checksum = checksum(&out);
    out.put_u64(checksum);
    out.freeze()
}

/// Reads what was written for a source with such a movie box; `None` for anything else.
pub(super) fn read(bytes: &[u8], source: &SourceId, moov: u64) -> Option<Checkpoint> {
    let (body, sum) = bytes.split_last_chunk::<8>()?;
    if checksum(body) != u64::from_be_bytes(*sum) {
        return None;
    }
    let mut cursor = Cursor::new(body.strip_prefix(MAGIC)?);
    let same_source = cursor.u64()? == source.hash64();
    if cursor.u64()? != moov {
        return None;
    }
    let (at, from, longest) = (cursor.u64()?, cursor.u64()?, cursor.u64()?);
    let last = ByteRange::new(cursor.u64()?, cursor.u64()?)?;
    let later_movie = ByteRange::new(cursor.u64()?, cursor.u64()?)?;
    let position = Position {
        at,
        from,
        longest,
        last,
        later_movie,
        hashes: (cursor.u64()?, cursor.u64()?),
        fragments: cursor.u32()?,
        indexed: cursor.u8()? != 0,
        closed: cursor.u8()? != 0,
    };
    let count = cursor.u32()?;
    let tracks: Option<Vec<JoinedTrack>> = (0..count).map(|_| take_track(&mut cursor)).collect();
    let fits = cursor.rest().is_empty() && position.at <= source.size && position.fragments > 0;
    fits.then_some(Checkpoint { same_source, position, joined: Joined { tracks: tracks? } })
}

fn put_track(out: &mut BytesMut, track: &JoinedTrack) {
    out.put_u32(track.number);
    out.put_u64(track.start);
    out.put_u64(track.next);
    out.put_u32(track.ignored_times);
    let count = |out: &mut BytesMut, len: usize| out.put_u32(len as u32);
    count(out, track.sizes.len());
    for size in &track.sizes {
        out.put_u32(*size);
    }
    count(out, track.durations.len());
    for (samples, duration) in &track.durations {
        out.put_u32(*samples);
        out.put_u32(*duration);
    }
    count(out, track.offsets.len());
    for (samples, offset) in &track.offsets {
        out.put_u32(*samples);
        out.put_i32(*offset);
    }
    out.put_u8(u8::from(track.sync.is_some()));
    count(out, track.sync.as_ref().map_or(0, Vec::len));
    for number in track.sync.iter().flatten() {
        out.put_u32(*number);
    }
    count(out, track.chunks.len());
    for chunk in &track.chunks {
        out.put_u64(*chunk);
    }
    count(out, track.chunk_runs.len());
    for (first, samples, description) in &track.chunk_runs {
        out.put_u32(*first);
        out.put_u32(*samples);
        out.put_u32(*description);
    }
}

fn take_track(cursor: &mut Cursor<'_>) -> Option<JoinedTrack> {
    let mut track = JoinedTrack::new(cursor.u32()?);
    (track.start, track.next) = (cursor.u64()?, cursor.u64()?);
    track.ignored_times = cursor.u32()?;
    track.sizes = cursor.table::<4>()?.iter().map(|size| u32::from_be_bytes(*size)).collect();
    track.durations = cursor.table::<8>()?.iter().map(|run| pair(*run)).collect();
    let offsets = cursor.table::<8>()?.iter().map(|run| pair(*run));
    track.offsets = offsets.map(|(samples, offset)| (samples, offset.cast_signed())).collect();
    let some = cursor.u8()? != 0;
    let sync = cursor.table::<4>()?.iter().map(|number| u32::from_be_bytes(*number)).collect();
    track.sync = some.then_some(sync);
    track.chunks = cursor.table::<8>()?.iter().map(|chunk| u64::from_be_bytes(*chunk)).collect();
    let runs = cursor.table::<12>()?.iter();
    track.chunk_runs = runs
        .map(|run| {
            let [a, b, c, d, rest @ ..] = *run;
            let (samples, description) = pair(rest);
            (u32::from_be_bytes([a, b, c, d]), samples, description)
        })
        .collect();
    Some(track)
}

fn pair(bytes: [u8; 8]) -> (u32, u32) {
    let both = u64::from_be_bytes(bytes);
    ((both >> 32) as u32, both as u32)
}

fn checksum(bytes: &[u8]) -> u64 {
    let mut hash = Fnv::new();
    hash.field(bytes);
    hash.finish()
}
