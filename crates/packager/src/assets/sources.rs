//! Assets of sources that were opened elsewhere: looked at again from time to time, as files are.

use std::sync::Arc;
use std::time::Duration;

use headwater_net::Timestamp;
use tokio::sync::Mutex;

use super::Found;
use crate::source::{AnySource, Source, SourceError};

/// How long what was seen of sources across a network is believed.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// How long a look may take. A store that does not answer in time changes nothing: what is known is
/// served on.
const PATIENCE: Duration = Duration::from_secs(2);

/// The sources of one asset.
pub(super) struct Sources {
    name: String,
    known: Mutex<Known>,
}

struct Known {
    sources: Vec<AnySource>,
    /// `None` while one of them is not there.
    found: Option<Arc<Found>>,
    /// `None` before the first use: they were opened just before.
    looked: Option<Timestamp>,
    doubted: bool,
}

impl Sources {
    pub(super) fn new(name: &str, sources: Vec<AnySource>) -> Self {
        let found = Some(Arc::new(Found::sources(name, sources.clone())));
        let known = Known { sources, found, looked: None, doubted: false };
        Self { name: name.to_owned(), known: Mutex::new(known) }
    }

    /// The asset as it is now; `None` where a source of it is gone. One request looks; those that
    /// come meanwhile wait for what it sees.
    pub(super) async fn find(&self, now: Timestamp) -> Option<Arc<Found>> {
        let mut known = self.known.lock().await;
        let looked = *known.looked.get_or_insert(now);
        if known.doubted || now.since(looked) >= LOOK_AGAIN {
            known.looked = Some(now);
            known.doubted = false;
            match tokio::time::timeout(PATIENCE, renewed(&known.sources)).await {
                Ok(Ok(Some(sources))) => {
                    known.found = Some(Arc::new(Found::sources(&self.name, sources.clone())));
                    known.sources = sources;
                }
                Ok(Ok(None)) if known.found.is_none() => {
                    let again = Found::sources(&self.name, known.sources.clone());
                    known.found = Some(Arc::new(again));
                }
                Ok(Err(SourceError::NotFound)) => known.found = None,
                Ok(Ok(None)) => {}
                Ok(Err(error)) => {
                    tracing::warn!(asset = self.name, %error, "sources were not looked at again");
                }
                Err(_) => {
                    tracing::warn!(asset = self.name, "looking at sources again took too long");
                }
            }
        }
        known.found.clone()
    }

    /// Makes the next [`find`](Self::find) look at once.
    pub(super) async fn doubt(&self) {
        self.known.lock().await.doubted = true;
    }
}

/// The sources as they are now; `None` where all are as they were.
async fn renewed(sources: &[AnySource]) -> Result<Option<Vec<AnySource>>, SourceError> {
    let mut all = Vec::with_capacity(sources.len());
    let mut changed = false;
    for source in sources {
        let now = source.renewed().await?;
        changed |= now.is_some();
        all.push(now.unwrap_or_else(|| source.clone()));
    }
    Ok(changed.then_some(all))
}
