//! Box headers and the children of a container (ISO/IEC 14496-12 §4.2).
//!
//! The walk is lenient: unknown boxes are passed over, rubbish at the end of a container ends it
//! (QuickTime closes some with four zero bytes), and a box that runs past its container is
//! remembered as damage, to be told when something needed is then missing.

use super::FourCc;
use crate::error::{Error, Result};

/// How many boxes may still be looked at.
#[derive(Debug)]
pub(crate) struct Budget {
    left: u32,
    limit: u32,
}

impl Budget {
    pub(crate) fn new(limit: u32) -> Self {
        Self { left: limit, limit }
    }

    /// Spends one box.
    pub(crate) fn spend(&mut self) -> Result<()> {
        self.left = self
            .left
            .checked_sub(1)
            .ok_or(Error::Limit { what: "boxes", limit: u64::from(self.limit) })?;
        Ok(())
    }
}

/// A box header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) kind: FourCc,
    /// Bytes before the payload: 8, 16 with a large size, 16 more for `uuid`.
    pub(crate) len: u64,
    /// Size with header; `None` for a box that runs to the end of the file.
    pub(crate) size: Option<u64>,
}

/// What the start of a box can be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Parsed {
    Header(Header),
    /// More bytes are needed to tell.
    Short,
    /// No box starts here.
    Invalid,
}

impl Header {
    pub(crate) fn parse(bytes: &[u8]) -> Parsed {
        let Some((head, rest)) = bytes.split_first_chunk::<8>() else {
            return Parsed::Short;
        };
        let [a, b, c, d, kind @ ..] = *head;
        let kind = FourCc(kind);
        let mut len = if kind.0 == *b"uuid" { 24 } else { 8 };
        let size = match u32::from_be_bytes([a, b, c, d]) {
            0 => None,
            1 => {
                let Some(large) = rest.first_chunk::<8>() else {
                    return Parsed::Short;
                };
                len += 8;
                Some(u64::from_be_bytes(*large))
            }
            size => Some(u64::from(size)),
        };
        if size.is_some_and(|size| size < len) {
            return Parsed::Invalid;
        }
        Parsed::Header(Self { kind, len, size })
    }
}

/// The boxes directly inside a container.
#[derive(Debug)]
pub(crate) struct Children<'a> {
    boxes: Vec<Child<'a>>,
    damaged: bool,
}

/// One of them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Child<'a> {
    pub(crate) kind: FourCc,
    /// Without header.
    pub(crate) payload: &'a [u8],
    /// With header.
    pub(crate) whole: &'a [u8],
}

/// Lists the boxes in `container`, a payload that is nothing but boxes.
pub(crate) fn children<'a>(container: &'a [u8], budget: &mut Budget) -> Result<Children<'a>> {
    let mut found = Children { boxes: Vec::new(), damaged: false };
    let mut rest = container;
    while rest.len() >= 8 {
        let Parsed::Header(header) = Header::parse(rest) else {
            found.damaged = rest.iter().any(|byte| *byte != 0);
            break;
        };
        budget.spend()?;
        let size = header.size.unwrap_or(rest.len() as u64);
        let split = usize::try_from(size).ok().and_then(|size| rest.split_at_checked(size));
        let Some((whole, after)) = split else {
            found.damaged = true;
            break;
        };
        let payload = whole.get(header.len as usize..).unwrap_or_default();
        found.boxes.push(Child { kind: header.kind, payload, whole });
        rest = after;
    }
    Ok(found)
}

impl<'a> Children<'a> {
    /// The payload of the first box of that kind.
    pub(crate) fn get(&self, kind: impl Into<FourCc>) -> Option<&'a [u8]> {
        self.all(kind).next().map(|child| child.payload)
    }

    /// The boxes of that kind.
    pub(crate) fn all(&self, kind: impl Into<FourCc>) -> impl Iterator<Item = Child<'a>> {
        let kind = kind.into();
        self.boxes.iter().copied().filter(move |child| child.kind == kind)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Child<'a>> {
        self.boxes.iter().copied()
    }

    /// The payload of a box that must be there.
    pub(crate) fn require(
        &self,
        kind: impl Into<FourCc>,
        inside: impl Into<FourCc>,
        track: Option<u32>,
    ) -> Result<&'a [u8]> {
        let kind = kind.into();
        self.get(kind).ok_or(if self.damaged {
            Error::BadBox { kind: inside.into(), track, why: "a box inside it runs past its end" }
        } else {
            Error::MissingBox { kind, track }
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    fn walk(bytes: &[u8]) -> Children<'_> {
        children(bytes, &mut Budget::new(10)).unwrap()
    }

    #[test]
    fn all_header_forms_are_read() {
        let parse = |bytes: &[u8]| match Header::parse(bytes) {
            Parsed::Header(header) => (header.len, header.size),
            other => panic!("{other:?}"),
        };
        assert_eq!(parse(b"\0\0\0\x08free"), (8, Some(8)));
        assert_eq!(parse(b"\0\0\0\0mdat"), (8, None));
        assert_eq!(parse(b"\0\0\0\x01mdat\0\0\0\x02\0\0\0\0"), (16, Some(2 << 32)));
        assert_eq!(parse(b"\0\0\0\x18uuid0123456789abcdef"), (24, Some(24)));
        assert_eq!(Header::parse(b"\0\0\0\x07free"), Parsed::Invalid);
        assert_eq!(Header::parse(b"\0\0\0\x01mdat\0\0"), Parsed::Short);
        assert_eq!(Header::parse(b"\0\0\0"), Parsed::Short);
    }

    #[test]
    fn a_container_may_end_in_zeros() {
        let found = walk(b"\0\0\0\x09freex\0\0\0\0");
        assert_eq!(found.get(b"free"), Some(&b"x"[..]));
        assert!(!found.damaged);
    }

    #[test]
    fn damage_is_told_when_something_is_missing() {
        let found = walk(b"\0\0\0\x08free\0\0\0\x40stsz");
        assert!(found.get(b"free").is_some());
        assert!(matches!(found.require(b"stsz", b"stbl", Some(1)), Err(Error::BadBox { .. })));
        assert!(matches!(walk(b"").require(b"stsz", b"stbl", None), Err(Error::MissingBox { .. })));
    }

    #[test]
    fn boxes_are_counted() {
        let many = b"\0\0\0\x08free".repeat(11);
        assert!(matches!(children(&many, &mut Budget::new(10)), Err(Error::Limit { .. })));
    }
}
