//! Downloads of more than four gigabytes: 64-bit chunk offsets (`co64`, ISO/IEC 14496-12 §8.7.5) and
//! a large `mdat` (§4.2). The samples need not exist: only where they are matters.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

mod kit;

use std::sync::Arc;

use bytes::Bytes;
use headwater_packager::{Download, Media, Options, Part, Wish};
use kit::boxes::{FileSpec, TrackSpec};
use kit::index_head;

/// With what is read beside the boxes at the front.
fn padded(head: &[u8]) -> Bytes {
    let mut head = head.to_vec();
    head.resize(head.len().max(64 << 10), 0);
    head.into()
}

/// A film of so many pictures, each of 8 MB, and sound.
fn film(pictures: u32) -> (Bytes, u64) {
    let mut picture = TrackSpec::video(pictures, 8_000_000, 25);
    picture.wide_chunks = true;
    picture.samples_per_chunk = 5;
    let mut sound = TrackSpec::audio(pictures * 15 / 8, 300);
    sound.wide_chunks = true;
    sound.samples_per_chunk = 10;
    let (head, len) = FileSpec::new(vec![picture, sound]).head();
    (padded(&head), len)
}

fn download(head: &Bytes, len: u64) -> (Arc<Media>, Download) {
    let (index, _) = index_head("film.mp4", head, len).unwrap();
    let media = Arc::new(Media::new(vec![Arc::new(index)], &Options::default()).unwrap());
    let tracks = media.download_tracks(Wish::Best, Wish::Best).unwrap();
    let download = Download::new(Arc::clone(&media), tracks).unwrap();
    (media, download)
}

#[test]
fn offsets_are_wide_where_they_must_be_and_lead_to_the_samples() {
    for (pictures, wide) in [(400, false), (700, true)] {
        let (head, len) = film(pictures);
        let (media, download) = download(&head, len);
        assert_eq!(download.len() > 1 << 32, wide, "{}", download.len());
        let Some(Part::Bytes(start)) = download.part(0..1 << 20).parts.first().cloned() else {
            panic!("boxes first")
        };
        let has = |kind: &[u8; 4]| start.windows(4).any(|bytes| bytes == kind);
        assert_eq!((has(b"co64"), has(b"stco")), (wide, !wide), "{pictures}");
        let mdat = start.windows(4).rposition(|bytes| bytes == b"mdat").unwrap();
        assert_eq!(start[mdat - 4..mdat] == [0, 0, 0, 1], wide);
        if wide {
            let size = u64::from_be_bytes(start[mdat + 4..mdat + 12].try_into().unwrap());
            assert_eq!(size, download.len() - (mdat as u64 - 4));
        }

        // What its boxes say of each sample, read back, is where the plan has that sample.
        let (copy, _) = index_head("copy.mp4", &padded(&start), download.len()).unwrap();
        for (theirs, ours) in media.sources()[0].tracks().iter().zip(copy.tracks()) {
            assert_eq!(theirs.samples().count(), ours.samples().count());
            for (source, copied) in theirs.samples().iter().zip(ours.samples()) {
                assert_eq!((source.size, source.dts), (copied.size, copied.dts));
                let end = copied.offset + u64::from(copied.size);
                let plan = download.part(copied.offset..end);
                let [Part::Copy(part)] = plan.parts.as_slice() else { panic!("{plan:?}") };
                assert_eq!(
                    (part.range.start, part.range.len),
                    (source.offset, u64::from(source.size))
                );
            }
        }
    }
}
