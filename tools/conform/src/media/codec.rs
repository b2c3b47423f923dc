//! Codec strings (RFC 6381 and what each codec's binding adds) from configuration records.

#![expect(clippy::trivially_copy_pass_by_ref, reason = "byte string literals are references")]

use std::fmt::Write as _;

use super::boxes::Fields;

/// ISO/IEC 14496-15 Annex E: profile, constraints and level of `avcC`.
pub(crate) fn avc(format: &[u8; 4], record: &[u8]) -> Option<String> {
    let [_, profile, constraints, level, ..] = record else { return None };
    Some(format!("{}.{profile:02x}{constraints:02x}{level:02x}", format.escape_ascii()))
}

/// ISO/IEC 14496-15 Annex E: profile space, profile, compatibility, tier, level, constraints.
pub(crate) fn hevc(format: &[u8; 4], record: &[u8]) -> Option<String> {
    let mut fields = Fields { rest: record };
    fields.u8()?;
    let profile = fields.u8()?;
    let compatibility = fields.u32()?.reverse_bits();
    let constraints = fields.take(6)?;
    let level = fields.u8()?;
    let space = ["", "A", "B", "C"].get(usize::from(profile >> 6)).copied().unwrap_or("");
    let tier = if profile & 0x20 == 0 { 'L' } else { 'H' };
    let mut text = format!(
        "{}.{space}{}.{compatibility:x}.{tier}{level}",
        format.escape_ascii(),
        profile & 0x1f
    );
    let used = constraints.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    for byte in constraints.iter().take(used) {
        let _ = write!(text, ".{byte:x}");
    }
    Some(text)
}

/// Dolby Vision streams within ISOBMFF: profile and level.
pub(crate) fn dolby_vision(format: &[u8; 4], record: &[u8]) -> Option<String> {
    let mut fields = Fields { rest: record.get(2..)? };
    let bits = fields.u16()?;
    let (profile, level) = (bits >> 9, bits >> 3 & 0x3f);
    let format = match format {
        b"hev1" | b"dvhe" => "dvhe",
        b"av01" | b"dav1" => "dav1",
        b"avc1" | b"dva1" => "dva1",
        _ => "dvh1",
    };
    Some(format!("{format}.{profile:02}.{level:02}"))
}

/// AV1 in ISOBMFF §5: profile, level and tier, bit depth; the optional rest is not compared.
pub(crate) fn av1(record: &[u8]) -> Option<String> {
    let [_, second, third, ..] = record else { return None };
    let (profile, level) = (second >> 5, second & 0x1f);
    let tier = if third & 0x80 == 0 { 'M' } else { 'H' };
    let depth = match (third & 0x40 != 0, third & 0x20 != 0) {
        (false, _) => 8,
        (true, false) => 10,
        (true, true) => 12,
    };
    Some(format!("av01.{profile}.{level:02}{tier}.{depth:02}"))
}

/// VP codec in ISOBMFF: profile, level, bit depth.
pub(crate) fn vp9(format: &[u8; 4], record: &[u8]) -> Option<String> {
    let [_, _, _, _, profile, level, depth, ..] = record else { return None };
    Some(format!("{}.{profile:02}.{level:02}.{:02}", format.escape_ascii(), depth >> 4))
}

/// RFC 6381 §3.3: the object type of `esds`, and for AAC the audio object type.
pub(crate) fn mpeg4(body: &[u8]) -> Option<String> {
    let mut rest = body.get(4..)?;
    let mut object_type = None;
    // ES_Descriptor (3), DecoderConfigDescriptor (4) and DecoderSpecificInfo (5) nest.
    while let Some((tag, inner)) = descriptor(rest) {
        rest = match tag {
            3 => {
                let flags = *inner.get(2)?;
                let mut skip = 3;
                if flags & 0x80 != 0 {
                    skip += 2;
                }
                if flags & 0x40 != 0 {
                    skip += 1 + usize::from(*inner.get(skip)?);
                }
                if flags & 0x20 != 0 {
                    skip += 2;
                }
                inner.get(skip..)?
            }
            4 => {
                let object = *inner.first()?;
                object_type = Some(object);
                if object != 0x40 {
                    return Some(format!("mp4a.{object:02x}"));
                }
                inner.get(13..)?
            }
            5 => {
                let first = *inner.first()?;
                let mut audio = u32::from(first >> 3);
                if audio == 31 {
                    let second = *inner.get(1)?;
                    audio = 32 + (u32::from(first & 7) << 3 | u32::from(second >> 5));
                }
                return Some(format!("mp4a.40.{audio}"));
            }
            _ => return None,
        };
    }
    object_type.map(|object| format!("mp4a.{object:02x}"))
}

/// A descriptor's tag and what is inside (ISO/IEC 14496-1 §8.3.3).
fn descriptor(bytes: &[u8]) -> Option<(u8, &[u8])> {
    let mut fields = Fields { rest: bytes };
    let tag = fields.u8()?;
    let mut size = 0usize;
    for _ in 0..4 {
        let byte = fields.u8()?;
        size = size << 7 | usize::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            break;
        }
    }
    Some((tag, fields.rest.get(..size.min(fields.rest.len()))?))
}

/// Codecs whose string is their format's name.
pub(crate) fn without_record(format: &[u8; 4]) -> Option<String> {
    let name = match format {
        b"ac-3" | b"ec-3" | b"alac" | b"stpp" | b"wvtt" | b"mjpg" => {
            format.escape_ascii().to_string()
        }
        b"Opus" => "opus".to_owned(),
        b"fLaC" => "flac".to_owned(),
        b".mp3" => "mp4a.6b".to_owned(),
        _ => return None,
    };
    Some(name)
}

/// Whether a stated codec string names what a record says.
pub(crate) fn same(stated: &str, real: &str) -> bool {
    let (stated, real) = (normal(stated), normal(real));
    if stated == real {
        return true;
    }
    let family = |text: &str| text.split('.').next().unwrap_or("").to_owned();
    match family(&real).as_str() {
        // What follows the bit depth is optional, and so compared only by those who state it.
        "av01" | "vp09" | "stpp" => stated.starts_with(&format!("{real}.")),
        // The same bytes under another name: MP3, and implicit signalling of SBR and PS.
        "mp4a" => {
            let mp3 = ["mp4a.6b", "mp4a.69", "mp4a.40.34"];
            let implicit = ["mp4a.40.2", "mp4a.40.5", "mp4a.40.29"];
            (mp3.contains(&&*stated) && mp3.contains(&&*real))
                || (real == "mp4a.40.2" && implicit.contains(&&*stated))
                || (real == "mp4a.40.5" && stated == "mp4a.40.29")
        }
        _ => false,
    }
}

/// Without regard to case, to leading zeros of profiles, and to constraint bytes that are zero.
fn normal(text: &str) -> String {
    let mut text = text.trim().to_ascii_lowercase();
    if text.starts_with("hvc1.") || text.starts_with("hev1.") {
        while let Some(shorter) = text.strip_suffix(".0").or_else(|| text.strip_suffix(".00")) {
            text.truncate(shorter.len());
        }
    }
    text
}

/// What a codec string is of, as far as its first part tells.
pub(crate) fn kind(codec: &str) -> super::Kind {
    let first = codec.trim().split('.').next().unwrap_or("").to_ascii_lowercase();
    match first.as_str() {
        "avc1" | "avc3" | "hvc1" | "hev1" | "dvh1" | "dvhe" | "dva1" | "dvav" | "dav1" | "av01"
        | "vp08" | "vp09" | "vp9" | "vp8" | "vvc1" | "vvi1" | "mjpg" | "mp4v" => super::Kind::Video,
        "mp4a" | "ac-3" | "ec-3" | "ac-4" | "opus" | "flac" | "alac" | "mp3" | "mha1" | "mhm1"
        | "iamf" | "dtsc" | "dtse" | "dtsx" => super::Kind::Audio,
        _ => super::Kind::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_become_strings() {
        assert_eq!(avc(b"avc1", &[1, 0x64, 0, 0x1f]).as_deref(), Some("avc1.64001f"));
        let hvcc = [1, 1, 0x60, 0, 0, 0, 0x90, 0, 0, 0, 0, 0, 93, 0];
        assert_eq!(hevc(b"hvc1", &hvcc).as_deref(), Some("hvc1.1.6.L93.90"));
        assert_eq!(av1(&[0x81, 0x05, 0x40, 0]).as_deref(), Some("av01.0.05M.10"));
        assert_eq!(dolby_vision(b"hvc1", &[1, 0, 0x10, 0x15]).as_deref(), Some("dvh1.08.02"));
        let esds = [
            0, 0, 0, 0, 3, 0x19, 0, 1, 0, 4, 0x11, 0x40, 0x15, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5,
            2, 0x11, 0x90, 6, 1, 2,
        ];
        assert_eq!(mpeg4(&esds).as_deref(), Some("mp4a.40.2"));
    }

    #[test]
    fn the_same_under_another_name_is_the_same() {
        assert!(same("hvc1.1.6.L93.90.0.0", "hvc1.1.6.L93.90"));
        assert!(same("avc1.64001F", "avc1.64001f"));
        assert!(same("mp4a.40.5", "mp4a.40.2"));
        assert!(same("av01.0.05M.10.0.110.09.16.09.0", "av01.0.05M.10"));
        assert!(!same("mp4a.40.2", "mp4a.40.5"));
        assert!(!same("avc1.640028", "avc1.64001f"));
    }
}
