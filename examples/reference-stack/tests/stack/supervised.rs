//! A stack under a supervisor: what it says at a scripted `NOTIFY_SOCKET`, and sockets that
//! systemd-socket-activate has opened for it.

use std::net::TcpListener;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use crate::support::{Stack, binary};

/// An edge alone needs no video.
const EDGE: [&str; 4] = ["--role", "edge", "--upstream", "http://127.0.0.1:1"];

/// Listens where the stack tells its supervisor what it does.
struct Supervisor(UnixDatagram);

impl Supervisor {
    fn at(path: &Path) -> Self {
        let socket = UnixDatagram::bind(path).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        Self(socket)
    }

    fn hears(&self) -> String {
        let mut said = [0; 1000];
        let len = self.0.recv(&mut said).expect("the stack says something");
        String::from_utf8(said[..len].to_vec()).unwrap()
    }

    /// What is said next that is no sign of life.
    fn hears_news(&self) -> String {
        loop {
            let said = self.hears();
            if said != "WATCHDOG=1" {
                return said;
            }
        }
    }
}

fn signal(name: &str, pid: &str) {
    assert!(Command::new("kill").args([name, pid]).status().unwrap().success());
}

/// A process that nobody waits for, ended with the test.
struct Ends(String);

impl Drop for Ends {
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-KILL", &self.0]).stderr(Stdio::null()).status();
    }
}

#[test]
fn a_supervisor_is_told_what_the_stack_does() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notify");
    let supervisor = Supervisor::at(&path);
    let mut command = Command::new(binary());
    command.args(["--port", "0"]).env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "400000");
    let stack = Stack::start_by(command, &dir.path().join("state"), &EDGE);
    let serving = format!("READY=1\nSTATUS=serving at {}", stack.field("base"));
    assert_eq!(supervisor.hears(), serving);
    for _ in 0..3 {
        assert_eq!(supervisor.hears(), "WATCHDOG=1");
    }

    let pid = stack.ready()["pid"].to_string();
    signal("-HUP", &pid);
    let reloading = supervisor.hears_news();
    assert!(reloading.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{reloading}");
    assert_eq!(supervisor.hears_news(), serving);

    // The next process is the one to be watched, and says what it does by itself.
    signal("-USR2", &pid);
    let mut news = [supervisor.hears_news(), supervisor.hears_news()];
    news.sort();
    let main = news[0].strip_prefix("MAINPID=").and_then(|rest| rest.split_once('\n')).unwrap();
    let (next, rest) = (Ends(main.0.to_owned()), main.1);
    assert_eq!((rest, &news[1]), ("READY=1\nWATCHDOG=1", &serving));
    assert_ne!(next.0, pid);
    assert_eq!(supervisor.hears(), "WATCHDOG=1");
    signal("-TERM", &next.0);
    let stopping = supervisor.hears_news();
    assert!(stopping.starts_with("STOPPING=1\nEXTEND_TIMEOUT_USEC=20000000\n"), "{stopping}");
}

/// One that listens for what the stack is to serve, and starts it for the first client.
#[expect(clippy::print_stdout, reason = "a test that is skipped says so")]
fn socket_activate() -> Option<Command> {
    let command = Command::new("systemd-socket-activate");
    let there = Command::new(command.get_program()).arg("--version").stdout(Stdio::null()).status();
    if there.is_ok_and(|status| status.success()) {
        return Some(command);
    }
    println!("skipped: there is no systemd-socket-activate");
    None
}

/// Ports that are free now: systemd-socket-activate wants to know them.
fn free_ports<const N: usize>() -> [u16; N] {
    let sockets = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    sockets.map(|socket| socket.local_addr().unwrap().port())
}

#[test]
fn what_systemd_socket_activate_opened_is_served() {
    let Some(mut command) = socket_activate() else { return };
    let [https, http] = free_ports();
    let dir = tempfile::tempdir().unwrap();
    let unix = dir.path().join("edge.sock");
    command.args(["-l", &format!("127.0.0.1:{https}"), "-l", &format!("127.0.0.1:{http}"), "-l"]);
    command.arg(&unix).args(["--fdname", "https:http:edge"]).arg(binary()).args(["--port", "0"]);
    // It starts nothing before somebody comes, and has them served.
    let first = std::thread::spawn(move || {
        let mut tries = 0;
        loop {
            match std::net::TcpStream::connect(("127.0.0.1", http)) {
                Ok(socket) => return ask(socket),
                Err(error) => assert!(tries < 6000, "{error}"),
            }
            tries += 1;
            std::thread::sleep(Duration::from_millis(10));
        }
    });
    let socket = ["--socket", unix.to_str().unwrap()];
    let stack = Stack::start_by(command, &dir.path().join("state"), &[&EDGE[..], &socket].concat());
    assert_eq!(stack.field("base"), format!("https://127.0.0.1:{https}"));
    assert_eq!(stack.field("http"), format!("http://127.0.0.1:{http}"));
    assert!(first.join().unwrap().starts_with("HTTP/1.1 200 "));
    let by_unix = ask(std::os::unix::net::UnixStream::connect(&unix).unwrap());
    assert!(by_unix.starts_with("HTTP/1.1 200 "), "{by_unix}");
    assert_eq!(stack.end("-TERM"), Some(0));
    assert!(unix.exists(), "the file is the supervisor's");
}

/// The answer to a request for the stack's page.
fn ask(mut socket: impl std::io::Read + std::io::Write) -> String {
    socket.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_socket_that_nothing_listens_at_is_one_sentence() {
    let Some(mut command) = socket_activate() else { return };
    let dir = tempfile::tempdir().unwrap();
    let unix = dir.path().join("other.sock");
    let child = command.arg("-l").arg(&unix).arg(binary()).args(["--port", "0", "--state"]);
    let child = child.arg(dir.path()).args(EDGE).stderr(Stdio::piped()).spawn().unwrap();
    let ends = Ends(child.id().to_string());
    let begun = std::time::Instant::now();
    let socket = loop {
        match std::os::unix::net::UnixStream::connect(&unix) {
            Ok(socket) => break socket,
            Err(error) => assert!(begun.elapsed() < Duration::from_secs(60), "{error}"),
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    let Output { status, stderr, .. } = child.wait_with_output().unwrap();
    // It has ended, and its number may be another's by now.
    std::mem::forget(ends);
    drop(socket);
    let said = String::from_utf8(stderr).unwrap();
    let expected = format!(
        "error: the supervisor gave as descriptor 3 a socket at {}, where nothing is set to listen",
        unix.display()
    );
    assert_eq!((status.code(), said.lines().last()), (Some(1), Some(expected.as_str())), "{said}");
}
