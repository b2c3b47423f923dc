//! What is chosen, from maps that are written out.
#![allow(clippy::unwrap_used, reason = "tests may fail loudly")]

use std::time::Duration;

use headwater_net::Timestamp;

use super::*;
use crate::map::Limits;

const NOW: Timestamp = Timestamp::from_secs(1);

fn url(path: &str) -> Url {
    Url::new("h", path).unwrap()
}

fn recent() -> Recent {
    Recent::new(Duration::from_secs(60), 100)
}

fn allowed(recent: &Recent) -> Allowed<'_> {
    Allowed { authority: "h", recent, now: NOW }
}

fn learn(map: &mut SegmentMap, path: &str, text: &str) -> Learnt {
    map.learn(&url(path), None, text.as_bytes()).unwrap().unwrap()
}

fn shown(wants: &[Want]) -> Vec<String> {
    let show = |want: &Want| match &want.target.range {
        Some(range) => {
            format!("{} {}-{}", want.target.url.path_and_query(), range.start, range.end)
        }
        None => want.target.url.path_and_query().to_owned(),
    };
    wants.iter().map(show).collect()
}

#[test]
fn the_next_segments_of_the_same_authority_that_are_not_recent() {
    let mut map = SegmentMap::new(Limits::default());
    let list = "#EXTM3U\n#EXT-X-MAP:URI=\"i\"\n#EXTINF:4,\na\n#EXTINF:4,\nhttps://cdn.elsewhere/b\n\
                #EXT-X-DISCONTINUITY\n#EXT-X-MAP:URI=\"j\"\n#EXTINF:4,\n#EXT-X-BYTERANGE:9@5\nc\n\
                #EXTINF:4,\nd\n#EXTINF:4,\ne\n";
    learn(&mut map, "/l.m3u8", list);
    let at = map.lookup(&url("/a"), None).unwrap();
    let mut recent = recent();
    let wants = next(&map, at, 4, allowed(&recent));
    assert_eq!(shown(&wants), ["/j", "/c 5-14", "/d", "/e"], "with the init segment they need");
    let Why::Next { rendition: 0, number: 2, .. } = wants[0].why else { unreachable!() };
    assert_eq!(shown(&next(&map, at, 1, allowed(&recent))), [""; 0]);
    recent.asked(&wants[2].target, NOW);
    assert_eq!(shown(&next(&map, at, 4, allowed(&recent))), ["/j", "/c 5-14", "/e"]);
}

#[test]
fn a_gap_is_not_fetched_and_what_is_behind_it_is() {
    let mut map = SegmentMap::new(Limits::default());
    let list = "#EXTM3U\n#EXT-X-GAP\n#EXTINF:4,\na\n#EXTINF:4,\nb\n#EXT-X-GAP\n#EXTINF:4,\nc\n\
                #EXTINF:4,\nd\n#EXT-X-ENDLIST\n";
    let learnt = learn(&mut map, "/l.m3u8", list);
    let at = map.lookup(&url("/b"), None).unwrap();
    let recent = recent();
    assert_eq!(shown(&next(&map, at, 2, allowed(&recent))), ["/d"]);
    let begins = heads(&map, &learnt, 4, &Starts::default(), allowed(&recent));
    assert_eq!(shown(&begins), [""; 0]);
}

fn ladder() -> SegmentMap {
    let mut map = SegmentMap::new(Limits::default());
    let main = "#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"a\",URI=\"a.m3u8\"\n\
                #EXT-X-STREAM-INF:BANDWIDTH=1000000\n1.m3u8\n\
                #EXT-X-STREAM-INF:BANDWIDTH=3000000\n3.m3u8\n\
                #EXT-X-STREAM-INF:BANDWIDTH=2000000\n2.m3u8\n\
                #EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=2500000,URI=\"i.m3u8\"\n";
    learn(&mut map, "/main.m3u8", main);
    for name in ["1", "2"] {
        let list = format!(
            "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-MAP:URI=\"{name}/init\"\n#EXTINF:4,\n\
             {name}/0\n#EXTINF:4,\n{name}/1\n#EXTINF:2,\n{name}/2\n#EXT-X-ENDLIST\n"
        );
        learn(&mut map, &format!("/{name}.m3u8"), &list);
    }
    map
}

#[test]
fn a_switch_is_near_where_throughput_is_at_its_edge() {
    let mut map = ladder();
    let at = map.lookup(&url("/2/0"), None).unwrap();
    let beside = map.neighbours(at.presentation, at.rendition);
    let bandwidths = [beside.lower, beside.higher].map(|one| one.unwrap().bandwidth);
    assert_eq!(bandwidths, [1_000_000, 3_000_000], "I-frames and sound are no neighbours");
    let near = |least, most| {
        let near = switches((least, most), 2_000_000, &beside);
        near.into_iter().map(|(to, _)| to).collect::<Vec<_>>()
    };
    assert_eq!(near(2_299_999, 2_299_999), [Switch::Down]);
    assert_eq!(near(2_300_000, 3_599_999), []);
    assert_eq!(near(3_600_000, 3_600_000), [Switch::Up]);
    assert_eq!(near(500_000, 9_000_000), [Switch::Down, Switch::Up], "of two clients");
    assert_eq!(switches((0, u64::MAX), u64::MAX, &Neighbours::default()), []);
}

#[test]
fn a_neighbour_gives_its_playlist_first_and_then_the_same_segment() {
    let mut map = ladder();
    let recent = recent();
    let at = map.lookup(&url("/2/0"), None).unwrap();
    let beside = map.neighbours(at.presentation, at.rendition);
    let down = switch(&map, at, beside.lower.unwrap(), allowed(&recent));
    assert_eq!(shown(&down), ["/1/init", "/1/1"]);
    let Why::Switch { rendition, number: 1, .. } = down[0].why else { unreachable!() };
    assert_eq!(rendition, at.rendition, "the session that wants it is here");
    assert_eq!(shown(&switch(&map, at, beside.higher.unwrap(), allowed(&recent))), ["/3.m3u8"]);
    let last = map.lookup(&url("/2/2"), None).unwrap();
    assert_eq!(shown(&switch(&map, last, beside.lower.unwrap(), allowed(&recent))), [""; 0]);
}

#[test]
fn a_title_begins_with_its_playlists_and_their_beginnings() {
    let mut map = SegmentMap::new(Limits::default());
    let recent = recent();
    let main = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n1.m3u8\n#EXT-X-STREAM-INF:BANDWIDTH=2\n\
                2.m3u8\n#EXT-X-STREAM-INF:BANDWIDTH=3\nhttps://elsewhere/3.m3u8\n";
    let learnt = learn(&mut map, "/main.m3u8", main);
    let starts = Starts::default();
    let begins = |map: &SegmentMap, learnt: &Learnt, most| {
        shown(&heads(map, learnt, most, &starts, allowed(&recent)))
    };
    assert_eq!(begins(&map, &learnt, 9), ["/1.m3u8", "/2.m3u8"]);
    assert_eq!(begins(&map, &learnt, 1), ["/1.m3u8"]);
    let list = "#EXTM3U\n#EXT-X-MAP:URI=\"i\"\n#EXTINF:4,\na\n#EXTINF:4,\nb\n#EXT-X-ENDLIST\n";
    let learnt = learn(&mut map, "/1.m3u8", list);
    assert_eq!(begins(&map, &learnt, 9), ["/i", "/a"]);
    let again = learn(&mut map, "/1.m3u8", &list.replace("b\n", "b2\n"));
    assert_eq!(begins(&map, &again, 9), [""; 0], "it is known by now");
    let second = learn(&mut map, "/2.m3u8", &list.replace('a', "c").replace('b', "d"));
    assert_eq!(begins(&map, &second, 9), ["/i"], "of a rendition that few begin in, no segment");

    let mpd = r#"<MPD mediaPresentationDuration="PT9S"><Period><AdaptationSet><SegmentTemplate
        duration="3" initialization="$RepresentationID$/i" media="$RepresentationID$/$Number$"/>
        <Representation id="x" bandwidth="1"/><Representation id="y" bandwidth="9"/>
        </AdaptationSet></Period></MPD>"#;
    let learnt = learn(&mut map, "/m.mpd", mpd);
    assert_eq!(begins(&map, &learnt, 9), ["/x/i", "/x/1", "/y/i"]);
    let mut high = Starts::default();
    high.began(8);
    let found = heads(&map, &learnt, 9, &high, allowed(&recent));
    assert_eq!(shown(&found), ["/x/i", "/y/i", "/y/1"], "where others began");
}

/// RFC 8216 §6.3.3: players begin three target durations before the end.
#[test]
fn a_live_presentation_begins_near_its_end_and_waits_for_what_comes() {
    let mut map = SegmentMap::new(Limits::default());
    let recent = recent();
    let list = |control: &str| {
        let segments =
            (7..17).map(|i| format!("#EXTINF:4,\n{i}.mp4\n")).collect::<Vec<_>>().concat();
        format!(
            "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-MEDIA-SEQUENCE:7\n{control}\
             #EXT-X-MAP:URI=\"i\"\n{segments}"
        )
    };
    let learnt = learn(&mut map, "/l.m3u8", &list(""));
    let found = heads(&map, &learnt, 9, &Starts::default(), allowed(&recent));
    assert_eq!(shown(&found), ["/i", "/14.mp4"]);
    assert_eq!(shown(&live(&map, learnt.presentation, 0, allowed(&recent))), [""; 0]);
    let control = "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES\n#EXT-X-PRELOAD-HINT:TYPE=PART,\
                   URI=\"17.0.mp4\"\n";
    learn(&mut map, "/l.m3u8", &list(control));
    let wants = live(&map, learnt.presentation, 0, allowed(&recent));
    assert_eq!(shown(&wants), ["/17.0.mp4", "/l.m3u8?_HLS_msn=17"]);
    assert!(
        map.is_at_live_edge(&url("/17.mp4"), NOW) && map.is_at_live_edge(&url("/17.0.mp4"), NOW)
    );
    assert!(
        !map.is_at_live_edge(&url("/16.mp4"), NOW) && !map.is_at_live_edge(&url("/17.ts"), NOW)
    );
    assert!(map.is_at_live_edge(&url("/l.m3u8?_HLS_msn=17"), NOW));
}

/// CTA-5004 §3: `nor` is relative to the request; a shield follows it nowhere else.
#[test]
fn what_players_tell_is_followed_on_the_same_authority_only() {
    let recent = recent();
    let asked = url("/film/v1/3.m4s?x=1");
    let follow = |reference: &str| {
        let want = told(&asked, reference, None, allowed(&recent));
        want.map(|want| want.target.url.path_and_query().to_owned())
    };
    assert_eq!(follow("4.m4s").as_deref(), Some("/film/v1/4.m4s"));
    assert_eq!(follow("../v2/4.m4s?x=1").as_deref(), Some("/film/v2/4.m4s?x=1"));
    assert_eq!(follow("//H:80/abs").as_deref(), Some("/abs"));
    assert_eq!(follow("../../../../etc").as_deref(), Some("/etc"));
    for outside in [
        "//elsewhere/4.m4s",
        "https://elsewhere/4.m4s",
        "http://h@elsewhere/x",
        "//h:8080/x",
        "file:///etc/passwd",
        "gopher://h/x",
        "//h.elsewhere/x",
        "//169.254.169.254/latest",
        "/.well-known/headwater-hints",
        "/a/../.well-known/x",
    ] {
        assert_eq!(follow(outside), None, "{outside}");
    }
    let part = told(&asked, "", Some(100..200), allowed(&recent)).unwrap();
    assert_eq!(shown(&[part]), ["/film/v1/3.m4s?x=1 100-200"]);
}
