//! How far a request had to go: read from `Cache-Status` (RFC 9211), in which caches sign in order
//! from the origin to the client.

use http::{HeaderMap, HeaderName};

use crate::cache_result::{CacheResult, is_plain_hit};

const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// What answered a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Tier {
    /// This edge's memory.
    Memory,
    /// This edge's disk.
    Disk,
    /// A cache behind this edge.
    Shield,
    /// None of the caches that signed.
    Origin,
}

impl Tier {
    /// Every tier, the nearest first.
    pub const ALL: [Self; 4] = [Self::Memory, Self::Disk, Self::Shield, Self::Origin];

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Disk => "disk",
            Self::Shield => "shield",
            Self::Origin => "origin",
        }
    }

    /// What answered with these fields.
    pub fn of(headers: &HeaderMap) -> Self {
        let last = headers.get_all(CACHE_STATUS).iter().next_back();
        if last.is_some_and(|line| is_plain_hit(line.as_bytes())) {
            return Self::Memory;
        }
        match CacheResult::of(headers) {
            CacheResult::Hit | CacheResult::Stale | CacheResult::Revalidated => {
                let member = last.map(|line| line.as_bytes().rsplit(|byte| *byte == b',').next());
                let is_disk = |member: &[u8]| {
                    member.split(|byte| *byte == b';').any(|one| one.trim_ascii() == b"detail=disk")
                };
                if member.flatten().is_some_and(is_disk) { Self::Disk } else { Self::Memory }
            }
            // The last member is this edge's, and says no hit: any hit is of a cache behind it.
            _ if headers.get_all(CACHE_STATUS).iter().any(|line| says_hit(line.as_bytes())) => {
                Self::Shield
            }
            _ => Self::Origin,
        }
    }
}

fn says_hit(line: &[u8]) -> bool {
    line.split(|byte| matches!(byte, b';' | b',')).any(|one| one.trim_ascii() == b"hit")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    #[test]
    fn each_cache_signs_what_it_did() {
        for (members, tier) in [
            (&["edge; hit; ttl=3"][..], Tier::Memory),
            (&["edge; hit; ttl=3; detail=disk"], Tier::Disk),
            (&["shield; hit; detail=disk, edge; hit; ttl=3"], Tier::Memory),
            (&["shield; hit; ttl=3", "edge; fwd=uri-miss; stored"], Tier::Shield),
            (&["shield; fwd=uri-miss, edge; fwd=uri-miss"], Tier::Origin),
            (&["edge; fwd=stale; fwd-status=304"], Tier::Memory),
            (&[], Tier::Origin),
        ] {
            let mut headers = HeaderMap::new();
            for member in members {
                headers.append(CACHE_STATUS, member.parse().unwrap());
            }
            assert_eq!(Tier::of(&headers), tier, "{members:?}");
        }
    }
}
