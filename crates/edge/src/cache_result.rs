//! What a cache made of a request, read from `Cache-Status` (RFC 9211).

use http::{HeaderMap, HeaderName};

const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// What the cache nearest to the client made of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CacheResult {
    /// Answered from store, fresh.
    Hit,
    /// Answered from store, though stale.
    Stale,
    /// Answered from store after the upstream said it still holds.
    Revalidated,
    /// Fetched from upstream.
    Miss,
    /// Fetched from upstream together with other requests, by one fetch.
    Collapsed,
    /// Passed by the cache: a bypass, or a method that is not cached.
    Pass,
    /// No cache has signed the response.
    #[default]
    None,
}

impl CacheResult {
    /// Every result, in the order they are declared in.
    pub const ALL: [Self; 7] = [
        Self::Hit,
        Self::Stale,
        Self::Revalidated,
        Self::Miss,
        Self::Collapsed,
        Self::Pass,
        Self::None,
    ];

    /// The word for it in logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Stale => "stale",
            Self::Revalidated => "revalidated",
            Self::Miss => "miss",
            Self::Collapsed => "collapsed",
            Self::Pass => "pass",
            Self::None => "none",
        }
    }

    pub(crate) const fn index(self) -> usize {
        self as usize
    }

    /// Reads the last member: caches sign in order from the origin to the client (RFC 9211 §2).
    pub fn of(headers: &HeaderMap) -> Self {
        let Some(value) = headers.get_all(CACHE_STATUS).iter().next_back() else {
            return Self::None;
        };
        let value = value.as_bytes();
        if is_plain_hit(value) {
            return Self::Hit;
        }
        let start = value.iter().rposition(|b| *b == b',').map_or(0, |comma| comma + 1);
        let (mut hit, mut collapsed, mut confirmed, mut negative) = (false, false, false, false);
        let mut fwd: &[u8] = b"";
        for parameter in value.get(start..).unwrap_or(b"").split(|b| *b == b';').skip(1) {
            match parameter.trim_ascii() {
                b"hit" => hit = true,
                b"collapsed" => collapsed = true,
                b"fwd-status=304" => confirmed = true,
                other => {
                    if let Some(reason) = other.strip_prefix(b"fwd=") {
                        fwd = reason;
                    } else if other.starts_with(b"ttl=-") {
                        negative = true;
                    }
                }
            }
        }
        match (hit, fwd) {
            (true, _) if negative => Self::Stale,
            (true, _) => Self::Hit,
            (false, b"") => Self::None,
            (false, b"bypass" | b"method") => Self::Pass,
            (false, b"stale") if confirmed => Self::Revalidated,
            (false, _) if collapsed => Self::Collapsed,
            (false, _) => Self::Miss,
        }
    }
}

/// Whether a line ends as that of a fresh hit from memory does and of hardly anything else: a hit is to be told
/// without taking the line apart.
pub(crate) fn is_plain_hit(line: &[u8]) -> bool {
    let digits = line.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    digits > 0 && line[..line.len() - digits].ends_with(b"; hit; ttl=")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    #[test]
    fn the_nearest_cache_speaks_last() {
        for (members, result) in [
            (&["edge; hit; ttl=376"][..], CacheResult::Hit),
            (&["edge;hit;ttl=-4"], CacheResult::Stale),
            (&["shield; hit, edge; fwd=uri-miss; fwd-status=200; stored"], CacheResult::Miss),
            (&["shield; fwd=uri-miss", "edge; hit"], CacheResult::Hit),
            (&["edge; fwd=stale; fwd-status=304; ttl=9"], CacheResult::Revalidated),
            (&["edge; fwd=stale; fwd-status=200; stored"], CacheResult::Miss),
            (&["edge; fwd=vary-miss; collapsed"], CacheResult::Collapsed),
            (&["edge; fwd=method"], CacheResult::Pass),
            (&["edge; detail=x"], CacheResult::None),
            (&[], CacheResult::None),
        ] {
            let mut headers = HeaderMap::new();
            for member in members {
                headers.append(CACHE_STATUS, member.parse().unwrap());
            }
            assert_eq!(CacheResult::of(&headers), result, "{members:?}");
        }
        for (index, result) in CacheResult::ALL.iter().enumerate() {
            assert_eq!(result.index(), index);
        }
    }
}
