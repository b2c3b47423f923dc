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
/// called once, before it has threads.
///
/// # Errors
/// When the system does not let it.
pub fn keep_to_the_last() -> io::Result<()> {
    if let Some(first) = leave_the_first()? {
        let _ = LEFT.set(first);
    }
    Ok(())
}

/// A command that runs on the core that is left to what is measured; anywhere where none is left.
pub fn on_the_first(program: &Path) -> Command {
    match LEFT.get() {
        Some(first) => on(*first, program),
        None => Command::new(program),
    }
}

/// Fails where a process that is measured may run on the core that this process keeps to.
///
/// # Errors
/// That it may, or that it is gone.
pub fn are_apart(name: &str, process: u32) -> Result<()> {
    if LEFT.get().is_some() { apart(name, process) } else { Ok(()) }
}

/// Keeps this thread, and those that it will start, to the last core; says which the first is.
fn leave_the_first() -> io::Result<Option<usize>> {
    let all = of(None)?;
    let [first, .., last] = all.as_slice() else { return Ok(None) };
    let mut only = CpuSet::new();
    only.set(*last);
    sched_setaffinity(None, &only)?;
    Ok(Some(*first))
}

fn on(core: usize, program: &Path) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", &core.to_string()]).arg(program);
    command
}

/// Fails where a process may run on a core that this thread may use.
fn apart(name: &str, process: u32) -> Result<()> {
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
            let Some(first) = leave_the_first().unwrap() else {
                return println!("skipped: there is one core");
            };
            assert_eq!(of(None).unwrap().len(), 1);
            let mut measured = started(on(first, Path::new("sleep")));
            settled(&measured);
            let parted = apart("sleep", measured.id());
            let mut beside = started(Command::new("sleep"));
            settled(&beside);
            let together = apart("sleep", beside.id());
            for child in [&mut measured, &mut beside] {
                child.kill().unwrap();
                child.wait().unwrap();
            }
            parted.unwrap();
            assert!(together.unwrap_err().to_string().contains("are both on core"));
        })
        .join()
        .unwrap();
    }
}
