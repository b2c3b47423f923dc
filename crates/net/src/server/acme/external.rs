//! The account that somebody has with an authority already, to which the one made here is bound (RFC
//! 8555 §7.3.4): its name, and the key by which it is shown to be theirs, which is never printed.

use std::fmt;

use base64::alphabet::URL_SAFE;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use base64::engine::{DecodePaddingMode, Engine as _};

/// Base64url (RFC 4648 §5), with or without padding.
const CODE: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// See the module.
pub(super) struct ExternalAccount {
    id: String,
    key: Vec<u8>,
}

impl ExternalAccount {
    /// By the key's text as authorities give it; `None` where that is none.
    pub(super) fn new(id: String, text: &[u8]) -> Option<Self> {
        let key = CODE.decode(text.trim_ascii()).ok().filter(|key| !key.is_empty())?;
        Some(Self { id, key })
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn key(&self) -> &[u8] {
        &self.key
    }
}

impl fmt::Debug for ExternalAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExternalAccount").field("id", &self.id).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    #[test]
    fn a_key_is_read_with_or_without_padding_and_never_printed() {
        for text in ["_-8", "_-8=", " _-8=\n"] {
            let account = ExternalAccount::new("me".to_owned(), text.as_bytes()).unwrap();
            assert_eq!(account.key(), [0xff, 0xef], "{text}");
            assert_eq!(format!("{account:?}"), "ExternalAccount { id: \"me\", .. }");
        }
        for none in ["", "\n", "no key", "/+8=", "_-8=="] {
            assert!(ExternalAccount::new("me".to_owned(), none.as_bytes()).is_none(), "{none}");
        }
    }
}
