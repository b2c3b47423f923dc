//! What fills may hold beside the store, all of them together: bytes, and a number.
//!
//! A [`Charge`] is one fill's share, and lives as long as the fill does: until its task has ended
//! and its last reader is gone. While the object that comes of it is in the store, the store's own
//! bound counts the bytes; before that, and after, they count here.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::Metrics;

/// The common account of one cache's fills.
#[derive(Debug)]
pub(crate) struct Budget {
    memory: u64,
    max_fills: usize,
    bytes: AtomicU64,
    fills: AtomicUsize,
    metrics: Metrics,
}

impl Budget {
    pub(crate) fn new(memory: u64, max_fills: usize, metrics: Metrics) -> Arc<Self> {
        let (bytes, fills) = (AtomicU64::new(0), AtomicUsize::new(0));
        Arc::new(Self { memory, max_fills, bytes, fills, metrics })
    }

    /// The charge of one more fill; `None` where there are as many as there may be.
    pub(crate) fn open(self: &Arc<Self>) -> Option<Arc<Charge>> {
        let more = |fills: usize| (fills < self.max_fills).then(|| fills + 1);
        self.fills.fetch_update(Ordering::AcqRel, Ordering::Acquire, more).ok()?;
        Some(Arc::new(Charge { budget: Arc::clone(self), account: Mutex::default() }))
    }

    /// Whether more is held than should be.
    pub(crate) fn is_over(&self) -> bool {
        self.bytes.load(Ordering::Acquire) > self.memory
    }

    fn take(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::AcqRel);
        self.metrics.fill_bytes.inc_by(bytes as i64);
    }

    fn give_back(&self, bytes: u64) {
        self.bytes.fetch_sub(bytes, Ordering::AcqRel);
        self.metrics.fill_bytes.dec_by(bytes as i64);
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Charge {
    budget: Arc<Budget>,
    account: Mutex<Account>,
}

#[derive(Debug, Default)]
struct Account {
    bytes: u64,
    /// How many entries of the store hold these bytes: they are counted there.
    stored: usize,
}

impl Charge {
    fn account(&self) -> MutexGuard<'_, Account> {
        self.account.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The fill holds more bytes.
    pub(super) fn add(&self, bytes: u64) {
        self.account().bytes += bytes;
        self.budget.take(bytes);
    }

    /// The fill let go of bytes.
    pub(super) fn release(&self, bytes: u64) {
        self.account().bytes -= bytes;
        self.budget.give_back(bytes);
    }

    /// The store counts the bytes from here on.
    pub(crate) fn enter_store(&self) {
        let mut account = self.account();
        account.stored += 1;
        if account.stored == 1 {
            self.budget.give_back(account.bytes);
            self.budget.fills.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// The store counts them no longer: whoever still holds them does so beside it.
    pub(crate) fn leave_store(&self) {
        let mut account = self.account();
        account.stored -= 1;
        if account.stored == 0 {
            self.budget.take(account.bytes);
            self.budget.fills.fetch_add(1, Ordering::AcqRel);
        }
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        let account = self.account();
        if account.stored == 0 {
            self.budget.give_back(account.bytes);
            self.budget.fills.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    #[test]
    fn bytes_are_counted_here_or_in_the_store_until_they_are_gone() {
        let metrics = Metrics::default();
        let budget = Budget::new(10, 2, metrics.clone());
        let counted = || metrics.fill_bytes.get();
        let charge = budget.open().unwrap();
        charge.add(15);
        charge.release(4);
        assert!(counted() == 11 && budget.is_over());
        charge.enter_store();
        charge.enter_store();
        charge.leave_store();
        assert!(counted() == 0 && !budget.is_over());
        charge.leave_store();
        assert_eq!(counted(), 11, "evicted, but still held");
        drop(charge);
        assert_eq!(counted(), 0);
    }

    #[test]
    fn no_more_fills_than_there_may_be_and_stored_ones_do_not_count() {
        let budget = Budget::new(10, 2, Metrics::default());
        let one = budget.open().unwrap();
        let two = budget.open().unwrap();
        assert!(budget.open().is_none());
        one.enter_store();
        let three = budget.open().unwrap();
        assert!(budget.open().is_none());
        drop((one, two));
        assert!(budget.open().is_some());
        drop(three);
        assert_eq!(budget.fills.load(Ordering::Acquire), 0);
    }
}
