//! This program itself, as a server that is measured: see `headwater-bench serve`.

use std::ffi::OsStr;
use std::path::Path;

use super::{Server, on_the_servers_core, spawn, wait_for};
use crate::load::Result;

/// Starts this program with `serve` and more arguments; it writes its address into a file.
///
/// # Errors
/// When it does not start; the message holds its last words.
pub fn own(name: &'static str, dir: &Path, arguments: &[&OsStr]) -> Result<Server> {
    let ready = dir.join(format!("{name}.ready"));
    let mut command = on_the_servers_core(&std::env::current_exe()?);
    command.arg("serve").arg("--ready").arg(&ready).args(arguments);
    let mut process = spawn(command, dir, name)?;
    let plain = wait_for(&mut process, dir, name, || {
        std::fs::read_to_string(&ready).ok()?.trim().parse().ok()
    })?;
    // `taskset` becomes the program that it starts.
    let worker = process.id();
    Ok(Server { name, process, worker, plain, secure: plain })
}
