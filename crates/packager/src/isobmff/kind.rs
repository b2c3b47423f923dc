//! What a track is for, as `udta` says it: ISO/IEC 14496-12 §8.10.4.

use super::Cursor;

/// The scheme's URI and the value in it; the value may be empty.
pub(crate) fn read(payload: &[u8]) -> Option<(&str, &str)> {
    let (_, _, cursor) = Cursor::full_box(payload)?;
    let mut texts = cursor.rest().splitn(3, |byte| *byte == 0);
    let scheme = std::str::from_utf8(texts.next()?).ok()?;
    let value = std::str::from_utf8(texts.next().unwrap_or_default()).ok()?;
    Some((scheme, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds() {
        assert_eq!(read(b"\0\0\0\0urn:x\0main\0"), Some(("urn:x", "main")));
        assert_eq!(read(b"\0\0\0\0urn:x"), Some(("urn:x", "")));
        assert_eq!(read(b"\0\0\0\0\xff\0a\0"), None);
        assert_eq!(read(b"\0\0"), None);
    }
}
