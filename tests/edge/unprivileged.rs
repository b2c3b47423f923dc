//! Port 443 without root: by the one capability that lets a process bind it, and not without.

use std::fs::{self, Permissions};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::{Command, Stdio};

use crate::process::{Edge, Files, Origin, get_https};

/// The user that owns nothing.
const NOBODY: &str = "65534";

/// An address of this test alone, whose port 443 is free and only root's; else why there is none.
fn low_port() -> Result<SocketAddr, &'static str> {
    let [.., one, two] = std::process::id().to_be_bytes();
    let addr = SocketAddr::from(([127, 43, one, two], 443));
    let first = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
    if first.ok().and_then(|first| first.trim().parse::<u16>().ok()) < Some(444) {
        return Err("everybody may listen on port 443 here");
    }
    // This process's own folder tells whose it is.
    if fs::metadata("/proc/self").map_or(1, |process| process.uid()) != 0 {
        return Err("only root can become nobody");
    }
    if Command::new("setpriv").arg("--version").stdout(Stdio::null()).status().is_err() {
        return Err("there is no setpriv");
    }
    match (TcpListener::bind(addr), UdpSocket::bind(addr)) {
        (Ok(_), Ok(_)) => Ok(addr),
        _ => Err("port 443 of this test's address cannot be had"),
    }
}

/// The command in a folder that everybody may read, as nobody with these capabilities.
fn as_nobody(files: &Files, capabilities: &str) -> Command {
    let binary = files.path("headwater");
    if !binary.exists() {
        fs::copy(env!("CARGO_BIN_EXE_headwater"), &binary).unwrap();
        for path in [files.folder(), &binary, &files.path("edge.toml")] {
            fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
        }
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups", "--no-new-privs"]);
    command.args(["--bounding-set", capabilities, "--inh-caps", capabilities]);
    command.args(["--ambient-caps", capabilities]).arg(binary);
    command.current_dir(files.folder()).args(["edge", "--config", "edge.toml"]);
    command
}

#[test]
#[expect(clippy::print_stdout, reason = "a skipped test says so")]
fn nobody_listens_on_443_by_one_capability_and_not_without() {
    let addr = match low_port() {
        Ok(addr) => addr,
        Err(why) => {
            println!("skipped: {why}");
            return;
        }
    };
    let origin = Origin::start("one");
    let files = Files::new(&format!(
        "[server]\nlisten = '{addr}'\n[server.tls]\nself_signed = 'localhost'\n\
         [[upstream]]\nname = 'media'\norigins = '{}'\n\
         [[site]]\nhosts = '*'\nupstream = 'media'\n",
        origin.url
    ));
    let refused = as_nobody(&files, "-all").output().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{said}");
    let expected = format!("no permission to listen on TCP port 443 of {}", addr.ip());
    assert!(said.contains(&expected), "{said}");
    assert_eq!(said.trim().lines().count(), 1, "{said}");

    let edge = Edge::spawn(&mut as_nobody(&files, "-all,+net_bind_service"));
    let (status, body) = get_https(edge.addr("https"), "localhost", "/a");
    assert_eq!((status, body.starts_with("one ")), (200, true), "{body}");
}
