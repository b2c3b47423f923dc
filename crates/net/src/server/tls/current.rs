//! TLS settings of the handshakes that begin now. rustls settles what clients are asked to show when
//! settings are made, so they are made anew when that has changed, by the first handshake after it.
//! Sessions and tickets are bound to the settings that they were made under, and so no handshake can
//! come by them to what it would not be given by its certificate.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;

use super::Tls;
use super::clients::{Asks, Clients};
use crate::server::ServerError;

type Make<S> = dyn Fn(&Asks) -> Result<S, ServerError> + Send + Sync;

/// Settings of one kind. Clones share them.
pub(in crate::server) struct Current<S>(Arc<Inner<S>>);

struct Inner<S> {
    clients: Arc<Clients>,
    make: Box<Make<S>>,
    made: ArcSwap<Made<S>>,
}

struct Made<S> {
    asks: Arc<Asks>,
    settings: Arc<S>,
}

impl<S: 'static> Current<S> {
    /// What `make` makes for what the clients of `tls` are asked for.
    pub(super) fn new(
        tls: &Tls,
        make: impl Fn(&Asks) -> Result<S, ServerError> + Send + Sync + 'static,
    ) -> Result<Self, ServerError> {
        let (clients, make) = (Arc::clone(&tls.clients), Box::new(make) as Box<Make<S>>);
        let made = ArcSwap::from_pointee(Made::new(clients.current(), &make)?);
        Ok(Self(Arc::new(Inner { clients, make, made })))
    }

    /// Those of a handshake that begins now; `None`, which is logged, where they cannot be made: who
    /// would be let in by those of before is not.
    pub(in crate::server) fn get(&self) -> Option<Arc<S>> {
        let Inner { clients, make, made } = &*self.0;
        let before = made.load();
        if clients.are(&before.asks) {
            return Some(Arc::clone(&before.settings));
        }
        match Made::new(clients.current(), make) {
            Ok(now) => {
                let settings = Arc::clone(&now.settings);
                made.store(Arc::new(now));
                Some(settings)
            }
            Err(error) => {
                tracing::error!(%error, "no TLS settings can be made: a connection is refused");
                None
            }
        }
    }
}

impl<S: 'static> Made<S> {
    fn new(asks: Arc<Asks>, make: &Make<S>) -> Result<Self, ServerError> {
        let settings = Arc::new(make(&asks)?);
        Ok(Self { asks, settings })
    }
}

impl<S> Clone for Current<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S> fmt::Debug for Current<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Current").finish_non_exhaustive()
    }
}
