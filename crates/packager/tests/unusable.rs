//! A source that cannot be carried beside others that can.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

mod kit;

use std::sync::Arc;

use headwater_packager::{Error, Media, MediaIndex, Options, Presentation, Resource, SourceId};
use kit::boxes::{FileSpec, TrackSpec};
use kit::index;

fn with(sources: &[&Arc<MediaIndex>]) -> Result<Media, Error> {
    Media::new(sources.iter().map(|source| Arc::clone(source)).collect(), &Options::default())
}

fn good() -> Arc<MediaIndex> {
    let file = FileSpec::new(vec![TrackSpec::video(50, 300, 25), TrackSpec::audio(94, 100)]);
    Arc::new(index("good", &file.bytes()).unwrap())
}

#[test]
fn it_keeps_its_place_and_changes_nothing_else() {
    let good = good();
    let broken = |name: &str| {
        let id = SourceId::new(name, 9, "x");
        Arc::new(MediaIndex::unusable(id, &Error::NoUsableTrack("it has none".to_owned())))
    };
    let alone = with(&[&good]).unwrap();
    for name in ["a", "b"] {
        let beside = with(&[&broken(name), &good]).unwrap();
        assert_eq!(beside.version(), alone.version());
        assert_eq!(beside.segments(), alone.segments());
        assert_eq!(beside.tracks()[0].source, 1);
        assert!(beside.report().to_string().starts_with("source 1: it is left out"));
        // The report is another, of one version; the playlists are not.
        let (beside, alone) = (Arc::new(beside), Arc::new(alone.clone()));
        let tag = |media: &Arc<Media>, resource| {
            Presentation::new("show", Arc::clone(media)).etag(resource)
        };
        assert_ne!(tag(&beside, Resource::Report), tag(&alone, Resource::Report));
        assert_eq!(tag(&beside, Resource::Multivariant), tag(&alone, Resource::Multivariant));
    }
    assert!(matches!(with(&[&broken("a")]), Err(Error::NoUsableTrack(_))));
}

#[test]
fn one_whose_times_make_no_sense_is_left_out_too() {
    let good = good();
    // Found only when it is placed among the others.
    let mut wild = FileSpec::new(vec![TrackSpec::video(50, 300, 25)]);
    wild.tracks[0].offsets = vec![(25, i32::MIN), (25, i32::MAX)];
    wild.tracks[0].offsets_version = 1;
    let wild = Arc::new(index("wild", &wild.bytes()).unwrap());
    let beside = with(&[&wild, &good]).unwrap();
    assert_eq!(beside.tracks().len(), 2);
    assert!(beside.report().to_string().contains("31 bits"), "{}", beside.report());
    assert!(matches!(with(&[&wild]), Err(Error::BadBox { .. })));
}

/// A sample entry that says it is encrypted (ISO/IEC 14496-12 §8.12.1), as CMAF's are.
fn encrypted(plain: &[u8], kind: [u8; 4]) -> Vec<u8> {
    use kit::boxes::{boxed, full, words};
    let mut entry = plain[8..].to_vec();
    let mut sinf = boxed(*b"frma", &plain[4..8]);
    let mut schm = b"cbcs".to_vec();
    schm.extend(words(&[0x1_0000]));
    sinf.extend(full(*b"schm", 0, 0, &schm));
    entry.extend(boxed(*b"sinf", &sinf));
    boxed(kind, &entry)
}

#[test]
fn an_encrypted_track_is_named_and_the_rest_plays() {
    let mut picture = TrackSpec::video(50, 300, 25);
    let mut sound = TrackSpec::audio(94, 100);
    sound.entry = Some(encrypted(&kit::boxes::mp4a(b"\x11\x90"), *b"enca"));
    let file = FileSpec::new(vec![picture.clone(), sound.clone()]).bytes();
    let media = kit::media(&[file], &Options::default());
    let kinds: Vec<_> = media.tracks().iter().map(headwater_packager::Track::is_video).collect();
    assert_eq!(kinds, [true]);
    let report = media.report().to_string();
    let words =
        "track 2: it is encrypted (enca, mp4a within, scheme cbcs), and no key is asked for";
    assert!(report.contains(words), "{report}");
    // The other way round, the sound is what is left.
    let clear = TrackSpec::audio(94, 100);
    picture.entry = Some(encrypted(&kit::boxes::avc1(), *b"encv"));
    let file = FileSpec::new(vec![picture.clone(), clear]).bytes();
    let media = kit::media(&[file], &Options::default());
    assert!(media.tracks().iter().all(headwater_packager::Track::is_audio));
    assert!(media.report().lacks_picture());
    // With nothing left it is refused, and says why of each.
    let file = FileSpec::new(vec![picture, sound]).bytes();
    match index("both.mp4", &file) {
        Err(Error::NoUsableTrack(why)) => {
            assert!(why.contains("encv, avc1 within"), "{why}");
            assert!(why.contains("enca, mp4a within"), "{why}");
        }
        other => panic!("{other:?}"),
    }
}
