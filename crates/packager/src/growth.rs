//! Recordings: sources that are written fragment by fragment while they are watched.
//!
//! What holds for them, growing or finished:
//!
//! - Their version, until they are settled, follows from their name, their movie box, their first fragment and how their
//!   tracks lie on the timeline, not from their size and time: a segment that was published keeps
//!   its URL and its bytes while the file grows, and after. The price: a file of the same name
//!   that is replaced by another with the same movie box and first fragment keeps its version.
//! - They are cut by what is before a boundary and just after it, never by where the file ends.
//!
//! One that says that it is finished when it is first looked at, or that nothing was added to for
//! long, is *settled*: it gets a version of its size and time as other files have, so that nothing
//! it is given under that version can change. One that says so while it is watched ends under the
//! version that it has, for its playlist may only be added to, and is settled as the others are. Under the version that it had before it is served on as before, so that who watches
//! it is not cut off; its tail stays short-lived there, for it may still go on.
//!
//! While they grow, a segment is published when nothing that is still to come can change it: all
//! tracks have a sample that is decoded at its end or later.

use crate::units::MediaTime;

/// When a source that is still being written was begun and last changed, in seconds since
/// 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Growth {
    /// When it was begun: DASH `availabilityStartTime`. It should not change while the source grows.
    /// Where it is not known, or a time that leaves no room for what is there already, it is taken
    /// from `changed`.
    pub started: u64,
    /// When it last grew: DASH `publishTime`.
    pub changed: u64,
}

impl Growth {
    /// That of a source whose published part lasts so long. A segment is there `started` plus its
    /// end on the timeline after 1970 (ISO/IEC 23009-1 §5.3.9.5.3), and players do not ask for it
    /// before: so no later begin is believed, as a copy has it that was made while its source grew.
    /// What is less than a second is passed over, so that a recorder's unevenness moves nothing.
    pub(crate) fn holding(self, published: MediaTime) -> Self {
        let hertz = i64::from(published.timescale().get());
        let seconds = u64::try_from(published.ticks() / hertz).unwrap_or(0);
        Self { started: self.started.min(self.changed.saturating_sub(seconds)), ..self }
    }

    /// That of several sources together.
    pub(crate) fn with(self, other: Self) -> Self {
        Self { started: self.started.min(other.started), changed: self.changed.max(other.changed) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_published_is_there_by_the_clock() {
        let begun = |started, millis| {
            Growth { started, changed: 1_000 }.holding(MediaTime::from_millis(millis)).started
        };
        assert_eq!(begun(900, 99_999), 900, "a recorder in real time");
        assert_eq!(begun(900, 100_900), 900, "less than a second early");
        assert_eq!(begun(900, 160_000), 840, "a copy that was faster than its source");
        assert_eq!(begun(1_000, 0), 1_000);
        assert_eq!(begun(10, i64::MAX), 0);
        assert_eq!(begun(10, -5_000), 10);
    }
}
