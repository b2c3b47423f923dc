//! What an edge tells of playback sessions, one event after the other: for a log of its own, and for
//! whoever counts viewers.
//!
//! Events are made of what players say (CMCD) and of what the edge itself answered. They are best
//! effort: what does not fit into a queue is dropped and counted where it happens.

use serde::{Deserialize, Serialize};

/// Something that happened to a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionEvent {
    /// When the edge learnt of it, in milliseconds since 1970.
    pub at: u64,
    /// The edge's name.
    pub edge: String,
    /// The session: the player's `sid`, or what the edge made up for one that has none.
    pub session: String,
    /// What is watched: where its presentation lies, without the host.
    pub title: String,
    /// What the player calls it (`cid`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// Where it is watched, as an ISO 3166-1 alpha-2 code, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
    /// What happened.
    #[serde(flatten)]
    pub what: What,
}

/// What happened to a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum What {
    /// It was seen for the first time.
    Begun,
    /// It shows its first picture.
    Startup {
        /// After so many milliseconds.
        millis: u64,
    },
    /// Its buffer ran empty.
    Rebuffer,
    /// It played on.
    Stalled {
        /// After so many milliseconds without a picture.
        millis: u64,
    },
    /// It asks for another bit rate.
    Bitrate {
        /// In kbit/s.
        kbps: u64,
    },
    /// Its player met an error.
    Error {
        /// The player's code for it; empty where it told none.
        code: String,
    },
    /// It is over, or was silent for so long that it counts as over.
    Ended {
        /// From its beginning to its last request, in milliseconds.
        millis: u64,
        /// Requests that this edge answered.
        requests: u64,
        /// Bytes of media that this edge sent.
        bytes: u64,
        /// How often its buffer ran empty.
        rebuffers: u64,
        /// For how long in all, in milliseconds, as far as its player told.
        stalled: u64,
        /// Errors that its player told.
        errors: u64,
    },
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    #[test]
    fn an_event_is_one_flat_object() {
        let event = SessionEvent {
            at: 7,
            edge: "e".to_owned(),
            session: "s".to_owned(),
            title: "/t".to_owned(),
            content: None,
            country: None,
            what: What::Startup { millis: 300 },
        };
        let text = serde_json::to_string(&event).unwrap();
        assert_eq!(
            text,
            r#"{"at":7,"edge":"e","session":"s","title":"/t","event":"startup","millis":300}"#
        );
        assert_eq!(serde_json::from_str::<SessionEvent>(&text).unwrap(), event);
    }
}
