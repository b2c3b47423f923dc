//! The client of the packager's bench: plain HTTP/1.1, bodies counted and thrown away.
//!
//! It reads with blocking calls into one buffer, so that what it costs is small and the same
//! whoever answers.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::load::Result;

/// What to ask for, and how long the answer must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Path and query.
    pub path: String,
    /// Bytes of the body.
    pub bytes: u64,
}

/// One connection.
pub struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// One answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Bytes of the body.
    pub bytes: u64,
    /// From the request's last byte to the answer's first.
    pub first_byte: Duration,
    /// The body, where it was to be kept.
    pub body: Vec<u8>,
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// When nobody listens there.
    pub fn connect(addr: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(addr)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        Ok(Self { stream, buffer: vec![0; 256 << 10] })
    }

    /// Asks, and reads the answer to its end.
    ///
    /// # Errors
    /// When the connection breaks, or the answer has no Content-Length.
    pub fn get(&mut self, path: &str, keep: bool) -> Result<Answer> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let asked = Instant::now();
        self.stream.write_all(request.as_bytes())?;
        let mut filled = 0;
        let mut first_byte = None;
        let head = loop {
            let read = self.stream.read(&mut self.buffer[filled..])?;
            if read == 0 {
                return Err("the server closed the connection".into());
            }
            first_byte.get_or_insert_with(|| asked.elapsed());
            filled += read;
            if let Some(at) = self.buffer[..filled].windows(4).position(|four| four == b"\r\n\r\n")
            {
                break at + 4;
            }
            if filled == self.buffer.len() {
                return Err("the answer's head is too long".into());
            }
        };
        let text = String::from_utf8_lossy(&self.buffer[..head]).to_lowercase();
        let status = text.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
        let bytes: u64 = text
            .lines()
            .find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok())
            .ok_or("an answer has no Content-Length")?;
        let mut body = Vec::new();
        let mut left = bytes
            .checked_sub((filled - head) as u64)
            .ok_or("more came than Content-Length says")?;
        if keep {
            body.extend_from_slice(&self.buffer[head..filled]);
        }
        while left > 0 {
            let read = self.stream.read(&mut self.buffer)?;
            if read == 0 {
                return Err("the server closed the connection early".into());
            }
            left = left.checked_sub(read as u64).ok_or("more came than Content-Length says")?;
            if keep {
                body.extend_from_slice(&self.buffer[..read]);
            }
        }
        Ok(Answer { status, bytes, first_byte: first_byte.unwrap_or_default(), body })
    }
}

/// Asks for the targets in turn, over several connections, for some time. How many answers came.
///
/// # Errors
/// At the first answer that is not 200 with the right length.
pub fn load(
    addr: SocketAddr,
    targets: &[Target],
    connections: usize,
    time: Duration,
) -> Result<u64> {
    let over = AtomicBool::new(false);
    let work = |number: usize| -> std::result::Result<u64, String> {
        let mut client = Client::connect(addr).map_err(|error| error.to_string())?;
        let mut answers = 0;
        let mut turn = number * targets.len() / connections.max(1);
        while !over.load(Ordering::Relaxed) {
            let target = &targets[turn % targets.len()];
            let answer = client.get(&target.path, false).map_err(|error| error.to_string())?;
            if answer.status != 200 || answer.bytes != target.bytes {
                let Answer { status, bytes, .. } = answer;
                return Err(format!("{}: {status} with {bytes} bytes", target.path));
            }
            answers += 1;
            turn += 1;
        }
        Ok(answers)
    };
    let counted: std::result::Result<u64, String> = std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..connections).map(|number| scope.spawn(move || work(number))).collect();
        std::thread::sleep(time);
        over.store(true, Ordering::Relaxed);
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|_| Err("a thread ended".to_owned())))
            .sum()
    });
    Ok(counted?)
}
