//! Extended language tag, ISO/IEC 14496-12 §8.4.6.

use super::Cursor;

/// The BCP 47 tag, where it looks like one.
pub(crate) fn tag(payload: &[u8]) -> Option<String> {
    let (_, _, cursor) = Cursor::full_box(payload)?;
    let tag = cursor.rest().split(|byte| *byte == 0).next()?;
    let plausible = (2..=64).contains(&tag.len())
        && tag.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-');
    plausible.then(|| String::from_utf8_lossy(tag).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plausible_tags() {
        assert_eq!(tag(b"\0\0\0\0pt-BR\0").as_deref(), Some("pt-BR"));
        assert_eq!(tag(b"\0\0\0\0<x>\0"), None);
        assert_eq!(tag(b"\0\0\0\0"), None);
    }
}
