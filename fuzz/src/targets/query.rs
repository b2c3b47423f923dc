//! The query of a manifest: what is read from it has one spelling, and whatever it selects makes
//! manifests of a bounded length.

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use headwater_packager::{Media, Options, Planned, Presentation, Resource, Selection, Wish};

use crate::kit::boxes::{FileSpec, TrackSpec};

/// Queries with every parameter.
pub(crate) const SEEDS: &[&str] = &[
    "container=cmaf&min_height=360&max_height=1080",
    "start=12.5&iframes=0",
    "codecs=avc,aac&max_bitrate=5000000&min_bitrate=1&unknown=%20",
    "container=muxed&start=-30.25&codecs=hevc%2Cavc",
    "container=ts&token=abc&define=token,uid&uid=%41",
    "video=v1&audio=none",
    "video=none&audio=a2&x",
];

/// The longest manifest of the small ladder that is asked here, in bytes, but for the query itself.
const LONGEST: usize = 16 << 10;

/// Two pictures with a sound.
static LADDER: LazyLock<Presentation> = LazyLock::new(|| {
    let files = [300, 900].map(|size| {
        let sound = TrackSpec::audio(94, size / 4);
        Bytes::from(FileSpec::new(vec![TrackSpec::video(50, size, 25), sound]).bytes())
    });
    let indexes = files.iter().filter_map(super::index).map(Arc::new).collect();
    let Ok(media) = Media::new(indexes, &Options::default()) else {
        unreachable!("the ladder can be presented");
    };
    Presentation::new("fuzzed", Arc::new(media))
});

/// Reads the input as a query.
pub(crate) fn run(input: &[u8]) {
    let Ok(query) = std::str::from_utf8(input) else { return };
    if let Ok((video, audio)) = Wish::of_query(query) {
        let _ = LADDER.media().download_tracks(video, audio);
    }
    let selection = match Selection::parse(query) {
        Ok(selection) => selection,
        Err(error) => {
            assert!(error.to_string().len() < 1_024, "a short message");
            return;
        }
    };
    // Names that are defined need a value beside them: those are no part of the selection.
    let mut spelling = selection.to_string();
    for name in &selection.define {
        spelling.push('&');
        spelling.push_str(name);
        spelling.push_str("=x");
    }
    let again = Selection::parse(&spelling);
    assert_eq!(again.as_ref(), Ok(&selection), "{query} has one canonical form");

    let Ok(presentation) = LADDER.select(selection) else { return };
    for resource in presentation.resources() {
        if resource.is_immutable() {
            continue;
        }
        let path = presentation.path(resource);
        let Some(Planned::Ready(plan)) = presentation.plan(resource) else {
            unreachable!("{path} is offered and has no plan");
        };
        let longest = LONGEST + 20 * query.len();
        assert!(plan.len <= longest as u64, "{path} has {} bytes", plan.len);
    }
    let _ = presentation.plan(Resource::Multivariant);
}
