//! What something holds in memory, as the allocator sees it.

use stats_alloc::Region;

/// Makes something; the bytes that were allocated for it and not given back.
pub fn held<T>(make: impl FnOnce() -> T) -> (T, usize) {
    let region = Region::new(crate::ALLOCATOR);
    let made = make();
    let change = region.change();
    (made, change.bytes_allocated.saturating_sub(change.bytes_deallocated))
}

/// A figure of this process from the kernel's books, in bytes: `VmRSS` or `VmHWM`.
pub fn of_process(figure: &str) -> std::io::Result<u64> {
    let text = std::fs::read_to_string("/proc/self/status")?;
    let line = text.lines().find_map(|line| line.strip_prefix(figure)?.strip_prefix(':'));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.map(|kib| kib * 1024).ok_or_else(|| std::io::Error::other("no such figure"))
}
