//! Ours: the reference stack as an edge, with the layers that it has without any flag.

use std::net::SocketAddr;
use std::path::Path;

use super::{Server, Setting, Tier, spawn, wait_for};
use crate::cores::on_the_first;
use crate::load::{Player, Protocol, Result};

/// Starts the reference stack's edge with one worker.
///
/// # Errors
/// When it does not start; the message holds its last words.
pub fn headwater(binary: &Path, setting: &Setting) -> Result<Server> {
    let home = setting.dir.join("headwater");
    std::fs::create_dir_all(&home)?;
    let ready = home.join("ready.json");
    let mut command = on_the_first(binary);
    command
        .args(["--role", "edge", "--port", "0", "--workers", "1", "--bind", "127.0.0.1"])
        .arg("--upstream")
        .arg(format!("http://{}", setting.origin))
        .arg("--state")
        .arg(&home)
        .arg("--ready")
        .arg(&ready)
        .arg("--cert")
        .arg(&setting.certificate)
        .arg("--key")
        .arg(&setting.key);
    if setting.tier == Tier::Disk {
        command.args(["--cache-mib", "0", "--cache-dir"]).arg(home.join("cache"));
    }
    if setting.log {
        command.arg("--access-log").arg(home.join("access.log"));
    }
    let mut process = spawn(command, &setting.dir, "headwater")?;
    let (worker, plain, secure) = wait_for(&mut process, &setting.dir, "headwater", || {
        let text = std::fs::read(&ready).ok()?;
        let ready: serde_json::Value = serde_json::from_slice(&text).ok()?;
        let worker = u32::try_from(ready["pid"].as_u64()?).ok()?;
        Some((worker, authority(&ready["http"])?, authority(&ready["base"])?))
    })?;
    let workers = vec![worker];
    Ok(Server {
        name: "headwater",
        process,
        workers,
        helper: None,
        player: Player::default(),
        protocols: &Protocol::ALL,
        plain,
        secure,
    })
}

/// The address in a base URL.
fn authority(url: &serde_json::Value) -> Option<SocketAddr> {
    url.as_str()?.split_once("://")?.1.trim_end_matches('/').parse().ok()
}
