//! Debian's Varnish, which keeps objects in memory and speaks HTTP/1.1 in the clear.

use std::net::TcpStream;
use std::path::Path;
use std::process::Command;

use super::nginx::free_port;
use super::{Server, Setting, spawn, wait_for};
use crate::cores::on_the_first;
use crate::load::{Player, Protocol, Result};

/// Starts Varnish. Where requests are logged, `varnishncsa` writes the file, and what that takes
/// counts as well.
///
/// # Errors
/// When it does not start; the message holds its last words.
pub fn varnish(binary: &Path, setting: &Setting) -> Result<Server> {
    let plain = free_port()?;
    let home = setting.dir.join("varnish");
    std::fs::create_dir_all(&home)?;
    let vcl = home.join("edge.vcl");
    let origin = setting.origin;
    let text = format!(
        "vcl 4.1;\nbackend default {{ .host = \"{}\"; .port = \"{}\"; }}\n",
        origin.ip(),
        origin.port()
    );
    std::fs::write(&vcl, text)?;
    let mut command = on_the_first(binary);
    command
        .args(["-F", "-j", "none", "-s", "malloc,512m", "-p", "thread_pools=1"])
        .args(["-p", "timeout_idle=300"])
        .arg("-n")
        .arg(home.join("work"))
        .arg("-a")
        .arg(plain.to_string())
        .arg("-f")
        .arg(&vcl);
    let mut process = spawn(command, &setting.dir, "varnish")?;
    let manager = process.id();
    let worker = wait_for(&mut process, &setting.dir, "varnish", || {
        TcpStream::connect(plain).ok()?;
        crate::cpu::children(manager).ok()?.first().copied()
    })?;
    let mut server = Server {
        name: "varnish",
        process,
        workers: vec![worker],
        helper: None,
        player: Player::default(),
        protocols: &[Protocol::H1],
        plain,
        secure: plain,
    };
    if setting.log {
        let mut log = on_the_first(&binary.with_file_name("varnishncsa"));
        if !binary.with_file_name("varnishncsa").is_file() {
            log = Command::new("varnishncsa");
        }
        log.arg("-n").arg(home.join("work")).arg("-w").arg(home.join("access.log"));
        let helper = spawn(log, &setting.dir, "varnishncsa")?;
        server.workers.push(helper.id());
        server.helper = Some(helper);
    }
    Ok(server)
}
