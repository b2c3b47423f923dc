//! `SegmentTemplate`, `SegmentList` and `SegmentBase`, inherited, and the segments they list
//! (ISO/IEC 23009-1 §5.3.9).

use std::ops::Range;

use super::template::{Values, fill};
use super::values::byte_range;
use super::xml::Element;
use crate::fetch::Url;
use crate::limits::MAX_SEGMENTS;

/// A URL, and the range of it.
type InitUrl = (String, Option<Range<u64>>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Kind {
    Template,
    List,
    #[default]
    Base,
}

/// What the three say, the innermost first.
#[derive(Debug, Clone, Default)]
pub(crate) struct Addressing {
    pub(crate) kind: Kind,
    /// The line of the innermost element.
    pub(crate) line: usize,
    /// How many of the three kinds the innermost level has.
    pub(crate) kinds: usize,
    pub(crate) timescale: u64,
    pub(crate) offset: u64,
    pub(crate) start_number: u64,
    pub(crate) end_number: Option<u64>,
    /// `@duration`, in ticks.
    pub(crate) duration: Option<u64>,
    pub(crate) media: Option<String>,
    pub(crate) initialization: Option<String>,
    pub(crate) index_range: Option<Range<u64>>,
    /// `Initialization@sourceURL` and `@range`.
    init_element: Option<InitUrl>,
    /// Entries of `SegmentTimeline`.
    pub(crate) timeline: Option<Vec<Entry>>,
    list: Vec<(Option<String>, Option<Range<u64>>)>,
}

/// An `S` element (§5.3.9.6).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    pub(crate) line: usize,
    pub(crate) time: Option<u64>,
    pub(crate) duration: u64,
    pub(crate) repeat: i64,
}

/// A segment as the manifest lists it.
#[derive(Debug, Clone)]
pub(crate) struct Segment {
    pub(crate) base: Url,
    pub(crate) url: Url,
    pub(crate) range: Option<Range<u64>>,
    pub(crate) seconds: Option<f64>,
    /// Its time and duration in ticks, where the manifest gives them exactly.
    pub(crate) time: Option<u64>,
    pub(crate) ticks: Option<u64>,
}

impl Segment {
    pub(crate) fn whole(url: Url, seconds: Option<f64>) -> Self {
        Self { base: url.clone(), url, range: None, seconds, time: None, ticks: None }
    }
}

impl Addressing {
    /// Merges the levels, given from the outermost to the innermost.
    pub(crate) fn read(levels: &[&Element]) -> Self {
        let mut found = Self { timescale: 1, start_number: 1, ..Self::default() };
        for level in levels {
            let kinds = level.children.iter().filter(|child| kind(&child.name).is_some());
            let mut count = 0;
            for element in kinds {
                count += 1;
                found.element(element);
            }
            if count > 0 {
                found.kinds = count;
            }
        }
        found
    }

    fn element(&mut self, element: &Element) {
        self.kind = kind(&element.name).unwrap_or_default();
        self.line = element.line;
        let number = |name, into: &mut u64| {
            if let Some(value) = element.number(name) {
                *into = value;
            }
        };
        number("timescale", &mut self.timescale);
        number("presentationTimeOffset", &mut self.offset);
        number("startNumber", &mut self.start_number);
        self.end_number = element.number("endNumber").or(self.end_number);
        self.duration = element.number("duration").or(self.duration);
        for (name, into) in
            [("media", &mut self.media), ("initialization", &mut self.initialization)]
        {
            if let Some(value) = element.get(name) {
                *into = Some(value.to_owned());
            }
        }
        if let Some(range) = element.get("indexRange").and_then(byte_range) {
            self.index_range = Some(range);
        }
        if let Some(init) = element.child("Initialization") {
            let url = init.get("sourceURL").unwrap_or("").to_owned();
            self.init_element = Some((url, init.get("range").and_then(byte_range)));
        }
        if let Some(timeline) = element.child("SegmentTimeline") {
            self.timeline = Some(timeline.all("S").map(entry).collect());
        }
        if self.kind == Kind::List {
            let urls = element.all("SegmentURL").map(|url| {
                let range = url.get("mediaRange").and_then(byte_range);
                (url.get("media").map(str::to_owned), range)
            });
            self.list = urls.take(MAX_SEGMENTS).collect();
        }
    }

    /// The init segment's URL (empty: the base) and range, where there is one.
    pub(crate) fn init(&self, id: &str, bandwidth: u64) -> Option<Result<InitUrl, String>> {
        if let Some(template) = self.initialization.as_ref().filter(|_| self.kind == Kind::Template)
        {
            let values = Values { representation: id, bandwidth, number: None, time: None };
            return Some(fill(template, values).map(|url| (url, None)));
        }
        if let Some((url, range)) = &self.init_element {
            return Some(Ok((url.clone(), range.clone())));
        }
        // §5.3.9.2.2: without one, what is before the index is the init segment.
        let index = self.index_range.as_ref().filter(|_| self.kind == Kind::Base)?;
        Some(Ok((String::new(), Some(0..index.start))))
    }

    /// The segments of a period of this length.
    pub(crate) fn list(
        &self,
        id: &str,
        bandwidth: u64,
        period: Option<f64>,
        base: &Url,
    ) -> Vec<Segment> {
        let mut times = self.times(period);
        if self.kind == Kind::List && times.is_empty() {
            times = vec![(None, self.duration); self.list.len()];
        }
        let mut found = Vec::new();
        for (index, (time, ticks)) in times.into_iter().enumerate() {
            let number = self.start_number.saturating_add(index as u64);
            let (url, range) = if self.kind == Kind::List {
                let Some((media, range)) = self.list.get(index) else { break };
                (base.join(media.as_deref().unwrap_or("")), range.clone())
            } else {
                let values = Values { representation: id, bandwidth, number: Some(number), time };
                let filled = fill(self.media.as_deref().unwrap_or(""), values);
                let Ok(filled) = filled else { break };
                (base.join(&filled), None)
            };
            let Ok(url) = url else { break };
            let seconds = ticks.map(|ticks| ticks as f64 / self.timescale.max(1) as f64);
            // Without a timeline the duration is nominal: the real one varies.
            let exact = self.timeline.is_some();
            found.push(Segment {
                base: base.clone(),
                url,
                range,
                seconds,
                time: time.filter(|_| exact),
                ticks: ticks.filter(|_| exact),
            });
        }
        found
    }

    /// Time and duration of each segment.
    fn times(&self, period: Option<f64>) -> Vec<(Option<u64>, Option<u64>)> {
        let scale = self.timescale.max(1) as f64;
        let end = period.map(|seconds| (seconds * scale).round() as u64);
        let mut found = Vec::new();
        if let Some(entries) = &self.timeline {
            let mut clock = 0u64;
            for (index, entry) in entries.iter().enumerate() {
                clock = entry.time.unwrap_or(clock);
                let step = entry.duration.max(1);
                let count = if entry.repeat >= 0 {
                    entry.repeat as u64 + 1
                } else {
                    // Up to the next entry, or to the end of the period.
                    let next = entries.get(index + 1).and_then(|next| next.time);
                    let until = next.or(end.map(|end| end.saturating_add(self.offset)));
                    until.map_or(1, |until| until.saturating_sub(clock).div_ceil(step))
                };
                for _ in 0..count {
                    if found.len() >= MAX_SEGMENTS {
                        return found;
                    }
                    found.push((Some(clock), Some(entry.duration)));
                    clock = clock.saturating_add(entry.duration);
                }
            }
        } else if let (Some(duration), Some(end)) = (self.duration, end) {
            let step = duration.max(1);
            let mut count = end.div_ceil(step);
            if let Some(last) = self.end_number {
                count = last.saturating_add(1).saturating_sub(self.start_number);
            }
            for index in 0..count.min(MAX_SEGMENTS as u64) {
                let time = index.saturating_mul(step);
                found.push((Some(time), Some(step.min(end.saturating_sub(time)))));
            }
        }
        found
    }
}

fn kind(name: &str) -> Option<Kind> {
    match name {
        "SegmentTemplate" => Some(Kind::Template),
        "SegmentList" => Some(Kind::List),
        "SegmentBase" => Some(Kind::Base),
        _ => None,
    }
}

fn entry(element: &Element) -> Entry {
    Entry {
        line: element.line,
        time: element.number("t"),
        duration: element.number("d").unwrap_or(0),
        repeat: element.get("r").and_then(|text| text.trim().parse().ok()).unwrap_or(0),
    }
}
