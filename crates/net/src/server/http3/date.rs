//! The `Date` of answers (RFC 9110 §6.6.1), written anew once a second. hyper does the same for
//! HTTP/1.1 and HTTP/2.

use std::sync::{Mutex, PoisonError};

use http::HeaderValue;

use crate::Clock;

/// The current date as a header value.
pub(super) struct DateCache {
    clock: Clock,
    latest: Mutex<(u64, HeaderValue)>,
}

impl DateCache {
    pub(super) fn new(clock: Clock) -> Self {
        Self { clock, latest: Mutex::new((u64::MAX, HeaderValue::from_static(""))) }
    }

    pub(super) fn now(&self) -> HeaderValue {
        let now = self.clock.now();
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        if latest.0 != now.as_secs()
            && let Ok(value) = HeaderValue::try_from(now.to_http_date())
        {
            *latest = (now.as_secs(), value);
        }
        latest.1.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Timestamp;
    use std::time::Duration;

    #[test]
    fn follows_the_clock() {
        let clock = Clock::manual(Timestamp::from_secs(784_111_777));
        let date = DateCache::new(clock.clone());
        assert_eq!(date.now(), "Sun, 06 Nov 1994 08:49:37 GMT");
        clock.advance(Duration::from_secs(1));
        assert_eq!(date.now(), "Sun, 06 Nov 1994 08:49:38 GMT");
    }
}
