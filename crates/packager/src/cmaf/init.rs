//! Init segments, of one track or of several: `ftyp` and a `moov` without samples (ISO/IEC 23000-19 §7.3.1,
//! boxes of ISO/IEC 14496-12 §8).
//!
//! There is no edit list: the timeline is in the segments. Creation times are zero, so that the
//! bytes depend on nothing but the source.

use bytes::{BufMut, BytesMut};

use crate::index::TrackIndex;
use crate::isobmff::write::{boxed, full_box};
use crate::movie_header::{IDENTITY, matrix, presented};
use crate::plan::Plan;
use crate::track::Track;

/// The number of an output's only track.
pub(super) const TRACK: u32 = 1;

/// The plan of the init segment of one track.
pub(crate) fn init(track: &Track, index: &TrackIndex) -> Plan {
    plan(track.content_type(), *b"cmfc", &[(track, index)])
}

/// The plan of the init segment of tracks that share segments, numbered from 1 in this order.
pub(crate) fn init_muxed(tracks: &[(&Track, &TrackIndex)]) -> Plan {
    plan("video/mp4", *b"iso5", tracks)
}

fn plan(content_type: &'static str, brand: [u8; 4], tracks: &[(&Track, &TrackIndex)]) -> Plan {
    let mut out = BytesMut::with_capacity(1024);
    boxed(&mut out, *b"ftyp", |out| {
        out.put_slice(b"iso6\0\0\0\0iso6");
        out.put_slice(&brand);
        out.put_slice(b"mp41");
        // Players choose a supplemental codec only where the media claims it (RFC 8216bis
        // §4.4.6.2).
        let videos = tracks.iter().filter_map(|(track, _)| track.video());
        for supplemental in videos.filter_map(|video| video.supplemental.as_ref()) {
            out.put_slice(&supplemental.brand.0);
        }
    });
    let numbered = || (TRACK..).zip(tracks);
    boxed(&mut out, *b"moov", |out| {
        mvhd(out, tracks);
        for (number, (track, index)) in numbered() {
            boxed(out, *b"trak", |out| {
                tkhd(out, number, track, index);
                boxed(out, *b"mdia", |out| mdia(out, track, index));
            });
        }
        boxed(out, *b"mvex", |out| {
            for (number, _) in numbered() {
                full_box(out, *b"trex", 0, 0, |out| {
                    out.put_u32(number);
                    out.put_u32(1);
                    out.put_bytes(0, 12);
                });
            }
        });
    });
    let mut plan = Plan::new(content_type);
    plan.push_bytes(out.freeze());
    plan
}

fn mvhd(out: &mut BytesMut, tracks: &[(&Track, &TrackIndex)]) {
    let timescale = tracks.first().map_or(1_000, |(track, _)| track.timescale.get());
    full_box(out, *b"mvhd", 0, 0, |out| {
        out.put_bytes(0, 8);
        out.put_u32(timescale);
        out.put_u32(0);
        out.put_u32(1 << 16);
        out.put_u16(1 << 8);
        out.put_bytes(0, 10);
        matrix(out, &IDENTITY);
        out.put_bytes(0, 24);
        out.put_u32(u32::try_from(tracks.len()).unwrap_or(u32::MAX).saturating_add(TRACK));
    });
}

fn tkhd(out: &mut BytesMut, number: u32, track: &Track, index: &TrackIndex) {
    // Enabled, in movie, in preview.
    full_box(out, *b"tkhd", 0, 7, |out| {
        out.put_bytes(0, 8);
        out.put_u32(number);
        out.put_bytes(0, 4 + 4 + 8 + 2 + 2);
        presented(out, track, index);
    });
}

fn mdia(out: &mut BytesMut, track: &Track, index: &TrackIndex) {
    full_box(out, *b"mdhd", 0, 0, |out| {
        out.put_bytes(0, 8);
        out.put_u32(track.timescale.get());
        out.put_u32(0);
        out.put_u16(index.packed_language);
        out.put_u16(0);
    });
    full_box(out, *b"hdlr", 0, 0, |out| {
        out.put_u32(0);
        out.put_slice(if track.is_video() { b"vide" } else { b"soun" });
        out.put_bytes(0, 12 + 1);
    });
    // A tag that three letters do not hold, or that an operator put in place of the source's.
    let told = track.language.as_deref().unwrap_or("und");
    let needed = told.contains('-') || track.language != index.language;
    if let Some(language) = Some(told).filter(|_| needed) {
        full_box(out, *b"elng", 0, 0, |out| {
            out.put_slice(language.as_bytes());
            out.put_u8(0);
        });
    }
    boxed(out, *b"minf", |out| {
        if track.is_video() {
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
        boxed(out, *b"stbl", |out| {
            full_box(out, *b"stsd", 0, 0, |out| {
                out.put_u32(1);
                out.put_slice(index.codec.sample_entry());
            });
            for empty in [*b"stts", *b"stsc", *b"stco"] {
                full_box(out, empty, 0, 0, |out| out.put_u32(0));
            }
            full_box(out, *b"stsz", 0, 0, |out| out.put_u64(0));
        });
    });
}
