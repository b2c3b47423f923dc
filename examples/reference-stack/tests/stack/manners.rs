//! The command's manners: what it says when something is wrong, and how it ends.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Output};

use crate::support::{Stack, binary, video};

fn run(state: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(binary());
    command.args(["--bind", "127.0.0.1", "--state"]).arg(state).args(args);
    if !args.contains(&"--port") {
        command.args(["--port", "0"]);
    }
    command.output().unwrap()
}

/// Runs a stack that must not start, and gives the one sentence it says.
pub fn refusal(args: &[&str]) -> String {
    let state = tempfile::tempdir().unwrap();
    let output = run(state.path(), args);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(output.stdout.is_empty());
    let said = String::from_utf8(output.stderr).unwrap();
    let said = said.trim_end().to_owned();
    assert_eq!(said.lines().filter(|line| line.starts_with("error: ")).count(), 1, "{said}");
    said.lines().last().unwrap().to_owned()
}

#[test]
fn what_cannot_be_played_is_one_sentence() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(path("notes.mp4"), "this is a text, not a video").unwrap();
    std::fs::write(path("empty.mp4"), "").unwrap();
    std::fs::create_dir(path("folder")).unwrap();
    let whole = std::fs::read(video(dir.path(), "whole.mp4", 2)).unwrap();
    std::fs::write(path("half.mp4"), &whole[..whole.len() / 2]).unwrap();
    // A file as whole as can be, but in a codec that is not carried: the sample entry of its
    // picture says vvc1.
    let at = whole.windows(4).position(|four| four == b"avc1").unwrap();
    // The first one is a brand in ftyp, the second the sample entry.
    let entry = at + 4 + whole[at + 4..].windows(4).position(|four| four == b"avc1").unwrap();
    let mut vvc = whole.clone();
    vvc[entry..entry + 4].copy_from_slice(b"vvc1");
    std::fs::write(path("vvc.mp4"), vvc).unwrap();
    for (name, wanted) in [
        ("vvc.mp4", "codec vvc1 (VVC) is not carried: transcode it"),
        ("missing.mp4", "no such file"),
        ("notes.mp4", "MP4"),
        ("empty.mp4", "empty"),
        ("folder", "no video"),
        ("half.mp4", "truncated"),
    ] {
        let said = refusal(&["--input", &path(name)]);
        assert!(said.contains(name), "{said}");
        assert!(said.contains(wanted), "{name}: {said}");
    }
}

#[test]
fn a_port_in_use_is_named() {
    let taken = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let said = refusal(&["--port", &port]);
    assert!(said.contains(&format!("TCP port {port}")) && said.contains("in use"), "{said}");
}

#[test]
fn a_udp_port_in_use_is_named_too() {
    // TCP's of the same number is another process's now and then.
    let said = |_| {
        let taken = std::net::UdpSocket::bind(("127.0.0.1", 0)).unwrap();
        let port = taken.local_addr().unwrap().port().to_string();
        let said = refusal(&["--port", &port]);
        (!said.contains("TCP port")).then_some((port, said))
    };
    let (port, said) = (0..10).find_map(said).expect("a port that TCP has free");
    assert!(said.contains(&format!("UDP port {port}")) && said.contains("--port 0"), "{said}");
}

#[test]
fn of_a_folder_only_what_plays_is_told_of() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("videos");
    std::fs::create_dir(&folder).unwrap();
    video(&folder, "good.mp4", 2);
    std::fs::write(folder.join("a bad one.mp4"), "text").unwrap();
    let state = dir.path().join("state");
    let stack = Stack::start(&state, &["--input", folder.to_str().unwrap()]);
    let assets = stack.ready()["assets"].as_array().unwrap();
    assert_eq!(assets.len(), 1, "{assets:?}");
    assert_eq!(assets[0]["name"], "good");
    let said = std::fs::read_to_string(state.join("stderr")).unwrap();
    assert!(said.contains("a bad one cannot be played"), "{said}");
    assert_eq!(stack.end("-TERM"), Some(0));
}

#[test]
fn roles_are_told_whom_they_ask() {
    assert!(refusal(&["--role", "edge"]).contains("--upstream"));
    assert!(refusal(&["--role", "all", "--upstream", "http://127.0.0.1:1"]).contains("--upstream"));
    assert!(refusal(&["--role", "edge", "--upstream", "nonsense"]).contains("nonsense"));
}

#[test]
fn both_signals_drain_and_exit_0_and_the_ready_file_goes() {
    let dir = tempfile::tempdir().unwrap();
    let input = video(dir.path(), "clip.mp4", 2);
    for signal in ["-INT", "-TERM"] {
        let state = dir.path().join(signal);
        let stack = Stack::start(&state, &["--input", input.to_str().unwrap()]);
        let assets = stack.ready()["assets"].as_array().unwrap();
        assert_eq!(assets.len(), 1);
        assert_eq!(assets[0]["name"], "clip");
        assert!(stack.field("spki_sha256").len() == 44);
        assert_eq!(stack.end(signal), Some(0));
        assert!(!state.join("ready.json").exists());
    }
}

#[test]
fn without_built_pages_a_plain_one_names_the_command_that_makes_them() {
    let dir = tempfile::tempdir().unwrap();
    let input = video(dir.path(), "clip.mp4", 2);
    let stack = Stack::start(&dir.path().join("state"), &["--input", input.to_str().unwrap()]);
    let page = get(stack.field("http"), "/");
    assert!(page.starts_with("HTTP/1.1 200 "), "{page}");
    assert!(page.contains("content-type: text/html"), "{page}");
    assert!(page.contains("<code>cargo xtask demo</code>"), "{page}");
    // What it leads to is there.
    assert!(page.contains("href=/media/"), "{page}");
    let list = get(stack.field("http"), "/media/");
    assert!(list.starts_with("HTTP/1.1 200 ") && list.contains("\"clip\""), "{list}");
    assert_eq!(stack.end("-TERM"), Some(0));
}

/// What a plain HTTP/1.1 request is answered, headers and body.
fn get(base: &str, path: &str) -> String {
    let authority = base.strip_prefix("http://").unwrap();
    let mut connection = TcpStream::connect(authority).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n");
    connection.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn help_explains_every_flag() {
    let output = Command::new(binary()).arg("--help").output().unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    for flag in ["--input", "--port", "--state", "--ready", "--role", "--upstream", "--cert"] {
        assert!(text.contains(flag), "{flag}");
    }
}
