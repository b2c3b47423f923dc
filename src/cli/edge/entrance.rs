//! Where requests come in: to the edge that is in force when they come.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use arc_swap::ArcSwap;
use headwater::cache::key::host_of;
use headwater::edge::{EdgeBuilder, EdgeService};
use headwater::net::Body;
use http::{Request, Response};
use tower_service::Service;

use super::router::Router;
use super::sites::{Pinned, Sites};

/// The edge that is in force, for workers that come later, and the entrances of those that came.
pub(super) struct Gate {
    inner: Mutex<Inner>,
}

struct Inner {
    edge: EdgeBuilder,
    sites: Arc<Sites>,
    router: Router,
    entrances: Vec<Entrance>,
}

/// The entrance of one worker. Clones are of the same.
#[derive(Clone)]
pub(super) struct Entrance {
    current: Arc<ArcSwap<InForce>>,
}

/// An edge and the sites it serves.
struct InForce {
    sites: Arc<Sites>,
    edge: EdgeService<Router>,
}

impl Gate {
    pub(super) fn new(edge: EdgeBuilder, sites: Arc<Sites>, router: Router) -> Self {
        let entrances = Vec::new();
        Self { inner: Mutex::new(Inner { edge, sites, router, entrances }) }
    }

    /// The entrance of one worker more.
    pub(super) fn entrance(&self) -> Entrance {
        let mut inner = self.lock();
        let entrance = Entrance { current: Arc::new(ArcSwap::from_pointee(inner.in_force())) };
        inner.entrances.push(entrance.clone());
        entrance
    }

    /// Requests go to this edge and these sites from now on.
    pub(super) fn put(&self, edge: EdgeBuilder, sites: Arc<Sites>) {
        let mut inner = self.lock();
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
        InForce { sites: Arc::clone(&self.sites), edge: self.edge.build(self.router.clone()) }
    }
}

impl Service<Request<Body>> for Entrance {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = <EdgeService<Router> as Service<Request<Body>>>::Future;

    /// Always ready, as an edge is.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let current = self.current.load();
        let pinned = Pinned::new(&current.sites, host_of(request.uri(), request.headers()));
        pinned.take_path(&mut request);
        let (mut parts, body) = request.into_parts();
        pinned.enter(&mut parts);
        current.edge.clone().call(Request::from_parts(parts, body))
    }
}
