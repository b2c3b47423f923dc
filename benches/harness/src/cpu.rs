//! CPU time and memory of a process, from the kernel's own books.

use std::fs;
use std::io;
use std::time::Duration;

const ENOENT: i32 = 2;
const ESRCH: i32 = 3;

/// CPU time that the threads of a process have spent on a core, to the nanosecond. Threads that have
/// ended are not in it: the servers that are measured keep theirs.
///
/// # Errors
/// When the process is gone, or the system has no `/proc/PID/task/TID/schedstat`.
pub fn cpu_time(pid: u32) -> io::Result<Duration> {
    let mut nanos = 0u64;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let text = match fs::read_to_string(task?.path().join("schedstat")) {
            Ok(text) => text,
            // It ended after it was listed.
            Err(error) if matches!(error.raw_os_error(), Some(ENOENT | ESRCH)) => continue,
            Err(error) => return Err(error),
        };
        let spent = text.split_whitespace().next().and_then(|field| field.parse::<u64>().ok());
        nanos += spent.ok_or_else(|| io::Error::other("schedstat is not as expected"))?;
    }
    Ok(Duration::from_nanos(nanos))
}

/// A line of a process's memory in bytes: `VmRSS` is what it holds now, `VmHWM` the most it held.
///
/// # Errors
/// When the process is gone, or the system has no `/proc/PID/status`.
pub fn memory(pid: u32, line: &str) -> io::Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let kib = text.lines().find_map(|found| {
        let rest = found.strip_prefix(line)?.strip_prefix(':')?;
        rest.split_whitespace().next()?.parse::<u64>().ok()
    });
    Ok(kib.ok_or_else(|| io::Error::other("status is not as expected"))? << 10)
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

/// The processes that listen on a TCP port of this machine.
///
/// # Errors
/// When the system has no `/proc`.
pub fn listeners(port: u16) -> io::Result<Vec<u32>> {
    const LISTEN: &str = "0A";
    let mut sockets = Vec::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        for line in fs::read_to_string(table).unwrap_or_default().lines().skip(1) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let [_, local, _, LISTEN, .., _] = fields.as_slice() else { continue };
            let here = local.rsplit_once(':').map(|(_, port)| u16::from_str_radix(port, 16));
            if here == Some(Ok(port))
                && let Some(inode) = fields.get(9)
            {
                sockets.push(format!("socket:[{inode}]"));
            }
        }
    }
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let Ok(open) = fs::read_dir(format!("/proc/{pid}/fd")) else { continue };
        let listens = open.flatten().any(|file| {
            fs::read_link(file.path())
                .is_ok_and(|target| sockets.iter().any(|socket| target.as_os_str() == &**socket))
        });
        if listens {
            found.push(pid);
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
    fn who_listens_is_found() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert_eq!(listeners(port).unwrap(), [std::process::id()]);
        drop(listener);
        assert!(listeners(port).unwrap().is_empty());
    }

    #[test]
    fn the_time_of_a_busy_process_grows_and_a_gone_one_is_an_error() {
        let mut busy =
            std::process::Command::new("sh").args(["-c", "while :; do :; done"]).spawn().unwrap();
        let begun = std::time::Instant::now();
        let mut spent = Duration::ZERO;
        while spent < Duration::from_millis(20) && begun.elapsed() < Duration::from_secs(30) {
            spent = cpu_time(busy.id()).unwrap();
            std::thread::yield_now();
        }
        busy.kill().unwrap();
        busy.wait().unwrap();
        assert!(spent >= Duration::from_millis(20), "{spent:?}");
        assert!(cpu_time(busy.id()).is_err());
    }
}
