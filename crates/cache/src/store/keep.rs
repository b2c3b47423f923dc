//! What a stored response is worth, by one who knows more of it than its fields say.
//!
//! A cache sees unrelated URLs, and goes by what was asked for lately. Who knows what will be asked
//! for next says so by a [`Keep`]: an extension of the response that a service behind the cache gives.

use std::fmt;
use std::sync::Arc;

/// Tells what a stored response is worth by now.
///
/// It is asked whenever room is made in memory, of a few responses each time and behind the lock of
/// the store's order: it must be quick, and must not call the cache.
pub trait Worth: Send + Sync + 'static {
    /// The requests for it that are expected in a second: of those that are looked at, the one with the
    /// least goes. `raised` is the worth of what [is raised](Self::is_raised).
    fn worth(&self, raised: bool) -> f32;

    /// Whether it counts for more than its requests do, because somebody waits for it longer than for
    /// others: so it does as long as what is raised takes a fifth of the memory at most. Always the same
    /// answer.
    fn is_raised(&self) -> bool {
        false
    }
}

/// An extension of a response, also of a 304 that confirms it: by this is chosen when it goes from
/// memory. What has none goes by age, as if there were no other: room is made on both sides by what they
/// take. It is not kept on disk, and what comes back from there has none.
#[derive(Clone)]
pub struct Keep(Arc<dyn Worth>);

impl Keep {
    /// By this.
    pub fn by(worth: impl Worth) -> Self {
        Self(Arc::new(worth))
    }

    /// What tells the worth.
    pub(crate) fn worth(&self) -> &dyn Worth {
        &*self.0
    }
}

impl fmt::Debug for Keep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Keep").finish_non_exhaustive()
    }
}
