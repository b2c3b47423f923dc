//! The folder of one authority: the account's key, each certificate with its key in one file, and beside
//! it how the attempts at it went, all readable by their owner alone.
//!
//! A file is replaced as a whole, by a rename, so that no reader, and no start after a crash, meets
//! a certificate with another's key. Whoever asks the authority holds the folder's lock: of several
//! processes with one folder, one asks, and the others see what it got.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

/// The longest file that is read: chains are some kilobytes.
const MAX_FILE: u64 = 1 << 20;

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Folder(PathBuf);

/// Held while this process asks the authority.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Folder {
    /// That of the authority whose directory is at `url`, under `parent`; made if it is not there.
    /// So the certificates of an authority for tests are never taken for another's.
    pub(super) fn of(parent: &Path, url: &str) -> io::Result<Self> {
        let name = url.trim_start_matches("https://");
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
        let name: String = name.chars().map(|c| if plain(c) { c } else { '_' }).take(128).collect();
        let path = parent.join(name.trim_start_matches('.'));
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&path)?;
        Ok(Self(path))
    }

    /// Where the certificate is kept whose first name is this.
    pub(super) fn certificate(&self, first: &str) -> PathBuf {
        self.0.join(format!("{first}.pem"))
    }

    /// Where the attempts at that certificate are kept.
    pub(super) fn record(&self, first: &str) -> PathBuf {
        self.0.join(format!("{first}.json"))
    }

    /// Where the account is kept.
    pub(super) fn account(&self) -> PathBuf {
        self.0.join("account.json")
    }

    /// The lock, or `None` while another process has it. Given back when dropped.
    pub(super) fn lock(&self) -> io::Result<Option<Lock>> {
        let mut options = OpenOptions::new();
        let file = options
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(self.0.join("lock"))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Lock { _file: file })),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// Reads a file; `None` where there is none.
pub(super) fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::metadata(path) {
        Ok(file) if file.len() > MAX_FILE => Err(io::Error::other("it is longer than 1 MiB")),
        Ok(_) => fs::read(path).map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Replaces a file as a whole, for its owner's eyes.
pub(super) fn write(path: &Path, text: &[u8]) -> io::Result<()> {
    let next = path.with_extension(format!("{}.new", std::process::id()));
    let _ = fs::remove_file(&next);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&next)?;
    file.write_all(text)?;
    file.sync_all()?;
    fs::rename(&next, path)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn only_the_owner_reads_it_and_one_at_a_time_holds_the_lock() {
        let parent = tempfile::tempdir().unwrap();
        let folder = Folder::of(parent.path(), "https://acme.example:14000/dir/../x").unwrap();
        assert_eq!(folder.0, parent.path().join("acme.example_14000_dir_.._x"));
        let path = folder.certificate("a.example");
        assert_eq!(read(&path).unwrap(), None);
        for text in [&b"one"[..], b"two"] {
            write(&path, text).unwrap();
            assert_eq!(read(&path).unwrap().as_deref(), Some(text));
        }
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(&folder.0)), (0o600, 0o700));
        let held = folder.lock().unwrap().unwrap();
        assert!(folder.lock().unwrap().is_none());
        drop(held);
        assert!(folder.lock().unwrap().is_some());
        // Nothing is left of how it was written.
        assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 2);
    }
}
