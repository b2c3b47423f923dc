//! Where a response is cut: at multiples of one size, or where what lies in it begins and ends.

use std::ops::Range;
use std::sync::Arc;

use http::request::Parts;
use http::{HeaderValue, StatusCode, header};

use super::{MAX_SLICES, identity, validator};
use crate::key::{Key, KeyBuf};
use crate::object::Head;

/// What a joint leaves of a slice on either side is joined with its neighbours as long as that is no
/// more than this part of a slice: many small pieces would be many small requests.
const JOINED: u64 = 16;

/// Who knows what lies in large responses: given to a cache ([`Cache::align`](crate::Cache::align)), it
/// has their slices end where that ends.
pub trait Joints: Send + Sync + 'static {
    /// The offsets in the body of what a request names at which something begins or ends that is asked
    /// for by itself, in ascending order; `None` where nothing is known. `request` is as it goes upstream
    /// ([`Policy::prepare`](crate::Policy::prepare)).
    ///
    /// It is asked once for each response that may be cut, when that comes or is about to be asked for,
    /// and what it says then holds for that response as long as it is stored. It must be quick, must not
    /// block and must not call the cache. Where it errs, slices are cut in odd places, and no byte is
    /// wrong.
    fn joints(&self, request: &Parts) -> Option<Vec<u64>>;
}

/// Where the slices of one response end, in ascending order: kept with it. After the last of them they
/// have one size.
pub(crate) type Ends = Arc<[u64]>;

/// How a response is cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Grid {
    size: u64,
    /// `None` for slices of one size.
    ends: Option<Ends>,
}

impl Grid {
    /// Slices of so many bytes; none of none.
    pub(crate) fn new(size: u64) -> Option<Self> {
        (size > 0).then_some(Self { size, ends: None })
    }

    /// The slices of a response that is stored, or about to be.
    pub(crate) fn of(&self, head: &Head) -> Self {
        self.with(head.ends.clone())
    }

    /// The slices that end there.
    pub(crate) fn with(&self, ends: Option<Ends>) -> Self {
        Self { size: self.size, ends }
    }

    /// Where its slices end, if that is not at multiples of one size.
    pub(crate) const fn ends(&self) -> Option<&Ends> {
        self.ends.as_ref()
    }

    /// The slices of a response that has such joints, none longer than one of this grid; `begun` is one
    /// of them in any case. `None` where they would be too many, or there is nothing to go by.
    pub(crate) fn aligned(&self, joints: &[u64], begun: Option<&Range<u64>>) -> Option<Self> {
        let begun = begun.cloned().unwrap_or(0..0);
        let mut cutter = Cutter { size: self.size, ends: Vec::new(), start: 0, end: 0 };
        let (before, after) = joints.split_at(joints.partition_point(|at| *at < begun.start));
        for at in before {
            cutter.reach(*at)?;
        }
        if begun.start < begun.end {
            cutter.reach(begun.start)?;
            cutter.close();
            cutter.reach(begun.end)?;
            cutter.close();
        }
        for at in after {
            cutter.reach(*at)?;
        }
        cutter.close();
        let ends = (1..=MAX_SLICES as usize).contains(&cutter.ends.len()).then_some(cutter.ends)?;
        Some(self.with(Some(ends.into())))
    }

    /// Where the last slice ends that has an end of its own.
    fn last(&self) -> (u64, u64) {
        let ends = self.ends.as_deref().unwrap_or_default();
        (ends.len() as u64, ends.last().copied().unwrap_or(0))
    }

    /// The number of the slice that a byte lies in.
    pub(crate) fn number(&self, offset: u64) -> u64 {
        let (count, last) = self.last();
        match &self.ends {
            Some(ends) if offset < last => ends.partition_point(|end| *end <= offset) as u64,
            _ => count + (offset - last) / self.size,
        }
    }

    /// The bytes of a slice of a body of `len` bytes.
    pub(crate) fn range(&self, number: u64, len: u64) -> Range<u64> {
        let (count, last) = self.last();
        if let Some(ends) = self.ends.as_deref().filter(|_| number < count) {
            let at = |number: u64| ends.get(usize::try_from(number).ok()?).copied();
            let start = number.checked_sub(1).and_then(at).unwrap_or(0);
            return start.min(len)..at(number).unwrap_or(start).min(len);
        }
        let start = last.saturating_add((number - count).saturating_mul(self.size)).min(len);
        start..start.saturating_add(self.size).min(len)
    }

    /// The number of slices of a body of `len` bytes.
    pub(crate) fn count(&self, len: u64) -> u64 {
        len.checked_sub(1).map_or(0, |last| self.number(last) + 1)
    }

    /// Whether a response can be cut.
    pub(crate) fn cuts(&self, head: &Head) -> bool {
        let Some(len) = head.len.filter(|len| *len > 0) else { return false };
        let refuses = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"none");
        head.status == StatusCode::OK
            && self.count(len) <= MAX_SLICES
            && validator(head).is_some()
            && !head.headers.get(header::ACCEPT_RANGES).is_some_and(refuses)
    }

    /// The key of a slice of the response that is stored under `whole`. One that is not of the one size
    /// is named by its bytes: whatever the others are, it is the same.
    pub(crate) fn key(&self, whole: &[u8], head: &Head, number: u64) -> Key {
        let mut key = KeyBuf::new();
        key.push(whole);
        if self.ends.is_some() {
            let Range { start, end } = self.range(number, head.len.unwrap_or(u64::MAX));
            key.push_beside(format!("slice {start}-{end}").as_bytes());
        } else {
            key.push_beside(format!("slice {number} of {}", self.size).as_bytes());
        }
        identity(head, &mut key);
        key.to_key()
    }
}

/// Goes from joint to joint.
struct Cutter {
    size: u64,
    ends: Vec<u64>,
    /// The slice that is being drawn together.
    start: u64,
    end: u64,
}

impl Cutter {
    /// Has all bytes up to `at` in slices; `None` where they are too many.
    fn reach(&mut self, at: u64) -> Option<()> {
        if at <= self.end {
            return Some(());
        }
        if at - self.start > (self.size / JOINED).max(1) {
            self.close();
        }
        while at - self.start > self.size {
            if self.ends.len() as u64 >= MAX_SLICES {
                return None;
            }
            self.end = self.start + self.size;
            self.close();
        }
        self.end = at;
        Some(())
    }

    fn close(&mut self) {
        if self.end > self.start {
            self.ends.push(self.end);
            self.start = self.end;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;
    use proptest::prelude::*;

    /// Any grid, with the joints that it was made by.
    fn grids() -> impl Strategy<Value = (Grid, Vec<u64>)> {
        let joints = prop::collection::btree_set(0u64..1 << 20, 0..40);
        (1u64 << 10..1 << 16, joints, prop::option::of(0u64..16)).prop_map(
            |(size, joints, begun)| {
                let joints: Vec<u64> = joints.into_iter().collect();
                let fixed = Grid::new(size).unwrap();
                let begun = begun.map(|number| fixed.range(number, u64::MAX));
                let grid = fixed.aligned(&joints, begun.as_ref()).unwrap_or(fixed);
                if let Some(begun) = begun {
                    assert_eq!(grid.range(grid.number(begun.start), u64::MAX), begun);
                }
                (grid, joints)
            },
        )
    }

    proptest! {
        #[test]
        fn slices_cover_a_body_once(
            (grid, _) in grids(),
            len in 1u64..1 << 21,
            at: prop::sample::Index,
        ) {
            let at = at.index(len as usize) as u64;
            let number = grid.number(at);
            let slice = grid.range(number, len);
            prop_assert!(slice.contains(&at) && slice.end - slice.start <= grid.size);
            prop_assert!(number < grid.count(len));
            prop_assert_eq!(grid.range(number + 1, len).start, slice.end);
            prop_assert_eq!(grid.range(grid.count(len) - 1, len).end, len);
            prop_assert_eq!(grid.range(grid.count(len), len), len..len);
        }

        /// What begins at a joint has at most the sixteenth part of a slice before it.
        #[test]
        fn nobody_waits_for_much_at_a_joint(
            joints in prop::collection::btree_set(1u64..1 << 20, 1..40),
            size in 1u64 << 10..1 << 16,
        ) {
            let joints: Vec<u64> = joints.into_iter().collect();
            let grid = Grid::new(size).unwrap().aligned(&joints, None).unwrap();
            for at in joints {
                let slice = grid.range(grid.number(at), u64::MAX);
                prop_assert!(at - slice.start <= size / JOINED, "{at} in {slice:?}");
            }
        }
    }

    #[test]
    fn slices_of_one_size_cover_a_body() {
        let grid = Grid::new(1000).unwrap();
        assert_eq!((grid.count(0), grid.count(1000), grid.count(1001)), (0, 1, 2));
        assert_eq!((grid.number(999), grid.number(1000)), (0, 1));
        assert_eq!(grid.range(1, 1500), 1000..1500);
    }

    #[test]
    fn small_pieces_are_joined_and_large_ones_cut() {
        let grid = Grid::new(1600).unwrap();
        let ends = |joints: &[u64], begun: Option<Range<u64>>| {
            grid.aligned(joints, begun.as_ref()).unwrap().ends.unwrap().to_vec()
        };
        assert_eq!(ends(&[30, 60, 90, 120, 500, 4000], None), [90, 120, 500, 2100, 3700, 4000]);
        assert_eq!(ends(&[30, 60, 90, 500], Some(0..1600)), [1600]);
        assert_eq!(ends(&[900, 1700, 2500, 3300], Some(1600..3200)), [900, 1600, 3200, 3300]);
        assert_eq!(grid.aligned(&[], None), None);
        assert_eq!(grid.aligned(&[0], None), None);
        assert_eq!(grid.aligned(&[u64::MAX], None), None, "more slices than there may be");
        let every: Vec<u64> = (0..=MAX_SLICES).map(|number| (number + 1) * 1000).collect();
        assert_eq!(grid.aligned(&every, None), None);
        assert!(
            grid.aligned(&every[1..].iter().map(|at| at - 1000).collect::<Vec<_>>(), None)
                .is_some()
        );
    }

    #[test]
    fn the_end_of_the_numbers_is_no_trouble() {
        let grid = Grid::new(u64::MAX / 2).unwrap();
        assert_eq!(grid.range(9, u64::MAX), u64::MAX..u64::MAX);
        assert_eq!(grid.number(u64::MAX), 2);
        let grid = grid.aligned(&[7, u64::MAX], None).unwrap();
        assert_eq!(grid.range(grid.number(u64::MAX - 1), u64::MAX).end, u64::MAX);
        assert_eq!(grid.range(u64::MAX, u64::MAX), u64::MAX..u64::MAX);
        assert!(Grid::new(0).is_none());
    }
}
