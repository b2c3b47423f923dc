//! What a cache remembers of keys that it stores nothing for: those whose answers nobody else may
//! have, and those that cannot be kept in slices.
//!
//! Where an answer turned out to be its asker's alone, the next requests for the key do not wait
//! for one another in vain: they pass at once, until a while has gone by or an answer comes that
//! could be shared. The memory is bounded by [`BYTES`]; what no longer fits is forgotten.

use std::time::Duration;

use headwater_net::Timestamp;

use crate::key::Key;

/// Bytes that all notes take, keys counted, roughly.
const BYTES: u64 = 4 << 20;

/// How long a key that cannot be kept in slices is not tried again.
const WHOLE_FOR: Duration = Duration::from_secs(60);

/// So many changes of a sliced response, each within a minute of the one before, make it one that
/// is not kept in slices: an origin whose servers do not agree on validators never gives two that
/// fit.
const MAX_CHANGES: u8 = 3;

#[derive(Clone, Copy, Debug, Default)]
struct Note {
    alone_until: Timestamp,
    whole_until: Timestamp,
    changes: u8,
    changed: Timestamp,
}

/// See the module.
pub(crate) struct Remembered {
    notes: moka::sync::Cache<Key, Note>,
    alone_for: Duration,
}

impl Remembered {
    pub(crate) fn new(alone_for: Duration) -> Self {
        const NOTE: usize = 128;
        let notes = moka::sync::Cache::builder()
            .max_capacity(BYTES)
            .weigher(|key: &Key, _: &Note| u32::try_from(key.len() + NOTE).unwrap_or(u32::MAX))
            .build();
        Self { notes, alone_for }
    }

    /// An answer for the key was its asker's alone.
    pub(crate) fn note_alone(&self, key: &Key, now: Timestamp) {
        if !self.alone_for.is_zero() {
            self.change(key, |note| note.alone_until = now.plus(self.alone_for));
        }
    }

    /// An answer for the key could have been shared.
    pub(crate) fn forget_alone(&self, key: &Key) {
        self.change(key, |note| note.alone_until = Timestamp::default());
    }

    /// Whether requests for the key are not to wait for one another.
    pub(crate) fn is_alone(&self, key: &[u8], now: Timestamp) -> bool {
        self.alone_for(key, now).is_some()
    }

    /// For how long requests for the key are not to wait for one another, if that is so.
    pub(crate) fn alone_for(&self, key: &[u8], now: Timestamp) -> Option<Duration> {
        let until = self.note(key)?.alone_until;
        (now < until).then(|| until.since(now))
    }

    /// Upstream does not give parts of what the key names.
    pub(crate) fn note_whole(&self, key: &Key, now: Timestamp) {
        self.change(key, |note| note.whole_until = now.plus(WHOLE_FOR));
    }

    /// A slice came of another representation than the others.
    pub(crate) fn note_change(&self, key: &Key, now: Timestamp) {
        self.change(key, |note| {
            let recent = now < note.changed.plus(WHOLE_FOR);
            note.changes = if recent { note.changes.saturating_add(1) } else { 1 };
            note.changed = now;
            if note.changes >= MAX_CHANGES {
                note.whole_until = now.plus(WHOLE_FOR);
            }
        });
    }

    /// Whether what the key names is not to be cut now.
    pub(crate) fn is_whole(&self, key: &[u8], now: Timestamp) -> bool {
        self.note(key).is_some_and(|note| now < note.whole_until)
    }

    fn note(&self, key: &[u8]) -> Option<Note> {
        self.notes.get(key)
    }

    fn change(&self, key: &Key, change: impl FnOnce(&mut Note)) {
        let mut note = self.notes.get(key).unwrap_or_default();
        change(&mut note);
        self.notes.insert(key.clone(), note);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_end_by_time_or_by_word() {
        let remembered = Remembered::new(Duration::from_secs(10));
        let key: Key = b"k".as_slice().into();
        let at = Timestamp::from_secs;
        remembered.note_alone(&key, at(100));
        assert!(remembered.is_alone(&key, at(109)) && !remembered.is_alone(&key, at(110)));
        remembered.forget_alone(&key);
        assert!(!remembered.is_alone(&key, at(101)));
        for (now, whole) in [(0, false), (100, false), (150, false), (300, false), (301, false)] {
            remembered.note_change(&key, at(now));
            assert_eq!(remembered.is_whole(&key, at(now)), whole, "{now}");
        }
        remembered.note_change(&key, at(302));
        assert!(remembered.is_whole(&key, at(303)) && !remembered.is_whole(&key, at(362)));
    }

    #[test]
    fn the_memory_is_bounded() {
        let remembered = Remembered::new(Duration::from_secs(10));
        for nth in 0..100_000u32 {
            remembered.note_alone(&nth.to_be_bytes().as_slice().into(), Timestamp::from_secs(1));
        }
        remembered.notes.run_pending_tasks();
        assert!(remembered.notes.weighted_size() <= BYTES);
    }
}
