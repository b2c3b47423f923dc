//! A picture and a sound of an asset in common segments, cut where each alone is cut.

use crate::cmaf::{self, Cut};
use crate::media::Media;
use crate::pair::Pair;
use crate::plan::Plan;
use crate::segments::SegmentSpan;
use crate::track::TrackId;
use crate::units::Timescale;

impl Media {
    /// How many segments the two have together: as many as the longer one.
    pub(crate) fn muxed_count(&self, pair: Pair) -> u32 {
        self.segment_count(pair.video()).max(self.segment_count(pair.audio()))
    }

    /// The segments of both together: as long as the picture's, and as the sound's after the
    /// picture's end. Times are in ticks of the picture.
    pub(crate) fn muxed_spans(&self, pair: Pair) -> Option<Vec<SegmentSpan>> {
        let (video, audio) = (self.track(pair.video())?, self.track(pair.audio())?);
        let (pictures, sounds) = (self.spans(video.id), self.spans(audio.id));
        let mut spans = Vec::with_capacity(pictures.len().max(sounds.len()));
        for position in 0..pictures.len().max(sounds.len()) {
            let parts: Vec<(SegmentSpan, Timescale)> =
                [(pictures.get(position), video), (sounds.get(position), audio)]
                    .into_iter()
                    .filter_map(|(span, track)| Some((*span?, track.timescale)))
                    .collect();
            let Some((first, timescale)) = parts.first() else { continue };
            let rescaled = |ticks: u64| {
                let scaled = u128::from(ticks) * u128::from(video.timescale.get());
                let by = u128::from(timescale.get());
                u64::try_from((scaled + by / 2) / by).unwrap_or(u64::MAX)
            };
            let (start, end) =
                (rescaled(first.start), rescaled(first.start.saturating_add(first.duration)));
            spans.push(SegmentSpan {
                start,
                duration: end.saturating_sub(start),
                bytes: cmaf::muxed_len(&parts),
                ..*first
            });
        }
        Some(spans)
    }

    /// The init segment of both: the picture is track 1, the sound track 2.
    pub(crate) fn muxed_init(&self, pair: Pair) -> Option<Plan> {
        let (video, pictures, _) = self.found(pair.video())?;
        let (audio, sounds, _) = self.found(pair.audio())?;
        Some(cmaf::init_muxed(&[(video, pictures), (audio, sounds)]))
    }

    /// Segment `number` (from 1) of both.
    pub(crate) fn muxed_segment(&self, pair: Pair, number: u32) -> Option<Plan> {
        let lanes: Vec<_> = [(1, pair.video()), (2, pair.audio())]
            .into_iter()
            .filter_map(|(place, track)| self.muxed_lane(place, track, number))
            .collect();
        if lanes.is_empty() { None } else { Some(cmaf::muxed_segment(number, &lanes)) }
    }

    fn muxed_lane(&self, place: u32, track: TrackId, number: u32) -> Option<cmaf::MuxedLane<'_>> {
        let span = *self.span(track, number)?;
        let (track, index, placed) = self.found(track)?;
        let cut = Cut {
            number,
            source: track.source,
            samples: index.samples().range(span.first_sample..span.first_sample + span.samples),
            decode_time: span.decode_time,
            lead: placed.lead,
        };
        Some(cmaf::MuxedLane { track: place, timescale: track.timescale, span, cut })
    }
}
