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
    /// Whether the client has been sent anything.
    has_heard: AtomicBool,
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

    /// Whether only that is let through to the server which a client sends before it has heard anything,
    /// all of it and however often: so no handshake is done. The rest gets there as what nobody can read:
    /// a server may send three times what has come ([RFC 9000 §8.1]), and is to have enough for its answers.
    ///
    /// [RFC 9000 §8.1]: https://www.rfc-editor.org/rfc/rfc9000#section-8.1
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

    /// What came from the client and was let through as it was.
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
/// A datagram as large as the first ones are (RFC 9000 §14.1).
const LARGE: usize = 1200;

/// Makes of a datagram one of the same connection in which no packet can be decrypted.
fn spoil(datagram: &mut Vec<u8>) {
    if datagram[0] & 0x80 != 0 {
        let mut at = 6 + usize::from(datagram[5]);
        at += 1 + usize::from(datagram[at]);
        if is_long(datagram, INITIAL) {
            let (token, len) = var_int(&datagram[at..]);
            at += len + token;
        }
        at += var_int(&datagram[at..]).1;
        // The first packet's own part, and whatever follows in the datagram.
        datagram[at..].iter_mut().for_each(|byte| *byte = !*byte);
    }
    // One with a short header goes to the datagram's end, where its tag is another now.
    datagram.resize(LARGE.max(datagram.len() + 1), 0);
}

/// A variable-length integer (RFC 9000 §16), and how many bytes it takes.
fn var_int(bytes: &[u8]) -> (usize, usize) {
    let len = 1 << (bytes[0] >> 6);
    let first = usize::from(bytes[0] & 0x3f);
    (bytes[1..len].iter().fold(first, |number, byte| number << 8 | usize::from(*byte)), len)
}

async fn run(front: UdpSocket, back: UdpSocket, shared: Arc<Shared>) {
    let mut client = None;
    let (mut up, mut down) = (vec![0; 65_536], vec![0; 65_536]);
    loop {
        tokio::select! {
            received = front.recv_from(&mut up) => {
                let Ok((len, from)) = received else { continue };
                client = Some(from);
                let datagram = &up[..len];
                if shared.only_first_flight.load(Ordering::SeqCst) {
                    let unheard = !shared.has_heard.load(Ordering::SeqCst);
                    if !(is_long(datagram, ZERO_RTT) || unheard && is_long(datagram, INITIAL)) {
                        let mut spoilt = datagram.to_vec();
                        spoil(&mut spoilt);
                        let _ = back.send(&spoilt).await;
                        continue;
                    }
                }
                shared.flight.lock().unwrap().push(datagram.to_vec());
                let _ = back.send(datagram).await;
            }
            received = back.recv(&mut down) => {
                let (Ok(len), Some(client)) = (received, client) else { continue };
                // Behind what is kept: a client cannot read what comes before its keys, and the server does
                // not say it again before the handshake is done (RFC 9002 §6.2.1).
                shared.held.lock().unwrap().push(down[..len].to_vec());
                shared.let_go(&front, client).await;
            }
            () = shared.released.notified() => {
                if let Some(client) = client {
                    shared.let_go(&front, client).await;
                }
            }
        }
    }
}

impl Shared {
    /// Sends the client what is kept, in its order, unless it is to be kept.
    async fn let_go(&self, front: &UdpSocket, client: SocketAddr) {
        if self.holds.load(Ordering::SeqCst) {
            return;
        }
        let held = std::mem::take(&mut *self.held.lock().unwrap());
        self.has_heard.fetch_or(!held.is_empty(), Ordering::SeqCst);
        for datagram in held {
            let _ = front.send_to(&datagram, client).await;
        }
    }
}
