//! What fills lock, count and wait with.
//!
//! Under `cfg(shuttle)` these are stand-ins, each step of which is a choice of a scheduler that
//! tries many orders: `tools/schedules` builds this crate so, and nobody else does. What is taken
//! inside a closure of the store is not from here: its locks are no stand-ins, and must not be held
//! over a choice.

#[cfg(not(shuttle))]
mod real {
    pub(crate) use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
    pub(crate) use std::sync::{Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};

    pub(crate) use tokio::sync::Notify;
    pub(crate) use tokio::sync::futures::OwnedNotified;
    pub(crate) use tokio::task::yield_now;
    pub(crate) use tokio::time::timeout;

    /// Tasks that end with their owner.
    #[derive(Debug, Default)]
    pub(crate) struct Tasks(Mutex<tokio::task::JoinSet<()>>);

    impl Tasks {
        pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
            let mut tasks = super::lock(&self.0);
            while tasks.try_join_next().is_some() {}
            tasks.spawn(task);
        }

        pub(crate) fn abort_all(&self) {
            super::lock(&self.0).abort_all();
        }
    }
}

#[cfg(shuttle)]
#[path = "../../../tools/schedules/src/sync.rs"]
mod real;

pub(crate) use real::{
    AtomicBool, AtomicU64, AtomicUsize, Mutex, MutexGuard, Notify, OwnedNotified, RwLock,
    RwLockReadGuard, RwLockWriteGuard, Tasks, timeout, yield_now,
};

/// Locks; what a panic left behind is as good as what it found, since no lock here is held over
/// anything that can panic halfway.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
