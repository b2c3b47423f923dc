//! Running other programs: cargo with the project's target folder, and everything else.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use crate::cli::{Failure, Outcome};
use crate::places::Places;

/// How long the output of a program that has ended may stay open.
const LINGER: Duration = Duration::from_secs(5);

/// Cargo as it was called for xtask itself, in the checkout, building into the cache folder.
///
/// What cargo told xtask about xtask's own package is taken out again: build scripts that watch
/// the environment would otherwise rebuild whenever somebody calls cargo without xtask.
pub(crate) fn cargo(places: &Places) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
    if let Some(paths) = env::var_os("LD_LIBRARY_PATH") {
        match without_cargos_own(&paths) {
            Some(rest) => command.env("LD_LIBRARY_PATH", rest),
            None => command.env_remove("LD_LIBRARY_PATH"),
        };
    }
    command.env("CARGO_TARGET_DIR", &places.target).current_dir(&places.root);
    command
}

/// The library path without the folders that `cargo run` puts in front of it.
fn without_cargos_own(paths: &OsString) -> Option<OsString> {
    let own = env::current_exe().ok();
    let own = own.as_deref().and_then(Path::parent);
    let rest = env::split_paths(paths).filter(|path| {
        let toolchain = path.components().any(|part| part.as_os_str() == "rustlib")
            || path.parent().is_some_and(|parent| parent.join("bin/rustc").exists());
        !toolchain && !own.is_some_and(|own| path.starts_with(own))
    });
    env::join_paths(rest).ok().filter(|rest| !rest.is_empty())
}

/// Runs a program on this terminal and waits for it.
pub(crate) fn run(command: &mut Command) -> Outcome {
    let status = command.status().map_err(|error| not_started(command, &error))?;
    if status.success() {
        return Ok(());
    }
    Err(Failure::new(format!("`{}` failed ({status})", words(command))))
}

/// Runs a program and gives back what it wrote to standard output; its standard error stays on
/// this terminal.
pub(crate) fn capture(command: &mut Command) -> Outcome<String> {
    let output =
        command.stderr(Stdio::inherit()).output().map_err(|error| not_started(command, &error))?;
    if !output.status.success() {
        return Err(Failure::new(format!("`{}` failed ({})", words(command), output.status)));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs a program that may fail, and gives back all that it wrote.
pub(crate) fn both(command: &mut Command) -> Outcome<String> {
    let output =
        command.stdin(Stdio::null()).output().map_err(|error| not_started(command, &error))?;
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    Ok(text)
}

/// Runs a program and shows each line of its standard output to `see` as it comes.
///
/// Fails, too, when the program leaves others behind that hold its output; they are ended. Whoever
/// reads to the end of that output would wait for as long as they run.
pub(crate) fn follow(command: &mut Command, mut see: impl FnMut(&str)) -> Outcome {
    let mut child =
        command.stdout(Stdio::piped()).spawn().map_err(|error| not_started(command, &error))?;
    let mut left = Vec::new();
    if let Some(output) = child.stdout.take() {
        let pipe = pipe_of(&output);
        let (line, lines) = channel();
        // Ends with the last process that holds the output.
        thread::spawn(move || {
            let mut output = BufReader::new(output);
            let mut bytes = Vec::new();
            // A test may print what is no UTF-8: lines are bytes until they are shown.
            while output.read_until(b'\n', &mut bytes).is_ok_and(|read| read > 0) {
                let text = String::from_utf8_lossy(&bytes).trim_end_matches('\n').to_owned();
                if line.send(text).is_err() {
                    break;
                }
                bytes.clear();
            }
        });
        loop {
            match lines.recv_timeout(LINGER) {
                Ok(line) => see(&line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) if child.try_wait().is_ok_and(|it| it.is_none()) => {
                }
                Err(RecvTimeoutError::Timeout) => {
                    left = pipe.as_deref().map(end_holders).unwrap_or_default();
                    break;
                }
            }
        }
    }
    let status = child.wait().map_err(|error| not_started(command, &error))?;
    let words = words(command);
    if !left.is_empty() {
        let left = left.join(", ");
        return Err(Failure::new(format!("`{words}` ({status}) left running: {left}")));
    }
    if status.success() {
        return Ok(());
    }
    Err(Failure::new(format!("`{words}` failed ({status})")))
}

/// The name of a pipe, as `/proc` has it.
fn pipe_of(output: &ChildStdout) -> Option<PathBuf> {
    fs::read_link(format!("/proc/self/fd/{}", output.as_raw_fd())).ok()
}

/// Ends the processes whose standard output is a pipe, and says which they were.
fn end_holders(pipe: &Path) -> Vec<String> {
    let own = std::process::id();
    let all = fs::read_dir("/proc").into_iter().flatten().flatten();
    all.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter(|pid| *pid != own)
        .filter(|pid| fs::read_link(format!("/proc/{pid}/fd/1")).is_ok_and(|held| held == pipe))
        .map(|pid| {
            let _ = Command::new("kill").args(["-KILL", &pid.to_string()]).status();
            let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            format!("{} ({pid})", name.trim_end())
        })
        .collect()
}

/// Whether a program runs and succeeds, in silence.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Where the shell would find a program.
pub(crate) fn on_path(name: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?)
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
}

fn not_started(command: &Command, error: &std::io::Error) -> Failure {
    Failure::new(format!("cannot run {}: {error}", command.get_program().to_string_lossy()))
}

/// The command as one would type it, without the folder of the program.
pub(crate) fn words(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    std::iter::once(program)
        .chain(command.get_args())
        .map(|word| {
            let word = word.to_string_lossy();
            if word.contains(' ') { format!("'{word}'") } else { word.into_owned() }
        })
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]

    use super::*;

    #[test]
    fn a_failure_names_what_was_typed() {
        let failure = run(Command::new("sh").args(["-c", "exit 3"])).unwrap_err().to_string();
        assert_eq!(failure, "`sh -c 'exit 3'` failed (exit status: 3)");
        let failure = run(&mut Command::new("no-such-program")).unwrap_err().to_string();
        assert!(failure.starts_with("cannot run no-such-program:"), "{failure}");
    }

    #[test]
    fn lines_are_seen_one_by_one_and_the_status_is_kept() {
        let mut seen = Vec::new();
        let mut shell = Command::new("sh");
        shell.args(["-c", r"printf 'a\n\377\nb'; exit 1"]);
        assert!(follow(&mut shell, |line| seen.push(line.to_owned())).is_err());
        assert_eq!(seen, ["a", "\u{fffd}", "b"]);
    }

    #[test]
    fn what_a_program_leaves_running_is_ended_and_named() {
        let mut shell = Command::new("sh");
        shell.args(["-c", "echo a; sleep 600 & exit 0"]);
        let mut seen = Vec::new();
        let failure = follow(&mut shell, |line| seen.push(line.to_owned())).unwrap_err();
        assert!(failure.to_string().contains("left running: sleep ("), "{failure}");
        assert_eq!(seen, ["a"]);
    }
}
