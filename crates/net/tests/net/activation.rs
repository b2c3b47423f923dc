//! Sockets that somebody else has opened: a process gets them as a supervisor's child does, and
//! serves on them by every protocol, with more workers than there are sockets.

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use headwater_net::server::{Activation, Door, Inherited, Server, ServerBuilder, Tls};
use headwater_net::{Clock, Protocol};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::client::Client;
use crate::service::{Running, start_with_tls};

const WITHIN: Duration = Duration::from_secs(60);
/// Names the folder of the child's files, and makes it one.
const CHILD: &str = "HEADWATER_TEST_ACTIVATED";
/// Moves what it gets as its standard streams to where sd_listen_fds(3) looks for it.
const SUPERVISOR: &str = "exec 3<&0 4<&1 5<&2 </dev/null >\"$SAID\" 2>&1; \
                          LISTEN_PID=$$ exec \"$0\" \"$@\"";

/// One free port on TCP and UDP.
fn pair() -> (SocketAddr, TcpListener, UdpSocket) {
    loop {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = tcp.local_addr().unwrap();
        if let Ok(udp) = UdpSocket::bind(addr) {
            return (addr, tcp, udp);
        }
    }
}

#[test]
fn a_supervisors_sockets_are_served_on_every_protocol() {
    let dir = tempfile::tempdir().unwrap();
    let said = dir.path().join("said");
    let (_, tcp, udp) = pair();
    let unix = UnixListener::bind(dir.path().join("edge.sock")).unwrap();
    let status = Command::new("sh")
        .args(["-c", SUPERVISOR])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "activation::in_the_child", "--nocapture"])
        .envs([("LISTEN_FDS", "3"), ("LISTEN_FDNAMES", "https:https:unix")])
        .env(CHILD, dir.path())
        .env("SAID", &said)
        .stdin(OwnedFd::from(tcp))
        .stdout(OwnedFd::from(udp))
        .stderr(OwnedFd::from(unix))
        .status()
        .unwrap();
    let said = std::fs::read_to_string(&said).unwrap_or_default();
    assert!(status.success() && said.contains("1 passed"), "{said}");
    assert!(dir.path().join("done").exists(), "the child did nothing: {said}");
}

/// Does nothing but in the process that the test above starts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_the_child() {
    let Some(dir) = std::env::var_os(CHILD) else { return };
    let (dir, socket) = (Path::new(&dir), Path::new(&dir).join("edge.sock"));
    let activation = Activation::from_env().unwrap().unwrap();
    assert!(Activation::from_env().unwrap().is_none(), "they are told of once");
    let addrs = activation.addrs("https");
    assert_eq!(addrs.len(), 1, "one address for TCP and UDP");

    let tls = Tls::self_signed(["localhost"], None, &Clock::system()).unwrap();
    let describe = |socket: &Path| {
        Server::builder().https(&addrs[..]).unix(socket).tls(tls.clone()).workers(3)
    };
    let start = |builder: ServerBuilder| start_with_tls(tls.clone(), |_| builder);
    assert!(activation.all_taken().is_err());
    let server = start(describe(&socket).activated_by(&activation));
    activation.all_taken().unwrap();
    assert_eq!(server.handle.https_addrs(), addrs);
    ask(&server, &socket).await;

    // What takes over knows whose file it is, too.
    let path = dir.join("door");
    let door = Door::open(&path).unwrap();
    let (handed, next) = tokio::join!(
        async {
            let successor = door.successor().await.unwrap();
            successor.hand_over(&[&server.handle], WITHIN).await
        },
        async {
            let inherited = Inherited::take_over(&path, WITHIN).await.unwrap();
            let next = start(describe(&socket).inherit(&inherited));
            inherited.begin(WITHIN).await.unwrap();
            next
        }
    );
    handed.unwrap();
    server.handle.drain(WITHIN).await;
    ask(&next, &socket).await;
    next.handle.drain(WITHIN).await;
    assert!(socket.exists(), "the supervisor's file");
    std::fs::write(dir.join("done"), "").unwrap();
}

/// Asks often enough that each worker gets something to do.
async fn ask(server: &Running, socket: &Path) {
    for protocol in Protocol::ALL {
        for _ in 0..8 {
            let client = Client::new(server, protocol).await;
            assert_eq!(client.get("/bytes/3000").await.unwrap().body.len(), 3000);
        }
    }
    let mut plain = tokio::net::UnixStream::connect(socket).await.unwrap();
    let request = b"GET /bytes/3 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    plain.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    plain.read_to_end(&mut answer).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200"));
}
