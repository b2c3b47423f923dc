//! A source that is a local file.

use std::fs::{File, Metadata};
use std::io::ErrorKind;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use headwater_net::Timestamp;

use super::gather::{Gathering, Layout};
use super::{BufferPool, Coalescing, Gathered, Source, SourceError, Written};
use crate::identity::{Fnv, SourceId};
use crate::units::ByteRange;

/// A local file, held open.
///
/// The descriptor is held as long as the source lives: a file that is replaced by renaming another
/// over it stays readable as it was, unless the other has the same identity and so would be taken
/// for this one. A file that is written in place changes its modification time, or at least its
/// change time, which each read looks at after it has read. Reads of what is changed fail with
/// [`SourceError::Changed`], unless it [may grow](Source::allow_growth) and has only become longer.
///
/// What the page cache holds is gathered where it is asked for; what a disk must be waited for, on
/// tokio's blocking threads.
#[derive(Debug, Clone)]
pub struct FileSource {
    file: Arc<File>,
    path: Arc<Path>,
    id: SourceId,
    stamp: Stamp,
    written: Option<Written>,
    grows: Arc<AtomicBool>,
    pool: Arc<BufferPool>,
}

impl FileSource {
    /// Opens a regular file under a name for its identity (such as its path below some folder).
    /// The identity is that name, the size and the modification time, so that copies which keep
    /// their times have the same on every machine. Blocks on the file system.
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
        let id = stamp.identity(name);
        let written = metadata.modified().ok().map(|changed| Written {
            started: metadata.created().ok().map(Timestamp::from),
            changed: Timestamp::from(changed),
        });
        let (file, grows) = (Arc::new(file), Arc::default());
        Ok(Self { file, path: path.into(), id, stamp, written, grows, pool })
    }

    /// What the file was when it was opened.
    pub(crate) fn stamp(&self) -> Stamp {
        self.stamp
    }
}

/// What the file system says of a file: all that can tell a change of it on this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    content: Content,
    device: u64,
    inode: u64,
    /// Seconds and nanoseconds of the last change of bytes, times, names or mode. Unlike the
    /// modification time nobody can set it back.
    changed: (i64, i64),
}

/// What of it is the same for copies on other machines: size and modification time to the
/// nanosecond.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Content {
    size: u64,
    seconds: i64,
    nanoseconds: i64,
}

impl Stamp {
    pub(crate) fn of(metadata: &Metadata) -> Self {
        Self {
            content: Content::of(metadata),
            device: metadata.dev(),
            inode: metadata.ino(),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// The identity of the file under a name.
    pub(crate) fn identity(self, name: String) -> SourceId {
        let Content { size, seconds, nanoseconds } = self.content;
        SourceId::new(name, size, format!("{seconds}.{nanoseconds:09}"))
    }

    /// For keys that do not leave this process.
    pub(crate) fn mix_into(self, hash: &mut Fnv) {
        let Self { content, device, inode, changed } = self;
        for part in [content.size, device, inode] {
            hash.field(&part.to_be_bytes());
        }
        for part in [content.seconds, content.nanoseconds, changed.0, changed.1] {
            hash.field(&part.to_be_bytes());
        }
    }
}

impl Content {
    fn of(metadata: &Metadata) -> Self {
        Self {
            size: metadata.size(),
            seconds: metadata.mtime(),
            nanoseconds: metadata.mtime_nsec(),
        }
    }
}

/// Refuses folders, pipes and devices.
pub(crate) fn require_regular(metadata: &Metadata) -> Result<(), SourceError> {
    if metadata.is_file() { Ok(()) } else { Err(SourceError::Io(ErrorKind::InvalidInput)) }
}

impl Source for FileSource {
    fn id(&self) -> &SourceId {
        &self.id
    }

    fn written(&self) -> Option<Written> {
        self.written
    }

    fn allow_growth(&self) {
        self.grows.store(true, Ordering::Relaxed);
    }

    async fn read(&self, ranges: &[ByteRange]) -> Result<Vec<Bytes>, SourceError> {
        let total = ranges.iter().fold(0_u64, |sum, range| sum.saturating_add(range.len));
        if total <= Coalescing::LOCAL.window_bytes {
            let gathered = self.gather(ranges).await?;
            let mut all = gathered.pieces.into_iter().next().unwrap_or_default();
            return Ok(ranges.iter().map(|range| all.split_to(range.len as usize)).collect());
        }
        let source = self.clone();
        let ranges = ranges.to_vec();
        tokio::task::spawn_blocking(move || source.read_blocking(&ranges))
            .await
            .map_err(|_| SourceError::Io(std::io::ErrorKind::Interrupted))?
    }

    async fn gather(&self, ranges: &[ByteRange]) -> Result<Gathered, SourceError> {
        let layout = Layout::of(ranges, self.id.size)?;
        let buffer = self.pool.take(layout.buffer_len());
        let mut gathering = Gathering::new(layout, buffer);
        if gathering.read_cached(&self.file) {
            return self.gathered(gathering);
        }
        let source = self.clone();
        tokio::task::spawn_blocking(move || {
            let outcome = gathering.read_rest(&source.file);
            if outcome.is_err() && source.changed() {
                return Err(SourceError::Changed);
            }
            outcome?;
            source.gathered(gathering)
        })
        .await
        .map_err(|_| SourceError::Io(std::io::ErrorKind::Interrupted))?
    }
}

impl FileSource {
    /// What was gathered, if the file is still the one that it was.
    fn gathered(&self, gathering: Gathering) -> Result<Gathered, SourceError> {
        // The kernel sets the times before it writes: a file that still has the old ones after the
        // reads had the old bytes during them.
        if self.changed() {
            return Err(SourceError::Changed);
        }
        let (buffer, read_bytes, reads) = gathering.finish();
        Ok(Gathered { pieces: vec![Bytes::from_owner(buffer)], read_bytes, reads })
    }

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
        if self.changed() { Err(SourceError::Changed) } else { Ok(read) }
    }

    fn changed(&self) -> bool {
        let Ok(metadata) = self.file.metadata() else { return true };
        if Content::of(&metadata) != self.stamp.content {
            let grown = metadata.size() > self.id.size;
            return !(grown && self.grows.load(Ordering::Relaxed));
        }
        if metadata.nlink() > 0 && Stamp::of(&metadata) == self.stamp {
            return false;
        }
        // It lost its name, or something of it was changed that is no content by its own account.
        // What now has the name decides: another identity leaves these bytes to this one; the same
        // is either another file in its place or this one with its time set back.
        match self.path.metadata() {
            Ok(named) => Content::of(&named) == self.stamp.content,
            Err(error) => error.kind() != ErrorKind::NotFound,
        }
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

    fn date(path: &Path, seconds: u64) {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        fs::OpenOptions::new().write(true).open(path).unwrap().set_modified(time).unwrap();
    }

    #[tokio::test]
    async fn a_file_renamed_over_leaves_the_old_bytes_readable() {
        let dir = tempfile::tempdir().unwrap();
        let (path, other) = (dir.path().join("a"), dir.path().join("b"));
        write(&path, 1);
        write(&other, 2);
        date(&path, 1);
        let source = FileSource::open(&path, "a").unwrap();
        fs::rename(&other, &path).unwrap();
        assert_eq!(source.read(&[ALL]).await.unwrap()[0], vec![1; 300_000]);
        assert_ne!(FileSource::open(&path, "a").unwrap().id(), source.id());
    }

    #[tokio::test]
    async fn a_file_renamed_over_that_looks_the_same_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let (path, other) = (dir.path().join("a"), dir.path().join("b"));
        for (path, byte) in [(&path, 1), (&other, 2)] {
            write(path, byte);
            date(path, 1);
        }
        let source = FileSource::open(&path, "a").unwrap();
        assert_eq!(source.read(&[ALL]).await.unwrap()[0], vec![1; 300_000]);
        fs::rename(&other, &path).unwrap();
        assert_eq!(source.read(&[ALL]).await, Err(SourceError::Changed));
        let next = FileSource::open(&path, "a").unwrap();
        assert_eq!(next.id(), source.id());
        assert_ne!(next.stamp(), source.stamp());
        assert_eq!(next.read(&[ALL]).await.unwrap()[0], vec![2; 300_000]);
    }

    #[test]
    fn copies_have_one_identity() {
        let dir = tempfile::tempdir().unwrap();
        let (path, copy) = (dir.path().join("a"), dir.path().join("b"));
        write(&path, 1);
        fs::copy(&path, &copy).unwrap();
        date(&path, 1);
        date(&copy, 1);
        let id = |path| FileSource::open(path, "name").unwrap().id;
        assert_eq!(id(&path), id(&copy));
        date(&copy, 2);
        assert_ne!(id(&path), id(&copy));
    }

    #[tokio::test]
    async fn a_file_that_lost_its_name_stays_readable() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        write(&path, 1);
        let source = FileSource::open(&path, "a").unwrap();
        fs::remove_file(&path).unwrap();
        assert_eq!(source.read(&[ALL]).await.unwrap()[0], vec![1; 300_000]);
    }

    #[tokio::test]
    async fn a_file_written_in_place_is_an_error_not_a_mixture() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        write(&path, 1);
        date(&path, 1);
        let source = FileSource::open(&path, "a").unwrap();
        assert_eq!(source.read(&[ALL]).await.unwrap()[0], vec![1; 300_000]);
        let mut writer = fs::OpenOptions::new().write(true).open(&path).unwrap();
        writer.write_all(&[2; 10]).unwrap();
        assert_eq!(source.read(&[ALL]).await, Err(SourceError::Changed));
    }

    #[tokio::test]
    async fn a_file_that_may_grow_is_read_as_far_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        write(&path, 1);
        date(&path, 1);
        let source = FileSource::open(&path, "a").unwrap();
        let mut writer = fs::OpenOptions::new().append(true).open(&path).unwrap();
        writer.write_all(&[2; 10]).unwrap();
        assert_eq!(source.read(&[ALL]).await, Err(SourceError::Changed));
        source.allow_growth();
        assert_eq!(source.read(&[ALL]).await.unwrap()[0], vec![1; 300_000]);
        writer.set_len(299_999).unwrap();
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
        assert_eq!(folder, Err(SourceError::Io(ErrorKind::InvalidInput)));
        let absent = FileSource::open(&dir.path().join("x"), "x").map(|source| source.id);
        assert_eq!(absent, Err(SourceError::NotFound));
    }
}
