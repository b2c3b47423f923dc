//! What version 2 adds for those who watch over playback: the player's state, what happened to it,
//! and reports of their own, a line each, that no request for media carries (CTA-5004-A, event mode).

use super::{Cmcd, MAX_BYTES};

/// The type of a message of reports.
pub const MEDIA_TYPE: &str = "application/cmcd";

/// The most reports that are read of one message.
pub const MAX_REPORTS: usize = 64;

/// The most error codes that are kept of one report, and the longest, in bytes.
pub const MAX_ERRORS: usize = 4;
/// See [`MAX_ERRORS`].
pub const MAX_ERROR: usize = 64;

/// What a player is doing (`sta`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// `s`: it starts.
    Starting,
    /// `p`: it plays.
    Playing,
    /// `k`: it goes to another place.
    Seeking,
    /// `r`: it waits for data in the middle of playback.
    Rebuffering,
    /// `a`: it is paused.
    Paused,
    /// `w`: it waits for its viewer.
    Waiting,
    /// `e`: it came to the end.
    Ended,
    /// `f`: it failed and will not go on.
    Failed,
    /// `q`: its viewer left before the end.
    Quit,
    /// `d`: it loads ahead of a start to come.
    Preloading,
}

/// Why a report was sent (`e`), as far as an edge tells them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Event {
    /// `ps`: its state is another one.
    State,
    /// `e`: an error.
    Error,
    /// `t`: it was time.
    Interval,
    /// `c`: it plays something else.
    Content,
    /// `bc`: it plays another bit rate.
    Bitrate,
    /// `rr`: a response came.
    Response,
    /// Any other.
    Other,
}

impl State {
    /// Each with its token.
    const TOKENS: [(&'static str, Self); 10] = [
        ("s", Self::Starting),
        ("p", Self::Playing),
        ("k", Self::Seeking),
        ("r", Self::Rebuffering),
        ("a", Self::Paused),
        ("w", Self::Waiting),
        ("e", Self::Ended),
        ("f", Self::Failed),
        ("q", Self::Quit),
        ("d", Self::Preloading),
    ];

    pub(super) fn of(token: &[u8]) -> Option<Self> {
        Self::TOKENS.iter().find(|(known, _)| known.as_bytes() == token).map(|(_, state)| *state)
    }

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Playing => "playing",
            Self::Seeking => "seeking",
            Self::Rebuffering => "rebuffering",
            Self::Paused => "paused",
            Self::Waiting => "waiting",
            Self::Ended => "ended",
            Self::Failed => "failed",
            Self::Quit => "quit",
            Self::Preloading => "preloading",
        }
    }

    /// Whether nothing comes after it.
    pub const fn is_last(self) -> bool {
        matches!(self, Self::Ended | Self::Failed | Self::Quit)
    }
}

impl Event {
    pub(super) fn of(token: &[u8]) -> Self {
        match token {
            b"ps" => Self::State,
            b"e" => Self::Error,
            b"t" => Self::Interval,
            b"c" => Self::Content,
            b"bc" => Self::Bitrate,
            b"rr" => Self::Response,
            _ => Self::Other,
        }
    }
}

/// What was read of one message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reports {
    /// The reports, in their order; at most [`MAX_REPORTS`].
    pub read: Vec<Cmcd>,
    /// Lines that are none: malformed, without `e`, or more than were read.
    pub refused: usize,
}

impl Reports {
    /// Reads the body of a report: a dictionary on each line. A line that cannot be read costs
    /// itself and no other. Of a message longer than `MAX_REPORTS` lines of [`MAX_BYTES`] the rest is
    /// not looked at.
    pub fn read(text: &str) -> Self {
        let mut all = Self::default();
        // One line more than is read tells that there are more.
        let lines = text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line));
        for line in lines.filter(|line| !line.is_empty()).take(MAX_REPORTS + 1) {
            let fits = all.read.len() + all.refused < MAX_REPORTS && line.len() <= MAX_BYTES;
            match fits.then(|| Cmcd::read(line)) {
                Some(Ok(told)) if told.event.is_some() => all.read.push(told),
                _ => all.refused += 1,
            }
        }
        all
    }
}
