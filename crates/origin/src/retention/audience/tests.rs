//! An audience: what stays, what goes, and its bounds.
#![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
use proptest::prelude::*;

use super::*;

const NOW: Timestamp = Timestamp::from_secs(1_000_000);
const SOUND: Track = Track { group: 1, rendition: 9 };

fn pictures(rendition: u32) -> Track {
    Track { group: 0, rendition }
}

fn at(index: u32) -> Along {
    Along { number: index.into(), index, of: 160, live: false }
}

fn live(number: u64, index: u32) -> Along {
    Along { number, index, of: 450, live: true }
}

fn after(seconds: u64) -> Timestamp {
    NOW.plus(Duration::from_secs(seconds))
}

fn ask(audience: &mut Audience<u32>, title: u32, track: Track, along: Along, now: Timestamp) {
    audience.asked(title, track, along, (1, Duration::from_secs(4)), now);
}

/// A session sees so many segments of a title, one each four seconds; says when it ends.
fn watch(audience: &mut Audience<u32>, title: u32, segments: u32, mut now: Timestamp) -> Timestamp {
    for index in 0..segments {
        ask(audience, title, pictures(0), at(index), now);
        now = now.plus(Duration::from_secs(4));
    }
    now
}

fn segment(title: u32, track: Track, along: Along) -> Piece<u32> {
    Piece { title, part: Part::Segment(track, along) }
}

fn worth(audience: &Audience<u32>, piece: Piece<u32>, now: Timestamp) -> f32 {
    audience.worth(&piece, true, now)
}

#[test]
fn what_is_abandoned_goes_before_what_somebody_comes_to() {
    let mut audience = Audience::new();
    watch(&mut audience, 1, 5, NOW);
    watch(&mut audience, 2, 5, NOW.plus(Duration::from_secs(60)));
    let now = after(82);
    let of = |title, index| worth(&audience, segment(title, pictures(0), at(index)), now);
    assert!(of(2, 6) > 20.0 * of(1, 6), "its viewer left a minute ago");
    assert!(of(2, 6) > of(2, 10) && of(2, 10) > of(2, 60), "the nearest most");
    assert!(of(2, 3) < of(2, 6), "it has had that");
    let gone = after(140);
    let left = worth(&audience, segment(2, pictures(0), at(6)), gone);
    assert!(left < of(2, 6) / 20.0, "who is silent is gone");
}

#[test]
fn tails_go_before_beginnings_once_most_leave_early() {
    let mut audience = Audience::new();
    for title in 0..50 {
        watch(&mut audience, title, if title % 10 == 0 { 160 } else { 12 }, NOW);
    }
    let now = after(3600);
    let of = |index| worth(&audience, segment(7, pictures(0), at(index)), now);
    assert!(of(4) > 4.0 * of(80), "{} {}", of(4), of(80));
    assert!(of(0) > of(4), "and the first two are what a start waits for");
}

#[test]
fn popular_titles_and_renditions_stay() {
    let mut audience = Audience::new();
    for session in 0..20 {
        watch(&mut audience, 1, 3, after(session * 100));
    }
    watch(&mut audience, 2, 3, after(1900));
    let now = after(3000);
    let of = |title, rendition| worth(&audience, segment(title, pictures(rendition), at(9)), now);
    assert!(of(1, 0) > 8.0 * of(2, 0));
    assert!(of(1, 0) > 4.0 * of(1, 1), "nobody was in that");
    let begins = |title, rendition| {
        worth(&audience, Piece { title, part: Part::Beginning(pictures(rendition)) }, now)
    };
    assert!(begins(1, 0) > 8.0 * begins(2, 0) && begins(1, 0) > 4.0 * begins(1, 1));
    let fame = |now| worth(&audience, Piece { title: 1, part: Part::Manifest }, now);
    assert!(fame(after(3 * 3600)) < fame(now) / 5.0, "old fame fades");
}

#[test]
fn of_what_is_live_the_newest_window_stays() {
    let mut audience = Audience::new();
    // Three at the edge, and one that is forty segments behind.
    for segment in 0..100u64 {
        let now = NOW.plus(Duration::from_millis(4000 * segment));
        for viewer in 0..3 {
            let now = now.plus(Duration::from_millis(800 * viewer));
            ask(&mut audience, 1, pictures(0), live(1000 + segment, 449), now);
        }
        ask(&mut audience, 1, pictures(0), live(960 + segment, 409), now);
    }
    let now = after(397);
    let of = |number| worth(&audience, segment(1, pictures(0), live(number, 440)), now);
    assert!(of(1100) > 3.0 * of(1090), "all come to the next");
    assert!(of(1062) > 3.0 * of(1090), "and one to what is forty behind");
    assert!(of(1090) > 10.0 * of(1030), "nobody is behind that");
}

#[test]
fn what_is_live_begins_near_its_newest_and_is_worth_nothing_once_it_is_not_listed() {
    let mut audience = Audience::new();
    // 1449 is the newest, and 1464 a minute later.
    ask(&mut audience, 1, pictures(0), live(1446, 446), NOW);
    ask(&mut audience, 1, pictures(0), live(1461, 446), after(60));
    ask(&mut audience, 1, pictures(1), live(1462, 447), after(60));
    // They are gone.
    let now = after(120);
    let of = |audience: &Audience<u32>, rendition, number| {
        worth(audience, segment(1, pictures(rendition), live(number, 9)), now)
    };
    assert!(of(&audience, 0, 1462) > 5.0 * of(&audience, 0, 1400), "there the next begins");
    assert!(of(&audience, 0, 1462) > 2.0 * of(&audience, 1, 1462), "and in that rendition");
    assert!(of(&audience, 0, 1015) > 0.0, "somebody may go back to that");
    assert!(of(&audience, 0, 1014).abs() < f32::EPSILON, "and nobody to that");
    // The origin counts from zero again.
    ask(&mut audience, 1, pictures(0), live(5, 5), after(119));
    assert!(of(&audience, 0, 1462).abs() < f32::EPSILON);
    assert!(of(&audience, 0, 6) > 0.0);
}

#[test]
fn starts_are_raised_and_only_where_they_may_be() {
    let mut audience = Audience::new();
    watch(&mut audience, 1, 3, NOW);
    ask(&mut audience, 1, SOUND, at(0), NOW);
    let now = after(600);
    for piece in [
        Piece { title: 1, part: Part::Manifest },
        Piece { title: 1, part: Part::Beginning(SOUND) },
        segment(1, pictures(0), at(1)),
    ] {
        let (raised, plain) =
            (audience.worth(&piece, true, now), audience.worth(&piece, false, now));
        assert!(piece.is_raised() && raised > 5.0 * plain && plain > 0.0, "{piece:?}");
    }
    for piece in [segment(1, pictures(0), at(2)), segment(1, pictures(0), live(0, 0))] {
        let raised = audience.worth(&piece, true, now);
        let plain = audience.worth(&piece, false, now);
        assert!(!piece.is_raised() && (raised - plain).abs() < f32::EPSILON);
    }
}

#[test]
fn many_viewers_count_as_many() {
    let mut audience = Audience::new();
    let lasts = Duration::from_secs(4);
    audience.asked(1, pictures(0), at(0), (10, lasts), NOW);
    audience.asked(2, pictures(0), at(0), (1, lasts), NOW);
    let of = |title| worth(&audience, Piece { title, part: Part::Manifest }, after(100));
    assert!(of(1) > 8.0 * of(2));
}

#[test]
fn nothing_is_known_of_what_nobody_asked_for() {
    let mut audience = Audience::new();
    watch(&mut audience, 1, 1, NOW);
    let of = |piece| worth(&audience, piece, NOW);
    assert!(of(Piece { title: 2, part: Part::Manifest }).abs() < f32::EPSILON);
    assert!(of(Piece { title: 1, part: Part::Beginning(SOUND) }).abs() < f32::EPSILON);
}

#[test]
fn memory_is_bounded() {
    let mut audience = Audience::new();
    for title in 0..5000u32 {
        ask(&mut audience, title, pictures(0), at(0), after(title.into()));
    }
    assert_eq!(audience.len(), MAX_TITLES);
    let forgotten = worth(&audience, segment(0, pictures(0), at(0)), after(5000));
    assert!(forgotten.abs() < f32::EPSILON, "the longest unseen");
    for number in 0..1000u32 {
        let track = Track { group: number % 100, rendition: number };
        ask(&mut audience, 4999, track, at(number * 5), after(5000));
        ask(&mut audience, 4999, pictures(number), at(number * 5), after(5000));
    }
    let title = &audience.titles[&4999];
    assert_eq!(title.groups.len(), MAX_GROUPS);
    assert_eq!(title.groups[0].watchers.len(), MAX_WATCHERS);
    assert_eq!(title.groups[0].renditions.len(), MAX_RENDITIONS);
}

proptest! {
    #[test]
    fn whatever_is_asked_for_worth_is_a_number_and_what_is_raised_no_less(
        asked in prop::collection::vec(
            (0u32..4, 0u32..3, 0u32..5, any::<u64>(), any::<u32>(), any::<u32>(), any::<bool>(), any::<u32>(), 0u64..1 << 40),
            0..60,
        ),
    ) {
        let mut audience = Audience::new();
        for (title, group, rendition, number, index, of, live, viewers, millis) in asked {
            let track = Track { group, rendition };
            let along = Along { number, index, of, live };
            let now = Timestamp::from_millis(millis);
            let lasts = Duration::from_millis(u64::from(viewers));
            audience.asked(title, track, along, (viewers, lasts), now);
            for part in [Part::Manifest, Part::Beginning(track), Part::Segment(track, along)] {
                let piece = Piece { title, part };
                for now in [now, Timestamp::from_millis(0), now.plus(Duration::from_secs(5))] {
                    let (raised, plain) =
                        (audience.worth(&piece, true, now), audience.worth(&piece, false, now));
                    prop_assert!(raised.is_finite() && plain >= 0.0 && raised >= plain);
                    prop_assert!(piece.is_raised() || raised <= plain);
                }
            }
        }
    }
}
