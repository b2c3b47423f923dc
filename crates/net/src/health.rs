//! Health of one upstream: what its answers say about whether to ask it again. It is the circuit
//! breaker, too.
//!
//! A pure state machine over answers and time. After enough failures in a row an upstream is *down*
//! for a cool-off; then one request is let through to try it. If that fails the cool-off doubles, up
//! to a bound; after enough successes in a row it is *up* as if nothing had been. Checks that ask it
//! by themselves ([`Health::checked`]) take it down and up by counts of their own.

use std::time::Duration;

use crate::Timestamp;

/// When an upstream counts as down, and for how long.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct HealthConfig {
    /// Failures in a row that take an upstream down; 3 by default, at least 1.
    pub failures: u32,
    /// Successful trials in a row that bring it up again; 1 by default.
    pub successes: u32,
    /// How long it is left alone the first time; 2 s by default.
    pub cool_off: Duration,
    /// The longest it is left alone; 30 s by default.
    pub longest_cool_off: Duration,
}

impl Default for HealthConfig {
    fn default() -> Self {
        Self {
            failures: 3,
            successes: 1,
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

    /// Replaces [`HealthConfig::successes`].
    #[must_use]
    pub const fn successes(mut self, successes: u32) -> Self {
        self.successes = successes;
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

/// The health of one upstream.
#[derive(Clone, Debug, Default)]
pub struct Health {
    failures: u32,
    /// While down: until when, for how long this time, and who is trying it.
    down: Option<Down>,
    /// The number of the next trial.
    next: u64,
    /// Checks in a row that failed, or that succeeded.
    checks: Checks,
}

#[derive(Clone, Copy, Debug)]
struct Down {
    until: Timestamp,
    cool_off: Duration,
    trial: Option<(Trial, Timestamp)>,
    successes: u32,
}

#[derive(Clone, Copy, Debug, Default)]
struct Checks {
    failed: u32,
    succeeded: u32,
    /// Checks took it down, and only they bring it up.
    down: bool,
}

/// One request that tries an upstream which is down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trial(u64);

impl Health {
    /// Whether a request may be sent now.
    pub fn is_available(&self, now: Timestamp) -> bool {
        !self.checks.down
            && self.down.is_none_or(|down| {
                now >= down.until
                // A trial that never came back must not keep the upstream down for ever.
                && down.trial.is_none_or(|(_, since)| now.since(since) >= down.cool_off)
            })
    }

    /// Whether the upstream is down, tried or not.
    pub const fn is_down(&self) -> bool {
        self.checks.down || self.down.is_some()
    }

    /// When it may be asked again; zero time while it is up.
    pub fn retry_at(&self) -> Timestamp {
        self.down.map_or(Timestamp::from_millis(0), |down| down.until)
    }

    /// A request is sent: while down and after the cool-off, it is the trial.
    #[must_use = "what becomes of the trial is to be told"]
    pub fn sent(&mut self, now: Timestamp) -> Option<Trial> {
        let down = self.down.as_mut().filter(|down| now >= down.until)?;
        let trial = Trial(self.next);
        self.next = self.next.wrapping_add(1);
        down.trial = Some((trial, now));
        Some(trial)
    }

    /// All of an answer came that had [begun](Self::began): that forgives failures.
    pub const fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// An answer began, whose body may be still to come: that ends a trial, and forgives no failure
    /// yet, so that an upstream whose bodies all break goes down.
    pub const fn began(&mut self, config: &HealthConfig) {
        if let Some(down) = &mut self.down {
            down.successes = down.successes.saturating_add(1);
            down.trial = None;
            if down.successes >= config.successes {
                self.down = None;
            }
        }
    }

    /// A request was given up by whoever sent it: it says nothing about the upstream.
    pub fn forgotten(&mut self, trial: Option<Trial>) {
        if let Some(down) = &mut self.down
            && trial.is_some()
            && down.trial.map(|(trial, _)| trial) == trial
        {
            down.trial = None;
        }
    }

    /// The upstream failed a request; `trial` is what [`Health::sent`] said of it.
    pub fn failed(&mut self, now: Timestamp, trial: Option<Trial>, config: &HealthConfig) {
        self.failures = self.failures.saturating_add(1);
        match &mut self.down {
            Some(down) if trial.is_some() && down.trial.map(|(trial, _)| trial) == trial => {
                let cool_off = down.cool_off.saturating_mul(2).min(config.longest_cool_off);
                *down = Down { until: now.plus(cool_off), cool_off, trial: None, successes: 0 };
            }
            None if self.failures >= config.failures => {
                self.checks.succeeded = 0;
                let cool_off = config.cool_off;
                let until = now.plus(cool_off);
                self.down = Some(Down { until, cool_off, trial: None, successes: 0 });
            }
            // While it is down, answers to requests sent before that say nothing new.
            Some(_) | None => {}
        }
    }

    /// A check, sent for nothing but to know, found the upstream well or not. So many failures in a
    /// row take it down, until so many successes in a row; those bring it up whatever took it down.
    pub fn checked(&mut self, is_well: bool, failures: u32, successes: u32) {
        let checks = &mut self.checks;
        if is_well {
            checks.failed = 0;
            checks.succeeded = checks.succeeded.saturating_add(1);
            if checks.succeeded >= successes && (checks.down || self.down.is_some()) {
                let next = self.next;
                *self = Self { next, ..Self::default() };
            }
        } else {
            checks.succeeded = 0;
            checks.failed = checks.failed.saturating_add(1);
            checks.down |= checks.failed >= failures;
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
        health.failed(at(0), None, &config);
        health.failed(at(0), None, &config);
        health.succeeded();
        health.failed(at(0), None, &config);
        health.failed(at(0), None, &config);
        assert!(health.is_available(at(0)));
        health.failed(at(0), None, &config);
        assert!(health.is_down() && !health.is_available(at(1)));
    }

    #[test]
    fn answers_that_begin_and_break_take_it_down() {
        let config = HealthConfig::default();
        let mut health = Health::default();
        for _ in 0..3 {
            health.began(&config);
            assert!(!health.is_down());
            health.failed(at(0), None, &config);
        }
        assert!(health.is_down());
    }

    #[test]
    fn after_the_cool_off_one_request_tries_it() {
        let config = HealthConfig::default().failures(1);
        let mut health = Health::default();
        health.failed(at(0), None, &config);
        assert!(health.is_available(at(2)));
        let trial = health.sent(at(2));
        assert!(!health.is_available(at(2)), "a second request waits for the trial");
        assert!(health.is_available(at(4)), "a lost trial does not keep it down");
        health.failed(at(3), None, &config);
        assert!(health.is_available(at(4)), "only the trial tells");
        health.failed(at(3), trial, &config);
        assert!(!health.is_available(at(6)) && health.is_available(at(7)), "the cool-off doubled");
        let _trial = health.sent(at(7));
        health.began(&config);
        assert!(health.is_available(at(7)) && !health.is_down());
    }

    #[test]
    fn who_gives_up_clears_no_trial_but_its_own() {
        let config = HealthConfig::default().failures(1);
        let mut health = Health::default();
        health.failed(at(0), None, &config);
        let lost = health.sent(at(2));
        let trial = health.sent(at(4));
        health.forgotten(lost);
        health.forgotten(None);
        assert!(!health.is_available(at(4)), "the second trial is under way");
        health.forgotten(trial);
        assert!(health.is_available(at(4)));
    }

    #[test]
    fn several_trials_in_a_row_bring_it_up_where_it_is_so_configured() {
        let config = HealthConfig::default().failures(1).successes(2);
        let mut health = Health::default();
        health.failed(at(0), None, &config);
        let _first = health.sent(at(2));
        health.began(&config);
        assert!(health.is_down() && health.is_available(at(2)), "the next is the second trial");
        let second = health.sent(at(2));
        health.failed(at(2), second, &config);
        assert!(!health.is_available(at(5)), "one that flaps is left alone for longer");
        for _ in 0..2 {
            let _trial = health.sent(at(6));
            health.began(&config);
        }
        assert!(!health.is_down());
    }

    #[test]
    fn checks_have_counts_of_their_own() {
        let config = HealthConfig::default();
        let mut health = Health::default();
        let check = |health: &mut Health, is_well| health.checked(is_well, 2, 3);
        check(&mut health, false);
        check(&mut health, true);
        check(&mut health, false);
        assert!(!health.is_down());
        check(&mut health, false);
        assert!(!health.is_available(at(999)), "no time brings it up");
        health.began(&config);
        assert!(health.is_down(), "nor what was asked of it all the same");
        check(&mut health, true);
        check(&mut health, true);
        assert!(health.is_down());
        check(&mut health, true);
        assert!(health.is_available(at(0)));
        for _ in 0..3 {
            health.failed(at(0), None, &config);
        }
        for _ in 0..3 {
            assert!(health.is_down());
            check(&mut health, true);
        }
        assert!(!health.is_down(), "well three times since");
    }

    #[test]
    fn the_cool_off_is_bounded() {
        let config = HealthConfig::default().failures(1);
        let mut health = Health::default();
        let mut now = at(0);
        let mut trial = None;
        for _ in 0..20 {
            health.failed(now, trial, &config);
            now = health.retry_at();
            trial = health.sent(now);
        }
        health.failed(now, trial, &config);
        assert_eq!(health.retry_at().since(now), Duration::from_secs(30));
    }
}
