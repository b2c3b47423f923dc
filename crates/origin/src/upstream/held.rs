//! Requests that an origin holds until it has what they ask for: the next version of a playlist
//! (`_HLS_msn`, RFC 8216bis §6.2.5.2), and what a live rendition announces.
//!
//! How long these take is the media's pace and not the origin's. So they have more time, nobody else is
//! asked the same meanwhile, and how they end says nothing of how fast the origin is, nor, where it is
//! too late, of its health.

use std::time::Duration;

use http::request::Parts;

/// An origin gives up what it holds after so many target durations (RFC 8216bis §6.2.5.2).
const TARGETS: u32 = 3;
/// How long it may hold a request where nobody has read what the target duration is: enough for one of 20 s.
const UNTOLD: Duration = Duration::from_secs(60);
/// The longest, whatever a playlist says: target durations of a minute.
const LONGEST: Duration = Duration::from_secs(180);

/// Marks a request for what its origin will have and does not have yet: an extension of the request.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Awaited {
    target: Option<Duration>,
}

impl Awaited {
    /// Of a playlist with this target duration.
    pub(crate) const fn of(target: Duration) -> Self {
        Self { target: Some(target) }
    }
}

/// Whether a query asks the origin to hold the request.
pub(crate) fn asks_to_hold(query: Option<&str>) -> bool {
    query.unwrap_or_default().split('&').any(|part| part.starts_with("_HLS_msn="))
}

/// Whether the origin may hold a request.
pub(super) fn is_held(head: &Parts) -> bool {
    longest_hold(head).is_some()
}

/// How long the origin may hold a request at least, whatever is set for others; `None` where it is as others
/// are.
pub(super) fn longest_hold(head: &Parts) -> Option<Duration> {
    let marked = head.extensions.get::<Awaited>().copied();
    let awaited = marked.or_else(|| asks_to_hold(head.uri.query()).then(Awaited::default))?;
    let told = awaited.target.map(|target| target.saturating_mul(TARGETS).min(LONGEST));
    Some(told.unwrap_or(UNTOLD))
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
            head.extensions.insert(Awaited::default());
            assert!(is_held(&head));
        }
    }

    #[test]
    fn three_target_durations_where_they_are_known() {
        let (mut head, ()) = Request::get("/l.m3u8?_HLS_msn=7").body(()).unwrap().into_parts();
        assert_eq!(longest_hold(&head), Some(UNTOLD));
        for (target, longest) in [(2, 6), (20, 60), (30, 90), (u64::MAX, 180)] {
            head.extensions.insert(Awaited::of(Duration::from_secs(target)));
            assert_eq!(longest_hold(&head), Some(Duration::from_secs(longest)), "{target} s");
        }
    }
}
