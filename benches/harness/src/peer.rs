//! The servers that are measured: ours, nginx, Varnish and HAProxy, each with one worker, the same
//! certificate, the same cipher, the same origin behind it.

mod build;
mod files;
mod guarded;
mod haproxy;
mod headwater;
mod layered;
mod nginx;
mod own;
mod scripted;
mod varnish;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::load::{Player, Protocol, Result};

#[cfg(test)]
pub use build::has_all;
pub use build::nginx_binary;
pub use files::nginx_files;
pub use guarded::guarded;
pub use haproxy::haproxy;
pub use headwater::headwater;
pub use layered::layered;
pub use nginx::nginx;
pub use own::{own, tell};
pub use scripted::{SESSIONS, scripted, scripted_nginx};
pub use varnish::varnish;

/// How long a server may take to answer for the first time.
const START: Duration = Duration::from_secs(20);

/// How long a server may take to end.
const END: Duration = Duration::from_secs(5);

/// What every server of one run is given.
pub struct Setting {
    /// A folder of the run's own.
    pub dir: PathBuf,
    /// The certificate both serve with, in PEM.
    pub certificate: PathBuf,
    /// Its key, in PEM.
    pub key: PathBuf,
    /// The origin behind them.
    pub origin: SocketAddr,
    /// Whether each request is logged to a file.
    pub log: bool,
    /// Where our hits come from.
    pub tier: Tier,
}

/// A tier of our cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tier {
    Ram,
    Disk,
}

/// A running server. Dropping it ends the process.
pub struct Server {
    name: &'static str,
    process: Child,
    /// The processes whose CPU time counts: the one that answers, and after it what writes its log.
    workers: Vec<u32>,
    /// What else was started for it.
    helper: Option<Child>,
    /// How it is asked.
    player: Player,
    /// What it speaks.
    protocols: &'static [Protocol],
    plain: SocketAddr,
    secure: SocketAddr,
}

impl Server {
    /// Its name in tables.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The same under another name.
    pub fn called(mut self, name: &'static str) -> Self {
        self.name = name;
        self
    }

    /// The same, asked by another player.
    pub fn asked_by(mut self, player: Player) -> Self {
        self.player = player;
        self
    }

    /// What it is asked with beside the names of objects.
    pub fn player(&self) -> &Player {
        &self.player
    }

    /// Whether it lets in nobody without a token.
    pub fn asks_for_tokens(&self) -> bool {
        !self.player.token.is_empty()
    }

    /// Whether it speaks a protocol.
    pub fn speaks(&self, protocol: Protocol) -> bool {
        self.protocols.contains(&protocol)
    }

    /// Where it answers a protocol.
    pub fn addr(&self, protocol: Protocol) -> SocketAddr {
        match protocol {
            Protocol::H1 => self.plain,
            _ => self.secure,
        }
    }

    /// The CPU time that its worker has spent so far.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn cpu_time(&self) -> Result<Duration> {
        let times = self.workers.iter().map(|&worker| crate::cpu::cpu_time(worker));
        times
            .sum::<std::io::Result<Duration>>()
            .map_err(|error| format!("{} has ended: {error}", self.name).into())
    }

    /// The most memory that its worker ever held, in bytes.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn peak_memory(&self) -> Result<u64> {
        self.memory_of("VmHWM")
    }

    /// The memory that its worker holds now, in bytes.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn memory(&self) -> Result<u64> {
        self.memory_of("VmRSS")
    }

    fn memory_of(&self, line: &str) -> Result<u64> {
        let worker = self.workers.first().ok_or("a server without a worker")?;
        crate::cpu::memory(*worker, line)
            .map_err(|error| format!("{} has ended: {error}", self.name).into())
    }

    /// Ends the server in order: what it writes at its end is written then. Its clients go on meanwhile, since it
    /// waits for what they have yet to acknowledge.
    ///
    /// # Errors
    /// When it does not end within [`END`] (it is killed then), or ends otherwise than well.
    pub async fn end(mut self) -> Result<()> {
        ask_to_end(&self.process);
        let begun = Instant::now();
        loop {
            match self.process.try_wait()? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => return Err(format!("{} ended with {status}", self.name).into()),
                None if begun.elapsed() < END => {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                None => {
                    let waited = END.as_secs();
                    return Err(format!("{} did not end within {waited} s", self.name).into());
                }
            }
        }
    }
}

impl Drop for Server {
    /// Asks the server to end; one that does not is killed.
    fn drop(&mut self) {
        if let Some(helper) = &mut self.helper {
            let _ = helper.kill();
            let _ = helper.wait();
        }
        stop(&mut self.process);
    }
}

/// So that it ends its own workers, too.
fn ask_to_end(process: &Child) {
    let _ = Command::new("kill").args(["-TERM", &process.id().to_string()]).status();
}

/// Ends a process: asks it to, and kills it where it does not.
fn stop(process: &mut Child) {
    // One that has ended has no number any more.
    if matches!(process.try_wait(), Ok(None)) {
        ask_to_end(process);
    }
    let begun = Instant::now();
    while begun.elapsed() < END && matches!(process.try_wait(), Ok(None)) {
        std::thread::sleep(Duration::from_millis(10));
    }
    let _ = process.kill();
    let _ = process.wait();
}

/// A program of the system: one of `PATH`, or where daemons are.
pub fn installed(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let daemons = [PathBuf::from("/usr/sbin"), PathBuf::from("/usr/local/sbin")];
    std::env::split_paths(&path).chain(daemons).map(|dir| dir.join(name)).find(|one| one.is_file())
}

/// Starts a server with its output in a file of the run's folder.
fn spawn(mut command: Command, dir: &Path, name: &str) -> Result<Child> {
    let output = std::fs::File::create(dir.join(format!("{name}.out")))?;
    command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
    command.spawn().map_err(|error| format!("{name} could not be started: {error}").into())
}

/// Calls `ready` until it gives something, the process ends, or [`START`] has passed. It fails, and the process is ended,
/// where that is on the core of the load client, too.
fn wait_for<T>(
    process: &mut Child,
    dir: &Path,
    name: &str,
    mut ready: impl FnMut() -> Option<T>,
) -> Result<T> {
    let begun = Instant::now();
    loop {
        if let Some(found) = ready() {
            return match crate::cores::are_apart(name, process.id()) {
                Ok(()) => Ok(found),
                Err(error) => {
                    stop(process);
                    Err(error)
                }
            };
        }
        let ended = process.try_wait()?;
        if ended.is_some() || begun.elapsed() > START {
            stop(process);
            let output =
                std::fs::read_to_string(dir.join(format!("{name}.out"))).unwrap_or_default();
            let last: Vec<&str> = output.lines().rev().take(5).collect();
            let why = if ended.is_some() { "ended at once" } else { "does not answer" };
            return Err(format!("{name} {why}: {}", last.join(" / ")).into());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
