//! `cargo xtask h2spec`: the public conformance suite of HTTP/2 (RFC 9113, RFC 7541) against the
//! reference stack, or against any server.
//!
//! The suite is a Go program, fetched through Go's module proxy at the versions that
//! `xtask/h2spec/go.mod` pins and `go.sum` proves, and built once into the cache folder. Without
//! `--strict` it leaves one case out, so it runs twice: strictly first, then as it is.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use crate::cli::{Failure, Flag, Given, Outcome, Spec};
use crate::golang::Module;
use crate::places::Places;
use crate::running::Running;
use crate::setup::{self, Group};
use crate::stack::{self, Profile};
use crate::{claim, process, ui};

pub(crate) static SPEC: Spec = Spec {
    name: "h2spec",
    summary: "Run the conformance suite of HTTP/2 against the stack or any server",
    usage: "h2spec [OPTIONS]",
    about: "Builds the suite, starts the reference stack's edge and runs every case over TLS: \
            first with --strict, then without. Exits 1 when a case fails; its report is then \
            printed whole.",
    names: &[],
    flags: &[Flag {
        name: "--server",
        value: Some("HOST:PORT"),
        help: "Test this server, over TLS and whatever its certificate, and not the stack",
    }],
};

static SUITE: Module = Module {
    name: "h2spec",
    what: "the conformance suite of HTTP/2",
    pins: [
        ("go.mod", include_str!("../h2spec/go.mod")),
        ("go.sum", include_str!("../h2spec/go.sum")),
        ("tools.go", include_str!("../h2spec/tools.go")),
    ],
    programs: &["github.com/summerwind/h2spec/cmd/h2spec"],
};

/// Cases that the suite has, and those of them that it runs where it is not strict, too: a run of fewer has left
/// some out.
const STRICT_CASES: u32 = 146;
const CASES: u32 = 145;
/// How long the stack may take to answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// `cargo xtask h2spec`.
pub(crate) fn main(places: &Places, given: &Given) -> Outcome {
    if let Some(server) = given.all("--server").last() {
        let server = server.to_string_lossy();
        let suite = suite(places)?;
        ui::line(&test(&suite, &server, None)?);
        return Ok(());
    }
    claim::target(places)?;
    setup::ensure(places, &[Group::Build])?;
    against_stack(places)
}

/// The suite against an edge of the stack that the tests have built.
pub(crate) fn against_stack(places: &Places) -> Outcome {
    let suite = suite(places)?;
    let stack = stack::build(places, Profile::Tests, "reference-stack")?;
    let state = places.target.join("tmp/h2spec");
    if state.exists() {
        fs::remove_dir_all(&state).map_err(|error| Failure::file("clear", &state, &error))?;
    }
    let mut command = Command::new(stack);
    let origin = slow_origin()
        .map_err(|error| Failure::new(format!("cannot listen on loopback: {error}")))?;
    command.args(["--role", "edge", "--upstream", &origin, "--port", "0"]);
    command.args(["--bind", "127.0.0.1", "--state"]).arg(&state);
    let edge = Running::start("the edge", &mut command, state.join("ready.json"), PATIENCE)?;
    let server = edge.text("base")?.trim_start_matches("https://").to_owned();
    let line = test(&suite, &server, Some("/media/h2spec"))?;
    edge.end("-TERM")?;
    // The last line is the suite's own.
    ui::line(&line);
    Ok(())
}

/// An origin that takes its time. Some cases break a rule on a stream after they have asked for
/// something there: an answer that is complete by then leaves nothing to break.
pub(crate) fn slow_origin() -> io::Result<String> {
    const DELAY: Duration = Duration::from_millis(20);
    const BODY: usize = 64 << 10;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let url = format!("http://{}", listener.local_addr()?);
    // Ends with the program.
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            thread::spawn(move || {
                let mut asked = [0; 4096];
                let read = stream.read(&mut asked);
                if read.is_ok_and(|read| read > 0) {
                    thread::sleep(DELAY);
                    let head = format!(
                        "HTTP/1.1 200 OK\r\nContent-Length: {BODY}\r\nCache-Control: no-store\r\n\
                         Connection: close\r\n\r\n"
                    );
                    let _ = stream.write_all(head.as_bytes());
                    let _ = stream.write_all(&vec![b'x'; BODY]);
                }
            });
        }
    });
    Ok(url)
}

/// Both runs of the suite; gives what the second, which is not strict, said at its end.
fn test(suite: &Path, server: &str, path: Option<&str>) -> Outcome<String> {
    let (host, port) = server
        .rsplit_once(':')
        .filter(|(_, port)| port.parse::<u16>().is_ok())
        .ok_or_else(|| Failure::new(format!("'{server}' is no HOST:PORT")))?;
    let mut last = String::new();
    for (name, strict, cases) in [("strict", true, STRICT_CASES), ("plain", false, CASES)] {
        let mut command = Command::new(suite);
        let host = host.trim_matches(['[', ']']);
        command.args(["--host", host, "--port", port, "--tls", "--insecure"]);
        if let Some(path) = path {
            command.args(["--path", path]);
        }
        if strict {
            command.arg("--strict");
        }
        let report = process::both(&mut command)?;
        match verdict(&report, cases).filter(|verdict| verdict.passed) {
            Some(verdict) if strict => ui::line(&format!("strict: {}", verdict.line)),
            Some(verdict) => last = verdict.line,
            None => {
                ui::line(&report);
                return Err(Failure::new(format!("h2spec's {name} run failed: see above")));
            }
        }
    }
    Ok(last)
}

/// The last word of a run.
struct Verdict {
    line: String,
    passed: bool,
}

/// Reads `146 tests, 146 passed, 0 skipped, 0 failed`.
fn verdict(report: &str, cases: u32) -> Option<Verdict> {
    let line = report.lines().rev().find(|line| line.contains(" tests, "))?.trim();
    let count = |what: &str| {
        let part = line.split(", ").find_map(|part| part.trim().strip_suffix(what))?;
        part.trim().parse::<u32>().ok()
    };
    let passed = count("tests")? >= cases
        && count("tests") == count("passed")
        && count("skipped") == Some(0)
        && count("failed") == Some(0);
    Some(Verdict { line: line.to_owned(), passed })
}

/// The suite's program, built where it is not there.
fn suite(places: &Places) -> Outcome<PathBuf> {
    Ok(SUITE.build(places)?.join("h2spec"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_run_in_which_every_case_passed_is_one() {
        let of = |cases, report| verdict(report, cases).is_some_and(|verdict| verdict.passed);
        let passed = |report| of(STRICT_CASES, report);
        assert!(passed("x\n\nFinished\n146 tests, 146 passed, 0 skipped, 0 failed\n"));
        assert!(!passed("146 tests, 145 passed, 1 skipped, 0 failed"));
        assert!(!passed("146 tests, 145 passed, 0 skipped, 1 failed"));
        assert!(passed("147 tests, 147 passed, 0 skipped, 0 failed"));
        assert!(!passed("145 tests, 145 passed, 0 skipped, 0 failed"));
        assert!(of(CASES, "145 tests, 145 passed, 0 skipped, 0 failed"));
        assert!(!of(CASES, "144 tests, 144 passed, 0 skipped, 0 failed"));
        assert!(!passed("0 tests, 0 passed, 0 skipped, 0 failed"));
        assert!(!passed("Error: connection refused"));
    }
}
