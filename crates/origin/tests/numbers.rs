//! The numbers of segments while a live DASH window moves: a segment keeps its own, whatever the manifest
//! calls its first.
#![allow(clippy::unwrap_used, reason = "tests may fail loudly")]

mod support;

use std::time::Duration;

use headwater_cache::{Cache, Downstream};
use headwater_net::{Clock, Timestamp};
use headwater_origin::map::{Limits, Position, SegmentMap, Url};
use headwater_origin::{PrefetchConfig, Shield};
use proptest::prelude::*;
use support::{Origin, eventually, get, reply, segment, settle};

fn url(path: &str) -> Url {
    Url::new("h", path).unwrap()
}

fn mpd(periods: &str) -> String {
    format!("<MPD type='dynamic' minimumUpdatePeriod='PT2S'>{periods}</MPD>")
}

/// A period of one set of renditions, `v` or others, with the `S` elements of its timeline.
fn period(start: u64, template: &str, ids: &[&str], spans: &str) -> String {
    let representation = |id: &&str| format!("<Representation id='{id}' bandwidth='1'/>");
    let representations = ids.iter().map(representation).collect::<Vec<_>>().concat();
    format!(
        "<Period start='PT{start}S'><AdaptationSet><SegmentTemplate {template}><SegmentTimeline>\
         {spans}</SegmentTimeline></SegmentTemplate>{representations}</AdaptationSet></Period>"
    )
}

const BY_TIME: &str = "media='$RepresentationID$/$Time$.m4s'";

/// A map that was taught these, one after the other, as versions of one manifest.
fn taught(versions: &[String]) -> SegmentMap {
    let mut map = SegmentMap::new(Limits::default());
    for version in versions {
        learn(&mut map, version);
    }
    map
}

fn learn(map: &mut SegmentMap, version: &str) {
    map.learn(&url("/l.mpd"), Some("application/dash+xml"), version.as_bytes()).unwrap().unwrap();
}

fn at(map: &mut SegmentMap, path: &str) -> Position {
    map.lookup(&url(path), None).unwrap()
}

fn number(map: &mut SegmentMap, path: &str) -> u64 {
    let position = at(map, path);
    map.number(position).unwrap()
}

/// ISO/IEC 23009-1 §5.3.9.6: without `startNumber`, or with one that stays, nothing but its time says
/// which segment one is.
#[test]
fn a_segment_keeps_its_number_while_the_window_moves() {
    for template in [BY_TIME.to_owned(), format!("{BY_TIME} startNumber='1'")] {
        let window = |spans: &str| mpd(&period(0, &template, &["v"], spans));
        let mut map = taught(&[window("<S t='40' d='4' r='4'/>")]);
        let before = at(&mut map, "/v/52.m4s");
        let numbered = map.number(before).unwrap();
        assert_eq!(number(&mut map, "/v/56.m4s"), numbered + 1);
        learn(&mut map, &window("<S t='52' d='4' r='4'/>"));
        assert_eq!(number(&mut map, "/v/52.m4s"), numbered);
        let now = map.numbered(before.presentation, 0, numbered).unwrap();
        assert_eq!(map.next(now, 1)[0].url.path(), "/v/56.m4s", "what was next is next");
        assert_eq!(map.live(now.presentation, 0).unwrap().next.0, numbered + 5);
        // A version from before, of an origin that lags behind.
        learn(&mut map, &window("<S t='44' d='4' r='4'/>"));
        assert_eq!(number(&mut map, "/v/60.m4s"), numbered + 2);
    }
}

#[test]
fn a_gap_in_the_timeline_takes_no_number_and_one_between_two_windows_does() {
    let window = |spans: &str| mpd(&period(0, BY_TIME, &["v"], spans));
    let mut map = taught(&[window("<S t='0' d='4' r='1'/><S t='20' d='4' r='1'/>")]);
    let first = number(&mut map, "/v/0.m4s");
    assert_eq!(number(&mut map, "/v/20.m4s"), first + 2);
    learn(&mut map, &window("<S t='4' d='4'/><S t='20' d='4' r='2'/>"));
    for (path, ahead) in [("/v/4.m4s", 1), ("/v/20.m4s", 2), ("/v/28.m4s", 4)] {
        assert_eq!(number(&mut map, path), first + ahead, "{path}");
    }
    // Nobody asked for three windows: four segments would have been in between.
    learn(&mut map, &window("<S t='48' d='4' r='1'/>"));
    assert_eq!(number(&mut map, "/v/48.m4s"), first + 9);
    // The encoder began anew: what comes now comes after all that was.
    learn(&mut map, &window("<S t='0' d='4' r='1'/>"));
    assert_eq!(number(&mut map, "/v/0.m4s"), first + 11);
}

/// A period that leaves takes no numbers of the next one with it, whether that is named by time or by
/// numbers that begin anew.
#[test]
fn numbers_go_on_over_periods() {
    let by_number = "media='$RepresentationID$/two-$Number$.m4s'";
    for (template, from, to) in [
        ("media='$RepresentationID$/two-$Time$.m4s'", "two-4.m4s", "two-12.m4s"),
        (by_number, "two-2.m4s", "two-4.m4s"),
    ] {
        let one = |spans: &str| period(0, BY_TIME, &["v"], spans);
        let two = |spans: &str| period(20, template, &["v"], spans);
        let both = mpd(&(one("<S t='12' d='4' r='1'/>") + &two("<S t='0' d='4' r='1'/>")));
        let alone = mpd(&two("<S t='0' d='4' r='3'/>"));
        let mut map = taught(&[mpd(&one("<S t='4' d='4' r='3'/>")), both]);
        let second = number(&mut map, &format!("/v/{from}"));
        assert_eq!(second, number(&mut map, "/v/16.m4s") + 2, "{template}");
        learn(&mut map, &alone);
        assert_eq!(number(&mut map, &format!("/v/{from}")), second, "{template}");
        let more = if template == by_number {
            mpd(&period(
                20,
                &format!("{by_number} startNumber='3'"),
                &["v"],
                "<S t='8' d='4' r='3'/>",
            ))
        } else {
            mpd(&two("<S t='8' d='4' r='3'/>"))
        };
        learn(&mut map, &more);
        assert_eq!(number(&mut map, &format!("/v/{to}")), second + 2, "{template}");
    }
}

/// Who is named by number has the numbers that its names hold.
#[test]
fn a_packager_that_moves_its_start_number_is_believed() {
    let window = |first: u64, spans: &str| {
        let template = format!("media='$RepresentationID$/$Number$.m4s' startNumber='{first}'");
        mpd(&period(0, &template, &["v"], spans))
    };
    let mut map = taught(&[window(7, "<S t='0' d='4' r='2'/>")]);
    assert_eq!(number(&mut map, "/v/9.m4s"), 9);
    learn(&mut map, &window(8, "<S t='4' d='4' r='2'/>"));
    assert_eq!(number(&mut map, "/v/9.m4s"), 9);
    // It stood still for a while, and counts on.
    learn(&mut map, &window(11, "<S t='400' d='4' r='2'/>"));
    assert_eq!(number(&mut map, "/v/12.m4s"), 12);
}

/// §5.3.9.3: a list without `startNumber` begins with the first segment that it has, and only names say how far
/// it has moved on.
#[test]
fn segments_of_a_list_that_says_no_number_go_by_their_names() {
    let window = |names: &[&str]| {
        let urls: Vec<_> =
            names.iter().map(|name| format!("<SegmentURL media='{name}'/>")).collect();
        mpd(&format!(
            "<Period start='PT0S'><AdaptationSet><Representation id='v' bandwidth='1'>\
             <SegmentList duration='4'>{}</SegmentList></Representation></AdaptationSet></Period>",
            urls.concat()
        ))
    };
    for names in [["k", "q", "c", "z", "m", "b"], ["s8", "s9", "s10", "s11", "s12", "s13"]] {
        let path = |at: usize| format!("/{}", names[at]);
        let mut map = taught(&[window(&names[..3])]);
        let first = number(&mut map, &path(0));
        learn(&mut map, &window(&names[1..4]));
        for at in 1..4 {
            assert_eq!(number(&mut map, &path(at)), first + at as u64, "{at} of {names:?}");
        }
        let now = at(&mut map, &path(3));
        assert_eq!(map.live(now.presentation, 0).unwrap().next.0, first + 4);
        // An origin that lags behind, and then one that has dropped all that was.
        learn(&mut map, &window(&names[..3]));
        assert_eq!(number(&mut map, &path(2)), first + 2, "{names:?}");
        learn(&mut map, &window(&names[4..]));
        assert_eq!(number(&mut map, &path(4)), first + 3, "{names:?}");
    }
}

/// A rendition that is in the second period alone begins there, and not at the beginning of all.
#[test]
fn beside_a_segment_is_what_is_shown_at_its_time_whichever_period_a_rendition_begins_in() {
    let period = |lasts: u64, template: &str, ids: &[&str]| {
        let representation = |id: &&str| format!("<Representation id='{id}' bandwidth='1'/>");
        let representations = ids.iter().map(representation).collect::<Vec<_>>().concat();
        format!(
            "<Period duration='PT{lasts}S'><AdaptationSet><SegmentTemplate duration='4' \
             media='{template}/$RepresentationID$/$Number$.m4s'/>{representations}</AdaptationSet></Period>"
        )
    };
    let periods = period(8, "one", &["a"]) + &period(12, "two", &["a", "b"]);
    let mut map = taught(&[format!("<MPD>{periods}</MPD>")]);
    for (from, to, there) in [
        ("/two/a/2.m4s", 1, Some("/two/b/2.m4s")),
        ("/two/b/1.m4s", 0, Some("/two/a/1.m4s")),
        ("/one/a/2.m4s", 1, None),
    ] {
        let position = at(&mut map, from);
        let beside = map.beside(position, to).and_then(|beside| map.target(beside));
        let beside = beside.map(|target| target.url.path().to_owned());
        assert_eq!(beside.as_deref(), there, "beside {from}");
    }
}

/// A player that switches finds its segment by number.
#[test]
fn a_rendition_that_joins_counts_as_those_beside_it() {
    let window = |ids: &[&str], spans: &str| mpd(&period(0, BY_TIME, ids, spans));
    let mut map = taught(&[
        window(&["v"], "<S t='0' d='4' r='4'/>"),
        window(&["w", "v"], "<S t='12' d='4' r='4'/>"),
    ]);
    let own = at(&mut map, "/v/16.m4s");
    let beside = at(&mut map, "/w/16.m4s");
    assert_eq!(map.beside(own, beside.rendition), Some(beside));
    assert_eq!((map.number(own), map.number(beside)), (Some(5), Some(5)));
}

/// The player is at the newest segment when the window moves on.
#[tokio::test]
async fn what_comes_next_in_a_window_that_moves_is_fetched() {
    let clock = Clock::manual(Timestamp::from_secs(1_700_000_000));
    let cache = Cache::builder().name("shield").clock(clock.clone());
    let list = |first: u64| {
        let spans = format!("<S t='{first}' d='4' r='2'/>");
        let text = mpd(&period(0, BY_TIME, &["v"], &spans));
        reply(200).header("content-type", "application/dash+xml").body(text)
    };
    let origin = Origin::new().on("/l.mpd", list(0)).otherwise(segment("a segment"));
    let shield = Shield::builder()
        .origin(origin.clone())
        .cache(cache.downstream(Downstream::Caches).build())
        .prefetch(PrefetchConfig::default().heads(0))
        .clock(clock.clone())
        .build();
    for path in ["/l.mpd", "/v/4.m4s", "/v/8.m4s"] {
        get(&shield, path).await;
        settle().await;
    }
    clock.advance(Duration::from_secs(4));
    let origin = origin.on("/l.mpd", list(4));
    get(&shield, "/l.mpd").await;
    eventually("it is fetched", || origin.times("/v/12.m4s") == 1).await;
    settle().await;
    assert!(get(&shield, "/v/12.m4s").await.is_hit());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// However a window moves over one timeline, every segment has one number, and the next one the next.
    #[test]
    fn every_segment_of_a_timeline_has_one_number(
        durations in proptest::collection::vec(30_000u64..120_000, 30..60),
        gaps in proptest::collection::vec(0u64..200_000, 60),
        moves in proptest::collection::vec((0usize..4, 5usize..12), 1..20),
        timescale in prop_oneof![Just(10_000u64), Just(9_973), Just(44_100)],
    ) {
        let mut starts = vec![50_000u64];
        for (duration, gap) in durations.iter().zip(&gaps) {
            let gap = if gap % 4 == 0 { *gap } else { 0 };
            starts.push(starts.last().unwrap() + duration + gap);
        }
        let template = format!("{BY_TIME} timescale='{timescale}'");
        let mut map = SegmentMap::new(Limits::default());
        let mut base = None;
        let mut from = 0;
        for (ahead, len) in moves {
            from += ahead;
            let shown: Vec<_> = (from..durations.len()).take(len).collect();
            if shown.len() < 5 {
                break;
            }
            let span = |i: &usize| format!("<S t='{}' d='{}'/>", starts[*i], durations[*i]);
            let spans = shown.iter().map(span).collect::<Vec<_>>().concat();
            learn(&mut map, &mpd(&period(0, &template, &["v"], &spans)));
            for i in shown {
                let found = number(&mut map, &format!("/v/{}.m4s", starts[i]));
                let (first_number, first) = *base.get_or_insert((found, i));
                prop_assert_eq!(found, first_number + (i - first) as u64);
            }
        }
    }
}
