//! nginx over a folder of files: `sendfile` from the page cache, the least that a server can do.

use std::net::SocketAddr;
use std::path::Path;

use super::Server;
use super::nginx::{self, TUNED, free_port};
use crate::load::Result;

/// Starts nginx with one worker on the files below `root`.
///
/// # Errors
/// When it does not start; the message holds its last words.
pub fn nginx_files(binary: &Path, dir: &Path, root: &Path) -> Result<Server> {
    let plain = free_port()?;
    let of_home = |home: &Path| configuration(home, root, plain);
    nginx::start(binary, dir, of_home, (plain, plain))
}

fn configuration(home: &Path, root: &Path, plain: SocketAddr) -> String {
    format!(
        r"user root root;
worker_processes 1;
daemon off;
pid {home}/nginx.pid;
error_log {home}/error.log error;
events {{ worker_connections 4096; }}
http {{
    access_log off;
{TUNED}    server {{
        listen {plain};
        location / {{ root {root}; }}
    }}
}}
",
        home = home.display(),
        root = root.display(),
    )
}
