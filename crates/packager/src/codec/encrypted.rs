//! Encrypted tracks (ISO/IEC 14496-12 §8.12, ISO/IEC 23001-7): named, and left out.

use super::Found;
use super::sound::SoundEntry;
use super::visual::VisualEntry;
use crate::error::Result;
use crate::isobmff::{Budget, Child, Cursor, FourCc, children};

/// Whether a sample entry says that its samples are encrypted: the standard's names, and those of
/// files that were bought from Apple.
pub(super) fn is_encrypted(entry: FourCc) -> bool {
    matches!(&entry.0, b"encv" | b"enca" | b"drmi" | b"drms")
}

/// Why the track is left out, and what to do about it.
pub(super) fn read(entry: Child<'_>, track: u32, budget: &mut Budget) -> Result<Found> {
    let protection = match &entry.kind.0 {
        b"enca" | b"drms" => SoundEntry::read(entry, track, budget)?.child(*b"sinf"),
        _ => {
            let visual = VisualEntry::read(entry, track, budget).ok();
            visual.and_then(|entry| entry.boxes.iter().find(|child| child.kind.0 == *b"sinf"))
        }
    };
    let boxes = protection.map(|sinf| children(sinf.payload, budget)).transpose()?;
    let of = boxes.as_ref().and_then(|boxes| boxes.get(b"frma")).and_then(|frma| {
        let name = frma.first_chunk()?;
        Some(format!(", {} within", FourCc(*name)))
    });
    let by = boxes.as_ref().and_then(|boxes| boxes.get(b"schm")).and_then(|schm| {
        let (_, _, mut cursor) = Cursor::full_box(schm)?;
        Some(format!(", scheme {}", FourCc(cursor.u32()?.to_be_bytes())))
    });
    Ok(Found::Skip(format!(
        "it is encrypted ({}{}{}), and no key is asked for: decrypt it first",
        entry.kind,
        of.unwrap_or_default(),
        by.unwrap_or_default(),
    )))
}
