//! The caches of this process, shield first, and what a client's URL is called in each.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use headwater_cache::{Cache, Error, Explanation, PurgeError, PurgeSeq};
use headwater_net::encoding;
use http::Uri;
use http::request::Parts;
use tokio::sync::Mutex;

use super::order::Order;

/// How a cache's requests are addressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Site {
    /// As clients do.
    Public,
    /// As the client's edge does, in another process: the URLs that it asks for are given.
    BehindEdge,
    /// Below a path of the public site, without it, under a host of its own: behind a router.
    Below {
        /// The path, without a slash at its end.
        path: &'static str,
        /// The host.
        host: &'static str,
    },
}

/// How often a folder is tried to be taken back, until the process that had it has ended.
const TRIES: usize = 100;
/// The time between two tries.
const BETWEEN: Duration = Duration::from_millis(100);

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

    /// Makes room for a process that takes over: a folder belongs to one at a time. From now on purges
    /// are refused, which would be lost, and what is asked for is answered from memory and upstream. A
    /// purge that is under way is done before this returns.
    pub async fn release(&self) {
        *self.turn.lock().await = Purging::Refused;
        self.close().await;
    }

    /// Takes up again what was released, where the other process did not come to serve: tried for ten
    /// seconds, until that has ended.
    ///
    /// # Errors
    /// As [`Cache::reopen`], of the first that cannot be had. Purges stay refused then: what they take
    /// would come back with the next process.
    pub async fn resume(&self) -> Result<(), Error> {
        for _ in 1..TRIES {
            match self.reopen().await {
                Ok(()) => break,
                Err(_) => tokio::time::sleep(BETWEEN).await,
            }
        }
        self.reopen().await?;
        *self.turn.lock().await = Purging::Taken;
        Ok(())
    }

    /// Has their disk tiers again; one that is open stays so.
    async fn reopen(&self) -> Result<(), Error> {
        for (_, _, cache) in &self.all {
            cache.reopen().await?;
        }
        Ok(())
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
            let purge = order.purge(*site);
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
            let called = site.called(&asked.uri.to_string());
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

impl Site {
    /// What a client's absolute URL is called here; `None` where it never comes here.
    pub(super) fn called(self, url: &str) -> Option<String> {
        let Self::Below { path, host } = self else { return Some(url.to_owned()) };
        let rest = below(&url.parse().ok()?, path)?;
        Some(format!("http://{host}{rest}"))
    }

    /// Whether clients' URLs are called otherwise here.
    pub(super) fn is_renamed(self) -> bool {
        matches!(self, Self::Below { .. })
    }

    /// Whether a prefix of clients' URLs ends before those that come here begin to differ.
    pub(super) fn is_all_below(self, prefix: &str) -> bool {
        let Self::Below { path, .. } = self else { return false };
        let after_scheme = prefix.split_once("://").map_or(prefix, |(_, rest)| rest);
        let of_prefix = after_scheme.find('/').and_then(|at| after_scheme.get(at..)).unwrap_or("/");
        format!("{path}/").starts_with(of_prefix)
    }
}

/// Path and query without `path` in front; `None` where they are not below that.
pub fn below(uri: &Uri, path: &str) -> Option<Uri> {
    let rest = uri.path_and_query()?.as_str().strip_prefix(path)?;
    rest.starts_with('/').then(|| rest.parse().ok())?
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    const BEHIND: Site = Site::Below { path: "/media", host: "media" };

    #[tokio::test]
    async fn a_number_that_the_shield_gave_is_none_of_the_callers() {
        let mut caches = Caches::default();
        caches.add("edge", Site::Public, Cache::builder().build());
        caches.add("shield", BEHIND, Cache::builder().build());
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
        caches.release().await;
        assert!(caches.purge(&order).await.unwrap().is_none());
        caches.resume().await.unwrap();
        assert!(caches.purge(&order).await.unwrap().is_some());
    }

    #[test]
    fn urls_are_called_as_each_cache_is_asked_for_them() {
        let url = "https://edge.example/media/a/main.m3u8?x=1";
        assert_eq!(Site::Public.called(url).as_deref(), Some(url));
        assert_eq!(BEHIND.called(url).as_deref(), Some("http://media/a/main.m3u8?x=1"));
        for other in ["https://edge.example/watch", "/media", "/mediathek/x"] {
            assert_eq!(BEHIND.called(other), None);
        }
    }
}
