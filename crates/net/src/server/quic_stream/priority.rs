//! Which answers overtake which on one connection (RFC 9218): what the request's `Priority` says,
//! what the answer's own changes of it, and what a PRIORITY_UPDATE frame says later.
//!
//! Urgency becomes quinn's order among streams. Streams of one urgency share what there is,
//! incremental or not.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use http::{HeaderMap, HeaderName};

use super::frames::read_var_int;

const PRIORITY: HeaderName = HeaderName::from_static("priority");

/// The frame that changes a request's priority (RFC 9218 §7.2).
const PRIORITY_UPDATE: u64 = 0xf0700;

/// The longest PRIORITY_UPDATE that is read; `u=0, i` and an ID are 15 bytes.
const MAX_UPDATE: usize = 64;

/// Streams whose updates are kept until they end; updates of more are passed over.
const MAX_KEPT: usize = 1024;

/// How urgent an answer is: from 0, the most, to 7 (RFC 9218 §4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Urgency(u8);

impl Urgency {
    /// What is meant where nothing is said.
    pub(in super::super) const DEFAULT: Self = Self(3);

    /// What the fields say; `None` where they say nothing of it, or what is none.
    pub(in super::super) fn of(headers: &HeaderMap) -> Option<Self> {
        // The last one counts, as in all dictionaries (RFC 9651 §3.2).
        headers.get_all(PRIORITY).iter().rev().find_map(|line| Self::parse(line.as_bytes()))
    }

    /// Reads `u=1, i`.
    fn parse(text: &[u8]) -> Option<Self> {
        let mut members = text.rsplit(|&byte| byte == b',');
        let digit = |member: &[u8]| {
            let value = member.split(|&byte| byte == b';').next()?;
            let [b'u', b'=', digit @ b'0'..=b'7'] = value.trim_ascii() else { return None };
            Some(Self(digit - b'0'))
        };
        members.find_map(digit)
    }

    /// Its place among quinn's streams: higher goes first, and what is not said is 0.
    pub(in super::super) const fn order(self) -> i32 {
        Self::DEFAULT.0 as i32 - self.0 as i32
    }
}

/// What PRIORITY_UPDATE frames of one connection said, by stream.
#[derive(Debug, Default)]
pub(super) struct Updates {
    /// How many came: a stream looks for its own only when there are new ones.
    came: AtomicU64,
    by_stream: Mutex<HashMap<u64, Urgency>>,
}

impl Updates {
    /// How many came so far.
    pub(super) fn came(&self) -> u64 {
        self.came.load(Ordering::Acquire)
    }

    pub(super) fn of(&self, stream: u64) -> Option<Urgency> {
        self.lock().get(&stream).copied()
    }

    /// Forgets a stream that has ended.
    pub(super) fn forget(&self, stream: u64) {
        if self.came() > 0 {
            self.lock().remove(&stream);
        }
    }

    fn keep(&self, stream: u64, urgency: Urgency) {
        let mut by_stream = self.lock();
        if by_stream.len() < MAX_KEPT || by_stream.contains_key(&stream) {
            by_stream.insert(stream, urgency);
            self.came.fetch_add(1, Ordering::Release);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Urgency>> {
        self.by_stream.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads along on a unidirectional stream; on a control stream (RFC 9114 §6.2.1) it finds the
/// updates. h3 reads the same bytes, and passes over these frames.
#[derive(Debug, Default)]
pub(super) struct Tap {
    /// What has come of the stream's type, or of the frame at hand as far as it is kept.
    held: Vec<u8>,
    /// Bytes of a frame that are passed over.
    skip: u64,
    state: TapState,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum TapState {
    /// The stream's type is yet to come.
    #[default]
    Type,
    Control,
    /// Some other stream.
    Other,
}

impl Tap {
    /// Lets bytes pass. Memory is bounded by the longest update that is read.
    pub(super) fn pass(&mut self, mut bytes: &[u8], updates: &Updates) {
        while !bytes.is_empty() && self.state != TapState::Other {
            let passed = usize::try_from(self.skip).unwrap_or(usize::MAX).min(bytes.len());
            self.skip -= passed as u64;
            let Some((&byte, rest)) = bytes[passed..].split_first() else { return };
            bytes = rest;
            self.held.push(byte);
            if self.state == TapState::Type {
                if let Some((kind, _)) = read_var_int(&self.held) {
                    self.held.clear();
                    self.state = if kind == 0 { TapState::Control } else { TapState::Other };
                }
                continue;
            }
            let Some((kind, rest)) = read_var_int(&self.held) else { continue };
            let Some((len, payload)) = read_var_int(rest) else { continue };
            if kind != PRIORITY_UPDATE || len > MAX_UPDATE as u64 {
                self.held.clear();
                self.skip = len;
            } else if payload.len() as u64 >= len {
                if let Some((stream, field)) = read_var_int(payload) {
                    updates.keep(stream, Urgency::parse(field).unwrap_or(Urgency::DEFAULT));
                }
                self.held.clear();
            }
        }
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

    fn update(stream: u8, field: &str) -> Vec<u8> {
        let len = u8::try_from(1 + field.len()).unwrap();
        [&[0x80, 0x0f, 0x07, 0x00, len, stream], field.as_bytes()].concat()
    }

    #[test]
    fn updates_are_found_however_they_are_cut() {
        // A control stream: SETTINGS of two bytes, an update, a frame that is passed over, another.
        let mut bytes = vec![0, 4, 2, 6, 0];
        bytes.extend(update(4, "u=1, i"));
        bytes.extend([0x40, 0x21, 3, 9, 9, 9]);
        bytes.extend(update(8, "nonsense"));
        for size in 1..=bytes.len() {
            let (mut tap, updates) = (Tap::default(), Updates::default());
            for chunk in bytes.chunks(size) {
                tap.pass(chunk, &updates);
            }
            assert_eq!(updates.of(4), Some(Urgency(1)), "in pieces of {size}");
            assert_eq!(updates.of(8), Some(Urgency::DEFAULT));
            assert_eq!((updates.came(), updates.of(0)), (2, None));
        }
    }

    #[test]
    fn other_streams_and_floods_keep_nothing() {
        let (mut tap, updates) = (Tap::default(), Updates::default());
        tap.pass(&[&[2u8], &update(4, "u=1")[..]].concat(), &updates);
        assert_eq!((updates.came(), tap.held.len()), (0, 0));
        let (mut tap, updates) = (Tap::default(), Updates::default());
        tap.pass(&[0], &updates);
        for stream in 0..3 * MAX_KEPT {
            let id = (u64::try_from(stream).unwrap() | 0xc000_0000_0000_0000).to_be_bytes();
            tap.pass(&[&[0x80, 0x0f, 0x07, 0x00, 11][..], &id, b"u=0"].concat(), &updates);
        }
        assert_eq!(updates.lock().len(), MAX_KEPT);
        // A frame that says it is endless is passed over without being held.
        tap.pass(&[0x80, 0x0f, 0x07, 0x00, 0xbf, 0xff, 0xff, 0xff], &updates);
        tap.pass(&vec![7; 100_000], &updates);
        assert!(tap.held.capacity() < 1000);
    }
}
