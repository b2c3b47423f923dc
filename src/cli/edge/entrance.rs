//! Where requests come in: to the edge that is in force when they come.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use arc_swap::ArcSwap;
use headwater::cache::key::host_of;
use headwater::edge::{EdgeBuilder, EdgeService};
use headwater::net::Body;
use http::{Request, Response};
use pin_project_lite::pin_project;
use tower_service::Service;

use super::router::Router;
use super::shield::{Shield, Told};
use super::sites::{Pinned, Sites};

/// The edge that is in force, for workers that come later, and the entrances of those that came.
pub(super) struct Gate {
    inner: Mutex<Inner>,
}

struct Inner {
    edge: EdgeBuilder,
    sites: Arc<Sites>,
    router: Router,
    shield: Option<Shield>,
    entrances: Vec<Entrance>,
}

/// The entrance of one worker. Clones are of the same.
#[derive(Clone)]
pub(super) struct Entrance {
    current: Arc<ArcSwap<InForce>>,
    shield: Option<Shield>,
}

/// An edge and the sites it serves.
struct InForce {
    sites: Arc<Sites>,
    /// Of one worker, so that nobody waits for it: called where it is, since a clone of all its layers
    /// costs more than what most of them do for a request.
    edge: Mutex<EdgeService<Router>>,
}

impl Gate {
    pub(super) fn new(
        edge: EdgeBuilder,
        sites: Arc<Sites>,
        router: Router,
        shield: Option<Shield>,
    ) -> Self {
        let entrances = Vec::new();
        Self { inner: Mutex::new(Inner { edge, sites, router, shield, entrances }) }
    }

    /// The entrance of one worker more.
    pub(super) fn entrance(&self) -> Entrance {
        let mut inner = self.lock();
        let current = Arc::new(ArcSwap::from_pointee(inner.in_force()));
        let entrance = Entrance { current, shield: inner.shield.clone() };
        inner.entrances.push(entrance.clone());
        entrance
    }

    /// Requests go to this edge and these sites from now on.
    pub(super) fn put(&self, edge: EdgeBuilder, sites: Arc<Sites>) {
        let mut inner = self.lock();
        if let Some(shield) = &inner.shield {
            shield.put(&edge, &inner.router);
        }
        inner.edge = edge;
        inner.sites = sites;
        for entrance in &inner.entrances {
            entrance.current.store(Arc::new(inner.in_force()));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// For one worker: it has a queue and counters of its own.
    fn in_force(&self) -> InForce {
        let edge = self.edge.clone();
        let edge = self.shield.iter().fold(edge, |edge, shield| shield.attend(edge));
        let edge = Mutex::new(edge.build(self.router.clone()));
        InForce { sites: Arc::clone(&self.sites), edge }
    }
}

impl Service<Request<Body>> for Entrance {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = EntranceFuture<<EdgeService<Router> as Service<Request<Body>>>::Future>;

    /// Always ready, as an edge is.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        if let Some(shield) = &self.shield {
            request = match shield.meet(request) {
                Ok(request) => request,
                Err(told) => return EntranceFuture::Told { told },
            };
        }
        let current = self.current.load();
        let pinned = Pinned::new(&current.sites, host_of(request.uri(), request.headers()));
        pinned.take_path(&mut request);
        pinned.enter(&mut request);
        // A call that panicked has left no layer half changed: they count by atomics and locks.
        let mut edge = current.edge.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = edge.call(request);
        EntranceFuture::Edge { answer }
    }
}

pin_project! {
    /// The answer of an [`Entrance`]: of the edge, or to another machine of ours.
    #[project = Answering]
    pub(super) enum EntranceFuture<F> {
        Edge {
            #[pin]
            answer: F,
        },
        Told { told: Told },
    }
}

impl<F> Future for EntranceFuture<F>
where
    F: Future<Output = Result<Response<Body>, Infallible>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            Answering::Edge { answer } => answer.poll(cx),
            Answering::Told { told } => Poll::Ready(Ok(ready!(told.as_mut().poll(cx)))),
        }
    }
}
