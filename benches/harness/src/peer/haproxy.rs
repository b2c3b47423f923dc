//! Debian's HAProxy with its small-object cache, in memory, over HTTP/1.1 in the clear.

use std::net::{SocketAddr, TcpStream};
use std::path::Path;

use super::nginx::free_port;
use super::{Server, Setting, spawn, wait_for};
use crate::cores::on_the_first;
use crate::load::{Player, Protocol, Result};

/// Starts HAProxy with one thread.
///
/// # Errors
/// When it does not start; the message holds its last words.
pub fn haproxy(binary: &Path, setting: &Setting) -> Result<Server> {
    let plain = free_port()?;
    let config = setting.dir.join("haproxy.cfg");
    std::fs::write(&config, configuration(setting, plain))?;
    let mut command = on_the_first(binary);
    command.arg("-db").arg("-f").arg(&config);
    let mut process = spawn(command, &setting.dir, "haproxy")?;
    // `taskset` becomes the program that it starts.
    let worker = process.id();
    wait_for(&mut process, &setting.dir, "haproxy", || TcpStream::connect(plain).ok())?;
    let workers = vec![worker];
    Ok(Server {
        name: "haproxy",
        process,
        workers,
        helper: None,
        player: Player::default(),
        protocols: &[Protocol::H1],
        plain,
        secure: plain,
    })
}

/// Its log goes to its standard output, which is a file.
fn configuration(setting: &Setting, plain: SocketAddr) -> String {
    let (global, front) = if setting.log {
        ("log stdout format raw local0 info", "log global\n    option httplog")
    } else {
        ("", "")
    };
    format!(
        "global
    nbthread 1
    maxconn 8192
    {global}
defaults
    mode http
    timeout client 300s
    timeout server 30s
    timeout connect 5s
cache objects
    total-max-size 256
    max-object-size 2097152
    max-age 86400
frontend edge
    bind {plain}
    {front}
    http-request cache-use objects
    http-response cache-store objects
    default_backend origin
backend origin
    server origin {origin}
",
        origin = setting.origin,
    )
}
