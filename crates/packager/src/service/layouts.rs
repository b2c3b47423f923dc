//! Layouts of resources whose plan depends on bytes of the source: each is made once however many
//! ask, kept for those who ask next, and bounded. Plans of two tracks in turns are kept here too.
//!
//! A layout is made within the request that asked first. Where that client leaves, the next one
//! who waits goes on from the start; where it fails, each one who waits tries for itself.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use tokio::sync::OnceCell;

use super::builds::Ready;
use super::fault::Fault;
use super::metrics::Metrics;
use crate::identity::Version;
use crate::layout::{Layout, LayoutStep, Planned};
use crate::plan::{Plan, SourceRange};
use crate::resource::Resource;
use crate::source::{SourceError, read_coalesced};
use crate::units::ByteRange;

/// The cache of finished layouts, and those in the making.
#[derive(Debug)]
pub(super) struct Layouts {
    done: Cache<Key, Arc<Plan>>,
    making: Mutex<HashMap<Key, Making>>,
}

/// State of the files, version, resource: other bytes, another key.
type Key = (u64, Version, Resource);

type Making = Arc<OnceCell<Arc<Plan>>>;

impl Layouts {
    /// A cache of at most `capacity` bytes.
    pub(super) fn new(capacity: u64) -> Self {
        let done = Cache::builder()
            .max_capacity(capacity)
            .weigher(|_, plan: &Arc<Plan>| {
                u32::try_from(plan.weight_bytes() + size_of::<Key>()).unwrap_or(u32::MAX)
            })
            .eviction_policy(EvictionPolicy::lru())
            .build();
        Self { done, making: Mutex::default() }
    }

    /// The plan of a resource, read for where it must be.
    pub(super) async fn plan(
        &self,
        ready: &Ready,
        resource: Resource,
        metrics: &Metrics,
    ) -> Result<Plan, Fault> {
        let key = (ready.key(), ready.presentation.version(), resource);
        // Asked before anything is planned: a layout that is there needs no other.
        if let Some(plan) = self.done.get(&key) {
            return Ok(Plan::clone(&plan));
        }
        let presentation = &ready.presentation;
        let planned = match presentation.media().segment_key() {
            Some(_) => presentation.plan_to_encrypt(resource),
            None => presentation.plan(resource),
        };
        let layout = match planned.ok_or(Fault::UnknownPath)? {
            Planned::Ready(plan) => {
                // Two tracks in turns are hundreds of parts.
                let two = matches!(resource, Resource::TsSegment(..) | Resource::MuxedSegment(..));
                if two && presentation.is_settled(resource) {
                    self.done.insert(key, Arc::new(plan.clone()));
                }
                return Ok(plan);
            }
            Planned::Layout(layout) => layout,
        };
        let place = Place::enter(self, key);
        let plan = place
            .making
            .get_or_try_init(|| async {
                // One that was finished between the two looks.
                if let Some(plan) = self.done.get(&key) {
                    return Ok(plan);
                }
                let plan = Arc::new(lay_out(layout, ready, metrics).await?);
                metrics.layouts.inc();
                self.done.insert(key, Arc::clone(&plan));
                Ok::<_, Fault>(plan)
            })
            .await?;
        Ok(Plan::clone(plan))
    }

    fn making(&self) -> MutexGuard<'_, HashMap<Key, Making>> {
        self.making.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads what a layout asks for until it is a plan.
async fn lay_out(mut layout: Layout, ready: &Ready, metrics: &Metrics) -> Result<Plan, Fault> {
    loop {
        let wanted = match layout.step().map_err(|error| Fault::Unusable(None, error))? {
            LayoutStep::Done(plan) => return Ok(plan),
            LayoutStep::Need(wanted) => wanted,
        };
        let read = read(ready, &wanted, metrics).await?;
        for (range, bytes) in wanted.into_iter().zip(read) {
            layout.feed(range, bytes).map_err(|error| Fault::Unusable(None, error))?;
        }
    }
}

/// The bytes of each range, those of each source read together.
async fn read(
    ready: &Ready,
    wanted: &[SourceRange],
    metrics: &Metrics,
) -> Result<Vec<Bytes>, SourceError> {
    let mut all = vec![None; wanted.len()];
    for (number, source) in ready.sources.iter().enumerate() {
        let mine = || wanted.iter().enumerate().filter(|(_, range)| range.source == number);
        let ranges: Vec<ByteRange> = mine().map(|(_, range)| range.range).collect();
        if ranges.is_empty() {
            continue;
        }
        let read = read_coalesced(source, &ranges).await?;
        metrics.source_read_bytes.inc_by(read.read_bytes);
        metrics.source_reads.inc_by(read.reads);
        for ((place, _), bytes) in mine().zip(read.bytes) {
            all[place] = Some(bytes);
        }
    }
    all.into_iter().collect::<Option<_>>().ok_or(SourceError::NotFound)
}

/// A request's place among those that wait for one layout; the last to leave clears it away.
struct Place<'a> {
    home: &'a Layouts,
    key: Key,
    making: Making,
}

impl<'a> Place<'a> {
    fn enter(home: &'a Layouts, key: Key) -> Self {
        let making = Arc::clone(home.making().entry(key).or_default());
        Self { home, key, making }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut making = self.home.making();
        // This one goes while the list is locked: of two that leave together, each would still
        // count the other otherwise, and neither clear it away.
        drop(std::mem::take(&mut self.making));
        if making.get(&self.key).is_some_and(|listed| Arc::strong_count(listed) == 1) {
            making.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn the_last_to_leave_clears_the_place_away() {
        const ROUNDS: u64 = 20_000;
        let home = Layouts::new(0);
        // Spinning: two that are woken one after the other hardly ever leave together.
        let entered = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    for round in 0..ROUNDS {
                        let place = Place::enter(&home, (round, Version(0), Resource::Report));
                        entered.fetch_add(1, Ordering::SeqCst);
                        while entered.load(Ordering::SeqCst) < 2 * (round + 1) {
                            std::hint::spin_loop();
                        }
                        drop(place);
                    }
                });
            }
        });
        assert_eq!(home.making().len(), 0);
    }
}
