//! A manifest by itself: of which kind it is, within which bounds it is read, and what was read.

use super::define::Variables;
use super::url::Url;
use super::{dash, hash, hls};

/// Bounds of a [`SegmentMap`](super::SegmentMap).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of one manifest, 2 MiB by default; a larger one is not read.
    pub manifest_bytes: usize,
    /// Presentations held, 4,096 by default.
    pub presentations: usize,
    /// Renditions of one presentation, 256 by default; further ones are left out.
    pub renditions: usize,
    /// Segments that one media playlist or timeline lists, 20,000 by default (22 hours of four
    /// seconds each); further ones are left out.
    pub segments: usize,
    /// Memory of one presentation in bytes, 4 MiB by default; segments beyond it are left out.
    pub presentation_bytes: usize,
    /// Memory of the whole map in bytes, 64 MiB by default; beyond it presentations are evicted.
    pub bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            manifest_bytes: 2 << 20,
            presentations: 4096,
            renditions: 256,
            segments: 20_000,
            presentation_bytes: 4 << 20,
            bytes: 64 << 20,
        }
    }
}

/// Why a manifest taught nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MapError {
    /// It is not what its type says.
    #[error("the manifest is malformed")]
    Malformed,
    /// It is larger than [`Limits::manifest_bytes`].
    #[error("the manifest is larger than allowed")]
    TooLarge,
}

/// The kinds of manifest that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ManifestKind {
    /// An HLS playlist, multivariant or media (RFC 8216).
    Hls,
    /// A DASH MPD (ISO/IEC 23009-1).
    Dash,
}

impl ManifestKind {
    /// Tells a manifest by its media type; by the extension of its path only where the type is
    /// missing or says nothing.
    pub fn of(content_type: Option<&str>, path: &str) -> Option<Self> {
        let essence = content_type.unwrap_or("").split(';').next().unwrap_or("").trim();
        let is = |name: &str| essence.eq_ignore_ascii_case(name);
        if [
            "application/vnd.apple.mpegurl",
            "application/x-mpegurl",
            "audio/mpegurl",
            "audio/x-mpegurl",
        ]
        .into_iter()
        .any(is)
        {
            return Some(Self::Hls);
        }
        if is("application/dash+xml") {
            return Some(Self::Dash);
        }
        let vague = [
            "",
            "application/octet-stream",
            "binary/octet-stream",
            "text/plain",
            "text/xml",
            "application/xml",
        ];
        if !vague.into_iter().any(is) {
            return None;
        }
        let (_, extension) = path.rsplit_once('.')?;
        if extension.eq_ignore_ascii_case("m3u8") || extension.eq_ignore_ascii_case("m3u") {
            Some(Self::Hls)
        } else if extension.eq_ignore_ascii_case("mpd") {
            Some(Self::Dash)
        } else {
            None
        }
    }
}

/// A manifest that was read, ready for [`SegmentMap::absorb`](super::SegmentMap::absorb): reading takes the time, and needs no
/// map.
pub struct Manifest {
    pub(super) url: Url,
    pub(super) digest: u64,
    pub(super) content: Content,
}

pub(super) enum Content {
    Hls(hls::Hls),
    Dash(Vec<dash::Representation>),
}

impl Manifest {
    /// Reads the manifest `bytes` found at `url`, a media playlist with what its multivariant
    /// playlist defines ([`SegmentMap::variables`](super::SegmentMap::variables)). What is no
    /// manifest by its type is none: `Ok(None)`.
    ///
    /// # Errors
    /// [`MapError`] where it says it is a manifest and cannot be read as one.
    pub fn read(
        url: &Url,
        content_type: Option<&str>,
        bytes: &[u8],
        limits: &Limits,
        outer: Option<&Variables>,
    ) -> Result<Option<Self>, MapError> {
        let Some(kind) = ManifestKind::of(content_type, url.path()) else { return Ok(None) };
        if bytes.len() > limits.manifest_bytes {
            return Err(MapError::TooLarge);
        }
        let content = match kind {
            ManifestKind::Hls => Content::Hls(hls::read(url, bytes, limits, outer)?),
            ManifestKind::Dash => Content::Dash(dash::read(url, bytes, limits)?),
        };
        Ok(Some(Self { url: url.clone(), digest: hash(bytes), content }))
    }
}

impl std::fmt::Debug for Manifest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Manifest").field("url", &self.url).finish_non_exhaustive()
    }
}
