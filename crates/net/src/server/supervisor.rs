//! What the supervisor that started this process is told, as sd_notify(3) writes it down: that it
//! serves, reads its files again, ends, is another process now, and is alive.
//!
//! The supervisor names a Unix socket in `NOTIFY_SOCKET`; without it, nobody is told anything, and
//! all of this does nothing. One that does not listen holds nothing up: what it does not take within
//! a second is not said.
//!
//! ```no_run
//! use std::time::Duration;
//! use headwater_net::server::{Server, ServerHandle, Supervisor};
//! # fn serve() -> ServerHandle { unimplemented!() }
//! # async fn asked_to_end() {}
//!
//! # async fn run() {
//! let supervisor = Supervisor::from_env();
//! let server = serve();
//! let watched = [&server];
//! supervisor.ready("serving").await;
//! let work = async {
//!     asked_to_end().await;
//!     let deadline = Duration::from_secs(10);
//!     supervisor.stopping(deadline).await;
//!     server.drain(deadline).await;
//! };
//! tokio::select! {
//!     () = work => {}
//!     never = supervisor.watch(&watched) => match never {},
//! }
//! # }
//! ```

use std::convert::Infallible;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram as StdDatagram};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::net::UnixDatagram;

use super::ServerHandle;

/// How long the supervisor may take to take what it is told.
const PATIENCE: Duration = Duration::from_secs(1);
/// Time beside a drain's that a process needs to end.
const TO_END: Duration = Duration::from_secs(10);

/// The way to the supervisor, if there is one.
#[derive(Debug, Default)]
pub struct Supervisor {
    socket: Option<UnixDatagram>,
    /// How long the supervisor waits for a sign of life before it ends this process.
    watchdog: Option<Duration>,
}

impl Supervisor {
    /// The one that the environment names. To be called in a tokio runtime. A socket that cannot be
    /// used is logged as a warning: the supervisor will say more.
    pub fn from_env() -> Self {
        let number = |name| std::env::var(name).ok()?.parse::<u64>().ok();
        let watchdog = watchdog(number("WATCHDOG_USEC"), number("WATCHDOG_PID"));
        std::env::var_os("NOTIFY_SOCKET").map_or_else(Self::default, |name| {
            Self::at(&name, watchdog).unwrap_or_else(|error| {
                let name = name.display();
                tracing::warn!(%error, "the supervisor cannot be told anything at {name}");
                Self::default()
            })
        })
    }

    /// The one that listens at `name`: a path, or `@` and a name that has no file.
    fn at(name: &OsStr, watchdog: Option<Duration>) -> io::Result<Self> {
        let socket = StdDatagram::unbound()?;
        socket.connect_addr(&address(name)?)?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket: Some(UnixDatagram::from_std(socket)?), watchdog })
    }

    /// This process serves: at the start, and again when it has done what
    /// [`Supervisor::reloading`] said. `status` is for people, in one line.
    pub async fn ready(&self, status: &str) {
        self.say(&format!("READY=1\nSTATUS={}", line(status))).await;
    }

    /// What is going on, for people, in one line.
    pub async fn status(&self, status: &str) {
        self.say(&format!("STATUS={}", line(status))).await;
    }

    /// This process reads its files again; [`Supervisor::ready`] says that it has.
    pub async fn reloading(&self) {
        let now = clock_gettime(ClockId::Monotonic);
        let micros = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1000;
        self.say(&format!("RELOADING=1\nMONOTONIC_USEC={micros}")).await;
    }

    /// This process ends, and takes until `deadline`, or a little longer, for the requests that it
    /// has. Not to be said by one that another process took over from: the service goes on.
    pub async fn stopping(&self, deadline: Duration) {
        let micros = (deadline + TO_END).as_micros();
        self.say(&format!("STOPPING=1\nEXTEND_TIMEOUT_USEC={micros}\nSTATUS=draining")).await;
    }

    /// The process `pid` serves in place of this one, and is the one to be watched from now on. What
    /// this one says after that is not heard.
    pub async fn succeeded_by(&self, pid: u32) {
        // The other one may have shown that it lives before the supervisor listened to it.
        self.say(&format!("MAINPID={pid}\nREADY=1\nWATCHDOG=1")).await;
    }

    /// Shows that this process is alive as often as the supervisor wants to see it, twice in the
    /// time after which that would end it, for as long as every worker of `servers` responds
    /// ([`ServerHandle::responds`]). Without a supervisor that watches this waits for ever; it never
    /// returns. Cancel safe.
    pub async fn watch(&self, servers: &[&ServerHandle]) -> Infallible {
        let Some(limit) = self.watchdog.filter(|_| self.socket.is_some()) else {
            return std::future::pending().await;
        };
        // Half of the limit at most, waiting included.
        let quarter = limit / 4;
        loop {
            let all = async {
                for server in servers {
                    if !server.responds().await {
                        return false;
                    }
                }
                true
            };
            if tokio::time::timeout(quarter, all).await == Ok(true) {
                self.say("WATCHDOG=1").await;
            } else {
                tracing::error!("a worker does not respond, so the supervisor is told nothing");
            }
            tokio::time::sleep(quarter).await;
        }
    }

    async fn say(&self, text: &str) {
        let Some(socket) = &self.socket else { return };
        let said = tokio::time::timeout(PATIENCE, socket.send(text.as_bytes())).await;
        match said {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the supervisor was not told: {text}"),
            Err(_) => tracing::warn!("the supervisor did not listen: {text}"),
        }
    }
}

/// What a supervisor understands as one line.
fn line(text: &str) -> String {
    text.replace(['\n', '\r'], " ")
}

fn address(name: &OsStr) -> io::Result<SocketAddr> {
    match name.as_bytes() {
        [b'/', ..] => SocketAddr::from_pathname(name),
        #[cfg(target_os = "linux")]
        [b'@', name @ ..] if !name.is_empty() => {
            use std::os::linux::net::SocketAddrExt as _;
            SocketAddr::from_abstract_name(name)
        }
        _ => Err(io::Error::other("it is neither a path nor `@` and a name")),
    }
}

/// The time within which this process has to show that it lives (sd_watchdog_enabled(3)); `None`
/// where nobody watches, or another process is meant.
fn watchdog(micros: Option<u64>, pid: Option<u64>) -> Option<Duration> {
    let is_ours = pid.is_none_or(|pid| pid == u64::from(std::process::id()));
    micros.filter(|micros| *micros > 0 && is_ours).map(Duration::from_micros)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    /// A supervisor that listens at a file, and what it has heard.
    struct Listener {
        socket: UnixDatagram,
        _dir: tempfile::TempDir,
    }

    impl Listener {
        fn new(watchdog: Option<Duration>) -> (Self, Supervisor) {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("notify");
            let socket = UnixDatagram::bind(&path).unwrap();
            let supervisor = Supervisor::at(path.as_os_str(), watchdog).unwrap();
            (Self { socket, _dir: dir }, supervisor)
        }

        async fn heard(&self) -> String {
            let mut buf = [0; 1000];
            let len = self.socket.recv(&mut buf).await.unwrap();
            String::from_utf8(buf[..len].to_vec()).unwrap()
        }
    }

    #[tokio::test]
    async fn each_word_is_what_sd_notify_says() {
        let (listener, supervisor) = Listener::new(None);
        supervisor.ready("two lines\nare one").await;
        assert_eq!(listener.heard().await, "READY=1\nSTATUS=two lines are one");
        supervisor.status("busy").await;
        assert_eq!(listener.heard().await, "STATUS=busy");
        supervisor.stopping(Duration::from_secs(5)).await;
        let said = "STOPPING=1\nEXTEND_TIMEOUT_USEC=15000000\nSTATUS=draining";
        assert_eq!(listener.heard().await, said);
        supervisor.succeeded_by(77).await;
        assert_eq!(listener.heard().await, "MAINPID=77\nREADY=1\nWATCHDOG=1");
        let mut last = 0;
        for _ in 0..2 {
            supervisor.reloading().await;
            let said = listener.heard().await;
            let micros = said.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap();
            let micros: u64 = micros.parse().unwrap();
            assert!(micros >= last && micros > 0, "{said}");
            last = micros;
        }
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_name_without_a_file_is_found() {
        let name = format!("headwater-{}-notify", std::process::id());
        let address = address(OsStr::new(&format!("@{name}"))).unwrap();
        let socket = StdDatagram::bind_addr(&address).unwrap();
        let supervisor = Supervisor::at(OsStr::new(&format!("@{name}")), None).unwrap();
        supervisor.status("here").await;
        let mut buf = [0; 100];
        let len = socket.recv(&mut buf).unwrap();
        assert_eq!(&buf[..len], b"STATUS=here");
    }

    #[tokio::test]
    async fn who_is_not_there_is_an_error_and_nobody_is_told_nothing() {
        for name in ["relative", "", "@", "/nobody/listens", "vsock:2:1"] {
            assert!(Supervisor::at(OsStr::new(name), None).is_err(), "{name}");
        }
        Supervisor::default().ready("nobody hears this").await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_supervisor_that_does_not_listen_holds_nothing_up() {
        let (listener, supervisor) = Listener::new(None);
        // More than its queue holds.
        for _ in 0..2000 {
            supervisor.status(&"x".repeat(900)).await;
        }
        assert_eq!(listener.heard().await.len(), 907);
    }

    #[test]
    fn a_watchdog_of_another_process_is_none() {
        let own = u64::from(std::process::id());
        let limit = Some(Duration::from_secs(3));
        assert_eq!(watchdog(Some(3_000_000), None), limit);
        assert_eq!(watchdog(Some(3_000_000), Some(own)), limit);
        assert_eq!(watchdog(Some(3_000_000), Some(own + 1)), None);
        assert_eq!(watchdog(Some(0), None), None);
        assert_eq!(watchdog(None, Some(own)), None);
    }

    #[tokio::test(start_paused = true)]
    async fn signs_of_life_come_at_least_twice_within_the_limit() {
        let limit = Duration::from_secs(8);
        let (listener, supervisor) = Listener::new(Some(limit));
        let begun = tokio::time::Instant::now();
        let heard = async {
            for _ in 0..5 {
                assert_eq!(listener.heard().await, "WATCHDOG=1");
            }
        };
        tokio::select! {
            never = supervisor.watch(&[]) => match never {},
            () = heard => {}
        }
        assert!(begun.elapsed() <= limit * 2, "{:?}", begun.elapsed());
    }
}
