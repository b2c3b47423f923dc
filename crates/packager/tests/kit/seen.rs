//! Segments of fragmented MP4 as a player sees them, read by a reader that is not ours.

use headwater_packager::{Media, TrackId};
use mp4_atom::{Decode, Moof, Traf};

use super::send;

/// One sample as a player would see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub dts: u64,
    pub pts: u64,
    pub sync: bool,
    pub bytes: Vec<u8>,
}

/// A segment, taken apart.
#[derive(Debug)]
pub struct Segment {
    pub sequence: u32,
    /// Track numbers and samples, in the order of the `traf`s.
    pub tracks: Vec<(u32, Vec<Seen>)>,
}

/// Reads all segments of a track.
pub fn play(media: &Media, track: TrackId, files: &[Vec<u8>]) -> Vec<Seen> {
    let mut seen = Vec::new();
    for number in 1..=media.segment_count(track) {
        let plan = media.segment(track, number).unwrap();
        assert_eq!(media.segment_bytes(track, number), Some(plan.len), "segment {number}");
        let segment = read(&send(&plan, files));
        let [(_, samples)] = segment.tracks.try_into().expect("one track a segment");
        let span = media.spans(track)[number as usize - 1];
        assert_eq!(segment.sequence, number);
        assert_eq!(samples.len() as u32, span.samples);
        if let Some(earliest) = samples.iter().map(|sample| sample.pts).min() {
            assert_eq!(earliest, span.start, "segment {number} starts when it says");
            assert_eq!(samples[0].dts, span.decode_time);
        }
        seen.extend(samples);
    }
    seen
}

/// Boxes that follow each other: their kinds, and where they start.
pub fn top_level(bytes: &[u8]) -> Vec<(&str, usize)> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let size = u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
        assert!(size >= 8);
        found.push((std::str::from_utf8(&bytes[at + 4..at + 8]).unwrap(), at));
        at += size;
    }
    found
}

/// Reads a segment: its samples fill its `mdat`, each byte of it once.
pub fn read(bytes: &[u8]) -> Segment {
    let boxes = top_level(bytes);
    let kinds: Vec<_> = boxes.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds, ["styp", "moof", "mdat"]);
    let (moof_at, mdat_at) = (boxes[1].1, boxes[2].1 + 8);
    let moof = Moof::decode(&mut &bytes[moof_at..]).unwrap();
    let mut used = Vec::new();
    let tracks = moof.traf.iter();
    let tracks =
        tracks.map(|traf| (traf.tfhd.track_id, samples(traf, moof_at, bytes, &mut used))).collect();
    used.sort_unstable();
    let mut at = mdat_at;
    for (from, to) in used {
        assert_eq!(from, at, "the runs follow each other");
        at = to;
    }
    assert_eq!(at, bytes.len(), "the samples fill the mdat");
    Segment { sequence: moof.mfhd.sequence_number, tracks }
}

fn samples(traf: &Traf, moof_at: usize, bytes: &[u8], used: &mut Vec<(usize, usize)>) -> Vec<Seen> {
    assert!(traf.tfhd.default_base_is_moof);
    let mut dts = traf.tfdt.as_ref().unwrap().base_media_decode_time;
    let mut samples = Vec::new();
    for run in &traf.trun {
        let mut at = moof_at + run.data_offset.unwrap() as usize;
        let from = at;
        for entry in &run.samples {
            let size = entry.size.or(traf.tfhd.default_sample_size).unwrap() as usize;
            let flags = entry.flags.or(traf.tfhd.default_sample_flags).unwrap();
            samples.push(Seen {
                dts,
                pts: dts.checked_add_signed(entry.cts.unwrap_or(0)).unwrap(),
                sync: flags & 0x1_0000 == 0,
                bytes: bytes[at..at + size].to_vec(),
            });
            at += size;
            dts += u64::from(entry.duration.or(traf.tfhd.default_sample_duration).unwrap());
        }
        used.push((from, at));
    }
    samples
}
