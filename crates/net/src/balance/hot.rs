//! Which keys are hot: counts of the keys asked for most, in a table of one size.
//!
//! Each key has one slot; a slot counts for one key, and another that falls into it takes from the
//! count until the slot is its own. So what is asked for much more than others is counted nearly
//! right, and what is not is forgotten. Counts halve with each window.

use std::time::Duration;

use crate::Timestamp;

/// Keys that are counted at one time.
const SLOTS: usize = 1024;
/// How long until counts are halved.
const WINDOW: Duration = Duration::from_secs(10);

/// How often keys were asked for lately, of those that are asked for most.
#[derive(Debug)]
pub struct Hot {
    slots: Vec<(u64, u32)>,
    since: Timestamp,
}

impl Default for Hot {
    fn default() -> Self {
        Self { slots: vec![(0, 0); SLOTS], since: Timestamp::default() }
    }
}

impl Hot {
    /// Counts a request for a key. Returns about how many there were in this window, with half of
    /// those before it.
    pub fn note(&mut self, key: u64, now: Timestamp) -> u32 {
        let windows = now.since(self.since).as_millis() / WINDOW.as_millis();
        if windows > 0 {
            let by = u32::try_from(windows).unwrap_or(u32::MAX);
            for (_, count) in &mut self.slots {
                *count = count.checked_shr(by).unwrap_or(0);
            }
            self.since = now;
        }
        let slot = usize::try_from(key % SLOTS as u64).ok().and_then(|at| self.slots.get_mut(at));
        let Some((counted, count)) = slot else { return 0 };
        if *counted == key {
            *count = count.saturating_add(1);
        } else if *count == 0 {
            (*counted, *count) = (key, 1);
        } else {
            *count -= 1;
            return 0;
        }
        *count
    }

    /// About how many requests for a key were counted, as of the last that was.
    pub fn count(&self, key: u64) -> u32 {
        let slot = usize::try_from(key % SLOTS as u64).ok().and_then(|at| self.slots.get(at));
        slot.filter(|(counted, _)| *counted == key).map_or(0, |(_, count)| *count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_most_is_counted_and_forgotten_again() {
        let mut hot = Hot::default();
        let now = Timestamp::from_secs(1000);
        let mut seen = 0;
        for n in 0..1000 {
            seen = hot.note(7, now);
            // One in ten is for a key of the same slot.
            if n % 10 == 0 {
                assert_eq!(hot.note(7 + SLOTS as u64, now), 0);
            }
        }
        assert!((850..=1000).contains(&seen), "{seen}");
        assert_eq!((hot.count(7), hot.count(7 + SLOTS as u64), hot.count(8)), (seen, 0, 0));
        assert_eq!(hot.note(7, now.plus(WINDOW)), seen / 2 + 1);
        assert_eq!(hot.note(7, now.plus(100 * WINDOW)), 1);
    }
}
