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

/// When a source that is still being written was begun and last changed, in seconds since
/// 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Growth {
    /// When it was begun: DASH `availabilityStartTime`. It must not change while the source grows.
    pub started: u64,
    /// When it last grew: DASH `publishTime`.
    pub changed: u64,
}

impl Growth {
    /// That of several sources together.
    pub(crate) fn with(self, other: Self) -> Self {
        Self { started: self.started.min(other.started), changed: self.changed.max(other.changed) }
    }
}
