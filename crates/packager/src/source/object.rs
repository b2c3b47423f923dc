//! Sources that are objects of a store: S3, Azure, Google, or anything else that speaks
//! [`object_store`].
//!
//! An object's identity is its entity tag with its size, as the store tells them; every read
//! demands that tag (`If-Match`), and what comes is checked against it.

use std::fmt;
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectMeta, ObjectStore};

use super::SourceError;
use super::remote::{Fetch, Remote};
use crate::identity::SourceId;
use crate::units::ByteRange;

/// One state of an object. Retries and connection time-outs are those that the store was set up
/// with; whatever they are, a read takes at most [`READ_TIMEOUT`](Self::READ_TIMEOUT).
pub type ObjectSource = Remote<Object>;

/// An object of a store.
#[derive(Clone)]
pub struct Object {
    store: Arc<dyn ObjectStore>,
    path: Path,
    size: u64,
    /// As the store spells it.
    etag: String,
}

impl ObjectSource {
    /// How long one request may take in all.
    pub const READ_TIMEOUT: Duration = Duration::from_secs(60);

    /// The most bytes asked for by one request; longer ranges take several.
    pub const MAX_REQUEST_BYTES: u64 = 8 << 20;

    /// An object as it is now, under a name for its identity (such as `bucket/path`).
    ///
    /// # Errors
    /// [`SourceError::Unfit`] where the store gives no strong entity tag.
    pub async fn open(
        store: Arc<dyn ObjectStore>,
        path: Path,
        name: impl Into<String>,
    ) -> Result<Self, SourceError> {
        let options = GetOptions { head: true, ..GetOptions::default() };
        let asking = store.get_opts(&path, options);
        let head = tokio::time::timeout(Self::READ_TIMEOUT, asking).await;
        let ObjectMeta { size, e_tag, .. } =
            head.map_err(|_| TIMED_OUT)?.map_err(|error| kind(&error))?.meta;
        let strong = e_tag.filter(|tag| !tag.starts_with("W/"));
        let etag = strong.ok_or(SourceError::Unfit("its store gives no strong entity tag"))?;
        let id = SourceId::new(name, size, etag.trim_matches('"'));
        Ok(Self { id, file: Object { store, path, size, etag } })
    }
}

impl Fetch for Object {
    async fn fetch(&self, range: ByteRange) -> Result<Vec<Bytes>, SourceError> {
        let fetched = tokio::time::timeout(ObjectSource::READ_TIMEOUT, self.get(range)).await;
        fetched.unwrap_or(Err(TIMED_OUT))
    }

    fn max_request_bytes(&self) -> u64 {
        ObjectSource::MAX_REQUEST_BYTES
    }

    async fn open_again(&self, name: &str) -> Result<ObjectSource, SourceError> {
        ObjectSource::open(Arc::clone(&self.store), self.path.clone(), name).await
    }
}

impl Object {
    async fn get(&self, range: ByteRange) -> Result<Vec<Bytes>, SourceError> {
        let options = GetOptions {
            if_match: Some(self.etag.clone()),
            range: Some(GetRange::Bounded(range.start..range.end())),
            ..GetOptions::default()
        };
        let got = self.store.get_opts(&self.path, options).await.map_err(|error| kind(&error))?;
        let ObjectMeta { size, e_tag, .. } = &got.meta;
        if *size != self.size || e_tag.as_ref().is_some_and(|tag| *tag != self.etag) {
            return Err(SourceError::Changed);
        }
        if got.range != (range.start..range.end()) {
            return Err(SourceError::Unfit("its store sent another range"));
        }
        let mut stream = got.into_stream();
        let (mut pieces, mut left) = (Vec::new(), range.len);
        while let Some(piece) = stream.next().await {
            let piece = piece.map_err(|error| kind(&error))?;
            left = left
                .checked_sub(piece.len() as u64)
                .ok_or(SourceError::Unfit("its store sent more than was asked for"))?;
            if !piece.is_empty() {
                pieces.push(piece);
            }
        }
        if left == 0 { Ok(pieces) } else { Err(SourceError::Io(ErrorKind::UnexpectedEof)) }
    }
}

/// Neither the store, which may hold credentials, nor the path.
impl fmt::Debug for ObjectSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ObjectSource").field(&self.id).finish()
    }
}

/// What went wrong, without the names in the store's own message.
fn kind(error: &object_store::Error) -> SourceError {
    use object_store::Error;
    match error {
        Error::NotFound { .. } => SourceError::NotFound,
        Error::Precondition { .. } | Error::NotModified { .. } => SourceError::Changed,
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => {
            SourceError::Io(ErrorKind::PermissionDenied)
        }
        _ => SourceError::Io(ErrorKind::Other),
    }
}

const TIMED_OUT: SourceError = SourceError::Io(ErrorKind::TimedOut);
