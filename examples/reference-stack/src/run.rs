//! From the command line to a stack that answers, and from a signal to its end.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use headwater_edge::operator::Operator;
use headwater_net::Secret;
use headwater_net::server::{End, Process, QuicConfig, ServerBuilder, ServerHandle, Tls};
use prometheus_client::registry::Registry;

use crate::clients::Lists;
use crate::inputs::Inputs;
use crate::pages::Pages;
use crate::ready::{Ready, ReadyAsset};
use crate::traces::Traces;
use crate::upkeep::Upkeep;
use crate::{Args, Error, Role, banner, certificates, roles};

/// Runs the stack until SIGINT or SIGTERM, and drains it.
///
/// # Errors
/// Whatever keeps the stack from starting; [`Error::Stopped`] when a signal came first.
pub fn run(args: &Args) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Error::Threads)?;
    runtime.block_on(start(args))
}

async fn start(args: &Args) -> Result<(), Error> {
    check_upstreams(args)?;
    let state = state_folder(args)?;
    let mut process = Process::start(&state, args.hand_over_socket.as_deref()).await?;
    let ports = Ports::of(args)?;
    let addresses = Addresses::of(args, &ports, &process)?;
    let tls = certificates::all(args, &state)?;
    let own_certificate = args.cert.is_none() && args.acme.is_none();

    let mut registry = Registry::default();
    let viewers = args.role.has_viewers().then(|| args.viewers.attend(&mut registry));
    let mut viewers = viewers.transpose()?;
    let mut lists = Lists::default();
    if let Some(attended) = &mut viewers {
        (attended.edge, lists) = args.clients.guard(attended.edge.clone())?;
    }
    let (packager, names) = if args.role.packages() {
        let inputs = Inputs::open(&args.input, &state, process.asked_to_end()).await?;
        (Some(inputs.packager), inputs.playable)
    } else {
        (None, Vec::new())
    };

    let server = addresses.main(process.server("main"), args, tls.clone());
    let spki = tls.spki_sha256_base64();
    let pages = Pages::load(&args.web)
        .map_err(|source| Error::Folder { path: args.web.clone(), source })?;
    let mut traces = Traces::new(args.trace.clone());
    let running =
        roles::serve(args, server, packager, viewers, &mut registry, pages.clone(), &mut traces)?;
    headwater_edge::metrics::register_server(running.server.metrics(), &mut registry);
    if let Some(https) = running.server.https_addrs().first() {
        pages.tell(&banner::stack_json(own_certificate, *https, &spki));
    }
    let token = args.operator_token.as_deref().map(token).transpose()?;
    let mut operator = Operator::new(registry, running.caches.clone(), token);
    let mut prefix = "";
    if let Some(edge) = &running.edge {
        operator = operator.with_log(edge.log.clone());
        if let Some(sessions) = &edge.sessions {
            operator = operator.with_sessions(sessions.clone());
        }
        prefix = &edge.prefix;
    }
    let asked = process.server("operator").http(&addresses.operator[..]).workers(1);
    let told = operator.clone();
    let asked = asked.serve(move |_| operator.clone())?;

    let facts = describe(&running.server, &asked, spki, &names, prefix);
    let caches = running.caches.clone();
    let log_file = running.edge.as_ref().and_then(|edge| edge.log_file.clone());
    let upkeep = Upkeep { tls, caches, log_file, lists };
    process.begin(&upkeep).await?;
    let written = args.ready.as_ref().map_or(Ok(()), |path| {
        facts.write(path).map_err(|source| Error::File { path: path.clone(), source })
    });
    match written {
        // Who took over from another process is the only one that serves now.
        Err(failed) if process.takes_over() => crate::say(&failed.to_string()),
        written => written?,
    }
    banner::print(&facts, own_certificate, args);
    let servers = [&running.server, &asked];
    let status = format!("serving at {}", facts.base);
    let end = process.run(&servers, &upkeep, &status).await;
    let drain = Duration::from_secs(args.drain);
    if end == End::Asked {
        told.leave(drain);
        process.drain(end, &servers[..1], drain, &upkeep).await;
    } else {
        // The operator's port is another process's already, and the service goes on.
        let within = Duration::from_secs(args.hand_over_drain);
        tokio::join!(process.drain(end, &servers[..1], within, &upkeep), asked.drain(drain));
    }
    asked.drain(Duration::from_millis(200)).await;
    running.caches.close().await;
    if let Some(edge) = running.edge {
        edge.log_writer.finish();
    }
    traces.finish().await;
    // That of the process that took over says more.
    if let Some(path) = args.ready.as_ref().filter(|_| end == End::Asked) {
        let _ = std::fs::remove_file(path);
    }
    Ok(())
}

/// The operator's token: what a file holds, without space around it.
fn token(path: &Path) -> Result<Secret, Error> {
    let text =
        std::fs::read(path).map_err(|source| Error::File { path: path.to_owned(), source })?;
    match text.trim_ascii() {
        [] => Err(Error::Usage(format!("the file {} holds no token", path.display()))),
        token => Ok(Secret::new(token)),
    }
}

fn describe(
    running: &ServerHandle,
    operator: &ServerHandle,
    spki_sha256: String,
    names: &[Arc<str>],
    prefix: &str,
) -> Ready {
    let url = |scheme, addrs: &[SocketAddr]| {
        addrs.first().map_or_else(String::new, |addr| format!("{scheme}://{addr}"))
    };
    let base = url("https", running.https_addrs());
    let asset = |name: &Arc<str>| {
        let encoded = headwater_packager::assets::encode_name(name);
        ReadyAsset {
            name: name.to_string(),
            player: format!("{base}/watch?asset={encoded}"),
            hls: format!("{base}{prefix}/media/{encoded}/main.m3u8"),
            dash: format!("{base}{prefix}/media/{encoded}/manifest.mpd"),
        }
    };
    let assets = names.iter().map(asset).collect();
    Ready {
        pid: std::process::id(),
        assets,
        spki_sha256,
        http: url("http", running.http_addrs()),
        metrics: format!("{}/metrics", url("http", operator.http_addrs())),
        base,
    }
}

/// Where this user's programs keep what should outlive a run.
fn state_folder(args: &Args) -> Result<PathBuf, Error> {
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/state"));
    let own = || {
        std::env::var_os("XDG_STATE_HOME")
            .map(PathBuf::from)
            .filter(|folder| folder.is_absolute())
            .or_else(home)
            .map(|folder| folder.join("headwater"))
    };
    let folder = args
        .state
        .clone()
        .or_else(own)
        .ok_or_else(|| Error::Usage("there is no home folder: give --state DIR".into()))?;
    std::fs::create_dir_all(&folder)
        .map_err(|source| Error::Folder { path: folder.clone(), source })?;
    Ok(folder)
}

/// The three ports of one stack.
struct Ports {
    https: u16,
    http: u16,
    operator: u16,
}

impl Ports {
    fn of(args: &Args) -> Result<Self, Error> {
        let https = args.port;
        if https == 0 {
            return Ok(Self { https, http: 0, operator: 0 });
        }
        let after = |n| {
            https.checked_add(n).ok_or_else(|| {
                Error::Usage(
                    "--port must be at most 65533: the next two ports are used as well".into(),
                )
            })
        };
        Ok(Self { https, http: after(1)?, operator: after(2)? })
    }
}

/// The addresses to listen on.
struct Addresses {
    https: Vec<SocketAddr>,
    http: Vec<SocketAddr>,
    operator: Vec<SocketAddr>,
}

impl Addresses {
    /// Those of the supervisor's sockets called `https`, `http` and `operator`, and otherwise those of
    /// the command line.
    ///
    /// Also looks whether the ports are free: a demo video takes a minute to make, and a port in
    /// use should be told of before that. Those of a process that is taken over from are, and so are
    /// those that a supervisor has opened.
    fn of(args: &Args, ports: &Ports, process: &Process) -> Result<Self, Error> {
        let mut hosts = args.bind.clone();
        if hosts.is_empty() {
            hosts.push(Ipv4Addr::LOCALHOST.into());
            if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok() {
                hosts.push(Ipv6Addr::LOCALHOST.into());
            }
        }
        let on = |port: u16| hosts.iter().map(move |&host| SocketAddr::new(host, port)).collect();
        let operator = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), ports.operator);
        let mut addresses =
            Self { https: on(ports.https), http: on(ports.http), operator: vec![operator] };
        if let Some(activation) = process.activation() {
            for (name, addrs) in [
                ("https", &mut addresses.https),
                ("http", &mut addresses.http),
                ("operator", &mut addresses.operator),
            ] {
                let opened = activation.addrs(name);
                if !opened.is_empty() {
                    *addrs = opened;
                }
            }
        } else if !process.takes_over() {
            let Self { https, http, operator } = &addresses;
            for addr in https.iter().chain(http).chain(operator) {
                look("TCP", *addr, TcpListener::bind(addr).map(drop))?;
            }
            for addr in https {
                look("UDP", *addr, UdpSocket::bind(addr).map(drop))?;
            }
        }
        Ok(addresses)
    }

    fn main(&self, server: ServerBuilder, args: &Args, tls: Tls) -> ServerBuilder {
        let mut quic = QuicConfig::default();
        // A packager and a shield do nothing twice that they should not either.
        quic.early_data = !args.no_early_data;
        let mut server = server.https(&self.https[..]).http(&self.http[..]).tls(tls).quic(quic);
        server = server.extended_connect(args.app.is_some());
        if let Some(workers) = args.workers {
            server = server.workers(workers.into());
        }
        if let Some(path) = &args.socket {
            server = server.unix(path);
        }
        if let Some(proxies) = &args.forwarded_by {
            server = server.forwarded_by(proxies.clone()).forwarded_field(args.forwarded_field);
        }
        if let Some(balancers) = &args.proxy_protocol_from {
            server = server.proxy_protocol_from(balancers.clone());
        }
        server
    }
}

/// Only a port that is taken is told of here; what else is wrong, the server says better.
fn look(transport: &str, addr: SocketAddr, bound: io::Result<()>) -> Result<(), Error> {
    match bound {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(Error::Usage(format!(
            "{transport} port {} of {} is already in use; --port N chooses another, --port 0 a \
             free one",
            addr.port(),
            addr.ip()
        ))),
        _ => Ok(()),
    }
}

/// Roles that ask others need to be told whom, and the others have nobody to ask.
fn check_upstreams(args: &Args) -> Result<(), Error> {
    if args.known_as.is_some() && args.role != Role::Shield {
        return Err(Error::Usage("--peer and --known-as are for --role shield".into()));
    }
    if args.edges.is_some() && args.role != Role::Shield {
        return Err(Error::Usage("--edges is for --role shield".into()));
    }
    if args.app.is_some() && !args.role.has_viewers() {
        return Err(Error::Usage("--app is for --role all and --role edge".into()));
    }
    match (args.role, args.upstream.len()) {
        (Role::Edge | Role::Shield, 1..) | (Role::All | Role::Packager, 0) => Ok(()),
        (Role::Edge, 0) => Err(Error::Usage("--role edge needs --upstream, its shield".into())),
        (Role::Shield, _) => {
            Err(Error::Usage("--role shield needs at least one --upstream".into()))
        }
        (Role::All | Role::Packager, _) => {
            Err(Error::Usage("--upstream is for --role edge and --role shield".into()))
        }
    }
}
