//! How the origins of the groups that are in force stand, for the page of metrics. What is counted of them
//! counts from the last reload that changed their group.

use std::sync::{Arc, Mutex, PoisonError};

use headwater::origin::upstream::register_standing;
use prometheus_client::registry::Registry;

use super::upstreams::Upstreams;

/// The groups that are in force. Clones are of the same.
#[derive(Clone, Default)]
pub(super) struct Standing(Arc<Mutex<Upstreams>>);

impl Standing {
    /// These groups are told of from now on.
    pub(super) fn put(&self, upstreams: &Upstreams) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = upstreams.clone();
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        let told = self.clone();
        register_standing(registry, move || {
            let upstreams = told.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
            upstreams.into_iter().map(|(name, (_, origins))| (name, origins.standing())).collect()
        });
    }
}
