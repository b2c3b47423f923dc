//! The listener against HTTP/3 clients that share no code with it: aioquic, libcurl with ngtcp2 (as
//! curl_cffi brings it) and ngtcp2's own client with GnuTLS.
//!
//! The Python ones need `HEADWATER_PYTHON`, an interpreter that has them (`cargo xtask test --clients`
//! makes one); `gtlsclient` is looked for on the path. The table of clients and cases is printed, and has
//! to be the one that is [`EXPECTED`], which docs/clients.md keeps, too. Where `HEADWATER_CLIENTS` is set, as
//! `cargo xtask test` does, each client has to be there; else what is not is skipped, and said. Large bodies
//! are of 1 MiB, or of 64 MiB where it is `all`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]
#![allow(clippy::print_stdout, reason = "the table is what this is for")]

mod ngtcp2;
mod python;
mod service;

use std::fmt::Write as _;

/// What each client is asked to do.
pub(crate) const CASES: [&str; 10] = [
    "get",
    "range",
    "download",
    "upload",
    "cancel",
    "0-rtt",
    "retry",
    "migration",
    "key-update",
    "version",
];

/// What comes of each case with each client: whether it can do it.
const EXPECTED: [(&str, [bool; CASES.len()]); 3] = {
    const Y: bool = true;
    const N: bool = false;
    [
        ("aioquic", [Y, Y, Y, Y, Y, Y, Y, Y, Y, Y]),
        ("curl", [Y, Y, Y, Y, Y, N, Y, N, N, N]),
        ("ngtcp2", [Y, N, Y, Y, N, Y, Y, Y, Y, Y]),
    ]
};

/// Which clients there must be, and how large bodies are.
fn asked_for() -> Option<std::ffi::OsString> {
    std::env::var_os("HEADWATER_CLIENTS").filter(|set| !set.is_empty())
}

/// The length of a large body.
pub(crate) fn large() -> usize {
    if asked_for().is_some_and(|set| set == "all") { 64 << 20 } else { 1 << 20 }
}

/// How a case ended.
pub(crate) enum Outcome {
    Passed,
    /// The client has no way to do this.
    Unable,
    Failed(String),
}

impl Outcome {
    fn word(&self) -> &'static str {
        match self {
            Self::Passed => "ok",
            Self::Unable => "-",
            Self::Failed(_) => "FAILED",
        }
    }

    /// What is wrong with it, for a client that can do it or not.
    fn wrong(&self, able: bool) -> Option<String> {
        match self {
            Self::Failed(why) => Some(why.clone()),
            Self::Unable if able => Some("it has no way to do it any more".to_owned()),
            Self::Passed if !able => Some("it can do it now: tell EXPECTED".to_owned()),
            Self::Passed | Self::Unable => None,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn independent_clients() {
    let servers = service::start();
    let mut table = format!("\n{:<10}", "");
    for case in CASES {
        let _ = write!(table, " {case:<10}");
    }
    let mut failures = Vec::new();
    let mut all = python::clients();
    all.extend(ngtcp2::client());
    for (name, expected) in EXPECTED {
        let _ = write!(table, "\n{name:<10}");
        let Some(client) = all.iter().find(|client| client.name == name) else {
            let _ = write!(table, " skipped: it is not there");
            if asked_for().is_some() {
                failures.push(format!("{name} is not there"));
            }
            continue;
        };
        for (case, able) in CASES.into_iter().zip(expected) {
            let outcome = (client.run)(case, &servers).await;
            let _ = write!(table, " {:<10}", outcome.word());
            if let Some(why) = outcome.wrong(able) {
                failures.push(format!("{name} {case}: {why}"));
            }
        }
    }
    println!("{table}\n");
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    let unknown = all.iter().find(|one| EXPECTED.iter().all(|(name, _)| *name != one.name));
    assert!(unknown.is_none(), "a client is in no table");
}

/// The table tells what is wrong both ways.
#[test]
fn who_can_no_more_what_it_could_is_told_and_so_is_who_can_more() {
    assert_eq!(Outcome::Passed.wrong(true), None);
    assert_eq!(Outcome::Unable.wrong(false), None);
    assert!(Outcome::Unable.wrong(true).unwrap().contains("no way"));
    assert!(Outcome::Passed.wrong(false).unwrap().contains("EXPECTED"));
    for able in [true, false] {
        assert_eq!(Outcome::Failed("late".to_owned()).wrong(able).as_deref(), Some("late"));
    }
}

type Running<'a> = std::pin::Pin<Box<dyn Future<Output = Outcome> + 'a>>;

/// One client.
pub(crate) struct Client {
    name: &'static str,
    #[expect(clippy::type_complexity, reason = "it is one function")]
    run: Box<dyn for<'a> Fn(&'static str, &'a service::Servers) -> Running<'a>>,
}

/// Runs a program to its end; its output when it ended well.
pub(crate) async fn output(command: &mut tokio::process::Command) -> Result<String, Outcome> {
    command.kill_on_drop(true).stdin(std::process::Stdio::null());
    let done = tokio::time::timeout(std::time::Duration::from_secs(60), command.output()).await;
    let output = match done {
        Ok(Ok(output)) => output,
        Ok(Err(error)) => return Err(Outcome::Failed(error.to_string())),
        Err(_) => return Err(Outcome::Failed("not within a minute".to_owned())),
    };
    let mut said = String::from_utf8_lossy(&output.stdout).into_owned();
    said.push_str(&String::from_utf8_lossy(&output.stderr));
    match output.status.code() {
        Some(0) => Ok(said),
        // As the scripts say it.
        Some(77) => Err(Outcome::Unable),
        code => {
            let tail: Vec<&str> = said.lines().rev().take(12).collect();
            let tail: Vec<&str> = tail.into_iter().rev().collect();
            Err(Outcome::Failed(format!("exit {code:?}\n{}", tail.join("\n"))))
        }
    }
}
