//! A scripted name server (RFC 1035 §4) on loopback, that knows one name: `origin.test`.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// An address, and how many seconds it counts.
type Says = Option<(Ipv4Addr, u32)>;

/// See the module.
pub(crate) struct NameServer {
    pub(crate) at: SocketAddr,
    says: Arc<Mutex<Says>>,
    asked: Arc<AtomicUsize>,
}

impl NameServer {
    /// One that says this address, which counts for so many seconds. It ends with the test's process.
    pub(crate) fn start(address: Ipv4Addr, ttl: u32) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let at = socket.local_addr().unwrap();
        let (says, asked) = (Arc::new(Mutex::new(Some((address, ttl)))), Arc::default());
        let (told, count) = (Arc::clone(&says), Arc::clone(&asked));
        std::thread::spawn(move || serve(&socket, &told, &count));
        Self { at, says, asked }
    }

    /// Nothing is "there is no such name".
    pub(crate) fn say(&self, says: Says) {
        *self.says.lock().unwrap() = says;
    }

    /// Questions for addresses of IPv4.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

fn serve(socket: &UdpSocket, says: &Mutex<Says>, asked: &AtomicUsize) {
    const A: [u8; 4] = [0, 1, 0, 1];
    let mut buffer = [0; 512];
    while let Ok((length, from)) = socket.recv_from(&mut buffer) {
        let query = &buffer[..length];
        // The question: a name, its type and class.
        let name = query[12..].iter().position(|byte| *byte == 0).unwrap() + 13;
        let question = &query[12..name + 4];
        let name = question[..question.len() - 4].to_ascii_lowercase();
        let says = says.lock().unwrap().filter(|_| name == b"\x06origin\x04test\0");
        let of_v4 = question.ends_with(&A);
        if of_v4 {
            asked.fetch_add(1, Ordering::SeqCst);
        }
        let answers = u8::from(of_v4 && says.is_some());
        // A response, recursion wanted and there, and whether the name is known.
        let flags = [0x81, if says.is_some() { 0x80 } else { 0x83 }];
        let mut response =
            [&query[..2], &flags, &[0, 1, 0, answers, 0, 0, 0, 0], question].concat();
        if let Some((address, ttl)) = says.filter(|_| of_v4) {
            response.extend([0xc0, 12]);
            response.extend(A);
            response.extend(ttl.to_be_bytes());
            response.extend([0, 4]);
            response.extend(address.octets());
        }
        let _ = socket.send_to(&response, from);
    }
}
