//! Which tracks an asset carries: one sound for all renditions, or what an operator picks.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

mod kit;

use std::path::Path;
use std::sync::Arc;

use headwater_packager::{Choice, Error, Media, Options, Pick, Role};
use kit::{ffmpeg, media, send};

/// Two seconds of picture with one sound an entry of `sounds`: language and bit rate.
fn make(path: &Path, size: &str, sounds: &[(&str, &str)]) -> bool {
    let picture = format!("testsrc2=size={size}:rate=25:duration=2");
    let mut arguments: Vec<String> = ["-f", "lavfi", "-i", &picture].map(str::to_owned).into();
    for (number, _) in sounds.iter().enumerate() {
        let tone = format!("sine=frequency={}:sample_rate=48000:duration=2", 300 + 200 * number);
        arguments.extend(["-f", "lavfi", "-i", &tone].map(str::to_owned));
    }
    arguments.extend(["-map", "0:v"].map(str::to_owned));
    for (number, (language, rate)) in sounds.iter().enumerate() {
        arguments.extend(["-map".to_owned(), format!("{}:a", number + 1)]);
        arguments.extend([format!("-metadata:s:a:{number}"), format!("language={language}")]);
        arguments.extend([format!("-b:a:{number}"), (*rate).to_owned()]);
    }
    arguments.extend(
        ["-c:v", "libx264", "-preset", "ultrafast", "-g", "25", "-pix_fmt", "yuv420p"]
            .map(str::to_owned),
    );
    arguments.extend(["-c:a", "aac", "-bitexact"].map(str::to_owned));
    arguments.push(path.to_str().unwrap().to_owned());
    ffmpeg(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
}

/// The sounds of an asset: source, number in it, language.
fn sounds(media: &Media) -> Vec<(usize, u32, Option<&str>)> {
    let sounds = media.tracks().iter().filter(|track| track.is_audio());
    sounds.map(|track| (track.source, track.source_track, track.language.as_deref())).collect()
}

fn notes(media: &Media) -> String {
    media.report().to_string()
}

#[test]
fn a_sound_that_renditions_repeat_is_sent_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(format!("{name}.mp4"));
    let alike = [("eng", "64k"), ("fra", "64k")];
    if !make(&path("low"), "160x90", &alike) || !make(&path("high"), "320x180", &alike) {
        return;
    }
    make(&path("best"), "480x270", &[("eng", "128k"), ("deu", "64k")]);
    let read = |name: &str| std::fs::read(path(name)).unwrap();

    let same = media(&[read("low"), read("high")], &Options::default());
    assert_eq!(sounds(&same), [(0, 2, Some("en")), (0, 3, Some("fr"))]);
    assert!(notes(&same).contains("source 2: track 2: it is the same sound as that of source 1"));
    assert!(!notes(&same).contains("kbit/s"));

    // The same language at another bit rate: the best one, in the place of the first.
    let better = media(&[read("low"), read("best")], &Options::default());
    assert_eq!(sounds(&better), [(1, 2, Some("en")), (0, 3, Some("fr")), (1, 3, Some("de"))]);
    assert!(notes(&better).contains("source 1: track 2: it is the same sound at "), "{better:?}");
}

fn pick(source: usize, track: Option<u32>) -> Pick {
    let mut pick = Pick::default();
    (pick.source, pick.track) = (source, track);
    pick
}

fn picking(pictures: Option<Vec<Pick>>, sounds: Option<Vec<Pick>>) -> Options {
    let mut options = Options::default();
    (options.choice.pictures, options.choice.sounds) = (pictures, sounds);
    options
}

#[test]
fn what_is_picked_is_carried_in_that_order_with_those_names() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.mp4");
    if !make(&path, "160x90", &[("eng", "64k"), ("fra", "64k"), ("eng", "32k")]) {
        return;
    }
    let file = std::fs::read(&path).unwrap();
    let mut described = pick(0, Some(4));
    described.name = Some("English, described".to_owned());
    described.roles = vec![Role::Alternate, Role::Description];
    let mut french = pick(0, Some(3));
    french.language = Some("fr-CA".to_owned());
    french.default = true;
    let options = picking(None, Some(vec![described, french]));
    let asset = media(std::slice::from_ref(&file), &options);
    assert_eq!(sounds(&asset), [(0, 4, Some("en")), (0, 3, Some("fr-CA"))]);
    let [picture, english, french] = asset.tracks() else { panic!("{:?}", asset.tracks()) };
    assert!(picture.is_video());
    assert_eq!(english.name.as_deref(), Some("English, described"));
    assert_eq!(english.roles, [Role::Alternate, Role::Description]);
    assert!(french.default && !english.default);
    let init = send(&asset.init(french.id).unwrap(), std::slice::from_ref(&file));
    assert!(init.windows(9).any(|bytes| bytes == b"elng\0\0\0\0f"), "the init segment says fr-CA");

    // Another choice of tracks is another version; other names are not.
    let plain = media(std::slice::from_ref(&file), &Options::default());
    assert_ne!(plain.version(), asset.version());
    let mut renamed = options.clone();
    renamed.choice.sounds.as_mut().unwrap()[0].name = None;
    assert_eq!(media(std::slice::from_ref(&file), &renamed).version(), asset.version());
    // Nor are roles, but for those that transport streams tell.
    let with = |roles: &[Role]| {
        let mut options = options.clone();
        options.choice.sounds.as_mut().unwrap()[0].roles = roles.to_vec();
        media(std::slice::from_ref(&file), &options).version()
    };
    assert_eq!(with(&[Role::Description]), asset.version());
    assert_eq!(with(&[]), with(&[Role::Alternate, Role::Dub]));
    let told = [with(&[]), with(&[Role::Description]), with(&[Role::EnhancedAudioIntelligibility])];
    assert!(told[0] != told[1] && told[0] != told[2] && told[1] != told[2], "{told:?}");
}

#[test]
fn roles_in_place_of_those_of_the_source_are_another_version() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.mp4");
    let made = ffmpeg(&[
        "-f",
        "lavfi",
        "-i",
        "sine=duration=2",
        "-metadata:s:a:0",
        "language=eng",
        "-disposition:a:0",
        "visual_impaired",
        path.to_str().unwrap(),
    ]);
    if !made {
        return;
    }
    let file = std::fs::read(&path).unwrap();
    let with = |roles: &[Role]| {
        let mut sound = pick(0, None);
        sound.roles = roles.to_vec();
        media(std::slice::from_ref(&file), &picking(None, Some(vec![sound])))
    };
    assert_eq!(with(&[]).tracks()[0].roles, [Role::Description]);
    assert_eq!(with(&[]).version(), with(&[Role::Description]).version());
    assert_ne!(with(&[]).version(), with(&[Role::Alternate]).version());
}

#[test]
fn what_cannot_be_picked_is_refused_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.mp4");
    if !make(&path, "160x90", &[("eng", "64k"), ("fra", "64k")]) {
        return;
    }
    let index = Arc::new(kit::index("a.mp4", &std::fs::read(&path).unwrap()).unwrap());
    let refused = |options: &Options| match Media::new(vec![Arc::clone(&index)], options) {
        Err(error @ Error::BadPick { .. }) => error.to_string(),
        other => panic!("{other:?}"),
    };
    let sounds = |picks: &[Pick]| refused(&picking(None, Some(picks.to_vec())));
    assert_eq!(
        sounds(&[pick(0, None), pick(0, Some(9))]),
        "pick 2 of audio: it has no audio track 9, only 2, 3"
    );
    assert_eq!(
        sounds(&[pick(0, None), pick(0, Some(2))]),
        "pick 2 of audio: track 2 is picked twice"
    );
    assert_eq!(sounds(&[pick(1, None)]), "pick 1 of audio: there is no such source");
    let pictures = refused(&picking(Some(vec![pick(0, Some(2))]), None));
    assert_eq!(pictures, "pick 1 of video: it has no video track 2, only 1");
    // No pictures at all is a choice, too.
    let silent = Media::new(vec![index], &picking(Some(Vec::new()), None)).unwrap();
    assert!(silent.tracks().iter().all(headwater_packager::Track::is_audio));
    assert_eq!(*silent.choice(), {
        let mut choice = Choice::default();
        choice.pictures = Some(Vec::new());
        choice
    });
}
