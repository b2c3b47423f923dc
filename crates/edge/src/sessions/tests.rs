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
fn what_sessions_were_described_by_changes_while_they_are_watched() {
    let clock = Clock::manual(Timestamp::from_secs(100));
    let described = || Sessions::builder().capacity(8).idle(Duration::from_secs(30)).edge("e1");
    let (builder, mut events) = described().clock(clock.clone()).events(100);
    let sessions = builder.build();
    asked(&sessions, "a");
    clock.advance(Duration::from_secs(20));
    asked(&sessions, "b");
    sessions.put(described().capacity(5_000).idle(Duration::from_secs(60)).edge("e2"));
    clock.advance(Duration::from_secs(35));
    for number in 0..100 {
        asked(&sessions, &number.to_string());
    }
    asked(&sessions, "a");
    assert_eq!(sessions.known(), 102, "there is room, and silence of 55 s is none");
    sessions.put(described().capacity(5_000).addresses(true));
    let view = sessions.view(1_000);
    assert_eq!((view.edge.as_str(), view.sessions.len()), ("e1", 101), "b is over");
    let a = view.sessions.iter().find(|one| one.id == "a").unwrap();
    assert_eq!((a.requests, a.address.unwrap().to_string().as_str()), (2, "192.0.2.77"));
    assert!(metrics(&sessions).contains("edge=\"e1\"} 102"), "{}", metrics(&sessions));
    let told = std::iter::from_fn(|| events.try_recv().ok());
    let begun =
        told.filter(|event| event.what == What::Begun).map(|event| (event.session, event.edge));
    let begun: Vec<_> = begun.collect();
    assert_eq!(begun.len(), 100, "those that fit into the queue: {begun:?}");
    assert_eq!(begun[1], ("b".to_owned(), "e1".to_owned()));
    assert_eq!(begun[2], ("0".to_owned(), "e2".to_owned()));
}

#[test]
fn where_there_is_less_room_the_longest_silent_are_forgotten() {
    let clock = Clock::manual(Timestamp::from_secs(100));
    let sessions = Sessions::builder().clock(clock.clone()).build();
    for number in 0..20 {
        asked(&sessions, &number.to_string());
        clock.advance(Duration::from_millis(10));
    }
    sessions.put(Sessions::builder().capacity(8));
    let mut left: Vec<_> = sessions.view(100).sessions.into_iter().map(|one| one.id).collect();
    left.sort_by_key(|id| id.parse::<u64>().unwrap());
    let last: Vec<_> = (12..20).map(|number| number.to_string()).collect();
    assert_eq!((left, sessions.known()), (last, 8));
    assert!(metrics(&sessions).contains("headwater_edge_sessions_pushed_out_total 12\n"));
}

#[test]
fn where_sessions_are_off_none_is_known_and_nothing_is_said() {
    let clock = Clock::manual(Timestamp::from_secs(100));
    let off = || Sessions::builder().on(false);
    let (builder, mut events) = off().clock(clock.clone()).events(100);
    let sessions = builder.build();
    asked(&sessions, "a");
    assert_eq!(
        (sessions.known(), sessions.is_on(), metrics(&sessions).as_str()),
        (0, false, "# EOF\n")
    );
    sessions.put(Sessions::builder());
    asked(&sessions, "a");
    asked(&sessions, "b");
    assert_eq!((sessions.known(), sessions.is_on()), (2, true));
    sessions.put(off());
    asked(&sessions, "c");
    let key = sessions.key_of_id("a");
    assert!(!sessions.is_known(key) && !sessions.look(key, |_, _, _| ()));
    assert_eq!((sessions.known(), sessions.view(9).sessions.len()), (0, 0));
    assert_eq!(metrics(&sessions), "# EOF\n");
    let told: Vec<_> = std::iter::from_fn(|| events.try_recv().ok()).collect();
    let ended = told.iter().filter(|event| matches!(event.what, What::Ended { .. })).count();
    assert_eq!((told.len(), ended), (4, 2), "two began, and both have ended: {told:?}");
    sessions.put(Sessions::builder());
    asked(&sessions, "a");
    assert_eq!(sessions.view(9).sessions[0].requests, 1, "it begins anew");
    assert!(metrics(&sessions).contains("headwater_edge_sessions_pushed_out_total 0\n"));
}

#[test]
fn events_may_begin_later() {
    struct Sink(std::sync::mpsc::Sender<String>);

    impl io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            drop(self.0.send(String::from_utf8_lossy(bytes).into_owned()));
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    let sessions = Sessions::builder().build();
    asked(&sessions, "a");
    let (sender, lines) = std::sync::mpsc::channel();
    sessions.events_to(Sink(sender.clone()), 10).unwrap();
    sessions.events_to(Sink(sender), 10).unwrap();
    asked(&sessions, "b");
    let line = lines.recv_timeout(Duration::from_secs(60)).unwrap();
    assert!(line.contains("\"session\":\"b\"") && line.lines().count() == 1, "{line}");
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
