//! What people call the codecs and tracks that are not carried.

use crate::isobmff::FourCc;

/// Why a track of that handler and sample entry is left out.
pub(super) fn skip_reason(handler: FourCc, entry: FourCc) -> String {
    if let Some(what) = data_track(entry) {
        return format!("{what} ({entry}) is not part of the presentation");
    }
    match (codec(entry), &handler.0) {
        (Some(name), _) => format!("codec {entry} ({name}) is not carried yet"),
        (None, b"vide" | b"soun" | b"subt" | b"text" | b"sbtl" | b"clcp") => {
            format!("codec {entry} is not carried yet")
        }
        (None, _) => format!("a {handler} track ({entry}) is not part of the presentation"),
    }
}

fn data_track(entry: FourCc) -> Option<&'static str> {
    Some(match &entry.0 {
        b"tmcd" => "timecode",
        b"gpmd" => "GoPro telemetry",
        b"mebx" | b"mett" | b"metx" | b"urim" => "timed metadata",
        b"rtp " => "an RTP hint track",
        b"camm" => "camera motion",
        _ => return None,
    })
}

fn codec(entry: FourCc) -> Option<&'static str> {
    Some(match &entry.0 {
        b"hvc1" | b"hev1" => "HEVC",
        b"dvh1" | b"dvhe" | b"dva1" | b"dvav" | b"dav1" => "Dolby Vision",
        b"vvc1" | b"vvi1" => "VVC",
        b"av01" => "AV1",
        b"vp08" => "VP8",
        b"vp09" => "VP9",
        b"mp4v" => "MPEG-4 Visual",
        b"jpeg" | b"mjpa" | b"mjpb" | b"mjpg" => "JPEG",
        b"png " => "PNG",
        b"apch" | b"apcn" | b"apcs" | b"apco" | b"ap4h" | b"ap4x" => "ProRes, transcode it",
        b"AVdn" | b"AVdh" => "DNxHD, transcode it",
        b"ac-3" => "AC-3",
        b"ec-3" => "E-AC-3",
        b"ac-4" => "AC-4",
        b"Opus" => "Opus",
        b"fLaC" => "FLAC",
        b"alac" => "ALAC",
        b".mp3" => "MP3",
        b"iamf" => "IAMF",
        b"mha1" | b"mhm1" => "MPEG-H",
        b"dtsc" | b"dtsh" | b"dtsl" | b"dtse" | b"dtsx" => "DTS",
        b"samr" | b"sawb" => "AMR",
        b"sowt" | b"twos" | b"lpcm" | b"in24" | b"in32" | b"fl32" | b"fl64" | b"raw " | b"ipcm"
        | b"fpcm" | b"ulaw" | b"alaw" => "PCM, transcode it",
        b"tx3g" | b"text" => "timed text",
        b"wvtt" => "WebVTT",
        b"stpp" => "TTML",
        b"c608" | b"c708" => "closed captions",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_name_the_codec() {
        let reason =
            |handler: &[u8; 4], entry: &[u8; 4]| skip_reason(FourCc(*handler), FourCc(*entry));
        assert_eq!(reason(b"vide", b"hev1"), "codec hev1 (HEVC) is not carried yet");
        assert_eq!(reason(b"vide", b"zzzz"), "codec zzzz is not carried yet");
        assert_eq!(reason(b"tmcd", b"tmcd"), "timecode (tmcd) is not part of the presentation");
        assert_eq!(reason(b"meta", b"zzzz"), "a meta track (zzzz) is not part of the presentation");
    }
}
