//! What an asset holds and what was left out, as JSON: `report.json`.

use serde_json::{Value, json};

use super::Facts;
use crate::aes128::SegmentKey;
use crate::codec::Protocol;
use crate::download::Download;
use crate::media::Media;
use crate::presentation::Presentation;
use crate::rates;
use crate::resource::Resource;
use crate::track::{Track, TrackKind};

/// The report of an asset.
pub(crate) fn report(presentation: &Presentation) -> String {
    let media = presentation.media();
    let tracks: Vec<Value> = media.tracks().iter().map(|track| describe(media, track)).collect();
    let document = json!({
        "asset": presentation.name(),
        "version": media.version().to_string(),
        "duration_ms": media.duration().as_millis(),
        "start_offset_s": media.start_offset_seconds(),
        "target_duration_s": rates::target_duration(media),
        "segments": media.segments().len(),
        "sources": media.sources().len(),
        "recording": recording(media),
        "manifests": manifests(presentation),
        "download": media.segment_key().is_none().then_some(Download::PATH),
        "encryption": media.segment_key().map(|key| encryption(presentation, key)),
        "tracks": tracks,
        "notes": media.report(),
    });
    written(document)
}

/// A document as it is served: keys by the alphabet, also where another crate of the program has
/// `serde_json` keep them in the order in which they were said (its feature `preserve_order`). The same
/// asset gives the same bytes everywhere.
pub(crate) fn written(mut document: Value) -> String {
    document.sort_all_objects();
    format!("{document:#}\n")
}

/// Whether it is a recording, and whether it still grows.
fn recording(media: &Media) -> Option<&'static str> {
    media.recorded.then(|| if media.growth().is_some() { "growing" } else { "finished" })
}

/// The paths that players may begin with.
fn manifests(presentation: &Presentation) -> Vec<String> {
    let all = [
        Resource::Multivariant,
        Resource::SingleMultivariant,
        Resource::Mpd,
        Resource::TimeMpd,
        Resource::OnDemandMpd,
    ];
    let there = all.into_iter().filter(|manifest| presentation.has(*manifest));
    there.map(|manifest| presentation.path(manifest)).collect()
}

/// How segments are encrypted and where players get the key; never the key.
fn encryption(presentation: &Presentation, key: &SegmentKey) -> Value {
    let own = presentation.path(Resource::SegmentKey);
    json!({
        "method": "AES-128",
        "key_uri": key.uri().unwrap_or(&own),
        "key_served_by": if key.uri().is_some() { "operator" } else { "packager" },
    })
}

fn describe(media: &Media, track: &Track) -> Value {
    let facts = media.facts(track.id);
    let mut description = json!({
        "id": track.id.to_string(),
        "codec": track.codec,
        "coding": track.coding.name(),
        "language": track.language,
        "name": track.name,
        "roles": track.roles,
        "default": track.default,
        "timescale": track.timescale.get(),
        "source": track.source,
        "source_track": track.source_track,
        "segments": media.segment_count(track.id),
        "peak_bits_per_s": facts.as_ref().map(|facts| facts.peak),
        "average_bits_per_s": facts.as_ref().map(|facts| facts.average),
        "left_out_of": obstacles(track),
    });
    match &track.kind {
        TrackKind::Video(video) => {
            description["kind"] = "video".into();
            description["width"] = video.width.into();
            description["height"] = video.height.into();
            description["display_width"] = video.display_width.into();
            description["display_height"] = video.display_height.into();
            description["rotation"] = video.rotation.into();
            description["video_range"] = video.range.as_str().into();
            description["supplemental_codec"] =
                video.supplemental.as_ref().map(|found| found.codec.clone()).into();
            description["frame_rate"] =
                video.frame_rate.map(|(frames, seconds)| format!("{frames}/{seconds}")).into();
        }
        TrackKind::Audio(audio) => {
            description["kind"] = "audio".into();
            description["channels"] = audio.channels.into();
            description["sample_rate"] = audio.sample_rate.into();
        }
    }
    if let Some(Value::Object(more)) = facts.as_ref().map(Facts::to_json)
        && let Value::Object(description) = &mut description
    {
        description.extend(more);
    }
    description
}

/// Which protocols leave the track out, and why.
fn obstacles(track: &Track) -> Value {
    let protocols = [Protocol::HlsCmaf, Protocol::HlsTs, Protocol::Dash];
    let all = protocols
        .into_iter()
        .filter_map(|protocol| Some((protocol.to_string(), track.obstacle(protocol)?.into())));
    Value::Object(all.collect())
}
