//! What a DASH manifest says about where segments are (ISO/IEC 23009-1 §5.3.9), by quick-xml.
//!
//! Read: `BaseURL`, `SegmentTemplate` with `SegmentTimeline` or `duration`, `SegmentList`,
//! `SegmentBase`, at the levels Period, AdaptationSet and Representation with their inheritance.
//! Remote elements (xlink) are left where they are. Of a file that `SegmentBase` names, the place of
//! its index is learnt; the index itself is read when it passes ([`sidx`](super::sidx)). Segments of a
//! live presentation that are addressed by the clock alone (`duration` without a timeline) are there as
//! time passes ([`Clock`]).

mod times;

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use quick_xml::XmlVersion;
use quick_xml::events::{BytesStart, Event};
use quick_xml::reader::Reader;

use super::live::Live;
use super::sidx::MAX_INDEX;
use super::template::Template;
use super::timing::{GAP, Timing};
use super::track::{Clock, Target, Track};
use super::url::Url;
use super::{Limits, MapError};
use times::{Period, Times, decimal, times};

/// The deepest element that is followed.
const MAX_DEPTH: usize = 64;
/// Entries of timelines and lists that are walked for one manifest, over all representations.
const MAX_WORK: usize = 2_000_000;

/// One representation with its segments over all periods.
pub(super) struct Representation {
    pub(super) id: String,
    pub(super) bandwidth: Option<u64>,
    /// Of its adaptation set: a player switches within it.
    pub(super) group: u32,
    pub(super) track: Track,
}

/// Reads an MPD that was found at `at`.
pub(super) fn read(
    at: &Url,
    bytes: &[u8],
    limits: &Limits,
) -> Result<Vec<Representation>, MapError> {
    let text = std::str::from_utf8(bytes).map_err(|_| MapError::Malformed)?;
    let Times { periods, update, epoch } = times(text)?;
    let mut mpd = Mpd {
        limits,
        periods,
        epoch,
        next_period: 0,
        period: Period::default(),
        sets: 0,
        levels: Vec::new(),
        timeline: None,
        found: Vec::new(),
        work: 0,
    };
    mpd.levels.push(Level::new(at.clone()));
    let mut depth = 0usize;
    let mut base_url: Option<String> = None;
    walk(text, |event| {
        match event {
            Event::Start(element) => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return Err(MapError::Malformed);
                }
                match element.local_name().as_ref() {
                    "BaseURL" => base_url = Some(String::new()),
                    name => mpd.open(name, &element)?,
                }
            }
            Event::Text(text) => {
                if let Some(url) = &mut base_url {
                    url.push_str(&text.xml_content(XmlVersion::Implicit1_0));
                }
            }
            Event::GeneralRef(reference) => {
                // In a URL only `&amp;` is to be met.
                if let Some(url) = &mut base_url
                    && reference.as_ref() == "amp"
                {
                    url.push('&');
                }
            }
            Event::CData(text) => {
                if let Some(url) = &mut base_url {
                    url.push_str(&text);
                }
            }
            Event::End(element) => {
                depth = depth.saturating_sub(1);
                match element.local_name().as_ref() {
                    "BaseURL" => mpd.base_url(base_url.take().unwrap_or_default().trim()),
                    name => mpd.close(name),
                }
            }
            _ => {}
        }
        Ok(())
    })?;
    let mut found = mpd.found;
    if let Some(target) = update {
        for representation in &mut found {
            let track = &mut representation.track;
            let next = (track.number(track.len()), None);
            let target = target.max(Duration::from_secs(1));
            let (preloads, parts) = (Vec::new(), Vec::new());
            track.set_live(Live { target, can_block: false, next, preloads, parts });
        }
    }
    Ok(found)
}

/// Feeds every event of `text` to `each`; a document type declaration is refused.
fn walk<'a>(
    text: &'a str,
    mut each: impl FnMut(Event<'a>) -> Result<(), MapError>,
) -> Result<(), MapError> {
    let mut reader = Reader::from_str(text);
    reader.config_mut().expand_empty_elements = true;
    let mut root = None;
    loop {
        match reader.read_event().map_err(|_| MapError::Malformed)? {
            Event::Eof => {
                return if root == Some(true) { Ok(()) } else { Err(MapError::Malformed) };
            }
            Event::DocType(_) => return Err(MapError::Malformed),
            event => {
                if let Event::Start(element) = &event {
                    let is_mpd = element.local_name().as_ref() == "MPD";
                    if !*root.get_or_insert(is_mpd) {
                        return Err(MapError::Malformed);
                    }
                }
                each(event)?;
            }
        }
    }
}

/// One element that can hold base URLs and segment information. What an inner level takes over is
/// shared, or as short as a URL.
struct Level {
    base: Url,
    /// Whether this level had a `BaseURL` of its own: later ones are alternatives.
    based: bool,
    addressing: Addressing,
    id: Option<String>,
    bandwidth: Option<u64>,
}

impl Level {
    fn new(base: Url) -> Self {
        Self { base, based: false, addressing: Addressing::default(), id: None, bandwidth: None }
    }
}

/// What `SegmentTemplate`, `SegmentList` and `SegmentBase` say, inherited attribute by attribute.
#[derive(Clone, Default)]
struct Addressing {
    kind: Option<Kind>,
    media: Option<Arc<str>>,
    initialization: Option<Arc<str>>,
    /// `Initialization@sourceURL` and `@range`.
    init: Option<InitUrl>,
    timescale: Option<u64>,
    duration: Option<u64>,
    start_number: Option<u64>,
    time_offset: Option<u64>,
    end_number: Option<u64>,
    /// `availabilityTimeOffset` in microseconds.
    early: Option<u64>,
    /// `SegmentBase@indexRange`.
    index: Option<Range<u64>>,
    timeline: Option<Arc<Vec<Span>>>,
    list: Option<Arc<Vec<ListedUrl>>>,
}

type InitUrl = (Option<Arc<str>>, Option<Range<u64>>);
type ListedUrl = (Option<Box<str>>, Option<Range<u64>>);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Template,
    List,
    Base,
}

/// An `S` element.
#[derive(Clone, Copy)]
struct Span {
    t: Option<u64>,
    d: u64,
    r: i64,
}

struct Mpd<'l> {
    limits: &'l Limits,
    periods: Vec<Period>,
    /// When a live presentation began, in microseconds since 1970.
    epoch: Option<u64>,
    next_period: usize,
    period: Period,
    /// Adaptation sets of the period so far.
    sets: u32,
    levels: Vec<Level>,
    /// The `SegmentTimeline` that is open and how deep in the levels it is: a level gets it when it
    /// is complete, so that it is built once and never copied.
    timeline: Option<(usize, Vec<Span>)>,
    found: Vec<Representation>,
    /// Timeline and list entries walked so far.
    work: usize,
}

impl Mpd<'_> {
    fn open(&mut self, name: &str, element: &BytesStart<'_>) -> Result<(), MapError> {
        match name {
            "Period" | "AdaptationSet" | "Representation" => {
                if name == "Period" {
                    self.period = self.periods.get(self.next_period).copied().unwrap_or_default();
                    self.next_period += 1;
                    self.sets = 0;
                } else if name == "AdaptationSet" {
                    self.sets = self.sets.saturating_add(1);
                }
                // §5.3.1.2: each has its place, and none is within another of its kind.
                let order = ["Period", "AdaptationSet", "Representation"];
                let fits = order.get(self.levels.len().wrapping_sub(1)) == Some(&name);
                let outer = self.levels.last().filter(|_| fits);
                let outer = outer.ok_or(MapError::Malformed)?;
                let level = Level {
                    base: outer.base.clone(),
                    based: false,
                    addressing: outer.addressing.clone(),
                    id: attribute(element, "id")?,
                    bandwidth: number(element, "bandwidth")?,
                };
                self.levels.push(level);
            }
            "SegmentTemplate" | "SegmentList" | "SegmentBase" => {
                let Some(level) = self.levels.last_mut() else { return Ok(()) };
                let a = &mut level.addressing;
                a.kind = Some(match name {
                    "SegmentTemplate" => Kind::Template,
                    "SegmentList" => Kind::List,
                    _ => Kind::Base,
                });
                a.timescale = number(element, "timescale")?.or(a.timescale);
                a.duration = number(element, "duration")?.or(a.duration);
                a.start_number = number(element, "startNumber")?.or(a.start_number);
                a.end_number = number(element, "endNumber")?.or(a.end_number);
                a.time_offset = number(element, "presentationTimeOffset")?.or(a.time_offset);
                let early = attribute(element, "availabilityTimeOffset")?;
                a.early = early.as_deref().and_then(|text| decimal(text, 1_000_000)).or(a.early);
                let index = attribute(element, "indexRange")?;
                a.index = index.as_deref().and_then(byte_range).or(a.index.take());
                a.media = attribute(element, "media")?.map(Into::into).or(a.media.take());
                a.initialization = attribute(element, "initialization")?
                    .map(Into::into)
                    .or(a.initialization.take());
            }
            "Initialization" => {
                let source = attribute(element, "sourceURL")?.map(Into::into);
                let range = attribute(element, "range")?.as_deref().and_then(byte_range);
                if let Some(level) = self.levels.last_mut() {
                    level.addressing.init = Some((source, range));
                }
            }
            "SegmentTimeline" => {
                self.timeline = Some((self.levels.len(), Vec::new()));
            }
            "S" => {
                let span = Span {
                    t: number(element, "t")?,
                    d: number(element, "d")?.ok_or(MapError::Malformed)?,
                    r: attribute(element, "r")?
                        .map_or(Some(0), |r| r.trim().parse().ok())
                        .ok_or(MapError::Malformed)?,
                };
                if let Some((depth, timeline)) = &mut self.timeline
                    && *depth == self.levels.len()
                    && timeline.len() < self.limits.segments
                {
                    timeline.push(span);
                }
            }
            "SegmentURL" => {
                let url = attribute(element, "media")?.map(Into::into);
                let range = attribute(element, "mediaRange")?.as_deref().and_then(byte_range);
                if let Some(level) = self.levels.last_mut() {
                    // The first SegmentURL of an own SegmentList starts a new list; a list that is
                    // shared with an outer level is that level's.
                    let list = level.addressing.list.get_or_insert_default();
                    if Arc::get_mut(list).is_none() {
                        *list = Arc::default();
                    }
                    if let Some(list) = Arc::get_mut(list)
                        && list.len() < self.limits.segments
                    {
                        list.push((url, range));
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn close(&mut self, name: &str) {
        if name == "SegmentTimeline" {
            if let Some((depth, timeline)) = self.timeline.take()
                && depth == self.levels.len()
                && let Some(level) = self.levels.last_mut()
            {
                level.addressing.timeline = Some(Arc::new(timeline));
            }
            return;
        }
        if !matches!(name, "Period" | "AdaptationSet" | "Representation") {
            return;
        }
        let Some(level) = self.levels.pop() else { return };
        if name != "Representation" {
            return;
        }
        let Some(id) = level.id.clone() else { return };
        let size = |n: Option<usize>| n.unwrap_or(0);
        self.work += 1
            + size(level.addressing.timeline.as_ref().map(|t| t.len()))
            + size(level.addressing.list.as_ref().map(|l| l.len()));
        if self.work > MAX_WORK {
            return;
        }
        let at = match self.found.iter().position(|known| known.id == id) {
            Some(at) => at,
            None if self.found.len() < self.limits.renditions => {
                self.found.push(Representation {
                    id,
                    bandwidth: level.bandwidth,
                    group: self.sets,
                    track: Track::starting_at(level.addressing.start_number.unwrap_or(1)),
                });
                self.found.len() - 1
            }
            None => return,
        };
        let others: usize = self.found.iter().map(|known| known.track.weight()).sum();
        if let Some(known) = self.found.get_mut(at)
            && let Some(left) = self.limits.presentation_bytes.checked_sub(others)
        {
            let times = (self.period, self.epoch);
            level.list_segments(&mut known.track, times, left, self.limits);
        }
    }

    /// §5.6: a base URL is relative to that of the level above.
    fn base_url(&mut self, text: &str) {
        if let Some(level) = self.levels.last_mut()
            && !level.based
            && let Some(url) = level.base.resolve(text)
        {
            level.base = url;
            level.based = true;
        }
    }
}

impl Level {
    /// Appends the segments of one period; at most `left` bytes of memory are added.
    fn list_segments(
        &self,
        track: &mut Track,
        times: (Period, Option<u64>),
        left: usize,
        limits: &Limits,
    ) {
        let budget = track.weight().saturating_add(left);
        let a = &self.addressing;
        let id = self.id.as_deref().unwrap_or("");
        let template = |text: &str| Template::parse(text, &self.base, id, self.bandwidth);
        let init = match (&a.init, &a.initialization) {
            (_, Some(text)) if a.kind == Some(Kind::Template) => {
                template(text).and_then(|t| t.url(0, 0)).map(|url| Target { url, range: None })
            }
            (Some((source, range)), _) => source
                .as_deref()
                .map_or(Some(self.base.clone()), |source| self.base.resolve(source))
                .map(|url| Target { url, range: range.clone() }),
            _ => None,
        };
        if let Some(init) = init {
            track.push_init(init);
        }
        track.timing.breaks_here();
        if track.len() == 0 {
            track.set_origin(times.0.start.unwrap_or(0));
        }
        match a.kind {
            Some(Kind::Template) => {
                if let Some(media) = a.media.as_deref().and_then(template) {
                    if track.len() == 0 && !media.is_by_time_alone() {
                        track.set_said(a.start_number.unwrap_or(1));
                    }
                    a.fill(&media, track, times, budget, limits);
                }
            }
            Some(Kind::List) => {
                if track.len() == 0 {
                    match a.start_number {
                        Some(first) => track.set_said(first),
                        None => track.set_unsaid(),
                    }
                }
                for (url, range) in a.list.as_deref().into_iter().flatten() {
                    if track.weight() > budget {
                        return;
                    }
                    let url = match url {
                        Some(url) => self.base.resolve(url),
                        None => Some(self.base.clone()),
                    };
                    if let Some(url) = url {
                        track.push(Target { url, range: range.clone() });
                        track.timing.push(1, a.micros(a.duration.unwrap_or(0)));
                    }
                }
            }
            // One file, whose index tells its segments.
            Some(Kind::Base) => {
                let index = a.index.clone().filter(|range| range.end - range.start <= MAX_INDEX);
                if let Some(range) = index.filter(|_| track.index_place().is_none()) {
                    track.set_index(Target { url: self.base.clone(), range: Some(range) });
                }
            }
            None => {}
        }
    }
}

impl Addressing {
    fn micros(&self, ticks: u64) -> u64 {
        Timing::micros(ticks, self.timescale.unwrap_or(1))
    }

    /// §5.3.9.5, §5.3.9.6: the segments of a template within one period.
    fn fill(
        &self,
        media: &Template,
        track: &mut Track,
        (period, epoch): (Period, Option<u64>),
        budget: usize,
        limits: &Limits,
    ) {
        let timescale = self.timescale.unwrap_or(1).max(1);
        let offset = self.time_offset.unwrap_or(0);
        // A period begins when it says, whatever of the one before it is still listed.
        let begins = period.start.and_then(|start| start.checked_sub(track.origin()));
        if let Some(begins) = begins.filter(|begins| begins.abs_diff(track.timing.end()) > GAP) {
            track.timing.start_at(begins);
        }
        let end = period.length.map(|micros| {
            let ticks = u128::from(micros) * u128::from(timescale) / 1_000_000;
            u64::try_from(ticks).unwrap_or(u64::MAX).saturating_add(offset)
        });
        let first = self.start_number.unwrap_or(1);
        let Some(timeline) = &self.timeline else {
            let Some(duration) = self.duration.filter(|d| *d > 0) else { return };
            let begins = epoch.zip(period.start).map(|(epoch, start)| epoch.saturating_add(start));
            let count = match (self.end_number, end) {
                (Some(last), _) => (last.saturating_add(1)).saturating_sub(first),
                (None, Some(end)) => (end - offset).div_ceil(duration),
                // It goes on until the manifest says otherwise.
                (None, None) if begins.is_some() => u64::MAX,
                (None, None) => return,
            };
            let count = u32::try_from(count).unwrap_or(u32::MAX);
            let before = track.len();
            let lasts = self.micros(duration);
            if let Some(begins) = begins.filter(|_| lasts > 0) {
                let begins = begins.saturating_sub(self.early.unwrap_or(0));
                track.set_clock(Clock { first: before, begins, duration: lasts });
            }
            media.push(track, (first, offset), duration, count, budget);
            track.timing.push(track.len() - before, lasts);
            return;
        };
        let (mut number, mut time) = (first, offset);
        let began = track.timing.end();
        let mut left = limits.segments as u64;
        for (i, span) in timeline.iter().enumerate() {
            time = span.t.unwrap_or(time);
            let repeats = if span.r >= 0 {
                span.r as u64
            } else {
                // A negative count repeats up to the next element or the end of the period.
                let until = timeline.get(i + 1).and_then(|next| next.t).or(end);
                until
                    .and_then(|until| until.checked_sub(time))
                    .filter(|_| span.d > 0)
                    .map_or(0, |ticks| ticks.div_ceil(span.d).saturating_sub(1))
            };
            let count = repeats.saturating_add(1).min(left);
            let before = track.len();
            media.push(track, (number, time), span.d, count as u32, budget);
            let start = began.saturating_add(self.micros(time.saturating_sub(offset)));
            // What is less is the rounding of what came before.
            if start.abs_diff(track.timing.end()) > GAP {
                track.timing.start_at(start);
            }
            track.timing.push(track.len() - before, self.micros(span.d));
            left -= count;
            if left == 0 || track.weight() > budget {
                return;
            }
            number = number.saturating_add(count);
            time = time.saturating_add(span.d.saturating_mul(count));
        }
    }
}

fn attribute(element: &BytesStart<'_>, name: &str) -> Result<Option<String>, MapError> {
    let found = element.try_get_attribute(name).map_err(|_| MapError::Malformed)?;
    let Some(found) = found else { return Ok(None) };
    let value = found.normalized_value(XmlVersion::Implicit1_0).map_err(|_| MapError::Malformed)?;
    Ok(Some(value.into_owned()))
}

fn number(element: &BytesStart<'_>, name: &str) -> Result<Option<u64>, MapError> {
    attribute(element, name)?
        .map(|text| text.trim().parse().map_err(|_| MapError::Malformed))
        .transpose()
}

/// `first-last`, both inclusive (RFC 9110 §14.1.2 without its unit).
fn byte_range(text: &str) -> Option<Range<u64>> {
    let (first, last) = text.trim().split_once('-')?;
    let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
    Some(first..last.checked_add(1)?).filter(|range| range.start < range.end)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use headwater_net::Timestamp;

    use super::*;

    fn mpd(text: &str) -> Vec<Representation> {
        let at = Url::new("h", "/d/a.mpd").unwrap();
        read(&at, text.as_bytes(), &Limits::default()).unwrap()
    }

    fn urls(representation: &Representation) -> Vec<String> {
        let track = &representation.track;
        (0..track.len()).map(|i| track.get(i).unwrap().url.path_and_query().to_owned()).collect()
    }

    #[test]
    fn a_template_by_duration_lists_what_the_period_holds() {
        let found = mpd(
            r#"<?xml version="1.0"?><MPD mediaPresentationDuration="PT0H0M10.5S"><Period>
            <BaseURL>media/</BaseURL><AdaptationSet>
            <SegmentTemplate timescale="1000" duration="4000" startNumber="5"
              initialization="$RepresentationID$/init.mp4" media="$RepresentationID$/$Number$.m4s?a=1&amp;b=2"/>
            <Representation id="v1" bandwidth="100"/><Representation id="v2" bandwidth="200">
            <BaseURL>../other/</BaseURL></Representation></AdaptationSet></Period></MPD>"#,
        );
        assert_eq!(
            urls(&found[0]),
            ["/d/media/v1/5.m4s?a=1&b=2", "/d/media/v1/6.m4s?a=1&b=2", "/d/media/v1/7.m4s?a=1&b=2"],
        );
        assert_eq!(found[0].track.init(2).unwrap().url.path(), "/d/media/v1/init.mp4");
        assert_eq!(urls(&found[1])[0], "/d/other/v2/5.m4s?a=1&b=2");
        assert_eq!(found[1].bandwidth, Some(200));
    }

    /// §5.3.9.6: `t` sets the time, `r` repeats, a negative `r` runs to the next `t` or the end.
    #[test]
    fn a_timeline_gives_times_over_periods() {
        let found =
            mpd(r#"<MPD mediaPresentationDuration="PT30S"><Period duration="PT20S"><AdaptationSet>
            <SegmentTemplate timescale="10" media="a/$Time$"><SegmentTimeline>
            <S t="7" d="20" r="1"/><S d="30"/><S t="100" d="40" r="-1"/></SegmentTimeline>
            </SegmentTemplate><Representation id="a"/></AdaptationSet></Period>
            <Period><AdaptationSet><SegmentTemplate timescale="10" media="b/$Number$">
            <SegmentTimeline><S d="50" r="-1"/></SegmentTimeline></SegmentTemplate>
            <Representation id="a"/></AdaptationSet></Period></MPD>"#);
        let times: Vec<_> = ["a/7", "a/27", "a/47", "a/100", "a/140", "a/180", "b/1", "b/2"]
            .iter()
            .map(|name| format!("/d/{name}"))
            .collect();
        assert_eq!(urls(&found[0]), times);
    }

    #[test]
    fn a_list_names_each_segment() {
        let found = mpd(
            r#"<MPD><Period><AdaptationSet><Representation id="a"><BaseURL>x.mp4</BaseURL>
            <SegmentList duration="4"><Initialization range="0-99"/><SegmentURL mediaRange="100-199"/>
            <SegmentURL media="y-q.mp4"/></SegmentList></Representation></AdaptationSet></Period></MPD>"#,
        );
        assert_eq!(urls(&found[0]), ["/d/x.mp4", "/d/y-q.mp4"]);
        assert_eq!(found[0].track.get(0).unwrap().range, Some(100..200));
        assert_eq!(found[0].track.init(0).unwrap().range, Some(0..100));
    }

    /// §5.3.9.2: the index of a file says where its segments are, and is not shown by the manifest.
    #[test]
    fn of_one_file_the_place_of_its_index_is_learnt() {
        let found =
            mpd(r#"<MPD><Period><AdaptationSet><Representation id="a"><BaseURL>x.mp4</BaseURL>
            <SegmentBase indexRange="800-899"><Initialization range="0-799"/></SegmentBase>
            </Representation><Representation id="b"><BaseURL>y.mp4</BaseURL>
            <SegmentBase indexRange="0-70000"/></Representation></AdaptationSet></Period></MPD>"#);
        let track = &found[0].track;
        let file = Url::new("h", "/d/x.mp4").unwrap();
        let index = Target { url: file.clone(), range: Some(800..900) };
        assert_eq!((track.len(), track.unread()), (0, Some(&index)));
        assert_eq!(track.init(0).unwrap().range, Some(0..800));
        assert_eq!(track.beginning(&file, 799).unwrap().range, Some(0..800));
        assert_eq!(track.beginning(&file, 800), Some(index));
        assert_eq!(track.beginning(&file, 900), None);
        assert_eq!(found[1].track.unread(), None, "an index of that size is not read");
    }

    /// §5.3.9.5.3: number `startNumber` is there when a segment's time has passed since its period began.
    #[test]
    fn live_segments_without_a_timeline_are_there_as_time_passes() {
        let found = mpd(
            r#"<MPD type="dynamic" availabilityStartTime="2024-02-29T12:00:00Z" minimumUpdatePeriod="PT5S">
            <Period start="PT10S"><AdaptationSet><SegmentTemplate timescale="90000" duration="180000"
            startNumber="7" media="$Number$.m4s" availabilityTimeOffset="0.5"/><Representation id="a"/>
            </AdaptationSet></Period></MPD>"#,
        );
        let track = &found[0].track;
        let at = |seconds: u64, millis| {
            Timestamp::from_millis(1_709_208_000_000 + seconds * 1000 + millis)
        };
        for (now, available, head) in
            [(at(0, 0), 0, 0), (at(11, 499), 0, 0), (at(11, 500), 1, 0), (at(30, 0), 10, 7)]
        {
            assert_eq!((track.available(now), track.head(now)), (available, head), "{now:?}");
        }
        assert_eq!(track.get(9).unwrap().url.path(), "/d/16.m4s");
        assert_eq!(track.timing.of(9), Some((18_000_000, 2_000_000)));
        assert_eq!(track.find("//h/d/16.m4s", None, None), Some(9));
        for (number, comes) in [(14, false), (15, true), (16, true), (17, true), (6, false)] {
            let url = format!("//h/d/{number}.m4s");
            assert_eq!(track.comes_next(&url, at(30, 0)), comes, "{number}");
        }
        assert!(track.live().is_some() && track.weight() < 1000);
        let over = mpd(r#"<MPD type="dynamic" availabilityStartTime="2024-02-29T12:00:00Z">
            <Period start="PT0S" duration="PT8S"><AdaptationSet><SegmentTemplate duration="2"
            media="$Number$.m4s"/><Representation id="a"/></AdaptationSet></Period></MPD>"#);
        assert_eq!(over[0].track.available(at(5, 0)), 2);
        assert_eq!(over[0].track.available(at(500, 0)), 4, "the period has no more");
    }

    #[test]
    fn what_is_no_mpd_is_malformed() {
        let at = Url::new("h", "/a.mpd").unwrap();
        for bad in [
            "",
            "<html></html>",
            "<!DOCTYPE MPD [<!ENTITY a \"b\">]><MPD/>",
            "<MPD><S d=\"x\"/></MPD>",
            "<MPD></S>",
        ] {
            assert!(read(&at, bad.as_bytes(), &Limits::default()).is_err(), "{bad}");
        }
    }
}
