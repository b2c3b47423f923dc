//! CPU time of another process, from the scheduler's own books.

use std::fs;
use std::io;
use std::time::Duration;

/// CPU time that all threads of a process have spent on a core, to the nanosecond.
///
/// # Errors
/// When the process is gone, or the system has no `/proc/PID/task/TID/schedstat`.
pub fn cpu_time(pid: u32) -> io::Result<Duration> {
    let mut nanos = 0u64;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let text = fs::read_to_string(task?.path().join("schedstat"))?;
        let spent = text.split_whitespace().next().and_then(|field| field.parse::<u64>().ok());
        nanos += spent.ok_or_else(|| io::Error::other("schedstat is not as expected"))?;
    }
    Ok(Duration::from_nanos(nanos))
}

/// The processes whose parent is `pid`.
///
/// # Errors
/// When the system has no `/proc`.
pub fn children(pid: u32) -> io::Result<Vec<u32>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let Some(candidate) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let Ok(stat) = fs::read_to_string(format!("/proc/{candidate}/stat")) else { continue };
        // The name in parentheses may hold anything; the parent is the second field after it.
        let parent = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1));
        if parent.and_then(|field| field.parse::<u32>().ok()) == Some(pid) {
            found.push(candidate);
        }
    }
    Ok(found)
}

/// The kernel's clock speed report and name, for the head of a table.
pub fn machine() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or("unknown processor", |rest| rest.trim_start_matches(['\t', ' ', ':']));
    // Counted there too: this process may have been bound to one of them.
    let cores = text.lines().filter(|line| line.starts_with("processor")).count();
    format!("{cores} cores of {model}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_time_grows_with_work() {
        let before = cpu_time(std::process::id()).unwrap();
        let mut x = 1u64;
        for i in 0..20_000_000u64 {
            x = std::hint::black_box(x.wrapping_mul(i | 1));
        }
        assert!(cpu_time(std::process::id()).unwrap() > before, "{x}");
    }
}
