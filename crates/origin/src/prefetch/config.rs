//! How much is fetched ahead.

use std::time::Duration;

/// How much is fetched ahead, and for whom.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PrefetchConfig {
    /// Segments fetched ahead of the one asked for, at the most; 4 by default, 0 turns all prefetch
    /// off. A session begins with one; it is fetched more for where that was not enough (see
    /// [`Sessions`](super::Sessions)).
    pub ahead: usize,
    /// Renditions of a presentation whose playlists and init segments are fetched when its manifest
    /// is first asked for, with the first segments of those that players are likely to begin in (see
    /// [`Starts`](super::Starts)); 16 by default, 0 for none.
    pub heads: usize,
    /// Whether the segments of a neighbouring rendition are fetched where a switch is near; they
    /// are by default.
    pub neighbours: bool,
    /// Prefetches in flight at one time; 256 by default. Each session that watches what nobody has
    /// watched lately keeps about one under way: with fewer, most are too late. What spares the
    /// origin is [`share`](Self::share) and [`bytes_per_second`](Self::bytes_per_second).
    pub concurrency: usize,
    /// Requests that may wait at origins for what is not there yet, at one time; 64 by default, 0
    /// for none. They transfer nothing while they wait.
    pub waiting_live: usize,
    /// The share of an origin's places, in percent, up to which it is asked ahead; 50 by default.
    /// Where real requests fill as much of it, nothing is fetched ahead.
    pub share: u8,
    /// Prefetches waiting; 256 by default. Beyond it the least urgent are dropped.
    pub queue: usize,
    /// Bytes per second that may be spent, ten seconds of it at once; 64 MiB by default, `None` for
    /// no such bound. While it is spent, prefetches are refused.
    pub bytes_per_second: Option<u64>,
    /// Bytes of one object; 64 MiB by default. A prefetch that turns out to be larger is given up:
    /// at its headers where they tell, else when so much has come.
    pub max_object: u64,
    /// How long a segment counts as recent; 60 s by default. What was fetched ahead and is not
    /// asked for within it counts as wasted.
    pub window: Duration,
    /// How long after its last request a session counts as gone; 20 s by default. What was to be
    /// fetched for it is then given up.
    pub silence: Duration,
    /// How long one prefetch may take; 30 s by default.
    pub timeout: Duration,
}

impl Default for PrefetchConfig {
    fn default() -> Self {
        Self {
            ahead: 4,
            heads: 16,
            neighbours: true,
            concurrency: 256,
            waiting_live: 64,
            share: 50,
            queue: 256,
            bytes_per_second: Some(64 << 20),
            max_object: 64 << 20,
            window: Duration::from_secs(60),
            silence: Duration::from_secs(20),
            timeout: Duration::from_secs(30),
        }
    }
}

impl PrefetchConfig {
    /// No prefetch at all.
    pub fn off() -> Self {
        Self::default().ahead(0)
    }

    /// Replaces [`PrefetchConfig::ahead`].
    #[must_use]
    pub const fn ahead(mut self, segments: usize) -> Self {
        self.ahead = segments;
        self
    }

    /// Replaces [`PrefetchConfig::heads`].
    #[must_use]
    pub const fn heads(mut self, renditions: usize) -> Self {
        self.heads = renditions;
        self
    }

    /// Replaces [`PrefetchConfig::neighbours`].
    #[must_use]
    pub const fn neighbours(mut self, neighbours: bool) -> Self {
        self.neighbours = neighbours;
        self
    }

    /// Replaces [`PrefetchConfig::concurrency`].
    #[must_use]
    pub const fn concurrency(mut self, fetches: usize) -> Self {
        self.concurrency = fetches;
        self
    }

    /// Replaces [`PrefetchConfig::waiting_live`].
    #[must_use]
    pub const fn waiting_live(mut self, requests: usize) -> Self {
        self.waiting_live = requests;
        self
    }

    /// Replaces [`PrefetchConfig::share`].
    #[must_use]
    pub const fn share(mut self, percent: u8) -> Self {
        self.share = percent;
        self
    }

    /// Replaces [`PrefetchConfig::queue`].
    #[must_use]
    pub const fn queue(mut self, fetches: usize) -> Self {
        self.queue = fetches;
        self
    }

    /// Replaces [`PrefetchConfig::bytes_per_second`].
    #[must_use]
    pub const fn bytes_per_second(mut self, bytes: u64) -> Self {
        self.bytes_per_second = Some(bytes);
        self
    }

    /// Replaces [`PrefetchConfig::max_object`].
    #[must_use]
    pub const fn max_object(mut self, bytes: u64) -> Self {
        self.max_object = bytes;
        self
    }

    /// Replaces [`PrefetchConfig::window`].
    #[must_use]
    pub const fn window(mut self, window: Duration) -> Self {
        self.window = window;
        self
    }

    /// Replaces [`PrefetchConfig::silence`].
    #[must_use]
    pub const fn silence(mut self, silence: Duration) -> Self {
        self.silence = silence;
        self
    }

    /// Replaces [`PrefetchConfig::timeout`].
    #[must_use]
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }
}
