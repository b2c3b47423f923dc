//! How one object in memory stands to the purges that there were: compared with each once.

use std::sync::atomic::{AtomicU64, Ordering};

use headwater_net::Timestamp;

use super::ledger::{Ledger, Verdict};
use super::{PurgeSeq, Tags};

/// See the module.
#[derive(Debug)]
pub(crate) struct Standing {
    /// The newest purge when its fetch began.
    since: PurgeSeq,
    /// The newest purge it was compared with, and not gone by.
    judged: AtomicU64,
    /// Since when a soft purge makes it stale, in milliseconds; 0 where none does.
    stale_since: AtomicU64,
}

impl Standing {
    pub(crate) fn new(since: PurgeSeq) -> Self {
        Self { since, judged: AtomicU64::new(since.get()), stale_since: AtomicU64::new(0) }
    }

    /// Whether no purge forbids to use the object. With nothing purged since the last time, these
    /// are two loads.
    pub(crate) fn holds(&self, ledger: &Ledger, key: &[u8], tags: &Tags) -> bool {
        let newest = ledger.newest().get();
        newest <= self.judged.load(Ordering::Acquire) || self.judge(ledger, key, tags, newest)
    }

    #[cold]
    fn judge(&self, ledger: &Ledger, key: &[u8], tags: &Tags, newest: u64) -> bool {
        match ledger.judge(key, tags, self.since) {
            Verdict::Gone(_) => return false,
            Verdict::Stale(mark) => {
                self.stale_since.store(mark.at.as_millis(), Ordering::Relaxed);
            }
            Verdict::Untouched => {}
        }
        self.judged.fetch_max(newest, Ordering::Release);
        true
    }

    /// Since when a soft purge makes it stale.
    pub(crate) fn stale_since(&self) -> Option<Timestamp> {
        let since = self.stale_since.load(Ordering::Relaxed);
        (since > 0).then(|| Timestamp::from_millis(since))
    }
}
