//! Rules about fragmented MP4: ISO/IEC 14496-12 for all of it, ISO/IEC 23000-19 (CMAF) for what
//! claims one of its brands.

use crate::media::boxes::FourCc;
use crate::media::fragment::{Fragments, Moof, Traf};
use crate::media::movie::{Movie, Track, is_cmaf};
use crate::media::{Container, Kind, Segment, Stream};
use crate::rule::{Rule, rules};
use crate::verdict::Findings;

pub(super) static RULES: &[Rule] = rules![
    "mp4-boxes" Must Bmff "4.2" "Init segments and segments are whole boxes, each within the one around it, with a moov or a moof." Media(boxes);
    "mp4-header-order" Must Cmaf "7.3.1; RFC 8216bis, 3.1.2" "An init segment starts with ftyp, then has one moov." Media(header_order);
    "mp4-extends" Must Cmaf "7.5.14; RFC 8216bis, 3.1.2" "The moov of an init segment has an mvex with one trex for each track." Media(extends);
    "mp4-no-own-samples" Must Cmaf "7.5.12; RFC 8216bis, 3.1.2" "The sample tables of an init segment are empty." Media(no_own_samples);
    "mp4-sample-entry" Must Bmff "8.5.2" "Each track has a sample entry with its codec's configuration, and a timescale." Media(sample_entry);
    "mp4-track-ids" Must Cmaf "7.5.16; RFC 8216bis, 3.1.2" "Each traf is of a track that the init segment has." Media(track_ids);
    "mp4-relative-addresses" Must Cmaf "7.5.16; RFC 8216bis, 3.1.2" "Sample data is addressed from the moof: default-base-is-moof is set, base-data-offset is absent." Media(relative);
    "mp4-decode-time" Must Cmaf "7.5.16; RFC 8216bis, 3.1.2" "Every traf has a tfdt." Media(decode_time);
    "mp4-data-inside" Must Bmff "8.8.8" "The bytes of every sample lie within the mdat that follows its moof." Media(data_inside);
    "mp4-not-empty" Must Cmaf "7.3.2.4" "Every segment has samples, and all but the last sample of a segment last longer than nothing." Media(not_empty);
    "mp4-continuous" Must Cmaf "7.3.2.2" "A segment's tfdt is the one before plus the durations of its samples." Media(continuous);
    "mp4-fragments-continuous" Must Cmaf "7.3.2.2" "Within a segment, each fragment's tfdt follows from the one before." Media(fragments_continuous);
    "mp4-sync-start" Must Cmaf "7.3.2.4" "The first sample of each segment is a sync sample, and is marked as one." Media(sync_start);
    "mp4-sync-true" Must Bmff "8.8.3.1" "What is marked as a sync sample is a picture at which decoding can begin." Media(sync_true);
    "mp4-sequence" Should Bmff "8.8.5" "Sequence numbers of movie fragments grow." Media(sequence);
    "cmaf-edit-list" Must Cmaf "7.5.13" "An edit list is a single edit at rate 1 that gives a start offset." Media(edit_list);
    "cmaf-brand" Should Cmaf "7.2" "Fragmented MP4 of one track claims one of CMAF's structural brands, cmfc or cmf2." Media(brand);
    "cmaf-minor-version" Must Cmaf "7.2" "Where a structural brand is the major brand, the minor version is 0." Media(minor_version);
    "cmaf-one-track" Must Cmaf "7.3.1" "A CMAF header has exactly one track, and each CMAF chunk one traf." Media(one_track);
    "cmaf-chunk" Must Cmaf "7.3.2.3" "Each moof of a CMAF segment is followed by its mdat." Media(chunk);
    "cmaf-run-offset" Must Cmaf "7.5.17" "Each trun of a CMAF chunk has its data offset, and is of version 0 or 1." Media(run_offset);
    "cmaf-offsets" Must Cmaf "7.5.17" "Video of the brand cmf2 uses trun version 1 and no edit list." Media(cmf2);
    "cmaf-no-file-metadata" Must Cmaf "7.5.2" "meta and udta do not occur at file level." Media(file_metadata);
];

fn each(stream: &Stream) -> impl Iterator<Item = (&Segment, &Fragments)> {
    stream.segments.iter().filter_map(|segment| Some((segment, segment.fragments()?)))
}

fn trafs(stream: &Stream) -> impl Iterator<Item = (&Segment, &Moof, &Traf)> {
    each(stream).flat_map(|(segment, fragments)| {
        let moofs = fragments.moofs.iter();
        moofs.flat_map(move |moof| moof.trafs.iter().map(move |traf| (segment, moof, traf)))
    })
}

/// Whether the rendition claims to be CMAF.
fn claims(stream: &Stream) -> bool {
    stream.movies().any(|(_, movie)| movie.is_cmaf())
        || each(stream).any(|(_, fragments)| is_cmaf(&fragments.brands))
}

fn boxes(stream: &Stream, findings: &mut Findings) {
    for init in &stream.inits {
        let error = init.movie.as_ref().err();
        findings.expect(error.is_none(), || &init.place, || error.cloned().unwrap_or_default());
    }
    for segment in &stream.segments {
        match &segment.container {
            Container::Fragments(_) => findings.seen(),
            Container::Unknown(error) => findings.broke(&segment.place, error),
            _ => {}
        }
    }
}

fn header_order(stream: &Stream, findings: &mut Findings) {
    for (place, movie) in stream.movies() {
        let count = movie.top.iter().filter(|kind| &kind.0 == b"moov").count();
        let first = movie.top.first().is_some_and(|kind| &kind.0 == b"ftyp");
        findings.expect(first && count == 1, || place, || list("boxes", &movie.top));
    }
}

fn list(what: &str, kinds: &[FourCc]) -> String {
    let kinds: Vec<String> = kinds.iter().map(ToString::to_string).collect();
    format!("{what}: {}", kinds.join(", "))
}

fn extends(stream: &Stream, findings: &mut Findings) {
    for (place, movie) in stream.movies() {
        for track in &movie.tracks {
            let count = movie.extends.iter().filter(|extends| extends.track == track.id).count();
            findings.expect(
                movie.has_mvex && count == 1,
                || place,
                || format!("track {} has {count} trex boxes", track.id),
            );
        }
    }
}

fn no_own_samples(stream: &Stream, findings: &mut Findings) {
    for (place, movie) in stream.movies() {
        for track in &movie.tracks {
            findings.expect(
                track.own_samples == 0,
                || place,
                || format!("track {} has {} entries", track.id, track.own_samples),
            );
        }
    }
}

fn sample_entry(stream: &Stream, findings: &mut Findings) {
    for (place, movie) in stream.movies() {
        if movie.tracks.is_empty() {
            findings.broke(place, "there is no track");
        }
        for track in &movie.tracks {
            findings.expect(
                entry_fault(track).is_none(),
                || place,
                || format!("track {} has {}", track.id, entry_fault(track).unwrap_or("")),
            );
        }
    }
}

fn entry_fault(track: &Track) -> Option<&'static str> {
    let media = matches!(track.kind(), Kind::Video | Kind::Audio);
    if track.timescale == 0 {
        Some("a timescale of 0")
    } else if track.entries.is_empty() {
        Some("no sample entry")
    } else if media && track.entries.iter().any(|entry| entry.codec.is_none()) {
        Some("a sample entry without a configuration that we can read")
    } else {
        None
    }
}

fn track_ids(stream: &Stream, findings: &mut Findings) {
    for (segment, _, traf) in trafs(stream) {
        let Some(movie) = stream.movie_of(segment) else { continue };
        findings.expect(
            movie.track(traf.track).is_some(),
            || &segment.place,
            || format!("track {} is not in the init segment", traf.track),
        );
    }
}

fn relative(stream: &Stream, findings: &mut Findings) {
    for (segment, _, traf) in trafs(stream) {
        findings.expect(
            traf.base_is_moof && !traf.absolute_base,
            || &segment.place,
            || {
                let (moof, base) = (traf.base_is_moof, traf.absolute_base);
                format!("default-base-is-moof {moof}, base-data-offset {base}")
            },
        );
    }
}

fn decode_time(stream: &Stream, findings: &mut Findings) {
    for (segment, _, traf) in trafs(stream) {
        let has = traf.decode_time.is_some();
        findings.expect(has, || &segment.place, || format!("none for track {}", traf.track));
    }
}

fn data_inside(stream: &Stream, findings: &mut Findings) {
    for (segment, moof, traf) in trafs(stream) {
        let outside = traf.samples.iter().position(|sample| {
            let Ok(start) = u64::try_from(sample.offset) else { return true };
            let end = start + u64::from(sample.size);
            sample.size > 0 && !moof.data.iter().any(|data| data.start <= start && end <= data.end)
        });
        findings.expect(
            outside.is_none(),
            || &segment.place,
            || {
                let number = outside.unwrap_or(0) + 1;
                format!("sample {number} of the moof at {} is outside", moof.range.start)
            },
        );
    }
}

fn not_empty(stream: &Stream, findings: &mut Findings) {
    for (segment, fragments) in each(stream) {
        let samples = fragments.moofs.iter().flat_map(|moof| &moof.trafs).flat_map(|t| &t.samples);
        let (count, zero) = samples.fold((0usize, 0usize), |(count, zero), sample| {
            (count + 1, zero + usize::from(sample.duration == 0))
        });
        findings.expect(
            count > 0 && zero <= 1,
            || &segment.place,
            || format!("{count} samples, {zero} of them without a duration"),
        );
    }
}

fn continuous(stream: &Stream, findings: &mut Findings) {
    if stream.pictures {
        return;
    }
    for (before, after) in stream.pairs() {
        let next = after.spans(stream);
        for span in before.spans(stream).iter().filter(|span| span.exact) {
            let Some(follower) = next.iter().find(|next| next.track == span.track) else {
                continue;
            };
            findings.expect(
                follower.start == span.end(),
                || &after.place,
                || {
                    format!(
                        "tfdt of track {} is {}, and the segment before ends at {}",
                        span.track,
                        follower.start,
                        span.end()
                    )
                },
            );
        }
    }
}

fn fragments_continuous(stream: &Stream, findings: &mut Findings) {
    for (segment, fragments) in each(stream).filter(|(_, fragments)| fragments.moofs.len() > 1) {
        let mut ends: Vec<(u32, u64)> = Vec::new();
        for traf in fragments.moofs.iter().flat_map(|moof| &moof.trafs) {
            let Some(start) = traf.decode_time else { continue };
            let end = start.saturating_add(traf.duration());
            let Some((_, known)) = ends.iter_mut().find(|(track, _)| *track == traf.track) else {
                ends.push((traf.track, end));
                continue;
            };
            findings.expect(
                start == *known,
                || &segment.place,
                || format!("tfdt is {start}, and the fragment before ends at {known}"),
            );
            *known = end;
        }
    }
}

fn sync_start(stream: &Stream, findings: &mut Findings) {
    for (segment, _) in each(stream) {
        for span in segment.spans(stream) {
            let starts = span.sync != Some(false);
            findings.expect(starts, || &segment.place, || format!("track {} does not", span.track));
        }
    }
}

fn sync_true(stream: &Stream, findings: &mut Findings) {
    for (segment, _, traf) in trafs(stream) {
        let (Some(first), Some(real)) = (traf.samples.first(), traf.random_access) else {
            continue;
        };
        findings.expect(
            real || !first.sync,
            || &segment.place,
            || format!("the first sample of track {} is another picture", traf.track),
        );
    }
}

fn sequence(stream: &Stream, findings: &mut Findings) {
    let numbers = each(stream).flat_map(|(segment, fragments)| {
        fragments.moofs.iter().filter_map(move |moof| Some((segment, moof.sequence?)))
    });
    let mut before = None;
    for (segment, number) in numbers {
        if let Some(last) = before {
            findings.expect(number > last, || &segment.place, || format!("{number} after {last}"));
        }
        before = Some(number);
    }
}

fn edit_list(stream: &Stream, findings: &mut Findings) {
    for (place, movie) in cmaf_movies(stream) {
        for track in &movie.tracks {
            // FFmpeg writes an empty edit of length 0 before: it changes nothing.
            let edits: Vec<_> = track
                .edits
                .iter()
                .filter(|(length, time, _)| !(*length == 0 && *time < 0))
                .collect();
            let good = match edits.as_slice() {
                [] => true,
                [(_, time, rate)] => *time >= 0 && *rate == 0x1_0000,
                _ => false,
            };
            findings.expect(good, || place, || format!("track {} has {:?}", track.id, track.edits));
        }
    }
}

fn brand(stream: &Stream, findings: &mut Findings) {
    for (place, movie) in stream.movies().filter(|(_, movie)| movie.tracks.len() == 1) {
        findings.expect(movie.is_cmaf(), || place, || list("brands", &movie.brands));
    }
}

fn cmaf_movies(stream: &Stream) -> impl Iterator<Item = (&str, &Movie)> {
    stream.movies().filter(|(_, movie)| movie.is_cmaf())
}

fn minor_version(stream: &Stream, findings: &mut Findings) {
    for (place, movie) in stream.movies() {
        if movie.brands.first().is_some_and(|major| is_cmaf(&[*major])) {
            let version = movie.minor_version;
            findings.expect(version == 0, || place, || format!("it is {version}"));
        }
    }
}

fn one_track(stream: &Stream, findings: &mut Findings) {
    for (place, movie) in cmaf_movies(stream) {
        let count = movie.tracks.len();
        findings.expect(count == 1, || place, || format!("{count} tracks"));
    }
    if claims(stream) {
        for (segment, fragments) in each(stream) {
            let most = fragments.moofs.iter().map(|moof| moof.trafs.len()).max().unwrap_or(0);
            findings.expect(most == 1, || &segment.place, || format!("{most} trafs in a moof"));
        }
    }
}

fn chunk(stream: &Stream, findings: &mut Findings) {
    if !claims(stream) {
        return;
    }
    for (segment, fragments) in each(stream) {
        let without = fragments.top.windows(2).any(|pair| match pair {
            [first, second] => &first.0 == b"moof" && &second.0 != b"mdat",
            _ => false,
        });
        let last = fragments.top.last().is_some_and(|kind| &kind.0 == b"moof");
        findings.expect(!without && !last, || &segment.place, || list("boxes", &fragments.top));
    }
}

fn run_offset(stream: &Stream, findings: &mut Findings) {
    if !claims(stream) {
        return;
    }
    for (segment, _, traf) in trafs(stream) {
        let strange = traf.run_versions.iter().any(|version| *version > 1);
        findings.expect(
            traf.runs > 0 && traf.runs_without_offset == 0 && !strange,
            || &segment.place,
            || {
                let (runs, without) = (traf.runs, traf.runs_without_offset);
                format!(
                    "{runs} runs, {without} without an offset, versions {:?}",
                    traf.run_versions
                )
            },
        );
    }
}

fn cmf2(stream: &Stream, findings: &mut Findings) {
    for (segment, _, traf) in trafs(stream) {
        let Some(movie) = stream.movie_of(segment) else { continue };
        let track = movie.track(traf.track).filter(|track| track.kind() == Kind::Video);
        let Some(track) = track.filter(|_| movie.brands.iter().any(|brand| &brand.0 == b"cmf2"))
        else {
            continue;
        };
        findings.expect(
            track.edits.is_empty() && traf.run_versions.iter().all(|version| *version == 1),
            || &segment.place,
            || format!("{} edits, trun versions {:?}", track.edits.len(), traf.run_versions),
        );
    }
}

fn file_metadata(stream: &Stream, findings: &mut Findings) {
    if !claims(stream) {
        return;
    }
    let strange = |kinds: &[FourCc]| kinds.iter().any(|kind| matches!(&kind.0, b"meta" | b"udta"));
    for (place, movie) in stream.movies() {
        findings.expect(!strange(&movie.top), || place, || list("boxes", &movie.top));
    }
    for (segment, fragments) in each(stream) {
        let top = &fragments.top;
        findings.expect(!strange(top), || &segment.place, || list("boxes", top));
    }
}
