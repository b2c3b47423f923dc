//! Passive health of one origin: what its answers say about whether to ask it again.
//!
//! A pure state machine over answers and time. After enough failures in a row an origin is *down*
//! for a cool-off; then one request is let through to try it. If that fails the cool-off doubles,
//! up to a bound; if it succeeds the origin is *up* as if nothing had been.

use std::time::Duration;

use headwater_net::Timestamp;

/// When an origin counts as down, and for how long.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct HealthConfig {
    /// Failures in a row that take an origin down; 3 by default, at least 1.
    pub failures: u32,
    /// How long it is left alone the first time; 2 s by default.
    pub cool_off: Duration,
    /// The longest it is left alone; 30 s by default.
    pub longest_cool_off: Duration,
}

impl Default for HealthConfig {
    fn default() -> Self {
        Self {
            failures: 3,
            cool_off: Duration::from_secs(2),
            longest_cool_off: Duration::from_secs(30),
        }
    }
}

impl HealthConfig {
    /// Replaces [`HealthConfig::failures`].
    #[must_use]
    pub const fn failures(mut self, failures: u32) -> Self {
        self.failures = failures;
        self
    }

    /// Replaces [`HealthConfig::cool_off`] and [`HealthConfig::longest_cool_off`].
    #[must_use]
    pub const fn cool_off(mut self, first: Duration, longest: Duration) -> Self {
        self.cool_off = first;
        self.longest_cool_off = longest;
        self
    }
}

/// The health of one origin.
#[derive(Clone, Debug, Default)]
pub struct Health {
    failures: u32,
    /// While down: until when, for how long this time, and since when somebody is trying it.
    down: Option<Down>,
}

#[derive(Clone, Copy, Debug)]
struct Down {
    until: Timestamp,
    cool_off: Duration,
    trial: Option<Timestamp>,
}

impl Health {
    /// Whether a request may be sent now.
    pub fn is_available(&self, now: Timestamp) -> bool {
        self.down.is_none_or(|down| {
            now >= down.until
                // A trial that never came back must not keep the origin down for ever.
                && down.trial.is_none_or(|since| now.since(since) >= down.cool_off)
        })
    }

    /// Whether the origin is down, tried or not.
    pub const fn is_down(&self) -> bool {
        self.down.is_some()
    }

    /// When it may be asked again; zero time while it is up.
    pub fn retry_at(&self) -> Timestamp {
        self.down.map_or(Timestamp::from_millis(0), |down| down.until)
    }

    /// A request is sent: while down, it is the trial.
    pub fn sent(&mut self, now: Timestamp) {
        if let Some(down) = &mut self.down
            && now >= down.until
        {
            down.trial = Some(now);
        }
    }

    /// The origin answered.
    pub fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// A request was given up by whoever sent it: it says nothing about the origin.
    pub fn forgotten(&mut self) {
        if let Some(down) = &mut self.down {
            down.trial = None;
        }
    }

    /// The origin failed.
    pub fn failed(&mut self, now: Timestamp, config: &HealthConfig) {
        self.failures = self.failures.saturating_add(1);
        match &mut self.down {
            // Answers to requests sent before it went down say nothing new.
            Some(down) if now < down.until => {}
            Some(down) => {
                let cool_off = down.cool_off.saturating_mul(2).min(config.longest_cool_off);
                *down = Down { until: now.plus(cool_off), cool_off, trial: None };
            }
            None if self.failures >= config.failures => {
                let cool_off = config.cool_off;
                self.down = Some(Down { until: now.plus(cool_off), cool_off, trial: None });
            }
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(secs: u64) -> Timestamp {
        Timestamp::from_secs(1000 + secs)
    }

    #[test]
    fn failures_in_a_row_take_it_down_and_one_success_forgives() {
        let config = HealthConfig::default();
        let mut health = Health::default();
        health.failed(at(0), &config);
        health.failed(at(0), &config);
        health.succeeded();
        health.failed(at(0), &config);
        health.failed(at(0), &config);
        assert!(health.is_available(at(0)));
        health.failed(at(0), &config);
        assert!(health.is_down() && !health.is_available(at(1)));
    }

    #[test]
    fn after_the_cool_off_one_request_tries_it() {
        let config = HealthConfig::default().failures(1);
        let mut health = Health::default();
        health.failed(at(0), &config);
        assert!(health.is_available(at(2)));
        health.sent(at(2));
        assert!(!health.is_available(at(2)), "a second request waits for the trial");
        assert!(health.is_available(at(4)), "a lost trial does not keep it down");
        health.failed(at(3), &config);
        assert!(!health.is_available(at(6)) && health.is_available(at(7)), "the cool-off doubled");
        health.sent(at(7));
        health.succeeded();
        assert!(health.is_available(at(7)) && !health.is_down());
    }

    #[test]
    fn the_cool_off_is_bounded() {
        let config = HealthConfig::default().failures(1);
        let mut health = Health::default();
        let mut now = at(0);
        for _ in 0..20 {
            health.failed(now, &config);
            now = health.retry_at();
            health.sent(now);
        }
        health.failed(now, &config);
        assert_eq!(health.retry_at().since(now), Duration::from_secs(30));
    }
}
