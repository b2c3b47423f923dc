//! Which tracks of an asset's sources are carried.
//!
//! Unless an operator picks: one picture of each source, and each sound once. Renditions of one
//! ladder usually repeat the same sound; players would offer each copy as one more language, and
//! caches would hold it once a rendition.
//!
//! Two sounds of different sources are the same where codec, language, channels and name are. Equal
//! sample tables say that even their bytes are; otherwise they are one sound at several bit rates,
//! and the best is kept: beside any picture the difference is small, and one sound for all
//! renditions is what lets a player change pictures without changing sound. Who wants several bit
//! rates picks them.

use std::sync::Arc;

use crate::choice::{Choice, Pick};
use crate::error::{Error, Result};
use crate::index::{MediaIndex, TrackIndex};
use crate::report::Report;
use crate::track::TrackMedia;
use crate::units::MediaTime;

/// A track that was chosen, and where it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Chosen<'a> {
    pub(crate) source: usize,
    pub(crate) position: usize,
    pub(crate) index: &'a MediaIndex,
    pub(crate) track: &'a TrackIndex,
    /// What the operator says of it.
    pub(crate) pick: Option<&'a Pick>,
}

/// The pictures: those picked, or one of each source: its first that is enabled, or its first.
pub(crate) fn pictures<'a>(
    sources: &'a [Arc<MediaIndex>],
    choice: &'a Choice,
    report: &mut Report,
) -> Result<Vec<Chosen<'a>>> {
    match &choice.pictures {
        Some(picks) => picked(sources, picks, TrackMedia::Video),
        None => Ok(first_pictures(sources, report)),
    }
}

/// The sounds: those picked, or each once.
pub(crate) fn sounds<'a>(
    sources: &'a [Arc<MediaIndex>],
    choice: &'a Choice,
    report: &mut Report,
) -> Result<Vec<Chosen<'a>>> {
    match &choice.sounds {
        Some(picks) => picked(sources, picks, TrackMedia::Audio),
        None => Ok(distinct_sounds(sources, report)),
    }
}

fn picked<'a>(
    sources: &'a [Arc<MediaIndex>],
    picks: &'a [Pick],
    media: TrackMedia,
) -> Result<Vec<Chosen<'a>>> {
    let mut found: Vec<Chosen<'a>> = Vec::with_capacity(picks.len());
    for (number, pick) in picks.iter().enumerate() {
        let refuse = |why: String| Error::BadPick { media, number, why };
        let candidates = || {
            all_tracks(sources).filter(|chosen| {
                chosen.source == pick.source
                    && chosen.track.is_video() == (media == TrackMedia::Video)
            })
        };
        let wanted = match pick.track {
            Some(track) => candidates().find(|chosen| chosen.track.number() == track),
            None => candidates().find(|chosen| chosen.track.enabled).or(candidates().next()),
        };
        let Some(chosen) = wanted else {
            let Some(index) = sources.get(pick.source) else {
                return Err(refuse("there is no such source".to_owned()));
            };
            let has: Vec<String> =
                candidates().map(|chosen| chosen.track.number().to_string()).collect();
            let mut why = match (pick.track, has.is_empty()) {
                (_, true) => format!("it has no {media} track that can be carried"),
                (Some(track), false) => {
                    format!("it has no {media} track {track}, only {}", has.join(", "))
                }
                (None, false) => format!("it has no {media} track"),
            };
            if !index.report().is_empty() {
                why = format!("{why} ({})", index.report());
            }
            return Err(refuse(why));
        };
        let twice =
            |other: &Chosen<'_>| (other.source, other.position) == (chosen.source, chosen.position);
        if found.iter().any(twice) {
            return Err(refuse(format!("track {} is picked twice", chosen.track.number())));
        }
        found.push(Chosen { pick: Some(pick), ..chosen });
    }
    Ok(found)
}

fn all_tracks(sources: &[Arc<MediaIndex>]) -> impl Iterator<Item = Chosen<'_>> {
    sources.iter().enumerate().flat_map(|(source, index)| {
        let tracks = index.tracks().iter().enumerate();
        tracks.map(move |(position, track)| Chosen { source, position, index, track, pick: None })
    })
}

fn first_pictures<'a>(sources: &'a [Arc<MediaIndex>], report: &mut Report) -> Vec<Chosen<'a>> {
    let mut found: Vec<Chosen<'a>> = Vec::new();
    for candidate in all_tracks(sources).filter(|chosen| chosen.track.is_video()) {
        let told = match found.last_mut().filter(|last| last.source == candidate.source) {
            None => {
                found.push(candidate);
                continue;
            }
            Some(last) if candidate.track.enabled && !last.track.enabled => {
                std::mem::replace(last, candidate)
            }
            Some(_) => candidate,
        };
        report.skip(told.track.number(), "only one picture track of a source is carried");
        report.about(told.source);
    }
    found
}

/// All sounds, each once however many sources have it. A source that has two alike has two sounds.
fn distinct_sounds<'a>(sources: &'a [Arc<MediaIndex>], report: &mut Report) -> Vec<Chosen<'a>> {
    let mut found: Vec<(Chosen<'a>, Option<Content>)> = Vec::new();
    for candidate in all_tracks(sources).filter(|chosen| !chosen.track.is_video()) {
        let key = Key::of(candidate.track);
        let earlier_alike = candidate
            .index
            .tracks()
            .iter()
            .take(candidate.position)
            .filter(|track| !track.is_video() && Key::of(track) == key)
            .count();
        let twin = found
            .iter_mut()
            .filter(|(other, _)| Key::of(other.track) == key)
            .filter(|(other, _)| other.source < candidate.source)
            .nth(earlier_alike);
        let Some((kept, content)) = twin else {
            found.push((candidate, None));
            continue;
        };
        let ours = Content::of(candidate.track);
        let theirs = *content.get_or_insert_with(|| Content::of(kept.track));
        if are_equal((candidate.track, ours), (kept.track, theirs)) {
            tell(report, candidate, &format!("it is the same sound as that of {}", place(*kept)));
            continue;
        }
        // Which of two that grow is better changes as they do, and would change the version.
        let settled = [candidate, *kept].iter().all(|sound| sound.index.recording().is_none());
        let (left, lost, stays, held) = if settled && ours.is_better(theirs) {
            *content = Some(ours);
            (std::mem::replace(kept, candidate), theirs, candidate, ours)
        } else {
            (candidate, ours, *kept, theirs)
        };
        let lasts_as_long = lost.lasts_as_long(held);
        let quantity = |content: Content| {
            if lasts_as_long {
                format!("at {} kbit/s", content.rate.div_ceil(1_000))
            } else {
                format!("of {} s", content.duration.seconds(3))
            }
        };
        tell(
            report,
            left,
            &format!(
                "it is the same sound {} as that of {} {}, which is sent in its place",
                quantity(lost),
                place(stays),
                quantity(held),
            ),
        );
    }
    found.into_iter().map(|(chosen, _)| chosen).collect()
}

fn place(chosen: Chosen<'_>) -> String {
    format!("source {}, track {}", chosen.source + 1, chosen.track.number())
}

fn tell(report: &mut Report, chosen: Chosen<'_>, message: &str) {
    report.info(Some(chosen.track.number()), message);
    report.about(chosen.source);
}

/// What sounds have in common that are one to a listener.
#[derive(PartialEq, Eq)]
struct Key<'a> {
    codec: &'a str,
    language: Option<&'a str>,
    channels: u16,
    name: Option<&'a str>,
}

impl<'a> Key<'a> {
    fn of(track: &'a TrackIndex) -> Self {
        let channels = track.codec.sound().map_or(0, |sound| sound.channels);
        let (language, name) = (track.language.as_deref(), track.name.as_deref());
        Self { codec: track.codec(), language, channels, name }
    }
}

/// What a sound's sample table says of its bytes.
#[derive(Clone, Copy)]
struct Content {
    bytes: u64,
    /// Bits per second on average.
    rate: u64,
    duration: MediaTime,
}

impl Content {
    /// Whether it is the one to send: one that is cut short is none, whatever its rate.
    fn is_better(self, other: Self) -> bool {
        if self.lasts_as_long(other) {
            self.rate > other.rate
        } else {
            self.duration > other.duration
        }
    }

    /// Encoders add different priming and padding, but no whole second.
    fn lasts_as_long(self, other: Self) -> bool {
        self.duration.is_within(other.duration, MediaTime::from_millis(1_000))
    }

    /// Looks at sums alone.
    fn of(track: &TrackIndex) -> Self {
        let samples = track.samples();
        let bytes = samples.summary(0..samples.count()).map_or(0, |all| all.bytes);
        let hz = u128::from(track.timescale().get());
        let ticks = u128::from(samples.duration().max(1));
        let rate = u64::try_from(u128::from(bytes) * 8 * hz / ticks).unwrap_or(u64::MAX);
        let duration = i64::try_from(samples.duration()).unwrap_or(i64::MAX);
        let duration = MediaTime::new(duration, track.timescale());
        Self { bytes, rate, duration }
    }
}

/// Whether two sounds have equal sample tables: then even their bytes are the same. Samples are
/// looked at only where all sums are equal, and up to the first that differs.
fn are_equal(one: (&TrackIndex, Content), other: (&TrackIndex, Content)) -> bool {
    let ((one, ours), (other, theirs)) = (one, other);
    let (a, b) = (one.samples(), other.samples());
    let alike = one.timescale() == other.timescale() && ours.bytes == theirs.bytes;
    let same = || a.iter().zip(b).all(|(a, b)| (a.size, a.duration) == (b.size, b.duration));
    alike && a.count() == b.count() && a.duration() == b.duration() && same()
}
