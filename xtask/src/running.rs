//! A server that another program started for us: it writes a ready file once it answers, and ends
//! in order when it is told to.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::cli::{Failure, Outcome};

/// How long a drain may take.
pub(crate) const DRAIN: Duration = Duration::from_secs(30);

/// A server that answers; killed when dropped.
pub(crate) struct Running {
    process: Child,
    what: &'static str,
    ready_file: PathBuf,
    ready: Value,
    /// How long it took to answer.
    pub(crate) took: Duration,
}

impl Running {
    /// Starts `command`, which is given `--ready` with the file it shall write, and waits. `what`
    /// names it in messages.
    pub(crate) fn start(
        what: &'static str,
        command: &mut Command,
        ready_file: PathBuf,
        patience: Duration,
    ) -> Outcome<Self> {
        command.arg("--ready").arg(&ready_file).stdin(Stdio::null());
        let begun = Instant::now();
        let process = command
            .spawn()
            .map_err(|error| Failure::new(format!("cannot start {what}: {error}")))?;
        let mut running =
            Self { process, what, ready_file, ready: Value::Null, took: Duration::ZERO };
        while !running.ready_file.is_file() {
            if let Some(status) = running.process.try_wait().ok().flatten() {
                return Err(Failure::new(format!("{what} ended before it answered ({status})")));
            }
            if begun.elapsed() > patience {
                return Err(Failure::new(format!("{what} does not answer")));
            }
            thread::sleep(Duration::from_millis(10));
        }
        running.took = begun.elapsed();
        let text = std::fs::read(&running.ready_file)
            .map_err(|error| Failure::file("read", &running.ready_file, &error))?;
        running.ready = serde_json::from_slice(&text)
            .map_err(|error| Failure::new(format!("the ready file is no JSON: {error}")))?;
        Ok(running)
    }

    /// The ready file.
    pub(crate) fn ready(&self) -> &Value {
        &self.ready
    }

    /// A text of the ready file.
    pub(crate) fn text(&self, name: &str) -> Outcome<&str> {
        let missing = || Failure::new(format!("the ready file has no {name}"));
        self.ready[name].as_str().ok_or_else(missing)
    }

    /// Signals the process that the ready file names, and waits for a clean end.
    pub(crate) fn end(mut self, signal: &str) -> Outcome {
        let what = self.what;
        let pid = self.ready["pid"].to_string();
        let sent = Command::new("kill").args([signal, &pid]).status();
        if !sent.is_ok_and(|status| status.success()) {
            return Err(Failure::new(format!("cannot signal {what}, process {pid}")));
        }
        let begun = Instant::now();
        loop {
            match self.process.try_wait() {
                Ok(Some(status)) if !status.success() => {
                    return Err(Failure::new(format!("{what} did not exit 0 ({status})")));
                }
                Ok(Some(_)) if self.ready_file.exists() => {
                    return Err(Failure::new(format!("{what} left its ready file behind")));
                }
                Ok(Some(_)) => return Ok(()),
                Ok(None) if begun.elapsed() < DRAIN => thread::sleep(Duration::from_millis(10)),
                _ => return Err(Failure::new(format!("{what} does not drain after {signal}"))),
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
