//! The folder of a disk tier: whose it is, what version it has, and its files.
//!
//! The file `lock` is held locked as long as the tier lives: the system lets go of it when the
//! process ends, however it ends. The file `format` has the version and the seed of the hashes; a
//! folder of another version starts empty. Folder and files are for their owner alone.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use super::cursor::Cursor;
use super::record::sum;
use super::region::{self, VERSION};
use crate::Error;

const FORMAT: &str = "format";
const MAGIC: [u8; 8] = *b"HWcache\0";

/// See the module.
#[derive(Debug)]
pub(crate) struct Folder {
    dir: PathBuf,
    /// What hashes of keys begin with, so that nobody outside knows which keys collide.
    pub(crate) seed: u64,
    _lock: File,
    #[cfg(test)]
    pub(crate) faults: super::faults::Faults,
}

/// A region's file. Whoever reads it holds it: it may have been deleted meanwhile, and its bytes
/// stay until the last reader is done.
#[derive(Debug)]
pub(crate) struct Region {
    pub(crate) number: u32,
    file: File,
    #[cfg(test)]
    faults: super::faults::Faults,
}

impl Folder {
    /// Takes the folder, which is made where there is none.
    pub(crate) fn open(dir: &Path) -> Result<Self, Error> {
        let failed = |source| Error::Folder { path: dir.to_owned(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed)?;
        let lock = options().write(true).create(true).open(dir.join("lock")).map_err(failed)?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(Error::InUse { path: dir.to_owned() });
            }
            Err(error) => return Err(failed(error.into())),
        }
        let mut folder = Self {
            dir: dir.to_owned(),
            seed: 0,
            _lock: lock,
            #[cfg(test)]
            faults: super::faults::Faults::default(),
        };
        folder.seed = match folder.read_format().map_err(failed)? {
            Some(seed) => seed,
            None => folder.begin().map_err(failed)?,
        };
        Ok(folder)
    }

    /// The seed of a folder that this version wrote.
    fn read_format(&self) -> io::Result<Option<u64>> {
        let bytes = match fs::read(self.dir.join(FORMAT)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        let seed = parse_format(&bytes);
        if seed.is_none() {
            tracing::warn!("the cache folder is of another version, or damaged: it starts empty");
        }
        Ok(seed)
    }

    /// Empties the folder and makes it this version's.
    fn begin(&self) -> io::Result<u64> {
        for number in self.regions()? {
            self.delete(number)?;
        }
        let seed = RandomState::new().hash_one(VERSION);
        let new = self.dir.join("format.new");
        let file = options().write(true).create(true).truncate(true).open(&new)?;
        file.write_all_at(&write_format(seed), 0)?;
        file.sync_all()?;
        fs::rename(&new, self.dir.join(FORMAT))?;
        self.sync()?;
        Ok(seed)
    }

    /// The numbers of the regions there are, the oldest first.
    pub(crate) fn regions(&self) -> io::Result<Vec<u32>> {
        let mut numbers = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            numbers.extend(entry?.file_name().to_str().and_then(region::number_of));
        }
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// Opens a region that is there.
    pub(crate) fn region(&self, number: u32) -> io::Result<Region> {
        let file = options().write(true).open(self.path(number))?;
        Ok(self.made(number, file))
    }

    /// Begins a region, whose number was never used; but for what an attempt that failed left.
    pub(crate) fn create(&self, number: u32) -> io::Result<Region> {
        let mut options = options();
        let file = options.write(true).create(true).truncate(true).open(self.path(number))?;
        let region = self.made(number, file);
        region.write(&region::header(number), 0)?;
        Ok(region)
    }

    #[cfg_attr(not(test), expect(clippy::unused_self, reason = "tests have it pass faults on"))]
    fn made(&self, number: u32, file: File) -> Region {
        Region {
            number,
            file,
            #[cfg(test)]
            faults: self.faults.clone(),
        }
    }

    /// Deletes a region's file.
    pub(crate) fn delete(&self, number: u32) -> io::Result<()> {
        fs::remove_file(self.path(number))
    }

    /// Makes files that were begun and deleted last through a loss of power.
    pub(crate) fn sync(&self) -> io::Result<()> {
        File::open(&self.dir)?.sync_all()
    }

    fn path(&self, number: u32) -> PathBuf {
        self.dir.join(region::file_name(number))
    }
}

impl Region {
    /// Reads `len` bytes; fewer are an error. Blocks.
    pub(crate) fn read(&self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; len];
        #[cfg(test)]
        self.faults.on_read()?;
        self.file.read_exact_at(&mut bytes, offset)?;
        Ok(bytes)
    }

    /// Writes bytes, all of them. Blocks.
    pub(crate) fn write(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let written = self.file.write_all_at(bytes, offset);
        // What fails may have been written all the same.
        #[cfg(test)]
        self.faults.on_write()?;
        written
    }

    /// Writes bytes at the end of the file; where that fails, the file ends where it did. Blocks.
    pub(crate) fn append(&self, bytes: &[u8], end: u64) -> io::Result<()> {
        let written = self.write(bytes, end);
        if written.is_err() {
            let _ = self.truncate(end);
        }
        written
    }

    /// Makes what was written last through a loss of power. Blocks.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    pub(crate) fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    pub(crate) fn truncate(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }
}

/// Files are for their owner alone.
fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).mode(0o600);
    options
}

fn write_format(seed: u64) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.extend_from_slice(&seed.to_le_bytes());
    let proof = sum(&out);
    out.extend_from_slice(&proof.to_le_bytes());
    out
}

fn parse_format(bytes: &[u8]) -> Option<u64> {
    let (front, proof) = bytes.split_at_checked(bytes.len().checked_sub(8)?)?;
    let mut read = Cursor::new(front);
    let sound =
        Cursor::new(proof).u64()? == sum(front) && read.take(8)? == MAGIC && read.u32()? == VERSION;
    read.u64().filter(|_| sound)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_folder_has_one_owner_and_nobody_else_reads_it() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("cache");
        let folder = Folder::open(&dir).unwrap();
        folder.create(3).unwrap();
        let refused = Folder::open(&dir).unwrap_err().to_string();
        let sentence = format!("the cache folder {} is in use by another process", dir.display());
        assert_eq!(refused, sentence);
        assert_eq!(fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o700);
        for file in ["lock", "format", "region-00000003"] {
            let mode = fs::metadata(dir.join(file)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{file}");
        }
        let seed = folder.seed;
        drop(folder);
        let folder = Folder::open(&dir).unwrap();
        assert_eq!((folder.seed, folder.regions().unwrap()), (seed, vec![3]));
    }

    #[test]
    fn another_version_starts_empty() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path()).unwrap();
        folder.create(1).unwrap();
        drop(folder);
        let mut format = write_format(1);
        format[8] ^= 2;
        let (front, _) = format.split_at(20);
        let other = [front, &sum(front).to_le_bytes()].concat();
        fs::write(dir.path().join(FORMAT), other).unwrap();
        assert!(Folder::open(dir.path()).unwrap().regions().unwrap().is_empty());
    }
}
