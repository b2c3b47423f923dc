//! The retry budget: retries may add a share to the load of origins that are already in trouble,
//! and no more.

use std::time::Duration;

use headwater_net::Timestamp;

/// The window over which requests and retries are compared.
const WINDOW: Duration = Duration::from_secs(10);

/// How many retries are allowed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RetryConfig {
    /// Retries per hundred requests; 20 by default.
    pub percent: u32,
    /// Retries within ten seconds that are allowed whatever the number of requests; 10 by default.
    pub floor: u32,
}

impl Default for RetryConfig {
    fn default() -> Self {
        Self { percent: 20, floor: 10 }
    }
}

impl RetryConfig {
    /// Allows `percent` retries per hundred requests and `floor` within ten seconds in any case.
    pub const fn new(percent: u32, floor: u32) -> Self {
        Self { percent, floor }
    }
}

/// Requests and retries of the current and the last window.
#[derive(Clone, Debug, Default)]
pub(crate) struct Budget {
    since: Timestamp,
    current: (u64, u64),
    last: (u64, u64),
}

impl Budget {
    pub(crate) fn request(&mut self, now: Timestamp) {
        self.turn(now);
        self.current.0 += 1;
    }

    /// Takes one retry from the budget, if it has one.
    pub(crate) fn retry(&mut self, now: Timestamp, config: &RetryConfig) -> bool {
        self.turn(now);
        let requests = self.current.0 + self.last.0;
        let retries = self.current.1 + self.last.1;
        let allowed = u64::from(config.floor) + requests * u64::from(config.percent) / 100;
        let granted = retries < allowed;
        self.current.1 += u64::from(granted);
        granted
    }

    fn turn(&mut self, now: Timestamp) {
        let passed = now.since(self.since);
        if passed >= WINDOW {
            self.last = if passed < 2 * WINDOW { self.current } else { (0, 0) };
            self.current = (0, 0);
            self.since = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_are_a_share_of_requests_with_a_floor() {
        let config = RetryConfig::new(20, 2);
        let mut budget = Budget::default();
        let now = Timestamp::from_secs(100);
        for _ in 0..10 {
            budget.request(now);
        }
        let granted = (0..20).filter(|_| budget.retry(now, &config)).count();
        assert_eq!(granted, 4);
        let later = now.plus(Duration::from_secs(25));
        assert!(budget.retry(later, &config), "the floor is there again");
    }
}
