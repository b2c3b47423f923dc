//! The caches of this process, shield first, and what a client's URL is called in each.

use std::collections::BTreeMap;
use std::sync::Arc;

use headwater_cache::{Cache, Explanation, PurgeError, PurgeSeq};
use headwater_net::encoding;
use http::request::Parts;
use tokio::sync::Mutex;

use super::order::Order;
use crate::router;

/// How a cache's requests are addressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Site {
    /// As clients do.
    Public,
    /// As the [`Router`](crate::router::Router) does what lies behind it.
    BehindRouter,
    /// As the client's edge does, in another process: the URLs that it asks for are given.
    BehindEdge,
}

/// See the module. Purges go through them in the order in which they were added.
#[derive(Clone, Debug, Default)]
pub struct Caches {
    all: Vec<(&'static str, Site, Cache)>,
    /// Whose turn it is to purge: each cache sees the purges in the same order.
    turn: Arc<Mutex<Purging>>,
}

/// Whether purges are taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Purging {
    #[default]
    Taken,
    Refused,
}

impl Caches {
    /// Adds a cache before those that are there.
    pub fn add(&mut self, name: &'static str, site: Site, cache: Cache) {
        self.all.push((name, site, cache));
    }

    /// Ends their disk tiers: what they hold is there after a restart.
    pub async fn close(&self) {
        for (_, _, cache) in &self.all {
            cache.close().await;
        }
    }

    /// Has their disk tiers again, where a process that was to have them did not come to serve; one
    /// that is open stays so.
    ///
    /// # Errors
    /// As [`Cache::reopen`], of the first that cannot be had.
    pub async fn reopen(&self) -> Result<(), headwater_cache::Error> {
        for (_, _, cache) in &self.all {
            cache.reopen().await?;
        }
        Ok(())
    }

    /// Refuses purges from now on, or takes them again. One that is under way is done before this
    /// returns.
    pub async fn refuse_purges(&self, refuse: bool) {
        *self.turn.lock().await = if refuse { Purging::Refused } else { Purging::Taken };
    }

    /// Purges in all of them, by one number, shield first: so an edge never asks a shield for what
    /// that would answer from before the purge. `None` while purges are refused.
    pub(super) async fn purge(
        &self,
        order: &Order,
    ) -> Result<Option<(PurgeSeq, Vec<&'static str>)>, PurgeError> {
        let turn = self.turn.lock().await;
        if *turn == Purging::Refused {
            return Ok(None);
        }
        let mut given: Option<PurgeSeq> = None;
        let mut names = Vec::new();
        for (name, site, cache) in &self.all {
            let purge = order.purge(|url| called(*site, url));
            let purge = match (order.sequence(), given) {
                (Some(seq), _) => purge.at(seq),
                (None, Some(seq)) => purge.after_shield(seq),
                (None, None) => purge,
            };
            let done = cache.purge(purge).await?;
            given.get_or_insert(done);
            names.push(*name);
        }
        Ok(Some((order.sequence().or(given).unwrap_or_default(), names)))
    }

    /// What each makes of a request.
    pub(super) async fn explain(&self, asked: &Parts) -> BTreeMap<&'static str, Explanation> {
        let mut explained = BTreeMap::new();
        for (name, site, cache) in &self.all {
            let mut parts = asked.clone();
            let called = called(*site, &asked.uri.to_string());
            if let Some(uri) = called.and_then(|url| url.parse().ok()) {
                parts.uri = uri;
                if *site != Site::Public {
                    // The edge compresses by itself what is wanted in another coding than gzip.
                    encoding::simplify(&mut parts.headers);
                }
                explained.insert(*name, cache.explain(&parts).await);
            }
        }
        explained
    }
}

/// What a client's absolute URL is called at a site; `None` where it never comes there.
fn called(site: Site, url: &str) -> Option<String> {
    if site != Site::BehindRouter {
        return Some(url.to_owned());
    }
    let uri: http::Uri = url.parse().ok()?;
    let below = router::below_media(&uri)?;
    Some(format!("http://{}{below}", router::MEDIA_HOST))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    #[tokio::test]
    async fn a_number_that_the_shield_gave_is_none_of_the_callers() {
        let mut caches = Caches::default();
        caches.add("edge", Site::Public, Cache::builder().build());
        caches.add("shield", Site::BehindRouter, Cache::builder().build());
        let purge = async |query: &str| {
            let (parts, ()) = http::Request::post(query).body(()).unwrap().into_parts();
            caches.purge(&Order::read(&parts, b"").unwrap()).await.unwrap().unwrap().0
        };
        let newest = async || {
            let asked = http::Request::get("http://h/media/a").body(()).unwrap().into_parts().0;
            let explained = caches.explain(&asked).await;
            (explained["edge"].purge_sequence, explained["shield"].purge_sequence)
        };
        let given = purge("/purge?tag=a").await;
        assert_eq!(newest().await, (given.get(), given.get()));
        // The caller's seventh is done in both, and done once.
        for _ in 0..2 {
            assert_eq!(purge("/purge?tag=b&sequence=7").await.get(), 7);
            assert_eq!(newest().await, (given.next().get(), given.next().get()));
        }
    }

    #[tokio::test]
    async fn while_purges_are_refused_nothing_is_purged() {
        let mut caches = Caches::default();
        caches.add("edge", Site::Public, Cache::builder().build());
        let (parts, ()) = http::Request::post("/purge?tag=a").body(()).unwrap().into_parts();
        let order = Order::read(&parts, b"").unwrap();
        for refuse in [true, false] {
            caches.refuse_purges(refuse).await;
            assert_eq!(caches.purge(&order).await.unwrap().is_none(), refuse);
        }
    }

    #[test]
    fn urls_are_called_as_each_cache_is_asked_for_them() {
        let url = "https://edge.example/media/a/main.m3u8?x=1";
        assert_eq!(called(Site::Public, url).as_deref(), Some(url));
        let behind = called(Site::BehindRouter, url);
        assert_eq!(behind.as_deref(), Some("http://media/a/main.m3u8?x=1"));
        assert_eq!(called(Site::BehindRouter, "https://edge.example/watch"), None);
    }
}
