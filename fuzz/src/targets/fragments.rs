//! The walk over fragments alone: a movie box that is right stands before the input, so that all of
//! the input is `moof`, `traf`, `trun`, `sidx`, `mfra` and what stands between them.
//!
//! A recording that grows must give what the finished one gives: the input is walked as a whole,
//! and cut in two with the scan kept in between.

use std::sync::LazyLock;

use bytes::Bytes;
use headwater_packager::MediaIndex;
use headwater_packager::index::Sample;

use crate::kit::boxes::TrackSpec;
use crate::kit::fragments::{Base, Finder, FragmentedSpec};
use crate::seeds::Seed;

/// Samples that are compared, of each track.
const SAMPLES: usize = 10_000;

/// Bytes that are no part of the file: which movie box stands before it, and where it is cut.
const CONTROL: usize = 3;

/// What stands before the fragments: movie boxes that say defaults, and that do not.
static HEADS: LazyLock<[Vec<u8>; 2]> = LazyLock::new(|| {
    [false, true].map(|defaults| {
        let mut spec = spec();
        spec.defaults = defaults;
        spec.parts().swap_remove(0)
    })
});

fn spec() -> FragmentedSpec {
    let mut video = TrackSpec::video(24, 50, 6);
    video.offsets = [(1, 1_024), (1, 0)].repeat(12);
    FragmentedSpec::new(vec![video, TrackSpec::audio(45, 20)], 8)
}

/// Fragments in every form that the writer knows.
pub(crate) fn seeds() -> Vec<Seed> {
    let mut seeds = Vec::new();
    let finders = [Finder::None, Finder::Sidx, Finder::SidxEach, Finder::Mfra, Finder::WrongSidx];
    for (number, finder) in finders.into_iter().enumerate() {
        for (base, tfdt) in
            [(Base::Moof, Some(1)), (Base::Absolute, Some(0)), (Base::Implied, None)]
        {
            let mut spec = spec();
            (spec.finder, spec.base, spec.tfdt) = (finder, base, tfdt);
            (spec.runs, spec.split) = (1 + number % 3, number == 4);
            (spec.defaults, spec.noise) = (number % 2 == 1, number == 3);
            spec.final_movie = number == 2;
            let mut seed = vec![u8::from(spec.defaults), 3, number as u8];
            seed.extend(spec.parts().split_off(1).concat());
            seeds.push((format!("{finder:?}-{base:?}"), seed));
        }
    }
    seeds
}

/// Walks the input as fragments of a file.
pub(crate) fn run(input: &[u8]) {
    let Some((control, fragments)) = input.split_first_chunk::<CONTROL>() else { return };
    let [which, cut @ ..] = *control;
    let Some(head) = HEADS.get(usize::from(which & 1)) else { return };
    let file = Bytes::from([head.as_slice(), fragments].concat());
    let (whole, _) = super::scan(&file, None);

    let cut = head.len() + usize::from(u16::from_be_bytes(cut)) % (fragments.len() + 1);
    let (_, kept) = super::scan(&file.slice(..cut), None);
    let Some(kept) = kept else { return };
    let (grown, _) = super::scan(&file, Some(&kept));
    match (&whole, &grown) {
        (Some(whole), Some(grown)) => {
            assert!(samples(whole) == samples(grown), "the same samples, cut at {cut}");
        }
        (None, None) => {}
        _ => unreachable!("a file that grew is read as one that did not, cut at {cut}"),
    }
    for sample in whole.iter().flat_map(samples).flat_map(|(_, samples)| samples) {
        let end = sample.offset.checked_add(u64::from(sample.size));
        assert!(end.is_some_and(|end| end <= file.len() as u64), "{sample:?} lies outside");
    }
}

fn samples(index: &MediaIndex) -> Vec<(u32, Vec<Sample>)> {
    let tracks = index.tracks().iter();
    tracks.map(|track| (track.number(), track.samples().iter().take(SAMPLES).collect())).collect()
}
