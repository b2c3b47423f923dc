//! The variables of an HLS playlist (draft-pantos-hls-rfc8216bis §4.3 and §4.4.2.3, `EXT-X-DEFINE`):
//! what `{$name}` stands for in URIs and attributes.
//!
//! A playlist that refers to a variable which nothing defines cannot be read (§4.4.2.3): what it
//! names would be another URL than players ask for.

use std::borrow::Cow;

use super::MapError;
use super::live::attribute;
use super::url::{MAX_URL, Url};

/// Variables of one playlist.
const MAX_VARIABLES: usize = 64;
/// Bytes of their names and values together.
const MAX_BYTES: usize = 16 << 10;

/// What a playlist defines; a multivariant one also for the media playlists that import it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Variables(Vec<(Box<str>, Box<str>)>);

impl Variables {
    /// Takes the attributes of an `EXT-X-DEFINE` in the playlist at `at`, which may import from
    /// `outer`.
    pub(super) fn define(
        &mut self,
        list: &str,
        at: &Url,
        outer: Option<&Self>,
    ) -> Result<(), MapError> {
        let (name, value) = if let Some(name) = attribute(list, "NAME") {
            (name, attribute(list, "VALUE").map(Cow::Borrowed))
        } else if let Some(name) = attribute(list, "IMPORT") {
            (name, outer.and_then(|outer| outer.get(name)).map(Cow::Borrowed))
        } else if let Some(name) = attribute(list, "QUERYPARAM") {
            (name, parameter(at, name).map(Cow::Owned))
        } else {
            return Err(MapError::Malformed);
        };
        // What stands in an attribute must not end it; a name that is given twice is an error.
        let fits = |value: &Cow<'_, str>| !value.contains(|c: char| c == '"' || c.is_control());
        let value = value.filter(fits).ok_or(MapError::Malformed)?;
        if !is_name(name) || self.get(name).is_some() {
            return Err(MapError::Malformed);
        }
        self.0.push((name.into(), value.into()));
        if self.0.len() > MAX_VARIABLES || self.weight() > MAX_BYTES {
            return Err(MapError::TooLarge);
        }
        Ok(())
    }

    /// `line` with its references replaced, once: what they stand for is not looked through again.
    pub(super) fn replaced<'a>(&self, line: &'a str) -> Result<Cow<'a, str>, MapError> {
        let mut rest = line;
        let mut done = String::new();
        while let Some((before, after)) = rest.split_once("{$") {
            done.push_str(before);
            rest = after;
            if let Some((name, after)) = after.split_once('}')
                && is_name(name)
            {
                done.push_str(self.get(name).ok_or(MapError::Malformed)?);
                rest = after;
            } else {
                done.push_str("{$");
            }
            if done.len() > MAX_URL + 1024 {
                return Err(MapError::TooLarge);
            }
        }
        if rest.len() == line.len() {
            return Ok(Cow::Borrowed(line));
        }
        done.push_str(rest);
        Ok(Cow::Owned(done))
    }

    /// Whether nothing is defined.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Bytes of names and values.
    pub(super) fn weight(&self) -> usize {
        self.0.iter().map(|(name, value)| name.len() + value.len() + size_of::<[&str; 2]>()).sum()
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| **known == *name).map(|(_, value)| &**value)
    }
}

/// §4.3: letters, digits, `-` and `_`.
fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

/// The value of a query parameter of the playlist's own URL, without its percent-encoding. One
/// without a value is none.
fn parameter(at: &Url, name: &str) -> Option<String> {
    let (_, query) = at.path_and_query().split_once('?')?;
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.find(|(key, value)| *key == name && !value.is_empty())?;
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let digits = after.first_chunk::<2>().filter(|_| *first == b'%');
        let decoded = digits
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(decoded.unwrap_or(*first));
        rest = if decoded.is_some() { after.get(2..).unwrap_or(&[]) } else { after };
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    fn defined(lists: &[&str], outer: Option<&Variables>) -> Result<Variables, MapError> {
        let at = Url::new("h", "/a/l.m3u8?t=x%2Fy%20z&empty=&q=%22").unwrap();
        let mut variables = Variables::default();
        lists.iter().try_for_each(|list| variables.define(list, &at, outer))?;
        Ok(variables)
    }

    #[test]
    fn a_reference_stands_for_what_was_defined_and_nothing_else() {
        let outer = defined(&["NAME=\"host\",VALUE=\"https://h\""], None).unwrap();
        let lists = ["NAME=\"p-1\",VALUE=\"a/{$x}\"", "IMPORT=\"host\"", "QUERYPARAM=\"t\""];
        let known = defined(&lists, Some(&outer)).unwrap();
        let replaced = |line| known.replaced(line).map(Cow::into_owned);
        assert_eq!(replaced("{$host}/{$p-1}/{$t}.ts").unwrap(), "https://h/a/{$x}/x/y z.ts");
        assert_eq!(replaced("a{$b c}{$").unwrap(), "a{$b c}{$", "no reference by its form");
        assert_eq!(replaced("{$other}.ts"), Err(MapError::Malformed));
        assert_eq!(replaced(&"{$host}".repeat(1000)), Err(MapError::TooLarge));
    }

    #[test]
    fn what_cannot_be_defined_makes_the_playlist_unreadable() {
        for list in [
            "IMPORT=\"host\"",
            "QUERYPARAM=\"none\"",
            "QUERYPARAM=\"empty\"",
            "QUERYPARAM=\"q\"",
            "NAME=\"a\"",
            "NAME=\"a b\",VALUE=\"x\"",
            "VALUE=\"x\"",
            "",
        ] {
            assert_eq!(defined(&[list], None), Err(MapError::Malformed), "{list}");
        }
        let twice = ["NAME=\"a\",VALUE=\"1\"", "NAME=\"a\",VALUE=\"2\""];
        assert_eq!(defined(&twice, None), Err(MapError::Malformed));
        let many: Vec<_> = (0..65).map(|i| format!("NAME=\"a{i}\",VALUE=\"\"")).collect();
        let many: Vec<_> = many.iter().map(String::as_str).collect();
        assert_eq!(defined(&many, None), Err(MapError::TooLarge));
    }
}
