//! From the indexes of an asset's sources to one [`Media`].

use std::num::NonZeroU16;
use std::sync::Arc;

use crate::codec::Codec;
use crate::error::{Error, Result};
use crate::frame_rate::frame_rate;
use crate::identity::{Fnv, LAYOUT_REVISION, Version};
use crate::index::{MediaIndex, TrackIndex};
use crate::ladder::{Ladder, Left};
use crate::media::{Media, Options, Place};
use crate::report::Report;
use crate::segments::{Lane, SegmentTable};
use crate::timeline::{Placement, start_offset};
use crate::track::{Audio, Track, TrackId, TrackKind, TrackMedia, Video};
use crate::units::MediaTime;

pub(crate) fn assemble(sources: Vec<Arc<MediaIndex>>, options: &Options) -> Result<Media> {
    let target = options.target();
    let mut report = Report::new();
    for (number, source) in sources.iter().enumerate() {
        report.absorb(number, source.report());
    }
    let pictures = place(first_pictures(&sources, &mut report), &mut report)?;
    let sounds = place(distinct_sounds(&sources), &mut report)?;
    if pictures.is_empty() && sounds.is_empty() {
        let why =
            if sources.is_empty() { "there are no sources".to_owned() } else { report.to_string() };
        return Err(Error::NoUsableTrack(why));
    }

    let candidates: Vec<_> = pictures.iter().map(Placed::lane).collect();
    let (ladder, left) = Ladder::new(&candidates, target);
    for Left { position, segments, without } in &left {
        if let Some(rendition) = pictures.get(*position) {
            report.skip(
                rendition.chosen.track.number(),
                format!(
                    "too few of its sync samples coincide with those of the first rendition: \
                     {segments} segments would be left of {without}"
                ),
            );
            report.about(rendition.chosen.source);
        }
    }
    let pictures: Vec<_> = pictures
        .iter()
        .enumerate()
        .filter(|(position, _)| left.iter().all(|gone| gone.position != *position))
        .map(|(_, placed)| placed)
        .collect();
    compare_durations(&pictures, &mut report);

    let sound_lanes: Vec<_> = sounds.iter().map(Placed::lane).collect();
    let all = || pictures.iter().copied().chain(&sounds);
    let offset = start_offset(all().map(|p| (&p.placement, p.chosen.track.timescale())))?;
    let segments = SegmentTable::build(&ladder, &sound_lanes, target, offset);
    let duration =
        all().map(|placed| placed.lane().end()).max().unwrap_or(MediaTime::from_millis(0));

    let mut tracks = describe(TrackMedia::Video, pictures.iter().copied());
    tracks.extend(describe(TrackMedia::Audio, sounds.iter()));
    let places = all()
        .map(|placed| Place { position: placed.chosen.position, lead: placed.placement.lead })
        .collect();
    for (position, placed) in all().enumerate() {
        let silent = segments.spans(position).iter().filter(|span| span.samples == 0).count();
        if silent > 0 {
            report.warn(
                Some(placed.chosen.track.number()),
                format!("it has nothing in {silent} of the segments, which are empty"),
            );
            report.about(placed.chosen.source);
        }
    }
    Ok(Media {
        version: version(&sources, target),
        tracks,
        places,
        segments,
        start_offset: offset,
        duration,
        target,
        report,
        sources,
    })
}

/// A track that was chosen, and where it is.
#[derive(Debug, Clone, Copy)]
struct Chosen<'a> {
    source: usize,
    position: usize,
    index: &'a MediaIndex,
    track: &'a TrackIndex,
}

#[derive(Debug)]
struct Placed<'a> {
    chosen: Chosen<'a>,
    placement: Placement,
}

impl Placed<'_> {
    fn lane(&self) -> Lane<'_> {
        Lane { track: self.chosen.track, placement: &self.placement }
    }
}

fn all_tracks(sources: &[Arc<MediaIndex>]) -> impl Iterator<Item = Chosen<'_>> {
    sources.iter().enumerate().flat_map(|(source, index)| {
        let tracks = index.tracks().iter().enumerate();
        tracks.map(move |(position, track)| Chosen { source, position, index, track })
    })
}

/// One picture track of each source: its first that is enabled, or its first.
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

/// All sound, without what a later source repeats: the same codec, language and channel count as
/// often as a source before has it.
fn distinct_sounds(sources: &[Arc<MediaIndex>]) -> Vec<Chosen<'_>> {
    let mut found: Vec<Chosen<'_>> = Vec::new();
    for candidate in all_tracks(sources).filter(|chosen| !chosen.track.is_video()) {
        let same = |other: &Chosen<'_>| sound_key(other.track) == sound_key(candidate.track);
        let nth = candidate
            .index
            .tracks()
            .iter()
            .take(candidate.position)
            .filter(|track| !track.is_video() && sound_key(track) == sound_key(candidate.track))
            .count();
        let before =
            found.iter().filter(|other| other.source < candidate.source && same(other)).count();
        if nth >= before {
            found.push(candidate);
        }
    }
    found
}

fn sound_key(track: &TrackIndex) -> (&str, Option<&str>, u16) {
    let channels = match &track.codec {
        Codec::Aac(aac) => aac.channels,
        Codec::Avc(_) => 0,
    };
    (track.codec(), track.language.as_deref(), channels)
}

/// Settles the times of tracks. One whose times cannot be is left out while another remains.
fn place<'a>(chosen: Vec<Chosen<'a>>, report: &mut Report) -> Result<Vec<Placed<'a>>> {
    let mut all = Vec::with_capacity(chosen.len());
    let mut failed = None;
    for chosen in chosen {
        match Placement::new(chosen.track, chosen.index.movie_timescale()) {
            Ok(placement) => {
                tell(chosen, &placement, report);
                all.push(Placed { chosen, placement });
            }
            Err(error) => {
                report.skip(chosen.track.number(), error.to_string());
                report.about(chosen.source);
                failed.get_or_insert(error);
            }
        }
    }
    match failed {
        Some(error) if all.is_empty() => Err(error),
        _ => Ok(all),
    }
}

fn tell(chosen: Chosen<'_>, placement: &Placement, report: &mut Report) {
    let number = chosen.track.number();
    for warning in &placement.warnings {
        report.warn(Some(number), *warning);
        report.about(chosen.source);
    }
    if placement.left_out > 0 {
        report.info(
            Some(number),
            format!(
                "{} of its {} samples come after the end of its edit list and are left out",
                placement.left_out,
                chosen.track.samples().count()
            ),
        );
        report.about(chosen.source);
    }
    if chosen.track.is_video() && placement.sync.is_empty() {
        report.warn(Some(number), "it has no sync sample, so it cannot be cut");
        report.about(chosen.source);
    }
}

/// Tells which renditions do not last as long as the first.
fn compare_durations(pictures: &[&Placed<'_>], report: &mut Report) {
    let Some((first, others)) = pictures.split_first() else {
        return;
    };
    let expected = first.lane().end();
    for other in others {
        let samples = other.chosen.track.samples();
        let frame = samples.duration() / u64::from(samples.count().max(1));
        let lane = other.lane();
        let tolerance = lane.time(i64::try_from(frame).unwrap_or(i64::MAX));
        if !lane.end().is_within(expected, tolerance) {
            report.warn(
                Some(other.chosen.track.number()),
                format!(
                    "it ends at {} s, the first rendition at {} s",
                    lane.end().seconds(3),
                    expected.seconds(3)
                ),
            );
            report.about(other.chosen.source);
        }
    }
}

fn describe<'a>(
    media: TrackMedia,
    placed: impl Iterator<Item = &'a Placed<'a>> + Clone,
) -> Vec<Track> {
    let default = placed.clone().position(|placed| placed.chosen.track.enabled).unwrap_or(0);
    // Numbers end where 16 bits do; the limits on tracks and sources end long before.
    (1..=u16::MAX)
        .filter_map(NonZeroU16::new)
        .zip(placed)
        .enumerate()
        .map(|(position, (number, placed))| {
            let track = placed.chosen.track;
            Track {
                id: TrackId::new(media, number),
                kind: kind(track),
                codec: track.codec().to_owned(),
                language: track.language.clone(),
                name: track.name.clone(),
                timescale: track.timescale(),
                source: placed.chosen.source,
                source_track: track.number(),
                default: position == default,
            }
        })
        .collect()
}

fn kind(track: &TrackIndex) -> TrackKind {
    match &track.codec {
        Codec::Aac(aac) => {
            TrackKind::Audio(Audio { channels: aac.channels, sample_rate: aac.sample_rate })
        }
        Codec::Avc(avc) => {
            let (across, down) = avc.sample_aspect;
            let wide = u64::from(avc.width) * u64::from(across) + u64::from(down) / 2;
            let wide = u32::try_from(wide / u64::from(down.max(1))).unwrap_or(u32::MAX).max(1);
            let (display_width, display_height) = match track.rotation {
                90 | 270 => (avc.height, wide),
                _ => (wide, avc.height),
            };
            TrackKind::Video(Video {
                width: avc.width,
                height: avc.height,
                display_width,
                display_height,
                sample_aspect: avc.sample_aspect,
                rotation: track.rotation,
                frame_rate: frame_rate(track).or(avc.frame_rate),
            })
        }
    }
}

fn version(sources: &[Arc<MediaIndex>], target: MediaTime) -> Version {
    let mut hash = Fnv::new();
    hash.field(&LAYOUT_REVISION.to_be_bytes());
    hash.field(&target.as_millis().to_be_bytes());
    // What carries nothing changes nothing: a broken rendition may be replaced by another one.
    for source in sources.iter().filter(|source| !source.tracks().is_empty()) {
        source.source().mix_into(&mut hash);
    }
    Version(hash.finish())
}
