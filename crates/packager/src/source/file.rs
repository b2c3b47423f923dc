//! A source that is a local file.

use std::fs::{File, Metadata};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use super::{BufferPool, Source, SourceError};
use crate::identity::SourceId;
use crate::units::ByteRange;

/// A local file, held open.
///
/// The descriptor is held as long as the source lives: a file that is replaced by renaming another
/// over it stays readable as it was. A file that is written in place changes its modification
/// time, which each read looks at after it has read; such reads fail with
/// [`SourceError::Changed`]. Reading runs on tokio's blocking threads.
#[derive(Debug, Clone)]
pub struct FileSource {
    file: Arc<File>,
    id: SourceId,
    stamp: Stamp,
    pool: Arc<BufferPool>,
}

impl FileSource {
    /// Opens a regular file under a name for its identity (such as its path below some folder).
    /// Blocks on the file system.
    pub fn open(path: &Path, name: impl Into<String>) -> Result<Self, SourceError> {
        Self::open_pooled(path, name.into(), Arc::default())
    }

    /// As [`open`](Self::open), with buffers that are shared with other sources.
    pub(crate) fn open_pooled(
        path: &Path,
        name: String,
        pool: Arc<BufferPool>,
    ) -> Result<Self, SourceError> {
        // Looked at before it is opened: opening a pipe would wait for its writer.
        require_regular(&path.metadata()?)?;
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        require_regular(&metadata)?;
        let stamp = Stamp::of(&metadata);
        Ok(Self { file: Arc::new(file), id: stamp.identity(name), stamp, pool })
    }
}

/// What is different once a file's bytes are: its size, its modification time to the nanosecond,
/// its inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    size: u64,
    seconds: i64,
    nanoseconds: i64,
    inode: u64,
}

impl Stamp {
    pub(crate) fn of(metadata: &Metadata) -> Self {
        Self {
            size: metadata.size(),
            seconds: metadata.mtime(),
            nanoseconds: metadata.mtime_nsec(),
            inode: metadata.ino(),
        }
    }

    /// The identity of the file under a name.
    pub(crate) fn identity(self, name: String) -> SourceId {
        let Self { size, seconds, nanoseconds, inode } = self;
        SourceId::new(name, size, format!("{seconds}.{nanoseconds:09}-{inode:x}"))
    }
}

/// Refuses folders, pipes and devices.
pub(crate) fn require_regular(metadata: &Metadata) -> Result<(), SourceError> {
    if metadata.is_file() { Ok(()) } else { Err(SourceError::Io(std::io::ErrorKind::InvalidInput)) }
}

impl Source for FileSource {
    fn id(&self) -> &SourceId {
        &self.id
    }

    async fn read(&self, ranges: &[ByteRange]) -> Result<Vec<Bytes>, SourceError> {
        let source = self.clone();
        let ranges = ranges.to_vec();
        tokio::task::spawn_blocking(move || source.read_blocking(&ranges))
            .await
            .map_err(|_| SourceError::Io(std::io::ErrorKind::Interrupted))?
    }
}

impl FileSource {
    fn read_blocking(&self, ranges: &[ByteRange]) -> Result<Vec<Bytes>, SourceError> {
        let mut read = Vec::with_capacity(ranges.len());
        for range in ranges {
            // Checked before memory is taken for it.
            if range.end() > self.id.size {
                return Err(SourceError::Truncated);
            }
            let len = usize::try_from(range.len).map_err(|_| SourceError::Truncated)?;
            let mut buffer = self.pool.take(len);
            let outcome = self.file.read_exact_at(buffer.as_mut(), range.start);
            if outcome.is_err() && self.changed() {
                return Err(SourceError::Changed);
            }
            outcome?;
            read.push(Bytes::from_owner(buffer));
        }
        // The kernel sets the modification time before it writes: a file that still has the old
        // time after the reads had the old bytes during them.
        if self.changed() { Err(SourceError::Changed) } else { Ok(read) }
    }

    fn changed(&self) -> bool {
        self.file.metadata().map_or(true, |metadata| Stamp::of(&metadata) != self.stamp)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use std::fs;
    use std::io::Write;
    use std::time::{Duration, SystemTime};

    use super::*;

    const ALL: ByteRange = ByteRange { start: 0, len: 300_000 };

    fn write(path: &Path, byte: u8) {
        fs::write(path, vec![byte; 300_000]).unwrap();
    }

    #[tokio::test]
    async fn a_file_renamed_over_leaves_the_old_bytes_readable() {
        let dir = tempfile::tempdir().unwrap();
        let (path, other) = (dir.path().join("a"), dir.path().join("b"));
        write(&path, 1);
        write(&other, 2);
        let source = FileSource::open(&path, "a").unwrap();
        fs::rename(&other, &path).unwrap();
        assert_eq!(source.read(&[ALL]).await.unwrap()[0], vec![1; 300_000]);
        assert_ne!(FileSource::open(&path, "a").unwrap().id(), source.id());
    }

    #[tokio::test]
    async fn a_file_written_in_place_is_an_error_not_a_mixture() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        write(&path, 1);
        let old = File::open(&path).unwrap();
        old.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1)).unwrap();
        let source = FileSource::open(&path, "a").unwrap();
        assert_eq!(source.read(&[ALL]).await.unwrap()[0], vec![1; 300_000]);
        let mut writer = fs::OpenOptions::new().write(true).open(&path).unwrap();
        writer.write_all(&[2; 10]).unwrap();
        assert_eq!(source.read(&[ALL]).await, Err(SourceError::Changed));
    }

    #[tokio::test]
    async fn a_file_cut_short_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        write(&path, 1);
        let source = FileSource::open(&path, "a").unwrap();
        fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(10).unwrap();
        assert_eq!(source.read(&[ALL]).await, Err(SourceError::Changed));
        let beyond = ByteRange { start: 299_999, len: 2 };
        assert_eq!(source.read(&[beyond]).await, Err(SourceError::Truncated));
    }

    #[test]
    fn only_regular_files_are_opened() {
        let dir = tempfile::tempdir().unwrap();
        let folder = FileSource::open(dir.path(), "d").map(|source| source.id);
        assert_eq!(folder, Err(SourceError::Io(std::io::ErrorKind::InvalidInput)));
        let absent = FileSource::open(&dir.path().join("x"), "x").map(|source| source.id);
        assert_eq!(absent, Err(SourceError::NotFound));
    }
}
