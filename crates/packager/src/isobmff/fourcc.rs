//! Four-character codes: names of boxes, brands, handlers and sample entries.

use std::fmt;

/// A four-character code.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FourCc(pub [u8; 4]);

impl From<&[u8; 4]> for FourCc {
    fn from(code: &[u8; 4]) -> Self {
        Self(*code)
    }
}

impl FourCc {
    /// Only printable ASCII is shown as it is, other bytes as `.`.
    fn printable(self) -> [char; 4] {
        self.0.map(
            |byte| {
                if byte.is_ascii_graphic() || byte == b' ' { char::from(byte) } else { '.' }
            },
        )
    }
}

impl fmt::Display for FourCc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.printable().into_iter().try_for_each(|c| write!(f, "{c}"))
    }
}

impl fmt::Debug for FourCc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unprintable_names_are_harmless() {
        assert_eq!(FourCc(*b"moov").to_string(), "moov");
        assert_eq!(FourCc([0xa9, b'n', 0, b'\n']).to_string(), ".n..");
    }
}
