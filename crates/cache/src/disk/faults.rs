//! Disks that fail, for tests.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

/// What writes to regions and reads from them come to: these error numbers, unless they are zero.
/// Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults(Arc<[AtomicI32; 2]>);

impl Faults {
    pub(crate) fn set(&self, errno: i32) {
        self.0[0].store(errno, Ordering::Release);
    }

    pub(crate) fn set_reads(&self, errno: i32) {
        self.0[1].store(errno, Ordering::Release);
    }

    pub(crate) fn on_write(&self) -> io::Result<()> {
        outcome(&self.0[0])
    }

    pub(crate) fn on_read(&self) -> io::Result<()> {
        outcome(&self.0[1])
    }
}

fn outcome(errno: &AtomicI32) -> io::Result<()> {
    match errno.load(Ordering::Acquire) {
        0 => Ok(()),
        errno => Err(io::Error::from_raw_os_error(errno)),
    }
}
