//! A secret that strangers are asked for: compared in a time that does not tell how much of a guess
//! was right, and never printed.

use std::fmt;

use subtle::ConstantTimeEq;

/// See the module.
#[derive(Clone)]
pub struct Secret(Box<[u8]>);

impl Secret {
    /// The secret with these bytes.
    pub fn new(bytes: impl Into<Box<[u8]>>) -> Self {
        Self(bytes.into())
    }

    /// Whether a guess is right. The time it takes hangs on both lengths alone.
    pub fn is(&self, guess: &[u8]) -> bool {
        !self.0.is_empty() && bool::from(self.0.ct_eq(guess))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_secret_is_right_and_it_is_not_printed() {
        let secret = Secret::new(*b"open");
        assert!(secret.is(b"open"));
        for guess in [&b""[..], b"ope", b"opem", b"open\0", b"open sesame", b"OPEN"] {
            assert!(!secret.is(guess), "{guess:?}");
        }
        assert!(!Secret::new([]).is(b""), "nobody guesses a secret that is none");
        assert_eq!(format!("{secret:?}"), "Secret");
    }
}
