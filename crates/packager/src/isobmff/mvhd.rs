//! Movie header, ISO/IEC 14496-12 §8.2.2.

use super::Cursor;
use crate::units::Timescale;

/// The timescale that edit lists count in.
pub(crate) fn timescale(payload: &[u8]) -> Option<Timescale> {
    let (version, _, mut cursor) = Cursor::full_box(payload)?;
    cursor.skip(if version == 1 { 16 } else { 8 })?;
    Timescale::new(cursor.u32()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions() {
        let mut v0 = vec![0; 12];
        v0.extend(600_u32.to_be_bytes());
        assert_eq!(timescale(&v0), Timescale::new(600));
        let mut v1 = vec![1, 0, 0, 0];
        v1.extend([0; 16]);
        v1.extend(90_000_u32.to_be_bytes());
        assert_eq!(timescale(&v1), Timescale::new(90_000));
        assert_eq!(timescale(&[0; 16]), None);
        assert_eq!(timescale(&v1[..23]), None);
    }
}
