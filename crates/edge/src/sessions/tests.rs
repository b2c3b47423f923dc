//! Sessions by id and by place, their ends, and how many there can be.
#![allow(clippy::unwrap_used, reason = "tests may fail loudly")]

use super::*;

fn who(id: &str) -> Who {
    let (id, country) = (id.to_owned(), crate::whom::Country::new("at"));
    let address = "192.0.2.77".parse().ok();
    Who { id, title: "/film".to_owned(), host: "h".to_owned(), address, country, protocol: None }
}

fn asked(sessions: &Sessions, id: &str) {
    let key = sessions.key_of_id(id);
    sessions.note(key, || who(id), |session, now, _| session.answered(Tier::Memory, false, 9, now));
}

fn metrics(sessions: &Sessions) -> String {
    let mut registry = Registry::default();
    sessions.register(&mut registry);
    let mut page = String::new();
    prometheus_client::encoding::text::encode(&mut page, &registry).unwrap();
    page
}

#[test]
fn a_session_is_there_until_it_is_silent_for_too_long() {
    let clock = Clock::manual(Timestamp::from_secs(100));
    let (builder, mut events) = Sessions::builder().clock(clock.clone()).edge("e1").events(10);
    let sessions = builder.idle(Duration::from_secs(30)).build();
    asked(&sessions, "a");
    clock.advance(Duration::from_secs(20));
    asked(&sessions, "a");
    asked(&sessions, "b");
    let view = sessions.view(10);
    let seen: Vec<_> = view.sessions.iter().map(|one| (&*one.id, one.requests)).collect();
    assert_eq!((seen, view.known), (vec![("b", 1), ("a", 2)], 2));
    assert_eq!(view.sessions[1].address.unwrap().to_string(), "192.0.2.0");
    assert_eq!((view.titles[0].title.as_str(), view.titles[0].sessions), ("/film", 2));
    clock.advance(Duration::from_secs(31));
    assert!(!sessions.is_known(sessions.key_of_id("a")));
    assert!(sessions.view(10).sessions.is_empty());
    assert_eq!(sessions.known(), 0);
    let mut told = Vec::new();
    while let Ok(event) = events.try_recv() {
        assert_eq!(
            (&*event.edge, &*event.title, event.country.as_deref()),
            ("e1", "/film", Some("AT"))
        );
        told.push((event.session, event.what));
    }
    assert_eq!(told[..2], [("a".to_owned(), What::Begun), ("b".to_owned(), What::Begun)]);
    let ended =
        What::Ended { millis: 20_000, requests: 2, bytes: 18, rebuffers: 0, stalled: 0, errors: 0 };
    assert!(told.contains(&("a".to_owned(), ended)), "{told:?}");
    assert_eq!(told.len(), 4);
}

#[test]
fn bit_rates_that_cannot_be_do_not_add_up_to_an_overflow() {
    let sessions = Sessions::builder().build();
    for id in ["a", "b"] {
        let key = sessions.key_of_id(id);
        sessions.note(key, || who(id), |session, _, _| session.bitrate = Some(u64::MAX));
    }
    assert_eq!(sessions.view(1).titles[0].bitrate_kbps, u64::MAX);
}

#[test]
fn one_that_comes_back_after_its_end_is_another() {
    let clock = Clock::manual(Timestamp::from_secs(100));
    let sessions = Sessions::builder().clock(clock.clone()).build();
    asked(&sessions, "a");
    clock.advance(Duration::from_secs(61));
    asked(&sessions, "a");
    let view = sessions.view(1);
    assert_eq!((view.sessions[0].requests, view.known), (1, 1));
    assert!(
        metrics(&sessions)
            .contains("playback_sessions_total{title=\"/film\",country=\"AT\",edge=\"edge\"} 2")
    );
}

#[test]
fn strangers_make_no_more_sessions_and_series_than_there_is_room_for() {
    let (builder, _events) = Sessions::builder().capacity(64).events(8);
    let sessions = builder.clock(Clock::manual(Timestamp::from_secs(1))).build();
    for number in 0..5_000 {
        let id = format!("made up {number}");
        let key = sessions.key_of_id(&id);
        let title = format!("/{number}");
        sessions.note(key, || Who { title, ..who(&id) }, |_, _, _| ());
    }
    assert_eq!(sessions.known(), 64);
    assert_eq!(sessions.view(usize::MAX).sessions.len(), 64);
    assert_eq!(sessions.view(5).sessions.len(), 5);
    let page = metrics(&sessions);
    let series = page.lines().filter(|line| line.contains("playback_sessions_total{")).count();
    assert_eq!(series, MAX_SERIES + 1);
    assert!(page.contains("headwater_edge_sessions_pushed_out_total 4936"), "{page}");
    assert!(page.contains("session_events_dropped_total 9"), "{page}");
    assert!(page.contains(&format!(
        "title=\"other\",country=\"other\",edge=\"edge\"}} {}",
        5_000 - MAX_SERIES
    )));
}

#[test]
fn without_an_id_what_lies_below_a_manifest_is_one_session() {
    let sessions = Sessions::builder().build();
    let network = "192.0.2.1".parse().ok();
    let ask = |host: &str, path: &str, manifest| {
        let (key, title) = sessions.key_of_place(network, host, path, manifest);
        sessions.note(key, || who("x"), |_, _, _| ());
        title.to_owned()
    };
    assert_eq!(ask("h", "/vod/a/main.m3u8", true), "/vod/a");
    assert_eq!(ask("h", "/vod/a/v1/index.m3u8", true), "/vod/a");
    assert_eq!(ask("h", "/vod/a/v1/s/1.m4s", false), "/vod/a");
    assert_eq!(ask("h", "/vod/b/main.mpd", true), "/vod/b");
    assert_eq!(ask("other", "/vod/a/v1/1.m4s", false), "/vod/a/v1");
    assert_eq!(sessions.known(), 3);
    assert_eq!(ask("root", "/main.m3u8", true), "");
    assert_eq!(ask("root", "/v1/1.m4s", false), "");
    assert_eq!(ask("root", "/another/main.m3u8", true), "/another");
    let deep = "/a".repeat(200);
    assert_eq!(ask("h", &format!("{deep}/1.m4s"), false), deep);
}

#[test]
fn reports_of_what_is_not_served_here_make_no_session() {
    let sessions = Sessions::builder().build();
    assert!(!sessions.look(sessions.key_of_id("x"), |_, _, _| ()));
    assert_eq!(sessions.known(), 0);
}
