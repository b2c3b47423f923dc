//! Downloads that are asked for in many ranges: the movie box of each is made once and kept,
//! bounded.

use std::sync::Arc;

use http::{HeaderValue, request};
use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use tokio::sync::Semaphore;

use super::answer::Answer;
use super::body::Outlet;
use super::builds::Ready;
use super::fault::Fault;
use crate::download::{Download, DownloadTracks, Wish};
use crate::presentation::Absent;

/// The cache of downloads.
#[derive(Debug)]
pub(super) struct Downloads {
    made: Cache<Key, Arc<Download>>,
    /// Each costs a look at every sample.
    permits: Arc<Semaphore>,
}

/// State of the files, and which tracks of them.
type Key = (u64, DownloadTracks);

impl Downloads {
    /// A cache of at most `capacity` bytes, and so many that are made at a time.
    pub(super) fn new(capacity: u64, at_once: usize) -> Self {
        let made = Cache::builder()
            .max_capacity(capacity)
            .weigher(|_, download: &Arc<Download>| {
                u32::try_from(download.weight_bytes() + size_of::<Key>()).unwrap_or(u32::MAX)
            })
            .eviction_policy(EvictionPolicy::lru())
            .build();
        Self { made, permits: Arc::new(Semaphore::new(at_once.max(1))) }
    }

    /// The answer to a request for [`Download::PATH`].
    pub(super) async fn answer(
        &self,
        request: &request::Parts,
        ready: &Arc<Ready>,
        outlet: &Arc<Outlet>,
    ) -> Result<Answer, Fault> {
        let (video, audio) = Wish::of_query(request.uri.query().unwrap_or_default())?;
        let media = ready.presentation.media();
        let tracks = media.download_tracks(video, audio).ok_or(Absent::NotFound)?;
        let presentation = ready.presentation.clone();
        let make = move || presentation.download(tracks);
        let download = self.get((ready.key(), tracks), make).await?;
        let name = file_name(ready.presentation.name());
        Answer::download(request, ready, download, tracks, name, outlet).await
    }

    async fn get(
        &self,
        key: Key,
        make: impl FnOnce() -> Option<Download> + Send + 'static,
    ) -> Result<Arc<Download>, Fault> {
        if let Some(download) = self.made.get(&key) {
            return Ok(download);
        }
        let permits = Arc::clone(&self.permits);
        let permit = permits.acquire_owned().await.map_err(|_| Fault::Busy)?;
        // Another request may have made it meanwhile.
        if let Some(download) = self.made.get(&key) {
            return Ok(download);
        }
        let cache = self.made.clone();
        // A client that leaves does not stop it: the permit and the result go with the work.
        let made = tokio::task::spawn_blocking(move || {
            let download = Arc::new(make()?);
            cache.insert(key, Arc::clone(&download));
            drop(permit);
            Some(download)
        });
        Ok(made.await.map_err(|_| Fault::Busy)?.ok_or(Absent::NotFound)?)
    }
}

/// `Content-Disposition` with the asset's name twice (RFC 6266 §4.3): in ASCII for everyone, and
/// as it is in the encoding of RFC 8187.
fn file_name(asset: &str) -> Option<HeaderValue> {
    let plain =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, ' ' | '-' | '_' | '.' | '(' | ')');
    let ascii: String = asset.chars().map(|c| if plain(c) { c } else { '_' }).collect();
    let encoded = crate::assets::encode_name(asset);
    let value = format!("attachment; filename=\"{ascii}.mp4\"; filename*=UTF-8''{encoded}.mp4");
    HeaderValue::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use std::future::Future as _;

    use super::*;

    #[test]
    fn file_names_are_safe() {
        assert_eq!(
            file_name("A \"film\" (1999)").unwrap(),
            "attachment; filename=\"A _film_ (1999).mp4\"; \
             filename*=UTF-8''A%20%22film%22%20%281999%29.mp4"
        );
        assert_eq!(
            file_name("你").unwrap(),
            "attachment; filename=\"_.mp4\"; filename*=UTF-8''%E4%BD%A0.mp4"
        );
    }

    #[tokio::test]
    async fn a_client_that_leaves_frees_no_permit() {
        let downloads = Downloads::new(1 << 20, 1);
        let key = (0, DownloadTracks { video: None, audio: None });
        let (finish, finished) = std::sync::mpsc::channel::<()>();
        let mut request = Box::pin(downloads.get(key, move || {
            finished.recv().ok();
            None
        }));
        let polled = std::future::poll_fn(|context| {
            std::task::Poll::Ready(request.as_mut().poll(context).is_pending())
        });
        assert!(polled.await);
        drop(request);
        assert_eq!(downloads.permits.available_permits(), 0);
        finish.send(()).unwrap();
        assert!(downloads.permits.acquire().await.is_ok());
    }
}
