//! Datagrams that come late: for connection IDs of this process that quinn does not know any more.
//!
//! quinn forgets an ID as soon as its client retires it, as one that moves does (RFC 9000 §9.5), and
//! answers what still comes for it, read late or overtaken on its way, by a stateless reset. The client
//! may believe that: it knows the ID's token until its retirement is acknowledged (§10.3.1), and some
//! for a while longer. So what comes for an ID of ours is passed over for as long as such a datagram may
//! be under way. Where it is the whole connection that is forgotten, its client sends on (RFC 9002 §6.2)
//! and is told that much later.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::cid::LEN;

/// How long datagrams for an ID are passed over from the first on: three times the probe timeout of a
/// path that nobody has measured (RFC 9002 §6.2.2), which is also how long RFC 9000 §10.2 has a
/// connection that is closed wait for what is late.
const LATE: Duration = Duration::from_secs(3);

/// IDs that are remembered. One more takes the place of the oldest, whose next datagram counts as the
/// first again: who floods with what looks like IDs of ours gets silence.
const MAX: usize = 256;

/// Those of one worker's endpoint.
#[derive(Debug, Default)]
pub(super) struct Strays {
    /// The first datagrams for each ID, the oldest in front.
    seen: VecDeque<([u8; LEN], Instant)>,
}

impl Strays {
    /// Whether a datagram for an ID that is no connection's, read `now`, may have been late.
    pub(super) fn is_late(&mut self, id: [u8; LEN], now: Instant) -> bool {
        if let Some((_, first)) = self.seen.iter().find(|(seen, _)| *seen == id) {
            return now.saturating_duration_since(*first) < LATE;
        }
        if self.seen.len() >= MAX {
            self.seen.pop_front();
        }
        self.seen.push_back((id, now));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: usize) -> [u8; LEN] {
        number.to_be_bytes()
    }

    #[test]
    fn what_comes_for_an_id_is_late_for_some_seconds() {
        let (start, mut strays) = (Instant::now(), Strays::default());
        let after = |millis| start + Duration::from_millis(millis);
        assert!(strays.is_late(id(1), start));
        assert!(strays.is_late(id(2), after(2000)));
        assert!(strays.is_late(id(1), after(2999)));
        assert!(!strays.is_late(id(1), after(3000)));
        assert!(!strays.is_late(id(1), after(90_000)), "its connection is gone");
        assert!(strays.is_late(id(2), after(4999)), "each has its own time");
    }

    #[test]
    fn a_flood_is_remembered_up_to_a_bound() {
        let (start, mut strays) = (Instant::now(), Strays::default());
        for number in 0..10 * MAX {
            assert!(strays.is_late(id(number), start));
        }
        assert_eq!(strays.seen.len(), MAX);
        let later = start + LATE;
        assert!(strays.is_late(id(0), later), "it was pushed out");
        assert!(!strays.is_late(id(10 * MAX - 1), later));
    }
}
