//! The ordered segments of one rendition, kept small.
//!
//! Most packagers number their segments, or name them by time: such a stretch is one [`Run`] of an
//! arithmetic progression, whatever its length. Names that follow no rule are listed.

mod numbers;

use std::ops::Range;
use std::sync::Arc;

use headwater_net::Timestamp;

use super::live::{Live, Part};
use super::timing::Timing;
use super::url::Url;

/// The text around the one number that varies within a stretch of segment URLs.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Pattern {
    prefix: Box<str>,
    suffix: Box<str>,
    /// Digits at least, filled up with zeros on the left.
    width: u8,
}

impl Pattern {
    pub(super) fn new(prefix: &str, suffix: &str, width: u8) -> Self {
        Self { prefix: prefix.into(), suffix: suffix.into(), width }
    }

    pub(super) fn url(&self, value: u64) -> Option<Url> {
        let width = usize::from(self.width);
        Url::checked(format!("{}{value:0width$}{}", self.prefix, self.suffix))
    }

    /// The number in `url`, where the rest of it is this pattern.
    fn value(&self, url: &str) -> Option<u64> {
        let digits = url.strip_prefix(&*self.prefix)?.strip_suffix(&*self.suffix)?;
        let canonical = digits.len() == usize::from(self.width).max(1)
            || (digits.len() > usize::from(self.width) && !digits.starts_with('0'));
        (canonical && digits.len() <= 20 && digits.bytes().all(|b| b.is_ascii_digit()))
            .then(|| digits.parse().ok())
            .flatten()
    }

    /// What every URL of this pattern has in common with what [`spots`] finds in it: the text
    /// before and after, without the digits that touch the number.
    pub(super) fn frame(&self) -> (&str, &str) {
        (
            self.prefix.trim_end_matches(|c: char| c.is_ascii_digit()),
            self.suffix.trim_start_matches(|c: char| c.is_ascii_digit()),
        )
    }

    fn weight(&self) -> usize {
        // With its entry in the index.
        self.prefix.len() + self.suffix.len() + size_of::<Self>() + 64
    }
}

/// Every maximal run of digits in `url`, last first, as the text before and after it: one of them
/// is the frame of the pattern that made `url`, if any did. Signatures in a query are full of digits;
/// still there are at most 128, so that a lookup is bounded.
pub(super) fn spots(url: &str) -> impl Iterator<Item = (&str, &str)> {
    let bytes = url.as_bytes();
    let mut end = bytes.len();
    std::iter::from_fn(move || {
        while end > 0 && !bytes[end - 1].is_ascii_digit() {
            end -= 1;
        }
        if end == 0 {
            return None;
        }
        let stop = end;
        while end > 0 && bytes[end - 1].is_ascii_digit() {
            end -= 1;
        }
        Some((&url[..end], &url[stop..]))
    })
    .take(128)
}

/// Something to fetch: a URL, and the part of it that is meant where it is not the whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Where it is.
    pub url: Url,
    /// Which bytes of it; `None` for all.
    pub range: Option<Range<u64>>,
}

impl Target {
    /// Whether it is a range that goes on to the end of its file, wherever that is.
    pub fn is_open(&self) -> bool {
        self.range.as_ref().is_some_and(|range| range.end == u64::MAX)
    }
}

#[derive(Debug)]
enum Run {
    Progression { pattern: Arc<Pattern>, first: u64, step: u64, count: u32 },
    Listed(Target),
}

/// When segments are there that are known by the clock alone (ISO/IEC 23009-1 §5.3.9.5.3): one after
/// the other, as time passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Clock {
    /// The first of them.
    pub(super) first: u32,
    /// When it begins to be recorded, in microseconds since 1970.
    pub(super) begins: u64,
    /// How long each is, in microseconds; more than zero.
    pub(super) duration: u64,
}

impl Clock {
    /// When a segment is there.
    fn comes(&self, index: u32) -> Timestamp {
        let past = u64::from(index.saturating_sub(self.first)).saturating_add(1);
        let micros = self.begins.saturating_add(past.saturating_mul(self.duration));
        Timestamp::from_millis(micros.div_ceil(1000))
    }

    /// How many segments of the track are there.
    fn available(&self, now: Timestamp) -> u32 {
        let passed = now.as_millis().saturating_mul(1000).saturating_sub(self.begins);
        let count = u32::try_from(passed / self.duration.max(1)).unwrap_or(u32::MAX);
        self.first.saturating_add(count)
    }
}

/// Segments by the clock that may not be there yet though it says so: encoders are late.
const LATE: u32 = 2;

/// The segments of one rendition in order.
#[derive(Debug, Default)]
pub(super) struct Track {
    /// Each run with the index of its first segment.
    runs: Vec<(u32, Run)>,
    /// Init segments, each with the index of the first segment it is for.
    inits: Vec<(u32, Target)>,
    len: u32,
    /// The number of the first segment: that of its packager, as far as segments keep theirs by it
    /// while a live window moves.
    first: u64,
    /// The number that its packager says the first segment has, where the names of segments hold it.
    said: Option<u64>,
    /// Nothing says how many segments were listed before the first one: times count from it, too.
    unsaid: bool,
    /// When what `timing` counts from is within the presentation, in microseconds.
    origin: u64,
    pub(super) timing: Timing,
    live: Option<Box<Live>>,
    clock: Option<Clock>,
    /// Segments that are listed and not there, in order.
    gaps: Vec<u32>,
    /// Where the file says itself which segments it holds.
    index: Option<Box<Target>>,
    weight: usize,
}

impl Track {
    /// A track without segments whose first will have this number.
    pub(super) fn starting_at(first: u64) -> Self {
        Self { first, ..Self::default() }
    }

    /// The number of segment `index`.
    pub(super) fn number(&self, index: u32) -> u64 {
        self.first.saturating_add(u64::from(index))
    }

    /// The index of the segment with this number.
    pub(super) fn index(&self, number: u64) -> Option<u32> {
        let index = u32::try_from(number.checked_sub(self.first)?).ok()?;
        (index < self.len).then_some(index)
    }

    /// How it moves on, where it does.
    pub(super) fn live(&self) -> Option<&Live> {
        self.live.as_deref()
    }

    /// Says that it goes on after the last segment.
    pub(super) fn set_live(&mut self, live: Live) {
        let urls =
            live.preloads.iter().map(|one| 2 * one.url.as_str().len() + 2 * size_of::<Target>());
        self.weight += size_of::<Live>() + urls.sum::<usize>();
        self.live = Some(Box::new(live));
    }

    /// Says which parts of its segments may be asked for, where it goes on: the newest of them that weigh `left` bytes at most.
    pub(super) fn set_parts(&mut self, mut parts: Vec<Part>, mut left: usize) {
        // With the entry in the index of URLs.
        let weight = |part: &Part| part.target.url.as_str().len() + size_of::<Part>() + 64;
        let fits = parts.iter().rev().take_while(|part| {
            let rest = left.checked_sub(weight(part));
            left = rest.unwrap_or(left);
            rest.is_some()
        });
        let most = fits.count();
        parts.drain(..parts.len() - most);
        if let Some(live) = &mut self.live {
            self.weight += parts.iter().map(weight).sum::<usize>();
            live.parts = parts;
        }
    }

    fn parts(&self) -> impl Iterator<Item = &Part> {
        self.live.iter().flat_map(|live| &live.parts)
    }

    /// The files that hold its parts, each once in a row.
    pub(super) fn part_files(&self) -> impl Iterator<Item = &Url> {
        let mut last: Option<&Url> = None;
        self.parts().map(|part| &part.target.url).filter(move |url| {
            let new = last != Some(url);
            last = Some(url);
            new
        })
    }

    /// The part at `url`; where several lie in one file, the one that holds byte `at`, or the first of
    /// them.
    pub(super) fn part(&self, url: &Url, at: Option<u64>) -> Option<&Part> {
        let mut parts = self.parts().filter(|part| part.target.url == *url);
        let holds = |part: &&Part| match (&part.target.range, at) {
            (Some(range), Some(at)) => range.contains(&at),
            _ => true,
        };
        parts.find(holds)
    }

    /// Says that its segments are there by the clock.
    pub(super) fn set_clock(&mut self, clock: Clock) {
        self.clock = Some(clock);
    }

    /// Whether segments are still added to it, or come by the clock.
    pub(super) fn is_live(&self) -> bool {
        self.live.is_some() || self.clock.is_some()
    }

    /// How many segments are there: all, where nothing says that they come with time.
    pub(super) fn available(&self, now: Timestamp) -> u32 {
        self.clock.map_or(self.len, |clock| clock.available(now).min(self.len))
    }

    /// When the segment `index` is there, where that comes by the clock.
    pub(super) fn comes(&self, index: u32) -> Option<Timestamp> {
        self.clock.filter(|clock| (clock.first..self.len).contains(&index)).map(|c| c.comes(index))
    }

    /// Says where the file itself tells its segments.
    pub(super) fn set_index(&mut self, index: Target) {
        self.weight += index.url.as_str().len() + size_of::<Target>();
        self.index = Some(Box::new(index));
    }

    /// Where the file itself tells its segments.
    pub(super) fn index_place(&self) -> Option<&Target> {
        self.index.as_deref()
    }

    /// The same, where it was not read yet.
    pub(super) fn unread(&self) -> Option<&Target> {
        self.index.as_deref().filter(|_| self.len == 0)
    }

    /// What comes before its segments and holds byte `at` of the file at `url`: an init segment, or an
    /// index.
    pub(super) fn beginning(&self, url: &Url, at: u64) -> Option<Target> {
        let inits = self.inits.iter().map(|(_, init)| init);
        let mut parts = inits.chain(self.index.as_deref());
        let holds = |part: &&Target| {
            part.url == *url && part.range.as_ref().is_some_and(|range| range.contains(&at))
        };
        parts.find(holds).cloned()
    }

    /// The segment a player begins with: the first, or where a live one tells to begin, three
    /// target durations before the end (RFC 8216 §6.3.3).
    pub(super) fn head(&self, now: Timestamp) -> u32 {
        if let Some(clock) = &self.clock {
            return self.available(now).saturating_sub(3).max(clock.first);
        }
        let Some(live) = &self.live else { return 0 };
        let back = live.target.saturating_mul(3).as_micros();
        let from = u128::from(self.timing.end()).saturating_sub(back);
        u64::try_from(from).ok().and_then(|from| self.timing.at(from)).unwrap_or(0)
    }

    /// Whether `url` would be one of the segments after the last that is there.
    pub(super) fn comes_next(&self, url: &str, now: Timestamp) -> bool {
        if self.clock.is_some() {
            let sure = self.available(now).saturating_sub(LATE);
            return self.find(url, None, None).is_some_and(|index| index >= sure);
        }
        self.live.is_some()
            && self.runs.last().is_some_and(|(_, run)| match run {
                Run::Progression { pattern, first, step, count } => {
                    let past = first.saturating_add(step.saturating_mul(u64::from(*count)));
                    pattern.value(url).is_some_and(|value| value >= past)
                }
                Run::Listed(_) => false,
            })
    }

    /// The number of segments.
    pub(super) fn len(&self) -> u32 {
        self.len
    }

    /// Bytes of memory, roughly.
    pub(super) fn weight(&self) -> usize {
        self.weight + self.timing.weight() + size_of::<Self>()
    }

    /// Appends `count` segments named by a pattern, `step` apart.
    pub(super) fn push_progression(
        &mut self,
        pattern: &Arc<Pattern>,
        first: u64,
        step: u64,
        count: u32,
    ) {
        let count = count.min(u32::MAX - self.len);
        if count == 0 {
            return;
        }
        // What continues at the same pace is one run, even where a timeline says it in pieces; the
        // pace after its last member is the next run's affair.
        if let Some((_, Run::Progression { pattern: last, first: f, step: s, count: c })) =
            self.runs.last_mut()
            && Arc::ptr_eq(last, pattern)
            && (*s == step || count == 1)
            && first == f.saturating_add(s.saturating_mul(u64::from(*c)))
        {
            *c += count;
        } else {
            let known = match self.runs.last() {
                Some((_, Run::Progression { pattern: last, .. })) => Arc::ptr_eq(last, pattern),
                _ => false,
            };
            if !known {
                self.weight += pattern.weight();
            }
            let pattern = Arc::clone(pattern);
            self.add(Run::Progression { pattern, first, step, count });
        }
        self.len += count;
    }

    /// Appends one segment by its URL; numbered neighbours are drawn together.
    pub(super) fn push(&mut self, target: Target) {
        if self.len == u32::MAX {
            return;
        }
        match self.runs.last_mut() {
            Some((_, Run::Progression { pattern, first, step, count }))
                if target.range.is_none()
                    && pattern.value(target.url.as_str())
                        == step
                            .checked_mul(u64::from(*count))
                            .and_then(|ahead| first.checked_add(ahead)) =>
            {
                *count += 1;
            }
            Some((_, Run::Listed(last)))
                if target.range.is_none()
                    && last.range.is_none()
                    && let Some((pattern, first, step)) =
                        progression(last.url.as_str(), target.url.as_str()) =>
            {
                self.weight += pattern.weight();
                self.weight = self.weight.saturating_sub(last.url.as_str().len());
                if let Some((_, run)) = self.runs.last_mut() {
                    *run = Run::Progression { pattern: Arc::new(pattern), first, step, count: 2 };
                }
            }
            _ => self.add(Run::Listed(target)),
        }
        self.len += 1;
    }

    /// Says that the next segment is not there (RFC 8216bis §4.4.4.7).
    pub(super) fn push_gap(&mut self) {
        self.weight += size_of::<u32>();
        self.gaps.push(self.len);
    }

    /// Whether segment `index` is listed and not there.
    pub(super) fn is_gap(&self, index: u32) -> bool {
        self.gaps.binary_search(&index).is_ok()
    }

    /// Says that the segments from here on need `init` first.
    pub(super) fn push_init(&mut self, init: Target) {
        if self.inits.last().is_none_or(|(_, last)| *last != init) {
            // With the entry in the index of URLs.
            self.weight += 2 * init.url.as_str().len() + size_of::<(u32, Target)>() + 64;
            self.inits.push((self.len, init));
        }
    }

    /// Its init segments that are files of their own.
    pub(super) fn init_files(&self) -> impl Iterator<Item = &Url> {
        let alone = self.inits.iter().filter(|(_, init)| init.range.is_none());
        alone.map(|(_, init)| &init.url)
    }

    /// The init segment that segment `index` needs.
    pub(super) fn init(&self, index: u32) -> Option<Target> {
        let at = self.inits.partition_point(|(from, _)| *from <= index).checked_sub(1)?;
        self.inits.get(at).map(|(_, init)| init.clone())
    }

    fn add(&mut self, run: Run) {
        if let Run::Listed(target) = &run {
            // With the entry in the index of URLs.
            self.weight += target.url.as_str().len() + 32;
        }
        self.weight += size_of::<(u32, Run)>();
        self.runs.push((self.len, run));
    }

    /// Segment `index`.
    pub(super) fn get(&self, index: u32) -> Option<Target> {
        if index >= self.len {
            return None;
        }
        let at = self.runs.partition_point(|(start, _)| *start <= index).checked_sub(1)?;
        let (start, run) = self.runs.get(at)?;
        match run {
            Run::Listed(target) => Some(target.clone()),
            Run::Progression { pattern, first, step, .. } => {
                let ahead = step.checked_mul(u64::from(index - start))?;
                Some(Target { url: pattern.url(first.checked_add(ahead)?)?, range: None })
            }
        }
    }

    /// The index of the segment at `url`; where several lie in one file, the one that holds byte
    /// `at`, or the first of them.
    pub(super) fn find(&self, url: &str, at: Option<u64>, hint: Option<u32>) -> Option<u32> {
        if let Some(hint) = hint {
            return self.find_listed(url, at, hint);
        }
        // A timeline is many runs of one pattern: it is compared once.
        let mut known: Option<(&Arc<Pattern>, Option<u64>)> = None;
        self.runs.iter().find_map(|(start, run)| {
            let Run::Progression { pattern, first, step, count } = run else { return None };
            let value = match known {
                Some((last, value)) if Arc::ptr_eq(last, pattern) => value,
                _ => pattern.value(url),
            };
            known = Some((pattern, value));
            let ahead = value?.checked_sub(*first)?;
            let index = if *step == 0 { ahead } else { ahead / step };
            let exact = if *step == 0 { ahead == 0 } else { ahead % step == 0 };
            (exact && index < u64::from(*count)).then(|| start + index as u32)
        })
    }

    /// From the run that starts at `hint`, the first segment of `url` that holds byte `at`.
    fn find_listed(&self, url: &str, at: Option<u64>, hint: u32) -> Option<u32> {
        let from = self.runs.partition_point(|(start, _)| *start < hint);
        let mut same_file = self.runs.get(from..)?.iter().map_while(|(start, run)| match run {
            Run::Listed(target) if target.url.as_str() == url => Some((*start, target)),
            _ => None,
        });
        let holds = |target: &Target| match (&target.range, at) {
            (Some(range), Some(at)) => range.contains(&at),
            _ => true,
        };
        same_file.find(|(_, target)| holds(target)).map(|(start, _)| start)
    }

    /// Where in the file at `url` its segments begin, and the last of them ends, and where those parts of it
    /// are that come before them: in order, each once. `hint` is the first of its segments, or one before.
    pub(super) fn joints(&self, url: &Url, hint: u32) -> Vec<u64> {
        let from = self.runs.partition_point(|(start, _)| *start < hint);
        let listed = self.runs.get(from..).unwrap_or_default().iter();
        let ranges = listed.filter_map(|(_, run)| match run {
            Run::Listed(target) if target.url == *url => target.range.as_ref(),
            _ => None,
        });
        let mut end = None;
        let mut joints: Vec<u64> = ranges
            .map(|range| {
                end = end.max(Some(range.end));
                range.start
            })
            .collect();
        joints.extend(end);
        let inits = self.inits.iter().map(|(_, init)| init).chain(self.index.as_deref());
        let before = inits.filter(|part| part.url == *url).filter_map(|part| part.range.as_ref());
        joints.extend(before.flat_map(|range| [range.start, range.end]));
        joints.sort_unstable();
        joints.dedup();
        joints
    }

    /// The patterns in use, each once in a row.
    pub(super) fn patterns(&self) -> impl Iterator<Item = &Arc<Pattern>> {
        let mut last: Option<&Arc<Pattern>> = None;
        self.runs.iter().filter_map(move |(_, run)| {
            let Run::Progression { pattern, .. } = run else { return None };
            let new = last.is_none_or(|last| !Arc::ptr_eq(last, pattern));
            last = Some(pattern);
            new.then_some(pattern)
        })
    }

    /// The segments that follow no pattern: the first of each stretch within one file.
    pub(super) fn listed(&self) -> impl Iterator<Item = (u32, &Url)> {
        let mut last: Option<&Url> = None;
        self.runs.iter().filter_map(move |(start, run)| match run {
            Run::Listed(target) if last != Some(&target.url) => {
                last = Some(&target.url);
                Some((*start, &target.url))
            }
            _ => None,
        })
    }
}

/// The pattern that `a` and `b` are the first two members of, with the first number and the step.
fn progression(a: &str, b: &str) -> Option<(Pattern, u64, u64)> {
    let (a8, b8) = (a.as_bytes(), b.as_bytes());
    let mut start = a8.iter().zip(b8).take_while(|(x, y)| x == y).count();
    while start > 0 && a8[start - 1].is_ascii_digit() {
        start -= 1;
    }
    let room = a8.len().min(b8.len()) - start;
    let same = a8.iter().rev().zip(b8.iter().rev()).take(room).take_while(|(x, y)| x == y).count();
    let (mut end_a, mut end_b) = (a8.len() - same, b8.len() - same);
    while end_a < a8.len() && a8[end_a].is_ascii_digit() {
        end_a += 1;
        end_b += 1;
    }
    // The cuts touch ASCII digits or bytes that differ; `get` refuses any other place.
    let (digits_a, digits_b) = (a.get(start..end_a)?, b.get(start..end_b)?);
    let number = |digits: &str| {
        let plain =
            !digits.is_empty() && digits.len() <= 19 && digits.bytes().all(|b| b.is_ascii_digit());
        plain.then(|| digits.parse::<u64>().ok()).flatten()
    };
    let (first, second) = (number(digits_a)?, number(digits_b)?);
    let step = second.checked_sub(first).filter(|step| *step > 0)?;
    let width =
        if digits_a.starts_with('0') && digits_a.len() > 1 { digits_a.len() as u8 } else { 1 };
    let pattern = Pattern::new(a.get(..start)?, a.get(end_a..)?, width);
    (pattern.value(a) == Some(first) && pattern.value(b) == Some(second))
        .then_some((pattern, first, step))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use proptest::prelude::*;

    use super::*;

    fn target(url: &str) -> Target {
        Target { url: Url::new("h", url).unwrap(), range: None }
    }

    fn track(urls: &[String]) -> Track {
        let mut track = Track::default();
        for url in urls {
            track.push(target(url));
        }
        track
    }

    #[test]
    fn numbered_and_timed_names_become_one_run() {
        for step in [1u64, 96_000] {
            let urls: Vec<_> = (0..2000).map(|i| format!("/v1/{}.m4s", 7 + i * step)).collect();
            let track = track(&urls);
            assert_eq!((track.len(), track.runs.len()), (2000, 1));
            assert!(track.weight() < 450);
            assert_eq!(track.get(1999).unwrap(), target(urls.last().unwrap()));
            assert_eq!(track.find(&format!("//h{}", urls[5]), None, None), Some(5));
            assert_eq!(track.find("//h/v1/6.m4s", None, None), None);
        }
    }

    #[test]
    fn zero_filled_numbers_keep_their_width() {
        let urls: Vec<_> = (98..103).map(|i| format!("/s{i:03}-x1.ts")).collect();
        let track = track(&urls);
        assert_eq!(track.runs.len(), 1);
        for (i, url) in urls.iter().enumerate() {
            assert_eq!(track.get(i as u32).unwrap(), target(url));
        }
        assert_eq!(track.find("//h/s99-x1.ts", None, None), None);
    }

    #[test]
    fn segments_within_one_file_are_told_apart_by_their_range() {
        let mut track = Track::default();
        for i in 0..3u64 {
            let range = Some(i * 100..(i + 1) * 100);
            track.push(Target { range, ..target("/all.mp4") });
        }
        assert_eq!(track.find("//h/all.mp4", Some(250), Some(0)), Some(2));
        assert_eq!(track.find("//h/all.mp4", None, Some(0)), Some(0));
        assert_eq!(track.find("//h/all.mp4", Some(300), Some(0)), None);
        assert_eq!(track.listed().count(), 1);
        let file = target("/all.mp4").url;
        assert_eq!(track.joints(&file, 0), [0, 100, 200, 300]);
        track.push_init(Target { range: Some(400..410), ..target("/all.mp4") });
        track.push(Target { range: Some(500..600), ..target("/other.mp4") });
        track.push(target("/whole.mp4"));
        assert_eq!(track.joints(&file, 0), [0, 100, 200, 300, 400, 410]);
        assert!(track.joints(&target("/whole.mp4").url, 0).is_empty());
    }

    proptest! {
        /// Whatever the names, the order that went in comes out.
        #[test]
        fn a_track_gives_back_what_was_put_in(
            urls in proptest::collection::vec("/[ab0-3]{1,4}(\\?[01]{1,2})?", 1..40),
        ) {
            let track = track(&urls);
            prop_assert_eq!(track.len() as usize, urls.len());
            for (i, url) in urls.iter().enumerate() {
                prop_assert_eq!(track.get(i as u32), Some(target(url)));
            }
        }
    }
}
