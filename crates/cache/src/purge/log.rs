//! Purges on disk: a file that records are appended to, each synced before it is acknowledged.
//!
//! A record that was being written when the power went is cut off when the file is opened: nobody
//! was told that it was done. Where records *before* readable ones are damaged, a purge that was
//! acknowledged may be among them: then everything fetched before the last readable record counts
//! as purged. The file is written anew, and put in place of the old one, when half of it says
//! nothing any more, and after a write that failed.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use headwater_net::Timestamp;

use super::ledger::{Ledger, Numbered};
use super::record::Record;
use super::{Number, PurgeSeq, Scope};

/// The longest file that is read: one that is written here stays far below.
const MAX_FILE: u64 = 256 << 20;
/// Bytes beyond what is needed before the file is written anew.
const SLACK: u64 = 1 << 20;

/// A file of purges, for one cache of one process.
#[derive(Debug)]
pub struct PurgeLog {
    path: PathBuf,
    file: File,
    /// The bytes of whole records in the file.
    len: u64,
    /// A write failed: what the file holds past `len`, or holds at all, is not known.
    dirty: bool,
    read: Vec<Record>,
}

/// A purge before it has its number.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) scope: Scope,
    pub(super) soft: bool,
    pub(super) agreed: bool,
    pub(super) number: Number,
    /// The caller's purge before it.
    pub(super) follows: Option<PurgeSeq>,
    pub(super) now: Timestamp,
}

impl Draft {
    /// The record it becomes, or the number of what it repeats. See [`Ledger::number`].
    pub(super) fn number(mut self, ledger: &Ledger) -> Result<Record, PurgeSeq> {
        if self.follows.is_some_and(|before| before > ledger.order()) {
            // What the missing one was about is not known.
            (self.scope, self.soft) = (Scope::All, false);
        }
        match ledger.number(self.number, self.now) {
            Numbered::Already(seq) => Err(seq),
            Numbered::Next(mark) => {
                let order = match self.number {
                    Number::Callers(order) => Some(order),
                    Number::Own | Number::Shields(_) => None,
                };
                Ok(Record { mark, order, soft: self.soft, agreed: self.agreed, scope: self.scope })
            }
        }
    }
}

impl PurgeLog {
    /// Opens the file, or makes it (readable by its owner alone), and reads what was purged.
    /// Blocks.
    ///
    /// # Errors
    /// Whatever keeps the file from being read and written.
    pub fn open(path: impl Into<PathBuf>) -> io::Result<Self> {
        let path = path.into();
        let file = options().read(true).open(&path)?;
        let size = file.metadata()?.len();
        if size > MAX_FILE {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it is no log of purges"));
        }
        let mut bytes = Vec::with_capacity(size as usize);
        (&file).take(MAX_FILE).read_to_end(&mut bytes)?;
        let (read, len) = read(&bytes);
        let mut log = Self { path, file, len: len as u64, dirty: false, read };
        log.cut()?;
        sync_folder(&log.path)?;
        Ok(log)
    }

    /// Gives a ledger what was read; once.
    pub(super) fn restore(&mut self, ledger: &Ledger, now: Timestamp) {
        for record in std::mem::take(&mut self.read) {
            ledger.apply(&record, now);
        }
    }

    /// Its file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Goes on with a ledger that knows what was in the file up to `known`: takes in what came
    /// after, and writes down what it knows beside. Blocks.
    pub(super) fn resume(
        &mut self,
        ledger: &Ledger,
        known: PurgeSeq,
        now: Timestamp,
    ) -> io::Result<()> {
        for record in std::mem::take(&mut self.read) {
            if record.mark.seq > known {
                ledger.apply(&record, now);
            }
        }
        self.rewrite(ledger)
    }

    /// Writes a purge down, and then has the ledger know of it. Blocks until it is on disk.
    pub(super) fn write(&mut self, ledger: &Ledger, draft: Draft) -> io::Result<PurgeSeq> {
        let now = draft.now;
        let record = match draft.number(ledger) {
            Ok(record) => record,
            Err(already) => return Ok(already),
        };
        if self.dirty || self.len > 2 * ledger.bytes() as u64 + SLACK {
            self.rewrite(ledger)?;
        }
        let mut bytes = Vec::new();
        record.write(&mut bytes);
        let written = self.file.write_all(&bytes).and_then(|()| self.file.sync_data());
        if let Err(error) = written {
            self.dirty = true;
            return Err(error);
        }
        self.len += bytes.len() as u64;
        ledger.apply(&record, now);
        Ok(record.mark.seq)
    }

    /// Puts a new file in the old one's place, with what the ledger holds.
    fn rewrite(&mut self, ledger: &Ledger) -> io::Result<()> {
        let mut bytes = Vec::new();
        ledger.records().iter().for_each(|record| record.write(&mut bytes));
        let fresh = self.path.with_extension("new");
        let mut file = options().truncate(true).open(&fresh)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        std::fs::rename(&fresh, &self.path)?;
        sync_folder(&self.path)?;
        (self.file, self.len, self.dirty) = (file, bytes.len() as u64, false);
        Ok(())
    }

    /// Cuts off what is no whole record, and goes to the end.
    fn cut(&mut self) -> io::Result<()> {
        if self.file.metadata()?.len() != self.len {
            self.file.set_len(self.len)?;
            self.file.sync_all()?;
        }
        self.file.seek(io::SeekFrom::Start(self.len)).map(drop)
    }
}

/// The records of a file, and the length up to which it holds them.
fn read(bytes: &[u8]) -> (Vec<Record>, usize) {
    let (mut records, mut at): (Vec<Record>, usize) = (Vec::new(), 0);
    let mut lost = false;
    loop {
        let rest = bytes.get(at..).unwrap_or_default();
        match Record::read(rest) {
            Some((record, len)) => {
                records.push(record);
                at += len;
            }
            None => match Record::find(rest) {
                Some(skipped) => {
                    lost = true;
                    at += skipped;
                }
                None => break,
            },
        }
    }
    if lost && let Some(last) = records.iter().map(|record| record.mark).max() {
        tracing::error!(
            "the log of purges is damaged: all that was fetched before counts as purged"
        );
        records.push(Record {
            mark: last,
            order: None,
            soft: false,
            agreed: false,
            scope: Scope::All,
        });
    }
    (records, at)
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600);
    options
}

/// Makes the file's name as durable as its bytes.
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;
    use crate::purge::Tags;
    use crate::purge::ledger::Verdict;

    const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

    struct Kept {
        ledger: Ledger,
        log: PurgeLog,
    }

    fn open(path: &Path) -> Kept {
        let ledger = Ledger::default();
        let mut log = PurgeLog::open(path).unwrap();
        log.restore(&ledger, NOW);
        Kept { ledger, log }
    }

    impl Kept {
        fn purge(&mut self, tag: u64) -> io::Result<PurgeSeq> {
            self.log.write(
                &self.ledger,
                Draft {
                    scope: Scope::Tag(tag),
                    soft: false,
                    agreed: false,
                    number: Number::Own,
                    follows: None,
                    now: NOW,
                },
            )
        }

        fn is_gone(&self, tag: u64) -> bool {
            let tags = Tags::from_hashes(vec![tag], false);
            matches!(self.ledger.judge(b"", &tags, PurgeSeq::default()), Verdict::Gone(_))
        }
    }

    fn place() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("purges.log");
        (folder, path)
    }

    #[test]
    fn what_was_acknowledged_is_there_after_a_restart_and_a_torn_tail_is_not_in_the_way() {
        let (_folder, path) = place();
        let mut kept = open(&path);
        let first = kept.purge(1).unwrap();
        let second = kept.purge(2).unwrap();
        drop(kept);
        let whole = std::fs::read(&path).unwrap();
        for cut in whole.len() / 2 + 1..whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let mut kept = open(&path);
            assert_eq!(kept.ledger.newest(), first, "{cut}");
            assert!(kept.is_gone(1) && !kept.is_gone(2));
            kept.purge(3).unwrap();
            assert!(open(&path).is_gone(3), "what follows a torn record is read");
        }
        std::fs::write(&path, &whole).unwrap();
        assert_eq!(open(&path).ledger.newest(), second);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn damage_before_readable_records_counts_as_a_purge_of_all() {
        let (_folder, path) = place();
        let mut kept = open(&path);
        kept.purge(1).unwrap();
        let last = kept.purge(2).unwrap();
        drop(kept);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[20] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        let kept = open(&path);
        assert!(kept.is_gone(1) && kept.is_gone(77));
        assert_eq!(kept.ledger.newest(), last);
    }

    #[test]
    fn a_long_log_is_written_anew_with_what_counts() {
        let (_folder, path) = place();
        let mut kept = open(&path);
        kept.purge(1).unwrap();
        kept.log.len = 4 * SLACK;
        kept.purge(1).unwrap();
        let last = kept.purge(2).unwrap();
        // Two of the first tag before it was written anew, and one after.
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(read(&bytes).0.len(), 3);
        assert_eq!(kept.log.len, bytes.len() as u64);
        let again = open(&path);
        assert!(again.is_gone(1) && again.is_gone(2) && !again.is_gone(3));
        assert_eq!(again.ledger.newest(), last);
    }

    #[test]
    fn a_purge_that_cannot_be_written_is_not_done_and_the_next_one_mends_the_log() {
        let (_folder, path) = place();
        let mut kept = open(&path);
        kept.purge(1).unwrap();
        kept.log.file = File::open(&path).unwrap();
        assert!(kept.purge(2).is_err());
        assert!(!kept.is_gone(2));
        kept.purge(3).unwrap();
        let again = open(&path);
        assert!(again.is_gone(1) && !again.is_gone(2) && again.is_gone(3));
    }

    #[test]
    fn a_file_of_another_kind_holds_no_purges() {
        let (_folder, path) = place();
        std::fs::write(&path, b"HWPG is not enough").unwrap();
        assert_eq!(open(&path).ledger.newest(), PurgeSeq::default());
    }
}
