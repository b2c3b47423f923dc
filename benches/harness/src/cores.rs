//! Who is on which core: what is measured on the first, the load client on the last.
//!
//! Where both were on one, they would take turns, and each would find the other's things in the core's caches
//! and the kernel switch between them for almost every request.

use std::io;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::load::Result;

/// The core that is left to what is measured, where this process keeps to another.
static LEFT: OnceLock<usize> = OnceLock::new();

/// Keeps this process and what it starts to the last of the cores that it may use, where there are several. To be
/// called before it has threads.
///
/// # Errors
/// When the system does not let it.
pub fn keep_to_the_last() -> io::Result<()> {
    let all = of(None)?;
    if let [first, .., last] = all.as_slice() {
        let mut only = CpuSet::new();
        only.set(*last);
        sched_setaffinity(None, &only)?;
        // This is called once.
        let _ = LEFT.set(*first);
    }
    Ok(())
}

/// A command that runs on the core that is left to what is measured; anywhere where none is left.
pub fn on_the_first(program: &Path) -> Command {
    let Some(first) = LEFT.get() else { return Command::new(program) };
    let mut command = Command::new("taskset");
    command.args(["-c", &first.to_string()]).arg(program);
    command
}

/// Fails where a process that is measured may run on the core that this process keeps to.
///
/// # Errors
/// That it may, or that it is gone.
pub fn are_apart(name: &str, process: u32) -> Result<()> {
    if LEFT.get().is_none() {
        return Ok(());
    }
    let pid = i32::try_from(process).ok().and_then(Pid::from_raw);
    let (theirs, ours) = (of(Some(pid.ok_or("no process has the number 0")?))?, of(None)?);
    match theirs.iter().find(|core| ours.contains(core)) {
        Some(core) => Err(format!("{name} and the load client are both on core {core}").into()),
        None => Ok(()),
    }
}

/// The cores that a process may use, or this thread.
fn of(process: Option<Pid>) -> io::Result<Vec<usize>> {
    let set = sched_getaffinity(process)?;
    Ok((0..CpuSet::MAX_CPU).filter(|&core| set.is_set(core)).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;
    use std::process::{Child, Stdio};

    fn started(mut command: Command) -> Child {
        command.arg("60").stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap()
    }

    /// Waits for `taskset` to have become what it starts.
    fn settled(child: &Child) {
        let comm = format!("/proc/{}/comm", child.id());
        for _ in 0..200 {
            if std::fs::read_to_string(&comm).unwrap().trim() == "sleep" {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        panic!("it does not sleep");
    }

    #[test]
    fn what_is_measured_has_another_core_than_who_measures() {
        // A thread's own cores, and those of what it starts: other tests keep theirs.
        std::thread::spawn(|| {
            if of(None).unwrap().len() < 2 {
                return println!("skipped: there is one core");
            }
            keep_to_the_last().unwrap();
            assert_eq!(of(None).unwrap().len(), 1);
            let mut measured = started(on_the_first(Path::new("sleep")));
            settled(&measured);
            let apart = are_apart("sleep", measured.id());
            let mut beside = started(Command::new("sleep"));
            settled(&beside);
            let together = are_apart("sleep", beside.id());
            for child in [&mut measured, &mut beside] {
                child.kill().unwrap();
                child.wait().unwrap();
            }
            apart.unwrap();
            assert!(together.unwrap_err().to_string().contains("are both on core"));
        })
        .join()
        .unwrap();
    }
}
