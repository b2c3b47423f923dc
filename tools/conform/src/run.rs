//! One check: fetch the presentation, ask every rule, gather the report.

use std::path::Path;

use crate::dash::Presentation as Dash;
use crate::error::Error;
use crate::fetch::{Answer, Fetch, Url};
use crate::hls::Presentation as Hls;
use crate::limits::MAX_MANIFEST;
use crate::media::Stream;
use crate::report::{Report, Row};
use crate::rule::{Check, Rule};
use crate::rules;
use crate::sample::Sampling;
use crate::verdict::Findings;

/// What to check.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// How many segments of each rendition are fetched; 12 by default.
    pub sampling: Sampling,
    /// Only these rules, by id; all where it is empty.
    pub only: Vec<String>,
}

enum Subject {
    Hls(Box<Hls>),
    Dash(Box<Dash>),
}

/// Checks the presentation at `place`: a URL, or the path of a file.
pub fn check(place: &str, fetch: &mut dyn Fetch, options: &Options) -> Result<Report, Error> {
    for id in &options.only {
        if !rules::all().any(|rule| rule.id == *id) {
            return Err(Error::Rule(id.clone()));
        }
    }
    let url = locate(place)?;
    let answer = fetch
        .get(&url, None, MAX_MANIFEST)
        .map_err(|error| Error::Fetch(url.to_string(), error))?;
    let subject = match kind(&url, &answer) {
        Some("hls") => Subject::Hls(Box::new(Hls::fetch(url, answer, fetch, options.sampling))),
        Some(_) => Subject::Dash(Box::new(Dash::fetch(url, answer, fetch, options.sampling))),
        None => return Err(Error::Unknown(url.to_string())),
    };
    let chosen = rules::all()
        .filter(|rule| options.only.is_empty() || options.only.contains(&rule.id.to_owned()));
    let rows = chosen.filter_map(|rule| subject.row(rule)).collect();
    Ok(subject.report(rows))
}

impl Subject {
    /// `None` where the rule is about the other protocol.
    fn row(&self, rule: &'static Rule) -> Option<Row> {
        let mut findings = Findings::default();
        match (rule.check, self) {
            (Check::Hls(check), Self::Hls(hls)) => check(hls, &mut findings),
            (Check::Dash(check), Self::Dash(dash)) => check(dash, &mut findings),
            (Check::Media(check), subject) => {
                for stream in subject.streams() {
                    check(stream, &mut findings);
                }
            }
            _ => return None,
        }
        let (verdict, places) = findings.finish();
        Some(Row { rule, verdict, places })
    }

    fn streams(&self) -> Vec<&Stream> {
        match self {
            Self::Hls(hls) => hls.media.iter().map(|media| &media.stream).collect(),
            Self::Dash(dash) => dash.representations.iter().map(|inner| &inner.stream).collect(),
        }
    }

    fn report(&self, rows: Vec<Row>) -> Report {
        let (url, protocol, fetched) = match self {
            Self::Hls(hls) => (hls.root.url.to_string(), "HLS", hls.fetched),
            Self::Dash(dash) => (dash.url.to_string(), "DASH", dash.fetched),
        };
        let streams = self.streams();
        let segments = streams.iter().map(|stream| stream.segments.len()).sum();
        let complete = streams.iter().all(|stream| stream.complete);
        Report { url, protocol, fetched, renditions: streams.len(), segments, complete, rows }
    }
}

fn locate(place: &str) -> Result<Url, Error> {
    let unknown = || Error::Place(place.to_owned());
    if place.contains("://") {
        return Url::parse(place).map_err(|_| unknown());
    }
    let path = Path::new(place).canonicalize().map_err(|_| unknown())?;
    Url::from_file_path(path).map_err(|()| unknown())
}

fn kind(url: &Url, answer: &Answer) -> Option<&'static str> {
    let start = answer.bytes.iter().skip_while(|byte| !byte.is_ascii_graphic());
    let start: Vec<u8> = start.take(512).copied().collect();
    let mime = answer.content_type.as_deref().unwrap_or("").to_ascii_lowercase();
    let named = |name: &str| url.path().to_ascii_lowercase().ends_with(name);
    if start.starts_with(b"#EXT") {
        Some("hls")
    } else if start.windows(4).any(|window| window == b"<MPD") {
        Some("dash")
    } else if mime.contains("mpegurl") || named(".m3u8") || named(".m3u") {
        Some("hls")
    } else if mime.contains("dash+xml") || named(".mpd") {
        Some("dash")
    } else {
        None
    }
}
