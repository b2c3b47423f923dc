//! Rules that compare what an MPD says with the media.

use crate::dash::addressing::Segment as Listed;
use crate::dash::values::{duration, frame_rate};
use crate::dash::{Presentation, Representation};
use crate::media::{Kind, Segment, Span, codec};
use crate::rule::{Rule, rules};
use crate::verdict::Findings;

pub(super) static RULES: &[Rule] = rules![
    "dash-timeline-true" Must Dash "5.3.9.6" "A segment begins and lasts as its SegmentTimeline says, to within a tick of either timescale; the last may be stated a frame longer." Dash(timeline);
    "dash-duration-true" Must Dash "5.3.9.2.2" "Without a timeline, a segment begins within half its nominal duration of its nominal time." Dash(nominal);
    "dash-codecs-true" Must Dash "5.3.7.2" "codecs names every format of the media, as its configuration says." Dash(codecs);
    "dash-size-true" Must Dash "5.3.7.2" "width and height are those of the video." Dash(size);
    "dash-frame-rate-true" Should Dash "5.3.7.2" "frameRate is that of the video." Dash(frames);
    "dash-sampling-rate-true" Should Dash "5.3.7.2" "audioSamplingRate is that of the audio." Dash(sampling_rate);
    "dash-channels-true" Should Dash "5.8.5.4" "An AudioChannelConfiguration with a plain number gives the channels that the audio has." Dash(channels);
    "dash-sap-true" Must Dash "5.3.7.2" "With startWithSAP 1 or 2 decoding can begin at every segment." Dash(sap);
    "dash-alignment-true" Must Dash "5.3.3.2" "With segmentAlignment the segments of all representations of a set begin at the same times." Dash(alignment);
    "dash-bandwidth-true" Must Dash "5.3.5.2" "After minBufferTime, a channel of bandwidth bits a second delivers every sample in time, whichever segment one begins with." Dash(bandwidth);
    "dash-index-true" Must Dash "6.3.4.4" "indexRange holds one sidx, which says where the segments are, when they begin and how long they last." Dash(index);
    "dash-index-sap" Must Dash "5.3.3.2" "With subsegmentStartsWithSAP 1 or 2 the sidx marks every subsegment as starting with a SAP, and they do." Dash(index_sap);
    "dash-self-contained" Must Dash "6.3.4.2" "A media segment is one or more whole movie fragments." Dash(self_contained);
];

/// Sampled segments with what the MPD says of each.
fn each(found: &Representation) -> impl Iterator<Item = (&Segment, &Listed, Span)> {
    found.stream.segments.iter().filter_map(|segment| {
        let listed = found.segments.get(segment.index)?;
        Some((segment, listed, segment.main_span(&found.stream)?))
    })
}

/// One tick of the coarser clock, and a little for the division.
fn tick(found: &Representation, span: &Span) -> f64 {
    let coarse = span.seconds(1.0).max(found.seconds(1.0));
    coarse * 1.01 + 1e-6
}

/// By how much a segment may be stated as longer than its media: the last may by a frame, for its
/// last picture stays until the presentation ends.
fn longest(found: &Representation, segment: &Segment, span: &Span, tick: f64) -> f64 {
    let last = segment.index + 1 == found.segments.len();
    if last { tick + span.sample_seconds() } else { tick }
}

fn timeline(dash: &Presentation, findings: &mut Findings) {
    for found in &dash.representations {
        if found.addressing.timeline.is_none() || found.stream.pictures {
            continue;
        }
        for (segment, listed, span) in each(found).filter(|(.., span)| span.exact) {
            let (Some(time), Some(ticks)) = (listed.time, listed.ticks) else { continue };
            let (time, ticks) = (found.seconds(time as f64), found.seconds(ticks as f64));
            let (start, lasts) = (span.begins(), span.shown_seconds());
            // A writer may count in decode times: then all are late alike.
            let decode = span.seconds(span.start as f64);
            let tick = tick(found, &span);
            let near = (start - time).abs() <= tick || (decode - time).abs() <= tick;
            let long = longest(found, segment, &span, tick);
            findings.expect(
                near && lasts - ticks <= tick && ticks - lasts <= long,
                || &segment.place,
                || {
                    format!(
                        "stated {time:.6} s for {ticks:.6} s, media {start:.6} s for {lasts:.6} s"
                    )
                },
            );
        }
    }
}

fn nominal(dash: &Presentation, findings: &mut Findings) {
    for found in &dash.representations {
        let addressing = &found.addressing;
        let (Some(step), None) = (addressing.duration, &addressing.timeline) else { continue };
        let step = found.seconds(step as f64);
        for (segment, _, span) in each(found) {
            let expected = step * segment.index as f64 + found.seconds(addressing.offset as f64);
            let start = span.begins();
            let what = || format!("nominally {expected:.3} s, in the media {start:.3} s");
            findings.expect(
                (start - expected).abs() <= step / 2.0 + 0.001,
                || &segment.place,
                what,
            );
        }
    }
}

fn codecs(dash: &Presentation, findings: &mut Findings) {
    for found in dash.representations.iter().filter(|found| !found.codecs().is_empty()) {
        for (place, movie) in found.stream.movies() {
            for (track, entry) in movie.entries() {
                let Some(real) = entry.codec.as_ref().filter(|_| track.kind() != Kind::Other)
                else {
                    continue;
                };
                let stated = found.codecs();
                findings.expect(
                    stated.iter().any(|stated| codec::same(stated, real)),
                    || dash.representation(found),
                    || format!("{place} has {real}, codecs is `{}`", stated.join(",")),
                );
            }
        }
    }
}

fn size(dash: &Presentation, findings: &mut Findings) {
    for found in &dash.representations {
        let (Some(width), Some(height)) =
            (found.element.number("width"), found.element.number("height"))
        else {
            continue;
        };
        for (place, movie) in found.stream.movies() {
            let video = movie.entries().filter(|(track, _)| track.kind() == Kind::Video);
            for (track, entry) in video {
                let coded = (u64::from(entry.size.0), u64::from(entry.size.1));
                let shown = (u64::from(track.shown.0), u64::from(track.shown.1));
                let same = (width, height) == coded || (width, height) == shown;
                findings.expect(
                    same,
                    || dash.representation(found),
                    || format!("{width}x{height}, and {place} has {}x{}", coded.0, coded.1),
                );
            }
        }
    }
}

fn frames(dash: &Presentation, findings: &mut Findings) {
    for found in dash.representations.iter().filter(|found| !found.stream.pictures) {
        let Some(stated) = found.element.get("frameRate").and_then(frame_rate) else { continue };
        let (mut samples, mut seconds) = (0, 0.0);
        for (.., span) in each(found).filter(|(.., span)| span.kind == Kind::Video) {
            samples += span.samples;
            seconds += span.duration_seconds();
        }
        if seconds > 0.0 {
            let real = f64::from(u32::try_from(samples).unwrap_or(u32::MAX)) / seconds;
            let what = || format!("{stated:.3} stated, {real:.3} in the media");
            let near = (real - stated).abs() <= stated * 0.02;
            findings.expect(near, || dash.representation(found), what);
        }
    }
}

fn sampling_rate(dash: &Presentation, findings: &mut Findings) {
    for found in &dash.representations {
        let Some(stated) = found.element.number("audioSamplingRate") else { continue };
        for (place, movie) in found.stream.movies() {
            for (_, entry) in movie.entries().filter(|(track, _)| track.kind() == Kind::Audio) {
                let real = u64::from(entry.sample_rate);
                // HE-AAC: the entry may give the rate of its core.
                let near = real == stated || real * 2 == stated || real == 0;
                let what = || format!("{stated}, and {real} in {place}");
                findings.expect(near, || dash.representation(found), what);
            }
        }
    }
}

fn channels(dash: &Presentation, findings: &mut Findings) {
    const PLAIN: [&str; 2] = [
        "urn:mpeg:dash:23003:3:audio_channel_configuration:2011",
        "urn:mpeg:mpegB:cicp:ChannelConfiguration",
    ];
    // ISO/IEC 23091-3: channels of each configuration.
    const COUNTS: [u32; 20] = [0, 1, 2, 3, 4, 5, 6, 8, 0, 3, 4, 7, 8, 24, 8, 12, 10, 12, 14, 12];
    for found in &dash.representations {
        let configurations = found
            .element
            .all("AudioChannelConfiguration")
            .chain(found.set_element.all("AudioChannelConfiguration"));
        for element in configurations {
            let scheme = element.get("schemeIdUri").unwrap_or("");
            let count = element.number("value").filter(|_| PLAIN.contains(&scheme));
            let count = count.and_then(|index| COUNTS.get(usize::try_from(index).ok()?).copied());
            let Some(count) = count.filter(|count| *count > 0) else { continue };
            for (place, movie) in found.stream.movies() {
                for (_, entry) in movie.entries().filter(|(track, _)| track.kind() == Kind::Audio) {
                    let Some(real) = entry.channels() else { continue };
                    let what = || format!("{count} channels, and {real} in {place}");
                    findings.expect(count == real, || dash.at(element.line), what);
                }
            }
        }
    }
}

fn sap(dash: &Presentation, findings: &mut Findings) {
    for found in &dash.representations {
        let stated = found.element.number("startWithSAP");
        if !stated.is_some_and(|sap| (1..=2).contains(&sap)) {
            continue;
        }
        for (segment, _, span) in each(found) {
            let Some(starts) = span.starts_independent() else { continue };
            findings.expect(
                starts,
                || &segment.place,
                || "it starts with a sample that needs others",
            );
        }
    }
}

fn alignment(dash: &Presentation, findings: &mut Findings) {
    for first in &dash.representations {
        let aligned = ["segmentAlignment", "subsegmentAlignment"].iter().any(|name| {
            first.set_element.get(name).is_some_and(|value| matches!(value, "true" | "1"))
        });
        let place = (first.period, first.set);
        let is_first = dash
            .representations
            .iter()
            .find(|other| (other.period, other.set) == place)
            .is_some_and(|found| std::ptr::eq(found, first));
        if !aligned || !is_first {
            continue;
        }
        let others = dash
            .representations
            .iter()
            .filter(|other| (other.period, other.set) == place && !std::ptr::eq(*other, first));
        for other in others {
            let count = (first.segments.len(), other.segments.len());
            findings.expect(
                count.0 == count.1,
                || dash.representation(other),
                || format!("{} segments, and {} in {}", count.1, count.0, first.id),
            );
            for (segment, _, span) in each(other) {
                let twin = each(first).find(|(twin, ..)| twin.index == segment.index);
                let Some((.., twin)) = twin else { continue };
                let (a, b) = (twin.begins(), span.begins());
                let near = (a - b).abs() <= tick(first, &twin).max(tick(other, &span));
                let what = || format!("{b:.6} s, and {a:.6} s in {}", first.id);
                findings.expect(near, || &segment.place, what);
            }
        }
    }
}

/// A leaky bucket that is filled at `@bandwidth`: beginning with any segment, what has to be there
/// by the time of a sample is never more than what has come since, with `minBufferTime` of a head
/// start.
fn bandwidth(dash: &Presentation, findings: &mut Findings) {
    let buffer = dash.mpd().and_then(|mpd| mpd.get("minBufferTime")).and_then(duration);
    let Some(buffer) = buffer else { return };
    for found in &dash.representations {
        let Some(rate) = found.bandwidth().filter(|rate| *rate > 0) else { continue };
        let mut bucket = Bucket { rate: rate as f64, ..Bucket::default() };
        for (segment, _, span) in each(found) {
            bucket.begin(segment.index);
            let samples = samples(segment, &span);
            let payload: f64 = samples.iter().map(|(bits, _)| bits).sum();
            // Headers come before the first sample.
            bucket.take(segment.bytes as f64 * 8.0 - payload, &segment.place);
            for (bits, seconds) in samples {
                bucket.take(bits, &segment.place);
                bucket.clock += seconds;
            }
        }
        let Some((worst, place)) = bucket.worst else { continue };
        let late = worst - buffer;
        findings.expect(
            late <= 0.001,
            || dash.representation(found),
            || {
                let wanted = format!("at {rate} bit/s and with {buffer} s of buffer");
                format!("{wanted}, a sample of {place} comes {late:.3} s late")
            },
        );
    }
}

/// Bits and seconds of each sample; of the whole where there are none to be seen.
fn samples(segment: &Segment, span: &Span) -> Vec<(f64, f64)> {
    let trafs = segment.fragments().into_iter().flat_map(|fragments| &fragments.moofs);
    let samples = trafs.flat_map(|moof| &moof.trafs).flat_map(|traf| &traf.samples);
    let found: Vec<_> = samples
        .map(|sample| (f64::from(sample.size) * 8.0, span.seconds(f64::from(sample.duration))))
        .collect();
    if found.is_empty() { vec![(0.0, span.duration_seconds())] } else { found }
}

/// Bits and time since the first segment of a run of neighbours.
#[derive(Default)]
struct Bucket<'a> {
    rate: f64,
    bits: f64,
    clock: f64,
    last: Option<usize>,
    /// How far, in seconds, bits were ahead of time at the start that is best to begin with.
    lowest: f64,
    /// The longest that a sample has to be waited for, and where.
    worst: Option<(f64, &'a str)>,
}

impl<'a> Bucket<'a> {
    fn ahead(&self) -> f64 {
        self.bits / self.rate - self.clock
    }

    fn begin(&mut self, index: usize) {
        let follows = self.last.is_some_and(|last| index == last + 1);
        self.last = Some(index);
        let ahead = self.ahead();
        self.lowest = if follows { self.lowest.min(ahead) } else { ahead };
    }

    fn take(&mut self, bits: f64, place: &'a str) {
        self.bits += bits;
        let wait = self.ahead() - self.lowest;
        if self.worst.is_none_or(|(worst, _)| wait > worst) {
            self.worst = Some((wait, place));
        }
    }
}

fn index(dash: &Presentation, findings: &mut Findings) {
    for found in &dash.representations {
        let Some(index) = &found.index else { continue };
        let place = || dash.representation(found);
        let index = match index {
            Ok(index) => index,
            Err(error) => {
                findings.broke(place(), error);
                continue;
            }
        };
        let nested = index.references.iter().any(|reference| reference.index);
        findings.expect(!nested, place, || "it refers to further indexes");
        for (segment, listed, span) in each(found) {
            let (Some(time), Some(ticks)) = (listed.time, listed.ticks) else { continue };
            let (time, ticks) = (found.seconds(time as f64), found.seconds(ticks as f64));
            let (start, lasts) = (span.begins(), span.shown_seconds());
            let tick = tick(found, &span);
            let long = longest(found, segment, &span, tick);
            findings.expect(
                (start - time).abs() <= tick && lasts - ticks <= tick && ticks - lasts <= long,
                || &segment.place,
                || {
                    format!(
                        "index {time:.6} s for {ticks:.6} s, media {start:.6} s for {lasts:.6} s"
                    )
                },
            );
        }
    }
}

fn index_sap(dash: &Presentation, findings: &mut Findings) {
    for found in &dash.representations {
        let stated = found.set_element.number("subsegmentStartsWithSAP");
        let Some(Ok(index)) =
            found.index.as_ref().filter(|_| stated.is_some_and(|sap| (1..=2).contains(&sap)))
        else {
            continue;
        };
        let unmarked =
            index.references.iter().filter(|reference| !reference.starts_with_sap).count();
        let what = || format!("{unmarked} are not marked");
        findings.expect(unmarked == 0, || dash.representation(found), what);
        for (segment, _, span) in each(found) {
            let Some(starts) = span.starts_independent() else { continue };
            findings.expect(
                starts,
                || &segment.place,
                || "it starts with a sample that needs others",
            );
        }
    }
}

fn self_contained(dash: &Presentation, findings: &mut Findings) {
    for found in &dash.representations {
        for segment in &found.stream.segments {
            let Some(fragments) = segment.fragments() else { continue };
            let whole = fragments.moofs.iter().all(|moof| !moof.data.is_empty());
            findings.expect(whole, || &segment.place, || "a moof without an mdat");
        }
    }
}
