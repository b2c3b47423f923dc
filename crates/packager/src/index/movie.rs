//! From the bytes of a `moov` to the tracks that can be carried (ISO/IEC 14496-12 §8.2 to §8.7).

use std::collections::BTreeSet;

use bytes::Bytes;

use super::cuts;
use super::joined::{Joined, JoinedTrack};
use super::peek::Pending;
use super::table::{Bounds, Built, SampleTable};
use super::{TrackIndex, TrackSamples};
use crate::codec::{self, Codec, Found};
use crate::error::{Error, Result};
use crate::isobmff::elst::{self, Edit};
use crate::isobmff::hdlr::Hdlr;
use crate::isobmff::kind;
use crate::isobmff::mdhd::{self, Mdhd};
use crate::isobmff::tkhd::Tkhd;
use crate::isobmff::trex::Trex;
use crate::isobmff::{Budget, Children, FourCc, children, dref, elng, mvhd, stsd, trex};
use crate::language;
use crate::limits::Limits;
use crate::report::Report;
use crate::role::Role;
use crate::track::TrackMedia;
use crate::units::{ByteRange, Timescale};

/// What a movie box holds.
#[derive(Debug)]
pub(super) struct Movie {
    pub(super) timescale: Timescale,
    pub(super) tracks: Vec<TrackIndex>,
    pub(super) report: Report,
}

/// The defaults for fragments (§8.8.1); `None` where the movie says that there are none.
pub(super) fn fragment_defaults(payload: &[u8], budget: &mut Budget) -> Result<Option<Vec<Trex>>> {
    let Some(mvex) = children(payload, budget)?.get(b"mvex") else { return Ok(None) };
    let boxes = children(mvex, budget)?;
    Ok(Some(boxes.all(b"trex").filter_map(|child| trex::read(child.payload)).collect()))
}

/// Reads the payload of a `moov` that lies at `moov` in a file of `file` bytes. `joined` are its
/// samples together with those of its fragments, where it has any.
pub(super) fn read(
    payload: &[u8],
    moov: ByteRange,
    file: u64,
    joined: Option<&Joined>,
    limits: &Limits,
    budget: &mut Budget,
) -> Result<Movie> {
    let boxes = children(payload, budget)?;
    let timescale = mvhd::timescale(boxes.require(b"mvhd", b"moov", None)?).ok_or(malformed(
        b"mvhd",
        None,
        "it has no timescale",
    ))?;
    let traks: Vec<_> = boxes.all(b"trak").collect();
    if traks.len() > limits.max_tracks as usize {
        return Err(Error::Limit { what: "tracks", limit: u64::from(limits.max_tracks) });
    }
    let report = Report::new();
    let mut reader = Reader {
        movie_timescale: timescale,
        moov,
        file,
        joined,
        limits,
        budget,
        report,
        mono: 0,
        broken: None,
    };
    let mut tracks: Vec<TrackIndex> = Vec::new();
    for trak in &traks {
        match reader.track(trak.payload)? {
            Outcome::Track(track) if tracks.iter().any(|other| other.number == track.number) => {
                return Err(malformed(
                    b"tkhd",
                    Some(track.number),
                    "two tracks have the same number",
                ));
            }
            Outcome::Track(track) => tracks.push(*track),
            Outcome::Skipped => {}
            Outcome::NoSamples(track) => reader.report.skip(track, "it has no samples"),
        }
    }
    if reader.mono > 1 {
        let message = format!(
            "{} of its sound tracks have one channel each and play together (multi-mono): \
             transcode them to one track; each is a sound of its own here",
            reader.mono
        );
        reader.report.warn(None, message);
    }
    let mut report = reader.report;
    if let Some(error) = reader.broken.filter(|_| tracks.is_empty()) {
        return Err(error);
    }
    if tracks.is_empty() {
        return Err(if traks.is_empty() {
            Error::NoUsableTrack("it has none".to_owned())
        } else {
            Error::NoUsableTrack(report.to_string())
        });
    }
    cuts::settle(&mut tracks, timescale, file, limits, reader.budget, &mut report)?;
    Ok(Movie { timescale, tracks, report })
}

enum Outcome {
    Track(Box<TrackIndex>),
    Skipped,
    NoSamples(u32),
}

struct Reader<'a> {
    movie_timescale: Timescale,
    moov: ByteRange,
    file: u64,
    joined: Option<&'a Joined>,
    limits: &'a Limits,
    budget: &'a mut Budget,
    report: Report,
    /// How many sounds of one channel are no alternatives to each other.
    mono: u32,
    /// The first sample entry that could not be read.
    broken: Option<Error>,
}

impl Reader<'_> {
    fn track(&mut self, trak: &[u8]) -> Result<Outcome> {
        let boxes = children(trak, self.budget)?;
        let tkhd = Tkhd::read(boxes.require(b"tkhd", b"trak", None)?).ok_or(malformed(
            b"tkhd",
            None,
            "it is cut short",
        ))?;
        let number = tkhd.track;
        let track = Some(number);
        let mdia = children(boxes.require(b"mdia", b"trak", track)?, self.budget)?;
        let hdlr = Hdlr::read(mdia.require(b"hdlr", b"mdia", track)?).ok_or(malformed(
            b"hdlr",
            track,
            "it is cut short",
        ))?;
        let minf = children(mdia.require(b"minf", b"mdia", track)?, self.budget)?;
        let stbl = children(minf.require(b"stbl", b"minf", track)?, self.budget)?;
        let stsd = stbl.require(b"stsd", b"stbl", track)?;
        let Some(entries) = stsd::entries(stsd, self.budget)? else {
            return Err(malformed(b"stsd", track, "it holds no sample entry"));
        };
        let [entry, ..] = entries.as_slice() else {
            return Err(malformed(b"stsd", track, "it holds no sample entry"));
        };
        let media = TrackMedia::of_handler(hdlr.handler);
        if media == Some(TrackMedia::Audio)
            && tkhd.enabled
            && tkhd.alternate_group == 0
            && codec::stated_channels(*entry, self.budget)? == 1
        {
            self.mono += 1;
        }
        let found = match codec::identify(hdlr.handler, *entry, number, None, self.budget) {
            // One track that makes no sense takes nothing from the others.
            Err(error @ (Error::BadBox { .. } | Error::MissingBox { .. })) => {
                let reason = error.to_string();
                self.broken.get_or_insert(error);
                Found::Skip(reason)
            }
            found => found?,
        };
        let (codec, pending) = match found {
            Found::Carry(codec) | Found::CarryIf(codec, _) => (codec, None),
            Found::Peek(wants) => {
                let entry = Bytes::copy_from_slice(entry.whole);
                let pending = Pending { handler: hdlr.handler, entry, wants };
                (Codec::unknown(media == Some(TrackMedia::Video)), Some(Box::new(pending)))
            }
            Found::Skip(reason) => {
                self.report.skip_media(number, media, &reason);
                return Ok(Outcome::Skipped);
            }
        };
        if !self.is_in_this_file(&minf, entry.payload)? {
            self.report.skip(number, "its samples are in another file");
            return Ok(Outcome::Skipped);
        }
        let mdhd = Mdhd::read(mdia.require(b"mdhd", b"mdia", track)?).ok_or(malformed(
            b"mdhd",
            track,
            "it has no timescale",
        ))?;
        let bounds = Bounds {
            track: number,
            file: self.file,
            moov: self.moov,
            max_samples: self.limits.max_samples,
            max_bytes: self.file,
        };
        let joined = self.joined.and_then(|joined| joined.track(number));
        let table = match self.table(&stbl, joined, &bounds)? {
            Built::Table(table) => table,
            Built::Empty => return Ok(Outcome::NoSamples(number)),
            Built::ManyDescriptions => {
                self.report.skip(
                    number,
                    "it changes its sample description on the way, which is not carried yet",
                );
                return Ok(Outcome::Skipped);
            }
        };
        let longest = u64::from(self.limits.max_duration_seconds) * u64::from(mdhd.timescale.get());
        if table.duration() > longest {
            return Err(Error::Limit {
                what: "seconds of one track",
                limit: u64::from(self.limits.max_duration_seconds),
            });
        }
        for warning in &codec.warnings {
            self.report.warn(track, *warning);
        }
        let mut edits = self.edits(&boxes, number, &mdhd)?;
        if joined.is_some()
            && let Some(last) = edits.last_mut()
            && !last.is_empty()
        {
            // It was written when the fragments were not: it goes on to the end (§8.6.6.1).
            last.duration = 0;
        }
        let start = joined.map_or(0, |joined| joined.start);
        Ok(Outcome::Track(Box::new(TrackIndex {
            number,
            timescale: mdhd.timescale,
            packed_language: if mdhd::unpack_language(mdhd.language).is_some() {
                mdhd.language
            } else {
                mdhd::UNDETERMINED
            },
            language: language::tag(mdhd.language, mdia.get(b"elng").and_then(elng::tag)),
            name: self.name(&boxes, hdlr.name)?,
            roles: self.roles(&boxes)?,
            enabled: tkhd.enabled,
            alternate_group: tkhd.alternate_group,
            rotation: tkhd.rotation(),
            matrix: tkhd.matrix,
            edits,
            stated_edits: None,
            codec,
            pending,
            start: i64::try_from(start).unwrap_or(i64::MAX),
            samples: TrackSamples::from_table(table),
        })))
    }

    /// The samples of the movie box, or all of them where there are fragments.
    fn table(
        &mut self,
        stbl: &Children<'_>,
        joined: Option<&JoinedTrack>,
        bounds: &Bounds,
    ) -> Result<Built> {
        let Some(joined) = joined else { return SampleTable::build(stbl, bounds) };
        if joined.ignored_times > 0 {
            self.report.warn(
                Some(bounds.track),
                format!(
                    "the times of {} of its fragments go back and were not followed",
                    joined.ignored_times
                ),
            );
        }
        let tables = joined.stbl();
        SampleTable::build(&children(&tables, self.budget)?, bounds)
    }

    fn is_in_this_file(&mut self, minf: &Children<'_>, entry: &[u8]) -> Result<bool> {
        let (Some(dinf), Some(reference)) = (minf.get(b"dinf"), stsd::data_reference(entry)) else {
            return Ok(true);
        };
        match children(dinf, self.budget)?.get(b"dref") {
            Some(dref) => dref::is_self_contained(dref, reference, self.budget),
            None => Ok(true),
        }
    }

    /// The edit list; one that is damaged or absurd is told and not followed.
    fn edits(&mut self, trak: &Children<'_>, number: u32, mdhd: &Mdhd) -> Result<Box<[Edit]>> {
        let Some(edts) = trak.get(b"edts") else {
            return Ok(Box::default());
        };
        let Some(elst) = children(edts, self.budget)?.get(b"elst") else {
            return Ok(Box::default());
        };
        let limit = |timescale: Timescale| {
            u64::from(self.limits.max_duration_seconds) * u64::from(timescale.get())
        };
        let sane = |edit: &Edit| {
            edit.media_time >= -1
                && edit.media_time.unsigned_abs() <= limit(mdhd.timescale)
                && (!edit.is_empty() || edit.duration <= limit(self.movie_timescale))
        };
        let edits = elst::read(elst).filter(|edits| edits.iter().all(sane));
        if edits.is_none() {
            self.report.warn(Some(number), "its edit list is not usable and was passed over");
        }
        Ok(edits.unwrap_or_default().into())
    }

    /// What the track is for, in order, each once.
    fn roles(&mut self, trak: &Children<'_>) -> Result<Vec<Role>> {
        let Some(udta) = trak.get(b"udta") else { return Ok(Vec::new()) };
        let kinds = children(udta, self.budget)?;
        let known = kinds.all(b"kind").filter_map(|kind| kind::read(kind.payload));
        let roles: BTreeSet<_> =
            known.filter_map(|(scheme, value)| Role::of_kind(scheme, value)).collect();
        Ok(roles.into_iter().collect())
    }

    /// What the track is called: its title, or a handler name that is no muxer's boilerplate.
    fn name(&mut self, trak: &Children<'_>, handler: String) -> Result<Option<String>> {
        if let Some(udta) = trak.get(b"udta")
            && let Some(title) = children(udta, self.budget)?.get(b"name")
        {
            // QuickTime writes plain text, the ISO form has version and flags first.
            let title = title.strip_prefix(&[0; 4]).unwrap_or(title);
            let title = title.split(|byte| *byte == 0).next().unwrap_or_default();
            let title =
                String::from_utf8_lossy(title.get(..256).unwrap_or(title)).trim().to_owned();
            if !title.is_empty() {
                return Ok(Some(title));
            }
        }
        Ok(Some(handler).filter(|name| is_telling(name)))
    }
}

/// Whether a handler name is worth showing: not what muxers and cameras write by themselves.
fn is_telling(name: &str) -> bool {
    const PRODUCTS: [&str; 14] = [
        "handler",
        "core media",
        "gpac",
        "iso media",
        "l-smash",
        "mainconcept",
        "bento4",
        "apple ",
        "libx264",
        "google",
        "mp4box",
        "twitch",
        "vimeo",
        "imported with",
    ];
    const PLAIN: [&str; 12] = [
        "videohandle",
        "soundhandle",
        "video",
        "audio",
        "sound",
        "stereo",
        "mono",
        "vide",
        "soun",
        "track",
        "video track",
        "audio track",
    ];
    let lower = name.to_ascii_lowercase();
    !lower.is_empty()
        && !PLAIN.contains(&lower.as_str())
        && !PRODUCTS.iter().any(|product| lower.contains(product))
}

fn malformed(kind: impl Into<FourCc>, track: Option<u32>, why: &'static str) -> Error {
    Error::BadBox { kind: kind.into(), track, why }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boilerplate_is_no_name() {
        assert!(is_telling("Director's audio commentary"));
        for name in ["", "SoundHandler", "Core Media Video", "Stereo", "GPAC ISO Video Handler"] {
            assert!(!is_telling(name), "{name}");
        }
    }
}
