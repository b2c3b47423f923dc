//! The caches of this process, shield first, and what a client's URL is called in each.

use std::collections::BTreeMap;

use headwater_cache::{Cache, Explanation, PurgeError, PurgeSeq};
use http::request::Parts;

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
pub struct Caches(Vec<(&'static str, Site, Cache)>);

impl Caches {
    /// Adds a cache before those that are there.
    pub fn add(&mut self, name: &'static str, site: Site, cache: Cache) {
        self.0.push((name, site, cache));
    }

    /// Ends their disk tiers: what they hold is there after a restart.
    pub async fn close(&self) {
        for (_, _, cache) in &self.0 {
            cache.close().await;
        }
    }

    /// Purges in all of them, by one number, shield first: so an edge never asks a shield for what
    /// that would answer from before the purge.
    pub(super) async fn purge(
        &self,
        order: &Order,
    ) -> Result<(PurgeSeq, Vec<&'static str>), PurgeError> {
        let mut seq = order.sequence();
        let mut names = Vec::new();
        for (name, site, cache) in &self.0 {
            let purge = order.purge(|url| called(*site, url));
            let purge = match seq {
                Some(seq) => purge.at(seq),
                None => purge,
            };
            let done = cache.purge(purge).await?;
            seq.get_or_insert(done);
            names.push(*name);
        }
        Ok((seq.unwrap_or_default(), names))
    }

    /// What each makes of a request.
    pub(super) async fn explain(&self, asked: &Parts) -> BTreeMap<&'static str, Explanation> {
        let mut explained = BTreeMap::new();
        for (name, site, cache) in &self.0 {
            let mut parts = asked.clone();
            let called = called(*site, &asked.uri.to_string());
            if let Some(uri) = called.and_then(|url| url.parse().ok()) {
                parts.uri = uri;
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
    use super::*;

    #[test]
    fn urls_are_called_as_each_cache_is_asked_for_them() {
        let url = "https://edge.example/media/a/main.m3u8?x=1";
        assert_eq!(called(Site::Public, url).as_deref(), Some(url));
        let behind = called(Site::BehindRouter, url);
        assert_eq!(behind.as_deref(), Some("http://media/a/main.m3u8?x=1"));
        assert_eq!(called(Site::BehindRouter, "https://edge.example/watch"), None);
    }
}
