//! NAL units, as far as to say whether decoding can begin at a picture (H.264 §7.4.1, HEVC §7.4.2).

/// Which bitstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Video {
    H264,
    Hevc,
}

/// Whether the first slice of a sample with length-prefixed NAL units is a random access point;
/// `None` where there is no slice.
pub(crate) fn in_sample(sample: &[u8], length: usize, video: Video) -> Option<bool> {
    let mut rest = sample;
    while rest.len() > length {
        let (size, after) = rest.split_at(length);
        let size = size.iter().fold(0usize, |sum, byte| sum << 8 | usize::from(*byte));
        if let Some(found) = after.first().and_then(|header| slice(*header, video)) {
            return Some(found);
        }
        rest = after.get(size..)?;
    }
    None
}

/// The same between start codes (Annex B).
pub(crate) fn in_stream(bytes: &[u8], video: Video) -> Option<bool> {
    bytes
        .windows(4)
        .filter(|window| window.starts_with(&[0, 0, 1]))
        .find_map(|window| slice(*window.last()?, video))
}

/// `Some` where the unit is a slice.
fn slice(header: u8, video: Video) -> Option<bool> {
    match video {
        Video::H264 => match header & 0x1f {
            5 => Some(true),
            1..=4 => Some(false),
            _ => None,
        },
        Video::Hevc => match header >> 1 & 0x3f {
            16..=21 => Some(true),
            0..=15 => Some(false),
            _ => None,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_slice_decides() {
        let idr = [0, 0, 0, 2, 0x67, 1, 0, 0, 0, 2, 0x65, 1];
        assert_eq!(in_sample(&idr, 4, Video::H264), Some(true));
        assert_eq!(in_sample(&[0, 2, 0x41, 1], 2, Video::H264), Some(false));
        assert_eq!(in_stream(&[0, 0, 0, 1, 9, 0, 0, 1, 0x65, 0], Video::H264), Some(true));
        assert_eq!(in_stream(&[0, 0, 1, 0x26, 0], Video::Hevc), Some(true));
        assert_eq!(in_sample(&[0, 0, 0, 200, 6], 4, Video::H264), None);
    }
}
