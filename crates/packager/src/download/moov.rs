//! The movie box of a download: sample tables in runs (ISO/IEC 14496-12 §8.6.1 to §8.7.5).
//!
//! Creation times are zero, so that the bytes depend on nothing but the source.

use bytes::{BufMut, BytesMut};

use super::Found;
use super::chunks::Chunk;
use crate::index::Sample;
use crate::isobmff::write::{boxed, full_box};
use crate::movie_header::{IDENTITY, matrix, presented};
use crate::units::{MediaTime, Timescale};

/// How long the movie box will be.
pub(super) fn len(tracks: &[Found<'_>], chunks: &[Chunk], wide: bool) -> u64 {
    let mut out = BytesMut::new();
    write(&mut out, tracks, chunks, wide);
    out.len() as u64
}

/// Writes the movie box; `wide` offsets have 64 bits.
pub(super) fn write(out: &mut BytesMut, tracks: &[Found<'_>], chunks: &[Chunk], wide: bool) {
    let movie = movie_timescale(tracks);
    let duration = tracks.iter().map(|found| found.movie_end(movie)).max().unwrap_or(0);
    boxed(out, *b"moov", |out| {
        mvhd(out, movie, duration, tracks.len());
        for (lane, found) in (0_u8..).zip(tracks) {
            let own = || chunks.iter().filter(move |chunk| chunk.lane == lane);
            boxed(out, *b"trak", |out| {
                tkhd(out, u32::from(lane) + 1, found, found.movie_end(movie));
                edts(out, found, movie);
                boxed(out, *b"mdia", |out| {
                    mdia_heads(out, found);
                    boxed(out, *b"minf", |out| {
                        minf_heads(out, found);
                        boxed(out, *b"stbl", |out| {
                            full_box(out, *b"stsd", 0, 0, |out| {
                                out.put_u32(1);
                                out.put_slice(found.index.codec.sample_entry());
                            });
                            samples(out, found);
                            stsc(out, own());
                            offsets(out, own(), wide);
                        });
                    });
                });
            });
        }
    });
}

/// One in which the times of all tracks are whole numbers, so that edit lists lose nothing; the
/// finest of the tracks' own where that would be beyond reason.
fn movie_timescale(tracks: &[Found<'_>]) -> Timescale {
    const REASONABLE: u64 = 10_000_000;
    let all = || tracks.iter().map(|found| u64::from(found.track.timescale.get()));
    let common = all().try_fold(1, |common, hz| {
        let (mut a, mut b) = (common, hz);
        while b != 0 {
            (a, b) = (b, a % b);
        }
        Some(common / a * hz).filter(|common| *common <= REASONABLE)
    });
    let hz = common.or_else(|| all().max()).and_then(|hz| u32::try_from(hz).ok());
    hz.and_then(Timescale::new).unwrap_or(Timescale::MILLIS)
}

impl Found<'_> {
    /// Its samples as this file numbers them.
    fn samples(&self) -> impl Iterator<Item = Sample> {
        self.index.samples().range(0..self.count)
    }

    /// A duration in ticks of the track in those of the movie, rounded up: no edit ends early.
    fn in_movie(&self, ticks: i64, movie: Timescale) -> u64 {
        let time = MediaTime::new(ticks.max(0), self.track.timescale).rescale_up(movie);
        time.and_then(|time| u64::try_from(time.ticks()).ok()).unwrap_or(u64::MAX)
    }

    /// When it ends in the presentation.
    fn movie_end(&self, movie: Timescale) -> u64 {
        self.in_movie(self.end, movie)
    }

    /// Ticks from its first decode time to the last sample's end.
    fn media_duration(&self) -> u64 {
        let last = self.index.samples().range(self.count.saturating_sub(1)..self.count).next();
        let end = last.map_or(0, |sample| sample.dts.saturating_add(sample.duration.into()));
        u64::try_from(end).unwrap_or(0)
    }
}

/// §8.2.2
fn mvhd(out: &mut BytesMut, movie: Timescale, duration: u64, tracks: usize) {
    versioned(out, *b"mvhd", 0, duration, |out, wide| {
        times(out, wide);
        out.put_u32(movie.get());
        sized(out, wide, duration);
        out.put_u32(1 << 16);
        out.put_u16(1 << 8);
        out.put_bytes(0, 10);
        matrix(out, &IDENTITY);
        out.put_bytes(0, 24);
        out.put_u32(tracks as u32 + 1);
    });
}

/// §8.3.2
fn tkhd(out: &mut BytesMut, number: u32, found: &Found<'_>, duration: u64) {
    // Enabled, in movie, in preview.
    versioned(out, *b"tkhd", 7, duration, |out, wide| {
        times(out, wide);
        out.put_u32(number);
        out.put_u32(0);
        sized(out, wide, duration);
        out.put_bytes(0, 8 + 2);
        // Alternate group: none, for there is one of each kind.
        out.put_u16(0);
        presented(out, found.track, found.index);
    });
}

/// §8.6.6: an empty edit for a track that starts late, then all of it from where it is presented.
/// None where that is its own time zero: FFmpeg takes such an edit to start with the first sample,
/// even where that is composed later.
fn edts(out: &mut BytesMut, found: &Found<'_>, movie: Timescale) {
    if found.shift == 0 {
        return;
    }
    let delay = found.in_movie(found.shift, movie);
    let media_time = found.shift.min(0).unsigned_abs();
    let duration = found.in_movie(found.end - found.shift.max(0), movie);
    let wide = [delay, duration, media_time].iter().any(|value| *value > i32::MAX as u64);
    boxed(out, *b"edts", |out| {
        full_box(out, *b"elst", u8::from(wide), 0, |out| {
            out.put_u32(if delay > 0 { 2 } else { 1 });
            if delay > 0 {
                sized(out, wide, delay);
                if wide {
                    out.put_i64(-1);
                } else {
                    out.put_i32(-1);
                }
                out.put_u32(1 << 16);
            }
            sized(out, wide, duration);
            sized(out, wide, media_time);
            out.put_u32(1 << 16);
        });
    });
}

/// §8.4.2, §8.4.3, §8.4.6
fn mdia_heads(out: &mut BytesMut, found: &Found<'_>) {
    let duration = found.media_duration();
    versioned(out, *b"mdhd", 0, duration, |out, wide| {
        times(out, wide);
        out.put_u32(found.track.timescale.get());
        sized(out, wide, duration);
        out.put_u16(found.index.packed_language);
        out.put_u16(0);
    });
    full_box(out, *b"hdlr", 0, 0, |out| {
        out.put_u32(0);
        out.put_slice(if found.track.is_video() { b"vide" } else { b"soun" });
        out.put_bytes(0, 12);
        // What players show as the track's name.
        out.put_slice(found.track.name.as_deref().unwrap_or_default().replace('\0', "").as_bytes());
        out.put_u8(0);
    });
    let told = found.track.language.as_deref().unwrap_or("und");
    if told.contains('-') || found.track.language != found.index.language {
        full_box(out, *b"elng", 0, 0, |out| {
            out.put_slice(told.as_bytes());
            out.put_u8(0);
        });
    }
}

/// §12.1.2, §12.2.2, §8.7.1, §8.7.2
fn minf_heads(out: &mut BytesMut, found: &Found<'_>) {
    if found.track.is_video() {
        full_box(out, *b"vmhd", 0, 1, |out| out.put_u64(0));
    } else {
        full_box(out, *b"smhd", 0, 0, |out| out.put_u32(0));
    }
    boxed(out, *b"dinf", |out| {
        full_box(out, *b"dref", 0, 0, |out| {
            out.put_u32(1);
            full_box(out, *b"url ", 0, 1, |_| {});
        });
    });
}

/// `stts` (§8.6.1.2), `ctts` (§8.6.1.3), `stss` (§8.6.2), `stsz` (§8.7.3.2).
fn samples(out: &mut BytesMut, found: &Found<'_>) {
    runs(out, *b"stts", found.samples().map(|sample| sample.duration));
    // Never negative: the most negative one was taken off, and the edit list starts so much later.
    let offset = |sample: &Sample| {
        u32::try_from(i64::from(sample.composition_offset) - i64::from(found.lead)).unwrap_or(0)
    };
    if found.samples().any(|sample| offset(&sample) != 0) {
        runs(out, *b"ctts", found.samples().map(|sample| offset(&sample)));
    }
    if found.samples().any(|sample| !sample.sync) {
        counted(out, *b"stss", |out| {
            let mut count = 0;
            for (number, _) in (1_u32..).zip(found.samples()).filter(|(_, sample)| sample.sync) {
                out.put_u32(number);
                count += 1;
            }
            count
        });
    }
    let mut sizes = found.samples().map(|sample| sample.size);
    let first = sizes.next().unwrap_or(0);
    let constant = first != 0 && sizes.all(|size| size == first);
    full_box(out, *b"stsz", 0, 0, |out| {
        out.put_u32(if constant { first } else { 0 });
        out.put_u32(found.count);
        if !constant {
            for sample in found.samples() {
                out.put_u32(sample.size);
            }
        }
    });
}

/// `stsc` (§8.7.4): an entry wherever the number of samples in a chunk changes.
fn stsc<'a>(out: &mut BytesMut, chunks: impl Iterator<Item = &'a Chunk>) {
    counted(out, *b"stsc", |out| {
        let (mut count, mut last) = (0, 0);
        for (number, chunk) in (1_u32..).zip(chunks) {
            if chunk.samples != last {
                out.put_u32(number);
                out.put_u32(chunk.samples);
                out.put_u32(1);
                (count, last) = (count + 1, chunk.samples);
            }
        }
        count
    });
}

/// `stco` or `co64` (§8.7.5).
fn offsets<'a>(out: &mut BytesMut, chunks: impl Iterator<Item = &'a Chunk>, wide: bool) {
    counted(out, if wide { *b"co64" } else { *b"stco" }, |out| {
        let mut count = 0;
        for chunk in chunks {
            sized(out, wide, chunk.at);
            count += 1;
        }
        count
    });
}

/// A table of runs of equal values.
fn runs(out: &mut BytesMut, kind: [u8; 4], values: impl Iterator<Item = u32>) {
    counted(out, kind, |out| {
        let mut count = 0;
        let mut run: Option<(u32, u32)> = None;
        for value in values {
            run = match run {
                Some((length, same)) if same == value => Some((length + 1, same)),
                ended => {
                    if let Some((length, same)) = ended {
                        out.put_u32(length);
                        out.put_u32(same);
                    }
                    count += 1;
                    Some((1, value))
                }
            };
        }
        if let Some((length, same)) = run {
            out.put_u32(length);
            out.put_u32(same);
        }
        count
    });
}

/// A table that tells how many entries it has once they are written.
fn counted(out: &mut BytesMut, kind: [u8; 4], entries: impl FnOnce(&mut BytesMut) -> u32) {
    full_box(out, kind, 0, 0, |out| {
        let place = out.len();
        out.put_u32(0);
        let count = entries(out);
        if let Some(field) = out.get_mut(place..place + 4) {
            field.copy_from_slice(&count.to_be_bytes());
        }
    });
}

/// A box that is in version 1, with 64 bits for times, where a duration needs them.
fn versioned(
    out: &mut BytesMut,
    kind: [u8; 4],
    flags: u32,
    duration: u64,
    contents: impl FnOnce(&mut BytesMut, bool),
) {
    // All ones would mean that the duration is not known.
    let wide = duration >= u64::from(u32::MAX);
    full_box(out, kind, u8::from(wide), flags, |out| contents(out, wide));
}

/// Creation and modification times.
fn times(out: &mut BytesMut, wide: bool) {
    out.put_bytes(0, if wide { 16 } else { 8 });
}

fn sized(out: &mut BytesMut, wide: bool, value: u64) {
    if wide {
        out.put_u64(value);
    } else {
        out.put_u32(u32::try_from(value).unwrap_or(u32::MAX));
    }
}
