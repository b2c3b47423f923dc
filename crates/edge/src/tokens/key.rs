//! Keys: what a token is signed by, and the one algorithm of each.

use std::fmt;

use aws_lc_rs::hmac;

use super::{MAX_KEY_ID, MAX_KEYS};

/// The shortest secret, in bytes: as long as what HMAC-SHA-256 makes (RFC 7518 §3.2).
pub(super) const MIN_SECRET: usize = 32;

/// A key with its identifier, its form of token and its algorithm. Debugged, it shows no secret.
#[derive(Clone)]
pub struct Key {
    pub(super) id: Option<Box<str>>,
    pub(super) material: Material,
}

#[derive(Clone)]
pub(super) enum Material {
    /// [Our own form](super::signed).
    Signed(hmac::Key),
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("id", &self.id).finish_non_exhaustive()
    }
}

/// What cannot be used of a key, or of what is to be signed by it: one sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadKey {
    /// A secret is too short.
    #[error("a secret is at least {MIN_SECRET} bytes long")]
    Short,
    /// An identifier is no identifier.
    #[error("a key's identifier is 1 to {MAX_KEY_ID} letters, digits, '_' and '-'")]
    Id,
    /// Two keys for one form have one identifier, or two have none.
    #[error("two keys for one form of token have the same identifier, or none")]
    Twice,
    /// There are too many.
    #[error("there are more than {MAX_KEYS} keys")]
    Many,
    /// There is none.
    #[error("there is no key")]
    None,
    /// The key signs tokens of another form, or only verifies them.
    #[error("this key signs no tokens")]
    NoSigner,
    /// A path is no path.
    #[error("a token is for a path that begins with '/' and has no dots to go up by")]
    Path,
    /// A token would be longer than any that is read.
    #[error("the path is too long for a token")]
    Long,
}

impl Key {
    /// A key for [tokens of our own form](super::signed), of at least 32 bytes. An identifier is 1 to
    /// [`MAX_KEY_ID`](super::MAX_KEY_ID) letters, digits, `_` and `-`; empty for the one key of tokens
    /// that name none.
    ///
    /// # Errors
    /// Where the secret is too short or the identifier is none.
    pub fn signing(id: &str, secret: &[u8]) -> Result<Self, BadKey> {
        let secret = Some(secret).filter(|secret| secret.len() >= MIN_SECRET);
        let secret = secret.ok_or(BadKey::Short)?;
        let material = Material::Signed(hmac::Key::new(hmac::HMAC_SHA256, secret));
        Ok(Self { id: identifier(id)?, material })
    }

    /// Its identifier; `None` where it is for tokens that name none.
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// Whether two keys would be taken for the same token.
    pub(super) fn clashes(&self, other: &Self) -> bool {
        let same =
            std::mem::discriminant(&self.material) == std::mem::discriminant(&other.material);
        same && self.id == other.id
    }
}

fn identifier(id: &str) -> Result<Option<Box<str>>, BadKey> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    match id {
        "" => Ok(None),
        id if id.len() <= MAX_KEY_ID && id.bytes().all(plain) => Ok(Some(id.into())),
        _ => Err(BadKey::Id),
    }
}
