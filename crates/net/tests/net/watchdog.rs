//! The supervisor's watchdog over a whole process: one whose worker is stuck shows no sign of life, however
//! well the others are.

use std::convert::Infallible;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use headwater_net::Body;
use headwater_net::server::{Duties, Process};
use http::{Request, Response};
use tower::service_fn;

/// Names the folder of the child's files, and makes it one.
const CHILD: &str = "HEADWATER_TEST_WATCHED";
/// Within which the supervisor wants to see a sign of life.
const LIMIT: Duration = Duration::from_millis(400);
const A_HANG: Duration = Duration::from_secs(60);

/// A process that serves, and its supervisor.
struct Watched {
    process: Child,
    supervisor: UnixDatagram,
    dir: tempfile::TempDir,
}

impl Watched {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let notify = dir.path().join("notify");
        let supervisor = UnixDatagram::bind(&notify).unwrap();
        supervisor.set_read_timeout(Some(A_HANG)).unwrap();
        let said = std::fs::File::create(dir.path().join("said")).unwrap();
        let process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "watchdog::in_the_child", "--nocapture"])
            .env(CHILD, dir.path())
            .env("NOTIFY_SOCKET", &notify)
            .env("WATCHDOG_USEC", LIMIT.as_micros().to_string())
            .stdin(Stdio::null())
            .stdout(said.try_clone().unwrap())
            .stderr(said)
            .spawn()
            .unwrap();
        Self { process, supervisor, dir }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn hears(&self) -> String {
        let mut said = [0; 1000];
        let heard = self.supervisor.recv(&mut said);
        let len = heard.unwrap_or_else(|error| {
            let words = std::fs::read_to_string(self.file("said")).unwrap_or_default();
            panic!("it says nothing: {error}; {words}")
        });
        String::from_utf8(said[..len].to_vec()).unwrap()
    }

    /// Hears signs of life, and nothing else.
    fn shows_that_it_lives(&self, times: usize) {
        for _ in 0..times {
            assert_eq!(self.hears(), "WATCHDOG=1");
        }
    }

    /// How many signs of life have come that nobody has heard.
    fn unheard(&self) -> usize {
        self.supervisor.set_nonblocking(true).unwrap();
        let mut said = [0; 1000];
        let mut signs = 0;
        while let Ok(len) = self.supervisor.recv(&mut said) {
            assert_eq!(&said[..len], b"WATCHDOG=1");
            signs += 1;
        }
        self.supervisor.set_nonblocking(false).unwrap();
        signs
    }

    /// Where its two servers are: the status is that.
    fn addrs(&self) -> [String; 2] {
        let ready = self.hears();
        let status = ready.strip_prefix("READY=1\nSTATUS=").unwrap_or_else(|| panic!("{ready}"));
        let (main, other) = status.split_once(' ').unwrap();
        [main.to_owned(), other.to_owned()]
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn wait_for(path: &Path) {
    let begun = Instant::now();
    while !path.exists() {
        assert!(begun.elapsed() < A_HANG, "there is no {}", path.display());
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn ask(addr: &str) -> TcpStream {
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    stream
}

/// Asks one of a process's servers for what makes its worker stick.
fn is_noticed(which: usize) {
    let (stuck, healthy) = (Watched::start(), Watched::start());
    let addrs = stuck.addrs();
    healthy.addrs();
    stuck.shows_that_it_lives(2);
    let mut asked = ask(&addrs[which]);
    wait_for(&stuck.file("stuck"));
    stuck.unheard();
    // For as long as a healthy one takes to show that it lives eight times: two limits and more.
    healthy.unheard();
    healthy.shows_that_it_lives(8);
    // One may have been due when the worker got stuck.
    let signs = stuck.unheard();
    assert!(signs <= 1, "{signs} signs of life of a process with a worker that is stuck");
    // It is no more than that.
    std::fs::write(stuck.file("go on"), "").unwrap();
    stuck.shows_that_it_lives(2);
    let mut answer = String::new();
    asked.set_read_timeout(Some(A_HANG)).unwrap();
    asked.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[test]
fn a_process_with_a_stuck_worker_shows_no_life_and_a_healthy_one_does() {
    is_noticed(0);
}

#[test]
fn so_does_one_whose_second_server_is_stuck() {
    is_noticed(1);
}

struct Nothing;

impl Duties for Nothing {
    async fn reload(&self) {}
    async fn release(&self) {}
    async fn resume(&self) {}
    fn say(&self, _: &str) {}
}

/// Does nothing but in the processes that the tests above start.
#[tokio::test]
async fn in_the_child() {
    let Some(dir) = std::env::var_os(CHILD).map(PathBuf::from) else { return };
    let mut process = Process::start(dir.clone(), None).await.unwrap();
    // As a program has them: viewers are served by several workers, and its operator by one more.
    let sticks = move |_: Request<Body>| {
        let dir = dir.clone();
        async move {
            std::fs::write(dir.join("stuck"), "").unwrap();
            // The thread waits, and with it all that the worker has to do.
            let begun = Instant::now();
            while !dir.join("go on").exists() && begun.elapsed() < A_HANG * 2 {
                std::thread::sleep(Duration::from_millis(2));
            }
            Ok::<_, Infallible>(Response::new(Body::Empty))
        }
    };
    let main = process.server("main").http("127.0.0.1:0").workers(3);
    let other = process.server("other").http("127.0.0.1:0").workers(1);
    let service = sticks.clone();
    let main = main.serve(move |_| service_fn(service.clone())).unwrap();
    let other = other.serve(move |_| service_fn(sticks.clone())).unwrap();
    process.begin(&Nothing).await.unwrap();
    let status = format!("{} {}", main.http_addrs()[0], other.http_addrs()[0]);
    process.run(&[&main, &other], &Nothing, &status).await;
}
