//! Segments as a player sees them, read by a reader that is not ours.

use headwater_packager::{Media, TrackId};
use mp4_atom::{Decode, Moof};

use super::send;

/// One sample as a player would see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub dts: u64,
    pub pts: u64,
    pub sync: bool,
    pub bytes: Vec<u8>,
}

/// Reads all segments of a track with a reader that is not ours.
pub fn play(media: &Media, track: TrackId, files: &[Vec<u8>]) -> Vec<Seen> {
    let mut seen = Vec::new();
    for number in 1..=media.segment_count(track) {
        let plan = media.segment(track, number).unwrap();
        assert_eq!(media.segment_bytes(track, number), Some(plan.len), "segment {number}");
        let bytes = send(&plan, files);
        let segment = read_segment(&bytes);
        let span = media.spans(track)[number as usize - 1];
        assert_eq!(segment.sequence, number);
        assert_eq!(segment.samples.len() as u32, span.samples);
        if let Some(earliest) = segment.samples.iter().map(|sample| sample.pts).min() {
            assert_eq!(earliest, span.start, "segment {number} starts when it says");
            assert_eq!(segment.samples[0].dts, span.decode_time);
        }
        seen.extend(segment.samples);
    }
    seen
}

/// One segment.
pub struct Segment {
    pub sequence: u32,
    pub samples: Vec<Seen>,
}

/// Reads one segment of one track.
pub fn read_segment(bytes: &[u8]) -> Segment {
    let boxes = top_level(bytes);
    let kinds: Vec<_> = boxes.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds, ["styp", "moof", "mdat"]);
    let (_, moof_at) = boxes[1];
    let moof = Moof::decode(&mut &bytes[moof_at..]).unwrap();
    let [traf] = moof.traf.as_slice() else { panic!("one track a segment") };
    assert!(traf.tfhd.default_base_is_moof);
    let mut dts = traf.tfdt.as_ref().unwrap().base_media_decode_time;
    let mut samples = Vec::new();
    for run in &traf.trun {
        let mut at = moof_at + run.data_offset.unwrap() as usize;
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
        assert_eq!(at, bytes.len(), "the samples fill the mdat");
    }
    Segment { sequence: moof.mfhd.sequence_number, samples }
}

/// Boxes at the top level: what they are called and where they start.
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
