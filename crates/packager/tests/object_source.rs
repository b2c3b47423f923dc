//! Objects of a store as sources: few requests for a segment, and never two states mixed.

#![cfg(feature = "http")]
#![cfg(feature = "object-store")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

mod shell;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use headwater_packager::source::{
    AnySource, BlockCache, Coalescing, Gathered, ObjectSource, SourceError,
};
use headwater_packager::units::ByteRange;
use headwater_packager::{Assets, Source, SourceId};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use shell::{get, memory, packager, segment_urls};

/// Counts the requests that reach a store.
#[derive(Clone)]
struct Counted {
    inner: ObjectSource,
    requests: Arc<AtomicU64>,
}

impl Source for Counted {
    fn id(&self) -> &SourceId {
        self.inner.id()
    }

    fn coalescing(&self) -> Coalescing {
        self.inner.coalescing()
    }

    async fn read(&self, ranges: &[ByteRange]) -> Result<Vec<Bytes>, SourceError> {
        self.requests.fetch_add(ranges.len() as u64, Ordering::SeqCst);
        self.inner.read(ranges).await
    }

    async fn gather(&self, ranges: &[ByteRange]) -> Result<Gathered, SourceError> {
        let gathered = self.inner.gather(ranges).await?;
        self.requests.fetch_add(gathered.reads, Ordering::SeqCst);
        Ok(gathered)
    }
}

async fn stored(bytes: &[u8]) -> (Arc<InMemory>, Path) {
    let (store, path) = (Arc::new(InMemory::new()), Path::from("films/film.mp4"));
    store.put(&path, Bytes::copy_from_slice(bytes).into()).await.unwrap();
    (store, path)
}

#[tokio::test]
async fn a_segment_takes_at_most_8_requests_and_neighbours_share_them() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("film.mp4");
    // 4 s of this are 6 to 7 MB, in segments of 2 s and of 12 s.
    shell::encode(&file, "1280x720", 12, 50, "14M");
    let bytes = std::fs::read(file).unwrap();
    assert!(bytes.len() > 10 << 20, "{}", bytes.len());
    let (store, path) = stored(&bytes).await;
    let object = ObjectSource::open(store, path, "film.mp4").await.unwrap();
    let requests = Arc::new(AtomicU64::new(0));
    let counted = Counted { inner: object, requests: Arc::clone(&requests) };
    let (near, _) = packager(memory("film", bytes.clone()));
    // Without the cache neighbours share nothing, and a segment takes no more requests.
    let plain = vec![AnySource::new(counted.clone())];
    let (far, _) = packager(Assets::from_sources([("film".to_owned(), plain)]).unwrap());
    for track in ["a1", "v1"] {
        let urls = segment_urls(&far, "film", track).await;
        for (url, near_url) in urls.iter().zip(segment_urls(&near, "film", track).await) {
            let before = requests.load(Ordering::SeqCst);
            assert_eq!(get(&far, url).await.body, get(&near, &near_url).await.body);
            let taken = requests.load(Ordering::SeqCst) - before;
            assert!(taken <= 8, "{url} took {taken} requests");
        }
    }
    let far = AnySource::new(BlockCache::new(64 << 20).wrap(counted));
    let assets = Assets::from_sources([("film".to_owned(), vec![far])]).unwrap();
    let (far, _) = packager(assets);
    let mut most = 0;
    for track in ["a1", "v1"] {
        let urls = segment_urls(&far, "film", track).await;
        for (far_url, near_url) in urls.iter().zip(segment_urls(&near, "film", track).await) {
            let before = requests.load(Ordering::SeqCst);
            assert_eq!(get(&far, far_url).await.body, get(&near, &near_url).await.body);
            most = most.max(requests.load(Ordering::SeqCst) - before);
        }
    }
    assert!(most <= 8, "{most}");
    // Sound, then pictures: each byte of the file was read about once.
    let read = far.metrics().source_read_bytes.get();
    assert!(read <= bytes.len() as u64 + (1 << 20), "{read} of {}", bytes.len());
}

#[tokio::test]
async fn an_object_that_is_replaced_is_noticed() {
    let (store, path) = stored(&[1; 5_000]).await;
    let source = ObjectSource::open(Arc::clone(&store) as _, path.clone(), "x").await.unwrap();
    let range = ByteRange { start: 10, len: 20 };
    assert_eq!(source.read(&[range]).await.unwrap()[0], [1; 20][..]);
    let beyond = ByteRange { start: 4_999, len: 2 };
    assert_eq!(source.read(&[beyond]).await, Err(SourceError::Truncated));
    store.put(&path, Bytes::from_static(&[2; 5_000]).into()).await.unwrap();
    assert_eq!(source.read(&[range]).await, Err(SourceError::Changed));
    store.delete(&path).await.unwrap();
    assert_eq!(source.read(&[range]).await, Err(SourceError::NotFound));
    let absent = ObjectSource::open(store as Arc<dyn ObjectStore>, path, "x").await;
    assert_eq!(absent.err(), Some(SourceError::NotFound));
}
