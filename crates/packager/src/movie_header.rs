//! What the movie boxes of init segments and of downloads have in common (ISO/IEC 14496-12 §8.3.2).

use bytes::{BufMut, BytesMut};

use crate::index::TrackIndex;
use crate::track::{Track, TrackKind};

/// The transformation matrix that changes nothing.
pub(crate) const IDENTITY: [i32; 9] = [1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30];

/// A transformation matrix.
pub(crate) fn matrix(out: &mut BytesMut, matrix: &[i32; 9]) {
    for cell in matrix {
        out.put_i32(*cell);
    }
}

/// The end of a `tkhd`, from the volume on: how loud or in which place a track is presented.
pub(crate) fn presented(out: &mut BytesMut, track: &Track, index: &TrackIndex) {
    match &track.kind {
        TrackKind::Video(video) => {
            out.put_u32(0);
            matrix(out, &index.matrix);
            // As displayed before the matrix turns it.
            let (width, height) = if video.rotation % 180 == 0 {
                (video.display_width, video.display_height)
            } else {
                (video.display_height, video.display_width)
            };
            out.put_u32(width.min(0xffff) << 16);
            out.put_u32(height.min(0xffff) << 16);
        }
        TrackKind::Audio(_) => {
            out.put_u32(1 << 24);
            matrix(out, &IDENTITY);
            out.put_u64(0);
        }
    }
}
