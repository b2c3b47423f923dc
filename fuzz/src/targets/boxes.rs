//! The box reader and everything that reads one box: the input is what a movie box holds.

use bytes::{BufMut, Bytes, BytesMut};

/// What the mdat holds after the movie box, so that some samples lie in the file.
const MEDIA: usize = 4 << 10;

/// Puts the input into a movie box, and that into a file.
pub(crate) fn run(input: &[u8]) {
    let Ok(len) = u32::try_from(input.len() + 8) else { return };
    let mut file = BytesMut::with_capacity(input.len() + MEDIA + 64);
    file.put_slice(b"\0\0\0\x10ftypisom\0\0\0\0");
    file.put_u32(len);
    file.put_slice(b"moov");
    file.put_slice(input);
    file.put_u32(MEDIA as u32 + 8);
    file.put_slice(b"mdat");
    file.put_bytes(1, MEDIA);
    let file: Bytes = file.freeze();
    let _ = super::index(&file);
}
