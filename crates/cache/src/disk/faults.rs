//! Disks that fail, for tests.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

/// What writes to regions come to: this error number, unless it is zero. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults(Arc<AtomicI32>);

impl Faults {
    pub(crate) fn set(&self, errno: i32) {
        self.0.store(errno, Ordering::Release);
    }

    pub(crate) fn on_write(&self) -> io::Result<()> {
        match self.0.load(Ordering::Acquire) {
            0 => Ok(()),
            errno => Err(io::Error::from_raw_os_error(errno)),
        }
    }
}
