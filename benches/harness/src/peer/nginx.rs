//! nginx, tuned for a cache of hot objects: `sendfile`, `open_file_cache`, `quic_gso`.
//!
//! Left at its default is what costs it CPU here, measured one by one: `tcp_nopush on` (64 KiB over
//! plain HTTP/1.1 took 33 CPU-µs instead of 21, and waited for delayed acknowledgements) and a
//! larger `http3_stream_buffer_size` (1 MiB over HTTP/3 took 2,240 instead of 1,090).

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;

use super::{Server, Setting, spawn, wait_for};
use crate::cores::on_the_first;
use crate::load::{Player, Protocol, Result};

/// Starts nginx with one worker.
///
/// # Errors
/// When it does not start; the message holds its last words.
pub fn nginx(binary: &Path, setting: &Setting) -> Result<Server> {
    cache(binary, setting, &More::default())
}

/// What one has beside its cache, each part with the blanks of its block.
#[derive(Default)]
pub(super) struct More {
    /// Outside all blocks.
    pub(super) main: &'static str,
    /// In `http`.
    pub(super) http: String,
    /// In the `location` that is cached.
    pub(super) location: String,
}

/// Starts a cache with more in its configuration.
///
/// # Errors
/// As [`nginx`].
pub(super) fn cache(binary: &Path, setting: &Setting, more: &More) -> Result<Server> {
    let (plain, secure) = (free_port()?, free_port()?);
    std::fs::create_dir_all(setting.dir.join("nginx/cache"))?;
    let of_home = |home: &Path| configuration(setting, more, home, plain, secure);
    start(binary, &setting.dir, of_home, (plain, secure))
}

/// Starts one with the configuration that it is given for its folder, and waits until it takes connections
/// at the second of its addresses.
pub(super) fn start(
    binary: &Path,
    dir: &Path,
    configuration: impl FnOnce(&Path) -> String,
    (plain, secure): (SocketAddr, SocketAddr),
) -> Result<Server> {
    let home = dir.join("nginx");
    std::fs::create_dir_all(home.join("logs"))?;
    let config = home.join("nginx.conf");
    std::fs::write(&config, configuration(&home))?;
    let mut command = on_the_first(binary);
    command.arg("-e").arg(home.join("error.log")).arg("-p").arg(&home).arg("-c").arg(&config);
    let mut process = spawn(command, dir, "nginx")?;
    let master = process.id();
    let worker = wait_for(&mut process, dir, "nginx", || {
        TcpStream::connect(secure).ok()?;
        worker_of(master)
    })?;
    Ok(Server {
        name: "nginx",
        process,
        workers: vec![worker],
        helper: None,
        player: Player::default(),
        protocols: &Protocol::ALL,
        plain,
        secure,
    })
}

/// The worker of an nginx, once there is one.
fn worker_of(master: u32) -> Option<u32> {
    let children = crate::cpu::children(master).ok()?;
    children.into_iter().find(|pid| {
        std::fs::read_to_string(format!("/proc/{pid}/cmdline"))
            .is_ok_and(|line| line.starts_with("nginx: worker process"))
    })
}

/// A port of the loopback that neither TCP nor UDP uses; nginx cannot pick one itself.
pub(super) fn free_port() -> Result<SocketAddr> {
    for _ in 0..50 {
        let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let addr = tcp.local_addr()?;
        if UdpSocket::bind(addr).is_ok() {
            return Ok(addr);
        }
    }
    Err("no port is free for both TCP and UDP".into())
}

/// What all of them have in `http`, whatever they serve.
pub(super) const TUNED: &str = "    default_type video/mp4;
    sendfile on;
    tcp_nodelay on;
    keepalive_timeout 300s;
    keepalive_requests 1000000000;
    keepalive_time 24h;
    open_file_cache max=10000 inactive=300s;
    open_file_cache_valid 300s;
";

/// What those that cache have in `http` besides: the cache itself, and TLS.
pub(super) fn caching(setting: &Setting, home: &Path) -> String {
    format!(
        "    proxy_cache_path {home}/cache levels=1:2 keys_zone=objects:16m max_size=2g inactive=1d use_temp_path=off;
    ssl_certificate {certificate};
    ssl_certificate_key {key};
    ssl_protocols TLSv1.3;
    ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256;
    ssl_buffer_size 16k;
    ssl_session_cache shared:tls:10m;
    http2_max_concurrent_streams 256;
",
        home = home.display(),
        certificate = setting.certificate.display(),
        key = setting.key.display(),
    )
}

fn configuration(
    setting: &Setting,
    more: &More,
    home: &Path,
    plain: SocketAddr,
    secure: SocketAddr,
) -> String {
    let log = if setting.log {
        format!("access_log {}/access.log combined buffer=64k flush=1s;", home.display())
    } else {
        "access_log off;".to_owned()
    };
    format!(
        r#"user root root;
worker_processes 1;
daemon off;
pid {home}/nginx.pid;
error_log {home}/error.log error;
{main}events {{ worker_connections 4096; }}
http {{
    {log}
{TUNED}{cache}    quic_gso on;
{http}    server {{
        listen {plain};
        listen {secure} ssl;
        listen {secure} quic reuseport;
        http2 on;
        location / {{
            proxy_pass http://{origin};
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_cache objects;
            proxy_cache_lock on;
            proxy_cache_valid 200 1d;
            add_header Alt-Svc 'h3=":{port}"; ma=86400';
            add_header Cache-Status $upstream_cache_status;
{location}        }}
    }}
}}
"#,
        main = more.main,
        http = more.http,
        location = more.location,
        home = home.display(),
        cache = caching(setting, home),
        origin = setting.origin,
        port = secure.port(),
    )
}
