//! Which segments to fetch ahead: a pure choice from the map and the recent past.

use std::collections::hash_map::DefaultHasher;
use std::collections::{HashMap, VecDeque};
use std::hash::{Hash, Hasher};
use std::time::Duration;

use headwater_net::Timestamp;

use crate::map::{Position, SegmentMap, Url};

/// Of the `ahead` segments after `position`, those worth fetching now, the nearest first.
///
/// Left out is what was asked for or fetched lately, what another authority serves (a shield asks
/// only whom it was told to stand before), and parts of larger files: a cache fills whole objects,
/// and the rest of a file is not "the next segment".
pub fn choose(
    map: &SegmentMap,
    position: Position,
    ahead: usize,
    authority: &str,
    recent: &Recent,
) -> Vec<Url> {
    let next = map.next(position, ahead).into_iter();
    next.filter(|target| target.range.is_none() && target.url.authority() == authority)
        .map(|target| target.url)
        .filter(|url| !recent.contains(url))
        .collect()
}

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
    /// Fetched ahead, or being fetched, and not asked for yet.
    Ahead,
}

impl Recent {
    /// Remembers at most `capacity` URLs for `window`.
    pub fn new(window: Duration, capacity: usize) -> Self {
        Self { entries: HashMap::new(), order: VecDeque::new(), window, capacity: capacity.max(1) }
    }

    /// Whether `url` was asked for or fetched lately.
    pub fn contains(&self, url: &Url) -> bool {
        self.entries.contains_key(&key(url))
    }

    /// A client asks for `url`: whether that was fetched ahead for it and not asked for before.
    pub fn asked(&mut self, url: &Url, now: Timestamp) -> bool {
        if let Some(state) = self.entries.get_mut(&key(url)) {
            let was = *state;
            *state = State::Asked;
            return was == State::Ahead;
        }
        self.remember(url, State::Asked, now);
        false
    }

    /// `url` is to be fetched ahead.
    pub fn queued(&mut self, url: &Url, now: Timestamp) {
        self.remember(url, State::Queued, now);
    }

    /// The fetch of `url` begins; `false` where it is no longer wanted: somebody asked for it since.
    pub fn begins(&mut self, url: &Url) -> bool {
        match self.entries.get_mut(&key(url)) {
            Some(state @ State::Queued) => {
                *state = State::Ahead;
                true
            }
            _ => false,
        }
    }

    /// The fetch of `url` gave nothing that counts: it failed, or the segment was there already.
    pub fn settle(&mut self, url: &Url) {
        if let Some(state @ (State::Ahead | State::Queued)) = self.entries.get_mut(&key(url)) {
            *state = State::Asked;
        }
    }

    /// Forgets what is older than the window, and the oldest beyond the capacity; returns how many
    /// of these were fetched ahead for nobody.
    pub fn expire(&mut self, now: Timestamp) -> u64 {
        let mut wasted = 0;
        while let Some(&(since, key)) = self.order.front()
            && (self.order.len() > self.capacity || now.since(since) >= self.window)
        {
            self.order.pop_front();
            wasted += u64::from(self.entries.remove(&key) == Some(State::Ahead));
        }
        wasted
    }

    fn remember(&mut self, url: &Url, state: State, now: Timestamp) {
        let key = key(url);
        if self.entries.insert(key, state).is_none() {
            self.order.push_back((now, key));
        }
    }
}

/// A collision makes one prefetch too few.
fn key(url: &Url) -> u64 {
    let mut hasher = DefaultHasher::new();
    url.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;
    use crate::map::Limits;

    fn url(path: &str) -> Url {
        Url::new("h", path).unwrap()
    }

    fn map() -> SegmentMap {
        let mut map = SegmentMap::new(Limits::default());
        let list = "#EXTM3U\n#EXTINF:4,\na\n#EXTINF:4,\nhttps://cdn.elsewhere/b\n#EXTINF:4,\n\
                    #EXT-X-BYTERANGE:9@0\nc\n#EXTINF:4,\nd\n#EXTINF:4,\ne\n";
        map.learn(&url("/l.m3u8"), None, list.as_bytes()).unwrap();
        map
    }

    #[test]
    fn only_whole_segments_of_the_same_authority_that_are_not_recent() {
        let mut map = map();
        let at = map.lookup(&url("/a"), None).unwrap();
        let mut recent = Recent::new(Duration::from_secs(60), 10);
        let now = Timestamp::from_secs(1);
        assert_eq!(choose(&map, at, 4, "h", &recent), [url("/d"), url("/e")]);
        assert_eq!(choose(&map, at, 2, "h", &recent), []);
        recent.asked(&url("/d"), now);
        assert_eq!(choose(&map, at, 4, "h", &recent), [url("/e")]);
    }

    #[test]
    fn what_is_fetched_ahead_is_used_once_or_wasted() {
        let mut recent = Recent::new(Duration::from_secs(60), 3);
        let now = Timestamp::from_secs(100);
        for path in ["/1", "/2", "/3"] {
            recent.queued(&url(path), now);
        }
        assert!(recent.begins(&url("/1")) && recent.begins(&url("/2")));
        assert!(recent.asked(&url("/1"), now));
        assert!(!recent.asked(&url("/1"), now), "the second time it is a plain hit");
        assert!(!recent.asked(&url("/3"), now), "it was asked for before the fetch began");
        assert!(!recent.begins(&url("/3")));
        assert_eq!(recent.expire(now.plus(Duration::from_secs(59))), 0);
        assert_eq!(recent.expire(now.plus(Duration::from_secs(60))), 1);
        assert!(!recent.contains(&url("/1")));
    }

    #[test]
    fn memory_is_bounded_by_the_capacity() {
        let mut recent = Recent::new(Duration::from_secs(60), 3);
        let now = Timestamp::from_secs(100);
        for i in 0..100 {
            recent.asked(&url(&format!("/{i}")), now);
            recent.expire(now);
        }
        assert_eq!((recent.order.len(), recent.entries.len()), (3, 3));
    }
}
