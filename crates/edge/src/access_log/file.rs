//! The file of a log, which can be opened again while it is written to: a rotation moves it away and
//! sends a signal.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::mem;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Where lines go: a file, standard output, or nowhere. Clones are of the same.
#[derive(Clone, Debug)]
pub struct LogFile {
    sink: Arc<Mutex<Sink>>,
}

#[derive(Debug)]
enum Sink {
    Nowhere,
    Standard(io::Stdout),
    File(PathBuf, File),
}

/// A file that was opened and is not written to yet. One that was not there before goes again with this,
/// where it is never [put](LogFile::put).
#[derive(Debug)]
#[must_use = "the log goes on in the old file until this is put in its place"]
pub struct Reopened {
    sink: Sink,
    /// The file was made for this.
    made: bool,
}

impl LogFile {
    /// Opens `path` to write at its end, and makes it where it is not there; `-` is standard output.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(path: &Path) -> io::Result<Self> {
        let log = Self::nowhere();
        log.put(Self::reopen_at(path)?);
        Ok(log)
    }

    /// For a log that is not written, and may be later: see [`Reopened::nowhere`].
    pub fn nowhere() -> Self {
        Self { sink: Arc::new(Mutex::new(Sink::Nowhere)) }
    }

    /// Opens the same path again, which may be another file by now. Lines go to the old one until
    /// [`LogFile::put`].
    ///
    /// # Errors
    /// When it cannot be opened: lines go on to the old one.
    pub fn reopen(&self) -> io::Result<Reopened> {
        let path = match &*self.sink() {
            Sink::Nowhere => return Ok(Reopened::nowhere()),
            Sink::Standard(_) => Path::new("-").to_owned(),
            Sink::File(path, _) => path.clone(),
        };
        Self::reopen_at(&path)
    }

    /// Opens another path, for a log that is to go on there.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn reopen_at(path: &Path) -> io::Result<Reopened> {
        let (sink, made) = Sink::open(path)?;
        Ok(Reopened { sink, made })
    }

    /// Lines go to what was opened again from now on, each to one file as a whole.
    pub fn put(&self, mut reopened: Reopened) {
        reopened.made = false;
        mem::swap(&mut *self.sink(), &mut reopened.sink);
    }

    fn sink(&self) -> MutexGuard<'_, Sink> {
        self.sink.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reopened {
    /// What is no file: lines are lost from then on.
    pub fn nowhere() -> Self {
        Self { sink: Sink::Nowhere, made: false }
    }
}

impl Drop for Reopened {
    fn drop(&mut self) {
        let Sink::File(path, file) = &self.sink else { return };
        // Somebody else may write there by now.
        if self.made && file.metadata().is_ok_and(|file| file.len() == 0) {
            let _ = fs::remove_file(path);
        }
    }
}

impl Sink {
    /// Opens it, and says whether it was made for that.
    fn open(path: &Path) -> io::Result<(Self, bool)> {
        if path == Path::new("-") {
            return Ok((Self::Standard(io::stdout()), false));
        }
        let mut options = OpenOptions::new();
        let (file, made) = match options.append(true).create_new(true).open(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                (options.create_new(false).create(true).open(path)?, false)
            }
            opened => (opened?, true),
        };
        Ok((Self::File(path.to_owned(), file), made))
    }
}

impl Write for LogFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all(bytes).map(|()| bytes.len())
    }

    /// Under one lock: a line is not cut in two by a file that takes the other's place.
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut *self.sink() {
            Sink::Nowhere => Ok(()),
            Sink::Standard(out) => out.write_all(bytes),
            Sink::File(_, file) => file.write_all(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut *self.sink() {
            Sink::Nowhere => Ok(()),
            Sink::Standard(out) => out.flush(),
            Sink::File(_, file) => file.flush(),
        }
    }
}
