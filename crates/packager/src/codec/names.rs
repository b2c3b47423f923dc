//! What people call the codecs and tracks that are not carried.

use crate::isobmff::FourCc;

/// Why a track of that handler and sample entry is left out, and what to do about it.
pub(super) fn skip_reason(handler: FourCc, entry: FourCc) -> String {
    if let Some(what) = data_track(entry) {
        return format!("{what} ({entry}) is not part of the presentation");
    }
    let name = codec(entry).map(|name| format!(" ({name})")).unwrap_or_default();
    match &handler.0 {
        b"vide" => not_carried(&format!("{entry}{name}"), true),
        b"soun" => not_carried(&format!("{entry}{name}"), false),
        b"subt" | b"text" | b"sbtl" | b"clcp" => {
            format!("codec {entry}{name} is not carried yet")
        }
        _ if !name.is_empty() => format!("codec {entry}{name} is not carried"),
        _ => format!("a {handler} track ({entry}) is not part of the presentation"),
    }
}

/// That a codec is not carried, and what it should be.
pub(super) fn not_carried(codec: &str, picture: bool) -> String {
    let to = if picture { "H.264, HEVC or AV1" } else { "AAC" };
    format!("codec {codec} is not carried: transcode it to {to}")
}

/// What an objectTypeIndication of pictures stands for (ISO/IEC 14496-1, registered values).
pub(super) fn visual_object(object_type: u8) -> &'static str {
    match object_type {
        0x20 => "MPEG-4 Visual",
        0x60..=0x65 => "MPEG-2 video",
        0x6a => "MPEG-1 video",
        0x6c => "JPEG",
        0x6d => "PNG",
        _ => "of a rare kind",
    }
}

/// The same of sounds.
pub(super) fn sound_object(object_type: u8) -> &'static str {
    match object_type {
        0xa9 | 0xac..=0xaf => "DTS",
        0xdd => "Vorbis",
        0xe1 => "QCELP",
        _ => "of a rare kind",
    }
}

fn data_track(entry: FourCc) -> Option<&'static str> {
    Some(match &entry.0 {
        b"tmcd" => "timecode",
        b"gpmd" => "GoPro telemetry",
        b"mebx" | b"mett" | b"metx" | b"urim" => "timed metadata",
        b"rtp " => "an RTP hint track",
        b"camm" => "camera motion",
        b"fdsc" => "GoPro recovery data",
        b"djmd" | b"dbgi" => "drone telemetry",
        b"CTMD" => "camera metadata",
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
        b"jpeg" | b"mjpa" | b"mjpb" | b"mjpg" => "JPEG",
        b"png " => "PNG",
        b"aprn" | b"aprh" => "ProRes RAW",
        b"CFHD" => "CineForm",
        b"s263" | b"h263" | b"H263" => "H.263",
        b"mp2v" | b"m2v1" | b"hdv1" | b"hdv2" | b"hdv3" | b"xdvc" | b"xd5b" | b"mx3p" | b"mx5p"
        | b"mx3n" | b"mx5n" => "MPEG-2 video",
        b"dvc " | b"dvcp" | b"dvpp" | b"dv5p" | b"dvh5" | b"dvh6" => "DV",
        b"2vuy" | b"v210" | b"yuv2" | b"v308" | b"v408" => "uncompressed",
        b"rle " => "QuickTime Animation",
        b"apch" | b"apcn" | b"apcs" | b"apco" | b"ap4h" | b"ap4x" => "ProRes",
        b"AVdn" | b"AVdh" => "DNxHD",
        b"ac-3" => "AC-3",
        b"ec-3" => "E-AC-3",
        b"ac-4" => "AC-4",
        b"Opus" => "Opus",
        b"fLaC" => "FLAC",
        b"alac" => "ALAC",
        b"apac" => "Apple Positional Audio",
        b"mlpa" => "TrueHD",
        b"QDM2" => "QDesign",
        b"ima4" => "IMA ADPCM",
        b".mp3" => "MP3",
        b"iamf" => "IAMF",
        b"mha1" | b"mha2" | b"mhm1" | b"mhm2" => "MPEG-H",
        b"dtsc" | b"dtsh" | b"dtsl" | b"dtse" | b"dtsx" => "DTS",
        b"samr" | b"sawb" => "AMR",
        b"sowt" | b"twos" | b"lpcm" | b"in24" | b"in32" | b"fl32" | b"fl64" | b"raw " | b"ipcm"
        | b"fpcm" | b"ulaw" | b"alaw" | b"NONE" => "PCM",
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
        assert_eq!(
            reason(b"vide", b"apch"),
            "codec apch (ProRes) is not carried: transcode it to H.264, HEVC or AV1"
        );
        assert_eq!(
            reason(b"soun", b"in24"),
            "codec in24 (PCM) is not carried: transcode it to AAC"
        );
        assert_eq!(
            reason(b"vide", b"zzzz"),
            "codec zzzz is not carried: transcode it to H.264, HEVC or AV1"
        );
        assert_eq!(reason(b"subt", b"stpp"), "codec stpp (TTML) is not carried yet");
        assert_eq!(reason(b"tmcd", b"tmcd"), "timecode (tmcd) is not part of the presentation");
        assert_eq!(reason(b"meta", b"zzzz"), "a meta track (zzzz) is not part of the presentation");
    }
}
