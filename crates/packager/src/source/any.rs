//! A source of whatever kind, behind one pointer.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;

use super::{Coalescing, Gathered, Source, SourceError, Written};
use crate::identity::SourceId;
use crate::units::ByteRange;

/// Any [`Source`], shared: clones read the same one. A read costs one allocation more.
#[derive(Clone)]
pub struct AnySource(Arc<dyn Erased>);

impl AnySource {
    /// Shares a source.
    pub fn new(source: impl Source) -> Self {
        Self(Arc::new(source))
    }
}

impl Source for AnySource {
    fn id(&self) -> &SourceId {
        self.0.erased_id()
    }

    fn read(
        &self,
        ranges: &[ByteRange],
    ) -> impl Future<Output = Result<Vec<Bytes>, SourceError>> + Send {
        Arc::clone(&self.0).erased_read(ranges.to_vec())
    }

    fn written(&self) -> Option<Written> {
        self.0.erased_written()
    }

    fn allow_growth(&self) {
        self.0.erased_allow_growth();
    }

    fn renewed(&self) -> impl Future<Output = Result<Option<AnySource>, SourceError>> + Send {
        Arc::clone(&self.0).erased_renewed()
    }

    fn coalescing(&self) -> Coalescing {
        self.0.erased_coalescing()
    }

    fn gather(
        &self,
        ranges: &[ByteRange],
    ) -> impl Future<Output = Result<Gathered, SourceError>> + Send {
        Arc::clone(&self.0).erased_gather(ranges.to_vec())
    }
}

impl fmt::Debug for AnySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AnySource").field(self.id()).finish()
    }
}

type Erasing<T> = Pin<Box<dyn Future<Output = Result<T, SourceError>> + Send>>;

/// [`Source`] in the form that can be behind a pointer.
trait Erased: Send + Sync {
    fn erased_id(&self) -> &SourceId;
    fn erased_written(&self) -> Option<Written>;
    fn erased_allow_growth(&self);
    fn erased_renewed(self: Arc<Self>) -> Erasing<Option<AnySource>>;
    fn erased_coalescing(&self) -> Coalescing;
    fn erased_read(self: Arc<Self>, ranges: Vec<ByteRange>) -> Erasing<Vec<Bytes>>;
    fn erased_gather(self: Arc<Self>, ranges: Vec<ByteRange>) -> Erasing<Gathered>;
}

impl<S: Source> Erased for S {
    fn erased_id(&self) -> &SourceId {
        self.id()
    }

    fn erased_written(&self) -> Option<Written> {
        self.written()
    }

    fn erased_allow_growth(&self) {
        self.allow_growth();
    }

    fn erased_renewed(self: Arc<Self>) -> Erasing<Option<AnySource>> {
        Box::pin(async move { self.renewed().await })
    }

    fn erased_coalescing(&self) -> Coalescing {
        self.coalescing()
    }

    fn erased_read(self: Arc<Self>, ranges: Vec<ByteRange>) -> Erasing<Vec<Bytes>> {
        Box::pin(async move { self.read(&ranges).await })
    }

    fn erased_gather(self: Arc<Self>, ranges: Vec<ByteRange>) -> Erasing<Gathered> {
        Box::pin(async move { self.gather(&ranges).await })
    }
}
