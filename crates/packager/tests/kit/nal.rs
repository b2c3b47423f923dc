//! Films made of NAL units that hold nothing, with lengths of any size before them.

use super::boxes::{FileSpec, TrackSpec, avc1};

/// A file whose pictures are NAL units with lengths of `length_size` bytes.
pub fn film_of_units(length_size: u8, video: TrackSpec, audio: Option<TrackSpec>) -> Vec<u8> {
    file_of_units(length_size, FileSpec::new([Some(video), audio].into_iter().flatten().collect()))
}

/// The same of any file with one picture.
pub fn file_of_units(length_size: u8, mut spec: FileSpec) -> Vec<u8> {
    let mut entry = avc1();
    // lengthSizeMinusOne is in the fifth byte of the configuration.
    let at = entry.windows(4).position(|bytes| bytes == b"avcC").unwrap() + 8;
    entry[at] = 0xfc | (length_size - 1);
    let position = spec.tracks.iter().position(|track| track.video).unwrap();
    spec.tracks[position].entry = Some(entry);
    let sync = &spec.tracks[position].sync;
    let mut file = spec.bytes();
    for (number, range) in (1_u32..).zip(spec.places(position)) {
        let mut rest = &mut file[range];
        let is_sync = sync.as_ref().is_none_or(|sync| sync.contains(&number));
        let mut kind = if number % 3 == 0 { 9 } else { 6 };
        while rest.len() > usize::from(length_size) {
            let (length, after) = rest.split_at_mut(usize::from(length_size));
            let most = if kind == 9 { 2 } else { 90 + number as usize % 100 };
            let unit_len = most.min(after.len());
            length.copy_from_slice(&(unit_len as u32).to_be_bytes()[4 - length.len()..]);
            let (unit, more) = after.split_at_mut(unit_len);
            unit.fill(0x77);
            unit[0] = 0x60 | kind;
            kind = if is_sync { 5 } else { 1 };
            rest = more;
        }
    }
    file
}
