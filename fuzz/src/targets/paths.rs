//! What a client types: the path of a resource.

use headwater_packager::Resource;

/// Paths of every kind.
pub(crate) const SEEDS: &[&str] = &[
    "main.m3u8",
    "manifest.mpd",
    "v1.m3u8",
    "a2.single.m3u8",
    "v1.iframes.m3u8",
    "0123456789abcdef/v1/init.mp4",
    "0123456789abcdef/a12/65535.m4s",
    "0123456789abcdef/a1/t46976.m4s",
    "0123456789abcdef/v1/track.mp4",
    "0123456789abcdef/v1.iframes/3.m4s",
    "v1a1.ts.m3u8",
    "0123456789abcdef/v1a1/7.ts",
];

/// Reads the input as a path.
pub(crate) fn run(input: &[u8]) {
    let Ok(path) = std::str::from_utf8(input) else { return };
    if let Some((resource, version)) = Resource::parse(path) {
        assert_eq!(resource.is_immutable(), version.is_some(), "{path}");
        if let Some(version) = version {
            assert_eq!(resource.path(version), path, "a resource has one spelling");
        }
    }
}
