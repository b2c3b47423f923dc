//! Boxes (ISO/IEC 14496-12 §4.2) as a checker needs them: exact about nesting, forgiving of what
//! it does not know. It shares no code with the packager.

#![expect(clippy::trivially_copy_pass_by_ref, reason = "byte string literals are references")]

use std::ops::Range;

use crate::limits::MAX_BOXES;

/// A four-character code.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FourCc(pub(crate) [u8; 4]);

impl std::fmt::Display for FourCc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

impl std::fmt::Debug for FourCc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "'{self}'")
    }
}

/// One box within some bytes.
#[derive(Debug, Clone)]
pub(crate) struct Atom<'a> {
    pub(crate) kind: FourCc,
    /// Where it begins in the file.
    pub(crate) start: u64,
    /// Its size with its header.
    pub(crate) size: u64,
    /// What is inside, and where that begins in the file.
    pub(crate) body: &'a [u8],
    pub(crate) body_at: u64,
}

impl<'a> Atom<'a> {
    pub(crate) fn is(&self, kind: &[u8; 4]) -> bool {
        &self.kind.0 == kind
    }

    pub(crate) fn range(&self) -> Range<u64> {
        self.start..self.start + self.size
    }

    /// The boxes inside, after `skip` bytes of fields.
    pub(crate) fn children(&self, skip: usize) -> Result<Vec<Atom<'a>>, String> {
        let inner = self.body.get(skip..).ok_or_else(|| format!("{} is too short", self.kind))?;
        walk(inner, self.body_at + skip as u64)
            .map_err(|error| format!("in {}: {error}", self.kind))
    }

    /// The first box of this kind inside.
    pub(crate) fn child(&self, kind: &[u8; 4]) -> Option<Atom<'a>> {
        self.children(0).ok()?.into_iter().find(|inner| inner.is(kind))
    }

    /// A reader of the fields.
    pub(crate) fn fields(&self) -> Fields<'a> {
        Fields { rest: self.body }
    }
}

/// The boxes that fill `bytes`, which begin at `at` in the file.
pub(crate) fn walk(bytes: &[u8], at: u64) -> Result<Vec<Atom<'_>>, String> {
    let mut found = Vec::new();
    let mut offset = 0usize;
    while offset < bytes.len() {
        let place = at + offset as u64;
        let rest = bytes.get(offset..).unwrap_or(&[]);
        let mut fields = Fields { rest };
        let (Some(size), Some(kind)) = (fields.u32(), fields.take(4)) else {
            return Err(format!("{} stray bytes at {place}", rest.len()));
        };
        let kind = FourCc(kind.try_into().unwrap_or_default());
        let size = match size {
            0 => rest.len() as u64,
            1 => fields.u64().ok_or_else(|| format!("the size of {kind} at {place} is cut off"))?,
            size => u64::from(size),
        };
        let header = (rest.len() - fields.rest.len()) as u64;
        if size < header || size > rest.len() as u64 {
            return Err(format!(
                "{kind} at {place} says it has {size} bytes, and {} are left",
                rest.len()
            ));
        }
        if found.len() >= MAX_BOXES {
            return Err(format!("more than {MAX_BOXES} boxes"));
        }
        let body = rest.get(header as usize..size as usize).unwrap_or(&[]);
        found.push(Atom { kind, start: place, size, body, body_at: place + header });
        offset += size as usize;
    }
    Ok(found)
}

/// Reads fields from the front of some bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fields<'a> {
    pub(crate) rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(crate) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(taken)
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes(self.take(2)?.try_into().ok()?))
    }

    pub(crate) fn u24(&mut self) -> Option<u32> {
        let bytes: [u8; 3] = self.take(3)?.try_into().ok()?;
        Some(bytes.iter().fold(0, |sum, byte| sum << 8 | u32::from(*byte)))
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        Some(u32::from_be_bytes(self.take(4)?.try_into().ok()?))
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        Some(u64::from_be_bytes(self.take(8)?.try_into().ok()?))
    }

    pub(crate) fn i32(&mut self) -> Option<i32> {
        Some(i32::from_be_bytes(self.take(4)?.try_into().ok()?))
    }

    /// A field of 32 bits in version 0, of 64 in version 1.
    pub(crate) fn sized(&mut self, version: u8) -> Option<u64> {
        if version == 0 { self.u32().map(u64::from) } else { self.u64() }
    }

    /// Version and flags.
    pub(crate) fn full(&mut self) -> Option<(u8, u32)> {
        Some((self.u8()?, self.u24()?))
    }

    pub(crate) fn fourcc(&mut self) -> Option<FourCc> {
        Some(FourCc(self.take(4)?.try_into().ok()?))
    }
}
