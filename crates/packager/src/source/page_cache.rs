//! The kernel's page cache: reading what it holds without waiting for a disk, and telling it what
//! will be read.
//!
//! On Linux `preadv2` with `RWF_NOWAIT` gives what is cached and refuses to wait for the rest; so
//! what is hot is read where it is needed, without a thread of its own. Elsewhere, and on file
//! systems that know no such flag, nothing counts as cached.

use std::fs::File;
use std::io::IoSliceMut;

/// Reads into `parts`, one after the other, from an offset, if that needs no waiting. Gives how
/// many bytes were read: fewer than asked for, also none, where the rest is not in memory or is not
/// there at all. What is wrong is for the read that waits to tell.
#[cfg(target_os = "linux")]
pub(super) fn read_cached(file: &File, parts: &mut [IoSliceMut<'_>], offset: u64) -> usize {
    rustix::io::preadv2(file, parts, offset, rustix::io::ReadWriteFlags::NOWAIT).unwrap_or(0)
}

/// Nothing counts as cached here.
#[cfg(not(target_os = "linux"))]
pub(super) fn read_cached(_: &File, _: &mut [IoSliceMut<'_>], _: u64) -> usize {
    0
}

/// Reads into `parts`, one after the other, from an offset, waiting for the disk. Gives how many
/// bytes were read.
#[cfg(target_os = "linux")]
pub(super) fn read_waiting(
    file: &File,
    parts: &mut [IoSliceMut<'_>],
    offset: u64,
) -> std::io::Result<usize> {
    Ok(rustix::io::preadv(file, parts, offset)?)
}

/// The first part alone: the standard library has no vectored read at an offset.
#[cfg(not(target_os = "linux"))]
pub(super) fn read_waiting(
    file: &File,
    parts: &mut [IoSliceMut<'_>],
    offset: u64,
) -> std::io::Result<usize> {
    use std::os::unix::fs::FileExt;
    parts.first_mut().map_or(Ok(0), |part| file.read_at(part, offset))
}

/// Asks that a range be brought into memory, without waiting for it.
#[cfg(target_os = "linux")]
pub(super) fn will_need(file: &File, offset: u64, len: u64) {
    let len = std::num::NonZeroU64::new(len);
    // Advice: where it is not taken, the read takes longer.
    let _ = rustix::fs::fadvise(file, offset, len, rustix::fs::Advice::WillNeed);
}

/// No such advice here.
#[cfg(not(target_os = "linux"))]
pub(super) fn will_need(_: &File, _: u64, _: u64) {}
