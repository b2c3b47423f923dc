//! CMCD as players of both versions send it, and as nobody should.
#![allow(clippy::unwrap_used, reason = "tests may fail loudly")]

use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;

/// What was read, in the words of the table.
fn summary(told: &Cmcd) -> String {
    let mut out = Vec::new();
    out.extend(told.version.map(|version| format!("v={version}")));
    let numbers = [
        ("bl", told.buffer),
        ("mtp", told.throughput),
        ("br", told.bitrate),
        ("tb", told.top_bitrate),
        ("d", told.duration),
    ];
    let text = |key: &str, value: &Option<String>| value.as_ref().map(|v| format!("{key}={v}"));
    out.extend(text("sid", &told.session));
    out.extend(text("cid", &told.content));
    for (key, value) in numbers {
        out.extend(value.map(|value| format!("{key}={value}")));
    }
    let object = told.object.map(|object| match object {
        Object::Manifest => "m",
        Object::Audio => "a",
        Object::Video => "v",
        Object::Muxed => "av",
        Object::Init => "i",
        Object::Caption => "c",
        Object::TimedText => "tt",
        Object::Key => "k",
        Object::Other => "o",
    });
    out.extend(object.map(|object| format!("ot={object}")));
    out.extend(told.format.map(|format| format!("sf={format}")));
    out.extend(told.live.map(|live| format!("st={}", if live { "l" } else { "v" })));
    out.extend(told.max_rate.map(|rate| format!("rtp={rate}")));
    out.extend(told.startup.then(|| "su".to_owned()));
    out.extend(told.starved.then(|| "bs".to_owned()));
    for next in &told.next {
        let mut text = format!("nor={}", next.reference);
        if let Some(range) = next.range {
            let _ = write!(text, "[{range}]");
        }
        out.push(text);
    }
    out.join("|")
}

#[test]
fn what_another_library_writes_is_read_as_it_reads_it() {
    let table = include_str!("vectors.txt");
    let mut vectors = 0;
    for block in table.split("\n\n").skip(1) {
        let lines: Vec<_> = block.lines().collect();
        let [text, query, fields @ .., expected] = lines.as_slice() else { continue };
        // Both `l` and `ll` are live.
        let expected = expected.strip_prefix("= ").unwrap().replace("st=ll", "st=l");
        let told = Cmcd::read(text).unwrap();
        assert_eq!(summary(&told), expected, "{text}");
        assert_eq!(*Cmcd::read_query(&format!("a=1&{query}&b")).unwrap().unwrap(), told, "{query}");
        assert_eq!(*Cmcd::read_all(fields.iter().copied()).unwrap(), told, "{fields:?}");
        vectors += 1;
    }
    assert_eq!(vectors, 12);
}

#[test]
fn one_byte_that_does_not_fit_and_nothing_is_believed() {
    for bad in [
        "br=3200,",
        ",br=1",
        "br=1 mtp=2",
        "Br=1",
        "br=",
        "br=1,,bl=2",
        "sid=\"a",
        "sid=\"a\\n\"",
        "sid=\"ä\"",
        "br=1234567890123456",
        "br=1.2345",
        "br=(1 2",
        "br=(1,2)",
        "nor=(\"a\"\"b\")",
        "br=1;",
        "x=?2",
        "x=:a",
        "br=1\n",
    ] {
        assert!(matches!(Cmcd::read(bad), Err(CmcdError::Syntax(_))), "{bad}");
    }
    for bad in [
        "br=\"3\"",
        "br=-1",
        "br=-0.5",
        "br",
        "br=()",
        "su=1",
        "sid=token",
        "ot=\"v\"",
        "nor=a.mp4",
        "nor=(\"a\" 7)",
        "nor=(\"a\";r=7)",
        "nor=\"a\",nrr=\"5\"",
        "nor=\"a\",nrr=\"-5\"",
        "nor=\"a\",nrr=\"9-5\"",
        "nor=\"%\"",
        "nor=\"%ff\"",
        "nor=(\"a\";r=\"1-2,4-5\"),v=2",
    ] {
        assert_eq!(Cmcd::read(bad), Err(CmcdError::Value), "{bad}");
    }
    let long = format!("x=\"{}\"", "a".repeat(MAX_BYTES));
    assert_eq!(Cmcd::read(&long), Err(CmcdError::TooLong));
    let half = format!("x=\"{}\"", "a".repeat(MAX_BYTES / 2));
    assert!(Cmcd::read(&half).is_ok());
    assert_eq!(Cmcd::read_all([&half[..], &half[..]]), Err(CmcdError::TooLong));
    assert_eq!(Cmcd::read(&format!("sid=\"{}\"", "a".repeat(129))), Err(CmcdError::Value));
    assert_eq!(Cmcd::read_query("CMCD=%zz"), Err(CmcdError::Value));
}

#[test]
fn what_is_not_known_is_passed_over_and_what_is_too_much_is_left_out() {
    let told = Cmcd::read("com.example-a=(1 \"b\";c=?0);d, x=:aGk=:, y=@1659578233, br=7").unwrap();
    assert_eq!(told, Cmcd { bitrate: Some(7), ..Cmcd::default() });
    assert_eq!(Cmcd::read("ot=zz").unwrap().object, None);
    assert_eq!(Cmcd::read("").unwrap(), Cmcd::default());
    assert_eq!(Cmcd::read("br=100000000").unwrap().bitrate, Some(MAX_BITRATE));
    assert_eq!(Cmcd::read("br=100000001").unwrap(), Cmcd::default());
    let many = format!("v=2,nor=({})", ["\"a\""; 9].join(" "));
    assert_eq!(Cmcd::read(&many).unwrap().next.len(), MAX_NEXT);
    assert_eq!(Cmcd::read_query("a=1&CMCDx=br%3D1"), Ok(None));
}

/// Version 1 has the reference encoded within the encoded parameter, version 2 once.
#[test]
fn a_reference_is_decoded_as_often_as_its_version_encodes_it() {
    assert_eq!(Cmcd::read("nor=\"..%2Fa%20b\"").unwrap().next[0].reference, "../a b");
    assert_eq!(Cmcd::read("nor=(\"a%20b\"),v=2").unwrap().next[0].reference, "a%20b");
}

#[test]
fn what_a_player_waits_for_it_wants_now() {
    for (text, millis) in [
        ("bl=21300,mtp=9000", Some(21_300)),
        ("bl=21300,dl=500", Some(500)),
        ("dl=7", Some(7)),
        ("bl=9000,su", Some(0)),
        ("bl=9000,bs", Some(0)),
        ("mtp=9000", None),
    ] {
        assert_eq!(Cmcd::read(text).unwrap().runs_dry(), millis, "{text}");
    }
    assert_eq!(Cmcd::read("dl=-1"), Err(CmcdError::Value));
}

#[test]
fn reports_that_another_library_writes_are_read() {
    let text: String = include_str!("reports.txt")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .fold(String::new(), |all, line| all + line + "\n");
    let reports = Reports::read(&text);
    assert_eq!(reports.refused, 0);
    let read: Vec<_> = reports.read.iter().map(|told| (told.event.unwrap(), told.state)).collect();
    let expected = [
        (Event::State, Some(State::Starting)),
        (Event::State, Some(State::Playing)),
        (Event::Bitrate, None),
        (Event::State, Some(State::Rebuffering)),
        (Event::State, Some(State::Playing)),
        (Event::Error, None),
        (Event::Interval, Some(State::Playing)),
        (Event::Response, None),
        (Event::Other, None),
        (Event::State, Some(State::Ended)),
    ];
    assert_eq!(read, expected);
    assert!(reports.read.iter().all(|told| told.session.as_deref() == Some("6e2f")));
    let told = |number: usize| &reports.read[number];
    assert_eq!((told(1).startup_delay, told(1).at), (Some(1250), Some(1_764_752_371_250)));
    assert_eq!((told(2).bitrate, told(4).starved_for), (Some(3000), Some(1000)));
    assert_eq!(told(5).errors, ["E1 \"x\"", "2003"]);
    assert_eq!((told(6).latency, told(6).live), (Some(4200), Some(true)));
}

#[test]
fn a_line_that_is_no_report_costs_itself_and_too_many_the_rest() {
    let reports = Reports::read("v=2,e=t\r\n\nbr=1\nnonsense==\ne=t,ts=5");
    assert_eq!((reports.read.len(), reports.refused), (2, 2));
    let many = "e=t\n".repeat(10 * MAX_REPORTS);
    let reports = Reports::read(&many);
    assert_eq!((reports.read.len(), reports.refused), (MAX_REPORTS, 1));
    let long = format!("e=t,x=\"{}\"\ne=t", "a".repeat(MAX_BYTES));
    assert_eq!((Reports::read(&long).read.len(), Reports::read(&long).refused), (1, 1));
    let codes = ["\"x\""; 9].join(" ");
    assert_eq!(Cmcd::read(&format!("ec=({codes})")).unwrap().errors.len(), MAX_ERRORS);
    let code = "x".repeat(MAX_ERROR + 1);
    assert!(Cmcd::read(&format!("ec=(\"{code}\")")).unwrap().errors.is_empty());
    assert_eq!(Cmcd::read("ec=(5)"), Err(CmcdError::Value));
}

proptest! {
    #[test]
    fn nothing_makes_it_panic_and_all_is_bounded(text in "[ -~\u{e4}]{0,200}") {
        let _ = Cmcd::read_query(&text);
        prop_assert!(Reports::read(&text).read.len() <= MAX_REPORTS);
        if let Ok(told) = Cmcd::read(&text) {
            prop_assert!(told.next.len() <= MAX_NEXT);
            prop_assert!(told.session.is_none_or(|id| id.len() <= MAX_ID));
        }
    }

    /// Pieces that fit often enough to get far.
    #[test]
    fn near_misses_do_not_panic(
        pieces in proptest::collection::vec(
            prop_oneof![
                Just("nor="), Just("br="), Just("("), Just(")"), Just("\"a\""), Just(";r="),
                Just("\"1-2\""), Just(","), Just(" "), Just("v=2"), Just("3200"), Just("su"),
                Just("-"), Just("."), Just("\\"), Just("?1"),
            ],
            0..24,
        ),
    ) {
        let _ = Cmcd::read(&pieces.concat());
    }
}
