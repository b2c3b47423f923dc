//! Rules about how segments of a presentation fit together (RFC 8216bis §3, §6.2; Apple,
//! sections 7 and 8).

use crate::hls::{MediaPlaylist, Presentation, Role};
use crate::media::{Container, Kind};
use crate::rule::{Rule, rules};
use crate::verdict::Findings;

pub(super) static RULES: &[Rule] = rules![
    "hls-resources" Must Hls "6.2.1" "Everything that the playlists name can be fetched." Hls(resources);
    "hls-fmp4-map" Must Apple "8.20" "Segments of fragmented MP4 have an EXT-X-MAP, which leads to an init segment." Hls(fmp4_map);
    "hls-media-format" Must Hls "3.1" "Segments are transport streams, fragmented MP4, packed audio or WebVTT." Hls(format);
    "hls-independent" Must Hls "4.4.2.1" "With EXT-X-INDEPENDENT-SEGMENTS, decoding can begin at every segment." Hls(independent);
    "hls-one-audio" Must Apple "2.17" "A segment has one audio stream at most." Hls(one_audio);
    "hls-durations-true" Must Apple "8.1" "The EXTINF of neighbouring segments add up to the duration of their media, to within one frame." Hls(durations);
    "hls-same-length" Must Apple "8.7" "VOD playlists cover the same time, to within half a second." Hls(same_length);
    "hls-discontinuities-alike" Must Apple "8.15" "All renditions have discontinuities at the same points." Hls(discontinuities);
    "apple-boundaries" Should Apple "8.22" "Video renditions have segment boundaries at the same points." Hls(boundaries);
    "apple-video-idr" Must Apple "7.4" "Video segments start with an IDR picture." Hls(video_start);
    "apple-webvtt-map" Must Apple "5.3" "WebVTT segments have an X-TIMESTAMP-MAP." Hls(webvtt);
    "apple-key-frames" Should Apple "1.13" "Video has a key frame every two seconds, to within a frame." Hls(key_frames);
    "apple-independent-tag" Should Apple "9.11" "Where video segments start with IDR pictures, EXT-X-INDEPENDENT-SEGMENTS says so, in the multivariant playlist or in every media playlist of video." Hls(independent_tag);
];

/// How far apart boundaries and lengths may be that count as the same, in seconds.
const SAME_POINT: f64 = 0.05;
const SAME_LENGTH: f64 = 0.5;

fn resources(hls: &Presentation, findings: &mut Findings) {
    for (place, why) in &hls.missing {
        findings.broke(place, why);
    }
    findings.seen();
}

fn each(hls: &Presentation) -> impl Iterator<Item = (&MediaPlaylist, &crate::media::Segment)> {
    hls.media
        .iter()
        .flat_map(|media| media.stream.segments.iter().map(move |segment| (media, segment)))
}

fn fmp4_map(hls: &Presentation, findings: &mut Findings) {
    for (media, segment) in each(hls).filter(|(_, segment)| segment.fragments().is_some()) {
        let movie = media.stream.movie_of(segment);
        let listed = media.playlist.segments.get(segment.index).and_then(|listed| listed.map);
        findings.expect(
            movie.is_some(),
            || &segment.place,
            || {
                if listed.is_some() {
                    "EXT-X-MAP leads to no init segment"
                } else {
                    "there is none"
                }
            },
        );
    }
}

fn format(hls: &Presentation, findings: &mut Findings) {
    for (_, segment) in each(hls) {
        match &segment.container {
            Container::Unknown(error) => findings.broke(&segment.place, error),
            Container::Sealed => {}
            _ => findings.seen(),
        }
    }
}

fn independent(hls: &Presentation, findings: &mut Findings) {
    let everywhere = hls.root.has("EXT-X-INDEPENDENT-SEGMENTS");
    for media in hls.played() {
        if !everywhere && !media.playlist.has("EXT-X-INDEPENDENT-SEGMENTS") {
            continue;
        }
        for segment in &media.stream.segments {
            for span in segment.spans(&media.stream) {
                let Some(starts) = span.starts_independent() else { continue };
                let what =
                    || format!("track {} starts with a sample that needs others", span.track);
                findings.expect(starts, || &segment.place, what);
            }
        }
    }
}

fn one_audio(hls: &Presentation, findings: &mut Findings) {
    for (media, segment) in each(hls) {
        let spans = segment.spans(&media.stream);
        let count = spans.iter().filter(|span| span.kind == Kind::Audio).count();
        if !spans.is_empty() {
            findings.expect(count <= 1, || &segment.place, || format!("{count} audio streams"));
        }
    }
}

fn durations(hls: &Presentation, findings: &mut Findings) {
    for media in hls.played() {
        let (mut off, mut last): (f64, Option<usize>) = (0.0, None);
        for segment in &media.stream.segments {
            let Some(span) = segment.main_span(&media.stream) else { continue };
            let (Some(stated), true) = (segment.stated, span.samples > 0) else { continue };
            let real = span.duration_seconds();
            if last.is_none_or(|last| segment.index != last + 1) {
                off = 0.0;
            }
            last = Some(segment.index);
            off += stated - real;
            // A transport stream does not say how long its last unit lasts.
            let frame = span.sample_seconds() * if span.exact { 1.0 } else { 2.0 };
            findings.expect(
                off.abs() <= frame + 0.001,
                || &segment.place,
                || {
                    format!(
                        "EXTINF {stated:.3} s, media {real:.3} s; {off:+.3} s off since the start of \
                         the sample, a frame is {frame:.3} s"
                    )
                },
            );
            if off.abs() > frame + 0.001 {
                off = 0.0;
            }
        }
    }
}

fn same_length(hls: &Presentation, findings: &mut Findings) {
    let ended = hls
        .played()
        .filter(|media| media.role != Role::Subtitles && media.playlist.has("EXT-X-ENDLIST"));
    let lengths: Vec<_> = ended.map(|media| (media, media.playlist.duration())).collect();
    if lengths.len() < 2 {
        return;
    }
    let first = lengths.first().map_or(0.0, |(_, length)| *length);
    for (media, length) in lengths {
        let same = (length - first).abs() <= SAME_LENGTH;
        let what = || format!("{length:.3} s, and {first:.3} s in another");
        findings.expect(same, || media.playlist.place(), what);
    }
}

/// The times at which something is, counted from the start of a playlist.
fn times(media: &MediaPlaylist, of: impl Fn(&crate::hls::playlist::Segment) -> bool) -> Vec<f64> {
    let mut clock = 0.0;
    let mut found = Vec::new();
    for segment in &media.playlist.segments {
        if of(segment) {
            found.push(clock);
        }
        clock += segment.duration.unwrap_or(0.0);
    }
    found
}

fn alike(a: &[f64], b: &[f64]) -> Option<String> {
    if a.len() != b.len() {
        return Some(format!("{} of them, and {} in another", b.len(), a.len()));
    }
    let far = a.iter().zip(b).find(|(a, b)| (*a - *b).abs() > SAME_POINT)?;
    Some(format!("one at {:.3} s, and at {:.3} s in another", far.1, far.0))
}

fn discontinuities(hls: &Presentation, findings: &mut Findings) {
    let ended: Vec<_> = hls.played().filter(|media| media.playlist.has("EXT-X-ENDLIST")).collect();
    let points: Vec<_> =
        ended.iter().map(|media| (media, times(media, |segment| segment.discontinuity))).collect();
    if points.iter().all(|(_, points)| points.is_empty()) || points.len() < 2 {
        return;
    }
    let first = points.first().map_or(&[][..], |(_, points)| points.as_slice());
    for (media, points) in points.iter().skip(1) {
        let what = alike(first, points);
        findings.expect(
            what.is_none(),
            || media.playlist.place(),
            || what.clone().unwrap_or_default(),
        );
    }
}

fn boundaries(hls: &Presentation, findings: &mut Findings) {
    let video = hls.played().filter(|media| {
        media.role == Role::Variant
            && media.playlist.has("EXT-X-ENDLIST")
            && media.stream.has(Kind::Video)
    });
    let points: Vec<_> = video.map(|media| (media, times(media, |_| true))).collect();
    let Some(((_, first), others)) = points.split_first() else { return };
    for (media, points) in others {
        let what = alike(first, points);
        findings.expect(
            what.is_none(),
            || media.playlist.place(),
            || what.clone().unwrap_or_default(),
        );
    }
}

/// Whether each sampled video segment of a playlist starts with an access point; `None` where
/// there is no video that tells.
fn starts(media: &MediaPlaylist) -> Vec<(&crate::media::Segment, bool)> {
    let segments = media.stream.segments.iter();
    segments
        .filter_map(|segment| {
            let spans = segment.spans(&media.stream);
            let video = spans.iter().find(|span| span.kind == Kind::Video)?;
            Some((segment, video.starts_independent()?))
        })
        .collect()
}

fn video_start(hls: &Presentation, findings: &mut Findings) {
    for media in hls.played() {
        for (segment, good) in starts(media) {
            findings.expect(good, || &segment.place, || "it starts with another picture");
        }
    }
}

fn independent_tag(hls: &Presentation, findings: &mut Findings) {
    let everywhere = hls.root.has("EXT-X-INDEPENDENT-SEGMENTS");
    for media in hls.played() {
        let starts = starts(media);
        if !starts.is_empty() && starts.iter().all(|(_, good)| *good) {
            let says = everywhere || media.playlist.has("EXT-X-INDEPENDENT-SEGMENTS");
            findings.expect(says, || media.playlist.place(), || "nothing says so");
        }
    }
}

fn webvtt(hls: &Presentation, findings: &mut Findings) {
    for (_, segment) in each(hls) {
        if let Container::Text { mapped } = segment.container {
            findings.expect(mapped, || &segment.place, || "it has none");
        }
    }
}

fn key_frames(hls: &Presentation, findings: &mut Findings) {
    for (media, segment) in each(hls).filter(|(media, _)| media.role != Role::IFrames) {
        let (Some(fragments), Some(movie)) = (segment.fragments(), media.stream.movie_of(segment))
        else {
            continue;
        };
        for track in movie.tracks.iter().filter(|track| track.kind() == Kind::Video) {
            let trafs = fragments.moofs.iter().flat_map(|moof| &moof.trafs);
            let samples =
                trafs.filter(|traf| traf.track == track.id).flat_map(|traf| &traf.samples);
            let (mut since, mut longest, mut frame) = (0u64, 0u64, 0u32);
            for sample in samples {
                since = if sample.sync { 0 } else { since };
                since += u64::from(sample.duration);
                longest = longest.max(since);
                frame = frame.max(sample.duration);
            }
            let scale = f64::from(track.timescale.max(1));
            let (longest, frame) = (longest as f64 / scale, f64::from(frame) / scale);
            let what = || format!("{longest:.3} s without one");
            findings.expect(longest <= 2.0 + frame, || &segment.place, what);
        }
    }
}
