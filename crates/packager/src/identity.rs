//! Which bytes we speak of: source identities and the version that segment URLs carry.

use std::fmt;
use std::str::FromStr;

/// Raised whenever the same source would give other output bytes than before, so that URLs of
/// immutable segments never mean two things.
pub const LAYOUT_REVISION: u32 = 5;

/// One state of one source file. Two equal identities promise equal bytes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SourceId {
    /// What the source is called within its store, the same on every machine; never shown to
    /// strangers.
    pub name: String,
    /// Length in bytes.
    pub size: u64,
    /// What changes when the bytes change and is the same for every copy: an entity tag, or the
    /// modification time.
    pub etag: String,
}

impl SourceId {
    /// An identity from its three facts.
    pub fn new(name: impl Into<String>, size: u64, etag: impl Into<String>) -> Self {
        Self { name: name.into(), size, etag: etag.into() }
    }

    /// FNV-1a (64 bits, finished by the xor-shift of SplitMix64) over name, size and etag, each
    /// preceded by its length; the same on every machine and after every restart.
    pub fn hash64(&self) -> u64 {
        let mut hash = Fnv::new();
        self.mix_into(&mut hash);
        hash.finish()
    }

    pub(crate) fn mix_into(&self, hash: &mut Fnv) {
        hash.field(self.name.as_bytes());
        hash.field(&self.size.to_be_bytes());
        hash.field(self.etag.as_bytes());
    }
}

/// The version of an asset: a hash over the identities of its sources and over what decides how
/// they are cut. Displayed and parsed as exactly 16 lower-case hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Version(pub u64);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A text that is no version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a version is 16 lower-case hexadecimal digits")]
pub struct ParseVersionError;

impl FromStr for Version {
    type Err = ParseVersionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let canonical =
            text.len() == 16 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if !canonical {
            return Err(ParseVersionError);
        }
        u64::from_str_radix(text, 16).map(Self).map_err(|_| ParseVersionError)
    }
}

/// FNV-1a of length-prefixed fields.
#[derive(Debug, Clone)]
pub(crate) struct Fnv(u64);

impl Fnv {
    pub(crate) fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    pub(crate) fn field(&mut self, bytes: &[u8]) {
        self.bytes(&(bytes.len() as u64).to_be_bytes());
        self.bytes(bytes);
    }

    pub(crate) fn finish(&self) -> u64 {
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    fn bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_never_changes() {
        // These values are in URLs that caches hold for a year.
        assert_eq!(
            SourceId::new("a.mp4", 1, "\"x\"").hash64(),
            SourceId::new("a.mp4", 1, "\"x\"").hash64()
        );
        assert_ne!(
            SourceId::new("a.mp4", 1, "x").hash64(),
            SourceId::new("a.mp4x", 1, "").hash64()
        );
    }

    #[test]
    fn versions_have_one_spelling() {
        let version = Version(0x00ab_cdef_0123_4567);
        assert_eq!(version.to_string(), "00abcdef01234567");
        assert_eq!("00abcdef01234567".parse(), Ok(version));
        for bad in ["00ABCDEF01234567", "abcdef01234567", "+0abcdef01234567", ""] {
            assert_eq!(bad.parse::<Version>(), Err(ParseVersionError));
        }
    }
}
