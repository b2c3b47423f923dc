//! How the origins of a group stand, for who looks after them.

use std::sync::atomic::Ordering;

use headwater_net::Protocol;

use super::{Origins, lock};

/// How one origin stands at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Standing {
    /// Its name.
    pub name: String,
    /// Its place among the group's, in the order in which they are asked.
    pub at: usize,
    /// Which are asked first: those with the least number.
    pub priority: u32,
    /// Whether it is asked; one that is down is only tried.
    pub up: bool,
    /// Requests that were sent to it, retries and hedges among them, but no checks.
    pub asked: u64,
    /// Those of them that it did not answer, or not in time, or by a status of failover.
    pub failed: u64,
    /// Answers that began, by the protocol they came by, in the order of [`Protocol::ALL`]. A service of
    /// this process answers by what it writes into its answers, HTTP/1.1 if nothing.
    pub answered: [u64; Protocol::ALL.len()],
}

impl Origins {
    /// How each origin stands now, in the order in which they are asked; peers are none. Waits for
    /// no answer.
    pub fn standing(&self) -> Vec<Standing> {
        let of = |(at, origin): (usize, &super::Origin)| Standing {
            name: origin.name.clone(),
            at,
            priority: origin.priority,
            up: !lock(&origin.health).is_down(),
            asked: origin.asked.load(Ordering::Relaxed),
            failed: origin.failed.load(Ordering::Relaxed),
            answered: origin.answered.each_ref().map(|count| count.load(Ordering::Relaxed)),
        };
        self.origins.iter().enumerate().map(of).collect()
    }
}
