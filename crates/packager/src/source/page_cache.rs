//! The kernel's page cache: reading what it holds without waiting for a disk, and telling it what
//! will be read.
//!
//! On Linux `preadv2` with `RWF_NOWAIT` gives what is cached and refuses to wait for the rest; so
//! what is hot is read where it is needed, without a thread of its own. Elsewhere, and on file
//! systems that know no such flag, nothing counts as cached.
//!
//! How pages come into memory decides what each later read of them costs. Linux keeps a file in
//! folios, of one page up to 2 MiB: what is brought in by advice, or by a read out of the blue, lies
//! in single pages, and copying from those takes three to four times as long as from large ones
//! (docs/results/packager.md). Only its readahead makes large ones, the larger the longer it has
//! seen someone read on: so long runs are entered by a few short reads, as a slow reader would.

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

/// Whether the byte at an offset is in memory. Where it is not, no more than its page is asked for.
#[cfg(target_os = "linux")]
pub(super) fn is_cached(file: &File, offset: u64) -> bool {
    read_cached(file, &mut [IoSliceMut::new(&mut [0])], offset) == 1
}

/// Nothing counts as cached here.
#[cfg(not(target_os = "linux"))]
pub(super) fn is_cached(_: &File, _: u64) -> bool {
    false
}

/// Reads the first pages from an offset one by one, waiting for the disk, so that readahead takes
/// this for a sequential reader and brings the rest in by large folios. How far it looks ahead is
/// the system's setting (`read_ahead_kb`).
pub(super) fn enter_slowly(file: &File, offset: u64) {
    /// Readahead grows fourfold each time its mark is met: after the pages 1, 2, 5 and 21.
    const PAGES: u64 = 24;
    const PAGE: u64 = 4096;
    for page in 0..PAGES {
        // What is wrong is for the read itself to tell.
        if std::os::unix::fs::FileExt::read_at(file, &mut [0], offset + page * PAGE).is_err() {
            return;
        }
    }
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
