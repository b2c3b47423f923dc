//! How segments are found: `SegmentTemplate` with `SegmentTimeline` (ISO/IEC 23009-1 §5.3.9.4 and
//! §5.3.9.6), or `SegmentBase` with a segment index (§5.3.9.2).

use super::mpd::Addressing;
use super::xml::{Attribute, Xml};
use crate::media::Media;
use crate::segments::SegmentSpan;
use crate::track::Track;
use crate::track_file::FileKind;

/// The template of a representation whose segments these are.
pub(super) fn template(
    xml: &mut Xml,
    media: &Media,
    track: &Track,
    spans: &[SegmentSpan],
    addressing: Addressing,
) {
    let hz = track.timescale.get();
    let offset = u64::from(media.start_offset_seconds()) * u64::from(hz);
    let version = media.version();
    let initialization = format_args!("{version}/$RepresentationID$/init.mp4");
    let mut attributes =
        vec![Attribute("timescale", &hz), Attribute("presentationTimeOffset", &offset)];
    let by_time = format!("{version}/$RepresentationID$/t$Time$.m4s");
    let by_number = format!("{version}/$RepresentationID$/$Number$.m4s");
    let url = if addressing == Addressing::Time {
        &by_time
    } else {
        attributes.push(Attribute("startNumber", &1));
        &by_number
    };
    attributes.push(Attribute("initialization", &initialization));
    attributes.push(Attribute("media", url));
    xml.open("SegmentTemplate", &attributes);
    timeline(xml, spans);
    xml.close();
}

fn timeline(xml: &mut Xml, spans: &[SegmentSpan]) {
    xml.open("SegmentTimeline", &[]);
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
}

/// The file of a track and where its index is; nothing where there is no such file.
pub(super) fn base(xml: &mut Xml, media: &Media, track: &Track, kind: FileKind) {
    let Some(map) = media.file_map(track.id, kind) else { return };
    let hz = track.timescale.get();
    let offset = u64::from(media.start_offset_seconds()) * u64::from(hz);
    let folder = match kind {
        FileKind::Segments => "",
        FileKind::IFrames => ".iframes",
    };
    xml.text("BaseURL", &format!("{}/{}{folder}/track.mp4", media.version(), track.id));
    let index = format_args!("{}-{}", map.index.start, map.index.end - 1);
    xml.open(
        "SegmentBase",
        &[
            Attribute("timescale", &hz),
            Attribute("presentationTimeOffset", &offset),
            Attribute("indexRange", &index),
        ],
    );
    let init = format_args!("{}-{}", map.init.start, map.init.end - 1);
    xml.empty("Initialization", &[Attribute("range", &init)]);
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

#[cfg(test)]
mod tests {
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
}
