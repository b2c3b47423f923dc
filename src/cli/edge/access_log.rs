//! The file of the access log, which can be opened again while it is written to: a rotation moves it
//! away and sends SIGHUP.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Where lines go. Clones are of the same file.
#[derive(Clone)]
pub(super) struct LogFile {
    sink: Arc<Mutex<Sink>>,
}

enum Sink {
    Standard(io::Stdout),
    File(PathBuf, File),
}

/// A file that was opened and is not written to yet.
pub(super) struct Reopened(Option<(PathBuf, File)>);

impl LogFile {
    /// Opens `path`; `-` is standard output.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let sink = if path == Path::new("-") {
            Sink::Standard(io::stdout())
        } else {
            Sink::File(path.to_owned(), append(path)?)
        };
        Ok(Self { sink: Arc::new(Mutex::new(sink)) })
    }

    /// Opens the same path again, which may be another file by now.
    pub(super) fn reopen(&self) -> io::Result<Reopened> {
        let path = match &*self.sink.lock().unwrap_or_else(PoisonError::into_inner) {
            Sink::Standard(_) => return Ok(Reopened(None)),
            Sink::File(path, _) => path.clone(),
        };
        let file = append(&path)?;
        Ok(Reopened(Some((path, file))))
    }

    /// Writes to what was opened from now on.
    pub(super) fn put(&self, reopened: Reopened) {
        if let Some((path, file)) = reopened.0 {
            *self.sink.lock().unwrap_or_else(PoisonError::into_inner) = Sink::File(path, file);
        }
    }
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

impl Write for LogFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut *self.sink.lock().unwrap_or_else(PoisonError::into_inner) {
            Sink::Standard(out) => out.write(bytes),
            Sink::File(_, file) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut *self.sink.lock().unwrap_or_else(PoisonError::into_inner) {
            Sink::Standard(out) => out.flush(),
            Sink::File(_, file) => file.flush(),
        }
    }
}
