//! Binding Unix sockets: for a proxy on the same machine, kept by file permissions.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use super::ServerError;

/// Whoever owns the socket, and their group, may connect.
const MODE: u32 = 0o660;

/// A bound Unix socket; its file goes with it.
pub(super) struct BoundUnix {
    pub(super) listeners: Vec<UnixListener>,
    pub(super) file: SocketFile,
}

/// The file of a socket, removed when dropped.
#[derive(Debug)]
pub(super) struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Binds `path` for `workers` workers, which accept from one queue. A socket that nobody listens
/// to any more is taken over; one that somebody does, and a file of another kind, are errors.
pub(super) fn bind(path: &Path, workers: usize) -> Result<BoundUnix, ServerError> {
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
    let file = SocketFile(path.to_owned());
    fs::set_permissions(path, Permissions::from_mode(MODE)).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    let mut listeners = Vec::with_capacity(workers);
    for _ in 1..workers {
        listeners.push(listener.try_clone().map_err(failed)?);
    }
    listeners.push(listener);
    Ok(BoundUnix { listeners, file })
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
        let bound = bind(&path, 2).unwrap();
        assert_eq!(bound.listeners.len(), 2);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, MODE);
        let said = bind(&path, 1).err().unwrap().to_string();
        assert!(said.contains("edge.sock") && said.contains("in use"), "{said}");
        drop(bound);
        assert!(!path.exists());
        fs::write(&path, "a file").unwrap();
        assert!(bind(&path, 1).is_err());
        assert_eq!(fs::read(&path).unwrap(), b"a file");
    }
}
