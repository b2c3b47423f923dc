//! What is kept of the attempts at a certificate, in a file beside it: a process that is started again
//! and again waits as the one before would have, and asks no more often than one that runs on.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// See the module. Times are seconds since 1970.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Record {
    /// Attempts in a row that failed, and why the last one did.
    pub(super) failures: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) failure: Option<String>,
    /// Not to be tried before.
    not_before: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    renewal: Option<Renewal>,
}

/// What the authority told of one certificate's renewal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Renewal {
    /// The certificate, as the authority knows it.
    of: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    window: Option<(u64, u64)>,
    ask_again: u64,
}

impl Record {
    /// Of attempts, and without a word of renewals.
    pub(super) fn new(failures: u32, failure: Option<String>, not_before: Timestamp) -> Self {
        Self { failures, failure, not_before: not_before.as_secs(), renewal: None }
    }

    /// With what was told of a certificate's renewal, and when to ask again.
    pub(super) fn told(
        self,
        of: String,
        window: Option<&Range<Timestamp>>,
        ask_again: Timestamp,
    ) -> Self {
        let window = window.map(|window| (window.start.as_secs(), window.end.as_secs()));
        let renewal = Renewal { of, window, ask_again: ask_again.as_secs() };
        Self { renewal: Some(renewal), ..self }
    }

    /// Not to be tried before.
    pub(super) const fn not_before(&self) -> Timestamp {
        Timestamp::from_secs(self.not_before)
    }

    /// What was told of this certificate's renewal, and when to ask again.
    pub(super) fn renewal(&self, of: &str) -> Option<(Option<Range<Timestamp>>, Timestamp)> {
        let renewal = self.renewal.as_ref().filter(|renewal| renewal.of == of)?;
        let window = renewal
            .window
            .map(|(start, end)| Timestamp::from_secs(start)..Timestamp::from_secs(end));
        let window = window.filter(|window| !window.is_empty());
        Some((window, Timestamp::from_secs(renewal.ask_again)))
    }

    /// As it lies in the file.
    pub(super) fn to_text(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// From a file; what cannot be read is as if there were none.
    pub(super) fn from_text(text: &[u8]) -> Option<Self> {
        serde_json::from_slice(text).ok()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    #[test]
    fn what_is_written_is_read_and_only_of_the_same_certificate() {
        let at = Timestamp::from_secs;
        let record = Record::new(2, Some("no".to_owned()), at(7));
        let record = record.told("a.b".to_owned(), Some(&(at(10)..at(20))), at(30));
        let read = Record::from_text(&record.to_text()).unwrap();
        assert_eq!(read, record);
        assert_eq!((read.failures, read.not_before()), (2, at(7)));
        assert_eq!(read.renewal("a.b"), Some((Some(at(10)..at(20)), at(30))));
        assert_eq!(read.renewal("a.c"), None);
        let empty = br#"{"renewal": {"of": "x", "window": [9, 9], "ask_again": 1}}"#;
        assert_eq!(Record::from_text(empty).unwrap().renewal("x"), Some((None, at(1))));
        for damaged in [&b""[..], b"{", br#"{"failures": -1}"#] {
            assert_eq!(Record::from_text(damaged), None);
        }
    }
}
