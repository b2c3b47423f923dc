//! From the indexes of an asset's sources to one [`Media`].

use std::num::NonZeroU16;
use std::sync::{Arc, OnceLock};

use crate::codec::{Facts, Protocol};
use crate::error::{Error, Result};
use crate::frame_rate::frame_rate;
use crate::growth::Growth;
use crate::identity::{Fnv, LAYOUT_REVISION, Version};
use crate::index::{MediaIndex, TrackIndex};
use crate::ladder::{Ends, Ladder, Left};
use crate::limits::MAX_SEGMENT_SAMPLES;
use crate::media::{Media, Options, Place};
use crate::report::Report;
use crate::role::Role;
use crate::segments::{Lane, SegmentTable};
use crate::select::{self, Chosen};
use crate::timeline::{Placement, start_offset};
use crate::track::{Audio, Standing, Track, TrackId, TrackKind, TrackMedia, Video};
use crate::trick;
use crate::units::MediaTime;

pub(crate) fn assemble(sources: Vec<Arc<MediaIndex>>, options: &Options) -> Result<Media> {
    let target = options.target();
    let mut report = Report::new();
    for (number, source) in sources.iter().enumerate() {
        report.absorb(number, source.report());
    }
    let chosen = select::pictures(&sources, &options.choice, &mut report)?;
    let pictures = place(chosen, &mut report)?;
    let chosen = select::sounds(&sources, &options.choice, &mut report)?;
    let sounds = place(chosen, &mut report)?;
    if pictures.is_empty() && sounds.is_empty() {
        let why =
            if sources.is_empty() { "there are no sources".to_owned() } else { report.to_string() };
        return Err(Error::NoUsableTrack(why));
    }

    let candidates: Vec<_> = pictures.iter().map(Placed::lane).collect();
    let growth = sources.iter().filter_map(|source| source.growth()).reduce(Growth::with);
    let ends = match growth {
        Some(_) => Ends::Growing,
        None if sources.iter().any(|source| source.recording().is_some()) => Ends::Recorded,
        None => Ends::Known,
    };
    let (ladder, left) = Ladder::new(&candidates, target, ends);
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
    if ends != Ends::Growing {
        compare_durations(&pictures, &mut report);
    }

    let sound_lanes: Vec<_> = sounds.iter().map(Placed::lane).collect();
    let all = || pictures.iter().copied().chain(&sounds);
    let offset = start_offset(all().map(|p| (&p.placement, p.chosen.track.timescale())))?;
    let segments = SegmentTable::build(&ladder, &sound_lanes, target, offset, ends);
    let mut spans = (0..all().count()).flat_map(|position| segments.spans(position));
    if spans.any(|span| span.samples > MAX_SEGMENT_SAMPLES) {
        let limit = u64::from(MAX_SEGMENT_SAMPLES);
        return Err(Error::Limit { what: "samples in one segment", limit });
    }
    if segments.is_empty() && growth.is_some() {
        return Err(Error::NotYet);
    }
    let end = |(position, placed): (usize, &Placed<'_>)| {
        if growth.is_none() {
            return Some(placed.lane().end());
        }
        // What is published of it.
        let last = segments.spans(position).last()?;
        let timescale = placed.chosen.track.timescale();
        let end = i64::try_from(last.start.saturating_add(last.duration)).ok()?;
        Some(MediaTime::new(end - i64::from(offset) * i64::from(timescale.get()), timescale))
    };
    let duration = all().enumerate().filter_map(end).max().unwrap_or(MediaTime::from_millis(0));

    let growth = growth.map(|growth| growth.holding(duration));

    let mut tracks = describe(TrackMedia::Video, pictures.iter().copied());
    tracks.extend(describe(TrackMedia::Audio, sounds.iter()));
    carriage(&tracks, &mut report);
    if options.segment_key.is_some() {
        encrypted(&tracks, &mut report)?;
    }
    let places = all()
        .map(|placed| Place {
            position: placed.chosen.position,
            lead: placed.placement.lead,
            shift: placed.placement.shift,
            count: placed.placement.count,
            end: placed.placement.end,
        })
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
    // What picks make of sounds in transport streams, where sources say something else.
    let said: Vec<_> = all()
        .zip(&tracks)
        .enumerate()
        .filter(|(_, (_, track))| track.is_audio())
        .map(|(number, (placed, track))| {
            let stated = Role::audio_type(&placed.chosen.track.roles);
            (number as u64, stated, Role::audio_type(&track.roles))
        })
        .filter(|(_, stated, said)| stated != said)
        .collect();
    let version = |recorded| {
        let mut hash = version(&sources, target, options, recorded);
        for (number, _, said) in &said {
            hash.field(&number.to_be_bytes());
            hash.field(&[*said]);
        }
        hash
    };
    let recordings = || sources.iter().filter_map(|source| source.recording());
    let recorded = recordings().any(|recording| !recording.settled);
    let as_recorded = || {
        let mut version = version(true);
        // What may change as a recording grows, and would change bytes.
        version.field(&offset.to_be_bytes());
        for placed in all() {
            let Chosen { source, position, track, .. } = placed.chosen;
            version.field(&(source as u64).to_be_bytes());
            version.field(&(position as u64).to_be_bytes());
            version.field(&placed.placement.lead.to_be_bytes());
            // An edit list is followed from when there is what it plays.
            version.field(&placed.placement.shift.to_be_bytes());
            version.field(&track.start.to_be_bytes());
            version.field(&[u8::from(track.stated_edits.is_some())]);
            // Parameter sets in the samples are looked for as far as it has come.
            version.field(track.codec.sample_entry());
            if let Facts::Picture(picture) = &track.codec.facts
                && let Some(supplemental) = &picture.supplemental
            {
                version.field(&supplemental.brand.0);
            }
        }
        Version(version.finish())
    };
    let as_file = || {
        let mut version = version(false);
        // Whether that is seen depends on how many samples are compared, which is no file's own.
        let changing = all().enumerate();
        for (number, placed) in changing.filter(|(_, it)| it.chosen.track.codec.has_changing_sets())
        {
            version.field(&(number as u64).to_be_bytes());
            version.field(placed.chosen.track.codec.sample_entry());
        }
        Version(version.finish())
    };
    let (version, other_version) = match (recorded, recordings().next()) {
        (true, _) if growth.is_some() => (as_recorded(), None),
        (true, _) => (as_recorded(), Some(as_file())),
        (false, Some(_)) => (as_file(), Some(as_recorded())),
        (false, None) => (as_file(), None),
    };
    Ok(Media {
        version,
        other_version,
        tracks,
        places,
        segments,
        // The last of them is shown to the end, which is still to come.
        trick: match growth {
            None => pictures.iter().map(|placed| trick::points(placed.lane(), offset)).collect(),
            Some(_) => Vec::new(),
        },
        start_offset: offset,
        duration,
        recorded,
        growth,
        target,
        choice: options.choice.clone(),
        segment_key: options.segment_key.clone(),
        report,
        sources,
        ts: OnceLock::new(),
    })
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

/// Tells what encryption leaves of an asset: MPEG-TS, and what has a place in it.
fn encrypted(tracks: &[Track], report: &mut Report) -> Result<()> {
    let mut carried = 0;
    for track in tracks {
        let Some(why) = track.obstacle(Protocol::HlsTs) else {
            carried += 1;
            continue;
        };
        let why = format!("it is left out, for only MPEG-TS is encrypted: {why}");
        report.skip_media(track.source_track, Some(track.id.media()), &why);
        report.about(track.source);
    }
    if carried == 0 {
        return Err(Error::NoUsableTrack(report.to_string()));
    }
    report.info(
        None,
        "its segments are encrypted (AES-128): it is offered as HLS with MPEG-TS alone, without \
         DASH, byte ranges and download",
    );
    Ok(())
}

/// Tells which tracks a protocol leaves out.
fn carriage(tracks: &[Track], report: &mut Report) {
    for track in tracks {
        if let Some(why) = track.obstacle(Protocol::HlsCmaf) {
            report.warn(Some(track.source_track), format!("HLS leaves it out: {why}"));
            report.about(track.source);
        } else if let Some(why) = track.obstacle(Protocol::HlsTs) {
            let message = format!("HLS with MPEG-TS leaves out {}: {why}", track.coding);
            report.info(Some(track.source_track), message);
            report.about(track.source);
        }
    }
}

/// Whether the source says that a track is for those who ask for it.
fn is_aside(placed: &Placed<'_>) -> bool {
    let aside = [Role::Commentary, Role::Description, Role::Supplementary];
    placed.chosen.track.roles.iter().any(|role| aside.contains(role))
}

/// Whether its source would play it, or an operator says so.
fn standing(placed: &Placed<'_>) -> Standing {
    let Chosen { track, pick, .. } = placed.chosen;
    match (track.enabled || pick.is_some(), track.alternate_group) {
        (true, _) => Standing::Enabled,
        (false, 0) => Standing::Disabled,
        (false, _) => Standing::Alternative,
    }
}

fn describe<'a>(
    media: TrackMedia,
    placed: impl Iterator<Item = &'a Placed<'a>> + Clone,
) -> Vec<Track> {
    let picked = |placed: &Placed<'_>| placed.chosen.pick.is_some_and(|pick| pick.default);
    // Of equal ones it is the first.
    let rank = |(_, placed): &(usize, &Placed<'_>)| (standing(placed), is_aside(placed));
    let first = placed.clone().enumerate().min_by_key(rank).map_or(0, |(position, _)| position);
    let default = placed.clone().position(picked).unwrap_or(first);
    // Numbers end where 16 bits do; the limits on tracks and sources end long before.
    (1..=u16::MAX)
        .filter_map(NonZeroU16::new)
        .zip(placed)
        .enumerate()
        .map(|(position, (number, placed))| {
            let Chosen { track, pick, source, .. } = placed.chosen;
            let language = pick.and_then(|pick| pick.language.as_ref());
            let name = pick.and_then(|pick| pick.name.as_ref());
            Track {
                id: TrackId::new(media, number),
                kind: kind(track),
                codec: track.codec().to_owned(),
                hls_codec: track.codec.hls_string().to_owned(),
                coding: track.codec.coding,
                carriage: track.codec.carriage,
                language: language
                    .or(track.language.as_ref())
                    .filter(|tag| !tag.eq_ignore_ascii_case("und"))
                    .cloned(),
                name: name.or(track.name.as_ref()).cloned(),
                // What is picked is said of it; else what the source says.
                roles: pick
                    .map(|pick| &pick.roles)
                    .filter(|roles| !roles.is_empty())
                    .unwrap_or(&track.roles)
                    .clone(),
                score: pick.and_then(|pick| pick.score),
                timescale: track.timescale(),
                source,
                source_track: track.number(),
                default: position == default,
                standing: standing(placed),
            }
        })
        .collect()
}

fn kind(track: &TrackIndex) -> TrackKind {
    match &track.codec.facts {
        Facts::Sound(sound) => TrackKind::Audio(Audio {
            channels: sound.channels,
            sample_rate: sound.sample_rate,
            speakers: sound.speakers,
        }),
        Facts::Picture(picture) => {
            let (across, down) = picture.sample_aspect;
            let wide = u64::from(picture.width) * u64::from(across) + u64::from(down) / 2;
            let wide = u32::try_from(wide / u64::from(down.max(1))).unwrap_or(u32::MAX).max(1);
            let (display_width, display_height) = match track.rotation {
                90 | 270 => (picture.height, wide),
                _ => (wide, picture.height),
            };
            TrackKind::Video(Video {
                width: picture.width,
                height: picture.height,
                display_width,
                display_height,
                sample_aspect: picture.sample_aspect,
                rotation: track.rotation,
                frame_rate: frame_rate(track).or(picture.frame_rate),
                colour: picture.colour,
                range: picture.range,
                supplemental: picture.supplemental.clone(),
            })
        }
    }
}

/// `recorded` names recordings as they are named while they grow, and not by their state.
fn version(
    sources: &[Arc<MediaIndex>],
    target: MediaTime,
    options: &Options,
    recorded: bool,
) -> Fnv {
    let mut hash = Fnv::new();
    hash.field(&LAYOUT_REVISION.to_be_bytes());
    hash.field(&target.as_millis().to_be_bytes());
    // What carries nothing changes nothing: a broken rendition may be replaced by another one.
    for source in sources.iter().filter(|source| !source.tracks().is_empty()) {
        match source.recording().filter(|_| recorded) {
            Some(recording) => hash.field(&recording.identity.to_be_bytes()),
            None => source.source().mix_into(&mut hash),
        }
    }
    options.choice.mix_into(&mut hash);
    if let Some(key) = &options.segment_key {
        hash.field(&key.fingerprint().to_be_bytes());
    }
    hash
}
