//! The demo as a newcomer meets it: `cargo xtask demo` is started, answers, ends; and starts again
//! in under five seconds.
//!
//! The first start makes the demo video and, on a machine that has not built it, the stack in
//! release. What is asked of it is asked over plain HTTP by hand: this program has no client.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::cli::{Failure, Outcome};
use crate::places::Places;
use crate::{process, ui};

/// How long the first start may take: it builds.
const FIRST_START: Duration = Duration::from_secs(45 * 60);

/// What the README promises of every later one.
const SECOND_START: Duration = Duration::from_secs(5);

/// How long a drain may take.
const DRAIN: Duration = Duration::from_secs(30);

/// Starts the demo twice, each time with what was left by the time before.
pub(crate) fn run(places: &Places) -> Outcome {
    let state = places.target.join("tmp/rehearsal");
    if state.exists() {
        std::fs::remove_dir_all(&state).map_err(|error| Failure::file("clear", &state, &error))?;
    }
    let first = Demo::start(places, &state, FIRST_START)?;
    first.check()?;
    ui::line(&format!("the first start took {}", ui::elapsed(first.took)));
    first.end("-INT")?;

    let second = Demo::start(places, &state, FIRST_START)?;
    second.check()?;
    ui::line(&format!("the second start took {}", ui::elapsed(second.took)));
    let took = second.took;
    second.end("-TERM")?;
    if took >= SECOND_START {
        return Err(Failure::new(format!(
            "a second start of the demo took {}, not under {}",
            ui::elapsed(took),
            ui::elapsed(SECOND_START)
        )));
    }
    std::fs::remove_dir_all(&state).map_err(|error| Failure::file("remove", &state, &error))
}

/// A demo that answers; killed when dropped.
struct Demo {
    process: Child,
    ready_file: PathBuf,
    ready: Value,
    took: Duration,
}

impl Demo {
    fn start(places: &Places, state: &Path, patience: Duration) -> Outcome<Self> {
        let ready_file = state.join("ready.json");
        let mut command = process::cargo(places);
        command.args(["xtask", "demo", "--port", "0", "--state"]).arg(state);
        command.arg("--ready").arg(&ready_file).stdin(Stdio::null());
        let begun = Instant::now();
        let process = command
            .spawn()
            .map_err(|error| Failure::new(format!("cannot start the demo: {error}")))?;
        let mut demo = Self { process, ready_file, ready: Value::Null, took: Duration::ZERO };
        while !demo.ready_file.is_file() {
            if let Some(status) = demo.process.try_wait().ok().flatten() {
                return Err(Failure::new(format!("the demo ended before it answered ({status})")));
            }
            if begun.elapsed() > patience {
                return Err(Failure::new("the demo does not answer"));
            }
            thread::sleep(Duration::from_millis(10));
        }
        demo.took = begun.elapsed();
        let text = std::fs::read(&demo.ready_file)
            .map_err(|error| Failure::file("read", &demo.ready_file, &error))?;
        demo.ready = serde_json::from_slice(&text)
            .map_err(|error| Failure::new(format!("the ready file is no JSON: {error}")))?;
        Ok(demo)
    }

    /// The page, the playlist and the metrics are there.
    fn check(&self) -> Outcome {
        let plain = self.text("http")?;
        let page = get(plain, "/")?;
        expect(&page, "HTTP/1.1 200 ", "the page")?;
        expect(&page, "<script", "the built page")?;
        let hls = self.ready["assets"][0]["hls"].as_str().unwrap_or_default();
        let path = hls.strip_prefix(self.text("base")?).unwrap_or_default();
        expect(&get(plain, path)?, "#EXT-X-STREAM-INF", "the playlist")?;
        let metrics = self.text("metrics")?;
        let base = metrics.strip_suffix("/metrics").unwrap_or(metrics);
        expect(&get(base, "/metrics")?, "headwater_", "the metrics")
    }

    /// Signals the process that the ready file names, and waits for a clean end.
    fn end(mut self, signal: &str) -> Outcome {
        let pid = self.ready["pid"].to_string();
        let sent = Command::new("kill").args([signal, &pid]).status();
        if !sent.is_ok_and(|status| status.success()) {
            return Err(Failure::new(format!("cannot signal the demo, process {pid}")));
        }
        let begun = Instant::now();
        loop {
            match self.process.try_wait() {
                Ok(Some(status)) if !status.success() => {
                    return Err(Failure::new(format!("the demo did not exit 0 ({status})")));
                }
                Ok(Some(_)) if self.ready_file.exists() => {
                    return Err(Failure::new("the demo left its ready file behind"));
                }
                Ok(Some(_)) => return Ok(()),
                Ok(None) if begun.elapsed() < DRAIN => thread::sleep(Duration::from_millis(10)),
                _ => return Err(Failure::new(format!("the demo does not drain after {signal}"))),
            }
        }
    }

    fn text(&self, name: &str) -> Outcome<&str> {
        let missing = || Failure::new(format!("the ready file has no {name}"));
        self.ready[name].as_str().ok_or_else(missing)
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The answer to a plain HTTP/1.1 request, headers and body.
fn get(base: &str, path: &str) -> Outcome<String> {
    let failed = |error| Failure::new(format!("cannot fetch {base}{path}: {error}"));
    let authority = base.strip_prefix("http://").unwrap_or(base);
    let mut connection = TcpStream::connect(authority).map_err(failed)?;
    connection.set_read_timeout(Some(DRAIN)).map_err(failed)?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n");
    connection.write_all(request.as_bytes()).map_err(failed)?;
    let mut answer = Vec::new();
    connection.read_to_end(&mut answer).map_err(failed)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

fn expect(answer: &str, wanted: &str, what: &str) -> Outcome {
    if answer.contains(wanted) {
        return Ok(());
    }
    let head = answer.lines().next().unwrap_or_default();
    Err(Failure::new(format!("{what} of the demo is not as it should be: {head}")))
}
