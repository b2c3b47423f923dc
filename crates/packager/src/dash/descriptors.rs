//! What an MPD tells of channels and colour: AudioChannelConfiguration (ISO/IEC 23009-1 §5.8.4.7,
//! ETSI TS 102 366 annex I, ETSI TS 103 420 annex D), and code points of ISO/IEC 23091 as properties
//! (ISO/IEC 23009-1 §5.8.5.7, DASH-IF IOP part 7).

use super::xml::{Attribute, Xml};
use crate::codec::{Colour, Speakers, VideoRange};
use crate::track::{Audio, Track};
use crate::view::View;

/// One descriptor without contents.
pub(super) fn descriptor(xml: &mut Xml, name: &'static str, scheme: &str, value: &str) {
    xml.empty(name, &[Attribute("schemeIdUri", &scheme), Attribute("value", &value)]);
}

/// The channels of a sound.
pub(super) fn channels(xml: &mut Xml, audio: &Audio) {
    const MPEG: &str = "urn:mpeg:dash:23003:3:audio_channel_configuration:2011";
    let configuration = |xml: &mut Xml, scheme, value: &str| {
        descriptor(xml, "AudioChannelConfiguration", scheme, value);
    };
    match audio.speakers {
        Speakers::Dolby { map, .. } => {
            let scheme = "tag:dolby.com,2014:dash:audio_channel_configuration:2011";
            configuration(xml, scheme, &format!("{map:04X}"));
        }
        // In both schemes a configuration's number; the older one is known to more players, and
        // some of them take it for a count, which it is up to here.
        Speakers::Cicp(number) if number <= 6 => configuration(xml, MPEG, &number.to_string()),
        Speakers::Cicp(number) => {
            configuration(xml, "urn:mpeg:mpegB:cicp:ChannelConfiguration", &number.to_string());
        }
        Speakers::Unknown => configuration(xml, MPEG, &audio.channels.to_string()),
    }
    if let Some(objects) = audio.speakers.joc() {
        let property = |xml: &mut Xml, scheme, value: &str| {
            descriptor(xml, "SupplementalProperty", scheme, value);
        };
        property(xml, "tag:dolby.com,2018:dash:EC3_ExtensionType:2018", "JOC");
        let index = "tag:dolby.com,2018:dash:EC3_ExtensionComplexityIndex:2018";
        property(xml, index, &objects.to_string());
    }
}

/// The colour of a picture, unless players take it for granted.
///
/// High dynamic range is essential where there is a picture without it to fall back to: a player
/// that does not know it then takes that one. Where there is none, a flat picture is better than
/// none, and the properties are supplemental.
pub(super) fn colour(xml: &mut Xml, view: &View<'_>, track: &Track) {
    let Some(video) = track.video() else { return };
    let Some(colour) = video.colour.filter(|colour| *colour != Colour::BT709) else { return };
    let is_plain =
        |track: &Track| track.video().is_some_and(|video| video.range == VideoRange::Sdr);
    let essential = video.range != VideoRange::Sdr && view.pictures().any(is_plain);
    let name = if essential { "EssentialProperty" } else { "SupplementalProperty" };
    for (scheme, point) in [
        ("urn:mpeg:mpegB:cicp:ColourPrimaries", colour.primaries),
        ("urn:mpeg:mpegB:cicp:TransferCharacteristics", colour.transfer),
        ("urn:mpeg:mpegB:cicp:MatrixCoefficients", colour.matrix),
    ] {
        // 2 is "unspecified".
        if point != 2 {
            descriptor(xml, name, scheme, &point.to_string());
        }
    }
}
