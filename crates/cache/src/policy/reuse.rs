//! Whether a stored response may answer a request (RFC 9111 §4 and §4.2.4, RFC 5861).

use std::time::Duration;

use headwater_net::Timestamp;

use super::freshness::Freshness;
use crate::directives::{RequestDirectives, ResponseDirectives};

/// What may be done with a stored response that matches a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reuse {
    /// It is fresh: answer with it.
    Fresh,
    /// It is stale, and the request takes it so (§5.2.1.2, `max-stale`).
    Stale,
    /// It is stale, and may answer while it is revalidated (RFC 5861 §3).
    StaleWhileRevalidate,
    /// Upstream must confirm it first.
    Revalidate(Why),
}

/// Why upstream must be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// It is stale, or says `no-cache`.
    Stale,
    /// The request wants more than it is.
    Request,
}

/// Decides for a stored response; an [age](Freshness::age) equal to the lifetime is stale (§4.2).
pub(crate) fn decide(
    freshness: &Freshness,
    response: &ResponseDirectives,
    request: &RequestDirectives,
    now: Timestamp,
) -> Reuse {
    if response.no_cache {
        return Reuse::Revalidate(Why::Stale);
    }
    if request.no_cache {
        return Reuse::Revalidate(Why::Request);
    }
    let age = freshness.age(now);
    let seconds = Duration::from_secs;
    // RFC 8246 §2: a reload, which asks by `max-age=0`, is no reason to confirm what never changes
    // while it is fresh; `no-cache` is.
    let immutable = response.immutable && age < freshness.lifetime;
    let too_old = request.max_age.is_some_and(|most| age > seconds(most));
    if too_old && request.max_stale.is_none() && !immutable {
        return Reuse::Revalidate(Why::Request);
    }
    if age < freshness.lifetime {
        let left = freshness.lifetime.saturating_sub(age);
        return match request.min_fresh {
            Some(least) if left < seconds(least) => Reuse::Revalidate(Why::Request),
            _ => Reuse::Fresh,
        };
    }
    let over = age.saturating_sub(freshness.lifetime);
    if may_be_stale(response) {
        if request.max_stale.is_some_and(|most| over <= seconds(most)) {
            return Reuse::Stale;
        }
        let window = response.stale_while_revalidate.map_or(Duration::ZERO, seconds);
        // Who asks for a bound on age or freshness did not ask for a stale answer.
        if over < window && request.max_age.is_none() && request.min_fresh.is_none() {
            return Reuse::StaleWhileRevalidate;
        }
    }
    Reuse::Revalidate(Why::Stale)
}

/// How upstream failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// It answered with an error (RFC 5861 §4).
    Error,
    /// It gave no answer: the cache is disconnected (RFC 9111 §4.2.4), and what forbids nothing may
    /// be this long stale.
    Unreachable(Duration),
}

/// Whether it may answer though upstream failed, by word of the response or the request, or because
/// there is no other way.
pub(crate) fn may_answer_on_error(
    freshness: &Freshness,
    response: &ResponseDirectives,
    request: &RequestDirectives,
    failure: Failure,
    now: Timestamp,
) -> bool {
    if response.no_cache || !may_be_stale(response) {
        return false;
    }
    let over = freshness.age(now).saturating_sub(freshness.lifetime);
    let grace = match failure {
        Failure::Error => None,
        Failure::Unreachable(grace) => Some(grace),
    };
    [response.stale_if_error, request.stale_if_error]
        .map(|most| most.map(Duration::from_secs))
        .into_iter()
        .chain([grace])
        .flatten()
        .any(|most| over <= most)
}

/// §4.2.4: these forbid a shared cache to serve stale; `s-maxage` has `proxy-revalidate` in it
/// (§5.2.2.10). An explicit stale extension beside `s-maxage` is the origin's newer word on it.
fn may_be_stale(response: &ResponseDirectives) -> bool {
    let extended = response.stale_while_revalidate.is_some() || response.stale_if_error.is_some();
    !response.must_revalidate
        && !response.proxy_revalidate
        && (response.s_maxage.is_none() || extended)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;
    use http::{HeaderMap, HeaderValue, header};

    fn verdict(response: &str, request: &str, age: u64) -> Reuse {
        let (freshness, response, request) = parse(response, request);
        decide(&freshness, &response, &request, Timestamp::from_secs(1000 + age))
    }

    fn on_error(response: &str, request: &str, age: u64) -> bool {
        let (freshness, response, request) = parse(response, request);
        let now = Timestamp::from_secs(1000 + age);
        may_answer_on_error(&freshness, &response, &request, Failure::Error, now)
    }

    fn unreachable(response: &str, age: u64) -> bool {
        let (freshness, response, request) = parse(response, "");
        let failure = Failure::Unreachable(Duration::from_secs(60));
        let now = Timestamp::from_secs(1000 + age);
        may_answer_on_error(&freshness, &response, &request, failure, now)
    }

    fn parse(response: &str, request: &str) -> (Freshness, ResponseDirectives, RequestDirectives) {
        let headers = |text: &str| -> HeaderMap {
            [(header::CACHE_CONTROL, HeaderValue::from_str(text).unwrap())].into_iter().collect()
        };
        let response = ResponseDirectives::of(&headers(response));
        let freshness = Freshness {
            initial_age: Duration::ZERO,
            received: Timestamp::from_secs(1000),
            lifetime: Duration::from_secs(response.s_maxage.or(response.max_age).unwrap_or(0)),
        };
        (freshness, response, RequestDirectives::of(&headers(request)))
    }

    const STALE: Reuse = Reuse::Revalidate(Why::Stale);
    const REQUEST: Reuse = Reuse::Revalidate(Why::Request);

    #[test]
    fn rfc_9111_4_2_fresh_until_its_age_is_its_lifetime() {
        assert_eq!(verdict("max-age=10", "", 9), Reuse::Fresh);
        assert_eq!(verdict("max-age=10", "", 10), STALE);
        assert_eq!(verdict("max-age=10, no-cache", "", 0), STALE);
    }

    #[test]
    fn rfc_9111_5_2_1_request_directives() {
        assert_eq!(verdict("max-age=10", "no-cache", 1), REQUEST);
        assert_eq!(verdict("max-age=10", "max-age=5", 5), Reuse::Fresh);
        assert_eq!(verdict("max-age=10", "max-age=5", 6), REQUEST);
        assert_eq!(verdict("max-age=10", "min-fresh=5", 5), Reuse::Fresh);
        assert_eq!(verdict("max-age=10", "min-fresh=5", 6), REQUEST);
        assert_eq!(verdict("max-age=10", "max-stale=5", 15), Reuse::Stale);
        assert_eq!(verdict("max-age=10", "max-stale=5", 16), STALE);
        assert_eq!(verdict("max-age=10", "max-stale", 9999), Reuse::Stale);
    }

    #[test]
    fn rfc_9111_4_2_4_these_forbid_stale_answers() {
        for forbids in ["must-revalidate", "proxy-revalidate", "no-cache", "s-maxage=10"] {
            let text = format!("max-age=10, {forbids}");
            assert_eq!(verdict(&text, "max-stale", 20), STALE, "{forbids}");
            assert!(!on_error(&text, "stale-if-error=60", 20), "{forbids}");
            assert!(!unreachable(&text, 20), "{forbids}");
        }
    }

    #[test]
    fn rfc_9111_4_2_4_a_disconnected_cache_may_answer_stale_for_a_while() {
        assert!(unreachable("max-age=10", 70));
        assert!(!unreachable("max-age=10", 71));
        assert!(unreachable("max-age=10, stale-if-error=600", 71));
    }

    #[test]
    fn rfc_5861_3_stale_while_revalidate() {
        let text = "max-age=10, stale-while-revalidate=5";
        assert_eq!(verdict(text, "", 14), Reuse::StaleWhileRevalidate);
        assert_eq!(verdict(text, "", 15), STALE);
        assert_eq!(verdict(text, "no-cache", 12), REQUEST);
        assert_eq!(verdict(text, "max-age=60", 12), STALE);
        let text = "s-maxage=10, stale-while-revalidate=5, must-revalidate";
        assert_eq!(verdict(text, "", 12), STALE);
    }

    #[test]
    fn rfc_5861_4_stale_if_error() {
        assert!(on_error("max-age=10, stale-if-error=5", "", 15));
        assert!(!on_error("max-age=10, stale-if-error=5", "", 16));
        assert!(on_error("max-age=10", "stale-if-error=50", 60));
        assert!(!on_error("max-age=10", "", 11));
        assert!(!on_error("max-age=10, must-revalidate, stale-if-error=5", "", 11));
    }
}
