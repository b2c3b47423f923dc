//! Requests that an origin holds until it has what they ask for: the next version of a playlist
//! (`_HLS_msn`, RFC 8216bis §6.2.5.2), and what a live rendition announces.
//!
//! How long these take is the media's pace and not the origin's. So they have more time, nobody else is
//! asked the same meanwhile, and how they end says nothing of how fast the origin is, nor, where it is
//! too late, of its health.

use std::time::Duration;

use http::request::Parts;

/// How long an origin may hold a request at least, whatever is set for others. It gives up itself after
/// three target durations (RFC 8216bis §6.2.5.2): this is enough for those of 20 s.
pub(super) const LONGEST_HOLD: Duration = Duration::from_secs(60);

/// Marks a request for what its origin will have and does not have yet: an extension of the request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Awaited;

/// Whether the origin may hold a request.
pub(super) fn is_held(head: &Parts) -> bool {
    let mut query = head.uri.query().unwrap_or_default().split('&');
    head.extensions.get::<Awaited>().is_some() || query.any(|part| part.starts_with("_HLS_msn="))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use http::Request;

    use super::*;

    #[test]
    fn it_is_the_query_that_says_so_or_a_mark() {
        for (uri, held) in [
            ("/l.m3u8?_HLS_msn=7", true),
            ("/l.m3u8?a=b&_HLS_msn=7&_HLS_part=2", true),
            ("/l.m3u8?_HLS_skip=YES", false),
            ("/_HLS_msn=7", false),
        ] {
            let (mut head, ()) = Request::get(uri).body(()).unwrap().into_parts();
            assert_eq!(is_held(&head), held, "{uri}");
            head.extensions.insert(Awaited);
            assert!(is_held(&head));
        }
    }
}
