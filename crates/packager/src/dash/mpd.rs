//! The MPD of an asset (ISO/IEC 23009-1 §5.3; profile isoff-live, §8.4).

use super::xml::{Attribute, Xml};
use crate::media::Media;
use crate::rates::{self, Rates};
use crate::segments::SegmentSpan;
use crate::track::Track;
use crate::units::{MediaTime, Timescale};
use crate::view::View;

/// The MPD: one adaptation set for the pictures of each coding, one for each sound.
///
/// Segments are addressed by `$Number$`, which counts from 1 as their URLs do; `$Time$` together
/// with a start number would make FFmpeg's reader skip the first one.
pub(crate) fn manifest(view: &View<'_>) -> String {
    let (media, target) = (view.media, view.target);
    let mut xml = Xml::new();
    xml.open(
        "MPD",
        &[
            Attribute("xmlns", &"urn:mpeg:dash:schema:mpd:2011"),
            Attribute("profiles", &"urn:mpeg:dash:profile:isoff-live:2011"),
            Attribute("type", &"static"),
            Attribute("mediaPresentationDuration", &duration(media.duration())),
            Attribute("maxSegmentDuration", &duration(rates::longest_segment(media))),
            Attribute("minBufferTime", &format_args!("PT{target}S")),
        ],
    );
    xml.open("Period", &[Attribute("id", &"1"), Attribute("start", &"PT0S")]);
    for (number, tracks) in (1..).zip(&adaptation_sets(view)) {
        adaptation_set(&mut xml, media, number, tracks, target);
    }
    xml.finish()
}

/// Pictures by sample entry, so that players switch only within one coding; each sound alone.
fn adaptation_sets<'a>(view: &View<'a>) -> Vec<Vec<&'a Track>> {
    let coding = |track: &Track| track.codec.split('.').next().unwrap_or_default().to_owned();
    let mut sets: Vec<Vec<&Track>> = Vec::new();
    for track in view.tracks.iter().copied() {
        let of_same_coding = sets
            .iter_mut()
            .find(|set| track.is_video() && set[0].is_video() && coding(set[0]) == coding(track));
        match of_same_coding {
            Some(set) => set.push(track),
            None => sets.push(vec![track]),
        }
    }
    sets
}

fn adaptation_set(xml: &mut Xml, media: &Media, number: u32, tracks: &[&Track], target: u64) {
    let Some(first) = tracks.first() else { return };
    let kind = if first.is_video() { "video" } else { "audio" };
    let content_type = first.content_type();
    let mut attributes = vec![
        Attribute("id", &number),
        Attribute("contentType", &kind),
        Attribute("mimeType", &content_type),
        Attribute("segmentAlignment", &true),
        Attribute("startWithSAP", &1),
    ];
    if let Some(language) = &first.language {
        attributes.push(Attribute("lang", language));
    }
    xml.open("AdaptationSet", &attributes);
    if let Some(audio) = first.audio() {
        xml.empty(
            "AudioChannelConfiguration",
            &[
                Attribute("schemeIdUri", &"urn:mpeg:dash:23003:3:audio_channel_configuration:2011"),
                Attribute("value", &audio.channels),
            ],
        );
    }
    if let Some(name) = &first.name
        && first.is_audio()
    {
        xml.text("Label", name);
    }
    let main = first.is_video() || first.default;
    xml.empty(
        "Role",
        &[
            Attribute("schemeIdUri", &"urn:mpeg:dash:role:2011"),
            Attribute("value", if main { &"main" } else { &"alternate" }),
        ],
    );
    // One timeline for the set where it is the same; a template of each representation where a
    // timescale or a duration differs.
    let shared = tracks.iter().all(|track| same_timeline(media, first, track));
    if shared {
        segment_template(xml, media, first);
    }
    for track in tracks {
        representation(xml, media, track, target, !shared);
    }
    xml.close();
}

fn representation(xml: &mut Xml, media: &Media, track: &Track, target: u64, template: bool) {
    let bandwidth = Rates::of(media, track.id, target).peak.max(1);
    let mut attributes: Vec<(&'static str, String)> = vec![
        ("id", track.id.to_string()),
        ("bandwidth", bandwidth.to_string()),
        ("codecs", track.codec.clone()),
    ];
    if let Some(video) = track.video() {
        // §5.3.7.2: the visual presentation size on the grid of @sar, so after rotation.
        let turned = matches!(video.rotation, 90 | 270);
        let swap = |(a, b): (u32, u32)| if turned { (b, a) } else { (a, b) };
        let (width, height) = swap((video.width, video.height));
        let (across, down) = swap(video.sample_aspect);
        attributes.push(("width", width.to_string()));
        attributes.push(("height", height.to_string()));
        attributes.push(("sar", format!("{across}:{down}")));
        match video.frame_rate {
            Some((frames, 1)) => attributes.push(("frameRate", frames.to_string())),
            Some((frames, seconds)) => {
                attributes.push(("frameRate", format!("{frames}/{seconds}")));
            }
            None => {}
        }
    }
    if let Some(audio) = track.audio() {
        attributes.push(("audioSamplingRate", audio.sample_rate.to_string()));
    }
    let attributes: Vec<Attribute<'_>> =
        attributes.iter().map(|(name, value)| Attribute(name, value)).collect();
    if template {
        xml.open("Representation", &attributes);
        segment_template(xml, media, track);
        xml.close();
    } else {
        xml.empty("Representation", &attributes);
    }
}

/// §5.3.9.4 and §5.3.9.6.
fn segment_template(xml: &mut Xml, media: &Media, track: &Track) {
    let hz = track.timescale.get();
    let offset = u64::from(media.start_offset_seconds()) * u64::from(hz);
    let version = media.version();
    xml.open(
        "SegmentTemplate",
        &[
            Attribute("timescale", &hz),
            Attribute("presentationTimeOffset", &offset),
            Attribute("startNumber", &1),
            Attribute("initialization", &format_args!("{version}/$RepresentationID$/init.mp4")),
            Attribute("media", &format_args!("{version}/$RepresentationID$/$Number$.m4s")),
        ],
    );
    xml.open("SegmentTimeline", &[]);
    let spans = media.spans(track.id);
    let mut expected = None;
    let mut rest = spans;
    while let Some(span) = rest.first() {
        let run = run_length(rest);
        let mut attributes: Vec<(&'static str, u64)> = Vec::with_capacity(3);
        if expected != Some(span.start) {
            attributes.push(("t", span.start));
        }
        attributes.push(("d", span.duration));
        if run > 1 {
            attributes.push(("r", run as u64 - 1));
        }
        let attributes: Vec<Attribute<'_>> =
            attributes.iter().map(|(name, value)| Attribute(name, value)).collect();
        xml.empty("S", &attributes);
        expected = rest.get(run - 1).map(|last| last.start.saturating_add(last.duration));
        rest = rest.get(run..).unwrap_or_default();
    }
    xml.close();
    xml.close();
}

/// How many segments from the first on last equally long without a gap; at least 1.
fn run_length(spans: &[SegmentSpan]) -> usize {
    1 + spans
        .windows(2)
        .take_while(|pair| {
            pair[0].duration == pair[1].duration
                && pair[0].start.checked_add(pair[0].duration) == Some(pair[1].start)
        })
        .count()
}

fn same_timeline(media: &Media, a: &Track, b: &Track) -> bool {
    let (left, right) = (media.spans(a.id), media.spans(b.id));
    a.timescale == b.timescale
        && left.len() == right.len()
        && left.iter().zip(right).all(|(x, y)| x.start == y.start && x.duration == y.duration)
}

/// An `xs:duration` in seconds, rounded up to the microsecond.
fn duration(time: MediaTime) -> String {
    const MICROS: u32 = 1_000_000;
    let micros = Timescale::new(MICROS).and_then(|micros| time.rescale_up(micros));
    format!("PT{}S", micros.unwrap_or(time).seconds(6))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    fn span(start: u64, duration: u64) -> SegmentSpan {
        SegmentSpan { start, duration, bytes: 1, first_sample: 0, samples: 1, decode_time: start }
    }

    #[test]
    fn runs_end_at_gaps_and_at_other_durations() {
        assert_eq!(run_length(&[span(0, 4)]), 1);
        assert_eq!(run_length(&[span(0, 4), span(4, 4), span(8, 4), span(12, 3)]), 3);
        assert_eq!(run_length(&[span(0, 4), span(5, 4)]), 1);
    }

    #[test]
    fn durations_never_cut_the_last_frame() {
        let third = MediaTime::new(1, Timescale::new(3).unwrap());
        assert_eq!(duration(third), "PT0.333334S");
        assert_eq!(duration(MediaTime::from_millis(30_022)), "PT30.022000S");
    }
}
