//! A DASH presentation, fetched: its MPD as a tree, its representations, samples of their media.

pub(crate) mod addressing;
pub(crate) mod template;
pub(crate) mod values;
pub(crate) mod xml;

use std::ops::Range;

use crate::fetch::{Answer, Fetch, Url};
use crate::limits::{MAX_INIT, MAX_LISTED, MAX_SEGMENT};
use crate::media::boxes::walk;
use crate::media::movie::Movie;
use crate::media::sidx::Sidx;
use crate::media::{self, Init, Stream};
use crate::sample::Sampling;
use addressing::{Addressing, Kind, Segment};
use xml::Element;

/// A presentation.
#[derive(Debug)]
pub(crate) struct Presentation {
    pub(crate) url: Url,
    pub(crate) answer: Answer,
    /// The tree, or why there is none.
    pub(crate) root: Result<Element, String>,
    pub(crate) representations: Vec<Representation>,
    pub(crate) missing: Vec<(String, String)>,
    pub(crate) fetched: usize,
    pub(crate) redirected: Vec<String>,
}

/// A representation with its media.
#[derive(Debug)]
pub(crate) struct Representation {
    pub(crate) id: String,
    pub(crate) line: usize,
    /// The numbers of its period and its adaptation set in the document.
    pub(crate) period: usize,
    pub(crate) set: usize,
    /// Its element, with attributes that the adaptation set gives it.
    pub(crate) element: Element,
    pub(crate) set_element: Element,
    /// The period's length, in seconds.
    pub(crate) duration: Option<f64>,
    pub(crate) addressing: Addressing,
    pub(crate) segments: Vec<Segment>,
    pub(crate) stream: Stream,
    /// The index that `indexRange` led to, or what was there instead.
    pub(crate) index: Option<Result<Sidx, String>>,
}

impl Representation {
    pub(crate) fn bandwidth(&self) -> Option<u64> {
        self.element.number("bandwidth")
    }

    pub(crate) fn codecs(&self) -> Vec<&str> {
        self.element
            .get("codecs")
            .map_or(Vec::new(), |list| list.split(',').map(str::trim).collect())
    }

    /// What it is, by `@contentType` or `@mimeType`.
    pub(crate) fn content_type(&self) -> &str {
        let mime = self.element.get("mimeType").unwrap_or("");
        let by_mime = mime.split('/').next().unwrap_or("");
        self.set_element.get("contentType").unwrap_or(by_mime)
    }

    pub(crate) fn seconds(&self, ticks: f64) -> f64 {
        ticks / self.addressing.timescale.max(1) as f64
    }
}

/// Attributes of an adaptation set that its representations have too (§5.3.7).
const COMMON: [&str; 14] = [
    "profiles",
    "width",
    "height",
    "sar",
    "frameRate",
    "audioSamplingRate",
    "mimeType",
    "segmentProfiles",
    "codecs",
    "containerProfiles",
    "startWithSAP",
    "maxPlayoutRate",
    "codingDependency",
    "scanType",
];

impl Presentation {
    /// Fetches the media that the MPD leads to, as much as was asked for.
    pub(crate) fn fetch(
        url: Url,
        answer: Answer,
        fetch: &mut dyn Fetch,
        sampling: Sampling,
    ) -> Self {
        let redirected = if answer.redirects > 0 { vec![url.to_string()] } else { Vec::new() };
        let root = std::str::from_utf8(&answer.bytes)
            .map_err(|error| format!("not UTF-8: {error}"))
            .and_then(|text| Element::read(text.strip_prefix('\u{feff}').unwrap_or(text)));
        let mut found = Self {
            url,
            answer,
            root,
            representations: Vec::new(),
            missing: Vec::new(),
            fetched: 1,
            redirected,
        };
        if let Ok(root) = found.root.clone() {
            found.expand(&root, fetch);
            for index in 0..found.representations.len() {
                found.sample(index, fetch, sampling);
            }
        }
        found
    }

    pub(crate) fn at(&self, line: usize) -> String {
        format!("{}:{line}", self.url)
    }

    /// The place of a representation, for people.
    pub(crate) fn representation(&self, representation: &Representation) -> String {
        format!("{}:{} Representation {}", self.url, representation.line, representation.id)
    }

    /// The tree, where there is one.
    pub(crate) fn mpd(&self) -> Option<&Element> {
        self.root.as_ref().ok()
    }

    /// Every element of the MPD's own namespace.
    pub(crate) fn elements(&self) -> Vec<&Element> {
        let all = self.mpd().map(Element::walk).unwrap_or_default();
        all.into_iter().filter(|element| !element.is_foreign()).collect()
    }

    pub(crate) fn is_dynamic(&self) -> bool {
        self.mpd().is_some_and(|mpd| mpd.get("type") == Some("dynamic"))
    }

    /// Whether the MPD, or what is inside, claims a profile.
    pub(crate) fn claims(&self, profile: &str) -> bool {
        self.mpd()
            .and_then(|mpd| mpd.get("profiles"))
            .is_some_and(|list| list.split(',').any(|claimed| claimed.trim() == profile))
    }

    fn expand(&mut self, mpd: &Element, fetch: &mut dyn Fetch) {
        let lengths = period_lengths(mpd);
        let mut left = MAX_LISTED;
        let base = based(&self.url, mpd);
        for (number, period) in mpd.all("Period").enumerate() {
            let base = based(&base, period);
            for (set, element) in period.all("AdaptationSet").enumerate() {
                let base = based(&base, element);
                let mut set_element = element.clone();
                set_element.children.retain(|child| child.name != "Representation");
                for inner in element.all("Representation") {
                    if left == 0 {
                        return;
                    }
                    let base = based(&base, inner);
                    let mut merged = inner.clone();
                    for name in COMMON {
                        if let Some(value) = element.get(name) {
                            merged.attributes.entry(name.to_owned()).or_insert(value.to_owned());
                        }
                    }
                    let addressing = Addressing::read(&[period, element, inner]);
                    let mut found = Representation {
                        id: inner.get("id").unwrap_or("").to_owned(),
                        line: inner.line,
                        period: number,
                        set,
                        element: merged,
                        set_element: set_element.clone(),
                        duration: lengths.get(number).copied().flatten(),
                        addressing,
                        segments: Vec::new(),
                        stream: Stream::default(),
                        index: None,
                    };
                    self.list(&mut found, &base, fetch);
                    let entries = found.addressing.timeline.as_ref().map_or(0, Vec::len);
                    left = left.saturating_sub(found.segments.len() + entries + 1);
                    self.representations.push(found);
                }
            }
        }
    }

    /// Lists the segments of a representation: from the MPD, or from the index it points at.
    fn list(&mut self, found: &mut Representation, base: &Url, fetch: &mut dyn Fetch) {
        let addressing = &found.addressing;
        match addressing.kind {
            Kind::Template | Kind::List => {
                let bandwidth = found.bandwidth().unwrap_or(0);
                found.segments = addressing.list(&found.id, bandwidth, found.duration, base);
            }
            Kind::Base => {
                let Some(range) = addressing.index_range.clone() else {
                    // Without a BaseURL of its own there is no media: events, or remote content.
                    if *base != self.url {
                        found.segments = vec![Segment::whole(base.clone(), found.duration)];
                    }
                    return;
                };
                let index = self.get(fetch, base, Some(range.clone()), MAX_INIT);
                let index = index.map_or_else(
                    || Err("it cannot be fetched".to_owned()),
                    |answer| read_index(&answer.bytes, &range),
                );
                if let Ok(index) = &index {
                    found.segments = indexed(index, base);
                    found.addressing.timescale = u64::from(index.timescale.max(1));
                }
                found.index = Some(index);
            }
        }
    }

    fn get(
        &mut self,
        fetch: &mut dyn Fetch,
        url: &Url,
        range: Option<Range<u64>>,
        limit: usize,
    ) -> Option<Answer> {
        match fetch.get(url, range, limit) {
            Ok(answer) => {
                self.fetched += 1;
                if answer.redirects > 0 {
                    self.redirected.push(url.to_string());
                }
                Some(answer)
            }
            Err(error) => {
                self.missing.push((url.to_string(), error.to_string()));
                None
            }
        }
    }

    /// Fetches the init segment and the sampled segments of a representation.
    fn sample(&mut self, index: usize, fetch: &mut dyn Fetch, sampling: Sampling) {
        let Some(found) = self.representations.get(index) else { return };
        let segments = found.segments.clone();
        let init = found.addressing.init(&found.id, found.bandwidth().unwrap_or(0));
        let chosen = sampling.choose(segments.len());
        let pictures = found.set_element.children.iter().any(|child| {
            child.get("schemeIdUri") == Some("http://dashif.org/guidelines/trickmode")
        });
        let mut stream = Stream {
            complete: chosen.len() == segments.len() && !segments.is_empty(),
            pictures,
            ..Stream::default()
        };
        let base = segments.first().map(|segment| segment.base.clone());
        if let (Some(Ok((url, range))), Some(base)) = (init, base) {
            let url = if url.is_empty() { Some(base) } else { base.join(&url).ok() };
            let answer = url.as_ref().and_then(|url| self.get(fetch, url, range, MAX_INIT));
            if let (Some(answer), Some(url)) = (answer, url) {
                let movie = Movie::read(&answer.bytes);
                stream.inits.push(Init { place: url.to_string(), movie });
            }
        }
        for number in chosen {
            let Some(segment) = segments.get(number) else { continue };
            let range = segment.range.clone();
            let Some(answer) = self.get(fetch, &segment.url, range.clone(), MAX_SEGMENT) else {
                continue;
            };
            // A file alone holds its init segment itself.
            if stream.inits.is_empty()
                && range.is_none()
                && let Ok(movie) = Movie::read(&answer.bytes)
            {
                stream.inits.push(Init { place: segment.url.to_string(), movie: Ok(movie) });
            }
            let movie = stream.inits.first().and_then(|init| init.movie.as_ref().ok());
            let container = media::look(&answer.bytes, movie);
            let place = match &range {
                Some(range) => {
                    format!("{} {}-{}", segment.url, range.start, range.end.saturating_sub(1))
                }
                None => segment.url.to_string(),
            };
            stream.segments.push(media::Segment {
                place,
                index: number,
                init: (!stream.inits.is_empty()).then_some(0),
                stated: segment.seconds,
                discontinuity: false,
                bytes: answer.bytes.len() as u64,
                content_type: answer.content_type,
                container,
            });
        }
        if let Some(found) = self.representations.get_mut(index) {
            found.stream = stream;
        }
    }
}

/// The lengths of periods (§5.3.2.1): their own, up to the start of the next, or up to the end.
fn period_lengths(mpd: &Element) -> Vec<Option<f64>> {
    let seconds = |element: &Element, name| element.get(name).and_then(values::duration);
    let total = seconds(mpd, "mediaPresentationDuration");
    let periods: Vec<&Element> = mpd.all("Period").collect();
    let mut starts: Vec<Option<f64>> = Vec::new();
    for (number, period) in periods.iter().enumerate() {
        let before = number.checked_sub(1).and_then(|before| {
            Some(starts.get(before).copied()?? + seconds(periods.get(before)?, "duration")?)
        });
        let first = (number == 0).then_some(0.0);
        starts.push(seconds(period, "start").or(before).or(first));
    }
    let ends = starts.iter().skip(1).copied().chain([total]);
    periods
        .iter()
        .zip(starts.iter().zip(ends))
        .map(|(period, (start, end))| {
            seconds(period, "duration").or_else(|| Some(end? - (*start)?))
        })
        .collect()
}

/// §5.6.4: the first `BaseURL` counts, the others are alternatives.
fn based(outer: &Url, element: &Element) -> Url {
    let inner = element.child("BaseURL").and_then(|base| outer.join(base.text.trim()).ok());
    inner.unwrap_or_else(|| outer.clone())
}

/// The index box must fill its range.
fn read_index(bytes: &[u8], range: &Range<u64>) -> Result<Sidx, String> {
    let atoms = walk(bytes, range.start)?;
    match atoms.as_slice() {
        [atom] if atom.is(b"sidx") => Sidx::read(atom).ok_or_else(|| "sidx is cut off".to_owned()),
        atoms => {
            let kinds: Vec<String> = atoms.iter().map(|atom| atom.kind.to_string()).collect();
            Err(format!("the index range holds {}", kinds.join(", ")))
        }
    }
}

fn indexed(index: &Sidx, base: &Url) -> Vec<Segment> {
    let (mut at, mut time) = (index.first, index.earliest);
    let mut found = Vec::new();
    for reference in &index.references {
        let end = at.saturating_add(u64::from(reference.size));
        let seconds = f64::from(reference.duration) / f64::from(index.timescale.max(1));
        found.push(Segment {
            base: base.clone(),
            url: base.clone(),
            range: Some(at..end),
            seconds: Some(seconds),
            time: Some(time),
            ticks: Some(u64::from(reference.duration)),
        });
        at = end;
        time = time.saturating_add(u64::from(reference.duration));
    }
    found
}
