//! A reference stack as a process: started, asked, drained.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a stack may take to answer, or to drain.
const PATIENCE: Duration = Duration::from_secs(60);

/// The binary that `cargo test` built beside this test.
pub fn binary() -> PathBuf {
    let test = std::env::current_exe().expect("a test knows where it lies");
    let profile = test.ancestors().nth(2).expect("target/PROFILE/deps/TEST");
    let binary = profile.join("examples/reference-stack");
    assert!(binary.is_file(), "cargo builds examples with tests; {} is missing", binary.display());
    binary
}

/// A running stack; killed when dropped, and so is what took over from it.
pub struct Stack {
    process: Child,
    state: PathBuf,
    ready: serde_json::Value,
}

/// The stack on ports that the system chooses, for [`Stack::start_by`].
pub fn command() -> Command {
    let mut command = Command::new(binary());
    command.args(["--port", "0"]);
    command
}

impl Stack {
    /// Starts the stack with its state in `dir`, and waits until it answers.
    pub fn start(dir: &Path, args: &[&str]) -> Self {
        Self::start_by(command(), dir, args)
    }

    /// As [`Stack::start`], by a command that starts the binary or is about to.
    pub fn start_by(mut command: Command, dir: &Path, args: &[&str]) -> Self {
        std::fs::create_dir_all(dir).expect("a folder for the state");
        let ready_file = dir.join("ready.json");
        let process = command
            .args(["--bind", "127.0.0.1", "--workers", "2", "--web", "/nonexistent"])
            .arg("--state")
            .arg(dir)
            .arg("--ready")
            .arg(&ready_file)
            .args(args)
            .stdin(Stdio::null())
            .stderr(std::fs::File::create(dir.join("stderr")).expect("a file for its words"))
            .spawn()
            .expect("the stack starts");
        let mut stack = Self { process, state: dir.to_owned(), ready: serde_json::Value::Null };
        let begun = Instant::now();
        while !ready_file.is_file() {
            let ended = stack.process.try_wait().expect("a child can be asked");
            assert!(
                ended.is_none() && begun.elapsed() < PATIENCE,
                "the stack does not answer ({ended:?}): {}",
                std::fs::read_to_string(dir.join("stderr")).unwrap_or_default()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
        let text = std::fs::read(&ready_file).expect("the ready file is whole");
        stack.ready = serde_json::from_slice(&text).expect("the ready file is JSON");
        stack
    }

    /// A field of the ready file.
    pub fn field(&self, name: &str) -> &str {
        self.ready[name].as_str().unwrap_or_else(|| panic!("the ready file has no {name}"))
    }

    /// The ready file.
    pub fn ready(&self) -> &serde_json::Value {
        &self.ready
    }

    /// Asks it to end, by a signal, and gives its exit code.
    pub fn end(mut self, signal: &str) -> Option<i32> {
        let pid = self.ready["pid"].as_u64().expect("a pid").to_string();
        let sent = Command::new("kill").args([signal, &pid]).status().expect("kill runs");
        assert!(sent.success());
        let begun = Instant::now();
        loop {
            if let Some(status) = self.process.try_wait().expect("a child can be asked") {
                return status.code();
            }
            assert!(begun.elapsed() < PATIENCE, "the stack does not drain");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// The three roles, each a process, one behind the other.
pub struct Three {
    pub edge: Stack,
    pub shield: Stack,
    pub packager: Stack,
}

impl Three {
    /// Starts them with their state in folders of `dir`; they play `input`.
    pub fn start(dir: &Path, input: &str) -> Self {
        let start = |role: &str, behind: &[&str]| {
            let args = [&["--role", role][..], behind].concat();
            Stack::start(&dir.join(role), &args)
        };
        let packager = start("packager", &["--input", input]);
        let shield = start("shield", &["--upstream", packager.field("http")]);
        let edge = start("edge", &["--upstream", shield.field("http")]);
        Self { edge, shield, packager }
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        // Those that took over were started with the same arguments.
        for process in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
            let arguments = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
            let state = [&b"\0--state\0"[..], self.state.as_os_str().as_encoded_bytes(), b"\0"];
            let state = state.concat();
            if arguments.windows(state.len()).any(|part| part == state) {
                let mut kill = Command::new("kill");
                let _ = kill.arg("-KILL").arg(process.file_name()).stderr(Stdio::null()).status();
            }
        }
    }
}

/// A short video of our own making, called `name` in `dir`.
pub fn video(dir: &Path, name: &str, seconds: u32) -> PathBuf {
    let path = dir.join(name);
    let spec = headwater_transcode::demo::DemoSpec {
        seconds,
        width: 320,
        height: 180,
        video_bitrate: 400_000,
        ..Default::default()
    };
    headwater_transcode::demo::make(&path, &spec, &mut |_| std::ops::ControlFlow::Continue(()))
        .expect("FFmpeg makes a video");
    path
}
