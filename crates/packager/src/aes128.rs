//! AES-128 of HLS (RFC 8216bis §4.4.4.4 and §5.2): each segment encrypted as a whole with one static
//! key, by AES in CBC mode with PKCS #7 padding.
//!
//! It is for MPEG-TS segments. CMAF segments serve DASH too, which knows no such encryption: so an
//! asset that has a key is presented as HLS with MPEG-TS alone, and nothing of it leaves in clear.
//!
//! The core says what is encrypted, with which key and initialization vector; the cipher itself is
//! applied where bytes are sent.

use std::fmt;

/// Bytes of a key, of an initialization vector and of a cipher block.
pub(crate) const BLOCK: usize = 16;

/// The static key of an asset's segments, and where players get it.
#[derive(Clone, PartialEq, Eq)]
pub struct SegmentKey {
    key: [u8; BLOCK],
    /// Tells keys apart, and is no help in finding them: it goes into the asset's version.
    fingerprint: u64,
    uri: Option<String>,
}

/// A key that is not 16 bytes long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a segment key has 16 bytes")]
#[non_exhaustive]
pub struct KeyLengthError;

impl SegmentKey {
    /// The key in these bytes, such as the content of a key file. Players get it from the packager,
    /// below the asset's folder: whoever may read the playlist may read the key, unless something
    /// before the packager says otherwise.
    ///
    /// # Errors
    /// Where they are not 16 bytes.
    #[cfg(feature = "http")]
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, KeyLengthError> {
        let key: [u8; BLOCK] = bytes.try_into().map_err(|_| KeyLengthError)?;
        let mut digest = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
        digest.update(b"headwater segment key");
        digest.update(&key);
        let digest = digest.finish();
        let fingerprint =
            digest.as_ref().iter().take(8).fold(0, |f, byte| f << 8 | u64::from(*byte));
        Ok(Self { key, fingerprint, uri: None })
    }

    /// Has players get the key from another place: an absolute URI, or one relative to playlists.
    /// The packager then does not hand it out.
    #[must_use]
    pub fn at(self, uri: impl Into<String>) -> Self {
        Self { uri: Some(uri.into()), ..self }
    }

    /// Where players get it; `None` from the packager.
    pub fn uri(&self) -> Option<&str> {
        self.uri.as_deref()
    }

    /// The key itself.
    #[cfg(feature = "http")]
    pub(crate) fn bytes(&self) -> &[u8; BLOCK] {
        &self.key
    }

    pub(crate) fn fingerprint(&self) -> u64 {
        self.fingerprint
    }
}

/// Without the key.
impl fmt::Debug for SegmentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SegmentKey").field("uri", &self.uri).finish_non_exhaustive()
    }
}

/// The initialization vector of segment `number`: its media sequence number, which is what players
/// take where a playlist names none.
#[cfg(feature = "http")]
pub(crate) fn vector(number: std::num::NonZeroU32) -> [u8; BLOCK] {
    u128::from(number.get()).to_be_bytes()
}

/// How long `len` bytes are once they are encrypted: padded to the next whole block, by at least
/// one byte.
pub(crate) const fn encrypted_len(len: u64) -> u64 {
    (len / BLOCK as u64 + 1) * BLOCK as u64
}

#[cfg(all(test, feature = "http"))]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    #[test]
    fn a_key_is_never_shown() {
        let key = SegmentKey::from_bytes(&[0xab; 16]).unwrap().at("https://keys.example/1");
        let shown = format!("{key:?} {key:#?}");
        assert!(!shown.contains("171") && !shown.contains("ab, "), "{shown}");
        let other = SegmentKey::from_bytes(&[0xac; 16]).unwrap();
        assert_ne!(key.fingerprint(), other.fingerprint());
        assert_eq!(SegmentKey::from_bytes(&[0; 17]), Err(KeyLengthError));
    }

    #[test]
    fn padding_is_never_empty() {
        assert_eq!([0, 15, 16, 188].map(encrypted_len), [16, 16, 32, 192]);
    }
}
