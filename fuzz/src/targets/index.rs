//! The index of a whole file, and every sample that it says there is.

use bytes::Bytes;

/// Samples that are looked at, of each track: enough to leave every table's first block.
const SAMPLES: usize = 10_000;

/// Indexes the input and walks its samples.
pub(crate) fn run(input: &[u8]) {
    let file = Bytes::copy_from_slice(input);
    let Some(index) = super::index(&file) else { return };
    for track in index.tracks() {
        let samples = track.samples();
        let mut walked = 0;
        for sample in samples.iter().take(SAMPLES) {
            let end = sample.offset.checked_add(u64::from(sample.size));
            assert!(end.is_some_and(|end| end <= input.len() as u64), "{sample:?} lies outside");
            walked += 1;
        }
        assert!(walked == samples.count().min(SAMPLES as u32), "as many samples as it counts");
        // Found from the middle as from the start.
        let middle = samples.count() / 2;
        if middle < walked {
            assert_eq!(
                samples.range(middle..middle + 1).next(),
                samples.iter().nth(middle as usize)
            );
        }
    }
}
