//! Field sections of QPACK (RFC 9204 §4.5) whose encoder was allowed no dynamic table.
//!
//! A section is read line by line. Values that are not of the static table are decoded into one
//! buffer of the section, of which each is a slice: nothing of a packet is kept alive by them, and
//! a section costs one allocation, whatever the number of its lines.

use bytes::{Bytes, BytesMut};
use smallvec::SmallVec;

use super::huffman;
use super::integer::read_prefixed;
use super::static_table::{self, Key};

/// What the measure of a section adds for each field (RFC 9114 §4.2.2).
pub(crate) const FIELD_OVERHEAD: usize = 32;
/// Names up to so long, if they are coded, are decoded without an allocation.
const SHORT_NAME: usize = 64;

/// Why a section cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// It breaks the rules of QPACK: QPACK_DECOMPRESSION_FAILED.
    Malformed,
    /// It is larger, by the measure of RFC 9114 §4.2.2, than is allowed.
    TooLarge,
}

/// A line's name.
#[derive(Debug)]
pub(crate) enum Name<'a> {
    Known(&'static Key),
    Literal(&'a [u8]),
}

/// A line's value.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Known(&'static str),
    Literal(Bytes),
}

/// The lines of one section.
#[derive(Debug)]
pub(crate) struct Lines<'a> {
    rest: &'a [u8],
    /// What the section may still hold.
    allowed: usize,
    text: BytesMut,
    /// A name that was coded.
    name: SmallVec<[u8; SHORT_NAME]>,
}

impl<'a> Lines<'a> {
    /// Reads a section that may be so large, in bytes by the measure of RFC 9114 §4.2.2.
    ///
    /// # Errors
    /// Where it was made with a dynamic table, or its base is negative.
    pub(crate) fn of(section: &'a [u8], largest: usize) -> Result<Self, Unreadable> {
        // Required Insert Count and Base (§4.5.1): nothing was ever inserted, and no base is negative
        // (§4.5.1.2).
        let (count, rest) = read_prefixed(section, 8).ok_or(Unreadable::Malformed)?;
        let is_negative = rest.first().is_some_and(|base| base & 0x80 != 0);
        let (_, rest) = read_prefixed(rest, 7).ok_or(Unreadable::Malformed)?;
        if count != 0 || is_negative {
            return Err(Unreadable::Malformed);
        }
        // Most of a section is its values.
        let text = BytesMut::with_capacity(huffman::longest_decoded(rest.len()));
        Ok(Self { rest, allowed: largest, text, name: SmallVec::new() })
    }

    /// The next line; `None` at the end.
    ///
    /// # Errors
    /// Where the section breaks a rule or is too large. Nothing more can be read then.
    pub(crate) fn next(&mut self) -> Result<Option<(Name<'_>, Value)>, Unreadable> {
        self.read().transpose()
    }

    fn read(&mut self) -> Option<Result<(Name<'_>, Value), Unreadable>> {
        let &first = self.rest.first()?;
        let line = match first {
            0xc0.. => self.indexed(),
            0x50..0x60 | 0x70..0x80 => self.known_name(),
            0x20..0x40 => return Some(self.literal()),
            // All others name the dynamic table.
            _ => None,
        };
        let Some((key, value)) = line else { return Some(Err(Unreadable::Malformed)) };
        let len = match &value {
            Value::Known(text) => text.len(),
            Value::Literal(text) => text.len(),
        };
        Some(self.count(key.len(), len).map(|()| (Name::Known(key), value)))
    }

    /// Indexed Field Line (§4.5.2).
    fn indexed(&mut self) -> Option<(&'static Key, Value)> {
        let (index, rest) = read_prefixed(self.rest, 6)?;
        self.rest = rest;
        let (key, value) = static_table::line(index)?;
        Some((key, Value::Known(value)))
    }

    /// Literal Field Line with Name Reference (§4.5.4).
    fn known_name(&mut self) -> Option<(&'static Key, Value)> {
        let (index, rest) = read_prefixed(self.rest, 4)?;
        self.rest = rest;
        let (key, _) = static_table::line(index)?;
        Some((key, Value::Literal(self.value()?)))
    }

    /// Literal Field Line with Literal Name (§4.5.6).
    fn literal(&mut self) -> Result<(Name<'_>, Value), Unreadable> {
        let is_coded = self.rest.first().is_some_and(|first| first & 0x08 != 0);
        let name = self.string(3).ok_or(Unreadable::Malformed)?;
        let name = if is_coded {
            self.name.resize(huffman::longest_decoded(name.len()), 0);
            let len = huffman::decode(name, &mut self.name).ok_or(Unreadable::Malformed)?;
            self.name.truncate(len);
            None
        } else {
            Some(name)
        };
        let value = self.value().ok_or(Unreadable::Malformed)?;
        self.count(name.map_or(self.name.len(), <[u8]>::len), value.len())?;
        Ok((Name::Literal(name.unwrap_or(&self.name)), Value::Literal(value)))
    }

    /// A string's bytes as they came, its length in the low `prefix` bits of the first.
    fn string(&mut self, prefix: u32) -> Option<&'a [u8]> {
        let (len, rest) = read_prefixed(self.rest, prefix)?;
        let (string, rest) = rest.split_at_checked(len)?;
        self.rest = rest;
        Some(string)
    }

    /// A value (RFC 9204 §4.1.2).
    fn value(&mut self) -> Option<Bytes> {
        let is_coded = self.rest.first()? & 0x80 != 0;
        let string = self.string(7)?;
        if is_coded {
            self.text.resize(huffman::longest_decoded(string.len()), 0);
            let len = huffman::decode(string, &mut self.text)?;
            self.text.truncate(len);
        } else {
            self.text.extend_from_slice(string);
        }
        Some(self.text.split().freeze())
    }

    fn count(&mut self, name: usize, value: usize) -> Result<(), Unreadable> {
        let left = self.allowed.checked_sub(name + value + FIELD_OVERHEAD);
        self.allowed = left.ok_or(Unreadable::TooLarge)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::super::huffman::tests::encode;
    use super::super::integer::put_prefixed;
    use super::*;

    /// The lines of a section as text.
    fn read(section: &[u8], largest: usize) -> Result<Vec<(String, String)>, Unreadable> {
        let mut lines = Lines::of(section, largest)?;
        let mut all = Vec::new();
        while let Some((name, value)) = lines.next()? {
            let name = match name {
                Name::Known(Key::Field(name)) => name.to_string(),
                Name::Known(pseudo) => format!("{pseudo:?}"),
                Name::Literal(name) => String::from_utf8(name.to_vec()).unwrap(),
            };
            let value = match value {
                Value::Known(text) => text.to_owned(),
                Value::Literal(text) => String::from_utf8(text.to_vec()).unwrap(),
            };
            all.push((name, value));
        }
        Ok(all)
    }

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn rfc_9204_b_1_a_literal_with_a_name_of_the_static_table() {
        let section = b"\0\0\x51\x0b/index.html";
        assert_eq!(read(section, 100), Ok(vec![pair("Path", "/index.html")]));
    }

    #[test]
    fn rfc_9204_b_2_what_names_the_dynamic_table_was_never_allowed() {
        assert_eq!(read(&[0x03, 0x81, 0x10, 0x11], 100), Err(Unreadable::Malformed));
        for line in [&[0x10][..], &[0x80], &[0x00, 0], &[0x40, 0]] {
            let section = [&[0, 0], line].concat();
            assert_eq!(read(&section, 100), Err(Unreadable::Malformed), "{line:x?}");
        }
    }

    #[test]
    fn rfc_9204_4_5_1_2_no_base_is_negative() {
        for base in [0x80, 0x81, 0xfe] {
            assert_eq!(read(&[0, base, 0xd1], 100), Err(Unreadable::Malformed), "{base:x}");
        }
        // Any other says nothing, where nothing is counted from it.
        assert_eq!(read(&[0, 0x05, 0xd1], 100), Ok(vec![pair("Method", "GET")]));
    }

    #[test]
    fn rfc_9204_4_5_every_form_of_a_line() {
        let mut section = vec![0, 0];
        // §4.5.2: `:method: GET`, and the last line of the table.
        section.extend_from_slice(&[0xd1, 0xff, 98 - 63]);
        // §4.5.4: `range` is line 55; the second may not be indexed by anybody.
        section.extend_from_slice(b"\x5f\x28\x02b=\x7f\x28\x00");
        // §4.5.6, without Huffman's code and with it.
        section.extend_from_slice(b"\x23x-a\x01b\x33x-b\x01c");
        let (name, value) = (encode(b"custom-key"), encode(b"custom-value"));
        put_prefixed(&mut section, 0x28, 3, name.len());
        section.extend_from_slice(&name);
        put_prefixed(&mut section, 0x80, 7, value.len());
        section.extend_from_slice(&value);
        let expected = [
            pair("Method", "GET"),
            pair("x-frame-options", "sameorigin"),
            pair("range", "b="),
            pair("range", ""),
            pair("x-a", "b"),
            pair("x-b", "c"),
            pair("custom-key", "custom-value"),
        ];
        assert_eq!(read(&section, 1000), Ok(expected.to_vec()));
    }

    #[test]
    fn every_line_of_the_table_is_there_and_no_more() {
        for (index, name, value) in [
            (0usize, "Authority", ""),
            (15, "Method", "CONNECT"),
            (22, "Scheme", "http"),
            (29, "accept", "*/*"),
            (58, "strict-transport-security", "max-age=31536000; includesubdomains; preload"),
            (71, "Status", "500"),
            (86, "early-data", "1"),
            (98, "x-frame-options", "sameorigin"),
        ] {
            let mut section = vec![0, 0];
            put_prefixed(&mut section, 0xc0, 6, index);
            assert_eq!(read(&section, 1000), Ok(vec![pair(name, value)]));
        }
        let mut section = vec![0, 0];
        put_prefixed(&mut section, 0xc0, 6, 99);
        assert_eq!(read(&section, 1000), Err(Unreadable::Malformed));
    }

    #[test]
    fn sections_that_are_cut_short_are_none() {
        let section = b"\0\0\xd1\x51\x82\x60\x1f\x23x-a\x81\x07";
        let expected = [pair("Method", "GET"), pair("Path", "/0"), pair("x-a", "0")];
        let whole = read(section, 1000).map(|lines| lines.len());
        assert_eq!(whole, Ok(expected.len()));
        // Behind the prefix, and each line, there may be an end.
        let ends = [2, 3, 7];
        for len in 0..section.len() {
            let lines = read(&section[..len], 1000);
            assert_eq!(lines.is_ok(), ends.contains(&len), "{len}: {lines:?}");
        }
    }

    #[test]
    fn rfc_9114_4_2_2_a_section_is_as_large_as_its_fields_and_32_bytes_for_each() {
        // `:method: GET`, and `x-a: b`.
        let section = b"\0\0\xd1\x23x-a\x01b";
        let size = 7 + 3 + 32 + 3 + 1 + 32;
        assert_eq!(read(section, size).map(|lines| lines.len()), Ok(2));
        assert_eq!(read(section, size - 1), Err(Unreadable::TooLarge));
    }
}
