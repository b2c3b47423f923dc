//! Plays about what stays in a shield's memory.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

mod support;

use std::ops::Range;
use std::time::Duration;

use headwater_cache::{Cache, Downstream};
use headwater_net::{Clock, Timestamp};
use headwater_origin::{PrefetchConfig, Shield};
use support::{Origin, eventually, get, reply, segment};

const SEGMENTS: usize = 40;

/// So many titles of forty segments, each of which takes 20 kB; of rendition `low`, and of its `high`.
fn films(titles: usize) -> Origin {
    let manifest = |text: String| {
        reply(200)
            .header("content-type", "application/vnd.apple.mpegurl")
            .header("cache-control", "max-age=86400")
            .body(text)
    };
    let list = |rendition: &str| {
        let segments = (0..SEGMENTS).map(|nth| format!("#EXTINF:4,\n{rendition}/{nth}.m4s\n"));
        let segments = segments.collect::<Vec<_>>().concat();
        manifest(format!(
            "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-PLAYLIST-TYPE:VOD\n\
             #EXT-X-MAP:URI=\"{rendition}/init.mp4\"\n{segments}#EXT-X-ENDLIST\n"
        ))
    };
    let main = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1000000\nlow.m3u8\n\
                #EXT-X-STREAM-INF:BANDWIDTH=4000000\nhigh.m3u8\n";
    let mut origin = Origin::new().otherwise(segment(vec![7; 20_000]));
    for title in 0..titles {
        origin = origin
            .on(&format!("/{title}/main.m3u8"), manifest(main.to_owned()))
            .on(&format!("/{title}/low.m3u8"), list("low"))
            .on(&format!("/{title}/high.m3u8"), list("high"));
    }
    origin
}

struct Play {
    shield: Shield,
    cache: Cache,
    clock: Clock,
}

impl Play {
    fn new(titles: usize, ram: u64, retention: bool) -> Self {
        let clock = Clock::manual(Timestamp::from_secs(1_000_000));
        let cache = Cache::builder().name("shield").ram(ram).clock(clock.clone());
        let cache = cache.downstream(Downstream::Caches).build();
        let shield = Shield::builder()
            .origin(films(titles))
            .cache(cache.clone())
            .prefetch(PrefetchConfig::off())
            .retention(retention)
            .clock(clock.clone())
            .build();
        Self { shield, cache, clock }
    }

    /// Whether it was in memory.
    async fn ask(&self, path: &str) -> bool {
        let answer = get(&self.shield, path).await;
        let metrics = self.cache.metrics();
        eventually("it is stored", || metrics.fill_bytes.get() == 0).await;
        answer.is_hit()
    }

    /// A session begins a title.
    async fn begin(&self, title: usize, rendition: &str) {
        for path in ["main.m3u8", &format!("{rendition}.m3u8"), &format!("{rendition}/init.mp4")] {
            self.ask(&format!("/{title}/{path}")).await;
        }
    }

    /// It sees these segments.
    async fn see(&self, title: usize, segments: Range<usize>) {
        for nth in segments {
            self.ask(&format!("/{title}/low/{nth}.m4s")).await;
            self.clock.advance(Duration::from_secs(4));
        }
    }

    /// Somebody reads a title whole, as fast as it comes.
    async fn crawl(&self, title: usize, rendition: &str) {
        self.begin(title, rendition).await;
        for nth in 0..SEGMENTS {
            self.ask(&format!("/{title}/{rendition}/{nth}.m4s")).await;
        }
    }
}

/// Of five segments that a session comes to next, and that another left behind, those that are there once
/// a crawler has passed.
async fn left_before_a_session(retention: bool) -> usize {
    let play = Play::new(4, 1_000_000, retention);
    play.begin(0, "low").await;
    play.see(0, 0..20).await;
    play.clock.advance(Duration::from_secs(60));
    play.begin(0, "low").await;
    play.see(0, 0..5).await;
    play.crawl(1, "low").await;
    play.crawl(2, "low").await;
    let mut left = 0;
    for nth in 5..10 {
        left += usize::from(play.ask(&format!("/0/low/{nth}.m4s")).await);
    }
    assert!(play.cache.metrics().evictions.get() > 40);
    left
}

#[tokio::test]
async fn what_a_session_comes_to_next_outlives_a_crawler() {
    let (kept, plain) = (left_before_a_session(true).await, left_before_a_session(false).await);
    assert_eq!((kept, plain), (5, 0));
}

/// Of twenty objects that four titles begin with, those that are there once a crawler has passed.
async fn starts_that_are_left(retention: bool) -> usize {
    let play = Play::new(6, 2_800_000, retention);
    for title in 0..4 {
        play.begin(title, "low").await;
        play.see(title, 0..8).await;
    }
    play.clock.advance(Duration::from_secs(60));
    for title in 4..6 {
        play.crawl(title, "low").await;
        play.crawl(title, "high").await;
    }
    let mut left = 0;
    for title in 0..4 {
        for part in ["main.m3u8", "low.m3u8", "low/init.mp4", "low/0.m4s", "low/1.m4s"] {
            left += usize::from(play.ask(&format!("/{title}/{part}")).await);
        }
    }
    left
}

#[tokio::test]
async fn what_titles_begin_with_outlives_a_crawler() {
    let (kept, plain) = (starts_that_are_left(true).await, starts_that_are_left(false).await);
    assert!(kept >= 18 && plain <= 6, "{kept} {plain}");
}
