//! What one request says about whether HTTP/3 is to be asked: the first that fails has TCP asked for a while,
//! and after it one request tries ([`Health`](crate::health::Health)).

use std::sync::Arc;

use super::{Http3, lock};
use crate::health::Trial;

/// A request that may go by HTTP/3. Dropped, it says nothing.
pub(super) struct Attempt {
    by: Arc<Http3>,
    trial: Option<Trial>,
}

impl Attempt {
    /// Nothing where TCP is to be asked.
    pub(super) fn begin(by: &Arc<Http3>) -> Option<Self> {
        let now = by.clock.now();
        let mut health = lock(&by.health);
        let trial = health.is_available(now).then(|| health.sent(now))?;
        Some(Self { by: Arc::clone(by), trial })
    }

    /// Whether another has failed meanwhile, and this is not the one to try again.
    pub(super) fn is_idle(&self) -> bool {
        self.trial.is_none() && lock(&self.by.health).is_down()
    }

    /// An answer began.
    pub(super) fn began(self) {
        lock(&self.by.health).began(&self.by.heeds);
    }

    /// There is no connection, or it broke. Others that fail with it change nothing.
    pub(super) fn failed(self) {
        let now = self.by.clock.now();
        lock(&self.by.health).failed(now, self.trial, &self.by.heeds);
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        lock(&self.by.health).forgotten(self.trial);
    }
}
