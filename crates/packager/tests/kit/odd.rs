//! Files as odd as the format allows: any sizes, durations, offsets, edit lists, chunks and orders.

use proptest::prelude::*;

use super::boxes::{FileSpec, TrackSpec};

/// A run-length list that covers `count` samples.
fn runs<T: Clone + std::fmt::Debug>(
    count: u32,
    value: impl Strategy<Value = T>,
) -> impl Strategy<Value = Vec<(u32, T)>> {
    proptest::collection::vec((1..=count, value), 1..40).prop_map(move |wanted| {
        let mut left = count;
        let mut runs = Vec::new();
        for (length, value) in wanted.iter().cycle() {
            let length = (*length).min(left);
            runs.push((length, value.clone()));
            left -= length;
            if left == 0 {
                return runs;
            }
        }
        runs
    })
}

/// A track of up to 120 samples.
pub fn any_track(number: u32, video: bool) -> impl Strategy<Value = TrackSpec> {
    (1..120_u32).prop_flat_map(move |count| {
        (
            proptest::collection::vec(0..60_u32, count as usize),
            runs(count, 1..2_000_u32),
            runs(count, -3_000..3_000_i32),
            proptest::collection::btree_set(1..=count, 0..10),
            (1..20_u32, any::<bool>(), prop_oneof![Just(0_u8), Just(8), Just(16)]),
            (0..6_u8, 0..2_000_u64, 0..3_000_i64, 0..40_000_u64),
            // Samples that last for seconds, and usual ones.
            prop_oneof![1..3_000_u32, 32_000..200_000_u32],
        )
            .prop_map(
                move |(sizes, durations, offsets, sync, storage, edits, timescale)| {
                    let base =
                        if video { TrackSpec::video(1, 1, 1) } else { TrackSpec::audio(1, 1) };
                    TrackSpec {
                        number,
                        sizes,
                        durations,
                        offsets: if video { offsets } else { Vec::new() },
                        offsets_version: 1,
                        sync: video.then(|| sync.into_iter().collect()),
                        samples_per_chunk: storage.0,
                        wide_chunks: storage.1,
                        compact_sizes: storage.2,
                        edits: match edits.0 {
                            0 => vec![],
                            1 => vec![(edits.1, -1, 1 << 16), (0, edits.2, 1 << 16)],
                            2 => vec![(0, edits.2, 1 << 16)],
                            3 => vec![(edits.1, -1, 1 << 16), (edits.3, edits.2, 1 << 16)],
                            _ => vec![(edits.3, edits.2, 1 << 16)],
                        },
                        timescale,
                        ..base
                    }
                },
            )
    })
}

/// A file of one picture and up to two sounds, its chunks in any order, in one `mdat` or several.
pub fn any_file() -> impl Strategy<Value = FileSpec> {
    let sounds = proptest::collection::vec(any_track(2, false), 0..3);
    (any_track(1, true), sounds, any::<bool>(), 0..3_usize, 0..6_usize, any::<u8>()).prop_map(
        |(video, sounds, moov_first, free, chunks_per_mdat, turns)| {
            let mut tracks = vec![video];
            for (number, sound) in (2..).zip(sounds) {
                tracks.push(TrackSpec { number, ..sound });
            }
            let count = tracks.len();
            let mut file = FileSpec::new(tracks);
            (file.moov_first, file.free, file.chunks_per_mdat) =
                (moov_first, free, chunks_per_mdat);
            file.turns = (0..turns % 5).map(|turn| usize::from(turns >> turn) % count).collect();
            file
        },
    )
}
