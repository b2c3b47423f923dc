//! The map as a whole: what it learns, finds and forgets.
#![allow(clippy::unwrap_used, reason = "tests may fail loudly")]

use std::fmt::Write as _;

use proptest::prelude::*;

use headwater_net::Timestamp;

use super::{Limits, ManifestKind, MapError, SegmentMap, Url};

const HLS: Option<&str> = Some("application/vnd.apple.mpegurl");
const DASH: Option<&str> = Some("application/dash+xml; charset=utf-8");

const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

fn url(path: &str) -> Url {
    Url::new("h", path).unwrap()
}

fn paths(targets: &[super::Target]) -> Vec<&str> {
    targets.iter().map(|target| target.url.path_and_query()).collect()
}

fn playlist(names: &[&str]) -> String {
    let mut text = String::from("#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-MAP:URI=\"init.mp4\"\n");
    for name in names {
        let _ = write!(text, "#EXTINF:4.0,\n{name}\n");
    }
    text + "#EXT-X-ENDLIST\n"
}

#[test]
fn a_presentation_is_learnt_from_its_playlists_whatever_the_names() {
    let mut map = SegmentMap::new(Limits::default());
    let main = "#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"a\",URI=\"audio.m3u8\"\n\
                #EXT-X-STREAM-INF:BANDWIDTH=800000,AUDIO=\"a\"\nlow/list.m3u8?t=1\n";
    let learnt = map.learn(&url("/t/main.m3u8"), HLS, main.as_bytes()).unwrap().unwrap();
    assert_eq!(learnt.renditions, 2);
    let names = ["q7-zz.mp4", "../x/k.mp4", "/abs/9", "https://h/t/low/w.mp4?sig=a%20b"];
    let low = url("/t/low/list.m3u8?t=1");
    let media = map.learn(&low, HLS, playlist(&names).as_bytes()).unwrap().unwrap();
    assert_eq!((media.presentation, media.segments), (learnt.presentation, 4));

    let at = map.lookup(&url("/t/low/q7-zz.mp4"), None).unwrap();
    assert_eq!((at.rendition, at.index), (0, 0));
    assert_eq!(paths(&map.next(at, 2)), ["/t/x/k.mp4", "/abs/9"]);
    assert_eq!(paths(&map.next(at, 9)).last(), Some(&"/t/low/w.mp4?sig=a%20b"));
    assert_eq!(map.init(at).unwrap().url, url("/t/low/init.mp4"));
    let (init, first) = map.head(at.presentation, 0, NOW);
    assert_eq!(paths(&[init.unwrap(), first.unwrap()]), ["/t/low/init.mp4", "/t/low/q7-zz.mp4"]);
    assert!(map.is_head(at, NOW) && !map.is_head(super::Position { index: 1, ..at }, NOW));
    assert_eq!(map.bandwidth(at.presentation, 0), Some(800_000));
    assert_eq!(map.lookup(&url("/t/low/other.mp4"), None), None);
    assert_eq!(map.lookup(&Url::new("elsewhere", "/t/low/q7-zz.mp4").unwrap(), None), None);
}

#[test]
fn what_a_presentation_is_framed_by_is_known() {
    let mut map = SegmentMap::new(Limits::default());
    let main = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nlow.m3u8\n\
                #EXT-X-STREAM-INF:BANDWIDTH=2\nhigh.m3u8\n";
    let id = map.learn(&url("/f/main.m3u8"), None, main.as_bytes()).unwrap().unwrap().presentation;
    let low = "#EXTM3U\n#EXT-X-MAP:URI=\"init.mp4\"\n#EXTINF:4,\n0.m4s\n#EXTINF:4,\n1.m4s\n";
    map.learn(&url("/f/low.m3u8"), None, low.as_bytes()).unwrap();
    let high = "#EXTM3U\n#EXT-X-MAP:URI=\"all.mp4\",BYTERANGE=\"100@0\"\n\
                #EXTINF:4,\n#EXT-X-BYTERANGE:50@100\nall.mp4\n";
    map.learn(&url("/f/high.m3u8"), None, high.as_bytes()).unwrap();
    let frame = |path, at| map.frame(&url(path), at);
    assert_eq!(frame("/f/main.m3u8", None), Some((id, None)));
    assert_eq!(frame("/f/low.m3u8", None), Some((id, Some(0))));
    assert_eq!(frame("/f/init.mp4", None), Some((id, Some(0))));
    assert_eq!(frame("/f/all.mp4", Some(99)), Some((id, Some(1))));
    for (path, at) in [("/f/all.mp4", Some(100)), ("/f/all.mp4", None), ("/f/0.m4s", None)] {
        assert_eq!(frame(path, at), None, "{path} {at:?}");
    }
    assert_eq!(map.segments(id, 0), 2);
    map.learn(&url("/f/low.m3u8"), None, low.replace("init", "other").as_bytes()).unwrap();
    assert_eq!(map.frame(&url("/f/init.mp4"), None), None);
}

#[test]
fn a_media_playlist_that_came_first_joins_its_presentation() {
    let mut map = SegmentMap::new(Limits::default());
    map.learn(&url("/v.m3u8"), HLS, playlist(&["a.mp4", "b.mp4"]).as_bytes()).unwrap();
    let main = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nv.m3u8\n";
    map.learn(&url("/main.m3u8"), HLS, main.as_bytes()).unwrap();
    assert_eq!(map.len(), 1);
    let at = map.lookup(&url("/a.mp4"), None).unwrap();
    assert_eq!(paths(&map.next(at, 5)), ["/b.mp4"]);
}

/// A media playlist imports from the multivariant one that names it, whichever was read first, and
/// what it imports may change.
#[test]
fn media_playlists_import_what_their_multivariant_playlist_defines() {
    let mut map = SegmentMap::new(Limits::default());
    let media =
        "#EXTM3U\n#EXT-X-DEFINE:IMPORT=\"p\"\n#EXTINF:4,\n{$p}/1.ts\n#EXTINF:4,\n{$p}/2.ts\n";
    let list = url("/v.m3u8?t=9");
    assert_eq!(map.learn(&list, HLS, media.as_bytes()), Err(MapError::Malformed));
    for value in ["a", "b"] {
        let main = format!(
            "#EXTM3U\n#EXT-X-DEFINE:NAME=\"p\",VALUE=\"{value}\"\n#EXT-X-DEFINE:QUERYPARAM=\"t\"\n\
             #EXT-X-STREAM-INF:BANDWIDTH=1\nv.m3u8?t={{$t}}\n"
        );
        map.learn(&url("/main.m3u8?t=9"), HLS, main.as_bytes()).unwrap();
        let main = map.by_manifest[&url("/main.m3u8?t=9")];
        assert_eq!(map.unread(main), std::slice::from_ref(&list));
        map.learn(&list, HLS, media.as_bytes()).unwrap();
        let at = map.lookup(&url(&format!("/{value}/1.ts")), None).unwrap();
        assert_eq!(paths(&map.next(at, 2)), [format!("/{value}/2.ts")]);
    }
    assert_eq!(map.lookup(&url("/a/1.ts"), None), None);
}

#[test]
fn a_newer_manifest_takes_the_place_of_the_older() {
    let mut map = SegmentMap::new(Limits::default());
    let at = url("/live.m3u8");
    map.learn(&at, HLS, playlist(&["s/1.ts", "s/2.ts", "x"]).as_bytes()).unwrap();
    let before = map.weight();
    map.learn(&at, HLS, playlist(&["s/2.ts", "s/3.ts", "y"]).as_bytes()).unwrap();
    assert_eq!(map.lookup(&url("/s/1.ts"), None), None);
    assert_eq!(map.lookup(&url("/x"), None), None);
    let second = map.lookup(&url("/s/2.ts"), None).unwrap();
    assert_eq!(paths(&map.next(second, 2)), ["/s/3.ts", "/y"]);
    assert_eq!((map.len(), map.weight()), (1, before));
}

/// A signature over a whole folder puts dozens of numbers behind the one that counts.
#[test]
fn signed_urls_are_found_by_their_number() {
    let signature = "a1b2c3d4e5f6".repeat(8);
    let names: Vec<_> = (8..12).map(|i| format!("s{i}.ts?e=1700000000&sig={signature}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let mut map = SegmentMap::new(Limits::default());
    map.learn(&url("/l.m3u8"), HLS, playlist(&names).as_bytes()).unwrap();
    assert_eq!(map.framed.len(), 1, "one run");
    let at = map.lookup(&url(&format!("/{}", names[2])), None).unwrap();
    assert_eq!((at.index, map.next(at, 2).len()), (2, 1));
}

#[test]
fn dash_and_hls_of_one_asset_share_their_segments() {
    let mut map = SegmentMap::new(Limits::default());
    let mpd = r#"<MPD mediaPresentationDuration="PT40S"><Period><AdaptationSet>
        <SegmentTemplate duration="4" media="v/$RepresentationID$/$Number$.m4s"/>
        <Representation id="v1"/><Representation id="v2"/></AdaptationSet></Period></MPD>"#;
    map.learn(&url("/a/manifest.mpd"), DASH, mpd.as_bytes()).unwrap();
    let at = map.lookup(&url("/a/v/v2/9.m4s"), None).unwrap();
    assert_eq!((at.rendition, at.index), (1, 8));
    assert_eq!(paths(&map.next(at, 2)), ["/a/v/v2/10.m4s"]);
    map.learn(&url("/a/v1.m3u8"), HLS, playlist(&["v/v1/1.m4s", "v/v1/2.m4s"]).as_bytes()).unwrap();
    assert_eq!(map.len(), 2);
    assert!(map.lookup(&url("/a/v/v1/1.m4s"), None).is_some());
    assert_eq!(map.lookup(&url("/a/v/v1/11.m4s"), None), None);
}

#[test]
fn the_longest_unused_presentation_goes_first_and_wholly() {
    let mut map = SegmentMap::new(Limits { presentations: 2, ..Limits::default() });
    for name in ["a", "b"] {
        let list = playlist(&[&format!("{name}-x"), &format!("{name}-y")]);
        map.learn(&url(&format!("/{name}.m3u8")), HLS, list.as_bytes()).unwrap();
    }
    assert!(map.lookup(&url("/a-x"), None).is_some());
    map.learn(&url("/c.m3u8"), HLS, playlist(&["c-x"]).as_bytes()).unwrap();
    assert_eq!(map.lookup(&url("/b-x"), None), None);
    assert!(map.lookup(&url("/a-x"), None).is_some());
    map.learn(&url("/d.m3u8"), HLS, playlist(&["d-x"]).as_bytes()).unwrap();
    map.learn(&url("/e.m3u8"), HLS, playlist(&["e-x"]).as_bytes()).unwrap();
    assert_eq!((map.len(), map.listed.len(), map.by_manifest.len(), map.used.len()), (2, 2, 2, 2));
}

#[test]
fn what_is_no_manifest_or_too_large_changes_nothing() {
    let mut map = SegmentMap::new(Limits { manifest_bytes: 100, ..Limits::default() });
    assert_eq!(map.learn(&url("/a.mp4"), Some("video/mp4"), b"x"), Ok(None));
    assert_eq!(map.learn(&url("/a.m3u8"), HLS, b"<html>"), Err(MapError::Malformed));
    assert_eq!(map.learn(&url("/a.m3u8"), HLS, &[b'#'; 101]), Err(MapError::TooLarge));
    assert!(map.is_empty());
    assert_eq!(ManifestKind::of(None, "/x/A.MPD"), Some(ManifestKind::Dash));
    assert_eq!(ManifestKind::of(Some("video/mp4"), "/x/a.mpd"), None);
}

/// Mangled manifests, close enough to real ones to get past the first line.
fn mangled() -> impl Strategy<Value = (bool, Vec<u8>)> {
    let hls = "#EXTM3U\n#EXT-X-MAP:URI=\"i\",BYTERANGE=\"9@0\"\n#EXTINF:4.0,a,b\n1.ts\n\
               #EXT-X-BYTERANGE:5@18446744073709551615\n2.ts\n#EXT-X-STREAM-INF:BANDWIDTH=1\nv.m3u8\n";
    let mpd = r#"<MPD mediaPresentationDuration="PT99H"><Period duration="PT9S"><AdaptationSet>
        <SegmentTemplate timescale="10" duration="1" startNumber="18446744073709551610"
        media="$Number%09d$-$Time$-$RepresentationID$"><SegmentTimeline><S t="1" d="2" r="-1"/>
        <S d="18446744073709551615" r="9223372036854775807"/></SegmentTimeline></SegmentTemplate>
        <Representation id="a"/></AdaptationSet></Period></MPD>"#;
    let edits =
        proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4u8), 0..12);
    (any::<bool>(), edits).prop_map(move |(dash, edits)| {
        let mut bytes = if dash { mpd } else { hls }.as_bytes().to_vec();
        for (at, byte, kind) in edits {
            let at = at.index(bytes.len().max(1)).min(bytes.len().saturating_sub(1));
            match kind {
                0 if !bytes.is_empty() => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                2 if !bytes.is_empty() => drop(bytes.remove(at)),
                _ => bytes.truncate(at.max(bytes.len() / 2)),
            }
        }
        (dash, bytes)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let mut map = SegmentMap::new(Limits::default());
        for prefix in [&b""[..], b"#EXTM3U\n", b"#EXTM3U\n#EXT-X-STREAM-INF:", b"<MPD>"] {
            let bytes = [prefix, &bytes].concat();
            let _ = map.learn(&url("/a"), HLS, &bytes);
            let _ = map.learn(&url("/b"), DASH, &bytes);
        }
    }

    #[test]
    fn mangled_manifests_stay_within_the_limits(manifests in proptest::collection::vec(mangled(), 1..8)) {
        let limits = Limits {
            presentations: 3, segments: 50, presentation_bytes: 4000, bytes: 20_000,
            ..Limits::default()
        };
        let mut map = SegmentMap::new(limits);
        for (i, (dash, bytes)) in manifests.iter().enumerate() {
            let at = url(&format!("/{}", i % 5));
            if let Ok(Some(learnt)) = map.learn(&at, if *dash { DASH } else { HLS }, bytes) {
                for at in 0..learnt.renditions as u32 {
                    let (init, first) = map.head(learnt.presentation, at, NOW);
                    for head in init.into_iter().chain(first) {
                        let _ = map.lookup(&head.url, None).map(|at| map.next(at, 3));
                    }
                }
            }
            prop_assert!(map.len() <= 3);
            prop_assert!(map.weight() <= 20_000, "{}", map.weight());
            prop_assert!(map.listed.len() <= 3 * 256 * 50);
        }
    }

    /// Every segment that was listed is found where it stands, and its neighbour follows.
    #[test]
    fn every_listed_segment_is_found(
        names in proptest::collection::hash_set("[a-c]{0,2}[0-9]{1,3}[x-z]?", 1..60),
        sorted in any::<bool>(),
    ) {
        let mut names: Vec<_> = names.iter().map(String::as_str).collect();
        if sorted {
            names.sort_by_key(|name| (name.len(), *name));
        }
        let mut map = SegmentMap::new(Limits::default());
        map.learn(&url("/p/l.m3u8"), HLS, playlist(&names).as_bytes()).unwrap();
        for (i, name) in names.iter().enumerate() {
            let at = map.lookup(&url(&format!("/p/{name}")), None);
            prop_assert_eq!(at.map(|at| at.index as usize), Some(i), "{}", name);
            let next = map.next(at.unwrap(), 1);
            let expected = names.get(i + 1).map(|name| format!("/p/{name}"));
            prop_assert_eq!(next.first().map(|t| t.url.path_and_query().to_owned()), expected);
        }
    }
}

/// An `S` counts within its own `SegmentTimeline` only, and each level has its place: nothing a
/// manifest says often makes what it said before be copied as often.
#[test]
fn dash_entries_out_of_place_cost_nothing() {
    let started = std::time::Instant::now();
    let learn =
        |text: &str| SegmentMap::new(Limits::default()).learn(&url("/a"), DASH, text.as_bytes());
    let timeline = "<S d='1'/>".repeat(19_999);
    let open = "<MPD><Period><SegmentTemplate media='$Number$'>";
    let close = "</SegmentTemplate>";
    let stray = "<AdaptationSet><S d='1'/></AdaptationSet>".repeat(40_000);
    let learnt = learn(&format!(
        "{open}<SegmentTimeline>{timeline}</SegmentTimeline>{close}{stray}<AdaptationSet><S d='1'/>         <Representation id='a'><S d='1'/></Representation></AdaptationSet></Period></MPD>"
    ));
    assert_eq!(learnt.unwrap().unwrap().segments, 19_999);

    let nested = "<Period><S d='1'/></Period>".repeat(60_000);
    let hostile = format!(
        "{open}<SegmentTimeline>{timeline}{nested}</SegmentTimeline>{close}</Period></MPD>"
    );
    assert_eq!(learn(&hostile), Err(MapError::Malformed));
    for bad in ["Period", "Representation"] {
        let text = format!("<MPD><Period><{bad}></{bad}></Period></MPD>");
        assert_eq!(learn(&text), Err(MapError::Malformed), "{bad} in a Period");
    }

    // A long id is its element's own, however many are within.
    let (id, inner) = ("x".repeat(1 << 20), "<Representation/>".repeat(40_000));
    let sets = format!("<AdaptationSet id='{id}'>{inner}</AdaptationSet>");
    assert!(learn(&format!("<MPD><Period>{sets}</Period></MPD>")).is_ok());
    let took = started.elapsed();
    assert!(took.as_secs() < 30, "copying all that would take longer: {took:?}");
}
