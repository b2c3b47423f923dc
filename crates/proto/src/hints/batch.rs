//! Hints drawn together: however many clients ask for one URL, it is told of once in a batch.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::{Hint, MAX_HINTS, NextObject};
use crate::cmcd::{Cmcd, MAX_NEXT};

/// What was seen of one request.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen<'a> {
    /// The first byte that was asked for, where a range was.
    pub first_byte: Option<u64>,
    /// What the path to the client lets through at most, in kbit/s; heeded where the player told no
    /// throughput.
    pub path: Option<u64>,
    /// What the player told.
    pub cmcd: Option<&'a Cmcd>,
}

/// Hints that were noted since they were last [taken](Self::take); [`MAX_HINTS`] at most.
#[derive(Debug, Default)]
pub struct Batch {
    hints: HashMap<u64, Hint>,
    dropped: u64,
}

impl Batch {
    /// An empty batch.
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes a request. `key` stands for what was asked for; `location` tells it where the batch
    /// does not know it yet, and is `None` for what is not to be told of. Whether it was noted: not
    /// so where the batch is full, which is counted.
    pub fn note(
        &mut self,
        key: u64,
        seen: Seen<'_>,
        location: impl FnOnce() -> Option<String>,
    ) -> bool {
        let full = self.hints.len() >= MAX_HINTS;
        match self.hints.entry(key) {
            Entry::Occupied(mut known) => {
                let hint = known.get_mut();
                hint.requests = hint.requests.saturating_add(1);
                hint.take(seen);
                true
            }
            Entry::Vacant(_) if full => {
                self.dropped += 1;
                false
            }
            Entry::Vacant(place) => {
                let hint = location().and_then(|location| Hint::new(&location));
                let Some(mut hint) = hint else { return false };
                hint.take(seen);
                place.insert(hint);
                true
            }
        }
    }

    /// Whether there is nothing to tell.
    pub fn is_empty(&self) -> bool {
        self.hints.is_empty() && self.dropped == 0
    }

    /// Takes the hints, and how many did not fit.
    pub fn take(&mut self) -> (Vec<Hint>, u64) {
        let hints = self.hints.drain().map(|(_, hint)| hint).collect();
        (hints, std::mem::take(&mut self.dropped))
    }
}

/// Draws the hints of several batches together: one for each location.
pub fn joined(mut hints: Vec<Hint>) -> Vec<Hint> {
    hints.sort_by(|one, other| one.location.cmp(&other.location));
    hints.dedup_by(|other, one| {
        let same = one.location == other.location;
        if same {
            one.join(other);
        }
        same
    });
    hints
}

impl Hint {
    /// Takes in what another hint says of the same location.
    fn join(&mut self, other: &mut Self) {
        self.requests = self.requests.saturating_add(other.requests);
        self.first_byte = self.first_byte.max(other.first_byte);
        if let Some((least, most)) = other.throughput {
            let (low, high) = self.throughput.unwrap_or((least, most));
            self.throughput = Some((low.min(least), high.max(most)));
        }
        self.path = self.path.into_iter().chain(other.path).min();
        self.dry = self.dry.into_iter().chain(other.dry).min();
        for next in other.next.drain(..) {
            if self.next.len() < MAX_NEXT && !self.next.contains(&next) {
                self.next.push(next);
            }
        }
    }

    fn take(&mut self, seen: Seen<'_>) {
        // Of several who read one file, the one who is furthest tells what comes next.
        self.first_byte = self.first_byte.max(seen.first_byte);
        if seen.cmcd.is_none_or(|cmcd| cmcd.throughput.is_none()) {
            self.path = self.path.into_iter().chain(seen.path).min();
        }
        let Some(cmcd) = seen.cmcd else { return };
        if let Some(rate) = cmcd.throughput {
            let (least, most) = self.throughput.unwrap_or((rate, rate));
            self.throughput = Some((least.min(rate), most.max(rate)));
        }
        self.dry = self.dry.into_iter().chain(cmcd.runs_dry()).min();
        for next in &cmcd.next {
            if self.next.len() >= MAX_NEXT {
                break;
            }
            if let Some(next) = NextObject::new(&next.reference, next.range)
                && !self.next.contains(&next)
            {
                self.next.push(next);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    #[test]
    fn clients_of_one_url_are_one_hint_that_tells_of_none() {
        let mut batch = Batch::new();
        let at = || Some("//h/a/1.m4s".to_owned());
        let told = |text: &str| Cmcd::read(text).unwrap();
        let one = told("sid=\"secret\",mtp=9000,bl=8000,nor=\"2.m4s\"");
        let two = told("sid=\"other\",mtp=1000,bl=3000,nor=(\"2.m4s\" \"../b/2.m4s\" \"a b\"),v=2");
        batch.note(1, Seen { cmcd: Some(&one), path: Some(100), ..Seen::default() }, at);
        let two = Seen { cmcd: Some(&two), first_byte: Some(7), ..Seen::default() };
        batch.note(1, two, || unreachable!());
        batch.note(1, Seen { path: Some(5000), ..Seen::default() }, || unreachable!());
        let (hints, dropped) = batch.take();
        assert_eq!((hints.len(), dropped), (1, 0));
        let hint = &hints[0];
        assert_eq!((hint.requests, hint.throughput), (3, Some((1000, 9000))));
        assert_eq!(hint.path, Some(5000), "of who has not measured");
        assert_eq!(hint.dry, Some(3000), "the first that runs dry counts");
        let next: Vec<_> = hint.next.iter().map(|next| next.reference.as_str()).collect();
        assert_eq!(next, ["2.m4s", "../b/2.m4s"], "what no URL holds is left out");
        assert!(!super::super::write(&hints).0.contains("secret"));
        assert!(batch.is_empty());
    }

    #[test]
    fn batches_are_drawn_together() {
        let hint = |path: &str, rate| {
            let mut batch = Batch::new();
            let told = Cmcd::read(&format!("mtp={rate},dl={rate},nor=\"{rate}\"")).unwrap();
            let seen = Seen { cmcd: Some(&told), first_byte: Some(rate), ..Seen::default() };
            batch.note(1, seen, || Some(path.into()));
            batch.note(1, Seen { path: Some(rate), ..Seen::default() }, || unreachable!());
            batch.take().0.remove(0)
        };
        let all = vec![hint("//h/b", 5), hint("//h/a", 7), hint("//h/b", 3)];
        let all = joined(all);
        let told: Vec<_> = all.iter().map(|one| (&one.location[..], one.requests)).collect();
        assert_eq!(told, [("//h/a", 2), ("//h/b", 4)]);
        assert_eq!((all[0].path, all[1].path), (Some(7), Some(3)));
        assert_eq!((all[1].throughput, all[1].first_byte), (Some((3, 5)), Some(5)));
        assert_eq!((all[1].dry, all[1].next.len()), (Some(3), 2));
    }

    #[test]
    fn a_full_batch_drops_and_counts() {
        let mut batch = Batch::new();
        for key in 0..MAX_HINTS as u64 + 10 {
            batch.note(key, Seen::default(), || Some(format!("//h/{key}")));
        }
        assert!(batch.note(3, Seen::default(), || unreachable!()), "what is known is counted on");
        assert!(!batch.note(99_999, Seen::default(), || unreachable!()));
        let (hints, dropped) = batch.take();
        assert_eq!((hints.len(), dropped), (MAX_HINTS, 11));
        assert!(!batch.note(1, Seen::default(), || Some("no location".to_owned())));
        assert!(!batch.note(2, Seen::default(), || None));
        assert!(batch.is_empty());
    }
}
