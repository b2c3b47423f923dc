//! The listener against HTTP/3 clients that share no code with it: aioquic, libcurl with ngtcp2 (as
//! curl_cffi brings it) and ngtcp2's own client with GnuTLS.
//!
//! The Python ones need `HEADWATER_PYTHON`, an interpreter that has them (`cargo xtask test --clients`
//! makes one); `gtlsclient` is looked for on the path. What is not there is skipped and said. The
//! table of clients and cases is printed; docs/clients.md keeps it. Large bodies are of 1 MiB, or of
//! 64 MiB where `HEADWATER_CLIENTS` is `all`.
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

/// The length of a large body.
pub(crate) fn large() -> usize {
    let all = std::env::var_os("HEADWATER_CLIENTS").is_some_and(|set| set == "all");
    if all { 64 << 20 } else { 1 << 20 }
}

/// How a case ended.
pub(crate) enum Outcome {
    Passed,
    /// The client has no way to do this.
    Unable,
    Failed(String),
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
    if all.is_empty() {
        println!("skipped: neither HEADWATER_PYTHON nor gtlsclient is there");
        return;
    }
    for client in all {
        let _ = write!(table, "\n{:<10}", client.name);
        for case in CASES {
            let outcome = (client.run)(case, &servers).await;
            let word = match outcome {
                Outcome::Passed => "ok",
                Outcome::Unable => "-",
                Outcome::Failed(why) => {
                    failures.push(format!("{} {case}: {why}", client.name));
                    "FAILED"
                }
            };
            let _ = write!(table, " {word:<10}");
        }
    }
    println!("{table}\n");
    assert!(failures.is_empty(), "{}", failures.join("\n"));
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
