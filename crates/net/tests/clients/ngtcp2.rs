//! ngtcp2's example client with GnuTLS, as Debian packages it.

use std::path::Path;
use std::process::Stdio;

use tokio::process::Command;

use crate::service::{Servers, pattern};
use crate::{Client, Outcome, large, output};

/// What takes longer than it takes until the client moves or changes keys.
const MOVING: usize = 32 << 20;

/// The client, where it is installed.
pub(crate) fn client() -> Option<Client> {
    let there = std::process::Command::new("gtlsclient")
        .arg("--help")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok();
    there.then(|| Client {
        name: "ngtcp2",
        run: Box::new(|case, servers| Box::pin(run(case, servers))),
    })
}

async fn run(case: &str, servers: &Servers) -> Outcome {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let port = servers.port(case);
    let result = match case {
        "get" => fetch(port, folder, &[], 1000).await.map(drop),
        "download" => fetch(port, folder, &[], large()).await.map(drop),
        "upload" => upload(port, folder).await,
        "0-rtt" => early(port, folder).await,
        "retry" => fetch(port, folder, &[], 1000).await.and_then(|log| said(&log, "type=Retry")),
        "migration" => fetch(port, folder, &["--change-local-addr=20ms"], MOVING)
            .await
            .and_then(|log| said(&log, "PATH_CHALLENGE")),
        "key-update" => fetch(port, folder, &["--key-update=20ms"], MOVING)
            .await
            .and_then(|log| said(&log, "key update")),
        "version" => {
            fetch(port, folder, &["--version=0x1a2a3a4a", "--preferred-versions=v1"], 1000)
                .await
                .and_then(|log| said(&log, "type=VN"))
        }
        _ => Err(Outcome::Unable),
    };
    match result {
        Ok(()) => Outcome::Passed,
        Err(outcome) => outcome,
    }
}

fn said(log: &str, what: &str) -> Result<(), Outcome> {
    if log.contains(what) {
        return Ok(());
    }
    Err(Outcome::Failed(format!("it worked, but its log says nothing of {what}")))
}

fn command(port: u16, path: &str, folder: &Path, options: &[&str]) -> Command {
    let mut command = Command::new("gtlsclient");
    command.args(["--no-quic-dump", "--no-http-dump", "--exit-on-all-streams-close"]);
    command.args(["--sni=localhost", "--timeout=60s"]).args(options);
    command.arg(format!("--download={}", folder.display()));
    command.args(["127.0.0.1", &port.to_string()]).arg(format!("https://localhost:{port}{path}"));
    command
}

async fn fetch(port: u16, folder: &Path, options: &[&str], len: usize) -> Result<String, Outcome> {
    let log = output(&mut command(port, &format!("/bytes/{len}"), folder, options)).await?;
    let came = std::fs::read(folder.join(len.to_string())).unwrap_or_default();
    if came == pattern(len) {
        return Ok(log);
    }
    Err(Outcome::Failed(format!("{} bytes came, of {len}, or others", came.len())))
}

async fn upload(port: u16, folder: &Path) -> Result<(), Outcome> {
    let file = folder.join("body");
    std::fs::write(&file, pattern(large())).unwrap();
    let data = format!("--data={}", file.display());
    output(&mut command(port, "/upload", folder, &["--http-method=POST", &data, "--quiet"]))
        .await?;
    is(folder, "upload", &format!("{} true", large()))
}

async fn early(port: u16, folder: &Path) -> Result<(), Outcome> {
    let session = format!("--session-file={}", folder.join("session").display());
    let parameters = format!("--tp-file={}", folder.join("parameters").display());
    let options = [&*session, &*parameters];
    output(&mut command(port, "/early", folder, &options)).await?;
    is(folder, "early", "early=false")?;
    output(&mut command(port, "/early", folder, &options)).await?;
    is(folder, "early", "early=true")
}

fn is(folder: &Path, file: &str, expected: &str) -> Result<(), Outcome> {
    let came = std::fs::read_to_string(folder.join(file)).unwrap_or_default();
    if came == expected {
        return Ok(());
    }
    Err(Outcome::Failed(format!("{came:?}, not {expected:?}")))
}
