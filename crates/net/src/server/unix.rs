//! Binding Unix sockets: for a proxy on the same machine, kept by file permissions.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use super::ServerError;

/// Whoever owns the socket, and their group, may connect.
const MODE: u32 = 0o660;

/// The file of a socket, removed when dropped, unless another process listens there.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    left: AtomicBool,
    /// Whether it is a supervisor's, and stays in any case.
    keep: bool,
}

impl SocketFile {
    /// Of a socket that is bound to `path`.
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), left: AtomicBool::new(false), keep: false }
    }

    /// Of a socket that another process gave, which may go on with it: to be left alone until
    /// [`SocketFile::own`], or for ever with `keep`.
    pub(super) fn of_another(path: &Path, keep: bool) -> Self {
        Self { path: path.to_owned(), left: AtomicBool::new(true), keep }
    }

    /// This process alone listens there now.
    pub(super) fn own(&self) {
        self.left.store(false, Ordering::Relaxed);
    }

    /// Leaves the file where it is: another process listens there.
    pub(super) fn leave(&self) {
        self.left.store(true, Ordering::Relaxed);
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if !self.keep && !self.left.load(Ordering::Relaxed) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Binds `path`. A socket that nobody listens to any more is taken over; one that somebody does,
/// and a file of another kind, are errors.
pub(super) fn bind(path: &Path) -> Result<(UnixListener, SocketFile), ServerError> {
    let failed = |source| ServerError::File { path: path.to_owned(), source };
    let is_socket = fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket());
    if is_socket {
        match UnixStream::connect(path) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                fs::remove_file(path).map_err(failed)?;
            }
            _ => return Err(failed(io::ErrorKind::AddrInUse.into())),
        }
    }
    let listener = UnixListener::bind(path).map_err(failed)?;
    let file = SocketFile::new(path);
    fs::set_permissions(path, Permissions::from_mode(MODE)).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    Ok((listener, file))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    #[test]
    fn a_dead_socket_is_taken_over_and_a_live_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("edge.sock");
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        let bound = bind(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, MODE);
        let said = bind(&path).err().unwrap().to_string();
        assert!(said.contains("edge.sock") && said.contains("in use"), "{said}");
        drop(bound);
        assert!(!path.exists());
        fs::write(&path, "a file").unwrap();
        assert!(bind(&path).is_err());
        assert_eq!(fs::read(&path).unwrap(), b"a file");
    }
}
