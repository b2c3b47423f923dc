//! How old a response is, and how old it may become (RFC 9111 §4.2).
//!
//! HTTP dates have whole seconds, clocks here have milliseconds: differences of dates are taken in
//! whole seconds, so that a response is never a second older than its origin says.

use std::time::Duration;

use headwater_net::Timestamp;
use http::{HeaderMap, StatusCode, header};

use super::Choices;
use super::storable::heuristically_cacheable;
use crate::directives::{self, ResponseDirectives};

/// The share of a response's apparent unchangedness that it counts as fresh for without a word
/// from its origin, as one part in so many (§4.2.2 suggests ten).
const HEURISTIC_PART: u32 = 10;

/// The longest heuristic lifetime: a day, past which §4.2.2 once asked for a warning.
const HEURISTIC_CAP: Duration = Duration::from_secs(24 * 3600);

/// The clock of one stored response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Freshness {
    /// Its age when it came (§4.2.3, `corrected_initial_age`).
    pub(crate) initial_age: Duration,
    /// When it came (§4.2.3, `response_time`).
    pub(crate) received: Timestamp,
    /// How old it may become (§4.2.1).
    pub(crate) lifetime: Duration,
}

impl Freshness {
    /// Its age now (§4.2.3, `current_age`).
    pub(crate) fn age(&self, now: Timestamp) -> Duration {
        self.initial_age.saturating_add(now.since(self.received))
    }

    /// Seconds of freshness left; negative when stale.
    pub(crate) fn ttl(&self, now: Timestamp) -> i64 {
        self.lifetime.as_secs() as i64 - self.age(now).as_secs() as i64
    }
}

/// `corrected_initial_age` (§4.2.3) of a response asked for at `requested` and had at `received`.
pub(crate) fn initial_age(
    headers: &HeaderMap,
    requested: Timestamp,
    received: Timestamp,
    choices: &Choices,
) -> Duration {
    if !choices.trusts_malformed_age() && !is_well_formed_age(headers) {
        return Duration::from_secs(directives::MAX_DELTA);
    }
    let apparent = date(headers, &header::DATE)
        .map_or(0, |date| received.as_secs().saturating_sub(date.as_secs()));
    let corrected =
        Duration::from_secs(age_value(headers)).saturating_add(received.since(requested));
    corrected.max(Duration::from_secs(apparent))
}

/// `freshness_lifetime` (§4.2.1) for a shared cache.
pub(crate) fn lifetime(
    status: StatusCode,
    headers: &HeaderMap,
    directives: &ResponseDirectives,
    received: Timestamp,
) -> Duration {
    if let Some(seconds) = directives.s_maxage.or(directives.max_age) {
        return Duration::from_secs(seconds);
    }
    let dated = date(headers, &header::DATE).unwrap_or(received);
    if !directives.targeted && headers.contains_key(header::EXPIRES) {
        // §5.3: what is no date, "0" above all, lies in the past.
        let expires = date(headers, &header::EXPIRES).unwrap_or_default();
        return Duration::from_secs(expires.as_secs().saturating_sub(dated.as_secs()));
    }
    // §4.2.2: heuristics only where the status allows them or the response says `public`.
    if !heuristically_cacheable(status) && !directives.public {
        return Duration::ZERO;
    }
    let Some(modified) = date(headers, &header::LAST_MODIFIED) else { return Duration::ZERO };
    let unchanged = Duration::from_secs(dated.as_secs().saturating_sub(modified.as_secs()));
    (unchanged / HEURISTIC_PART).min(HEURISTIC_CAP)
}

/// Whether the response says itself how long it is fresh (§3).
pub(crate) fn is_explicit(headers: &HeaderMap, directives: &ResponseDirectives) -> bool {
    directives.s_maxage.is_some()
        || directives.max_age.is_some()
        || !directives.targeted && headers.contains_key(header::EXPIRES)
}

/// `age_value` (§5.1): of several members the first counts, and one that is no number counts as
/// none.
fn age_value(headers: &HeaderMap) -> u64 {
    let Some(Ok(text)) = headers.get(header::AGE).map(http::HeaderValue::to_str) else { return 0 };
    let first = text.split(',').next().unwrap_or_default().trim();
    directives::delta(first).unwrap_or(0)
}

/// Whether `Age` is absent, or there once and a number or a list that begins with one. What
/// somebody on the way joined two lines of the field to, by a comma and a space (RFC 9110 §5.3),
/// is two of them.
fn is_well_formed_age(headers: &HeaderMap) -> bool {
    let mut lines = headers.get_all(header::AGE).iter();
    let Some(Ok(line)) = lines.next().map(http::HeaderValue::to_str) else {
        return !headers.contains_key(header::AGE);
    };
    let first = line.split(',').next().unwrap_or_default().trim();
    directives::delta(first).is_some() && !line.contains(", ") && lines.next().is_none()
}

/// The first line of a date field; `None` where it is none.
pub(crate) fn date(headers: &HeaderMap, name: &http::HeaderName) -> Option<Timestamp> {
    Timestamp::from_http_date(headers.get(name)?.to_str().ok()?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;
    use http::{HeaderName, HeaderValue};
    use proptest::prelude::*;

    const NOW: u64 = 1_700_000_000;

    fn headers(list: &[(&str, &str)]) -> HeaderMap {
        let mut all = HeaderMap::new();
        for (name, value) in list {
            all.append(name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap());
        }
        all
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_secs(seconds)
    }

    fn lifetime_of(status: u16, list: &[(&str, &str)]) -> u64 {
        let all = headers(list);
        let directives = ResponseDirectives::of(&all);
        lifetime(StatusCode::from_u16(status).unwrap(), &all, &directives, at(NOW)).as_secs()
    }

    fn http_date(seconds: u64) -> String {
        at(seconds).to_http_date()
    }

    #[test]
    fn rfc_9111_4_2_1_s_maxage_before_max_age_before_expires_before_heuristics() {
        let (date, expires, modified) = (http_date(NOW), http_date(NOW + 30), http_date(NOW - 400));
        let base =
            [("date", &*date), ("expires", &*expires), ("last-modified", &*modified)].to_vec();
        let with = |control: &'static str| {
            let mut list = base.clone();
            list.push(("cache-control", control));
            list
        };
        assert_eq!(lifetime_of(200, &with("max-age=20, s-maxage=10")), 10);
        assert_eq!(lifetime_of(200, &with("max-age=20")), 20);
        assert_eq!(lifetime_of(200, &base), 30);
        assert_eq!(lifetime_of(200, &[base[0], base[2]]), 40);
    }

    #[test]
    fn rfc_9111_5_3_an_expires_that_is_no_date_is_in_the_past() {
        for bad in ["0", "-1", "soon", ""] {
            assert_eq!(lifetime_of(200, &[("expires", bad)]), 0, "{bad}");
        }
        let past = http_date(NOW - 5);
        assert_eq!(lifetime_of(200, &[("expires", &past)]), 0);
    }

    #[test]
    fn rfc_9111_4_2_2_heuristics_need_a_status_or_public_and_end_at_a_day() {
        let modified = http_date(NOW - 1000);
        let old = http_date(NOW - 100 * 24 * 3600);
        assert_eq!(lifetime_of(200, &[("last-modified", &modified)]), 100);
        assert_eq!(lifetime_of(200, &[("last-modified", &old)]), 24 * 3600);
        assert_eq!(lifetime_of(302, &[("last-modified", &modified)]), 0);
        let public = [("last-modified", &*modified), ("cache-control", "public")];
        assert_eq!(lifetime_of(302, &public), 100);
        assert_eq!(lifetime_of(200, &[]), 0);
    }

    #[test]
    fn rfc_9111_5_1_malformed_ages() {
        for (text, expected) in [
            ("7", 7),
            (" 7 ", 7),
            ("7, 9", 7),
            ("-7", 0),
            ("7.5", 0),
            ("a", 0),
            ("", 0),
            ("7;x", 0),
            ("99999999999999999999", directives::MAX_DELTA),
        ] {
            assert_eq!(age_value(&headers(&[("age", text)])), expected, "{text:?}");
        }
        assert_eq!(age_value(&headers(&[("age", "7"), ("age", "9")])), 7);
    }

    #[test]
    fn rfc_9111_5_1_a_malformed_age_is_stale_where_it_is_not_trusted() {
        let choices = Choices::new().trust_malformed_age(false);
        let age = |lines: &[&str]| {
            let list: Vec<_> = lines.iter().map(|line| ("age", *line)).collect();
            initial_age(&headers(&list), at(NOW), at(NOW), &choices).as_secs()
        };
        assert_eq!((age(&[]), age(&["7"]), age(&["7,9"])), (0, 7, 7));
        for bad in [&["a"][..], &["-7"], &["7.0"], &["0, 7"], &["0", "0"], &["7;x=1"]] {
            assert_eq!(age(bad), directives::MAX_DELTA, "{bad:?}");
        }
    }

    #[test]
    fn rfc_9213_2_2_expires_does_not_count_beside_a_targeted_field() {
        let expires = http_date(NOW + 30);
        let all = headers(&[("expires", &expires), ("cdn-cache-control", "foo")]);
        let choices = Choices::new();
        let (directives, _) = ResponseDirectives::governing(&all, choices.targets());
        assert_eq!(lifetime(StatusCode::OK, &all, &directives, at(NOW)), Duration::ZERO);
        assert!(!is_explicit(&all, &directives));
    }

    proptest! {
        /// RFC 9111 §4.2.3 written out in whole seconds, with signs, as the standard has it.
        #[test]
        fn rfc_9111_4_2_3_age_equals_a_naive_model(
            date in proptest::option::of(0i64..200_000),
            age in proptest::option::of(0i64..100_000),
            request in 50_000i64..100_000,
            delay in 0i64..10_000,
            resident in 0i64..100_000,
            max_age in 0i64..200_000,
        ) {
            let mut all = HeaderMap::new();
            if let Some(date) = date {
                let text = at(date as u64).to_http_date();
                all.insert(header::DATE, HeaderValue::from_str(&text).unwrap());
            }
            if let Some(age) = age {
                all.insert(header::AGE, HeaderValue::from(age));
            }
            let response = request + delay;
            let now = response + resident;

            let apparent_age = date.map_or(0, |date| (response - date).max(0));
            let corrected_age_value = age.unwrap_or(0) + delay;
            let expected = apparent_age.max(corrected_age_value) + resident;

            let control = format!("max-age={max_age}");
            all.insert(header::CACHE_CONTROL, HeaderValue::from_str(&control).unwrap());
            let directives = ResponseDirectives::of(&all);
            let received = at(response as u64);
            let freshness = Freshness {
                initial_age: initial_age(&all, at(request as u64), received, &Choices::new()),
                received,
                lifetime: lifetime(StatusCode::OK, &all, &directives, received),
            };
            let age = freshness.age(at(now as u64));
            prop_assert_eq!(age.as_secs() as i64, expected);
            prop_assert_eq!(age < freshness.lifetime, expected < max_age);
        }

        #[test]
        fn no_header_makes_age_or_lifetime_panic(
            age in "[ -~]{0,24}", date in "[ -~]{0,40}", expires in "[ -~]{0,40}",
            now in any::<u64>(), then in any::<u64>(),
        ) {
            let all = headers(&[("age", &age), ("date", &date), ("expires", &expires)]);
            let (now, then) = (Timestamp::from_millis(now), Timestamp::from_millis(then));
            let initial_age = initial_age(&all, then, now, &Choices::new());
            let directives = ResponseDirectives::of(&all);
            let lifetime = lifetime(StatusCode::OK, &all, &directives, now);
            let _ = Freshness { initial_age, received: then, lifetime }.age(now);
        }
    }
}
