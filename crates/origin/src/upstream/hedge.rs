//! Hedging: where an origin is slower than it nearly ever is, another is asked the same, and the
//! answer that begins first is taken; the other request is given up.
//!
//! What "slower" means is learnt: longer than 95 of 100 of the origin's last answers took to begin.
//! Hedges are a bounded share of the requests, so a general slowness does not double the load.

use std::time::Duration;

use super::RetryConfig;

/// When another origin is asked the same.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct HedgeConfig {
    /// Hedges per hundred requests, beside one in ten seconds in any case; 5 by default, 0 for none
    /// at all.
    pub percent: u32,
    /// The shortest wait before a hedge; 50 ms by default.
    pub shortest_wait: Duration,
}

impl Default for HedgeConfig {
    fn default() -> Self {
        Self { percent: 5, shortest_wait: Duration::from_millis(50) }
    }
}

impl HedgeConfig {
    /// Hedges `percent` of the requests at most, none sooner than after `shortest_wait`.
    pub const fn new(percent: u32, shortest_wait: Duration) -> Self {
        Self { percent, shortest_wait }
    }

    /// No hedges.
    pub const fn off() -> Self {
        Self::new(0, Duration::ZERO)
    }

    /// The share of requests, as a budget.
    pub(super) const fn budget(&self) -> RetryConfig {
        RetryConfig::new(self.percent, if self.percent == 0 { 0 } else { 1 })
    }
}

/// Answers that are remembered, and how many there must be before anything is concluded.
const REMEMBERED: usize = 100;
const ENOUGH: usize = 20;

/// How long the last answers of one origin took to begin.
#[derive(Debug, Default)]
pub(super) struct Latency {
    millis: Vec<u32>,
    next: usize,
}

impl Latency {
    pub(super) fn note(&mut self, took: Duration) {
        let millis = u32::try_from(took.as_millis()).unwrap_or(u32::MAX);
        match self.millis.get_mut(self.next) {
            Some(oldest) => *oldest = millis,
            None => self.millis.push(millis),
        }
        self.next = (self.next + 1) % REMEMBERED;
    }

    /// Notes an answer that was not waited for any longer after this time. It says something only
    /// where that is longer than usual already: a short one says nothing about how long it would
    /// have been.
    pub(super) fn note_loser(&mut self, took: Duration) {
        if self.p95().is_some_and(|usual| took >= usual) {
            self.note(took);
        }
    }

    /// The time within which 95 of 100 answers begin; `None` while too few are known.
    pub(super) fn p95(&self) -> Option<Duration> {
        if self.millis.len() < ENOUGH {
            return None;
        }
        let mut sorted = self.millis.clone();
        let rank = sorted.len() * 95 / 100;
        let (_, p95, _) = sorted.select_nth_unstable(rank.min(self.millis.len() - 1));
        Some(Duration::from_millis(u64::from(*p95)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_95th_percentile_is_of_the_last_hundred() {
        let mut latency = Latency::default();
        for millis in 1..=19 {
            latency.note(Duration::from_millis(millis));
        }
        assert_eq!(latency.p95(), None, "too few to say");
        for millis in 20..=300 {
            latency.note(Duration::from_millis(millis));
        }
        assert_eq!(latency.p95(), Some(Duration::from_millis(296)));
        assert_eq!(latency.millis.len(), REMEMBERED);
    }

    #[test]
    fn losers_count_where_they_were_slow() {
        let mut latency = Latency::default();
        latency.note_loser(Duration::from_secs(9));
        for _ in 0..50 {
            latency.note(Duration::from_millis(10));
        }
        for _ in 0..50 {
            latency.note_loser(Duration::from_millis(9));
        }
        assert_eq!(latency.millis.len(), 50);
        for _ in 0..10 {
            latency.note_loser(Duration::from_millis(80));
        }
        assert_eq!(latency.p95(), Some(Duration::from_millis(80)));
    }
}
