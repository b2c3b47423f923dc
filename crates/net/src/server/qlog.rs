//! qlog: what QUIC does on each connection (packets sent, received and lost; round trips and windows),
//! as a file of JSON text sequences (RFC 7464) for tools such as qvis, after the main schema of
//! draft-ietf-quic-qlog-main-schema as quinn writes it. Nothing of what is carried is in it.
//!
//! For finding out what is wrong, not for every day: files are written on the thread of the worker.
//! Promises: no more files than were allowed, the oldest making room for the newest, none larger
//! than was allowed, and none that ends inside a record.

use std::fs::{self, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use quinn::{QlogConfig, QlogStream};

/// The longest record that is written, in bytes: quinn's have some hundreds.
const LONGEST_RECORD: usize = 16 << 10;

/// Where connections are logged, and how much of them. Clones count together.
#[derive(Clone, Debug)]
pub struct Qlog {
    folder: PathBuf,
    files: u64,
    bytes: u64,
    begun: Arc<AtomicU64>,
}

impl Qlog {
    /// Logs each connection into a file of this folder, `quic-0.sqlog` and so on: 100 of them, of at
    /// most 16 MiB, unless it is told otherwise. The folder is made where there is none.
    ///
    /// # Errors
    /// Where the folder cannot be made.
    pub fn new(folder: impl Into<PathBuf>) -> io::Result<Self> {
        let folder = folder.into();
        fs::create_dir_all(&folder)?;
        Ok(Self { folder, files: 100, bytes: 16 << 20, begun: Arc::default() })
    }

    /// How many files there are at most, at least one: the newest takes the place of the oldest.
    /// What is still written to that one then goes nowhere, but takes its room until it is closed.
    #[must_use]
    pub fn files(mut self, files: u32) -> Self {
        self.files = u64::from(files.max(1));
        self
    }

    /// How large a file may become, in bytes; what comes then is left out.
    #[must_use]
    pub fn bytes(mut self, bytes: u64) -> Self {
        self.bytes = bytes;
        self
    }

    /// The log of another connection; `None`, and a warning, where it cannot be written.
    pub(super) fn begin(&self) -> Option<QlogStream> {
        let number = self.begun.fetch_add(1, Ordering::Relaxed) % self.files;
        let path = self.folder.join(format!("quic-{number}.sqlog"));
        // Not truncated: an older connection may be writing to it.
        let _ = fs::remove_file(&path);
        match OpenOptions::new().write(true).create_new(true).open(&path) {
            Ok(file) => {
                let mut config = QlogConfig::default();
                config.writer(Box::new(Capped::new(file, self.bytes)));
                config.title(Some("headwater".to_owned()));
                config.into_stream()
            }
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "no qlog");
                None
            }
        }
    }
}

/// Writes whole records, as long as they fit.
struct Capped<W: Write> {
    to: BufWriter<W>,
    left: u64,
    record: Vec<u8>,
}

impl<W: Write> Capped<W> {
    fn new(to: W, bytes: u64) -> Self {
        Self { to: BufWriter::new(to), left: bytes, record: Vec::new() }
    }
}

impl<W: Write> Write for Capped<W> {
    /// A record ends in a line break (RFC 7464 §2.2), and JSON holds none.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for part in bytes.split_inclusive(|&byte| byte == b'\n') {
            if self.record.len() + part.len() > LONGEST_RECORD {
                self.left = 0;
            }
            if self.left == 0 {
                break;
            }
            self.record.extend_from_slice(part);
            if part.ends_with(b"\n") {
                match self.left.checked_sub(self.record.len() as u64) {
                    Some(left) => {
                        self.left = left;
                        self.to.write_all(&self.record)?;
                    }
                    None => self.left = 0,
                }
                self.record.clear();
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    #[test]
    fn no_file_is_larger_than_allowed_or_ends_inside_a_record() {
        for (bytes, expected) in [
            (0, &b""[..]),
            (5, b""),
            (6, b"\x1e{12}\n"),
            (11, b"\x1e{12}\n"),
            (12, b"\x1e{12}\n\x1e{34}\n"),
            (99, b"\x1e{12}\n\x1e{34}\n"),
        ] {
            let mut written = Vec::new();
            let mut capped = Capped::new(&mut written, bytes);
            // However it is cut.
            for part in [&b"\x1e"[..], b"{12", b"}\n\x1e", b"{34}\n", b"\x1e{5"] {
                capped.write_all(part).unwrap();
            }
            drop(capped);
            assert_eq!(written, expected, "{bytes} bytes");
        }
        let mut written = Vec::new();
        let mut capped = Capped::new(&mut written, 1 << 20);
        capped.write_all(&[b'x'; LONGEST_RECORD]).unwrap();
        capped.write_all(b"yz\n").unwrap();
        drop(capped);
        assert!(written.is_empty(), "a record without end");
    }
}
