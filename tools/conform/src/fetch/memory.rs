//! A presentation in memory: what the tests of rules are made of, and of use to others who test.

use std::collections::BTreeMap;
use std::ops::Range;

use bytes::Bytes;

use super::{Answer, Fetch, FetchError, Url, part};

/// Resources by URL.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    resources: BTreeMap<String, Answer>,
}

impl Memory {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts a resource with its `Content-Type`; playlists and MPDs count as gzipped.
    pub fn put(&mut self, url: &str, content_type: &str, bytes: impl Into<Bytes>) {
        let text = content_type.contains("mpegurl") || content_type.contains("dash+xml");
        let answer = Answer {
            bytes: bytes.into(),
            content_type: Some(content_type.to_owned()),
            gzipped: Some(text),
            redirects: 0,
            total: None,
        };
        self.resources.insert(url.to_owned(), answer);
    }

    /// A resource, to change it.
    pub fn resource(&mut self, url: &str) -> Option<&mut Answer> {
        self.resources.get_mut(url)
    }

    /// Takes a resource away.
    pub fn remove(&mut self, url: &str) {
        self.resources.remove(url);
    }

    /// The URLs of all resources.
    pub fn urls(&self) -> impl Iterator<Item = &str> {
        self.resources.keys().map(String::as_str)
    }
}

impl Fetch for Memory {
    fn get(
        &mut self,
        url: &Url,
        range: Option<Range<u64>>,
        limit: usize,
    ) -> Result<Answer, FetchError> {
        let found = self.resources.get(url.as_str()).ok_or(FetchError::Status(404))?;
        let total = range.is_some().then_some(found.bytes.len() as u64);
        let bytes = part(&found.bytes, range)?;
        if bytes.len() > limit {
            return Err(FetchError::TooLarge(limit));
        }
        Ok(Answer { bytes, total, ..found.clone() })
    }
}
