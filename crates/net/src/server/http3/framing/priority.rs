//! Which answers overtake which on one connection (RFC 9218): what the request's `Priority` says,
//! what the answer's own changes of it, and what a PRIORITY_UPDATE frame says later.
//!
//! Urgency becomes quinn's order among streams. Streams of one urgency share what there is,
//! incremental or not.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use http::{HeaderMap, HeaderName};
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

const PRIORITY: HeaderName = HeaderName::from_static("priority");

/// Streams of one connection of HTTP/3 whose priorities, as PRIORITY_UPDATE frames say them (RFC 9218
/// §7.2), are kept until the streams end; those of more streams are passed over. Unit: streams. Default
/// 1,024. Bound: not to be set. Danger: none known: it is eight times the streams that may be open.
const MAX_KEPT: usize = 1024;

/// How many urgencies there are.
pub(crate) const LEVELS: usize = 8;

/// How urgent an answer is: from 0, the most, to 7 (RFC 9218 §4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Urgency(u8);

impl Urgency {
    /// What is meant where nothing is said.
    pub(crate) const DEFAULT: Self = Self(3);

    /// What the fields say; `None` where they say nothing of it, or what is none.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        // The last one counts, as in all dictionaries (RFC 9651 §3.2).
        headers.get_all(PRIORITY).iter().rev().find_map(|line| Self::parse(line.as_bytes()))
    }

    /// Reads `u=1, i`.
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        let mut members = text.rsplit(|&byte| byte == b',');
        let digit = |member: &[u8]| {
            let value = member.split(|&byte| byte == b';').next()?;
            let [b'u', b'=', digit @ b'0'..=b'7'] = value.trim_ascii() else { return None };
            Some(Self(digit - b'0'))
        };
        members.find_map(digit)
    }

    /// Its number, less than [`LEVELS`]: the lower, the more urgent.
    pub(crate) const fn level(self) -> usize {
        self.0 as usize
    }

    /// Its place among quinn's streams: higher goes first, and what is not said is 0.
    pub(crate) const fn order(self) -> i32 {
        Self::DEFAULT.0 as i32 - self.0 as i32
    }
}

/// What PRIORITY_UPDATE frames of one connection said, by stream.
#[derive(Debug, Default)]
pub(crate) struct Updates {
    /// How many came: a stream looks for its own only when there are new ones.
    came: AtomicU64,
    by_stream: Mutex<HashMap<u64, Urgency>>,
    /// Wakes those that wait for room to send.
    changed: Notify,
}

impl Updates {
    /// How many came so far.
    pub(crate) fn came(&self) -> u64 {
        self.came.load(Ordering::Acquire)
    }

    /// Is ready when another one comes after this call.
    pub(crate) fn another(&self) -> Notified<'_> {
        self.changed.notified()
    }

    pub(crate) fn of(&self, stream: u64) -> Option<Urgency> {
        self.lock().get(&stream).copied()
    }

    /// Forgets a stream that has ended.
    pub(crate) fn forget(&self, stream: u64) {
        if self.came() > 0 {
            self.lock().remove(&stream);
        }
    }

    pub(crate) fn keep(&self, stream: u64, urgency: Urgency) {
        let mut by_stream = self.lock();
        if by_stream.len() < MAX_KEPT || by_stream.contains_key(&stream) {
            by_stream.insert(stream, urgency);
            self.came.fetch_add(1, Ordering::Release);
            self.changed.notify_waiters();
        }
    }

    #[cfg(test)]
    pub(crate) fn kept(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Urgency>> {
        self.by_stream.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    #[test]
    fn rfc_9218_4_what_cannot_be_read_is_not_said() {
        for (text, expected) in [
            ("u=0", Some(0)),
            ("i, u=7", Some(7)),
            ("u=1,u=5 , i=?0", Some(5)),
            ("u=2;x=1, i", Some(2)),
            ("u=8", None),
            ("u=-1", None),
            ("u=1.5", None),
            ("u", None),
            ("ux=1, i", None),
            ("", None),
        ] {
            let urgency = Urgency::parse(text.as_bytes());
            assert_eq!(urgency, expected.map(Urgency), "{text}");
        }
        assert_eq!((Urgency(0).order(), Urgency::DEFAULT.order(), Urgency(7).order()), (3, 0, -4));
    }
}
