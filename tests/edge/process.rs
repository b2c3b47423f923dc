//! An edge in a process of its own, an origin in a thread, and as much of a client as the tests need.

use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until something is there.
#[track_caller]
pub(crate) fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        if let Some(found) = look() {
            return found;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("{what} did not come");
}

/// A plain origin: answers each request, and counts.
pub(crate) struct Origin {
    pub(crate) url: String,
    asked: Arc<AtomicUsize>,
    connections: Arc<AtomicUsize>,
}

/// What an origin was asked.
pub(crate) struct Asked {
    pub(crate) target: String,
    /// The fields, a line each.
    fields: Vec<String>,
}

impl Asked {
    /// A field's value; empty where it is not there.
    pub(crate) fn field(&self, name: &str) -> &str {
        let mut fields = self.fields.iter().filter_map(|line| line.split_once(": "));
        fields.find(|(one, _)| one.eq_ignore_ascii_case(name)).map_or("", |(_, value)| value)
    }
}

/// What an origin answers: status, fields (a line each) and body.
pub(crate) type Said = (u16, String, String);

impl Origin {
    /// One that answers with its name, the host and the path it was asked for; `/missing…` is not there, and
    /// `/broken` fails.
    pub(crate) fn start(name: &'static str) -> Self {
        Self::answering(move |asked| {
            let status = match &*asked.target {
                "/broken" => 500,
                target if target.starts_with("/missing") => 404,
                _ => 200,
            };
            let fields =
                "cache-control: max-age=60\r\ncontent-type: video/mp4\r\nset-cookie: a=b\r\n";
            let host = asked.field("host").to_ascii_lowercase();
            (status, fields.to_owned(), format!("{name} {host} {}\n", asked.target))
        })
    }

    /// One that answers what it is told to.
    pub(crate) fn answering(say: impl Fn(&Asked) -> Said + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::<AtomicUsize>::default();
        let connections = Arc::<AtomicUsize>::default();
        let (count, say, met) = (Arc::clone(&asked), Arc::new(say), Arc::clone(&connections));
        // Ends with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                met.fetch_add(1, Ordering::SeqCst);
                let (count, say) = (Arc::clone(&count), Arc::clone(&say));
                std::thread::spawn(move || answer(stream, &*say, &count));
            }
        });
        Self { url, asked, connections }
    }

    /// How many connections came.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// How many requests came.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

fn answer(
    stream: TcpStream,
    say: &(impl Fn(&Asked) -> Said + ?Sized),
    count: &AtomicUsize,
) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut stream = stream;
    loop {
        let mut first = String::new();
        reader.read_line(&mut first).ok().filter(|read| *read > 0)?;
        let mut fields = Vec::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok()?;
            match line.trim_end() {
                "" => break,
                line => fields.push(line.to_owned()),
            }
        }
        count.fetch_add(1, Ordering::SeqCst);
        let target = first.split(' ').nth(1)?.to_owned();
        let (status, fields, body) = say(&Asked { target, fields });
        let length = body.len();
        write!(stream, "HTTP/1.1 {status} x\r\n{fields}content-length: {length}\r\n\r\n{body}")
            .ok()?;
    }
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: String,
}

impl Answer {
    /// A field's value; empty where it is not there.
    pub(crate) fn field(&self, name: &str) -> &str {
        let mut fields = self.head.lines().filter_map(|line| line.split_once(": "));
        fields.find(|(one, _)| one.eq_ignore_ascii_case(name)).map_or("", |(_, value)| value)
    }

    /// The last of a field's lines; empty where there is none.
    pub(crate) fn last(&self, name: &str) -> &str {
        let mut fields = self.head.lines().filter_map(|line| line.split_once(": "));
        fields.rfind(|(one, _)| one.eq_ignore_ascii_case(name)).map_or("", |(_, value)| value)
    }
}

/// Asks over HTTP/1.1, on a connection of its own.
pub(crate) fn ask(addr: SocketAddr, method: &str, host: &str, target: &str, more: &str) -> Answer {
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "{method} {target} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n{more}\r\n")
        .unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{text:?}"));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap();
    Answer { status, head: head.to_owned(), body: body.to_owned() }
}

pub(crate) fn get(addr: SocketAddr, host: &str, target: &str) -> Answer {
    ask(addr, "GET", host, target, "")
}

/// Status and body of what is asked for over HTTPS.
pub(crate) fn get_https(addr: SocketAddr, host: &str, target: &str) -> (u16, String) {
    let answer = ask_https(addr, host, target, "identity");
    (answer.status().as_u16(), String::from_utf8(answer.into_body()).unwrap())
}

/// The answer to what is asked for over HTTPS by a client that takes any certificate, and a coding of the body as it
/// came, for a name that is no host's.
pub(crate) fn ask_https(
    addr: SocketAddr,
    host: &str,
    target: &str,
    coding: &str,
) -> http::Response<Vec<u8>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let client = reqwest::Client::builder().tls_danger_accept_invalid_certs(true);
        let client = client.resolve(host, addr).build().unwrap();
        let url = format!("https://{host}:{}{target}", addr.port());
        let asked = client.get(url).header("accept-encoding", coding).send().await.unwrap();
        let mut answer = http::Response::builder().status(asked.status());
        *answer.headers_mut().unwrap() = asked.headers().clone();
        answer.body(asked.bytes().await.unwrap().to_vec()).unwrap()
    })
}

/// A configuration in a folder of its own.
pub(crate) struct Files {
    folder: tempfile::TempDir,
}

impl Files {
    pub(crate) fn new(config: &str) -> Self {
        let files = Self { folder: tempfile::tempdir().unwrap() };
        files.write(config);
        files
    }

    pub(crate) fn write(&self, config: &str) {
        fs::write(self.path("edge.toml"), config).unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }
}

/// The command, in the folder of its files.
pub(crate) fn command(files: &Files, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_headwater"));
    command.current_dir(files.folder()).args(["edge", "--config", "edge.toml"]).args(arguments);
    command
}

/// A running edge; it is killed when this is dropped, and so is what took over from it.
pub(crate) struct Edge {
    child: Child,
    /// Where it works, if it was told.
    folder: Option<PathBuf>,
    said: Arc<Mutex<String>>,
}

impl Edge {
    /// Starts it and waits until it serves.
    pub(crate) fn start(files: &Files) -> Self {
        Self::spawn(&mut command(files, &[]))
    }

    pub(crate) fn spawn(command: &mut Command) -> Self {
        let folder = command.get_current_dir().map(|folder| folder.canonicalize().unwrap());
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let said = Arc::<Mutex<String>>::default();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let into = Arc::clone(&said);
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let mut said = into.lock().unwrap();
                said.push_str(&line);
                said.push('\n');
            }
        });
        let edge = Self { child, folder, said };
        edge.hears("headwater edge serves");
        edge
    }

    /// What it has said so far.
    pub(crate) fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    /// Waits until it has said something.
    #[track_caller]
    pub(crate) fn hears(&self, text: &str) {
        wait_for(text, || self.said().contains(text).then_some(()));
    }

    /// The first address of a kind of listeners.
    #[track_caller]
    pub(crate) fn addr(&self, of: &str) -> SocketAddr {
        let prefix = format!("  {of} ");
        wait_for(of, || {
            let said = self.said();
            let line = said.lines().find_map(|line| line.strip_prefix(&prefix))?;
            line.trim().split_once("://")?.1.parse().ok()
        })
    }

    /// Sends a signal by its name.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &pid]).status().unwrap().success());
    }

    /// It and those that it has started, as far as they run.
    pub(crate) fn processes(&self) -> Vec<OsString> {
        self.folder.as_deref().map(processes_in).unwrap_or_default()
    }

    /// Waits until it has ended.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        let child = &mut self.child;
        wait_for("its end", || child.try_wait().unwrap())
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(folder) = &self.folder {
            end_all_in(folder);
        }
    }
}

/// Ends the processes that work in a test's folder.
fn end_all_in(folder: &Path) {
    for process in processes_in(folder) {
        let mut kill = Command::new("kill");
        let _ = kill.arg("-KILL").arg(process).stderr(Stdio::null()).status();
    }
}

/// The processes that work in a folder, which may be gone by now.
fn processes_in(folder: &Path) -> Vec<OsString> {
    let gone = PathBuf::from(format!("{} (deleted)", folder.display()));
    let works_in = |process: &fs::DirEntry| {
        let works_in = fs::read_link(process.path().join("cwd"));
        works_in.is_ok_and(|at| at == folder || at == gone)
    };
    let all = fs::read_dir("/proc").into_iter().flatten().flatten();
    all.filter(works_in).map(|process| process.file_name()).collect()
}
