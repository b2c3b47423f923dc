//! What cameras leave in their files: pictures that are turned, pixels that are not square, and
//! tracks that are neither picture nor sound.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

mod kit;

use std::sync::Arc;

use headwater_packager::{Media, NoteKind, Options, Presentation};
use kit::boxes::{FileSpec, TrackSpec, avc1};
use kit::entries::{data, pasp, with};
use kit::{make, media, send};
use serde_json::{Value, json};

/// A film of 1280x720 coded pixels.
fn film(rotation: u16, pixel: Option<(u32, u32)>) -> Media {
    let mut video = TrackSpec::video(50, 300, 25);
    video.rotation = rotation;
    video.entry = pixel.map(|(across, down)| with(avc1(), &[pasp(across, down)]));
    media(&[FileSpec::new(vec![video, TrackSpec::audio(90, 100)]).bytes()], &Options::default())
}

fn text(media: &Media, path: &str) -> String {
    let presentation = Presentation::new("film", Arc::new(media.clone()));
    let resource = presentation.resource(path).unwrap();
    String::from_utf8(make(&presentation, resource, &[]).unwrap()).unwrap()
}

/// RFC 8216bis §4.4.6.2: RESOLUTION is that at which pictures are displayed. ISO/IEC 23009-1
/// §5.3.7.2: `@width`, `@height` count samples, whose shape is `@sar`; both after the turn.
#[test]
fn turned_pictures_and_pixels_that_are_not_square_are_told_as_displayed() {
    for (rotation, pixel, resolution, samples, sar) in [
        (0, None, "1280x720", (1280, 720), "1:1"),
        (90, None, "720x1280", (720, 1280), "1:1"),
        (180, None, "1280x720", (1280, 720), "1:1"),
        (270, None, "720x1280", (720, 1280), "1:1"),
        (0, Some((4, 3)), "1707x720", (1280, 720), "4:3"),
        (180, Some((4, 3)), "1707x720", (1280, 720), "4:3"),
        (90, Some((4, 3)), "720x1707", (720, 1280), "3:4"),
        (270, Some((8, 9)), "720x1138", (720, 1280), "9:8"),
    ] {
        let media = film(rotation, pixel);
        let what = format!("{rotation} degrees, {pixel:?}");
        let playlist = text(&media, "main.m3u8");
        assert!(playlist.contains(&format!(",RESOLUTION={resolution},")), "{what}: {playlist}");
        let mpd = text(&media, "manifest.mpd");
        let (width, height) = samples;
        let told = format!(" width=\"{width}\" height=\"{height}\" sar=\"{sar}\"");
        assert!(mpd.contains(&told), "{what}: {told} in {mpd}");

        let report: Value = serde_json::from_str(&text(&media, "report.json")).unwrap();
        let video = &report["tracks"][0];
        let (wide, high) = resolution.split_once('x').unwrap();
        let told = json!([wide.parse::<u32>().unwrap(), high.parse::<u32>().unwrap(), rotation]);
        let found = json!([video["display_width"], video["display_height"], video["rotation"]]);
        assert_eq!(found, told, "{what}");
        assert_eq!(json!([video["width"], video["height"]]), json!([1280, 720]), "{what}");

        // Players turn the picture themselves, and stretch it: nothing of that is lost on the way.
        let init = send(&media.init(media.tracks()[0].id).unwrap(), &[]);
        let mut turned = TrackSpec::video(1, 1, 1);
        turned.rotation = rotation;
        let trak = turned.trak(&[]);
        let matrix = &trak[8 + 8 + 4 + 36..][..36];
        assert!(init.windows(36).any(|cells| cells == matrix), "{what}: the matrix");
        if let Some((across, down)) = pixel {
            let pasp = pasp(across, down);
            assert!(init.windows(pasp.len()).any(|bytes| bytes == pasp), "{what}: the pixel");
        }
    }
}

#[test]
fn telemetry_and_timecode_are_named_and_left_out() {
    let mut tracks = vec![TrackSpec::video(50, 300, 25), TrackSpec::audio(90, 100)];
    for (number, (handler, entry)) in (3..).zip([
        (*b"meta", *b"gpmd"),
        (*b"tmcd", *b"tmcd"),
        (*b"meta", *b"fdsc"),
        (*b"meta", *b"mebx"),
        (*b"meta", *b"camm"),
    ]) {
        let mut track = TrackSpec::audio(2, 40);
        (track.number, track.handler, track.entry) = (number, Some(handler), Some(data(entry)));
        tracks.push(track);
    }
    let media = media(&[FileSpec::new(tracks).bytes()], &Options::default());
    let ids: Vec<_> = media.tracks().iter().map(|track| track.id.to_string()).collect();
    assert_eq!(ids, ["v1", "a1"], "the rest plays");
    assert!(media.report().notes().iter().all(|note| note.kind == NoteKind::Skipped));
    let notes: Vec<_> = media.report().notes().iter().map(ToString::to_string).collect();
    assert_eq!(
        notes,
        [
            "source 1: track 3: GoPro telemetry (gpmd) is not part of the presentation",
            "source 1: track 4: timecode (tmcd) is not part of the presentation",
            "source 1: track 5: GoPro recovery data (fdsc) is not part of the presentation",
            "source 1: track 6: timed metadata (mebx) is not part of the presentation",
            "source 1: track 7: camera motion (camm) is not part of the presentation",
        ]
    );
    let report: Value = serde_json::from_str(&text(&media, "report.json")).unwrap();
    assert_eq!(report["notes"].as_array().unwrap().len(), 5);
    assert_eq!(report["notes"][0]["kind"], "skipped");
    let manifests = [text(&media, "main.m3u8"), text(&media, "manifest.mpd")].concat();
    assert!(!manifests.contains("gpmd") && !manifests.contains("tmcd"), "{manifests}");
}
