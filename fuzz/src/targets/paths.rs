//! What a client types: the path of a resource, and the query of a manifest.

use headwater_packager::{Resource, Selection};

/// Paths and queries, a query after a question mark.
pub(crate) const SEEDS: &[&str] = &[
    "main.m3u8",
    "manifest.mpd?container=cmaf&min_height=360&max_height=1080",
    "v1.m3u8?start=12.5",
    "0123456789abcdef/v1/init.mp4",
    "0123456789abcdef/a12/65535.m4s",
    "v1a1.ts.m3u8?container=ts",
    "0123456789abcdef/v1a1/7.ts",
    "main.m3u8?codecs=avc,aac&max_bitrate=5000000&unknown=%20",
];

/// Reads the input as a path with a query.
pub(crate) fn run(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let (path, query) = text.split_once('?').unwrap_or((text, ""));
    if let Some((resource, version)) = Resource::parse(path) {
        assert_eq!(resource.is_immutable(), version.is_some(), "{path}");
        if let Some(version) = version {
            assert_eq!(resource.path(version), path, "a resource has one spelling");
        }
    }
    if let Ok(selection) = Selection::parse(query) {
        let again = Selection::parse(&selection.to_string());
        assert_eq!(again.as_ref(), Ok(&selection), "{query} has one canonical form");
    }
}
