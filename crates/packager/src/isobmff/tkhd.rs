//! Track header, ISO/IEC 14496-12 §8.3.2.

use super::Cursor;

/// What of a track header is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tkhd {
    pub(crate) enabled: bool,
    pub(crate) track: u32,
    /// Tracks of one group are alternatives; those of group 0 play together.
    pub(crate) alternate_group: u16,
    /// The transformation matrix, as stored: a b u c d v x y w.
    pub(crate) matrix: [i32; 9],
    /// 16.16 fixed point, as is `height`.
    pub(crate) width: u32,
    pub(crate) height: u32,
}

impl Tkhd {
    pub(crate) fn read(payload: &[u8]) -> Option<Self> {
        let (version, flags, mut cursor) = Cursor::full_box(payload)?;
        let wide = version == 1;
        cursor.skip(if wide { 16 } else { 8 })?;
        let track = cursor.u32()?;
        // reserved, duration, reserved, layer
        cursor.skip(4 + if wide { 8 } else { 4 } + 8 + 2)?;
        let alternate_group = cursor.u16()?;
        // volume, reserved
        cursor.skip(4)?;
        let mut matrix = [0; 9];
        for cell in &mut matrix {
            *cell = cursor.i32()?;
        }
        Some(Self {
            enabled: flags & 1 != 0,
            track,
            alternate_group,
            matrix,
            width: cursor.u32()?,
            height: cursor.u32()?,
        })
    }

    /// Clockwise rotation in degrees; 0 for any matrix that is no quarter turn.
    pub(crate) fn rotation(&self) -> u16 {
        let [a, b, _, c, d, ..] = self.matrix;
        match (a.signum(), b.signum(), c.signum(), d.signum()) {
            (0, 1, -1, 0) => 90,
            (-1, 0, 0, -1) => 180,
            (0, -1, 1, 0) => 270,
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    #[test]
    fn fields_and_rotation() {
        let mut bytes = vec![0, 0, 0, 7];
        bytes.extend([0; 8]);
        bytes.extend(5_u32.to_be_bytes());
        bytes.extend([0; 24]);
        for cell in [0_i32, 0x1_0000, 0, -0x1_0000, 0, 0, 0, 0, 0x4000_0000] {
            bytes.extend(cell.to_be_bytes());
        }
        bytes.extend((1920_u32 << 16).to_be_bytes());
        bytes.extend((1080_u32 << 16).to_be_bytes());
        let tkhd = Tkhd::read(&bytes).unwrap();
        assert!(tkhd.enabled);
        assert_eq!((tkhd.track, tkhd.rotation()), (5, 90));
        assert_eq!((tkhd.width >> 16, tkhd.height >> 16), (1920, 1080));
        assert_eq!(Tkhd::read(&bytes[..bytes.len() - 1]), None);
    }
}
