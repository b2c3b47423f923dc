//! Where the next process comes in.

use std::fs::{self, Permissions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use socket2::SockAddr;
use tokio::net::UnixListener;

use super::line::{self, Line};
use super::{HandOverError, Successor};

/// Its owner alone may connect.
const MODE: u32 = 0o600;
/// Processes that may wait at the door.
const BACKLOG: i32 = 4;
/// How long one that came in may take to say its version.
const GREETING: Duration = Duration::from_secs(5);

/// A Unix socket at which a process that is to take over comes in. Dropping it removes its file,
/// unless another door is there by now.
#[derive(Debug)]
pub struct Door {
    socket: UnixListener,
    path: PathBuf,
    /// What tells its file from another door's: device and inode, which nobody gets again while the
    /// socket is open.
    file: (u64, u64),
    left: AtomicBool,
}

impl Door {
    /// Opens a door at `path`, in place of the door of a process that was taken over from, or of a
    /// file that a process has left behind. To be called in a tokio runtime.
    ///
    /// # Errors
    /// [`HandOverError::Socket`] when the file cannot be made.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, HandOverError> {
        let path = path.as_ref().to_owned();
        let failed = |source| HandOverError::Socket { path: path.clone(), source };
        // Made beside and moved into place: whoever comes finds one of the two.
        let mut beside = path.clone().into_os_string();
        beside.push(format!(".{}", std::process::id()));
        let beside = PathBuf::from(beside);
        let open = || -> io::Result<(UnixListener, (u64, u64))> {
            let socket = line::socket()?;
            socket.bind(&SockAddr::unix(&beside)?)?;
            // Nobody can connect before it listens.
            fs::set_permissions(&beside, Permissions::from_mode(MODE))?;
            socket.listen(BACKLOG)?;
            let socket = UnixListener::from_std(OwnedFd::from(socket).into())?;
            let file = file_at(&beside)?;
            fs::rename(&beside, &path)?;
            Ok((socket, file))
        };
        let _ = fs::remove_file(&beside);
        let opened = open().inspect_err(|_| {
            let _ = fs::remove_file(&beside);
        });
        let (socket, file) = opened.map_err(failed)?;
        Ok(Self { socket, file, left: AtomicBool::new(false), path })
    }

    /// Waits for a process that wants to take over, of the same user and with the same version;
    /// others are turned away. Cancel safe.
    ///
    /// # Errors
    /// [`HandOverError::Io`] when the system lets nobody in any more.
    pub async fn successor(&self) -> Result<Successor, HandOverError> {
        loop {
            let (socket, _) = self.socket.accept().await?;
            let greeted = async {
                let line = Line::new(socket)?;
                line.greet().await?;
                Ok(line)
            };
            match tokio::time::timeout(GREETING, greeted).await {
                Ok(Ok(line)) => return Ok(Successor::new(line)),
                Ok(Err::<_, HandOverError>(error)) => {
                    tracing::warn!(%error, "a process that came to take over was turned away");
                }
                Err(_) => tracing::warn!("a process that came to take over said nothing"),
            }
        }
    }

    /// Leaves the file to the process that took over, which may be about to open a door there.
    pub fn leave(&self) {
        self.left.store(true, Ordering::Relaxed);
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        let is_own = || file_at(&self.path).is_ok_and(|file| file == self.file);
        if !self.left.load(Ordering::Relaxed) && is_own() {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// The device and the inode of a file.
fn file_at(path: &Path) -> io::Result<(u64, u64)> {
    let file = fs::symlink_metadata(path)?;
    Ok((file.dev(), file.ino()))
}
