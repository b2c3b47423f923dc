//! How long what is at the live edge may be kept, as pure functions over the map and an answer.
//!
//! Origins say it wrong often enough: a playlist that changes every four seconds comes with a minute
//! of `max-age`, a 404 for a segment that will be there in a moment is kept as long as any other. A
//! cache that believes them stops the show. So a shield cuts short what it knows better:
//!
//! - a manifest that changes is fresh for half of its target duration (a second at least), and never
//!   answers stale;
//! - one of which that cannot be said (it could not be read, or there was no time to) is fresh for a
//!   second;
//! - an error for what will be there in a moment is kept for [`MISSING`], which is enough for all who
//!   ask at once, and is fresh for nobody downstream.
//!
//! What is cut is never made longer, and what may not be stored stays so (RFC 9111 §5.2.2).

use std::time::Duration;

use headwater_cache::Lifetime;
use headwater_net::Timestamp;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use crate::map::{Known, SegmentMap, Url};

/// How long an error at the live edge is kept.
pub const MISSING: Duration = Duration::from_millis(250);

/// How long a manifest that was not read is fresh.
const UNREAD: Duration = Duration::from_secs(1);

/// What becomes of an answer's lifetime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manners {
    /// It is as its origin says.
    AsItIs,
    /// It is fresh for so long at most, in whole seconds, and never answers stale.
    Live(Duration),
    /// It is kept for a moment.
    Missing(Duration),
}

/// Decides on an answer with `status` for `url`. `is_manifest` says what its type tells.
pub fn manners(
    map: &SegmentMap,
    url: &Url,
    status: StatusCode,
    is_manifest: bool,
    now: Timestamp,
) -> Manners {
    match status {
        StatusCode::OK | StatusCode::NOT_MODIFIED => match map.manifest(url) {
            Known::Live(live) => {
                Manners::Live(Duration::from_secs((live.target.as_secs() / 2).max(1)))
            }
            Known::Nothing if is_manifest => Manners::Live(UNREAD),
            Known::Nothing | Known::Settled => Manners::AsItIs,
        },
        StatusCode::NOT_FOUND | StatusCode::GONE if map.is_at_live_edge(url, now) => {
            Manners::Missing(MISSING)
        }
        _ => Manners::AsItIs,
    }
}

impl Manners {
    /// Writes it into the fields of the answer, for this cache and those downstream. Returns the
    /// lifetime that is this cache's alone.
    pub fn apply(self, headers: &mut HeaderMap, now: Timestamp) -> Option<Lifetime> {
        let most = match self {
            Self::AsItIs => return None,
            Self::Live(most) => most.as_secs(),
            Self::Missing(_) => 0,
        };
        let dated = date(headers, &header::DATE).unwrap_or(now);
        let expires = headers.contains_key(header::EXPIRES).then(|| {
            // RFC 9111 §5.3: what is no date lies in the past.
            let expires = date(headers, &header::EXPIRES).unwrap_or_default();
            expires.since(dated).as_secs()
        });
        for name in [header::CACHE_CONTROL, HeaderName::from_static("cdn-cache-control")] {
            let said: Vec<_> =
                headers.get_all(&name).iter().filter_map(|value| value.to_str().ok()).collect();
            if said.is_empty() && name != header::CACHE_CONTROL {
                continue;
            }
            let cut = shortened(&said.join(","), most, expires);
            if let Ok(value) = HeaderValue::from_str(&cut) {
                headers.insert(name, value);
            }
        }
        match self {
            Self::Missing(time) => Some(Lifetime::Exactly(time)),
            _ => None,
        }
    }
}

/// The directives, with no lifetime above `most` seconds and nothing stale. Where there is no
/// lifetime, that of `expires` holds.
fn shortened(directives: &str, most: u64, expires: Option<u64>) -> String {
    let mut kept: Vec<String> = Vec::new();
    let mut timed = false;
    for directive in members(directives) {
        let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
        let name = name.trim().to_ascii_lowercase();
        match name.as_str() {
            "max-age" | "s-maxage" => {
                timed = true;
                let seconds: u64 = value.trim().trim_matches('"').parse().unwrap_or(0);
                kept.push(format!("{name}={}", seconds.min(most)));
            }
            "" | "immutable" | "stale-while-revalidate" | "stale-if-error" | "must-revalidate" => {}
            _ => kept.push(directive.to_owned()),
        }
    }
    if !timed {
        kept.push(format!("max-age={}", expires.unwrap_or(most).min(most)));
    }
    kept.push("must-revalidate".to_owned());
    kept.join(", ")
}

/// The members of a list, whose quoted strings may hold commas (RFC 9110 §5.6.1).
fn members(list: &str) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    list.split(move |c| {
        quoted ^= c == '"';
        c == ',' && !quoted
    })
    .map(str::trim)
}

fn date(headers: &HeaderMap, name: &HeaderName) -> Option<Timestamp> {
    Timestamp::from_http_date(headers.get(name)?.to_str().ok()?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;
    use crate::map::Limits;

    const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

    fn url(path: &str) -> Url {
        Url::new("h", path).unwrap()
    }

    fn map() -> SegmentMap {
        let mut map = SegmentMap::new(Limits::default());
        let live = "#EXTM3U\n#EXT-X-TARGETDURATION:6\n#EXTINF:6,\n7.mp4\n#EXTINF:6,\n8.mp4\n";
        map.learn(&url("/live.m3u8"), None, live.as_bytes()).unwrap();
        map.learn(&url("/vod.m3u8"), None, format!("{live}#EXT-X-ENDLIST\n").as_bytes()).unwrap();
        let mpd = "<MPD type='dynamic' minimumUpdatePeriod='PT1S'><Period><AdaptationSet>\
                   <SegmentTemplate media='d/$Number$' startNumber='5'><SegmentTimeline>\
                   <S d='4' r='2'/></SegmentTimeline></SegmentTemplate><Representation id='v'/>\
                   </AdaptationSet></Period></MPD>";
        map.learn(&url("/live.mpd"), None, mpd.as_bytes()).unwrap();
        map
    }

    #[test]
    fn what_changes_is_fresh_for_half_of_its_target_duration() {
        let map = map();
        let of = |path: &str| manners(&map, &url(path), StatusCode::OK, path.contains(".m"), NOW);
        let secs = Duration::from_secs;
        assert_eq!(of("/live.m3u8"), Manners::Live(secs(3)));
        assert_eq!(of("/live.m3u8?_HLS_msn=9"), Manners::Live(secs(3)));
        assert_eq!(of("/live.mpd"), Manners::Live(secs(1)));
        assert_eq!(of("/vod.m3u8"), Manners::AsItIs);
        assert_eq!(of("/unread.m3u8"), Manners::Live(secs(1)));
        assert_eq!(of("/7.x"), Manners::AsItIs);
        let confirmed = manners(&map, &url("/live.m3u8"), StatusCode::NOT_MODIFIED, false, NOW);
        assert_eq!(confirmed, Manners::Live(secs(3)), "a 304 renews it no longer");
    }

    #[test]
    fn an_error_is_short_at_the_live_edge_only() {
        let map = map();
        let of = |path: &str| manners(&map, &url(path), StatusCode::NOT_FOUND, false, NOW);
        for path in ["/9.mp4", "/10.mp4", "/d/8", "/live.m3u8"] {
            assert_eq!(of(path), Manners::Missing(MISSING), "{path}");
        }
        for path in ["/7.mp4", "/d/7", "/9.ts", "/vod.m3u8"] {
            assert_eq!(of(path), Manners::AsItIs, "{path}");
        }
        let failed = manners(&map, &url("/9.mp4"), StatusCode::BAD_GATEWAY, false, NOW);
        assert_eq!(failed, Manners::AsItIs);
    }

    #[test]
    fn what_may_not_be_kept_stays_so_and_nothing_gets_longer() {
        let live = Manners::Live(Duration::from_secs(3));
        let expires = NOW.plus(Duration::from_secs(2)).to_http_date();
        for (fields, expected) in [
            (&[("cache-control", "max-age=60")][..], "max-age=3, must-revalidate"),
            (
                &[("cache-control", "max-age=1, s-maxage=9")],
                "max-age=1, s-maxage=3, must-revalidate",
            ),
            (&[("cache-control", "no-store")], "no-store, max-age=3, must-revalidate"),
            (
                &[
                    ("cache-control", "max-age=2, stale-if-error=99"),
                    ("cache-control", "immutable"),
                ],
                "max-age=2, must-revalidate",
            ),
            (
                &[("cache-control", "private=\"a,b\", max-age=x")],
                "private=\"a,b\", max-age=0, must-revalidate",
            ),
            (&[], "max-age=3, must-revalidate"),
            (&[("expires", &expires)], "max-age=2, must-revalidate"),
            (&[("expires", "0")], "max-age=0, must-revalidate"),
        ] {
            let mut headers = HeaderMap::new();
            for (name, value) in fields {
                let name: HeaderName = name.parse().unwrap();
                headers.append(name, value.parse().unwrap());
            }
            assert_eq!(live.apply(&mut headers, NOW), None);
            assert_eq!(headers["cache-control"], expected, "{fields:?}");
        }
        let mut headers = HeaderMap::new();
        headers.insert("cdn-cache-control", "max-age=600".parse().unwrap());
        headers.insert("cache-control", "max-age=0, must-revalidate".parse().unwrap());
        let missing = Manners::Missing(MISSING).apply(&mut headers, NOW);
        assert_eq!(missing, Some(Lifetime::Exactly(MISSING)));
        assert_eq!(headers["cdn-cache-control"], "max-age=0, must-revalidate");
    }
}
