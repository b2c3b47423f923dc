//! Where scans of fragments are kept between builds, so that a long recording is walked once.
//!
//! With a folder they survive restarts: a file for each source, written beside its name and then
//! renamed, so that it is there whole or not at all. Without, as many as fit are in memory.
//! Whatever is wrong with one is found when it is read, and then it is made anew.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use moka::sync::Cache;

use crate::identity::Fnv;

/// Kept scans, by the name of their source.
#[derive(Debug, Clone)]
pub(crate) struct Scans {
    place: Place,
}

#[derive(Debug, Clone)]
enum Place {
    Memory(Cache<String, Bytes>),
    Folder(Arc<Folder>),
}

#[derive(Debug)]
struct Folder {
    path: PathBuf,
    written: AtomicU64,
}

impl Scans {
    /// In memory, up to this many bytes.
    pub(crate) fn in_memory(bytes: u64) -> Self {
        let weigh = |name: &String, scan: &Bytes| {
            u32::try_from(name.len() + scan.len()).unwrap_or(u32::MAX)
        };
        Self { place: Place::Memory(Cache::builder().max_capacity(bytes).weigher(weigh).build()) }
    }

    /// In a folder, which is made if it is not there.
    pub(crate) fn in_folder(path: PathBuf) -> Self {
        Self { place: Place::Folder(Arc::new(Folder { path, written: AtomicU64::new(0) })) }
    }

    /// What was kept for a source of that name.
    pub(crate) async fn load(&self, name: &str) -> Option<Bytes> {
        match &self.place {
            Place::Memory(cache) => cache.get(name),
            Place::Folder(folder) => {
                let path = folder.file(name);
                tokio::task::spawn_blocking(move || read(&path)).await.ok()?
            }
        }
    }

    /// Keeps a scan; a fault costs nothing but the scan's being done again.
    pub(crate) async fn save(&self, name: &str, scan: Bytes) {
        match &self.place {
            Place::Memory(cache) => cache.insert(name.to_owned(), scan),
            Place::Folder(folder) => {
                let (folder, name) = (Arc::clone(folder), name.to_owned());
                let saved = tokio::task::spawn_blocking(move || folder.save(&name, &scan)).await;
                if let Ok(Err(error)) = saved {
                    tracing::warn!(%error, "a scan of fragments was not kept");
                }
            }
        }
    }
}

impl Folder {
    fn file(&self, name: &str) -> PathBuf {
        let mut hash = Fnv::new();
        hash.field(name.as_bytes());
        self.path.join(format!("{:016x}.scan", hash.finish()))
    }

    fn save(&self, name: &str, scan: &[u8]) -> std::io::Result<()> {
        fs::create_dir_all(&self.path)?;
        let path = self.file(name);
        // Several packagers may share the folder.
        let number = self.written.fetch_add(1, Ordering::Relaxed);
        let beside = path.with_extension(format!("{}-{number}.tmp", std::process::id()));
        let written = fs::write(&beside, scan).and_then(|()| fs::rename(&beside, &path));
        if written.is_err() {
            let _ = fs::remove_file(&beside);
        }
        written
    }
}

fn read(path: &Path) -> Option<Bytes> {
    let file = fs::File::open(path).ok()?;
    let mut scan = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut scan).ok()?;
    (scan.len() as u64 <= LARGEST).then(|| scan.into())
}

/// The largest file that is read: more than the most samples of two tracks.
const LARGEST: u64 = 1 << 30;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    #[tokio::test]
    async fn both_places_keep_the_last_of_each_name() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("state");
        for scans in [Scans::in_memory(1 << 20), Scans::in_folder(folder.clone())] {
            assert_eq!(scans.load("a").await, None);
            scans.save("a", Bytes::from_static(b"one")).await;
            scans.save("b", Bytes::from_static(b"two")).await;
            scans.save("a", Bytes::from_static(b"three")).await;
            assert_eq!(scans.load("a").await.unwrap(), "three");
            assert_eq!(scans.load("b").await.unwrap(), "two");
        }
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 2, "nothing else is left there");
        let again = Scans::in_folder(folder);
        assert_eq!(again.load("a").await.unwrap(), "three");
    }
}
