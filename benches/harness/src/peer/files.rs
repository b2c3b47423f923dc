//! nginx over a folder of files: `sendfile` from the page cache, the least that a server can do.

use std::net::{SocketAddr, TcpStream};
use std::path::Path;

use super::nginx::{free_port, worker_of};
use super::{Server, on_the_servers_core, spawn, wait_for};
use crate::load::{Player, Result};

/// Starts nginx with one worker on the files below `root`.
///
/// # Errors
/// When it does not start; the message holds its last words.
pub fn nginx_files(binary: &Path, dir: &Path, root: &Path) -> Result<Server> {
    let plain = free_port()?;
    let home = dir.join("nginx");
    std::fs::create_dir_all(home.join("logs"))?;
    let config = home.join("nginx.conf");
    std::fs::write(&config, configuration(&home, root, plain))?;
    let mut command = on_the_servers_core(binary);
    command.arg("-e").arg(home.join("error.log")).arg("-p").arg(&home).arg("-c").arg(&config);
    let mut process = spawn(command, dir, "nginx")?;
    let master = process.id();
    let worker = wait_for(&mut process, dir, "nginx", || {
        TcpStream::connect(plain).ok()?;
        worker_of(master)
    })?;
    Ok(Server {
        name: "nginx",
        process,
        workers: vec![worker],
        helper: None,
        player: Player::default(),
        plain,
        secure: plain,
    })
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
    default_type video/mp4;
    sendfile on;
    tcp_nodelay on;
    keepalive_timeout 300s;
    keepalive_requests 1000000000;
    keepalive_time 24h;
    open_file_cache max=10000 inactive=300s;
    open_file_cache_valid 300s;
    server {{
        listen {plain};
        location / {{ root {root}; }}
    }}
}}
",
        home = home.display(),
        root = root.display(),
    )
}
