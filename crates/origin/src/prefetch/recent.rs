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
    entries: HashMap<u64, State>,
    /// Each key once, oldest first.
    order: VecDeque<(Timestamp, u64)>,
    window: Duration,
    capacity: usize,
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
        Self { entries: HashMap::new(), order: VecDeque::new(), window, capacity: capacity.max(1) }
    }

    /// Whether `target` was asked for or fetched lately.
    pub fn contains(&self, target: &Target) -> bool {
        self.entries.contains_key(&key(target))
    }

    /// A client asks for `target`: what of it was fetched ahead, the first time it is asked for.
    pub fn asked(&mut self, target: &Target, now: Timestamp) -> Found {
        let Some(state) = self.entries.get_mut(&key(target)) else {
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
        match self.entries.get_mut(&key(target)) {
            Some(state @ State::Queued) => {
                *state = State::Coming;
                true
            }
            _ => false,
        }
    }

    /// Whether somebody asked for `target` since its fetch began.
    pub fn is_promoted(&self, target: &Target) -> bool {
        self.entries.get(&key(target)) == Some(&State::Asked)
    }

    /// The fetch of `target` is done.
    pub fn fetched(&mut self, target: &Target, bytes: u64) {
        if let Some(state @ State::Coming) = self.entries.get_mut(&key(target)) {
            *state = State::Here(bytes);
        }
    }

    /// The fetch of `target` gave nothing that counts: it failed, or the segment was there already.
    pub fn settle(&mut self, target: &Target) {
        if let Some(state) = self.entries.get_mut(&key(target)) {
            *state = State::Asked;
        }
    }

    /// The fetch of `target` was given up: it may be fetched another time.
    pub fn forget(&mut self, target: &Target) {
        let key = key(target);
        if self.entries.get(&key).is_some_and(|state| *state != State::Asked) {
            self.entries.remove(&key);
            self.order.retain(|(_, other)| *other != key);
        }
    }

    /// Forgets what is older than the window, and the oldest beyond the capacity; returns what of
    /// these was fetched ahead for nobody.
    pub fn expire(&mut self, now: Timestamp) -> Wasted {
        let mut wasted = Wasted::default();
        while let Some(&(since, key)) = self.order.front()
            && (self.order.len() > self.capacity || now.since(since) >= self.window)
        {
            self.order.pop_front();
            match self.entries.remove(&key) {
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

    fn remember(&mut self, target: &Target, state: State, now: Timestamp) {
        let key = key(target);
        if self.entries.insert(key, state).is_none() {
            self.order.push_back((now, key));
        }
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
