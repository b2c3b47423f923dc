//! Big-endian numbers out of a slice; every read is bounded by it.

/// A position in a slice.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Reads past version and flags of a full box (§4.2) and gives them.
    pub(crate) fn full_box(bytes: &'a [u8]) -> Option<(u8, u32, Self)> {
        let mut cursor = Self::new(bytes);
        let word = cursor.u32()?;
        Some(((word >> 24) as u8, word & 0x00ff_ffff, cursor))
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(crate) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(taken)
    }

    pub(crate) fn skip(&mut self, count: usize) -> Option<()> {
        self.take(count).map(|_| ())
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_be_bytes)
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    pub(crate) fn i32(&mut self) -> Option<i32> {
        self.array().map(i32::from_be_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    pub(crate) fn i64(&mut self) -> Option<i64> {
        self.array().map(i64::from_be_bytes)
    }

    /// A table: a 32-bit count and that many entries of `N` bytes. `None` when the box is too
    /// short for the count, so that nothing is ever allocated for entries that are not there.
    pub(crate) fn table<const N: usize>(&mut self) -> Option<&'a [[u8; N]]> {
        let count = usize::try_from(self.u32()?).ok()?;
        let (entries, _) = self.take(count.checked_mul(N)?)?.as_chunks::<N>();
        Some(entries)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.rest.split_first_chunk::<N>()?;
        self.rest = rest;
        Some(*array)
    }
}

/// The 32-bit number at `at` of a table entry.
pub(super) fn word<const N: usize>(entry: &[u8; N], at: usize) -> u32 {
    entry
        .get(at..)
        .and_then(|tail| tail.first_chunk::<4>())
        .map_or(0, |bytes| u32::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_longer_than_its_box_is_refused() {
        assert!(Cursor::new(&[0xff, 0xff, 0xff, 0xff, 0, 0, 0, 1]).table::<8>().is_none());
        let mut cursor = Cursor::new(&[0, 0, 0, 1, 0, 0, 0, 7, 9]);
        assert_eq!(cursor.table::<4>().map(|entries| word(&entries[0], 0)), Some(7));
        assert_eq!(cursor.rest(), [9]);
    }
}
