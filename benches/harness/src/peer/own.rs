//! This program itself, as a server that is measured: see `headwater-bench serve`.

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::path::Path;

use super::{Server, spawn, wait_for};
use crate::cores::on_the_first;
use crate::load::{Player, Protocol, Result};

/// Starts this program with a command that serves, and more arguments; it [tells](tell) its address
/// by a file.
///
/// # Errors
/// When it does not start; the message holds its last words.
pub fn own(serve: &str, name: &'static str, dir: &Path, arguments: &[&OsStr]) -> Result<Server> {
    let ready = dir.join(format!("{name}.ready"));
    let mut command = on_the_first(&std::env::current_exe()?);
    command.arg(serve).arg("--ready").arg(&ready).args(arguments);
    let mut process = spawn(command, dir, name)?;
    let plain = wait_for(&mut process, dir, name, || {
        std::fs::read_to_string(&ready).ok()?.trim().parse().ok()
    })?;
    // `taskset` becomes the program that it starts.
    let worker = process.id();
    Ok(Server {
        name,
        process,
        workers: vec![worker],
        helper: None,
        player: Player::default(),
        protocols: &[Protocol::H1],
        plain,
        secure: plain,
    })
}

/// Says that requests can come, and where. A whole line at once: who waits must not read half an
/// address.
///
/// # Errors
/// When the file cannot be written.
pub fn tell(ready: &Path, addr: SocketAddr) -> Result<()> {
    let partial = ready.with_extension("partial");
    std::fs::write(&partial, addr.to_string())?;
    Ok(std::fs::rename(partial, ready)?)
}
