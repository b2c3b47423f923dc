//! Clients that ask for more at once than a worker can look at in time: each sends many requests in a row on one
//! connection, and another such row as soon as it has its answers.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

const CLIENTS: usize = 24;
/// Requests in a row.
const IN_A_ROW: usize = 64;

/// They ask until this is dropped.
pub(crate) struct Crowd {
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    ends: AtomicBool,
    answers: AtomicUsize,
    /// The head of an answer that turned one of them away.
    refusal: Mutex<Option<String>>,
}

impl Crowd {
    /// Has them ask for a target.
    pub(crate) fn begin(addr: SocketAddr, host: &str, target: &str) -> Self {
        let shared = Arc::<Shared>::default();
        let row = |last: &str| format!("GET {target} HTTP/1.1\r\nhost: {host}\r\n{last}\r\n");
        let row = row("").repeat(IN_A_ROW - 1) + &row("connection: close\r\n");
        let client = |_| {
            let (shared, row) = (Arc::clone(&shared), row.clone());
            std::thread::spawn(move || {
                while !shared.ends.load(Ordering::Relaxed) {
                    // Who is turned away by the system comes again.
                    let _ = shared.ask(addr, &row);
                }
            })
        };
        let clients = (0..CLIENTS).map(client).collect();
        Self { shared, clients }
    }

    /// Answers that they have had.
    pub(crate) fn answers(&self) -> usize {
        self.shared.answers.load(Ordering::Relaxed)
    }

    /// The head of an answer 503, if one of them had one.
    pub(crate) fn refusal(&self) -> Option<String> {
        self.shared.refusal.lock().unwrap().clone()
    }
}

impl Shared {
    fn ask(&self, addr: SocketAddr, row: &str) -> std::io::Result<()> {
        let mut stream = TcpStream::connect(addr)?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        stream.write_all(row.as_bytes())?;
        let mut text = Vec::new();
        stream.read_to_end(&mut text)?;
        let text = String::from_utf8_lossy(&text);
        let answers = text.split("HTTP/1.1 ").skip(1);
        self.answers.fetch_add(answers.clone().count(), Ordering::Relaxed);
        let refused = answers.clone().find(|answer| answer.starts_with("503"));
        if let Some((head, _)) = refused.and_then(|answer| answer.split_once("\r\n\r\n")) {
            *self.refusal.lock().unwrap() = Some(head.to_ascii_lowercase());
        }
        Ok(())
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.shared.ends.store(true, Ordering::Relaxed);
        for client in self.clients.drain(..) {
            let _ = client.join();
        }
    }
}
