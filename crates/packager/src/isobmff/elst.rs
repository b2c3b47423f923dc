//! Edit list, ISO/IEC 14496-12 §8.6.6.

use super::Cursor;

/// One edit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edit {
    /// How long it lasts, in the movie's timescale; 0 in a last edit means to the end.
    pub duration: u64,
    /// Where it starts in the track's media, in the track's timescale; -1 is an empty edit.
    pub media_time: i64,
    /// Playback rate, 16.16 fixed point; 0 dwells on one picture.
    pub rate: i32,
}

impl Edit {
    /// Whether nothing plays for its duration.
    pub fn is_empty(&self) -> bool {
        self.media_time == -1
    }
}

pub(crate) fn read(payload: &[u8]) -> Option<Vec<Edit>> {
    let (version, _, mut cursor) = Cursor::full_box(payload)?;
    let wide = version == 1;
    let count = usize::try_from(cursor.u32()?).ok()?;
    if cursor.rest().len() / (if wide { 20 } else { 12 }) < count {
        return None;
    }
    (0..count)
        .map(|_| {
            Some(Edit {
                duration: if wide { cursor.u64()? } else { u64::from(cursor.u32()?) },
                media_time: if wide { cursor.i64()? } else { i64::from(cursor.i32()?) },
                rate: cursor.i32()?,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    #[test]
    fn both_versions() {
        let v0 = b"\0\0\0\0\0\0\0\x01\0\0\0\x0a\xff\xff\xff\xff\0\x01\0\0";
        let edits = read(v0).unwrap();
        assert!(edits[0].is_empty());
        assert_eq!((edits[0].duration, edits[0].rate), (10, 0x1_0000));
        let v1 = b"\x01\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x0a\0\0\0\0\0\0\x04\0\0\x01\0\0";
        assert_eq!(read(v1).unwrap()[0].media_time, 1024);
        assert_eq!(read(&v0[..19]), None);
    }
}
