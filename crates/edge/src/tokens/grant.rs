//! What a token lets in, as its signer says it.

use std::net::IpAddr;

use headwater_net::Timestamp;
use http::Uri;

use super::key::{BadKey, Key};
use super::signed;
use crate::normalise;

/// What a token of [our own form](super::signed) is to let in.
#[derive(Clone, Debug)]
pub struct Grant {
    pub(super) path: Box<str>,
    pub(super) expires: Timestamp,
    pub(super) address: Option<IpAddr>,
}

impl Grant {
    /// One path, or with a `/` at its end all that is below it, until `expires` (whole seconds count).
    ///
    /// # Errors
    /// Where the path does not begin with `/`, or is one that [`normalise`] refuses.
    pub fn below(path: &str, expires: Timestamp) -> Result<Self, BadKey> {
        let uri = path.parse().ok().filter(|_| path.starts_with('/') && !path.contains('?'));
        let uri: Uri = uri.ok_or(BadKey::Path)?;
        let normal = normalise::checked(&uri).ok_or(BadKey::Path)?;
        Ok(Self { path: normal.path().into(), expires, address: None })
    }

    /// For this client alone: of IPv4 the address, of IPv6 the network of 64 bits that it is in, since
    /// clients change what comes after.
    #[must_use]
    pub const fn only_for(mut self, address: IpAddr) -> Self {
        self.address = Some(address);
        self
    }

    /// The token: letters, digits, `.`, `_` and `-`, so that it stands in a path, a query, a header or
    /// a cookie as it is.
    ///
    /// # Errors
    /// Where the key is not one for this form, or the path is too long.
    pub fn sign(&self, key: &Key) -> Result<String, BadKey> {
        signed::sign(self, key)
    }
}

/// Whether a token's path takes in another: all below it where it ends in `/`, else itself. Where an
/// origin might read the other as `divided`, it takes in that, too, as it stands or read so itself.
pub(super) fn takes_in(path: &str, asked: &str, divided: Option<&str>) -> bool {
    let takes = |path: &str, asked: &str| {
        if path.ends_with('/') { asked.starts_with(path) } else { asked == path }
    };
    let also = |divided: &str| {
        let read = || normalise::divided_otherwise(path).ok().flatten();
        takes(path, divided) || read().is_some_and(|path| takes(&path, divided))
    };
    takes(path, asked) && divided.is_none_or(also)
}
