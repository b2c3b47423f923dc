//! What was asked for or fetched ahead lately, and what of that was worth it. Pure: time is given.

use std::collections::hash_map::DefaultHasher;
use std::collections::{HashMap, VecDeque};
use std::hash::{Hash, Hasher};
use std::time::Duration;

use headwater_net::Timestamp;

use crate::map::Target;

/// What was asked for or fetched ahead within a window of time.
#[derive(Debug)]
pub struct Recent {
    entries: HashMap<u64, Entry>,
    /// Each entry once, oldest first, and what is left of those that were forgotten since.
    order: VecDeque<(Timestamp, u64, u64)>,
    /// The number of the last entry.
    last: u64,
    window: Duration,
    capacity: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    state: State,
    /// Tells it from one of the same object that was forgotten.
    number: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// A client asked for it.
    Asked,
    /// To be fetched ahead.
    Queued,
    /// Being fetched ahead, and not asked for yet.
    Coming,
    /// Fetched ahead, so many bytes, and not asked for yet.
    Here(u64),
}

/// What a request found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing that was fetched for it.
    Nothing,
    /// It is being fetched: the request joins that.
    Coming,
    /// It was fetched, so many bytes.
    Here(u64),
}

/// What was fetched for nobody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wasted {
    /// Objects.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Recent {
    /// Remembers at most `capacity` objects for `window`.
    pub fn new(window: Duration, capacity: usize) -> Self {
        let (entries, order) = (HashMap::new(), VecDeque::new());
        Self { entries, order, last: 0, window, capacity: capacity.max(1) }
    }

    /// Whether `target` was asked for or fetched lately.
    pub fn contains(&self, target: &Target) -> bool {
        self.entries.contains_key(&key(target))
    }

    /// A client asks for `target`: what of it was fetched ahead, the first time it is asked for.
    pub fn asked(&mut self, target: &Target, now: Timestamp) -> Found {
        let Some(state) = self.state(target) else {
            self.remember(target, State::Asked, now);
            return Found::Nothing;
        };
        match std::mem::replace(state, State::Asked) {
            State::Coming => Found::Coming,
            State::Here(bytes) => Found::Here(bytes),
            State::Asked | State::Queued => Found::Nothing,
        }
    }

    /// `target` is to be fetched ahead.
    pub fn queued(&mut self, target: &Target, now: Timestamp) {
        self.remember(target, State::Queued, now);
    }

    /// The fetch of `target` begins; `false` where it is no longer wanted: somebody asked for it
    /// since.
    pub fn begins(&mut self, target: &Target) -> bool {
        match self.state(target) {
            Some(state @ State::Queued) => {
                *state = State::Coming;
                true
            }
            _ => false,
        }
    }

    /// Whether somebody asked for `target` since its fetch began.
    pub fn is_promoted(&self, target: &Target) -> bool {
        self.entries.get(&key(target)).is_some_and(|entry| entry.state == State::Asked)
    }

    /// The fetch of `target` is done.
    pub fn fetched(&mut self, target: &Target, bytes: u64) {
        if let Some(state @ State::Coming) = self.state(target) {
            *state = State::Here(bytes);
        }
    }

    /// The fetch of `target` gave nothing that counts: it failed, or the segment was there already.
    pub fn settle(&mut self, target: &Target) {
        if let Some(state) = self.state(target) {
            *state = State::Asked;
        }
    }

    /// The fetch of `target` was given up: it may be fetched another time.
    pub fn forget(&mut self, target: &Target) {
        let key = key(target);
        if self.entries.get(&key).is_some_and(|entry| entry.state != State::Asked) {
            // Its place in the order goes when its time comes, and counts until then.
            self.entries.remove(&key);
        }
    }

    /// Forgets what is older than the window, and the oldest beyond the capacity; returns what of
    /// these was fetched ahead for nobody.
    pub fn expire(&mut self, now: Timestamp) -> Wasted {
        let mut wasted = Wasted::default();
        while let Some(&(since, key, number)) = self.order.front()
            && (self.order.len() > self.capacity || now.since(since) >= self.window)
        {
            self.order.pop_front();
            if self.entries.get(&key).is_none_or(|entry| entry.number != number) {
                continue;
            }
            match self.entries.remove(&key).map(|entry| entry.state) {
                Some(State::Here(bytes)) => {
                    wasted.objects += 1;
                    wasted.bytes += bytes;
                }
                // It says itself what became of it.
                Some(State::Coming | State::Asked | State::Queued) | None => {}
            }
        }
        wasted
    }

    fn state(&mut self, target: &Target) -> Option<&mut State> {
        self.entries.get_mut(&key(target)).map(|entry| &mut entry.state)
    }

    fn remember(&mut self, target: &Target, state: State, now: Timestamp) {
        let key = key(target);
        if let Some(known) = self.entries.get_mut(&key) {
            known.state = state;
            return;
        }
        self.last += 1;
        self.entries.insert(key, Entry { state, number: self.last });
        self.order.push_back((now, key, self.last));
    }
}

/// A collision makes one prefetch too few.
fn key(target: &Target) -> u64 {
    let mut hasher = DefaultHasher::new();
    target.url.hash(&mut hasher);
    target.range.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;
    use crate::map::Url;

    fn target(path: &str) -> Target {
        Target { url: Url::new("h", path).unwrap(), range: None }
    }

    #[test]
    fn what_is_fetched_ahead_is_used_once_or_wasted() {
        let mut recent = Recent::new(Duration::from_secs(60), 9);
        let now = Timestamp::from_secs(100);
        for path in ["/1", "/2", "/3", "/4", "/5"] {
            recent.queued(&target(path), now);
        }
        assert!(["/1", "/2", "/4", "/5"].iter().all(|path| recent.begins(&target(path))));
        recent.fetched(&target("/1"), 700);
        recent.fetched(&target("/2"), 500);
        assert_eq!(recent.asked(&target("/1"), now), Found::Here(700));
        assert_eq!(recent.asked(&target("/1"), now), Found::Nothing, "then it is a plain hit");
        assert_eq!(recent.asked(&target("/3"), now), Found::Nothing, "asked for before it began");
        assert!(!recent.begins(&target("/3")));
        assert!(!recent.is_promoted(&target("/4")));
        assert_eq!(recent.asked(&target("/4"), now), Found::Coming);
        assert!(recent.is_promoted(&target("/4")));
        recent.forget(&target("/5"));
        assert!(!recent.contains(&target("/5")), "given up, it may be fetched again");
        assert_eq!(recent.expire(now.plus(Duration::from_secs(59))), Wasted::default());
        let wasted = recent.expire(now.plus(Duration::from_secs(60)));
        assert_eq!(wasted, Wasted { objects: 1, bytes: 500 });
        assert!(!recent.contains(&target("/1")));
    }

    #[test]
    fn parts_of_one_file_are_told_apart() {
        let mut recent = Recent::new(Duration::from_secs(60), 9);
        let part = |range| Target { range: Some(range), ..target("/all.mp4") };
        recent.queued(&part(0..100), Timestamp::from_secs(1));
        assert!(recent.contains(&part(0..100)) && !recent.contains(&part(100..200)));
        assert!(!recent.contains(&target("/all.mp4")));
    }

    #[test]
    fn what_was_forgotten_and_is_fetched_again_stays_its_whole_window() {
        let mut recent = Recent::new(Duration::from_secs(60), 9);
        let now = Timestamp::from_secs(100);
        recent.queued(&target("/1"), now);
        recent.forget(&target("/1"));
        recent.queued(&target("/1"), now.plus(Duration::from_secs(30)));
        assert!(recent.begins(&target("/1")));
        recent.fetched(&target("/1"), 700);
        assert_eq!(recent.expire(now.plus(Duration::from_secs(89))), Wasted::default());
        assert!(recent.contains(&target("/1")));
        let wasted = recent.expire(now.plus(Duration::from_secs(90)));
        assert_eq!(wasted, Wasted { objects: 1, bytes: 700 });
        for round in 0..100 {
            recent.queued(&target("/2"), now.plus(Duration::from_secs(90 + round)));
            recent.forget(&target("/2"));
            recent.expire(now.plus(Duration::from_secs(90)));
        }
        assert!(recent.order.len() <= 9, "what was forgotten is bounded, too");
    }

    #[test]
    fn memory_is_bounded_by_the_capacity() {
        let mut recent = Recent::new(Duration::from_secs(60), 3);
        let now = Timestamp::from_secs(100);
        for i in 0..100 {
            recent.asked(&target(&format!("/{i}")), now);
            recent.expire(now);
        }
        assert_eq!((recent.order.len(), recent.entries.len()), (3, 3));
    }
}
