//! Handshakes under way, and which of them gives way when there are as many as may be.
//!
//! Who wants to keep others out holds every place by handshakes that are never finished. Were newcomers
//! turned away, so many connections once in `handshake_timeout` would do for that; an honest client is
//! done after a round trip or two. So the oldest gives way, if it has had [`OLD`]: now as many have to
//! come anew in each such time, and with the limit on each address from many addresses, while the
//! newcomer that wins the place keeps it for long enough. One that is younger stays, and the newcomer is
//! turned away: where more clients come than there is time to shake hands with, those that were begun
//! are finished, instead of all being begun and none finished.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

/// What every handshake has: a lost first flight comes again after a second (RFC 6298 §2.1, RFC 9002
/// §6.2.2).
const OLD: Duration = Duration::from_secs(1);

/// Handshakes that gave way and hold their socket until their task has its turn: with as many, newcomers
/// are turned away.
const LEAVING: usize = 64;

/// Handshakes under way of which there is one limit.
#[derive(Debug, Default)]
pub(super) struct Unfinished(Mutex<All>);

#[derive(Debug, Default)]
struct All {
    /// By the order in which they began.
    under_way: BTreeMap<u64, UnderWay>,
    next: u64,
    leaving: usize,
}

#[derive(Debug)]
struct UnderWay {
    since: Instant,
    /// Dropped, it tells the handshake to give way.
    _stays: oneshot::Sender<()>,
}

/// One handshake's place, given back when dropped.
#[derive(Debug)]
pub(super) struct Turn {
    all: Arc<Unfinished>,
    number: u64,
    stays: oneshot::Receiver<()>,
}

impl Unfinished {
    fn lock(&self) -> MutexGuard<'_, All> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.lock().under_way.len()
    }

    /// A place for one that begins `now`, if need be that of the oldest; `None` when `max` are taken by
    /// younger ones.
    pub(super) fn begin(self: &Arc<Self>, max: usize, now: Instant) -> Option<Turn> {
        let mut all = self.lock();
        if all.under_way.len() >= max.max(1) {
            let oldest = all.under_way.first_entry()?;
            let is_old = now.saturating_duration_since(oldest.get().since) >= OLD;
            if !is_old || all.leaving >= LEAVING {
                return None;
            }
            all.under_way.pop_first();
            all.leaving += 1;
            // Fewer may be allowed by now than there are.
            if all.under_way.len() >= max.max(1) {
                return None;
            }
        }
        let number = all.next;
        all.next += 1;
        let (sender, stays) = oneshot::channel();
        all.under_way.insert(number, UnderWay { since: now, _stays: sender });
        drop(all);
        Some(Turn { all: Arc::clone(self), number, stays })
    }
}

impl Turn {
    /// Waits until it has to give way. Not to be called again after that.
    pub(super) async fn gives_way(&mut self) {
        let _ = (&mut self.stays).await;
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut all = self.all.lock();
        if all.under_way.remove(&self.number).is_none() {
            all.leaving = all.leaving.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use futures_util::FutureExt as _;

    use super::*;

    fn has_to_go(turn: &mut Turn) -> bool {
        turn.gives_way().now_or_never().is_some()
    }

    #[test]
    fn the_oldest_gives_way_when_it_has_had_its_time() {
        let (all, start) = (Arc::<Unfinished>::default(), Instant::now());
        let after = |millis| start + Duration::from_millis(millis);
        let mut first = all.begin(2, start).unwrap();
        let mut second = all.begin(2, after(500)).unwrap();
        assert!(all.begin(2, after(999)).is_none(), "each has a second");
        assert!(!has_to_go(&mut first));
        let mut third = all.begin(2, after(1000)).unwrap();
        assert!(has_to_go(&mut first));
        assert!(!has_to_go(&mut second) && !has_to_go(&mut third));
        assert_eq!(all.count(), 2);
        assert!(all.begin(2, after(1499)).is_none());
        drop(first);
        assert!(all.begin(2, after(1499)).is_none(), "its place was taken");
        drop(third);
        let fourth = all.begin(2, after(1499)).unwrap();
        assert_eq!(all.count(), 2, "a place that was given back needs nobody to go");
        assert!(!has_to_go(&mut second));
        drop((second, fourth));
        assert_eq!((all.count(), all.lock().leaving), (0, 0));
    }

    #[test]
    fn so_many_may_be_on_their_way_out() {
        let (all, start) = (Arc::<Unfinished>::default(), Instant::now());
        let late = start + 2 * OLD;
        let mut turns: Vec<_> = (0..100).map(|_| all.begin(100, start).unwrap()).collect();
        let new = std::iter::from_fn(|| all.begin(100, late)).take(1000).collect::<Vec<_>>();
        assert_eq!(new.len(), LEAVING);
        turns.remove(0);
        assert!(all.begin(100, late).is_some(), "one is gone");
    }

    #[test]
    fn fewer_may_be_allowed_than_there_are() {
        let (all, start) = (Arc::<Unfinished>::default(), Instant::now());
        let turns: Vec<_> = (0..4).map(|_| all.begin(4, start).unwrap()).collect();
        let late = start + OLD;
        assert!(all.begin(2, late).is_none());
        assert!(all.begin(2, late).is_none());
        assert!(all.begin(2, late).is_some());
        assert_eq!(all.count(), 1, "the one that came last was given back");
        drop(turns);
    }
}
