//! Which records of a region live on when it goes.
//!
//! Regions go in the order in which they came. Of the oldest, what was asked for since it was
//! written is written again, the hottest first, up to a share of a region: so that room is made
//! however hot everything is, and a byte is written at most a bounded number of times.

use super::index::Entry;

/// The share of a region that may be written again, as one part in so many.
const SHARE: u64 = 4;

/// Chooses among the entries of the oldest region: those to be written again come first, and the
/// second list is the rest.
pub(crate) fn choose(mut entries: Vec<Entry>, region_bytes: u64) -> (Vec<Entry>, Vec<Entry>) {
    // In the order they lie in, where they are as hot as each other.
    entries.sort_unstable_by_key(|entry| (std::cmp::Reverse(entry.heat), entry.at));
    let mut room = region_bytes / SHARE;
    entries.into_iter().partition(|entry| {
        let fits = entry.heat > 0 && u64::from(entry.len) <= room;
        if fits {
            room -= u64::from(entry.len);
        }
        fits
    })
}

#[cfg(test)]
mod tests {
    use super::super::record::Place;
    use super::*;

    #[test]
    fn the_hottest_live_on_and_no_more_than_a_share() {
        let entry = |offset: u32, heat| Entry {
            hash: u128::from(offset),
            variant: 0,
            at: Place { region: 1, offset },
            len: 100,
            heat,
        };
        let heats = [0, 1, 3, 0, 2, 1, 1];
        let entries = (0..).zip(heats).map(|(at, heat)| entry(at, heat)).collect();
        let (kept, gone) = choose(entries, 1200);
        let places = |list: &[Entry]| list.iter().map(|one| one.at.offset).collect::<Vec<_>>();
        assert_eq!(places(&kept), [2, 4, 1]);
        assert_eq!(places(&gone), [5, 6, 0, 3]);
    }
}
