//! Handler reference, ISO/IEC 14496-12 §8.4.3.

use super::{Cursor, FourCc};

/// The kind of a track, and what its writer called it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hdlr {
    pub(crate) handler: FourCc,
    pub(crate) name: String,
}

impl Hdlr {
    pub(crate) fn read(payload: &[u8]) -> Option<Self> {
        let (_, _, mut cursor) = Cursor::full_box(payload)?;
        cursor.skip(4)?;
        let handler = FourCc(*cursor.take(4)?.first_chunk::<4>()?);
        // Some writers leave out what follows.
        let name = cursor.skip(12).map_or(&[][..], |()| cursor.rest());
        Some(Self { handler, name: text(name) })
    }
}

/// A NUL-terminated string, or one of QuickTime with its length first.
fn text(bytes: &[u8]) -> String {
    let bytes = match bytes.split_first() {
        Some((len, rest)) if usize::from(*len) == rest.len() && !rest.is_empty() => rest,
        _ => bytes,
    };
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    let bytes = bytes.get(..end.min(256)).unwrap_or_default();
    String::from_utf8_lossy(bytes).trim().to_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    #[test]
    fn names_of_both_families() {
        let with = |name: &[u8]| {
            let mut bytes = b"\0\0\0\0\0\0\0\0vide\0\0\0\0\0\0\0\0\0\0\0\0".to_vec();
            bytes.extend(name);
            Hdlr::read(&bytes).unwrap().name
        };
        assert_eq!(with(b"Director\0junk"), "Director");
        assert_eq!(with(b"\x08Director"), "Director");
        assert_eq!(with(b""), "");
        let short = Hdlr::read(b"\0\0\0\0\0\0\0\0soun").unwrap();
        assert_eq!(short.handler, FourCc(*b"soun"));
    }
}
