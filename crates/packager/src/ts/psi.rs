//! Program association and program map tables (ISO/IEC 13818-1 §2.4.4), one packet each.
//!
//! They stand at the start of every segment, so the one counter of each follows from the segment's
//! number.

use super::packet::{PACKET, section_packet};
use super::stream::Stream;
use crate::language::three_letters;
use crate::role::Role;
use crate::track::Track;

/// The one program's map.
const MAP_PID: u16 = 0x1000;
const PROGRAM: u16 = 1;

/// A stream as the map names it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry<'a> {
    pub(super) pid: u16,
    pub(super) stream: &'a Stream,
    pub(super) language: Option<Language>,
}

/// The language of a sound and what it is for (ISO_639_language_descriptor, §2.6.18).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Language {
    letters: [u8; 3],
    audio_type: u8,
}

impl Language {
    /// That of a sound whose language is known.
    pub(super) fn of(track: &Track) -> Option<Self> {
        let language = track.language.as_deref().filter(|_| track.is_audio())?;
        let audio_type = Role::audio_type(&track.roles);
        Some(Self { letters: three_letters(language)?, audio_type })
    }

    fn descriptor(self) -> [u8; 6] {
        let [a, b, c] = self.letters;
        [0x0a, 4, a, b, c, self.audio_type]
    }
}

/// Both tables as they stand at the start of segment `number` (from 1).
pub(super) fn tables(number: u32, clock_pid: u16, streams: &[Entry<'_>]) -> Vec<u8> {
    let counter = (number.wrapping_sub(1) & 15) as u8;
    let mut map = Vec::with_capacity(64);
    map.extend((0xe000 | clock_pid).to_be_bytes());
    // No descriptors of the program.
    map.extend([0xf0, 0]);
    for Entry { pid, stream, language } in streams {
        let mut descriptors = stream.descriptors();
        descriptors.extend(language.iter().flat_map(|language| language.descriptor()));
        map.push(stream.stream_type());
        map.extend((0xe000 | pid).to_be_bytes());
        map.extend((0xf000 | descriptors.len() as u16).to_be_bytes());
        map.extend(descriptors);
    }
    let association = [PROGRAM.to_be_bytes(), (0xe000 | MAP_PID).to_be_bytes()].concat();
    let mut out = Vec::with_capacity(2 * PACKET);
    out.extend(section_packet(0, counter, &section(0, 1, &association)));
    out.extend(section_packet(MAP_PID, counter, &section(2, PROGRAM, &map)));
    out
}

/// A section of the long form, current, the only one of its table.
fn section(table: u8, extension: u16, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(12 + body.len());
    out.push(table);
    out.extend((0xb000 | (body.len() + 9) as u16).to_be_bytes());
    out.extend(extension.to_be_bytes());
    // Version 0, current; section 0 of 0.
    out.extend([0xc1, 0, 0]);
    out.extend(body);
    out.extend(crc(&out).to_be_bytes());
    out
}

/// CRC_32 of Annex A.
fn crc(bytes: &[u8]) -> u32 {
    bytes.iter().fold(u32::MAX, |mut crc, byte| {
        crc ^= u32::from(*byte) << 24;
        for _ in 0..8 {
            crc = crc << 1 ^ if crc >> 31 == 1 { 0x04c1_1db7 } else { 0 };
        }
        crc
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_the_standard() {
        // The CRC-32/MPEG-2 check value.
        assert_eq!(crc(b"123456789"), 0x0376_e6e7);
        let section = section(0, 1, &[0, 1, 0xf0, 0]);
        assert_eq!(crc(&section), 0, "over a section with its checksum it is 0");
    }
}
