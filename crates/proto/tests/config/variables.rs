//! Keys that the environment overrides.

use headwater_proto::config::Edge;

use crate::SMALL;

fn with(variables: &[(&str, &str)]) -> Result<Edge, String> {
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Edge::parse("edge.toml", SMALL, variables).map_err(|wrongs| wrongs.to_string())
}

#[test]
fn a_variable_is_what_its_key_wants_it_to_be() {
    let edge = with(&[
        ("HEADWATER__SERVER__LISTEN_HTTP", "127.0.0.1:8081"),
        ("HEADWATER__SERVER__HTTP3", "false"),
        ("HEADWATER__SERVER__WORKERS", "3"),
        ("HEADWATER__SERVER__LIMITS__IDLE_TIMEOUT", "90 s"),
        ("HEADWATER__CACHE__RAM", "1 GiB"),
        ("HEADWATER__UPSTREAM__MEDIA__ORIGINS", "[\"http://a\", \"http://b\"]"),
        ("HEADWATER__UPSTREAM__MEDIA__CHOOSE", "by_title"),
        ("HEADWATER__UPSTREAM__MEDIA__PRIORITIES", "[0, 1]"),
        ("HEADWATER__SHIELD__WEIGHTS", "5"),
        ("HEADWATER__SHIELD__PEERS", "http://a"),
        ("HEADWATER__SHIELD__KNOWN_AS", "http://a"),
        ("HEADWATER__CACHE__DOWNSTREAM", "caches"),
        ("HEADWATER__SITE__0__HOSTS", "video.example"),
        ("HEADWATER_MEDIA", "another program's"),
    ])
    .unwrap();
    assert_eq!(&*edge.server.listen_http[0], "127.0.0.1:8081");
    assert!(!edge.server.http3);
    assert_eq!(edge.server.workers, Some(3));
    assert_eq!(edge.server.limits.idle_timeout.to_string(), "90 s");
    assert_eq!(edge.cache.ram.get(), 1 << 30);
    assert_eq!(edge.upstreams[0].origins.len(), 2);
    assert_eq!(
        (&edge.upstreams[0].priorities[..], &edge.shield.weights[..]),
        (&[0, 1][..], &[5][..])
    );
    assert_eq!(&*edge.sites[0].hosts[0], "video.example");
}

#[test]
fn what_is_wrong_with_one_names_it() {
    for (name, value, said) in [
        ("HEADWATER__SERVER__LISTN", "x", "key 'listn' is unknown; did you mean 'listen'?"),
        (
            "HEADWATER__SERVER__WORKERS",
            "x",
            "key 'workers': it takes a whole number, not the text 'x'",
        ),
        ("HEADWATER__SERVER__DRAIN", "10", "key 'drain': '10' is no time; did you mean '10 s'?"),
        (
            "HEADWATER__SERVER__LISTEN__0",
            "x",
            "key 'listen': it takes one value or a list of values, not a section",
        ),
        (
            "HEADWATER__UPSTREAM__MDIA__ORIGINS",
            "http://a",
            "there is no 'mdia': an entry is named by its name or from 0",
        ),
        ("HEADWATER__", "x", "it names no key: HEADWATER__SECTION__KEY does"),
    ] {
        let wrongs = with(&[(name, value)]).unwrap_err();
        assert_eq!(wrongs, format!("{name}: {said}"));
    }
    let wrongs = with(&[("HEADWATER__SERVER__LISTEN_HTTP", "[\"a")]).unwrap_err();
    assert!(wrongs.starts_with("HEADWATER__SERVER__LISTEN_HTTP: this is no TOML: "), "{wrongs}");
}

#[test]
fn a_document_may_be_empty_and_all_of_it_come_from_variables() {
    let variables = [
        ("HEADWATER__SERVER__LISTEN_HTTP", "127.0.0.1:0"),
        ("HEADWATER__UPSTREAM", "[{ name = \"a\", origins = \"http://b\" }]"),
        ("HEADWATER__SITE", "[{ hosts = \"*\", upstream = \"a\" }]"),
    ];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(Edge::parse("edge.toml", "", variables).unwrap().upstreams.len(), 1);
}
