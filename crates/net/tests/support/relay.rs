//! Somebody on the path between a QUIC client and its server: sees datagrams, keeps them, and lets
//! through what it likes.
#![allow(dead_code, clippy::unwrap_used, reason = "shared by tests of several crates")]

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use tokio::net::UdpSocket;
use tokio::sync::Notify;

/// Passes datagrams on between one client and a server.
pub(crate) struct Relay {
    pub(crate) addr: SocketAddr,
    shared: Arc<Shared>,
    task: tokio::task::JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    only_first_flight: AtomicBool,
    /// Whether what the server sends is kept for later.
    holds: AtomicBool,
    held: Mutex<Vec<Vec<u8>>>,
    released: Notify,
    flight: Mutex<Vec<Vec<u8>>>,
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Relay {
    pub(crate) async fn new(server: SocketAddr) -> Self {
        let front = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let back = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        back.connect(server).await.unwrap();
        let addr = front.local_addr().unwrap();
        let shared = Arc::<Shared>::default();
        let task = tokio::spawn(run(front, back, Arc::clone(&shared)));
        Self { addr, shared, task }
    }

    /// Whether only that is let through to the server which a client sends before it has heard
    /// anything: so no handshake is done.
    pub(crate) fn only_first_flight(&self, only: bool) {
        self.shared.only_first_flight.store(only, Ordering::SeqCst);
    }

    /// Keeps what the server sends, or lets it go, with all that was kept.
    pub(crate) fn hold(&self, holds: bool) {
        self.shared.holds.store(holds, Ordering::SeqCst);
        self.shared.released.notify_one();
    }

    /// How many datagrams of the server it keeps.
    pub(crate) fn held(&self) -> usize {
        self.shared.held.lock().unwrap().len()
    }

    /// Loses what it keeps.
    pub(crate) fn lose(&self) {
        self.shared.held.lock().unwrap().clear();
    }

    /// What came from the client and was let through.
    pub(crate) fn flight(&self) -> Vec<Vec<u8>> {
        self.shared.flight.lock().unwrap().clone()
    }
}

/// Whether a datagram begins with a long header (RFC 9000 §17.2) of this type.
pub(crate) fn is_long(datagram: &[u8], kind: u8) -> bool {
    // Without the fixed bit, which may be anything (RFC 9287).
    datagram.first().is_some_and(|first| first & 0xb0 == 0x80 | kind << 4)
}

const INITIAL: u8 = 0;
const ZERO_RTT: u8 = 1;

async fn run(front: UdpSocket, back: UdpSocket, shared: Arc<Shared>) {
    let mut client = None;
    let mut initials = 0;
    let (mut up, mut down) = (vec![0; 65_536], vec![0; 65_536]);
    loop {
        tokio::select! {
            received = front.recv_from(&mut up) => {
                let Ok((len, from)) = received else { continue };
                client = Some(from);
                let datagram = &up[..len];
                if shared.only_first_flight.load(Ordering::SeqCst) {
                    let initial = is_long(datagram, INITIAL);
                    initials += usize::from(initial);
                    if !(is_long(datagram, ZERO_RTT) || initial && initials == 1) {
                        continue;
                    }
                }
                shared.flight.lock().unwrap().push(datagram.to_vec());
                let _ = back.send(datagram).await;
            }
            received = back.recv(&mut down) => {
                let (Ok(len), Some(client)) = (received, client) else { continue };
                if shared.holds.load(Ordering::SeqCst) {
                    shared.held.lock().unwrap().push(down[..len].to_vec());
                    continue;
                }
                let _ = front.send_to(&down[..len], client).await;
            }
            () = shared.released.notified() => {
                if let (Some(client), false) = (client, shared.holds.load(Ordering::SeqCst)) {
                    let held = std::mem::take(&mut *shared.held.lock().unwrap());
                    for datagram in held {
                        let _ = front.send_to(&datagram, client).await;
                    }
                }
            }
        }
    }
}
