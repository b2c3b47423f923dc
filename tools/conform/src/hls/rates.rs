//! Measured bit rates of a media playlist (RFC 8216bis §4.1, peak and average segment bit rate).

use super::MediaPlaylist;

/// Peak and average over the sampled segments, in bits per second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Rates {
    pub(crate) peak: f64,
    pub(crate) average: f64,
    /// Whether every segment was measured.
    pub(crate) complete: bool,
}

/// The peak is the largest rate of any contiguous set of segments that lasts between 0.5 and 1.5
/// target durations. `None` where nothing could be measured.
pub(crate) fn measure(media: &MediaPlaylist) -> Option<Rates> {
    let target = media.playlist.number("EXT-X-TARGETDURATION")? as f64;
    let segments: Vec<(usize, f64, f64)> = media
        .stream
        .segments
        .iter()
        .filter_map(|segment| Some((segment.index, segment.bytes as f64 * 8.0, segment.stated?)))
        .filter(|(.., seconds)| *seconds > 0.0)
        .collect();
    let seconds: f64 = segments.iter().map(|(.., seconds)| seconds).sum();
    let bits: f64 = segments.iter().map(|(_, bits, _)| bits).sum();
    if seconds <= 0.0 {
        return None;
    }
    let mut peak: Option<f64> = None;
    for (at, (first, ..)) in segments.iter().enumerate() {
        let (mut bits, mut seconds) = (0.0, 0.0);
        for (step, (index, more, longer)) in segments.iter().skip(at).enumerate() {
            if *index != first + step {
                break;
            }
            bits += more;
            seconds += longer;
            if seconds > 1.5 * target {
                break;
            }
            if seconds >= 0.5 * target {
                peak = Some(peak.unwrap_or(0.0).max(bits / seconds));
            }
        }
    }
    let average = bits / seconds;
    // A presentation shorter than half a target duration has no such set: it is the set.
    Some(Rates { peak: peak.unwrap_or(average), average, complete: media.stream.complete })
}
