//! Sample entries that FFmpeg does not write.

use super::boxes::{boxed, words};

/// Parameter sets of x265: 320x180, 10 bits, 25 pictures a second, PQ.
pub const VPS: &[u8] = &[
    0x40, 0x01, 0x0c, 0x01, 0xff, 0xff, 0x02, 0x20, 0x00, 0x00, 0x03, 0x00, 0x90, 0x00, 0x00, 0x03,
    0x00, 0x00, 0x03, 0x00, 0x3c, 0x95, 0x94, 0x09,
];
pub const SPS: &[u8] = &[
    0x42, 0x01, 0x01, 0x02, 0x20, 0x00, 0x00, 0x03, 0x00, 0x90, 0x00, 0x00, 0x03, 0x00, 0x00, 0x03,
    0x00, 0x3c, 0xa0, 0x0a, 0x08, 0x0c, 0x1f, 0x3b, 0x65, 0x95, 0x95, 0x29, 0x30, 0xbc, 0x05, 0xa8,
    0x48, 0x80, 0x48, 0x20, 0x00, 0x00, 0x03, 0x00, 0x20, 0x00, 0x00, 0x03, 0x03, 0x21,
];
pub const PPS: &[u8] = &[0x44, 0x01, 0xc0, 0x73, 0xc1, 0x89];

/// An `hvcC` with these parameter sets.
pub fn hvcc(units: &[&[u8]]) -> Vec<u8> {
    let mut out = vec![1, 2, 0x20, 0, 0, 0, 0x90, 0, 0, 0, 0, 0, 0x3c, 0xf0, 0, 0xfc, 0xfd, 0xfa];
    out.extend([0xfa, 0, 0, 0x0f, units.len() as u8]);
    for unit in units {
        out.extend([unit[0] >> 1 & 63, 0, 1, 0, unit.len() as u8]);
        out.extend(*unit);
    }
    boxed(*b"hvcC", &out)
}

/// A visual sample entry of 320x180.
pub fn visual(kind: [u8; 4], boxes: &[Vec<u8>]) -> Vec<u8> {
    let mut entry = vec![0, 0, 0, 0, 0, 0, 0, 1];
    entry.extend([0; 16]);
    entry.extend([1, 64, 0, 180]);
    entry.extend([0; 50]);
    entry.extend(boxes.concat());
    boxed(kind, &entry)
}

/// A sound sample entry of 48 kHz stereo.
pub fn sound(kind: [u8; 4], boxes: &[Vec<u8>]) -> Vec<u8> {
    let mut entry = vec![0, 0, 0, 0, 0, 0, 0, 1];
    entry.extend([0; 8]);
    entry.extend([0, 2, 0, 16, 0, 0, 0, 0, 0xbb, 0x80, 0, 0]);
    entry.extend(boxes.concat());
    boxed(kind, &entry)
}

/// A sample entry with more boxes at its end.
pub fn with(mut entry: Vec<u8>, boxes: &[Vec<u8>]) -> Vec<u8> {
    entry.extend(boxes.concat());
    let len = entry.len() as u32;
    entry[..4].copy_from_slice(&len.to_be_bytes());
    entry
}

/// The shape of a pixel.
pub fn pasp(across: u32, down: u32) -> Vec<u8> {
    boxed(*b"pasp", &words(&[across, down]))
}

/// A sample entry of neither picture nor sound.
pub fn data(kind: [u8; 4]) -> Vec<u8> {
    boxed(kind, &[0, 0, 0, 0, 0, 0, 0, 1])
}

/// A Dolby Vision configuration.
pub fn dolby_vision(kind: [u8; 4], profile: u16, level: u16, compatibility: u8) -> Vec<u8> {
    let mut out = vec![1, 0];
    out.extend((profile << 9 | level << 3 | 5).to_be_bytes());
    out.push(compatibility << 4);
    out.extend([0; 19]);
    boxed(kind, &out)
}

/// `dec3` of 5.1 with objects.
pub fn dec3_joc() -> Vec<u8> {
    boxed(*b"dec3", &[0x14, 0x00, 0x20, 0x0f, 0x00, 0x01, 0x10])
}

/// A sample of NAL units with lengths of four bytes, the last of them a slice.
pub fn sample(units: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    for unit in units.iter().chain(&[&[0x26, 1, 0, 0][..]]) {
        out.extend(words(&[unit.len() as u32]));
        out.extend(*unit);
    }
    out
}
