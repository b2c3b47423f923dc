//! Which protocol carries which codec, and why not.
//!
//! - HLS with CMAF segments: RFC 8216bis §3.1.2 takes any codec that has a mapping to MP4, and has
//!   clients pass over variants whose `CODECS` they do not know (§4.4.6.2). So VP9 and Opus are
//!   there too: hls.js and Shaka Player play them, Apple's players since iOS 17 play Opus, and those
//!   that do not know VP9 choose nothing instead of breaking. What Apple's authoring specification
//!   does not list is told in the report. HEVC whose parameter sets change within the stream needs
//!   `hev1`, which Apple's players refuse (authoring specification 1.10), and which would fail them
//!   after they chose it: such a picture is in DASH alone.
//! - HLS with MPEG-TS: H.264, AAC in ADTS, (E-)AC-3 and MP3 (ISO/IEC 13818-1; Apple's authoring
//!   specification 1.5 forbids HEVC there).
//! - DASH: anything in CMAF (ISO/IEC 23009-1 §5.3.7.2 describes it by its codec string).

use std::fmt;

use super::Coding;

/// How a presentation is delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Protocol {
    /// HLS with CMAF segments.
    HlsCmaf,
    /// HLS with MPEG-TS segments.
    HlsTs,
    /// DASH with CMAF segments.
    Dash,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::HlsCmaf => "HLS",
            Self::HlsTs => "HLS with MPEG-TS",
            Self::Dash => "DASH",
        })
    }
}

/// Why a track is left out of a protocol; nothing where it is carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Carriage {
    hls: Option<&'static str>,
    ts: Option<&'static str>,
}

impl Carriage {
    /// Of a codec in its usual form.
    pub(crate) fn of(coding: Coding) -> Self {
        let ts = match coding {
            Coding::Avc | Coding::Aac | Coding::Ac3 | Coding::Eac3 | Coding::Mp3 => None,
            Coding::Hevc => Some("HLS has HEVC in fragmented MP4 only"),
            _ => Some("the codec has no place in MPEG-TS"),
        };
        Self { hls: None, ts }
    }

    /// Left out of HLS in any container.
    pub(crate) fn without_hls(why: &'static str) -> Self {
        Self { hls: Some(why), ts: Some(why) }
    }

    /// Left out of MPEG-TS.
    pub(crate) fn without_ts(self, why: &'static str) -> Self {
        Self { ts: Some(why), ..self }
    }

    /// Why the protocol does not carry the track; `None` where it does.
    pub(crate) fn obstacle(self, protocol: Protocol) -> Option<&'static str> {
        match protocol {
            Protocol::HlsCmaf => self.hls,
            Protocol::HlsTs => self.ts,
            Protocol::Dash => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mpeg_ts_has_the_old_codecs_alone() {
        for (coding, carried) in [
            (Coding::Avc, true),
            (Coding::Eac3, true),
            (Coding::Mp3, true),
            (Coding::Hevc, false),
            (Coding::Av1, false),
            (Coding::Opus, false),
        ] {
            let carriage = Carriage::of(coding);
            assert_eq!(carriage.obstacle(Protocol::HlsTs).is_none(), carried, "{coding}");
            assert_eq!(carriage.obstacle(Protocol::HlsCmaf), None);
            assert_eq!(carriage.obstacle(Protocol::Dash), None);
        }
    }
}
