//! Writing boxes (ISO/IEC 14496-12 §4.2): the size is filled in when the contents are known.

use bytes::{BufMut, BytesMut};

/// Appends a box. Its contents must stay under 4 GiB, as all headers made here do.
pub(crate) fn boxed(out: &mut BytesMut, kind: [u8; 4], contents: impl FnOnce(&mut BytesMut)) {
    let start = out.len();
    out.put_u32(0);
    out.put_slice(&kind);
    contents(out);
    let size = u32::try_from(out.len() - start).unwrap_or(u32::MAX);
    if let Some(head) = out.get_mut(start..start + 4) {
        head.copy_from_slice(&size.to_be_bytes());
    }
}

/// Appends a box with version and flags.
pub(crate) fn full_box(
    out: &mut BytesMut,
    kind: [u8; 4],
    version: u8,
    flags: u32,
    contents: impl FnOnce(&mut BytesMut),
) {
    boxed(out, kind, |out| {
        out.put_u32(u32::from(version) << 24 | flags & 0x00ff_ffff);
        contents(out);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_nest() {
        let mut out = BytesMut::new();
        boxed(&mut out, *b"moov", |out| {
            full_box(out, *b"mfhd", 1, 2, |out| out.put_u32(3));
        });
        assert_eq!(&out[..], b"\0\0\0\x18moov\0\0\0\x10mfhd\x01\0\0\x02\0\0\0\x03");
    }
}
